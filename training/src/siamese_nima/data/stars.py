"""Stars: the ratings that photo programs keep in XMP (Adobe, XMP Specification Part 2, xmp:Rating).

A sidecar (`a.jpg.xmp`, else `a.xmp`) goes before the packet in the photo itself: programs that
leave photos untouched write there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from PIL import Image

from siamese_nima.data.photos import find_photos
from siamese_nima.data.samples import Problem, Sample

_RATING: Final = "{http://ns.adobe.com/xap/1.0/}Rating"
_DESCRIPTION: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"

# -1 is a reject, 0 is not rated.
LOWEST: Final = -1
HIGHEST: Final = 5
UNRATED: Final = 0

_LARGEST_SIDECAR: Final = 16 * 2**20  # bytes


def read_stars(folder: Path) -> tuple[list[Sample], list[Problem]]:
    """Reads the ratings of the photos of a folder.

    Args:
        folder: Searched recursively.

    Returns:
        The rated photos, all of one group; and the ratings that could not be read. A photo without
        a rating is neither.

    Raises:
        FileNotFoundError: The folder holds no photo.
    """
    samples: list[Sample] = []
    problems: list[Problem] = []
    for photo in find_photos([folder]):
        try:
            rating = read_rating(photo)
        except ValueError as error:
            problems.append(Problem("MALFORMED", str(photo), str(error)))
            continue
        if rating is not None and rating != UNRATED:
            samples.append(Sample(photo, float(rating)))
    return samples, problems


def read_rating(photo: Path) -> int | None:
    """Reads a photo's rating, -1…5.

    Args:
        photo: The photo; its sidecar lies beside it.

    Returns:
        The rating, None where none is given.

    Raises:
        ValueError: A sidecar or packet is no XML, or the rating is none; the message names it.
    """
    for sidecar in (photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")):
        if sidecar.is_file():
            if sidecar.stat().st_size > _LARGEST_SIDECAR:
                raise ValueError(f"{sidecar.name} is larger than {_LARGEST_SIDECAR} bytes")
            return _rating(sidecar.read_bytes(), sidecar.name)
    packet = _embedded(photo)
    return _rating(packet, photo.name) if packet else None


def _embedded(photo: Path) -> bytes:
    """The XMP packet in a photo; empty where it has none, or is no photo that can be opened."""
    try:
        with Image.open(photo) as image:
            if image.format == "PNG":
                image.load()  # its text may stand behind its pixels
            packet = image.info.get("xmp", b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""  # the inspection of the photos reports it
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def _rating(packet: bytes, name: str) -> int | None:
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
    except ElementTree.ParseError as error:
        raise ValueError(f"the XMP of {name} is no XML: {error}") from error
    values = [each.get(_RATING) for each in root.iter(_DESCRIPTION)]
    values += [each.text for each in root.iter(_RATING)]
    for value in values:
        if value is None:
            continue
        try:
            rating = float(value)
        except ValueError:
            rating = float("nan")
        if not (rating.is_integer() and LOWEST <= rating <= HIGHEST):
            raise ValueError(f"xmp:Rating of {name} is {value!r}, not {LOWEST}…{HIGHEST}")
        return int(rating)
    return None
