"""From what callers have at hand to one source per image, lazily and in order."""

from __future__ import annotations

import functools
import glob
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

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

ArrayEncoding: TypeAlias = Literal["webp", "png", "tiff"]

DEFAULT_URL_BYTES: Final = 64 * 2**20

_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_MIN_READ: Final = 4096  # where the size is not known beforehand, as in /proc
_ORIENTATION: Final = 0x0112
_MAX_WEBP_SIDE: Final = 16383
# The quickest settings of each: more effort saves a few percent of the bytes.
_LOSSLESS: Final[Mapping[str, Mapping[str, Any]]] = {
    "WEBP": {"lossless": True, "quality": 0, "method": 0, "exact": True},
    "PNG": {"compress_level": 1},
    "TIFF": {},
}

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
        is_file: Whether `name` is the path of a file.
    """

    name: str
    load: Callable[[], bytes]
    is_file: bool = False

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        return Path(self.name) if self.is_file else None


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How inputs are read.

    Attributes:
        allow_urls: Whether `http://` and `https://` addresses are fetched. Off by default: where
            paths come from strangers, so would the addresses that this machine is made to ask.
        max_url_bytes: A file behind an address may be no larger.
        url_timeout: Seconds without an answer until an address is given up.
        array_encoding: How PIL images and arrays are sent, without loss: `webp`, `png`, or `tiff`,
            which is not compressed: 20 times as quick, for servers that are close.
    """

    allow_urls: bool = False
    max_url_bytes: int = DEFAULT_URL_BYTES
    url_timeout: float = 30.0
    array_encoding: ArrayEncoding = "webp"

    def __post_init__(self) -> None:
        if self.array_encoding not in get_args(ArrayEncoding):
            raise ValueError(
                f"array_encoding is {self.array_encoding!r}, not one of "
                f"{', '.join(get_args(ArrayEncoding))}"
            )


DEFAULT_OPTIONS: Final = InputOptions()


def expand(images: Inputs, options: InputOptions = DEFAULT_OPTIONS) -> Iterator[Source]:
    """One source per image, as far as the caller iterates.

    Args:
        images: A path, folder (searched recursively for image files, hidden ones left out) or
            glob pattern; the bytes of an image file; a file object open for reading bytes; a PIL
            image; a uint8 array [H, W, 3] in RGB order; a URL; or an iterable of these, which may
            be endless.
        options: How they are read.

    Yields:
        Sources in the order given; within a folder or a glob pattern sorted by name. What is not
        there or is no image becomes a source whose `load` raises.

    Raises:
        InputError: `images` as a whole is of a type that is none of these.
    """
    if _is_single(images):
        yield from expand_one(images, 0, options)
        return
    if not isinstance(images, Iterable):
        raise InputError("BAD_INPUT", f"{_describe(images)}; give images or an iterable of them")
    for index, item in enumerate(images):
        yield from expand_one(item, index, options)


def expand_one(item: Any, index: int, options: InputOptions = DEFAULT_OPTIONS) -> Iterator[Source]:
    """The sources of one element; `expand` for a caller who iterates himself.

    Args:
        item: An element of what `expand` takes.
        index: Its position, for the name of one that has none.
        options: How it is read.

    Yields:
        One source; for a folder or a glob pattern any number.
    """
    if isinstance(item, str) and item.startswith(("http://", "https://")):
        yield _url(item, options)
        return
    if isinstance(item, (str, os.PathLike)):
        yield from _expand_path(os.fsdecode(os.fspath(item)))
        return
    name = f"image[{index}]"
    if isinstance(item, (bytes, bytearray, memoryview)):
        yield Source(name, functools.partial(bytes, item))
    elif _is_pil(item):
        load = functools.partial(encode_image, item, options.array_encoding)
        yield Source(_own_name(item, "filename") or name, load)
    elif _is_array(item):
        yield Source(name, functools.partial(_encode_array, item, options.array_encoding))
    elif callable(getattr(item, "read", None)):
        yield Source(_own_name(item, "name") or name, functools.partial(_read_object, item))
    else:
        yield _broken(name, "BAD_INPUT", _describe(item))


def encode_image(image: Image.Image, encoding: ArrayEncoding = "webp") -> bytes:
    """A PIL image as the bytes of a lossless file, with its colour profile and orientation.

    Args:
        image: Any mode that a lossless format here can hold.
        encoding: What is wanted; modes that it cannot hold go as PNG (grey, palette) or TIFF
            (CMYK, YCbCr, LAB), and pictures too large for WebP as PNG.

    Raises:
        InputError: The picture has another mode, or is damaged.
    """
    from PIL import Image, ImageOps

    format_name = _lossless_format(image, encoding)
    options: dict[str, Any] = dict(_LOSSLESS[format_name])
    buffer = io.BytesIO()
    try:
        if profile := image.info.get("icc_profile"):
            options["icc_profile"] = profile
        if (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
            if format_name == "TIFF":
                # Readers disagree on who turns a TIFF: the library, the caller, or both.
                image = ImageOps.exif_transpose(image)
            else:
                # The tag alone: the rest of the metadata is nobody's business.
                options["exif"] = Image.Exif()
                options["exif"][_ORIENTATION] = orientation
        image.save(buffer, format_name, **options)
    except Exception as error:  # decoders and encoders raise whatever the damage leads them to
        raise InputError("UNREADABLE", f"the PIL image cannot be encoded: {error}") from error
    return buffer.getvalue()


def _lossless_format(image: Image.Image, encoding: ArrayEncoding) -> str:
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        return "TIFF"
    if image.mode in ("1", "L", "LA", "P", "PA", "I", "I;16"):
        return "PNG"
    if image.mode not in ("RGB", "RGBA"):
        raise InputError("BAD_INPUT", f"a PIL image of mode {image.mode}: convert it to RGB first")
    if encoding == "webp" and max(image.size) > _MAX_WEBP_SIDE:
        return "PNG"
    return encoding.upper()


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
    return Source(path, functools.partial(_read_file, path), is_file=True)


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
    # The system's calls themselves: half the time of a Python file object. Not blocking, because
    # opening a pipe without a writer would wait for ever.
    try:
        descriptor = os.open(path, _READ_FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError("NOT_READABLE", "not a regular file")
            if status.st_size > MAX_MESSAGE_BYTES:
                raise InputError(
                    "TOO_LARGE", f"{status.st_size} bytes are more than a request holds"
                )
            parts = []
            while part := os.read(descriptor, max(status.st_size + 1, _MIN_READ)):
                parts.append(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)
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


def _encode_array(array: npt.NDArray[np.uint8], encoding: ArrayEncoding) -> bytes:
    if str(array.dtype) != "uint8" or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            "BAD_INPUT",
            f"an array of {array.dtype} {list(array.shape)}, not uint8 [H, W, 3] in RGB order",
        )
    from PIL import Image

    return encode_image(Image.fromarray(array), encoding)


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


def _url(url: str, options: InputOptions) -> Source:
    if not options.allow_urls:
        return _broken(url, "URL_NOT_ALLOWED", "URLs are off: allow_urls=True turns them on")
    return Source(url, functools.partial(_fetch, url, options))


def _fetch(url: str, options: InputOptions) -> bytes:
    from iq_client.download import fetch  # urllib takes a while to import

    return fetch(url, max_bytes=options.max_url_bytes, timeout=options.url_timeout)


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
