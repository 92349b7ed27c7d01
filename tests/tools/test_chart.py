"""The Helm chart, rendered by Helm's own library and held against Kubernetes' schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "siamese-nima"
ON_GPU = {
    "gpus": 1,
    "runtime": "tensorrt",
    "planCache": {"enabled": True, "storageClassName": "nfs"},
    "autoscaling": {"enabled": True},
    "modelRepository": {"existingClaim": "my-models"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
}


def _render(values: dict[str, Any]) -> dict[str, Any]:
    """The objects of a release by kind."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="demo", namespace="photos")
    objects = [
        document
        for path, text in texts.items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    by_kind = {document["kind"]: document for document in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def test_helm_finds_nothing_to_complain_of() -> None:
    found = helm.lint(str(CHART))
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({}, {"Deployment", "Service"}),
        (
            ON_GPU,
            {"Deployment", "Service", "PersistentVolumeClaim", "HorizontalPodAutoscaler"},
        ),
        ({"planCache": {"enabled": True, "existingClaim": "plans"}}, {"Deployment", "Service"}),
    ],
)
def test_every_object_is_one_that_kubernetes_knows(values: dict[str, Any], kinds: set[str]) -> None:
    objects = _render(values)
    assert objects.keys() == kinds
    for document in objects.values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("values", [{"replica": 3}, {"runtime": "cuda"}, {"gpus": -1}])
def test_values_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError):
        _render(values)


def test_the_pod_may_do_no_more_than_it_must() -> None:
    pod = _render({})["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    # The user that the image runs as.
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text().splitlines()
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_what_the_server_writes_has_a_place() -> None:
    pod = _render({})["Deployment"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == {"/dev/shm", "/tmp", "/var/cache/iq"}
    assert set(mounts.values()) == set(volumes)
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"


def test_a_gpu_is_asked_for_and_its_plans_are_kept() -> None:
    objects = _render(ON_GPU)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "IQ_RUNTIME", "value": "tensorrt"} in container["env"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    plans = objects["PersistentVolumeClaim"]
    assert claims == {"plans": plans["metadata"]["name"], "models": "my-models"}
    assert plans["spec"]["accessModes"] == ["ReadWriteMany"]
    # The first start builds a plan before the server answers.
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 900
    assert "nvidia.com/gpu" not in str(_render({})["Deployment"])


def test_every_pod_has_an_address_of_its_own() -> None:
    objects = _render({})
    service = objects["Service"]["spec"]
    assert service["clusterIP"] == "None"
    ports = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert {port["targetPort"] for port in service["ports"]} == {port["name"] for port in ports}
    assert service["selector"].items() <= (
        objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    )


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_offers() -> None:
    objects = _render(ON_GPU)
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
    assert "replicas" not in objects["Deployment"]["spec"]
    rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheus-adapter.yaml").read_text())
    asked = [metric["pods"]["metric"]["name"] for metric in scaler["metrics"]]
    assert asked == [rule["name"]["as"] for rule in rules]
