"""Photos put into groups by a command."""

from __future__ import annotations

import os
import signal

import pytest

from iq_client import Source
from iq_client.cli.grouping import read
from iq_client.cli.scoring import Outcome
from iq_client.groups import UNKNOWN, Fingerprint, Fingerprints
from iq_client.images.source import broken


def test_ctrl_c_while_reading_groups_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    prints = Fingerprints()

    def interrupting(data: bytes, name: str) -> Fingerprint:
        if data == b"3":
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(int(data))
        return Fingerprint(int(data))

    monkeypatch.setattr("iq_client.groups.fingerprint", interrupting)
    sources = [prints.watch(Source(str(number), str(number).encode)) for number in range(200)]
    outcome = Outcome()
    read(sources, outcome)
    assert outcome.exit_code == 130
    found = prints.first(200)
    assert [each.hash for each in found if each != UNKNOWN] == sorted(seen)
    assert 3 in seen


def test_what_is_gone_since_it_was_scored_stays_without_a_fingerprint() -> None:
    outcome = Outcome()
    prints = Fingerprints()
    read([prints.watch(broken("gone.png", "NOT_FOUND", "no such file"))], outcome)
    assert outcome.exit_code == 0
    assert prints.first(1) == [UNKNOWN]
