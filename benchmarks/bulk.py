"""Measures `iq-client bulk` on a stand-in for the server: what shards cost, memory, and faults.

    python benchmarks/bulk.py overhead             shards against plain client.iter_scores
    python benchmarks/bulk.py million              memory of driver and workers; checks every row
    python benchmarks/bulk.py million --faults     while processes are killed
    python benchmarks/bulk.py million --driver ray --faults

With Ray on a cluster of two raylets on this machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from measure import in_turns, machine, ratio
from PIL import Image
from pyarrow import parquet
from stand_in import StandIn, mean_of, stand_in

from iq_client import Client
from iq_client.bulk import manifest
from iq_client.bulk.drivers import Job
from iq_client.bulk.drivers.local import score_locally
from iq_client.bulk.manifest import Manifest
from iq_client.bulk.shard import ShardResult, score_shard
from iq_client.bulk.store import Folder, open_folder
from iq_client.images.inputs import InputOptions

WANTED: Final = 0.95
COMMAND: Final = (str(Path(sys.executable).with_name("iq-client")), "bulk")
NODE: Final = {"num_cpus": 4, "object_store_memory": 2**27}


def photos(folder: Path) -> list[Path]:
    """A hundred small JPEG files of different sizes."""
    made = [folder / f"{number:02}.jpg" for number in range(100)]
    random = np.random.default_rng(0)
    for number, path in enumerate(made):
        pixels = random.integers(0, 256, (8 + number, 16, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return made


def overhead(arguments: argparse.Namespace) -> None:
    """The rates of shards and of the local driver against that of `iter_scores`, in turns."""
    size, count = arguments.shard_size, arguments.shards
    with (
        tempfile.TemporaryDirectory() as folder,
        stand_in() as server,
        Client(server.url) as client,
    ):
        paths = list(islice(cycle(map(str, photos(Path(folder)))), size * count))
        (Path(folder) / "photos.txt").write_text("\n".join(paths))
        output = open_folder(str(Path(folder) / "scores"))
        made = manifest.plan([str(Path(folder) / "photos.txt")], output, size)

        def plain() -> None:
            assert all(score.ok for score in client.iter_scores(paths))

        def fresh() -> None:
            for shard in made.shards:
                Path(output.join(shard.file)).unlink(missing_ok=True)

        def shards() -> None:
            fresh()
            for shard in made.shards:
                result = score_shard(shard, output, client, None, inputs=InputOptions())
                assert result.scored == size and not result.errors

        def driver() -> None:
            fresh()
            job = Job(output.url, None, (server.url,), None, {}, InputOptions())
            with closing(score_locally(job, made.shards, workers=1)) as outcomes:
                assert all(isinstance(outcome, ShardResult) for outcome in outcomes)

        contenders = {"iter_scores": plain, "score_shard": shards, "local driver": driver}
        found = in_turns(
            {name: (run, len(paths)) for name, run in contenders.items()}, arguments.rounds
        )
    print(f"{count} shards of {size} photos of 1 kB, {arguments.rounds} rounds; {machine()}")
    for name in ("score_shard", "local driver"):
        print(f"{name} / iter_scores: {ratio(found['iter_scores'], found[name]):.2f}")
    print(f"wanted: {WANTED:.2f}; the driver's time has the start of its only worker in it")


@dataclass
class Run:
    """The command over many rows, watched and disturbed from outside.

    Attributes:
        arguments: Those of the command.
        output: Where its shards' files appear.
        workers: Finds the pids of the workers of drivers with some pids.
        drivers: The processes of the command.
    """

    arguments: tuple[str, ...]
    output: Folder
    workers: Callable[[list[int]], list[int]]
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        """Starts the command, beside what runs of it already."""
        self.drivers.append(
            subprocess.Popen([*COMMAND, *self.arguments], stderr=subprocess.PIPE, text=True)
        )

    def going(self) -> bool:
        """True while a driver runs."""
        return any(driver.poll() is None for driver in self.drivers)

    def shards(self) -> int:
        """Count of the shards whose file is there."""
        return sum(name[0] != "_" and name.endswith(".parquet") for name in self.output.names())

    def memory(self) -> tuple[float, list[float]]:
        """MiB of the first driver and of the workers."""
        pids = [driver.pid for driver in self.drivers]
        return resident(pids[0]), [resident(pid) for pid in self.workers(pids)]

    def kill_worker(self) -> None:
        """Kills one worker."""
        os.kill(self.workers([driver.pid for driver in self.drivers])[0], signal.SIGKILL)

    def start_again(self) -> None:
        """Kills every driver, waits for the end of what they started, and starts one again."""
        workers = self.workers([driver.pid for driver in self.drivers])
        for driver in self.drivers:
            driver.kill()
            driver.communicate()
        while any(resident(pid) for pid in workers):
            time.sleep(0.1)
        self.drivers.clear()
        self.start()


def million(arguments: argparse.Namespace) -> None:
    """Runs the command over many rows, tells its memory, and checks every row."""
    with tempfile.TemporaryDirectory() as name, stand_in() as server:
        folder = Path(name)
        sizes = write_table(folder / "photos.parquet", photos(folder), arguments.rows)
        output = open_folder(str(folder / "scores"))
        command = (
            str(folder / "photos.parquet"), "--output", output.url, "--url", server.url,
            "--shard-size", str(arguments.shard_size), "--driver", arguments.driver,
        )  # fmt: skip
        print(f"{arguments.rows} photos, driver {arguments.driver}; {machine()}", flush=True)
        if arguments.driver == "ray":
            with cluster() as nodes:
                more = ("--ray-address", nodes.address)
                run = Run((*command, *more), output, lambda _: tasks(nodes))
                watch(run, faults(run, server, nodes) if arguments.faults else {}, arguments)
        else:
            run = Run((*command, "--workers", "2"), output, children)
            watch(run, faults(run, server, None) if arguments.faults else {}, arguments)
        made = manifest.load(output)
        assert made is not None
        print(verdict(output, made, sizes))


def write_table(path: Path, files: list[Path], rows: int) -> np.ndarray[Any, Any]:
    """Writes a table of photos with one name each; gives the sizes of their files."""
    schema = pa.schema([("id", pa.string()), ("uri", pa.string())])
    uris = [str(file) for file in files]
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            names = [f"{number:09}" for number in numbers]
            found = [uris[number % len(uris)] for number in numbers]
            writer.write_table(pa.table({"id": names, "uri": found}, schema))
    return np.resize([file.stat().st_size for file in files], rows)


def faults(run: Run, server: StandIn, nodes: Any) -> dict[float, tuple[str, Callable[[], None]]]:
    """Faults by the share of the rows that is done before."""

    def restart_server() -> None:
        server.kill()
        time.sleep(2)
        server.start()

    def kill_raylet() -> None:
        (node,) = nodes.worker_nodes
        (raylet,) = node.all_processes["raylet"]
        os.kill(raylet.process.pid, signal.SIGKILL)

    found: dict[float, tuple[str, Callable[[], None]]] = {
        0.15: ("kill -9 of a worker", run.kill_worker),
        0.3: ("kill -9 of the server, which starts again", restart_server),
        0.6: ("a second driver on the same output", run.start),
        0.7: ("kill -9 of both drivers, one starts again", run.start_again),
    }
    if nodes is not None:
        found[0.45] = ("kill -9 of a raylet", kill_raylet)
    return dict(sorted(found.items()))


def watch(
    run: Run,
    disturbances: dict[float, tuple[str, Callable[[], None]]],
    arguments: argparse.Namespace,
) -> None:
    """Runs the command to its end; tells its memory with each tenth of the rows."""
    print("rows done  driver MiB  workers MiB")
    shards = -(-arguments.rows // arguments.shard_size)
    told, waiting = 0, list(disturbances.items())
    run.start()
    while run.going():
        time.sleep(0.2)
        share = run.shards() / shards
        if share * 10 >= told + 1:
            told = int(share * 10)
            of_driver, of_workers = run.memory()
            each = " ".join(f"{mebibytes:.0f}" for mebibytes in sorted(of_workers))
            print(f"{share:9.0%}  {of_driver:10.0f}  {each}", flush=True)
        if waiting and share >= waiting[0][0]:
            _, (name, disturb) = waiting.pop(0)
            print(f"{share:9.0%}  {name}", flush=True)
            disturb()
    assert not waiting, f"it ended before {waiting}"
    for driver in run.drivers:
        _, text = driver.communicate()
        print(text.strip().splitlines()[-1])
        assert driver.returncode == 0, text


def verdict(output: Folder, made: Manifest, sizes: np.ndarray[Any, Any]) -> str:
    """One sentence on the rows of a run: lost, doubled, out of order, with another's score."""
    expected = {shard.file for shard in made.shards}
    there = {name for name in output.names() if name[0] != "_" and name.endswith(".parquet")}
    assert there == expected, there ^ expected
    tables = [
        parquet.read_table(output.join(shard.file), columns=["id", "mean"]) for shard in made.shards
    ]
    whole = pa.concat_tables(tables)
    numbers = whole["id"].cast(pa.int64()).to_numpy()
    times = np.bincount(numbers, minlength=len(sizes))
    wanted = np.array([mean_of(int(size)) for size in sizes])[numbers]
    assert len(set(wanted)) > 3
    wrong = np.count_nonzero(whole["mean"].to_numpy() != wanted)
    return (
        f"{len(numbers)} rows: {np.count_nonzero(times == 0)} lost, "
        f"{np.count_nonzero(times > 1)} doubled, "
        f"{np.count_nonzero(np.diff(numbers) != 1)} out of order, {wrong} with a wrong score"
    )


@contextmanager
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes, each with a raylet and four logical CPUs."""
    os.environ |= {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "300",  # on a busy machine
    }
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    try:
        nodes.add_node(**NODE)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        nodes.shutdown()


def tasks(nodes: Any) -> list[int]:
    """The pids of the processes that score shards on a cluster."""
    raylets = [
        process.process.pid
        for node in nodes.list_all_nodes()
        for process in node.all_processes.get("raylet", [])
    ]
    return [pid for pid in children(raylets, b"") if b"ray::_score_shard" in command_of(pid)]


def children(pids: list[int], marked: bytes = b"multiprocessing.spawn") -> list[int]:
    """The pids of those children of some processes whose command line has a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        pid = int(path.parent.name)
        if parent in pids and marked in command_of(pid):
            found.append(pid)
    return found


def command_of(pid: int) -> bytes:
    """The command line of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def resident(pid: int) -> float:
    """Memory of a process in MiB; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Reads the command line and runs one benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shard-size", type=int, default=10_000)
    actions = parser.add_subparsers(required=True)
    one = actions.add_parser("overhead")
    one.add_argument("--shards", type=int, default=3)
    one.add_argument("--rounds", type=int, default=5)
    one.set_defaults(action=overhead)
    other = actions.add_parser("million")
    other.add_argument("--rows", type=int, default=1_000_000)
    other.add_argument("--driver", choices=["local", "ray"], default="local")
    other.add_argument("--faults", action="store_true")
    other.set_defaults(action=million)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}", flush=True)
    arguments.action(arguments)


if __name__ == "__main__":
    main()
