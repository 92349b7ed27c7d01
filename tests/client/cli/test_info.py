"""`iq-client info`."""

from __future__ import annotations

import json

from tests.client.cli.conftest import Run
from tests.client.faulty import FaultyServer, description

from iq_client import LocalServer


def test_info(run: Run, stub_server: LocalServer) -> None:
    facts = json.loads(run("info", "--format", "json").stdout)
    assert (facts["url"], facts["model_name"]) == (stub_server.url, "nima")
    assert "2.51" in run("info").stdout


def test_info_says_whose_scores_they_are(run: Run, faulty: FaultyServer) -> None:
    assert "not named" in run("info", "--url", faulty.url).stdout
    faulty.tower = description(quantiles=[1.0, 9.0], quantiles_of="photos of a test")
    text = run("info", "--url", faulty.url).stdout
    sha256 = json.loads(faulty.tower)["sha256"]
    for word in ("tiny 1.2", sha256, "CC0-1.0", "photos of a test"):
        assert word in text
    facts = json.loads(run("info", "--url", faulty.url, "--format", "json").stdout)
    assert facts["tower"]["sha256"] == sha256
    assert facts["tower"]["quantiles"] == [1.0, 9.0]
