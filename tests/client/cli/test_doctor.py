"""`iq-client doctor`."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run

from iq_client.cli.doctor import Finding

doctor = importlib.import_module("iq_client.cli.doctor")  # the package has a command of that name


def test_doctor(run: Run, stub_repository: Path) -> None:
    report = run("doctor", "--model-repository", stub_repository).stdout
    assert "✗" not in report
    assert len(re.findall(r"✓ scores from", report)) == 2
    for package in ("pi_heif", "rawpy", "lxml", "imagehash"):
        assert re.search(rf"[✓-] {package}: ", report)


def test_doctor_says_how_to_mend(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iq_client.local.installation._MODELS_PACKAGE", "not_installed")
    report = run("doctor", "--url", "127.0.0.1:1", code=3).stdout
    assert re.search("✗ server at 127.0.0.1:1: .*iq-client serve", report)
    assert re.search("- model repository: .*IQ_MODEL_REPOSITORY", report)


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (Finding("ok", "a photo", "has a score of 5.00", scored=True), 0),
        (Finding("ok", "scores", "are what this is about"), 3),
        (Finding("bad", "scores from it", "EMPTY: no bytes"), 3),
    ],
)
def test_the_exit_code_does_not_hang_on_a_wording(
    monkeypatch: pytest.MonkeyPatch, run: Run, finding: Finding, code: int
) -> None:
    monkeypatch.setattr(doctor, "_findings", lambda server: iter([finding]))
    assert finding.subject in run("doctor", code=code).stdout
