"""Photos with the EXIF of a camera."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

START = datetime(2026, 5, 1, 12, 0, 0)
SIDE = 240


def scene(seed: int = 0, width: int = 360, height: int = 240) -> Image.Image:
    """Blots of many sizes and colours, unlike those of another seed."""
    random = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3))
    for blots in (4, 8, 16, 32):
        cells = random.integers(0, 256, (blots, round(blots * width / height), 3), np.uint8)
        large = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        levels += np.asarray(large, np.float64) / 4
    levels = (levels - 128) * 1.6 + 118
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def exposed(image: Image.Image, stops: float) -> Image.Image:
    """The picture with so many EV more."""
    light = (np.asarray(image, np.float64) / 255) ** 2.2 * 2.0**stops
    return Image.fromarray((np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


def view(image: Image.Image, left: int, width: int = SIDE) -> Image.Image:
    """A part of a wide picture, as high as it."""
    return image.crop((left, 0, left + width, image.height))


def shot(
    image: Image.Image,
    seconds: float | None = 0,
    *,
    exposure: float | None = 1 / 100,
    bias: float | None = 0,
    bracket: bool = False,
    distance: float | None = None,
    zone: str | None = None,
    model: str = "Camera 1",
) -> bytes:
    """A JPEG as a camera writes it.

    Args:
        image: The picture.
        seconds: Since `START`; None for no time.
        exposure: Seconds that the shutter was open; None for none stated.
        bias: Exposure compensation in EV; None for none stated.
        bracket: Whether it is marked as one of a bracket.
        distance: Metres to what is in focus.
        zone: Such as `+02:00`.
        model: Name of the camera.
    """
    exif = Image.Exif()
    exif[0x0110] = model
    inner = exif.get_ifd(0x8769)
    if seconds is not None:
        taken = START + timedelta(seconds=seconds)
        inner[0x9003] = f"{taken:%Y:%m:%d %H:%M:%S}"
        inner[0x9291] = f"{taken.microsecond // 10_000:02}"
    if zone is not None:
        inner[0x9011] = zone
    if exposure is not None:
        inner[0x829A] = TiffImagePlugin.IFDRational(round(exposure * 100_000), 100_000)
        inner[0x829D] = TiffImagePlugin.IFDRational(56, 10)
        inner[0x8827] = 200
    if bias is not None:
        inner[0x9204] = TiffImagePlugin.IFDRational(round(bias * 6), 6)
    if distance is not None:
        inner[0x9206] = TiffImagePlugin.IFDRational(round(distance * 1000), 1000)
    inner[0x920A] = TiffImagePlugin.IFDRational(50, 1)
    inner[0xA402] = 2 if bracket else 0
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, exif=exif)
    return stream.getvalue()


def wedding(folder: Path) -> None:
    """A burst of four, a bracket of three and a photo alone, in a new folder."""
    folder.mkdir()
    burst, bracketed = scene(1), scene(2)
    for index in range(4):
        moved = burst.crop((4 * index, 0, 330 + 4 * index, 240))
        (folder / f"burst{index}.jpg").write_bytes(shot(moved, index / 4))
    for index, stops in enumerate((0, -2, 2)):
        data = shot(exposed(bracketed, stops), 60 + index / 2, exposure=2.0**stops / 100)
        (folder / f"bracket{index}.jpg").write_bytes(data)
    (folder / "alone.jpg").write_bytes(shot(scene(3), 120))
