"""ARCHITECTURE.md names modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = {
    "serving": "iq_serving",
    "training": "siamese_nima",
    "tools": "iq_tools",
    "client": "iq_client",
}


def is_module(package: Path, name: str) -> bool:
    """True where a package has this module or folder."""
    path = package / name
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()


@pytest.mark.parametrize("room", PACKAGES)
def test_the_modules_of_a_room_exist(room: str) -> None:
    (inside,) = re.findall(rf"^\| `{room}/` \| (.*) \|$", PAGE, re.MULTILINE)
    names = re.findall(r"`([\w/]+)`", inside)
    assert len(names) >= 5
    package = ROOT / room / "src" / PACKAGES[room]
    assert [name for name in names if not is_module(package, name)] == []


def test_the_modules_of_the_paths_exist() -> None:
    packages = {name: ROOT / room / "src" / name for room, name in PACKAGES.items()}
    paths = PAGE.partition("## The path of a photo")[2]
    dotted = re.findall(r"`((?:iq|siamese)_\w+)\.([\w.]+)`", paths)
    assert len(dotted) >= 5
    for package, module in dotted:
        assert is_module(packages[package], module.replace(".", "/")), (package, module)
    slashed = re.findall(r"`([a-z_]+/\w+)`", paths)
    assert len(slashed) >= 10
    for name in slashed:
        assert any(is_module(package, name) for package in packages.values()), name
