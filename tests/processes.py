"""Processes of a server, for tests that stop or kill them."""

from __future__ import annotations

from pathlib import Path


def process_of(model: str, server: int) -> int:
    """The process of a model below a Triton."""
    for task in Path(f"/proc/{server}/task").glob("*/children"):
        for child in task.read_text().split():
            if model in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    raise AssertionError(f"no process of {model} below {server}")
