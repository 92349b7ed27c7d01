"""The error of an image that gets no score."""

from __future__ import annotations


class ImageError(ValueError):
    """An image that cannot be turned into pixels.

    Attributes:
        code: `EMPTY`, `UNREADABLE`, `TOO_LARGE` or `UNSUPPORTED`.
        text: One sentence for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
