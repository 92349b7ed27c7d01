"""The command `gallery`, as a process that Ctrl-C ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.client.cli.conftest import COMMAND, environment

from iq_client import LocalServer


def answer(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=300) as response:
        return json.load(response)


def page_data(url: str) -> dict[str, Any]:
    """The data of the page at an address."""
    with urllib.request.urlopen(url, timeout=300) as response:
        page = response.read().decode()
    found = re.search(r'id="photos">(.*?)</script>', page)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_photo_that_arrives_is_scored_and_explained_and_ctrl_c_ends(
    stub_server: LocalServer, blurred: Path
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "gallery", "--serve", str(blurred), "--watch"],
        stdout=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and what it starts inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=environment(IQ_URL=stub_server.url, PYTHONUNBUFFERED="1"),
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert answer(url + "state") == {"photos": 4}
        before = page_data(url)
        assert [photo.get("reasons") for photo in before["photos"]] == [
            None,
            None,
            *[["blurry"]] * 2,
        ]
        assert before["left_out"] == {"other file": 1}
        # Between the lowest two, so that the middle of the ranking moves.
        (blurred / "film.mp4").write_bytes(b"")
        (blurred / "new.jpg").write_bytes(Path(before["photos"][2]["name"]).read_bytes())
        while answer(url + "state") != {"photos": 5}:
            assert process.poll() is None
            time.sleep(0.2)
        after = page_data(url)
        assert after["left_out"] == {"other file": 1, "video": 1}
        assert [photo.get("reasons") for photo in after["photos"]] == [
            None,
            None,
            *[["blurry"]] * 3,
        ]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()
        process.communicate()
