"""A server that keeps the contract, as a process of its own that a test may kill.

    python -m tests.client.bulk.serve_faulty PORT SECONDS_A_REQUEST

Writes its address as one line and serves until it is killed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.client.faulty import FaultyServer, description


def main(port: int, seconds: float) -> None:
    def wait(number: int, request: Any, context: Any) -> None:
        time.sleep(seconds)

    with FaultyServer(port=port) as server:
        server.tower = description()
        server.fault = wait
        print(server.url, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
