"""Errors that these tools raise on purpose, each with the exit code of the command that meets it.

    IQToolsError            1  a program failed; the message ends with what it said
    ├── InputError          2  an option, a folder or a photo that was given cannot be used
    ├── GraphError          3  a SavedModel or ONNX graph is damaged, or not the contract's
    ├── MissingToolError    4  a program or package is not installed, or too old
    ├── GpuError            5  no GPU, or CUDA or TensorRT cannot do it there
    ├── ScoresMovedError    6  a converted graph or a plan would score differently
    └── DownloadError       7  a file could not be had

A message says what is wrong with which file or value, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class IQToolsError(Exception):
    """The root: everything that this package raises on purpose.

    Attributes:
        exit_code: Of the command that ends with it.
    """

    exit_code: ClassVar[int] = 1


class InputError(IQToolsError):
    """An option, a folder or a photo that was given cannot be used."""

    exit_code = 2  # as click's own usage errors


class GraphError(IQToolsError):
    """A SavedModel or ONNX graph is damaged, or not what the serving contract says."""

    exit_code = 3


class MissingToolError(IQToolsError):
    """A program or package is not installed, or too old."""

    exit_code = 4


class GpuError(IQToolsError):
    """There is no GPU of one kind, or CUDA or TensorRT cannot do there what was asked."""

    exit_code = 5


class ScoresMovedError(IQToolsError):
    """A converted graph or a plan would score differently: it was not written."""

    exit_code = 6


class DownloadError(IQToolsError):
    """A file could not be had."""

    exit_code = 7
