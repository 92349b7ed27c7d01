"""Reliability of the embedded server: damaged files, kills, memory under a long mixed load.

    python benchmarks/soak.py [FOLDER] [--corpus FOLDER] [--mutants 10000] [--images 5000]
                              [--kills 20] [--minutes 60] [--seed 1]

Prints a table of each part. Ends with status 1 where a photo was lost, got
another score than alone, or a server died that nobody killed.

- *damaged*: files of a corpus such as Pillow's (`Tests/images` of its source distribution); small
  files that ask for much; seeds of every format with bytes changed, cut out or doubled. Twelve of
  them to a request with four good photos.
- *kills*: one call, in the middle of which Triton or the process of a model is killed, or Triton
  crashes, by turns.
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from measure import machine, table, versions
from PIL import Image

from iq_client import Client, LocalServer, RetryPolicy, Score
from iq_tools.photos import photo_files

ROOT = Path(__file__).parent.parent
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "ICO", "TGA", "AVIF")
ODD_A_REQUEST, GOOD_A_REQUEST = 12, 4
RESTARTED = "is started again"
TOLERANCE = 1e-3  # between two batches of one photo
PATIENT = RetryPolicy(attempts=1000, timeouts=1000)


def main() -> int:
    """Reads the command line, runs the three parts and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", type=Path, default=ROOT / "examples" / "photos")
    parser.add_argument("--corpus", type=Path, help="a folder of odd files")
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=5000, help="of the call with kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the load")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    good = [path.read_bytes() for path in photo_files(arguments.photos)]
    seeds = list(seeds_of(good))
    print(f"# {' '.join(sys.argv)}\n{machine()}\n{versions('pillow', 'nvidia-pytriton')}\n")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with (
            LocalServer(ROOT / "model_repository", log_file=log) as server,
            Client(server.url, retry=PATIENT, batch_size=16, timeout=600) as client,
        ):
            alone = [score.mean for photo in good for score in client.score_images([photo])]
            if len(set(alone)) < 2:
                raise SystemExit("all photos have one score: a changed one would not show")
            mutants = (mutant(chance.choice(seeds), chance) for _ in range(arguments.mutants))
            parts = {"small files that ask for much": bombs(), "mutants": mutants}
            if arguments.corpus:
                parts = {"corpus": corpus(arguments.corpus)} | parts
            faults = damaged(client, good, alone, parts, chance)
            faults += restarts(log)
            before = restarts(log)
            faults += kills(server, client, good, alone, arguments.images, arguments.kills, chance)
            print(f"Restarts in the server's log: {restarts(log) - before}.\n")
            before = restarts(log)
            faults += load(server, client, good, alone, seeds, arguments.minutes, chance)
            faults += restarts(log) - before
    print("Nothing was lost or changed." if not faults else f"{faults} faults.")
    return 1 if faults else 0


def damaged(
    client: Client,
    good: Sequence[bytes],
    alone: Sequence[float],
    parts: Mapping[str, Iterator[bytes]],
    chance: random.Random,
) -> int:
    """Scores odd files among good ones; returns how many good ones were lost or changed."""
    rows, faults = [], 0
    for name, files in parts.items():
        codes: Counter[str] = Counter()
        neighbours = lost = 0
        slowest = 0.0
        while odd := list(itertools.islice(files, ODD_A_REQUEST)):
            which = [chance.randrange(len(good)) for _ in range(GOOD_A_REQUEST)]
            started = time.perf_counter()
            scores = client.score_images([*odd, *(good[index] for index in which)])
            slowest = max(slowest, time.perf_counter() - started)
            codes.update(code_of(score) for score in scores[: len(odd)])
            neighbours += len(which)
            lost += changed(scores[len(odd) :], [alone[index] for index in which])
        found = ", ".join(f"{code} {number}" for code, number in codes.most_common())
        rows.append(
            [name, str(codes.total()), str(neighbours), str(lost), found, f"{slowest:.1f} s"]
        )
        faults += lost
    print(table(
        ["files", "number", "good neighbours", "of them lost or changed", "codes",
         "slowest request"], rows,
    ), end="\n")  # fmt: skip
    return faults


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


def kills(
    server: LocalServer,
    client: Client,
    good: Sequence[bytes],
    alone: Sequence[float],
    images: int,
    count: int,
    chance: random.Random,
) -> int:
    """Kills in the middle of a call; returns how many photos it lost or changed."""
    kinds = [("Triton", signal.SIGKILL), ("model", signal.SIGKILL), ("Triton", signal.SIGSEGV)]
    places = sorted(chance.sample(range(images), count))
    due = {place: kinds[number % len(kinds)] for number, place in enumerate(places)}
    which = [chance.randrange(len(good)) for _ in range(images)]
    scores: list[Score] = []
    killed: Counter[str] = Counter()
    longest, last = 0.0, time.perf_counter()
    for score in client.iter_scores(good[index] for index in which):
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        scores.append(score)
        if kill := due.get(len(scores) - 1):
            victim, number = kill
            pids = model_processes(server) if victim == "model" else [server.pid]
            with contextlib.suppress(IndexError, ProcessLookupError):  # it is just starting again
                os.kill(chance.choice(pids), number)
                killed[f"{victim} {number.name}"] += 1
    faults = changed(scores, [alone[index] for index in which]) + images - len(scores)
    lost = sum(not score.ok for score in scores) + images - len(scores)
    done = ", ".join(f"{kind} {number}" for kind, number in killed.items())
    print(table(
        ["photos", "kills", "lost", "changed or out of order", "longest pause"],
        [[str(images), done, str(lost), str(faults - lost), f"{longest:.1f} s"]],
    ), end="\n")  # fmt: skip
    return faults


def load(
    server: LocalServer,
    client: Client,
    good: Sequence[bytes],
    alone: Sequence[float],
    seeds: Sequence[bytes],
    minutes: float,
    chance: random.Random,
) -> int:
    """A mixed load; prints memory at six moments, returns how many photos were lost or changed."""
    started = time.monotonic()
    rows: list[list[str]] = []
    scored = faults = 0
    while (elapsed := time.monotonic() - started) < minutes * 60 or not rows:
        if elapsed >= minutes * 60 * len(rows) / 6:
            rows.append([f"{elapsed / 60:.1f}", str(scored), *memory(server)])
        which = [chance.randrange(len(good)) for _ in range(32)]
        batch = [good[index] for index in which]
        batch += [mutant(chance.choice(seeds), chance) for _ in range(8)]
        scores = client.score_images(batch)
        faults += changed(scores[: len(which)], [alone[index] for index in which])
        scored += len(scores)
        garbage(server, chance)
    rows.append([f"{(time.monotonic() - started) / 60:.1f}", str(scored), *memory(server)])
    print(table(
        ["minutes", "files", "tritonserver MiB", "model processes MiB", "client MiB"], rows
    ), end="\n")  # fmt: skip
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


def mutant(seed: bytes, chance: random.Random) -> bytes:
    """A file with one to eight of its parts changed, cut out or doubled."""
    data = bytearray(seed)
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


def restarts(log: Path) -> int:
    """Number of times that the supervisor says that it started the server again."""
    return log.read_text(errors="replace").count(RESTARTED)


def model_processes(server: LocalServer) -> list[int]:
    """The processes of the Python models."""
    found: list[int] = []
    for task in Path(f"/proc/{server.pid}/task").glob("*/children"):
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
