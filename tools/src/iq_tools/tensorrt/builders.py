"""Ways to TensorRT, and the choice of one that is installed."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Final

from iq_tools.errors import MissingToolError
from iq_tools.tensorrt.plan import Builder
from iq_tools.tensorrt.python_api import PythonBuilder
from iq_tools.tensorrt.trtexec import TrtexecBuilder

# The first two need TensorRT's libraries for this GPU; the last builds without a GPU.
BUILDERS: Final = ("tensorrt", "trtexec", "tensorrt_rtx")
OLDEST_TENSORRT: Final = (10, 12)

# Where NVIDIA's containers keep it; it is not always on the PATH.
_TRTEXEC: Final = Path("/usr/src/tensorrt/bin/trtexec")


def find_builder(name: str | None = None) -> Builder:
    """The builder to use.

    Args:
        name: One of `BUILDERS`; None for the first that is installed.

    Returns:
        The builder.

    Raises:
        MissingToolError: None is installed, or TensorRT is too old.
    """
    for candidate in (name,) if name else BUILDERS:
        builder = _open(candidate)
        if builder is None:
            continue
        version = tuple(int(part) for part in builder.version.split(".")[:2])
        if builder.name != "tensorrt_rtx" and version < OLDEST_TENSORRT:
            raise MissingToolError(
                f"TensorRT {builder.version} is older than "
                f"{'.'.join(map(str, OLDEST_TENSORRT))}, the first whose strongly typed networks "
                f"take this graph"
            )
        return builder
    raise MissingToolError(
        f"{name or ' or '.join(BUILDERS)} is not installed. On the machine that serves: trtexec "
        f"or `pip install tensorrt`, of the version of its Triton; to try without a GPU: pip "
        f"install tensorrt-rtx-cu13"
    )


def _open(name: str) -> Builder | None:
    if name == "trtexec":
        found = shutil.which(name)
        program = Path(found) if found else _TRTEXEC
        return TrtexecBuilder(program) if program.is_file() else None
    try:
        return PythonBuilder(importlib.import_module(name))
    except ImportError:
        return None
