"""Makes `examples/photos/` from the photos of Debian's package lomiri-wallpapers-16.04.

    apt-get download lomiri-wallpapers-16.04 && dpkg -x lomiri-wallpapers-16.04_*.deb wallpapers
    python scripts/make_photos.py wallpapers/usr/share/backgrounds

Each photo is scaled down to `LONG_SIDE`; some get a twin that is blurred, noisy, over-compressed,
too dark or too bright, so that a ranking shows at a glance whether it makes sense.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

LONG_SIDE: Final = 1280
QUALITY: Final = 88
PHOTOS: Final = Path(__file__).parents[1] / "examples" / "photos"

Degrade = Callable[[Image.Image], Image.Image]


def blurred(image: Image.Image) -> Image.Image:
    """Out of focus."""
    return image.filter(ImageFilter.GaussianBlur(9))


def noisy(image: Image.Image) -> Image.Image:
    """White noise."""
    pixels = np.asarray(image, np.float32)
    pixels = pixels + np.random.default_rng(0).normal(0, 70, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def overcompressed(image: Image.Image) -> Image.Image:
    """JPEG at quality 4."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=4)
    return Image.open(file).convert("RGB")


def dark(image: Image.Image) -> Image.Image:
    """Three and a half stops under-exposed."""
    return image.point([round(value * 2 ** (-3.5 / 2.2)) for value in range(256)] * 3)


def bright(image: Image.Image) -> Image.Image:
    """Two stops over-exposed."""
    return image.point([min(255, round(value * 2 ** (2 / 2.2))) for value in range(256)] * 3)


SOURCES: Final[dict[str, tuple[str, tuple[Degrade, ...]]]] = {
    "autumn": ("aitzgorri_by_Aitzol_Berasategi.jpg", (overcompressed,)),
    "brushes": ("Picture_1A_by_freespace.jpg", (blurred,)),
    "dandelion": ("seeding_by_Clements_Engelhardt.jpg", (blurred, noisy)),
    "dogs": ("friends_by_Aitzol_Berasategi.jpg", (noisy,)),
    "fig": ("Picture_0B_by_freespace.jpg", (dark,)),
    "mountains": ("picosdeeuropa_by_Aitzol_Berasategi.jpg", (blurred, bright)),
    "stream": ("life_by_Aitzol_Berasategi.jpg", (overcompressed,)),
    "sunset": ("sunset_by_Aitzol_Berasategi.jpg", (overcompressed,)),
}


def main(wallpapers: Path) -> None:
    """Writes the photos and their twins."""
    PHOTOS.mkdir(exist_ok=True)
    for name, (source, degradations) in SOURCES.items():
        image = Image.open(wallpapers / source).convert("RGB")
        image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        image.save(PHOTOS / f"{name}.jpg", quality=QUALITY)
        for degrade in degradations:
            twin = degrade(image)
            twin.save(PHOTOS / f"{name}-{degrade.__name__}.jpg", quality=QUALITY)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
