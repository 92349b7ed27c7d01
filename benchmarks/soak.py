"""Reliability of the embedded server: damaged files, kills, bad networks, memory under a long load.

    PYTHONPATH=. python benchmarks/soak.py [FOLDER] [--corpus FOLDER] [--parts PART …]
        [--mutants 10000] [--first 0] [--images 5000] [--kills 20] [--minutes 60] [--seed 1]

Prints a table of each part. Ends with status 1 where a photo was lost, got
another score than alone, or a server died that nobody killed.

- *corpus*: files of a folder such as Pillow's (`Tests/images` of its source distribution).
- *bombs*: small files that ask for much.
- *mutants*: seeds of every format with bytes changed, cut out or doubled. As the former two, twelve
  of them to a request with four good photos. The number of one and the seed make it again:
  `--first` goes on where an earlier run ended.
- *kills*: one call, in the middle of which Triton or the process of a model is killed, or Triton
  crashes, by turns.
- *network*: calls over connections that are slow, broken off or silent, and a server that lies.
- *load*: good and damaged photos and strangers' garbage on the port; memory of each process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import machine, table, versions
from PIL import Image
from tests.client.faulty import Fault, FaultyServer
from tests.client.network import FaultyNetwork

from iq_client import Client, LocalServer, RetryPolicy, Score
from iq_tools.photos import photo_files

ROOT = Path(__file__).parent.parent
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "ICO", "TGA", "AVIF")
ODD_A_REQUEST, GOOD_A_REQUEST = 12, 4
NETWORK_PHOTOS = 400
TELL_SECONDS = 60.0
RESTARTED = "is started again"
PARTS = ("corpus", "bombs", "mutants", "kills", "network", "load")
TOLERANCE = 1e-3  # between two batches of one photo
PATIENT = RetryPolicy(attempts=1000, timeouts=1000)


def _without_sense(value: float) -> Callable[[Any], None]:
    """Answers whose means and probabilities are all this number."""

    def change(response: Any) -> None:
        for index, width in ((0, 10), (1, 1)):
            count = response.outputs[index].shape[0] * width
            response.raw_output_contents[index] = struct.pack("<f", value) * count

    return change


def _cut(response: Any) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-3]


LIES = (_without_sense(1e30), _without_sense(-1.0), _without_sense(float("inf")), _cut)


def main() -> int:
    """Reads the command line, runs the parts and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", type=Path, default=ROOT / "examples" / "photos")
    parser.add_argument("--corpus", type=Path, help="a folder of odd files")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--images", type=int, default=5000, help="of a call with kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the load")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    good = [path.read_bytes() for path in photo_files(arguments.photos)]
    seeds = list(seeds_of(good))
    numbers = range(arguments.first, arguments.mutants)
    odd = {
        "corpus": corpus(arguments.corpus) if arguments.corpus else iter(()),
        "bombs": bombs(),
        "mutants": (mutant(seeds, arguments.seed, number) for number in numbers),
    }
    print(f"# {' '.join(sys.argv)}\n{machine()}\n{versions('pillow', 'nvidia-pytriton')}\n")
    os.environ["PYTHONFAULTHANDLER"] = "1"  # a model's process that crashes says where
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with (
            LocalServer(ROOT / "model_repository", log_file=log) as server,
            Client(server.url, retry=PATIENT, batch_size=16, timeout=600) as client,
        ):
            alone = [score.mean for photo in good for score in client.score_images([photo])]
            if len(set(alone)) < 2:
                raise SystemExit("all photos have one score: a changed one would not show")
            photos = Photos(good, alone, random.Random(arguments.seed))
            for part in arguments.parts:
                before = restarts(log)
                if part in odd:
                    faults += damaged(client, part, odd[part], photos, log)
                elif part == "kills":
                    faults += kills(server, client, photos, arguments.images, arguments.kills)
                elif part == "network":
                    faults += network(server, photos)
                else:
                    faults += load(server, client, photos, seeds, arguments.minutes)
                new = restarts(log)[len(before) :]
                if new and part != "kills":
                    faults += len(new)
                    print(log.read_text(errors="replace")[-20_000:], file=sys.stderr)
                print(f"Restarts of the server in this part: {len(new)}.\n", flush=True)
    print("Nothing was lost or changed." if not faults else f"{faults} faults.")
    return 1 if faults else 0


@dataclass(frozen=True)
class Photos:
    """Good photos.

    Attributes:
        files: Their bytes.
        means: Their means, each scored alone.
        chance: Draws from them.
    """

    files: Sequence[bytes]
    means: Sequence[float]
    chance: random.Random

    def draw(self, count: int) -> tuple[list[bytes], list[float]]:
        """Some photos, and their means."""
        which = [self.chance.randrange(len(self.files)) for _ in range(count)]
        return [self.files[index] for index in which], [self.means[index] for index in which]


def damaged(client: Client, name: str, files: Iterator[bytes], photos: Photos, log: Path) -> int:
    """Scores odd files among good ones; returns how many good ones were lost or changed."""
    codes: Counter[str] = Counter()
    neighbours = lost = 0
    slowest = 0.0
    told = time.monotonic()
    while odd := list(itertools.islice(files, ODD_A_REQUEST)):
        good, means = photos.draw(GOOD_A_REQUEST)
        known = restarts(log)
        started = time.perf_counter()
        scores = client.score_images([*odd, *good])
        slowest = max(slowest, time.perf_counter() - started)
        first = codes.total()
        codes.update(code_of(score) for score in scores[: len(odd)])
        neighbours += len(good)
        lost += changed(scores[len(odd) :], means)
        if restarts(log) != known:
            print(f"{name}: a restart at {first}…{codes.total()}", file=sys.stderr, flush=True)
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            print(f"{name}: {codes.total()} files, {lost} lost", file=sys.stderr, flush=True)
    found = ", ".join(f"{code} {number}" for code, number in codes.most_common())
    print(table(
        ["files", "number", "good neighbours", "of them lost or changed", "codes",
         "slowest request"],
        [[name, str(codes.total()), str(neighbours), str(lost), found, f"{slowest:.1f} s"]],
    ), end="\n")  # fmt: skip
    return lost


def corpus(folder: Path) -> Iterator[bytes]:
    """Every file of a folder."""
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def bombs() -> Iterator[bytes]:
    """Files of few bytes that ask for gigabytes, or for minutes."""
    size = struct.pack("<I", 16382 | 12199 << 14)
    yield b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f" + size + bytes(12)
    for kind in ("PNG", "GIF", "WEBP", "TIFF", "AVIF"):
        stream = io.BytesIO()
        Image.new("L", (4000, 4000), 128).save(stream, kind)
        yield stream.getvalue()
    stream = io.BytesIO()
    Image.new("1", (20_000, 9900)).save(stream, "PNG")
    yield stream.getvalue()
    stream = io.BytesIO()
    Image.effect_noise((60, 40), 50).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    for scans in (90, 20_000):
        yield data[:-2] + scan * scans + data[-2:]
    yield data[:2] + b"\xff\xe1\0\x08Exif\0\0" * 200_000 + data[2:]


def kills(server: LocalServer, client: Client, photos: Photos, images: int, count: int) -> int:
    """Kills in the middle of a call; returns how many photos it lost or changed."""
    kinds = [("Triton", signal.SIGKILL), ("model", signal.SIGKILL), ("Triton", signal.SIGSEGV)]
    places = sorted(photos.chance.sample(range(images), count))
    due = {place: kinds[number % len(kinds)] for number, place in enumerate(places)}
    good, means = photos.draw(images)
    scores: list[Score] = []
    killed: Counter[str] = Counter()
    longest, last = 0.0, time.perf_counter()
    for score in client.iter_scores(good):
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        scores.append(score)
        if kill := due.get(len(scores) - 1):
            victim, number = kill
            pids = model_processes(server) if victim == "model" else [server.pid]
            with contextlib.suppress(IndexError, ProcessLookupError):  # it is just starting again
                os.kill(photos.chance.choice(pids), number)
                killed[f"{victim} {number.name}"] += 1
            print(f"kills: {killed.total()} at {len(scores)}", file=sys.stderr, flush=True)
    faults = changed(scores, means) + images - len(scores)
    lost = sum(not score.ok for score in scores) + images - len(scores)
    done = ", ".join(f"{kind} {number}" for kind, number in killed.items())
    print(table(
        ["photos", "kills", "lost", "changed or out of order", "longest pause"],
        [[str(images), done, str(lost), str(faults - lost), f"{longest:.1f} s"]],
    ), end="\n")  # fmt: skip
    return faults


def network(server: LocalServer, photos: Photos) -> int:
    """Calls over bad connections, and to a server that lies; returns how many photos were lost."""
    rows, faults = [], 0
    for mode in ("delay", "reset", "silence"):
        good, means = photos.draw(NETWORK_PHOTOS)
        scores: list[Score] = []
        times = 0
        with (
            FaultyNetwork(server.url) as link,
            Client(link.url, batch_size=8, retry=PATIENT, keepalive=10) as client,
        ):
            link.mode = "delay" if mode == "delay" else "pass"
            for score in client.iter_scores(good):
                scores.append(score)
                if len(scores) % (NETWORK_PHOTOS // 5) == 0 and mode != "delay":
                    times += 1
                    if mode == "reset":
                        link.mode = "reset"
                        link.reset()
                    else:
                        link.silence()
        lost = changed(scores, means) + NETWORK_PHOTOS - len(scores)
        rows.append([f"{mode}, {times} times" if times else mode, str(len(good)), str(lost)])
        faults += lost
    wrong = lies()
    rows.append(["answers that lie", str(len(LIES) * NETWORK_PHOTOS), f"{wrong} believed"])
    print(table(["connection", "photos", "lost or changed"], rows), end="\n")
    return faults + wrong


def _always(lie: Callable[[Any], None]) -> Fault:
    return lambda number, request, context: lie


def lies() -> int:
    """Scores that were taken from a server whose answers cannot be."""
    believed = 0
    with FaultyServer() as server, Client(server.url, batch_size=8) as client:
        for lie in LIES:
            server.fault = _always(lie)
            scores = client.score_images([b"photo"] * NETWORK_PHOTOS)
            believed += sum(score.ok for score in scores) + NETWORK_PHOTOS - len(scores)
    return believed


def load(
    server: LocalServer, client: Client, photos: Photos, seeds: Sequence[bytes], minutes: float
) -> int:
    """A mixed load; prints memory at six moments, returns how many photos were lost or changed."""
    started = time.monotonic()
    rows: list[list[str]] = []
    scored = faults = mutants = 0
    while (elapsed := time.monotonic() - started) < minutes * 60 or not rows:
        if elapsed >= minutes * 60 * len(rows) / 6:
            rows.append([f"{elapsed / 60:.1f}", str(scored), *memory(server)])
            print(f"load: {rows[-1]}, {faults} lost", file=sys.stderr, flush=True)
        good, means = photos.draw(32)
        odd = [mutant(seeds, -1, number) for number in range(mutants, mutants + 8)]
        mutants += len(odd)
        scores = client.score_images([*good, *odd])
        faults += changed(scores[: len(good)], means)
        scored += len(scores)
        garbage(server, photos.chance)
    rows.append([f"{(time.monotonic() - started) / 60:.1f}", str(scored), *memory(server)])
    print(table(
        ["minutes", "files", "tritonserver MiB", "model processes MiB", "client MiB"], rows
    ), end="\n")  # fmt: skip
    print(f"Good photos lost or changed: {faults}.")
    return faults


def seeds_of(photos: Sequence[bytes]) -> Iterator[bytes]:
    """Small files of every format."""
    for photo in photos[:3]:
        with Image.open(io.BytesIO(photo)) as image:
            small = image.convert("RGB").resize((64, 48))
        for name in FORMATS:
            stream = io.BytesIO()
            small.save(stream, name)
            yield stream.getvalue()


def mutant(seeds: Sequence[bytes], seed: int, number: int) -> bytes:
    """A file with one to eight of its parts changed, cut out or doubled."""
    chance = random.Random(f"{seed} {number}")
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        place, length = chance.randrange(len(data) + 1), chance.randint(1, 16)
        match chance.randrange(4):
            case 0:
                data[place : place + length] = chance.randbytes(length)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[place : place + length]
            case _:
                data[place : place + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff"))
    return bytes(data)


def garbage(server: LocalServer, chance: random.Random) -> None:
    """Bytes that are no gRPC, on its port."""
    host, _, port = server.url.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(chance.randbytes(64))


def changed(scores: Sequence[Score], means: Sequence[float]) -> int:
    """The number of scores that failed or are not these means."""
    return sum(
        not score.ok or abs(score.mean - mean) > TOLERANCE
        for score, mean in zip(scores, means, strict=False)
    )


def code_of(score: Score) -> str:
    """The code of a score's error, or OK."""
    return "OK" if score.error is None else score.error.code


def restarts(log: Path) -> list[str]:
    """The supervisor's lines on the server that it started again."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if RESTARTED in line]


def model_processes(server: LocalServer) -> list[int]:
    """The processes of the Python models."""
    found: list[int] = []
    for task in Path(f"/proc/{server.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that ended
            found += map(int, task.read_text().split())
    return found


def memory(server: LocalServer) -> list[str]:
    """Resident MiB of Triton, of each model's process, and of this one."""
    models = "/".join(f"{resident(pid):.0f}" for pid in model_processes(server))
    return [f"{resident(server.pid):.0f}", models, f"{resident(os.getpid()):.0f}"]


def resident(pid: int) -> float:
    """Resident MiB of a process; 0 for one that ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
