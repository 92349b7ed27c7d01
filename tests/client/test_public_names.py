"""The public surface: the names of `__all__`, and nothing else that is not marked as private."""

from __future__ import annotations

import ast
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import iq_client

PACKAGE = Path(iq_client.__file__).parent


def test_the_public_names_are_those_that_are_exported() -> None:
    names = {
        name
        for name, value in vars(iq_client).items()
        if not name.startswith("_") and not ismodule(value) and name != "annotations"
    }
    assert names == set(iq_client.__all__)
    assert iq_client.__all__ == sorted(
        iq_client.__all__, key=lambda name: (not name.isupper(), name)
    )


def test_the_client_stands_alone() -> None:
    imported = {
        name.partition(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"iq_serving", "iq_tools", "siamese_nima", "tensorflow", "keras"}


def test_importing_loads_nothing_heavy() -> None:
    """Seconds of gRPC, protobuf, numpy and Pillow are spent where they are used first."""
    heavy = {"grpc", "numpy", "PIL", "tritonclient", "google", "click", "rich"}
    program = f"import sys, iq_client; print(*({heavy!r} & sys.modules.keys()))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
