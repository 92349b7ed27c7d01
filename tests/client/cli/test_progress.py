"""The progress bar."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.client.cli.conftest import COMMAND, environment

from iq_client import LocalServer


def in_terminal(arguments: list[str], **values: str) -> str:
    """The output of a command to a terminal, stdout and stderr together."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        env=environment(TERM="xterm-256color", COLUMNS="120", **values),
    )
    os.close(side)
    written = b""
    try:
        while block := os.read(terminal, 65536):
            written += block
    except OSError:  # the terminal's way to say that the other side is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    return written.decode()


def test_a_terminal_gets_colour_and_progress(stub_server: LocalServer, photos: Path) -> None:
    arguments = ["rank", str(photos), "--url", stub_server.url, "--batch-size", "1"]
    text = in_terminal(arguments)
    assert "12/12" in text
    assert re.search(r"\d\.\d/s", text)
    assert re.search("\x1b\\[[0-9;]*3[0-9]m", text)
    plain = in_terminal(arguments, NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", plain)


def test_a_pipe_gets_neither(stub_server: LocalServer, photos: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "rank", str(photos), "--url", stub_server.url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == "left out: 1 x other file\n"
    assert "\x1b" not in run.stdout
