"""The judges of manifests see what they are there for; the examples for operators pass them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.tools.manifests import Document, bad_practice, documents, pods, validate

ROOT = Path(__file__).resolve().parents[2]
KSERVE = ROOT / "deploy" / "kserve" / "inferenceservice.yaml"
RAY = ROOT / "deploy" / "ray" / "rayjob.yaml"


@pytest.mark.parametrize("path", [KSERVE, RAY], ids=lambda path: path.name)
def test_the_examples_are_what_their_operators_know(path: Path) -> None:
    for document in documents(path.read_text()):
        validate(document)
        for pod in pods(document):
            assert list(bad_practice(pod)) == []


def test_kserve_finds_the_runtime_that_its_service_asks_for() -> None:
    runtime, service = documents(KSERVE.read_text())
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {
        known["name"] for known in runtime["spec"]["supportedModelFormats"]
    }
    assert [model["protocolVersion"]] == runtime["spec"]["protocolVersions"]
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    (port,) = container["ports"]
    assert f"--grpc-port={port['containerPort']}" in container["args"]
    # Server and probes look where KServe puts the models.
    folder = "--model-repository=/mnt/models"
    assert folder in container["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["python3", "-m", "iq_tools.health", folder]


def test_the_runtime_starts_as_the_image_does() -> None:
    runtime, _ = documents(KSERVE.read_text())
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M)
    assert entry is not None
    assert [*runtime["spec"]["containers"][0]["command"], "--"] == yaml.safe_load(entry[1])


def test_ray_has_the_version_of_its_image() -> None:
    (job,) = documents(RAY.read_text())
    argument = re.search(r"^ARG RAY=(.+)$", (RAY.parent / "Dockerfile").read_text(), re.M)
    assert argument is not None
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == argument[1]


def _first_container(document: Document) -> Any:
    return next(pods(document))["containers"][0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job["spec"].update(entryPoint="x"),
        lambda job: job["spec"]["rayClusterSpec"].pop("headGroupSpec"),
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(replicas="4"),
        lambda job: _first_container(job).update(imagePullPolice="Always"),
    ],
)
def test_a_mistake_in_a_ray_job_is_seen(spoil: Callable[[Document], object]) -> None:
    (job,) = documents(RAY.read_text())
    spoil(job)
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(job)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda pod: pod.update(hostNetwork=True), "namespaces"),
        (lambda pod: pod["volumes"].append({"name": "n", "hostPath": {"path": "/"}}), "path of"),
        (lambda pod: pod["volumes"].pop(), "not what is mounted"),
        (lambda pod: pod["containers"][0].update(image="siamese-nima"), "not one image"),
        (lambda pod: pod["containers"][0]["securityContext"].pop("runAsNonRoot"), "root"),
        (lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"), "capabilities"),
        (lambda pod: pod["containers"][0]["resources"].pop("limits"), "limit"),
        (
            lambda pod: pod["containers"][0]["env"].append({"name": "API_KEY", "value": "1"}),
            "no secret",
        ),
        (lambda pod: pod["containers"][0]["env"].extend(pod["containers"][0]["env"]), "twice"),
    ],
)
def test_bad_practice_is_named(spoil: Callable[[Document], object], says: str) -> None:
    pod = copy.deepcopy(next(pods(documents(KSERVE.read_text())[0])))
    assert list(bad_practice(pod)) == []
    spoil(pod)
    assert any(says in line for line in bad_practice(pod))


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="twice"):
        documents("metadata: {name: a, name: b}")
