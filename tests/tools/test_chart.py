"""The Helm chart, rendered by Helm's own library and held against schemas and good practice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml
from tests.tools.manifests import Document, bad_practice, documents, pods, validate

from iq_tools.access import access_arguments

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "siamese-nima"
FETCH = CHART / "files" / "fetch-models.sh"
DIGEST = "sha256:" + "0" * 64
ARCHIVE = {"url": "s3://bucket/models.tar.gz", "sha256": "0" * 64}

# As the files that people keep for their clusters.
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "gpu": {
        "gpus": 1,
        "runtime": "tensorrt",
        "planCache": {"enabled": True, "storageClassName": "nfs"},
        "autoscaling": {"enabled": True},
        "modelRepository": {"existingClaim": "my-models", "revision": "2"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "nodeSelector": {"gpu": "l4"},
        "runtimeClassName": "nvidia",
        "priorityClassName": "serving",
    },
    "one-node": {
        "planCache": {"enabled": True, "accessMode": "ReadWriteOnce"},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpreadConstraints": [],
    },
    "own-claim": {"replicas": 3, "planCache": {"enabled": True, "existingClaim": "plans"}},
    "models-from-s3": {
        "image": {"digest": DIGEST},
        "modelRepository": {"archive": ARCHIVE | {"existingSecret": "s3"}},
        "autoscaling": {"enabled": True, "by": "cpu"},
    },
    "models-from-an-image": {"modelRepository": {"image": f"registry.example/models@{DIGEST}"}},
    "everything-on": {
        "replicas": 3,
        "tls": {"existingSecret": "certificate", "clientCertificates": True},
        "adminKey": {"existingSecret": "admin"},
        "http": {"enabled": True},
        "autoscaling": {
            "enabled": True,
            "by": "keda",
            "prometheusAddress": "http://prometheus.monitoring:9090",
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "ingress": {"enabled": True, "host": "photos.example", "tlsSecret": "web"},
        "grpcRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
        "bulk": {
            "enabled": True,
            "input": "s3://bucket/photos",
            "output": "s3://bucket/scores",
            "workers": 64,
            "parallelism": 16,
            "existingSecret": "s3",
            "tlsSecret": "workers",
            "arguments": ["--shard-size", "5000"],
        },
        "networkPolicy": {"egress": [{"to": [{"podSelector": {}}]}]},
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "podLabels": {"team": "photos", "app.kubernetes.io/name": "not-ours"},
        "podAnnotations": {"kubectl.kubernetes.io/default-container": "other"},
        "serviceAccountName": "photos",
        "imagePullSecrets": [{"name": "registry"}],
    },
}
KINDS = {
    "default": {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"},
    "one-node": {"Deployment", "Service", "PersistentVolumeClaim"},
    "everything-on": {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ScaledObject",
        "ServiceMonitor",
        "PrometheusRule",
        "Ingress",
        "GRPCRoute",
        "Job",
    },
}


def _render(values: dict[str, Any]) -> dict[str, Document]:
    """The objects of a release by kind."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(chart.merge_values(values))
        texts = chart.render(values, name="demo", namespace="photos")
    objects = [
        document
        for path, text in texts.items()
        if path.endswith(".yaml")
        for document in documents(text)
    ]
    by_kind = {document["kind"]: document for document in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def _server(values: dict[str, Any]) -> Any:
    """The pod template of the servers."""
    return _render(values)["Deployment"]["spec"]["template"]


def _container(values: dict[str, Any]) -> Any:
    return _server(values)["spec"]["containers"][0]


def test_helm_finds_nothing_to_complain_of() -> None:
    found = helm.lint(str(CHART))
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_known_and_well_made(name: str) -> None:
    objects = _render(VALUES[name])
    assert objects.keys() == KINDS.get(name, objects.keys())
    for document in objects.values():
        validate(document)
        assert len(document["metadata"]["name"]) <= 63
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
        for pod in pods(document):
            assert list(bad_practice(pod)) == []
            assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replica": 3}, "replica"),
        ({"runtime": "cuda"}, "runtime"),
        ({"gpus": -1}, "gpus"),
        ({"sharedMemory": "abc"}, "sharedMemory"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        (
            {"replicas": 3, "planCache": {"enabled": True, "accessMode": "ReadWriteOnce"}},
            "replicas",
        ),
        (
            {
                "autoscaling": {"enabled": True, "maxReplicas": 2},
                "planCache": {"enabled": True, "accessMode": "ReadWriteOncePod"},
            },
            "maxReplicas",
        ),
        ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas 9 is more than"),
        ({"autoscaling": {"enabled": True, "by": "keda"}}, "prometheusAddress"),
        (
            {"autoscaling": {"enabled": True, "by": "cpu"}, "resources": {"requests": None}},
            "requests",
        ),
        ({"runtime": "tensorrt"}, "gpus"),
        ({"modelRepository": {"existingClaim": "a", "image": "b"}}, "image"),
        (
            {
                "modelRepository": {
                    "image": "b",
                    "archive": {"url": "https://a/b", "sha256": "0" * 64},
                }
            },
            "url",
        ),
        ({"modelRepository": {"archive": ARCHIVE | {"sha256": ""}}}, "sha256"),
        ({"modelRepository": {"archive": ARCHIVE | {"url": "ftp://a/b"}}}, "url"),
        ({"tls": {"clientCertificates": True}}, "existingSecret"),
        ({"ingress": {"enabled": True}}, "host"),
        ({"grpcRoute": {"enabled": True}}, "parentRefs"),
        ({"terminationGracePeriodSeconds": 10}, "terminationGracePeriodSeconds 10"),
        ({"bulk": {"enabled": True, "output": "s3://b/c"}}, "input"),
        (
            {
                "tls": {"existingSecret": "a"},
                "bulk": {"enabled": True, "input": "s3://b/a", "output": "s3://b/c"},
            },
            "tlsSecret",
        ),
        (
            {"bulk": {"enabled": True, "input": "a", "output": "b", "parallelism": 5}},
            "parallelism 5 is more than",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(says)):
        _render(values)


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    user = _server({})["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text().splitlines()
    assert _container({})["securityContext"]["readOnlyRootFilesystem"]


def test_what_the_server_writes_has_a_place() -> None:
    pod = _server({})["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == {"/dev/shm", "/tmp", "/var/cache/iq"}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"


def test_a_gpu_is_asked_for_and_its_plans_are_kept() -> None:
    objects = _render(VALUES["gpu"])
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


@pytest.mark.parametrize(
    ("name", "surge", "unavailable"), [("default", 1, 0), ("gpu", 0, 1), ("one-node", 0, 1)]
)
def test_an_update_does_not_wait_for_a_place_that_never_comes(
    name: str, surge: int, unavailable: int
) -> None:
    strategy = _render(VALUES[name])["Deployment"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_a_strategy_of_ones_own_goes_first() -> None:
    strategy = _render({"strategy": {"type": "Recreate"}})["Deployment"]["spec"]["strategy"]
    assert strategy == {"type": "Recreate"}


def test_a_pod_that_ends_leaves_the_service_first_and_finishes_its_requests() -> None:
    pod = _server({"preStopSeconds": 7, "terminationGracePeriodSeconds": 42})["spec"]
    container = pod["containers"][0]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    (drain,) = (a for a in container["args"] if a.startswith("--exit-timeout-secs="))
    assert 7 + int(drain.partition("=")[2]) < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_health_is_asked_for_by_an_inference_as_the_image_does(probe: str) -> None:
    check = re.search(r"^    CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M)
    assert check is not None
    command = _container({})[probe]["exec"]["command"]
    assert command == json.loads(check[1])[: len(command)]
    assert command[-1] == "iq_tools.health"


def test_the_chart_opens_no_door_by_itself() -> None:
    container = _container({})
    given = [argument.partition("=")[0] for argument in container["args"]]
    assert len(access_arguments(given)) == len(access_arguments(()))
    assert {port["name"] for port in container["ports"]} == {"grpc", "metrics", "images"}
    assert not any(variable["name"] == "IQ_ADMIN_KEY" for variable in container["env"])


def test_http_and_the_key_come_where_they_are_asked_for() -> None:
    objects = _render(VALUES["everything-on"])
    container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert "--http-address=0.0.0.0" in container["args"]
    (key,) = (v for v in container["env"] if v["name"] == "IQ_ADMIN_KEY")
    assert key["valueFrom"]["secretKeyRef"] == {"name": "admin", "key": "key"}
    assert "http" in {port["name"] for port in objects["Service"]["spec"]["ports"]}


def test_tls_comes_from_the_secret() -> None:
    pod = _server(VALUES["everything-on"])["spec"]
    container = pod["containers"][0]
    tls = [a for a in container["args"] if a.startswith("--grpc-") and "=/" in a]
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "tls")
    assert {argument.partition("=")[2].rpartition("/")[0] for argument in tls} == {
        mount["mountPath"]
    }
    assert "--grpc-use-ssl-mutual=true" in container["args"]
    one_sided = _container({"tls": {"existingSecret": "certificate"}})["args"]
    assert "--grpc-use-ssl=true" in one_sided
    assert not any("root-cert" in argument for argument in one_sided)


def test_every_pod_has_an_address_of_its_own() -> None:
    objects = _render(VALUES["everything-on"])
    service = objects["Service"]["spec"]
    assert service["clusterIP"] == "None"
    template = objects["Deployment"]["spec"]["template"]
    worker = objects["Job"]["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == ports
    for chosen in (
        service["selector"],
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(c["labelSelector"]["matchLabels"] for c in template["spec"]["topologySpreadConstraints"]),
    ):
        assert chosen.items() <= template["metadata"]["labels"].items()
        # Workers of a bulk run serve nobody.
        assert not chosen.items() <= worker.items()
    monitor = objects["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= (
        objects["Service"]["metadata"]["labels"].items()
    )


def test_labels_of_ones_own_do_not_replace_the_charts() -> None:
    template = _server(VALUES["everything-on"])["metadata"]
    assert template["labels"]["team"] == "photos"
    assert template["labels"]["app.kubernetes.io/name"] == "siamese-nima"
    assert template["annotations"] == {"kubectl.kubernetes.io/default-container": "other"}


def test_routes_lead_to_the_service() -> None:
    objects = _render(VALUES["everything-on"])
    service = objects["Service"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    (rule,) = objects["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": "grpc"}}
    (route,) = objects["GRPCRoute"]["spec"]["rules"]
    assert route["backendRefs"] == [{"name": backend["name"], "port": ports["grpc"]}]


def test_strangers_are_kept_out_by_default() -> None:
    policy = _render({})["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    peers = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert peers["grpc"] == [{"podSelector": {}}]
    assert peers.keys() == {"grpc", "metrics", "images"}
    assert not policy["egress"]
    fetching = _render(VALUES["models-from-s3"])["NetworkPolicy"]["spec"]["egress"]
    assert {port["port"] for rule in fetching for port in rule["ports"]} == {53, 443}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"archive": ARCHIVE}, {"archive": ARCHIVE | {"sha256": "1" * 64}}),
        ({"archive": ARCHIVE}, {"archive": ARCHIVE | {"url": "s3://bucket/2.tar"}}),
        ({"image": "models:1"}, {"image": "models:2"}),
        ({"existingClaim": "a", "revision": "1"}, {"existingClaim": "a", "revision": "2"}),
    ],
)
def test_pods_roll_when_the_models_change(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, same, other = (_server({"modelRepository": models}) for models in (first, first, second))
    assert one == same != other


def test_models_that_are_brought_lie_where_they_are_served() -> None:
    for name in ("gpu", "models-from-s3", "models-from-an-image"):
        mounts = {m["mountPath"]: m for m in _container(VALUES[name])["volumeMounts"]}
        assert mounts["/models"]["readOnly"]
    (fetch,) = _server(VALUES["models-from-s3"])["spec"]["initContainers"]
    assert {"name": "MODELS_FOLDER", "value": "/models"} in fetch["env"]
    assert fetch["args"] == [FETCH.read_text()]
    assert fetch["image"].endswith(f"@{DIGEST}")


@pytest.fixture
def archive() -> bytes:
    """A model repository in a tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        entry = tarfile.TarInfo("nima/config.pbtxt")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"name"))
    return file.getvalue()


Asked = list[tuple[str, dict[str, str]]]


@pytest.fixture
def store(archive: bytes) -> Iterator[tuple[str, Asked]]:
    """A server that has the archive, and what it was asked for."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
            self.send_response(200 if self.path == "/bucket/models.tar.gz" else 404)
            self.end_headers()
            self.wfile.write(archive)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def _fetch(folder: Path, url: str, sha256: str, **more: str) -> subprocess.CompletedProcess[str]:
    variables = {"MODELS_URL": url, "MODELS_SHA256": sha256, "MODELS_FOLDER": str(folder)}
    keep = {name: os.environ[name] for name in ("PATH",)}
    return subprocess.run(
        ["/bin/bash", "-c", FETCH.read_text()],
        env=keep | variables | more | {"TMPDIR": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_archive_is_fetched_and_checked(
    store: tuple[str, Asked], archive: bytes, tmp_path: Path
) -> None:
    url, _ = store
    folder = tmp_path / "models"
    folder.mkdir()
    good = hashlib.sha256(archive).hexdigest()
    for address, sha256, says in (
        (f"{url}/bucket/models.tar.gz", "0" * 64, "FAILED"),
        (f"{url}/bucket/other.tar.gz", good, "404"),
    ):
        done = _fetch(folder, address, sha256)
        assert done.returncode != 0
        assert says in done.stdout + done.stderr
        assert list(folder.iterdir()) == []
    done = _fetch(folder, f"{url}/bucket/models.tar.gz", good)
    assert done.returncode == 0, done.stderr
    assert (folder / "nima" / "config.pbtxt").read_text() == "name"
    assert list(tmp_path.iterdir()) == [folder]  # no half archive stays


def test_object_storage_is_asked_with_a_signature(
    store: tuple[str, Asked], archive: bytes, tmp_path: Path
) -> None:
    url, asked = store
    folder = tmp_path / "models"
    folder.mkdir()
    where = ("s3://bucket/models.tar.gz", hashlib.sha256(archive).hexdigest())
    without = _fetch(folder, *where, AWS_ENDPOINT_URL=url)
    assert without.returncode != 0
    assert "AWS_REGION" in without.stderr
    done = _fetch(
        folder,
        *where,
        AWS_ENDPOINT_URL=url,
        AWS_REGION="eu-west-1",
        AWS_ACCESS_KEY_ID="reader",
        AWS_SECRET_ACCESS_KEY="not/a+secret",
        AWS_SESSION_TOKEN="token",
    )
    assert done.returncode == 0, done.stderr
    ((path, headers),) = asked
    assert path == "/bucket/models.tar.gz"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=reader/")
    assert "/eu-west-1/s3/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token"
    assert (folder / "nima").is_dir()


def _asked_by_adapter(objects: dict[str, Document]) -> None:
    rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheus-adapter.yaml").read_text())
    metrics = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    asked = [metric["pods"]["metric"]["name"] for metric in metrics]
    assert asked == [rule["name"]["as"] for rule in rules]


def _asked_by_cpu(objects: dict[str, Document]) -> None:
    (metric,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"]["cpu"]


def _asked_by_keda(objects: dict[str, Document]) -> None:
    (trigger,) = objects["ScaledObject"]["spec"]["triggers"]
    name = objects["Deployment"]["metadata"]["name"]
    assert f'namespace="photos",pod=~"{name}-.*"' in trigger["metadata"]["query"]


@pytest.mark.parametrize(
    ("name", "kind", "judge"),
    [
        ("gpu", "HorizontalPodAutoscaler", _asked_by_adapter),
        ("models-from-s3", "HorizontalPodAutoscaler", _asked_by_cpu),
        ("everything-on", "ScaledObject", _asked_by_keda),
    ],
)
def test_the_autoscaler_asks_for_what_there_is(
    name: str, kind: str, judge: Callable[[dict[str, Document]], None]
) -> None:
    objects = _render(VALUES[name])
    scaler = objects[kind]["spec"]
    assert scaler["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
    assert "replicas" not in objects["Deployment"]["spec"]
    judge(objects)


def test_both_ports_with_metrics_are_scraped() -> None:
    objects = _render(VALUES["everything-on"])
    scraped = {endpoint["port"] for endpoint in objects["ServiceMonitor"]["spec"]["endpoints"]}
    assert scraped == {"metrics", "images"}
    ports = {port["name"] for port in objects["Service"]["spec"]["ports"]}
    assert scraped <= ports
    plain = yaml.safe_load((ROOT / "deploy/monitoring/prometheus-kubernetes.yml").read_text())
    (job,) = plain["scrape_configs"]
    kept = {tuple(rule["source_labels"]): rule["regex"] for rule in job["relabel_configs"]
            if rule.get("action") == "keep"}  # fmt: skip
    names = kept[("__meta_kubernetes_pod_container_port_name",)]
    assert {name for name in ports if re.fullmatch(names, name)} == scraped
    app = _server({})["metadata"]["labels"]["app.kubernetes.io/name"]
    assert kept[("__meta_kubernetes_pod_label_app_kubernetes_io_name",)] == app


def test_the_alerts_are_those_of_the_file() -> None:
    rule = _render(VALUES["everything-on"])["PrometheusRule"]["spec"]
    assert rule == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())


def test_workers_of_a_bulk_run_share_it_by_their_index() -> None:
    objects = _render(VALUES["everything-on"])
    job = objects["Job"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 64, 16)
    assert job["backoffLimitPerIndex"] == 3
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # Kubernetes wants it for backoffLimitPerIndex
    (container,) = pod["containers"]
    service = objects["Service"]
    port = {p["name"]: p["port"] for p in service["spec"]["ports"]}["grpc"]
    assert container["args"] == [
        "bulk", "s3://bucket/photos", "--output", "s3://bucket/scores",
        "--url", f"{service['metadata']['name']}.photos.svc:{port}", "--of", "64",
        "--ca", "/etc/iq/tls/ca.crt",
        "--certificate", "/etc/iq/tls/tls.crt", "--key", "/etc/iq/tls/tls.key",
        "--shard-size", "5000",
    ]  # fmt: skip
    # The servers' private key is not for workers.
    assert {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} == {
        "workers"
    }


def test_another_bulk_run_is_another_job() -> None:
    values = VALUES["everything-on"]
    names = {
        _render(values | {"bulk": values["bulk"] | more})["Job"]["metadata"]["name"]
        for more in ({}, {"input": "s3://bucket/more"})
    }
    assert len(names) == 2
