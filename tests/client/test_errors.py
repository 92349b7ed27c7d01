"""The exceptions: one tree under one root."""

from __future__ import annotations

import ast
from pathlib import Path

import iq_client

PACKAGE = Path(iq_client.__file__).parent


def test_the_exceptions_are_one_tree() -> None:
    raised = [
        value
        for path in PACKAGE.rglob("*.py")
        if "_iq_serving" not in path.parts  # the server's code, whose errors stay inside
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for value in [(path.relative_to(PACKAGE).as_posix(), node)]
        if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert {place for place, _ in raised} == {"errors.py"}
    for name, value in vars(iq_client.errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, iq_client.IQClientError)
            assert name in iq_client.__all__
