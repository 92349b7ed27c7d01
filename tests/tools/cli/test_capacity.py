"""`iq-tools capacity`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from iq_tools.cli import cli


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["capacity", *arguments])


def test_a_hundred_million_photos() -> None:
    result = invoke("--photos", "1e8", "--rate", "1000", "--gpus", "1", "--hours", "24")
    assert result.exit_code == 0, result.output
    assert "| photos | 100,000,000 |" in result.stdout
    assert "| pods | 2 (GPUs: 2) |" in result.stdout
    assert "| hours | 15.4 |" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--photos", "1e8", "--cores", "2", "--pods", "1"), "rate of a pod"),
        (("--photos", "1e8", "--rate", "10", "--pods", "1"), "--cores or --gpus"),
        (("--photos", "1e8", "--rate", "10", "--cores", "2"), "or the hours"),
        (("--photos", "many", "--rate", "10", "--cores", "2"), "'many' is not a valid float"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
