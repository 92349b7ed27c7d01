"""The examples in other programs: a web service, and HTTP without a client of ours."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from iq_client import Client, LocalServer, Score

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NO_PHOTO = b"this is no photo"


@pytest.fixture(scope="module")
def photos(example_photos: list[Path]) -> list[Path]:
    """A photo and its blurred twin."""
    named = {path.stem: path for path in example_photos}
    return [named["dandelion"], named["dandelion-blurred"]]


@pytest.fixture(scope="module")
def expected(server: LocalServer, photos: list[Path]) -> list[Score]:
    with Client(server.url) as client:
        scores = client.score_images(photos)
    assert scores[0].mean > scores[1].mean + 0.5
    return scores


def asked(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=120) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture(scope="module")
def service(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the web service, which two worker processes run."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["uvicorn", "web_service:app", "--app-dir", str(EXAMPLES), "--workers", "2"]
    log = tmp_path_factory.mktemp("service") / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            env={**os.environ, "IQ_URL": server.url},
            stdout=stream,
            stderr=stream,
        ) as process,
    ):
        try:
            for _ in range(1200):
                try:
                    if asked(f"{url}/health/ready")[0] == 200:
                        break
                except OSError:
                    pass
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def test_the_web_service_scores_like_the_client(
    service: str, photos: list[Path], expected: list[Score]
) -> None:
    assert asked(f"{service}/health/live")[0] == 200
    for _ in range(4):  # whichever worker takes it
        for path, score in zip(photos, expected, strict=True):
            status, body = asked(f"{service}/score", path.read_bytes())
            assert status == 200, body
            assert json.loads(body)["mean"] == pytest.approx(score.mean, abs=1e-5)


def test_the_web_service_names_a_photo_that_failed(service: str) -> None:
    status, body = asked(f"{service}/score", NO_PHOTO)
    assert status == 422
    assert json.loads(body)["detail"]["code"] == "UNREADABLE"


@pytest.mark.parametrize("program", [["node", "score.mjs"], ["go", "run", "score.go"]], ids=str)
def test_other_languages_get_the_same_scores(
    program: list[str],
    server: LocalServer,
    photos: list[Path],
    expected: list[Score],
    tmp_path: Path,
) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}: apt-get install nodejs golang-go")
    (tmp_path / "broken.jpg").write_bytes(NO_PHOTO)
    done = subprocess.run(
        [*program, f"http://{server.http_url}", photos[0], tmp_path / "broken.jpg", photos[1]],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    best, broken, worst = done.stdout.splitlines()
    assert "UNREADABLE" in broken and "NaN" not in broken
    for line, score in zip((best, worst), expected, strict=True):
        mean = json.loads(line)["mean"] if line[0] == "{" else float(line.split()[-2])
        assert mean == pytest.approx(score.mean, abs=1e-5)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_curl_gets_json(server: LocalServer, photos: list[Path], expected: list[Score]) -> None:
    done = subprocess.run(
        [EXAMPLES / "score.sh", f"http://{server.http_url}", photos[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    assert outputs["MEAN"] == [pytest.approx(expected[0].mean, abs=1e-5)]
    assert len(outputs["DISTRIBUTION"]) == 10
    assert outputs["ERROR"] == [""]
