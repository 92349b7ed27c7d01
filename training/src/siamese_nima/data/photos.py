"""Folders of photos: which files, and on which side of the split each of them stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from iq_serving.contract import PHOTO_SUFFIXES


def find_photos(folders: Iterable[Path]) -> list[Path]:
    """Lists photos, recursively, in a fixed order.

    Args:
        folders: Folders, or single files.

    Returns:
        Paths of the files that end like photos, sorted within each folder.

    Raises:
        FileNotFoundError: A folder is missing, or holds no photo.
    """
    photos: list[Path] = []
    for folder in folders:
        if folder.is_file():
            photos.append(folder)
            continue
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        if not found:
            raise FileNotFoundError(
                f"{folder} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))})"
            )
        photos += found
    return photos


def split_by_content(
    photos: Iterable[Path], held_out_share: float
) -> tuple[list[Path], list[Path]]:
    """Splits photos by a hash of their bytes, so that copies never stand on both sides.

    Args:
        photos: Files; copies of an earlier one are left out.
        held_out_share: Expected share of the second list, 0…1.

    Returns:
        Photos to train on, and photos held out, each in the order given.
    """
    sides: tuple[list[Path], list[Path]] = ([], [])
    seen: set[bytes] = set()
    for photo in photos:
        digest = hashlib.sha256(photo.read_bytes()).digest()
        if digest not in seen:
            seen.add(digest)
            sides[is_held_out(digest, held_out_share)].append(photo)
    return sides


def is_held_out(digest: bytes, share: float) -> bool:
    """Side of the split that a photo stands on.

    Args:
        digest: SHA-256 of the file.
        share: Expected share held out, 0…1.

    Returns:
        Whether it is held out.
    """
    return int.from_bytes(digest[:8]) < share * 2**64
