"""A server that keeps the contract, as a process of its own that a test may kill.

    python -m tests.client.bulk.serve_faulty SECONDS_A_REQUEST

Waits for a line with its port, answers it with its address, and serves until stdin ends: what takes
long when it starts is done before it is asked for.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.client.faulty import FaultyServer, description


def main(seconds: float) -> None:
    def wait(number: int, request: Any, context: Any) -> None:
        time.sleep(seconds)

    port = sys.stdin.readline()
    if not port:
        return
    with FaultyServer(port=int(port)) as server:
        server.tower = description()
        server.fault = wait
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]))
