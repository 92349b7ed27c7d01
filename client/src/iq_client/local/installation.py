"""The parts that the embedded server is started from: the wheel's files, Python, the models."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iq_client.errors import LocalServerError
from iq_client.wire.protocol import MODEL_NAME

_TOWER_FILE: Final = "tower.json"
_MODELS_PACKAGE: Final = "iq_nima"
REPOSITORY_VARIABLE: Final = "IQ_MODEL_REPOSITORY"
INSTALL_HINT: Final = "pip install 'iq-client[local]'"
_ELSEWHERE: Final = "Use a server that runs elsewhere (--url HOST:PORT), or start one with docker."
_OLDEST_GLIBC: Final = (2, 35)
_PYTHON_TOO_NEW: Final = (3, 13)


def find_model_repository(given: str | Path | None = None) -> Path:
    """The folder of the models.

    Args:
        given: A folder, or None for the variable `IQ_MODEL_REPOSITORY`, then
            `./model_repository`, then the models of the installed package `iq-nima`.

    Returns:
        The folder.

    Raises:
        LocalServerError: None of them is a folder with the model in it.
    """
    if given is not None:
        candidate, origin = Path(given), "the folder that was given"
    elif os.environ.get(REPOSITORY_VARIABLE):
        candidate, origin = Path(os.environ[REPOSITORY_VARIABLE]), f"${REPOSITORY_VARIABLE}"
    else:
        candidate, origin = _default_repository()
    if not any(candidate.glob("*/config.pbtxt")):
        raise LocalServerError(
            f"no model repository at {candidate.absolute()} ({origin}): a folder that holds "
            f"`{MODEL_NAME}/` is needed. Run: {INSTALL_HINT}, give its path (model_repository=… or "
            f"--model-repository) or set {REPOSITORY_VARIABLE}."
        )
    for older in candidate.glob(f"*_tower/{_TOWER_FILE}"):
        raise LocalServerError(
            f"{older} is of an older layout, in which a tower is not compared with its "
            f"description. Write the repository again: iq-tools repository --onnx "
            f"{older.parent}/1/model.onnx --output {candidate}"
        )
    return candidate.resolve()


def _default_repository() -> tuple[Path, str]:
    here = Path("model_repository")
    installed = importlib.util.find_spec(_MODELS_PACKAGE)
    if here.is_dir() or installed is None or not installed.submodule_search_locations:
        return here, "the default"
    return Path(installed.submodule_search_locations[0]), f"the package {_MODELS_PACKAGE}"


@dataclass(frozen=True, slots=True)
class Installation:
    """The pieces of the installed wheel that a server is started from."""

    binary: Path
    backend: Path
    stub: Path
    caches: Path
    libpython: Path


def unsupported() -> str | None:
    """One sentence on why there is no embedded server for this machine; None where there is."""
    machine = (platform.system(), platform.machine())
    if machine != ("Linux", "x86_64"):
        return f"The embedded server is for Linux on x86-64, not for {' on '.join(machine)}."
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(map(int, version.split(".")[:2])) < _OLDEST_GLIBC:
        oldest = ".".join(map(str, _OLDEST_GLIBC))
        return f"The embedded server needs glibc {oldest} or later, and this system has {version}."
    if library != "glibc":
        return "The embedded server needs glibc, which this system does not have."
    if sys.version_info[:2] >= _PYTHON_TOO_NEW:
        return (
            f"The embedded server needs CPython 3.11 or 3.12, and this is "
            f"{platform.python_version()}."
        )
    return None


def find_installation() -> Installation:
    """The embedded server's files.

    Raises:
        LocalServerError: There is no such server for this machine, or the wheel or the shared
            Python library is missing; says what to do.
    """
    if reason := unsupported():
        raise LocalServerError(f"{reason} {_ELSEWHERE}")
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise LocalServerError(f"the embedded server is not installed. Run: {INSTALL_HINT}")
    root = Path(spec.submodule_search_locations[0]) / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    binary = root / "bin" / "tritonserver"
    if not binary.is_file():
        raise LocalServerError(
            f"nvidia-pytriton is installed without its server ({binary} is missing). {_ELSEWHERE}"
        )
    if not stub.is_file():
        offered = ", ".join(sorted(path.name for path in stub.parent.parent.iterdir()))
        raise LocalServerError(
            f"nvidia-pytriton has no Python backend for Python {version}, only for {offered}. "
            f"Use one of these Pythons."
        )
    return Installation(binary, root / "backends" / "python", stub, root / "caches",
                        _find_libpython(version))  # fmt: skip


def _find_libpython(version: str) -> Path:
    name = f"libpython{version}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    folders = [
        Path(sysconfig.get_config_var("LIBDIR") or sys.base_prefix),
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / multiarch,
        Path("/usr/local/lib"),
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise LocalServerError(
        f"{name} is in none of {', '.join(dict.fromkeys(map(str, folders)))}: Triton's Python "
        f"backend needs Python as a shared library. On Debian and Ubuntu: "
        f"apt install libpython{version}; with pyenv: "
        f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install; or use uv's Python."
    )
