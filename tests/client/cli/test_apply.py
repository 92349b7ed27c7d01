"""The command `apply`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from iq_client.cli import cli
from iq_client.gallery.marks import Mark, read_marks
from iq_client.metadata.xmp import Rating, merge
from siamese_nima.data.stars import read_rating


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos with a pick, a reject, stars, and another pick of the same name."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("1.jpg", "2.jpg", "3.jpg", "b/1.jpg"):
        (folder / name).write_bytes(f"photo {name}".encode())
    return folder


@pytest.fixture
def picks(tmp_path: Path) -> Path:
    marks = [
        ("1.jpg", "pick", 0),
        ("2.jpg", "reject", 5),
        ("3.jpg", None, 4),
        ("b/1.jpg", "pick", 2),
    ]
    photos = [{"path": path, "flag": flag, "stars": stars} for path, flag, stars in marks]
    file = tmp_path / "picks.json"
    file.write_text(json.dumps({"picks": 1, "photos": photos}))
    return file


def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> str:
    result = CliRunner().invoke(cli, ["apply", *map(str, arguments)], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def names(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_picked_photos_are_copied_once(photos: Path, picks: Path, tmp_path: Path) -> None:
    best = tmp_path / "new" / "best"
    os.utime(photos / "1.jpg", (1, 1_000_000_000))
    output = run(picks, "--copy", best, "--root", photos)
    assert output == f"2 of 2 chosen photos copied to {best}\n"
    expected = {"1.jpg": b"photo 1.jpg", "1_2.jpg": b"photo b/1.jpg"}
    assert names(best) == expected
    assert (best / "1.jpg").stat().st_mtime == 1_000_000_000
    assert "0 of 2 chosen photos copied" in run(picks, "--copy", best, "--root", photos)
    assert names(best) == expected


def test_stars_choose_what_is_not_rejected(photos: Path, picks: Path, tmp_path: Path) -> None:
    run(picks, "--copy", tmp_path / "best", "--root", photos, "--min-stars", 3)
    assert names(tmp_path / "best") == {"3.jpg": b"photo 3.jpg"}


def test_a_foreign_file_of_the_name_stays(photos: Path, picks: Path, tmp_path: Path) -> None:
    best = tmp_path / "best"
    best.mkdir()
    (best / "1.jpg").write_bytes(b"foreign")
    run(picks, "--copy", best, "--root", photos)
    assert names(best)["1.jpg"] == b"foreign"
    assert sorted(names(best)) == ["1.jpg", "1_2.jpg", "1_3.jpg"]


def test_a_photo_that_is_gone_is_told_and_the_others_copied(
    photos: Path, picks: Path, tmp_path: Path
) -> None:
    (photos / "1.jpg").unlink()
    output = run(picks, "--copy", tmp_path / "best", "--root", photos, code=1)
    assert f"NOT_FOUND: {photos / '1.jpg'}" in output
    assert "1 of 2 chosen photos copied" in output
    assert "1 not found" in output
    assert list(names(tmp_path / "best")) == ["1.jpg"]


def test_the_wrong_folder_is_told(picks: Path, tmp_path: Path) -> None:
    output = run(picks, "--copy", tmp_path / "best", "--root", tmp_path, code=1)
    assert "--root" in output


def test_a_dry_run_writes_nothing(photos: Path, picks: Path, tmp_path: Path) -> None:
    output = run(picks, "--copy", tmp_path / "best", "--root", photos, "--dry-run")
    assert "2 of 2 chosen photos would be copied" in output
    assert not (tmp_path / "best").exists()


def test_marks_become_csv_which_is_applied_from_stdin(
    photos: Path, picks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    run(picks, "--csv", out)
    assert read_marks(out)[1] == Mark("2.jpg", "reject", 5)
    run("-", "--copy", tmp_path / "best", "--root", photos, stdin=out.read_bytes())
    assert len(names(tmp_path / "best")) == 2


def test_marks_become_stars_and_labels_of_photo_programs(
    photos: Path, picks: Path, tmp_path: Path
) -> None:
    (photos / "1.jpg.xmp").write_bytes(merge(None, Rating(2)))
    undo = tmp_path / "undo"
    arguments = (picks, "--root", photos, "--xmp", "--undo-list", undo)
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert "4 photos would get stars" in run(*arguments, "--dry-run")
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    run(*arguments)
    stars = {name: read_rating(photos / name) for name in ("1.jpg", "2.jpg", "3.jpg", "b/1.jpg")}
    # A pick without stars keeps those that it has.
    assert stars == {"1.jpg": 2, "2.jpg": -1, "3.jpg": 4, "b/1.jpg": 2}
    labels = {path.name: path.read_text() for path in photos.glob("*.xmp")}
    assert 'Label="Green"' in labels["1.jpg.xmp"]
    assert 'Label="Red"' in labels["2.jpg.xmp"]
    assert "Label" not in labels["3.jpg.xmp"]
    CliRunner().invoke(cli, ["undo", str(undo)])
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before


def test_a_marked_photo_that_is_gone_gets_no_sidecar(
    photos: Path, picks: Path, tmp_path: Path
) -> None:
    (photos / "2.jpg").unlink()
    output = run(picks, "--root", photos, "--xmp", "--undo-list", tmp_path / "undo", code=1)
    assert f"NOT_FOUND: {photos / '2.jpg'}" in output
    assert "3 photos got stars" in output
    assert not (photos / "2.jpg.xmp").exists()


def test_what_cannot_be_used_is_said_in_a_line(picks: Path, tmp_path: Path) -> None:
    assert "give --copy DIR, --xmp or --csv FILE" in run(picks, code=2)
    assert "No such file" in run(tmp_path / "gone.json", "--csv", tmp_path / "x", code=1)
    picks.write_text("{")
    assert "not whole as JSON" in run(picks, "--csv", tmp_path / "x", code=2)
    assert not (tmp_path / "x").exists()
