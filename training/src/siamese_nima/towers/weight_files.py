"""Weight files: found on a path, or by name among those that were fetched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iq_serving.contract import WEIGHT_SUFFIXES, weights_folder
from siamese_nima.errors import WeightsError
from siamese_nima.files import write_atomically
from siamese_nima.towers.graph_files import GRAPH_SUFFIX, read_tower

_OWNER_AND_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A weight file and what is known of it.

    Attributes:
        path: The file.
        tower: Whose weights it holds, a name in the registry; empty where nothing says it.
        interpolation: How photos were resized in training; empty where nothing says it.
        image_size: Height and width of the pixels in training; None for the tower's own.
    """

    path: Path
    tower: str = ""
    interpolation: str = ""
    image_size: tuple[int, int] | None = None


def find_weights(name: str | Path) -> WeightFile:
    """Finds a weight file; nothing is downloaded.

    Args:
        name: A file, or the name `OWNER/NAME` of one in the cache folder. A served graph (`.onnx`)
            is a weight file too.

    Returns:
        The file, and what the record beside it (`PATH.json`) or the graph says.

    Raises:
        WeightsError: There is neither, and the message says how to fetch one; or the file is no
            graph of a tower.
    """
    path = Path(name).expanduser()
    published = bool(_OWNER_AND_NAME.fullmatch(str(name)))
    if not path.is_file() and published:
        cached = (weights_folder() / f"{name}{suffix}" for suffix in WEIGHT_SUFFIXES)
        path = next((each for each in cached if each.is_file()), path)
    if not path.is_file():
        fetch = f"; published weights: iq-tools weights fetch {name}" if published else ""
        raise WeightsError(f"no weight file {name}{fetch}")
    if path.suffix.lower() == GRAPH_SUFFIX:
        stated = read_tower(path)
        return WeightFile(path, stated.name, stated.interpolation, stated.image_size)
    record = _record_of(path)
    try:
        said = json.loads(record.read_text())
        size = said.get("image_size")
        if size is not None:
            height, width = size
            size = (int(height), int(width))
        return WeightFile(path, said.get("tower", ""), said.get("interpolation", ""), size)
    except FileNotFoundError:
        return WeightFile(path)
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{record} is no record of a weight file: {error}") from error


def write_record(file: WeightFile) -> None:
    """Writes beside a weight file what is known of it, for `find_weights`; in one step.

    Args:
        file: The file, which need not exist yet; its folder must.
    """
    said = {"tower": file.tower, "interpolation": file.interpolation}
    size = {"image_size": list(file.image_size)} if file.image_size else {}
    with write_atomically(_record_of(file.path)) as record:
        record.write_text(json.dumps(said | size, indent=2) + "\n")


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")
