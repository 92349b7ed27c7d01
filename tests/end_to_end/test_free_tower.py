"""The tower that is free for commerce: one command to a repository, served beside the default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from iq_client import Client, LocalServer
from iq_tools.cli import cli

GRAPH = Path(__file__).parents[2] / "towers" / "mobilenet_ava" / "model.onnx"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the graph by the command of its card."""
    output = tmp_path_factory.mktemp("free") / "repository"
    result = CliRunner().invoke(cli, ["repository", "--onnx", str(GRAPH), "--output", str(output)])
    assert result.exit_code == 0, result.output
    return output


def test_it_serves_and_says_what_one_may_do_with_it(
    repository: Path, server: LocalServer, example_photos: list[Path]
) -> None:
    with LocalServer(repository) as own, Client(own.url) as client, Client(server.url) as default:
        free, shipped = (each.server_info().tower for each in (client, default))
        means = {
            Path(score.source).stem: score.mean
            for score in client.score_images(example_photos, raise_on_error=True)
        }
        others = [score.mean for score in default.score_images(example_photos)]
    assert free is not None
    assert shipped is not None
    assert free.licence == "Apache-2.0"
    assert "no commercial use" in shipped.licence
    assert np.std(list(means.values())) >= 0.1
    assert np.abs(np.subtract(list(means.values()), others)).max() > 0.5, "another tower"
    blurred = [name for name in means if name.endswith("-blurred")]
    assert len(blurred) >= 3
    for name in blurred:
        assert means[name] < means[name.split("-")[0]], name
