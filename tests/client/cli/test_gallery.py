"""The command `gallery`, as a process that Ctrl-C ends."""

from __future__ import annotations

import json
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


def test_a_photo_that_arrives_is_scored_and_ctrl_c_ends(
    stub_server: LocalServer, photos: Path
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "gallery", "--serve", str(photos), "--watch"],
        stdout=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and what it starts inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=environment(IQ_URL=stub_server.url, PYTHONUNBUFFERED="1"),
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert answer(url + "state") == {"photos": 12}
        (photos / "new.jpg").write_bytes(b"photo 99")
        while answer(url + "state") != {"photos": 13}:
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()
        process.communicate()
