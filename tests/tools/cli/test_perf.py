from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from iq_tools.cli import cli
from iq_tools.measure.perf import Sweep


@pytest.mark.parametrize("numbers", ["", "0", "1,x", "1,,2"])
def test_lists_of_numbers_are_checked(numbers: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["perf", "--photos", str(tmp_path), "--batch", numbers])
    assert result.exit_code == 2
    assert "no list such as" in result.output


def test_the_help_shows_the_defaults_of_the_sweep() -> None:
    said = CliRunner().invoke(cli, ["perf", "--help"], terminal_width=200).output
    for numbers in (Sweep().batches, Sweep().concurrencies):
        assert f"[default: {','.join(map(str, numbers))}]" in said
    assert f"[default: {Sweep().requests}; x>=1]" in said
