"""`iq-client rank --xmp` and `iq-client undo`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.client.cli.conftest import Run
from tests.client.conftest import Mean

from siamese_nima.data.stars import read_rating


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_stars_by_share_and_back(run: Run, photos: Path, tmp_path: Path, stub_mean: Mean) -> None:
    (photos / "broken.jpg").write_bytes(b"corrupt")
    before = files(photos)
    undo = tmp_path / "undo.jsonl"
    arguments = ["rank", photos, "--xmp", "--reject", 25, "--undo-list", undo]
    run(*arguments, "--dry-run", code=1)
    assert files(photos) == before and not undo.exists()
    result = run(*arguments, code=1)  # the broken one
    assert f"12 photos got stars; to take them back: iq-client undo {undo}" in result.stderr
    means = {path: stub_mean(path.read_bytes()) for path in photos.rglob("*.jpg")}
    del means[photos / "broken.jpg"]
    stars = [read_rating(path) for path in sorted(means, key=means.__getitem__, reverse=True)]
    assert stars == [5, 4, 4, 3, 3, 3, 3, 3, 2, -1, -1, -1]
    assert not (photos / "broken.jpg.xmp").exists()
    assert "Label" not in next(photos.rglob("*.xmp")).read_text()
    for _ in range(2):  # what is taken back already is no fault
        run("undo", undo)
        assert files(photos) == before


def test_five_stars_and_rejects_have_colours_on_wish(
    run: Run, photos: Path, tmp_path: Path, stub_mean: Mean
) -> None:
    arguments = ["--xmp", "--reject", 10, "--labels", "--undo-list", tmp_path / "undo"]
    run("rank", photos, *arguments)
    ordered = sorted(photos.rglob("*.jpg"), key=lambda path: -stub_mean(path.read_bytes()))
    texts = [path.with_name(f"{path.name}.xmp").read_text() for path in ordered]
    assert 'xmp:Label="Green"' in texts[0] and 'xmp:Label="Red"' in texts[-1]
    assert not any("Label" in text for text in texts[1:-1])


def test_stars_by_score(run: Run, photos: Path, tmp_path: Path, stub_mean: Mean) -> None:
    means = {path: stub_mean(path.read_bytes()) for path in photos.rglob("*.jpg")}
    ordered = sorted(means.values(), reverse=True)
    borders = [(ordered[i] + ordered[i + 1]) / 2 for i in (0, 2, 5, 8)]
    run("rank", photos, "--top", 1, "--xmp", "--xmp-name", "a.xmp", "--stars-by", "score",
        "--stars", ",".join(map(str, borders)), "--undo-list", tmp_path / "undo")  # fmt: skip
    stars = [read_rating(path) for path in sorted(means, key=means.__getitem__, reverse=True)]
    assert stars == [5, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1]
    assert (photos / "01.xmp").is_file()


def test_a_photo_whose_sidecar_is_broken_does_not_stop_the_others(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (photos / "01.jpg.xmp").write_text("no XML")
    result = run("rank", photos, "--xmp", "--undo-list", tmp_path / "undo", code=1)
    assert "no stars: " in result.stderr and "01.jpg" in result.stderr
    assert (photos / "01.jpg.xmp").read_text() == "no XML"
    assert len(list(photos.rglob("*.xmp"))) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embed"], "--xmp"),
        (["--labels"], "--xmp"),
        (["--dry-run"], "--xmp"),
        (["--xmp", "--stars", "1,2"], "four numbers"),
        (["--xmp", "--stars", "90,60,20,5"], "rise"),
        (["--xmp", "--stars-by", "score"], "means"),
        (["--xmp", "--stars-by", "score", "--stars", "1,2,3,4"], "fall"),
    ],
)
def test_wrong_usage(run: Run, photos: Path, arguments: list[str], message: str) -> None:
    error = run("rank", photos, *arguments, "--url", "127.0.0.1:1", code=2).stderr
    assert message in error.replace("\n", " ")


def test_a_file_that_is_no_undo_list(run: Run, photos: Path) -> None:
    assert "no list of changes" in run("undo", photos / "notes.txt", code=1).stderr
