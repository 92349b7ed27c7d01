"""Peak memory of decoding sixteen of the largest pictures that a small server permits.

    python benchmarks/memory.py [--gib 2] [--files 16] [--threads 2]

Each kind is decoded in a process of its own, with the budget that a server has under such a limit.
The limit is the kernel's: more address space is not to be had (`RLIMIT_AS`).
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from measure import machine, table, versions
from PIL import Image

from iq_serving.contract import Limits
from iq_serving.decoding import HostDecoder
from iq_serving.headers import read_header
from iq_serving.memory import SHARE, MemoryBudget
from iq_serving.preprocessing import open_image

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "photos" / "autumn.jpg"
LIMITS = Limits(max_seconds=3600)  # memory is looked at, on whatever machine
# Format, mode, pixels of a row, and options of `save`.
KINDS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "PNG, RGB": ("PNG", "RGB", 16_000, {"compress_level": 1}),
    "PNG, 16-bit grey": ("PNG", "I;16", 16_000, {"compress_level": 1}),
    "progressive JPEG": ("JPEG", "RGB", 16_000, {"progressive": True, "quality": 50}),
    "WebP": ("WEBP", "RGB", 8_000, {"method": 0, "quality": 30}),
    "TIFF, RGBA": ("TIFF", "RGBA", 8_000, {"compression": "tiff_lzw"}),
}


def main() -> int:
    """Makes the pictures, has each decoded by a process of its own, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0, help="memory of the server")
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decode", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    limit = round(arguments.gib * 2**30)
    if arguments.decode:
        return decode(arguments.decode, limit, arguments.files, arguments.threads)
    print(f"# {' '.join(sys.argv)}\n{machine()}\n{versions('pillow', 'numpy')}\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in KINDS:
            path = Path(folder, "picture")
            path.write_bytes(largest(name, round(SHARE * limit)))
            with open_image(path.read_bytes(), LIMITS) as image:
                size = f"{image.width}x{image.height}"
            done = subprocess.run(
                [sys.executable, __file__, "--decode", path, *sys.argv[1:]],
                stdout=subprocess.PIPE,
                text=True,
            )
            rows.append([name, size, *(done.stdout.split() or ["0", "ended", ""])])
            print(rows[-1], file=sys.stderr)
    print(table(["picture", "pixels", "scored", "peak MiB"], rows), end="")
    return 0


def decode(path: Path, limit: int, files: int, threads: int) -> int:
    """Decodes a file many times at once; prints how often it succeeded, and the peak in MiB."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    host = HostDecoder(
        image_size=(224, 224),
        interpolation="bilinear",
        limits=LIMITS,
        threads=threads,
        budget=MemoryBudget(round(SHARE * limit)),
    )
    data = path.read_bytes()
    with closing(host):
        tasks = [host.submit(data) for _ in range(files)]
        scored = sum(task.future.exception() is None for task in tasks)
    print(scored, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return 0


def largest(name: str, budget: int) -> bytes:
    """The largest picture of a kind that the budget and the limits permit."""
    kind, mode, width, options = KINDS[name]
    header = read_header(picture(kind, mode, (64, 64), options), LIMITS)
    rows = LIMITS.max_pixels // width
    while header.memory(width, rows, reduced=True) > budget:
        rows -= 10
    return picture(kind, mode, (width, rows), options)


def picture(kind: str, mode: str, size: tuple[int, int], options: dict[str, Any]) -> bytes:
    """A file that is grey but for its first rows, which hold a photo again and again.

    A whole photo of so many pixels would have more bytes than the limits permit.
    """
    with Image.open(PHOTO) as photo:
        tile = photo.convert("L" if mode == "I;16" else mode)
    whole = Image.new(tile.mode, size, "grey")
    for left in range(0, size[0], tile.width):
        whole.paste(tile, (left, 0))
    stream = io.BytesIO()
    (whole.convert(mode) if mode == "I;16" else whole).save(stream, kind, **options)
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main())
