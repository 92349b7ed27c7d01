"""`iq-client groups`."""

from __future__ import annotations

import importlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.client.cli.conftest import Run

from iq_client import Source
from iq_client.cli.scoring import Outcome
from iq_client.groups import UNKNOWN, Fingerprint, Fingerprints
from iq_client.images.source import broken

command = importlib.import_module("iq_client.cli.groups")  # the package has a command of that name


def test_groups(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in "ab":
        blocks = Image.fromarray(random.integers(0, 256, (5, 8, 3), np.uint8))
        image = blocks.resize((320, 200), Image.Resampling.BICUBIC)
        image.save(folder / f"{name}1.jpg", quality=95)
        image.save(folder / f"{name}2.jpg", quality=60)
    out = tmp_path / "best"
    rows = json.loads(run("groups", folder, "--copy-best", out, "--format", "json").stdout)
    together: dict[int, list[str]] = {}
    for row in rows:
        together.setdefault(row["group"], []).append(Path(row["source"]).name)
    assert sorted(sorted(names) for names in together.values()) == [
        ["a1.jpg", "a2.jpg"],
        ["b1.jpg", "b2.jpg"],
    ]
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    assert rows[0]["mean"] == max(row["mean"] for row in rows)
    assert len(list(out.iterdir())) == 2
    lines = run("groups", folder, "--html", tmp_path / "out.html").stdout.splitlines()
    assert lines[0].split()[0] == "group"
    assert len(lines) == 6


def test_ctrl_c_while_reading_groups_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    prints = Fingerprints()

    def interrupting(data: bytes) -> Fingerprint:
        if data == b"3":
            os.kill(os.getpid(), signal.SIGINT)
        read.append(int(data))
        return Fingerprint(None, int(data))

    monkeypatch.setattr("iq_client.groups.fingerprint", interrupting)
    sources = [prints.watch(Source(str(number), str(number).encode)) for number in range(200)]
    outcome = Outcome()
    command._read(sources, outcome)
    assert outcome.exit_code == 130
    found = prints.first(200)
    assert [each.hash for each in found if each != UNKNOWN] == sorted(read)
    assert 3 in read


def test_what_is_gone_since_it_was_scored_stays_without_a_fingerprint() -> None:
    outcome = Outcome()
    prints = Fingerprints()
    command._read([prints.watch(broken("gone.png", "NOT_FOUND", "no such file"))], outcome)
    assert outcome.exit_code == 0
    assert prints.first(1) == [UNKNOWN]
