"""Throughput of one client over 1, 2, 4 and 8 servers, relative to linear.

    python benchmarks/scaling.py [--in-flight N]

The servers are simulated: real gRPC servers, each in a process of its own, that keep the contract
and take a fixed time for a request, one after the other, as a busy tower does. They wait instead
of computing, so that what is measured is the client: its turns over the servers, its reading,
packing and sending. The wait has to be long against what the client computes for a request.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Final

from measure import Result, in_turns, machine, table
from stand_in import stand_in

from iq_client import Client

WANTED: Final = 0.9


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description="Throughput over several servers.")
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--milliseconds", type=float, default=500, help="a request takes")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=20_000, help="bytes of a photo")
    parser.add_argument("--requests", type=int, default=24, help="for each server")
    parser.add_argument("--in-flight", type=int, help="for each server; default: the client's own")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    photo = bytes(options.size)
    with ExitStack() as stack:
        urls = [
            stack.enter_context(stand_in(options.milliseconds / 1000)).url
            for _ in range(max(options.servers))
        ]
        contenders = {}
        for count in options.servers:
            in_flight = None if options.in_flight is None else count * options.in_flight
            client = stack.enter_context(
                Client(urls[:count], batch_size=options.batch_size, in_flight=in_flight)
            )
            photos = count * options.requests * options.batch_size

            def run(client: Client = client, photos: int = photos) -> None:
                assert all(score.ok for score in client.iter_scores([photo] * photos))

            contenders[str(count)] = (run, photos)
        found = in_turns(contenders, options.rounds)
    _report(found, 1000 * options.batch_size / options.milliseconds)
    print(f"\n{machine()}")


def _report(found: dict[str, Result], rate: float) -> None:
    first = next(iter(found))
    base = found[first].per_second / int(first)
    rows = []
    for count, result in found.items():
        each = result.per_second / int(count)
        rows.append((count, f"{each / base:.2f}", f"{each / rate:.2f}"))
    print(table(("servers", "of linear", "of what the servers can"), rows))
    print(f"wanted of linear: {WANTED:.2f}")


if __name__ == "__main__":
    main()
