"""Selection of labelled photos by a list of their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from siamese_nima.data import Sample
from siamese_nima.errors import DataError


def select(samples: Sequence[Sample], names: Path, images: Path) -> list[Sample]:
    """Keeps the samples of the photos that a file names, such as a run's `held_out.txt`.

    Args:
        samples: Labelled photos, or rungs of ladders.
        names: A file with one path a line, from the current folder or from `images`.
        images: The folder of the photos.

    Returns:
        The samples of these photos, in the order given.

    Raises:
        DataError: The file cannot be read or names no photo, or a name in it is not among the
            photos; the message has the name.
    """
    try:
        lines = [line.strip() for line in names.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {names}: {error}") from error
    if not lines:
        raise DataError(f"{names} names no photo: it holds one path a line")
    photos = {sample.path.resolve() for sample in samples}
    wanted: set[Path] = set()
    unknown: list[str] = []
    for line in lines:
        candidates = (Path(line).resolve(), (images / line).resolve())
        found = next((each for each in candidates if each in photos), None)
        if found is None:
            unknown.append(line)
        else:
            wanted.add(found)
    if unknown:
        more = f" (nor are {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise DataError(
            f"{names} names {unknown[0]}, which is not among the good photos of {images}{more}"
        )
    return [sample for sample in samples if sample.path.resolve() in wanted]
