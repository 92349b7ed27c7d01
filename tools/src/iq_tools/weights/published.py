"""Published weights: their names, where they are, and the user's cache folder of them.

Other programs find them there by name; docs/reference/weights.md describes the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from iq_serving.contract import WEIGHT_SUFFIXES, weights_folder
from iq_tools.errors import DownloadError
from iq_tools.files import write_atomically
from iq_tools.weights.download import ATTEMPTS, PAUSE, Progress, download

# The host is a folder's name as well.
_ADDRESS: Final = re.compile(r"https?://([a-z0-9][a-z0-9.-]*)(?::\d+)?/.*", re.IGNORECASE)
_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Source:
    """A weight file on the web.

    Attributes:
        url: Where it is.
        tower: Whose weights it holds, a name in the registry; empty where it is not known.
        interpolation: How its photos were resized in training; empty where it is not known.
        sha256: Of the file, where somebody of this project had it in hand; else None.
        licence: What its origin says.
    """

    url: str
    tower: str = ""
    interpolation: str = ""
    sha256: str | None = None
    licence: str = ""


# The commit does not move, as a branch would.
_IDEALO: Final = (
    "https://raw.githubusercontent.com/idealo/image-quality-assessment/"
    "dceaf7c2d218bc6e80b21d6e147e3b56a21b7f31/models/MobileNet"
)
_TITU1994: Final = "https://github.com/titu1994/neural-image-assessment/releases/download"
_IDEALO_LICENCE: Final = "Apache-2.0"
_TITU1994_LICENCE: Final = "MIT (the code's; none of their own)"

# Keras' load_img, with which all of them were trained, resizes to the nearest pixel.
SOURCES: Final = {
    "idealo/mobilenet-aesthetic": Source(
        f"{_IDEALO}/weights_mobilenet_aesthetic_0.07.hdf5",
        "mobilenet",
        "nearest",
        "e563ad91b3d47410e45f7238f07ab8f6abd1bd0c4b18a4b0af9c681a21a91cb2",
        _IDEALO_LICENCE,
    ),
    "idealo/mobilenet-technical": Source(
        f"{_IDEALO}/weights_mobilenet_technical_0.11.hdf5",
        "mobilenet",
        "nearest",
        licence=_IDEALO_LICENCE,
    ),
    "titu1994/inception-resnet-v2": Source(
        f"{_TITU1994}/v0.5/inception_resnet_weights.h5",
        "inception_resnet_v2",
        "nearest",
        licence=_TITU1994_LICENCE,
    ),
    "titu1994/mobilenet": Source(
        f"{_TITU1994}/v0.3/mobilenet_weights.h5",
        "mobilenet",
        "nearest",
        licence=_TITU1994_LICENCE,
    ),
    "titu1994/nasnet-mobile": Source(
        f"{_TITU1994}/v0.4/nasnet_weights.h5",
        "nasnet_mobile",
        "nearest",
        licence=_TITU1994_LICENCE,
    ),
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A weight file that is there.

    Attributes:
        path: The file.
        sha256: Its sum.
        pinned: Whether the sum was compared with one that was known beforehand.
        downloaded: Whether it was not there before.
    """

    path: Path
    sha256: str
    pinned: bool
    downloaded: bool


def find_source(name: str) -> tuple[Source, Path]:
    """The source of a file, and its place in the cache.

    Args:
        name: One of `SOURCES`, or an http or https address.

    Returns:
        The source and the path in the cache: `OWNER/NAME` and the file's suffix; of an address,
        the host is the owner.

    Raises:
        DownloadError: No such name, or an address of something else.
    """
    if name in SOURCES:
        source = SOURCES[name]
        return source, weights_folder() / f"{name}{Path(urlsplit(source.url).path).suffix}"
    found = _ADDRESS.fullmatch(name)
    if not found:
        raise DownloadError(
            f"no weights {name!r}: give an https address or one of {', '.join(SOURCES)}"
        )
    file = Path(urlsplit(name).path).name
    if Path(file).suffix.lower() not in WEIGHT_SUFFIXES:
        raise DownloadError(f"{name} does not end in {' or '.join(WEIGHT_SUFFIXES)}")
    return Source(name), weights_folder() / found[1].lower() / file


def fetch(
    source: Source,
    path: Path,
    *,
    sha256: str | None = None,
    progress: Progress = lambda done, total: None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
) -> Fetched:
    """Downloads a weight file unless it is there, and checks it in either case.

    Beside it goes `PATH.json`: url, sha256, bytes, and tower and interpolation where they are
    known.

    Args:
        source: What to download.
        path: Where to.
        sha256: The sum it has to have; default: the source's.
        progress: See `download.download`.
        attempts: See `download.download`.
        pause: See `download.download`.

    Returns:
        The file.

    Raises:
        DownloadError: It cannot be had, is no weight file, or has another sum; or the file that
            is there came from elsewhere.
    """
    expected = (sha256 or source.sha256 or "").lower()
    record = path.with_name(path.name + ".json")
    if path.exists():
        return Fetched(path, _check_present(source, path, record, expected), bool(expected), False)
    sums: list[str] = []

    def check(file: Path) -> None:
        with file.open("rb") as opened:
            start = opened.read(len(_HDF5_SIGNATURE))
        if start != _HDF5_SIGNATURE:
            raise DownloadError(f"{source.url} is no HDF5 file: it starts with {start!r}")
        sums.append(_sum(file))
        if expected and sums[-1] != expected:
            raise DownloadError(
                f"{source.url} has the sha256 {sums[-1]}, not {expected}. Where you trust it: "
                f"--sha256 {sums[-1]}"
            )
        # First the record: a file of the cache is never without it.
        write_atomically(record, _record(source, sums[-1], file.stat().st_size))

    download(source.url, path, check=check, progress=progress, attempts=attempts, pause=pause)
    return Fetched(path, sums[-1], bool(expected), True)


def _check_present(source: Source, path: Path, record: Path, expected: str) -> str:
    """The sum of a file that is there already; it gets a record if it has none."""
    kept = {}
    if record.exists():
        kept = json.loads(record.read_text())
        if kept["url"] != source.url:
            raise DownloadError(
                f"{path} came from {kept['url']}: give another --output, or delete it"
            )
    found = _sum(path)
    if (wanted := expected or kept.get("sha256", found)) != found:
        raise DownloadError(f"{path} has the sha256 {found}, not {wanted}: delete it, fetch again")
    if not kept:
        # Put there by hand, where there is no network.
        write_atomically(record, _record(source, found, path.stat().st_size))
    return found


def _record(source: Source, sha256: str, size: int) -> bytes:
    values = {
        "url": source.url,
        "sha256": sha256,
        "bytes": size,
        "tower": source.tower,
        "interpolation": source.interpolation,
    }
    return (json.dumps({key: value for key, value in values.items() if value}) + "\n").encode()


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
