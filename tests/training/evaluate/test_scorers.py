"""Scorers: opened by what they are, and alike where they hold the same tower."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from iq_client import LocalServer
from siamese_nima.errors import ConfigError
from siamese_nima.evaluate.scorers import open_scorer


def test_server_and_onnx_file_score_alike(
    server: LocalServer, model_repository: Path, example_photos: list[Path]
) -> None:
    files = [*(path.read_bytes() for path in example_photos[:3]), b"not a photo"]
    served = open_scorer(f"grpc://{server.url}")(files)
    onnx = open_scorer(str(model_repository / "nima_tower" / "1" / "model.onnx"))(files)
    assert [bool(error) for error in served.errors] == [False, False, False, True]
    assert [bool(error) for error in onnx.errors] == [False, False, False, True]
    assert np.isnan(served.distributions[3]).all()
    assert (onnx.distributions[:3] @ np.arange(1, 11)).std() > 0.1
    np.testing.assert_allclose(served.distributions, onnx.distributions, atol=2e-3)


def test_graphs_and_servers_need_no_framework_for_training() -> None:
    modules = ", ".join(
        f"siamese_nima.evaluate.{n}" for n in ("prediction", "scorers", "agreement")
    )
    code = f"import sys, {modules}; print({'keras', 'tensorflow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_models_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "w.h5").touch()
    with pytest.raises(ConfigError, match="--tower"):
        open_scorer(str(tmp_path / "w.h5"))
    with pytest.raises(ConfigError, match="SavedModel folder"):
        open_scorer(str(tmp_path))
    with pytest.raises(ConfigError, match="did not score"):
        open_scorer("grpc://localhost:1")([b""])
