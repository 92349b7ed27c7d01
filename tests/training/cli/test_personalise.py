"""`siamese-nima personalise`, and a server with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from iq_client import Client, LocalServer

Run = Callable[..., Result]
PHOTOS = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos from blue to red, otherwise alike but for noise."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(PHOTOS):
        red = index / PHOTOS
        colour = np.array([40 + 170 * red, 90, 210 - 170 * red])
        coarse = rng.normal(0, 25, (6, 8, 1)).repeat(20, axis=0).repeat(20, axis=1)
        pixels = np.clip(colour + coarse, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def picks(photos: Path) -> Path:
    """The redder of two photos, thirty times."""
    table = photos.parent / "picks.csv"
    order = np.random.default_rng(1).permutation(PHOTOS).reshape(-1, 2)
    rows = [f"{max(pair):02}.png,{min(pair):02}.png" for pair in order]
    table.write_text("winner,loser\n" + "\n".join(rows) + "\n")
    return table


def test_a_taste_is_learnt_proven_and_served(
    run: Run, photos: Path, picks: Path, model_repository: Path, server: LocalServer,
    tmp_path: Path,
) -> None:  # fmt: skip
    mine, report = tmp_path / "mine", tmp_path / "gain.json"
    result = run(
        "personalise", photos, "--pairs", picks, "--from", model_repository, "-o", mine,
        "--json", report,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "30 judgements" in result.output
    found = json.loads(report.read_text())
    assert found["proven"]
    assert found["after"]["value"] > found["before"]["value"]
    reddest, bluest = (photos / f"{index:02}.png" for index in (PHOTOS - 1, 0))
    with LocalServer(mine) as own, Client(own.url) as client, Client(server.url) as default:
        ranked = [row.score.source for row in client.rank_images([bluest, reddest])]
        apart = [
            scores[0].mean - scores[1].mean
            for scores in (each.score_images([reddest, bluest]) for each in (client, default))
        ]
    assert ranked == [str(reddest), str(bluest)]
    assert apart[0] > apart[1] + 0.1


def test_a_gain_within_noise_is_not_claimed(
    run: Run, photos: Path, model_repository: Path, tmp_path: Path
) -> None:
    """Picks by chance; asked for, the tower is written all the same."""
    table = tmp_path / "chance.csv"
    order = np.random.default_rng(2).permutation(PHOTOS).reshape(-1, 2)
    table.write_text("winner,loser\n" + "".join(f"{a:02}.png,{b:02}.png\n" for a, b in order))
    asked = ("personalise", photos, "--pairs", table, "--from", model_repository, "-o")
    refused = run(*asked, tmp_path / "mine")
    assert refused.exit_code == 1
    assert "within noise" in refused.output
    assert not (tmp_path / "mine").exists()
    written = run(*asked, tmp_path / "mine", "--even-if-unproven")
    assert written.exit_code == 0
    assert (tmp_path / "mine/nima_tower/1/model.onnx").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give one of"),
        (["--pairs", "picks.csv", "--stars", "."], "give one of"),
        (["--pairs", "gone.csv"], "cannot read"),
        (["--pairs", "picks.csv", "--from", "nowhere"], "no model repository"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, photos: Path, picks: Path, model_repository: Path, monkeypatch: pytest.MonkeyPatch,
    options: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(picks.parent)
    base = [] if "--from" in options else ["--from", model_repository]
    result = run("personalise", photos, *options, *base, "-o", "mine")
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_of_other_things_is_not_overwritten(
    run: Run, photos: Path, picks: Path, model_repository: Path
) -> None:
    result = run("personalise", photos, "--pairs", picks, "--from", model_repository, "-o", photos)
    assert result.exit_code == 2
    assert "another --output" in result.output
    assert len(list(photos.iterdir())) == PHOTOS
