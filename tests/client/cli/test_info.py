"""`iq-client info`."""

from __future__ import annotations

import json

from tests.client.cli.conftest import Run

from iq_client import LocalServer


def test_info(run: Run, stub_server: LocalServer) -> None:
    facts = json.loads(run("info", "--format", "json").stdout)
    assert (facts["url"], facts["model_name"]) == (stub_server.url, "nima")
    assert "2.51" in run("info").stdout
