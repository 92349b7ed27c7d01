"""A quiet terminal, and oneDNN's kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from siamese_nima.cli.tensorflow_loading import loading_tensorflow
from siamese_nima.towers.registry import build_tower, get_tower
from siamese_nima.towers.weights import save_weights

VARIABLES = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")


def test_a_command_that_loads_tensorflow_prints_its_result_alone(tmp_path: Path) -> None:
    save_weights(build_tower(get_tower("mobilenet")), tmp_path / "w.h5")
    command = "from siamese_nima.cli import main; main()"
    words = ["export", "--weights", "w.h5", "--tower", "mobilenet", "-o", "out"]
    done = subprocess.run(
        [sys.executable, "-c", command, *words],
        env={name: value for name, value in os.environ.items() if name not in VARIABLES},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == "wrote out\n"


LINES = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795609828.217611   11311 port.cc:153] oneDNN custom operations are on. You may see
The TensorFlow library was compiled to use AVX instructions, but these aren't available.
"""


def test_greetings_are_held_back_and_all_else_is_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(ImportError), loading_tensorflow():
        os.write(2, LINES.encode())
        raise ImportError
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == LINES.splitlines(keepends=True)[2] + "after\n"


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with loading_tensorflow():
        assert [os.environ[name] for name in VARIABLES] == ["0", "1"]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with loading_tensorflow():
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
