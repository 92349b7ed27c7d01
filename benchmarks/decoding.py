"""Decoding: JPEGs at a reduced scale against JPEGs in full, and what that does to scores.

    python benchmarks/decoding.py PHOTO_OR_FOLDER… [--rounds 3] [--megapixels 12 1]

Every photo that is large enough is brought to a size first (Lanczos, quality 92, 4:2:0), so that
all are alike. The scale is JPEG's own: a block of 8x8 pixels is decoded as 8x8, 4x4, 2x2 or 1x1.
The last is little more than undoing the entropy code, which no scale saves.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import figure, in_turns, machine, ratio, table, versions
from PIL import Image
from serving import REPOSITORY, chosen_paths

from iq_serving.contract import MEAN, ONNX_FILE, TOWER_FILE, TOWER_MODEL, VERSION, Tower
from iq_serving.machine import keep_freed_memory
from iq_serving.preprocessing import load_pixels
from iq_tools.graph.runner import OnnxTower

PHOTOS = 24
WANTED = {12.0: "4.2x"}
FULL, REDUCED, ENTROPY = "in full", "reduced, as served", "entropy code alone (scale 1/8)"

Pixels = npt.NDArray[np.uint8]


def at_size(path: str, megapixels: float) -> bytes | None:
    """The photo as a JPEG of so many pixels, None where it has fewer."""
    with Image.open(path) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        if factor > 1 or image.format != "JPEG":
            return None
        size = (round(image.width * factor), round(image.height * factor))
        buffer = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(
            buffer, "JPEG", quality=92, subsampling=2
        )
    return buffer.getvalue()


def in_full(data: bytes, size: tuple[int, int]) -> Pixels:
    """Pixels of the whole picture, brought to the tower's size."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


def entropy_alone(data: bytes) -> None:
    """Decodes at the smallest scale there is."""
    image = Image.open(io.BytesIO(data))
    image.draft(None, (1, 1))
    image.load()


def decode_all(way: Callable[[bytes], object], files: Sequence[bytes]) -> None:
    """One way's turn."""
    for data in files:
        way(data)


def scale_of(data: bytes, size: tuple[int, int]) -> str:
    """The scale that the served decoding takes."""
    image = Image.open(io.BytesIO(data))
    width = image.width
    image.draft(None, (2 * size[1], 2 * size[0]))
    return f"1/{round(width / image.width)}"


def measure(paths: Sequence[str], *, megapixels: Sequence[float], rounds: int) -> str:
    """Measures the decoders at every size; returns a Markdown section."""
    keep_freed_memory()
    folder = REPOSITORY / TOWER_MODEL / VERSION
    origin = folder / TOWER_FILE
    size = Tower.read(origin).image_size
    tower = OnnxTower(folder / ONNX_FILE, threads=1)

    def means(pixels: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        return np.concatenate([tower.score(one[np.newaxis])[MEAN][:, 0] for one in pixels])

    rows, notes = [], []
    for number in megapixels:
        sized = (at_size(path, number) for path in dict.fromkeys(paths))
        files = [data for data in sized if data is not None][:PHOTOS]
        if not files:
            notes.append(f"No JPEG has {number:g} MP.")
            continue
        ways: dict[str, Callable[[bytes], object]] = {
            FULL: lambda data: in_full(data, size),
            REDUCED: lambda data: load_pixels(data, image_size=size),
            ENTROPY: entropy_alone,
        }
        results = in_turns(
            {name: (partial(decode_all, way, files), len(files)) for name, way in ways.items()},
            rounds,
        )
        for name, result in results.items():
            times = f"{ratio(results[FULL], result):.2f}x"
            rows.append((name, f"{number:g}", f"{result.milliseconds:.1f}", times))
        wanted = WANTED.get(number, "no less than 1x")
        quicker = ratio(results[FULL], results[REDUCED])
        name = f"decoding {number:g} MP as served / in full"
        notes.append(figure(name, f"{quicker:.2f}x", wanted))
        full = means([in_full(data, size) for data in files])
        moved = np.abs(means([load_pixels(data, image_size=size) for data in files]) - full)
        scales = Counter(scale_of(data, size) for data in files)
        notes.append(
            f"At {number:g} MP: {len(files)} photos of "
            f"{statistics.mean(map(len, files)) / 1e6:.2f} MB, decoded at scale "
            + ", ".join(f"{scale} ({count})" for scale, count in scales.most_common())
            + f"; against full decoding a mean score moves by {moved.mean():.3f} on average, "
            f"{moved.max():.3f} at most, where means have a standard deviation of {full.std():.2f}."
        )
        name = f"drift of a mean at {number:g} MP, in standard deviations of means"
        notes.append(figure(name, f"{moved.mean() / full.std():.3f}", "0.02 or less"))
    return (
        table(("decoding and resizing, one thread", "MP", "ms", "quicker"), rows)
        + "\n"
        + "\n\n".join(note.strip() for note in notes)
        + "\n"
    )


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 1])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions('pillow')}\n")
    paths = list(dict.fromkeys(chosen_paths(arguments.photos, 100_000)))
    print(measure(paths, megapixels=arguments.megapixels, rounds=arguments.rounds))


if __name__ == "__main__":
    main()
