from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iq_serving.contract import Tower
from iq_tools.errors import InputError
from iq_tools.photos import photo_files, read_photos


@pytest.fixture
def tower(description: dict[str, Any]) -> Tower:
    return Tower.parse(json.dumps(description), origin="a test")


def test_photos_are_found_in_folders_and_sorted(photos: Path) -> None:
    (photos / "deeper").mkdir()
    (photos / "deeper" / "a.JPG").write_bytes(b"")
    (photos / "notes.txt").write_text("no photo")
    found = [str(path.relative_to(photos)) for path in photo_files(photos)]
    assert found == ["0.png", "1.png", "2.png", "deeper/a.JPG"]


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photos"):
        photo_files(tmp_path)


def test_pixels_are_of_the_towers_size_and_in_order(photos: Path, tower: Tower) -> None:
    Image.new("RGB", (50, 50), (255, 0, 0)).save(photos / "3.png")
    pixels = read_photos(photos, tower)
    assert pixels.shape == (4, *tower.image_size, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[3] == (255, 0, 0)).all()
    assert pixels[0].std() > 1


def test_a_photo_that_cannot_be_read_is_named(photos: Path, tower: Tower) -> None:
    (photos / "1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1\.png: "):
        read_photos(photos, tower)
