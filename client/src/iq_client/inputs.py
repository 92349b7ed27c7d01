"""From what callers have at hand to one source per image, lazily and in order."""

from __future__ import annotations

import functools
import glob
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from iq_client.errors import InputError
from iq_client.protocol import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Input: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image "
    "| npt.NDArray[np.uint8]"
)
Inputs: TypeAlias = "Input | Iterable[Input]"

# What a folder is searched for. A file that is named itself is sent whatever its name.
EXTENSIONS: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif",
    ".tiff", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".ico", ".tga",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """One image that has not been read yet.

    Attributes:
        name: What its score calls it.
        load: Reads it: the bytes of an encoded image file. Raises `InputError` where that fails.
        path: The file, where it is one.
    """

    name: str
    load: Callable[[], bytes]
    path: Path | None = None


def expand(images: Inputs) -> Iterator[Source]:
    """One source per image, as far as the caller iterates.

    Args:
        images: A path, folder (searched recursively for image files, hidden ones left out) or
            glob pattern; the bytes of an image file; a file object open for reading bytes; a PIL
            image; a uint8 array [H, W, 3]; or an iterable of these, which may be endless.

    Yields:
        Sources in the order given; within a folder or a glob pattern sorted by name. What is not
        there or is no image becomes a source whose `load` raises.

    Raises:
        InputError: `images` as a whole is of a type that is none of these.
    """
    if _is_single(images):
        yield from expand_one(images, 0)
        return
    if not isinstance(images, Iterable):
        raise InputError("BAD_INPUT", f"{_describe(images)}; give images or an iterable of them")
    for index, item in enumerate(images):
        yield from expand_one(item, index)


def expand_one(item: Any, index: int) -> Iterator[Source]:
    """The sources of one element; `expand` for a caller who iterates himself.

    Args:
        item: An element of what `expand` takes.
        index: Its position, for the name of one that has none.

    Yields:
        One source; for a folder or a glob pattern any number.
    """
    if isinstance(item, (str, os.PathLike)):
        yield from _expand_path(os.fsdecode(os.fspath(item)))
        return
    name = f"image[{index}]"
    if isinstance(item, (bytes, bytearray, memoryview)):
        yield Source(name, functools.partial(bytes, item))
    elif _is_pil(item):
        yield Source(_own_name(item, "filename") or name, functools.partial(encode_image, item))
    elif _is_array(item):
        yield Source(name, functools.partial(_encode_array, item))
    elif callable(getattr(item, "read", None)):
        yield Source(_own_name(item, "name") or name, functools.partial(_read_object, item))
    else:
        yield _broken(name, "BAD_INPUT", _describe(item))


def encode_image(image: Image.Image) -> bytes:
    """A PIL image as the bytes of a lossless file, with its colour profile and orientation.

    Raises:
        InputError: The picture has a mode that no lossless format here can hold, or is damaged.
    """
    buffer = io.BytesIO()
    # PNG has no CMYK, LAB or YCbCr; TIFF does, and the server converts it with its profile.
    lossless = "PNG" if image.mode in _PNG_MODES else "TIFF"
    options: dict[str, Any] = {"compress_level": 1} if lossless == "PNG" else {}
    try:
        profile = image.info.get("icc_profile")
        if profile:
            options["icc_profile"] = profile
        exif = image.getexif()
        if exif:
            options["exif"] = exif
        image.save(buffer, lossless, **options)
    except Exception as error:  # decoders and encoders raise whatever the damage leads them to
        raise InputError("UNREADABLE", f"the PIL image cannot be encoded: {error}") from error
    return buffer.getvalue()


_PNG_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16"})


def _expand_path(path: str) -> Iterator[Source]:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  half the time of Path.stat, a million times
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, FileNotFoundError) and glob.has_magic(path):
            yield from _expand_glob(path)
        else:
            yield _broken(path, *_explain(error))
        return
    if stat.S_ISDIR(mode):
        yield from _walk(path)
    else:
        yield _file(path)


def _file(path: str) -> Source:
    return Source(path, functools.partial(_read_file, path), Path(path))


def _expand_glob(pattern: str) -> Iterator[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  keeps names as given
    if not matches:
        yield _broken(pattern, "NOT_FOUND", "no file matches the pattern")
    for match in matches:
        # `**` matches folders as well as the files in them, which come by themselves.
        if not os.path.isdir(match):  # noqa: PTH112
            yield _file(match)
        elif "**" not in pattern:
            yield from _walk(match)


def _walk(folder: str) -> Iterator[Source]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield _broken(folder, *_explain(error))
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):  # a linked folder may lead back here
            yield from _walk(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS and not entry.is_dir():  # noqa: PTH122
            yield _file(entry.path)


def _read_file(path: str) -> bytes:
    try:
        # Asked before it is opened: opening a pipe without a writer would wait for ever.
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise InputError("NOT_READABLE", "not a regular file")
        if status.st_size > MAX_MESSAGE_BYTES:
            raise InputError("TOO_LARGE", f"{status.st_size} bytes are more than a request holds")
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise InputError(*_explain(error)) from error


def _read_object(file: BinaryIO) -> bytes:
    try:
        data = file.read()
    except Exception as error:  # whatever the object does
        raise InputError("NOT_READABLE", f"reading the file object failed: {error}") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(
            "BAD_INPUT", f"the file object gives {type(data).__name__}: open it for bytes ('rb')"
        )
    return bytes(data)


def _encode_array(array: npt.NDArray[np.uint8]) -> bytes:
    if str(array.dtype) != "uint8" or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            "BAD_INPUT",
            f"an array of {array.dtype} {list(array.shape)}, not uint8 [H, W, 3] in RGB order",
        )
    from PIL import Image

    return encode_image(Image.fromarray(array))


def _is_single(images: object) -> bool:
    if isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview)):
        return True
    if _is_array(images):
        return images.ndim <= 3  # type: ignore[attr-defined, no-any-return]
    return _is_pil(images) or callable(getattr(images, "read", None))


# An object can only be of a library that is loaded: no need to load it to ask.
def _is_pil(item: object) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(item, module.Image)


def _is_array(item: object) -> bool:
    module = sys.modules.get("numpy")
    return module is not None and isinstance(item, module.ndarray)


def _own_name(item: object, attribute: str) -> str | None:
    name = getattr(item, attribute, None)
    return name if isinstance(name, str) and name else None


def _describe(item: object) -> str:
    return f"a {type(item).__module__}.{type(item).__qualname__} is no image"


def _broken(name: str, code: str, message: str) -> Source:
    def load() -> bytes:
        raise InputError(code, message)

    return Source(name, load)


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND", "no such file or folder"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "NOT_READABLE", text
