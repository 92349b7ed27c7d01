"""From what callers have at hand to one source per image, lazily and in order."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from iq_client.errors import InputError
from iq_client.images.encode import ArrayEncoding, encode_array, encode_image
from iq_client.images.files import LeaveOut, decode, find_files
from iq_client.images.source import Source, broken

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Input: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image "
    "| npt.NDArray[np.uint8] | Source"
)
Inputs: TypeAlias = "Input | Iterable[Input]"

DEFAULT_URL_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Choices in how inputs are read.

    Attributes:
        allow_urls: Whether `http://` and `https://` addresses are fetched. Off by default: where
            paths come from strangers, so would the addresses that this machine is made to ask.
        max_url_bytes: A file behind an address may be no larger.
        url_timeout: Seconds without an answer until an address is given up.
        array_encoding: Format of PIL images and arrays, without loss: `webp`, `png`, or `tiff`,
            which is not compressed: 20 times as quick, for servers that are close.
        on_left_out: Called for each file or folder that is found beside the photos and left out,
            with the kind that it is of, such as `video`.
    """

    allow_urls: bool = False
    max_url_bytes: int = DEFAULT_URL_BYTES
    url_timeout: float = 30.0
    array_encoding: ArrayEncoding = "webp"
    on_left_out: LeaveOut | None = None

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
            image; a uint8 array [H, W, 3] in RGB order; a URL; a source, which is taken as it is;
            or an iterable of these, which may be endless.
        options: Choices in how they are read.

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
        options: Choices in how it is read.

    Yields:
        One source; for a folder or a glob pattern any number.
    """
    if isinstance(item, Source):
        yield item
        return
    if isinstance(item, str) and item.startswith(("http://", "https://")):
        yield _url(item, options)
        return
    if isinstance(item, (str, os.PathLike)):
        yield from find_files(os.fsdecode(os.fspath(item)), options.on_left_out)
        return
    name = f"image[{index}]"
    if isinstance(item, (bytes, bytearray, memoryview)):
        yield Source(name, functools.partial(_decode_bytes, item))
    elif _is_pil(item):
        load = functools.partial(encode_image, item, options.array_encoding)
        yield Source(_own_name(item, "filename") or name, load)
    elif _is_array(item):
        yield Source(name, functools.partial(encode_array, item, options.array_encoding))
    elif callable(getattr(item, "read", None)):
        yield Source(_own_name(item, "name") or name, functools.partial(_read_object, item))
    else:
        yield broken(name, "BAD_INPUT", _describe(item))


def _decode_bytes(data: bytes | bytearray | memoryview) -> bytes:
    return decode(bytes(data))


def _read_object(file: BinaryIO) -> bytes:
    try:
        data = file.read()
    except Exception as error:  # whatever the object does
        raise InputError("NOT_READABLE", f"reading the file object failed: {error}") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(
            "BAD_INPUT", f"the file object gives {type(data).__name__}: open it for bytes ('rb')"
        )
    return decode(bytes(data))


def _is_single(images: object) -> bool:
    if isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview, Source)):
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
        return broken(url, "URL_NOT_ALLOWED", "URLs are off: allow_urls=True turns them on")
    return Source(url, functools.partial(_fetch, url, options))


def _fetch(url: str, options: InputOptions) -> bytes:
    from iq_client.images.download import fetch  # urllib takes a while to import

    return decode(fetch(url, max_bytes=options.max_url_bytes, timeout=options.url_timeout))


def _own_name(item: object, attribute: str) -> str | None:
    name = getattr(item, attribute, None)
    return name if isinstance(name, str) and name else None


def _describe(item: object) -> str:
    return f"a {type(item).__module__}.{type(item).__qualname__} is no image"
