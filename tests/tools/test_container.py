"""The container, as far as it can be judged without building it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import promql_parser
import pytest
import yaml

from iq_client import Client, LocalServer
from iq_client.bulk.report import Tally
from iq_client.local.server import MALLOC_THRESHOLDS
from iq_serving import machine
from iq_serving.counter import METRIC, ImageCounter
from iq_serving.gpu_pixels import GPU_PACKAGES

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "helm" / "siamese-nima" / "files" / "alerts.yaml"
# The stock image gives Python and numpy, requirements.in the rest.
ABSENT_IN_CONTAINER = (
    "tensorflow",
    "tf2onnx",
    "keras",
    "tritonclient",
    "siamese_nima",
    "iq_client",
)


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    sources = set(re.findall(r"^COPY (\S+) \S+$", dockerfile, re.M))
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_keeps_memory_as_the_embedded_server_does() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    wanted = {name: str(size) for name, size in machine.MALLOC_THRESHOLDS.items()}
    assert dict(re.findall(r"(MALLOC_\w+)=(\d+)", dockerfile)) == wanted == MALLOC_THRESHOLDS


@pytest.mark.parametrize(
    "dockerfile", ["Dockerfile", "deploy/container/client.Dockerfile", "deploy/ray/Dockerfile"]
)
def test_a_dockerfile_is_clean(dockerfile: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / dockerfile], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_checks_its_health_by_an_inference() -> None:
    """`test_health.py` shows what the check sees."""
    check = re.search(
        r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M
    )
    assert check is not None
    program, *arguments = json.loads(check.group(1))
    assert program == "python3"
    assert arguments == ["-m", "iq_tools.health", "--end", "1"]


def test_the_image_offers_no_port_that_is_shut() -> None:
    (ports,) = re.findall(r"^EXPOSE (.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert "8000" not in ports.split()
    triton = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["triton"]
    published = [port.split(":") for port in triton["ports"]]
    assert {inside for _, _, inside in published} < set(ports.split())
    assert {address for address, _, _ in published} == {"127.0.0.1"}


def test_the_base_image_has_nvidias_fixes_and_one_version_everywhere() -> None:
    (version,) = re.findall(r"^ARG TRITON=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert version >= "26.07"
    page = (ROOT / "docs" / "guides" / "deployment.md").read_text()
    assert set(re.findall(r"tritonserver:([\d.]+)-py3", page)) == {version}


@pytest.mark.parametrize(
    "dockerfile", ["deploy/container/client.Dockerfile", "deploy/ray/Dockerfile"]
)
def test_the_other_images_copy_what_their_context_keeps(dockerfile: str) -> None:
    text = (ROOT / dockerfile).read_text()
    ignored = (ROOT / f"{dockerfile}.dockerignore").read_text()
    kept = {line[1:] for line in ignored.splitlines() if line[:1] == "!"}
    copied = re.findall(r"^COPY (?:--chown=\S+ )?([^-].*) \S+$", text, re.M)
    assert {source for line in copied for source in line.split()} == kept
    assert all((ROOT / source).exists() for source in kept)


def test_the_image_of_the_client_installs_from_the_lock(tmp_path: Path) -> None:
    """The build context is enough for uv to take the lock as it is."""
    ignored = (ROOT / "deploy/container/client.Dockerfile.dockerignore").read_text()
    for source in (line[1:] for line in ignored.splitlines() if line[:1] == "!"):
        target = tmp_path / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target)
        else:
            shutil.copy(ROOT / source, target)
    uv = next(ROOT.glob(".uv/*/bin/uv"))
    done = subprocess.run(
        [uv, "sync", "--locked", "--no-default-groups", "--package", "iq-client", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tritonclient" in done.stderr
    assert "tensorflow" not in done.stderr


def test_every_requirement_is_pinned_with_hashes() -> None:
    text = (ROOT / "deploy/container/requirements.txt").read_text()
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", text, re.M
    )
    assert all(hashes for _, hashes in entries)
    wanted = re.findall(
        r"^([a-z]+)>=", (ROOT / "deploy/container/requirements.in").read_text(), re.M
    )
    assert set(wanted) <= {name for name, _ in entries}


def test_the_image_has_the_packages_of_the_gpu() -> None:
    wanted = (ROOT / "deploy/container/requirements.in").read_text().splitlines()
    assert [line for line in wanted if line in GPU_PACKAGES] == list(GPU_PACKAGES)
    # Nothing else for a GPU stands there.
    named = {line for line in wanted if re.match("nvidia-|cupy-|fastrlock", line)}
    assert named == set(GPU_PACKAGES)


def test_the_page_names_the_packages_of_the_gpu() -> None:
    page = (ROOT / "docs" / "guides" / "gpu.md").read_text()
    (command,) = re.findall(r"^pip install (.*?)^```", page, re.DOTALL | re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[words.index("pillow") + 1 :] == list(GPU_PACKAGES)


def test_the_entrypoint_imports_only_what_the_image_has() -> None:
    script = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT_IN_CONTAINER!r}:
            raise ImportError(f"{{name}} is not in the image")
sys.meta_path.insert(0, Absent())
import iq_tools.cli, iq_tools.health, iq_tools.serve
import iq_tools.tensorrt.builders, iq_tools.tensorrt.make
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_compose_mounts_files_that_exist() -> None:
    mounted = re.findall(r"- \./(\S+?):", (ROOT / "compose.yaml").read_text())
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


def test_prometheus_asks_where_images_are_counted() -> None:
    address = re.search(r'IQ_METRICS_ADDRESS: ":(\d+)"', (ROOT / "compose.yaml").read_text())
    assert address is not None
    assert f'"triton:{address[1]}"' in (ROOT / "deploy/monitoring/prometheus.yml").read_text()


def test_prometheus_has_the_charts_alerts_and_their_job() -> None:
    settings = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (rules,) = settings["rule_files"]
    (source,) = (
        volume.split(":")[0]
        for volume in compose["services"]["prometheus"]["volumes"]
        if f"/{rules}:" in volume
    )
    assert (ROOT / source) == ALERTS
    (job,) = settings["scrape_configs"]
    assert set(re.findall(r'job="([^"]+)"', ALERTS.read_text())) == {job["job_name"]}


def _expressions() -> dict[str, str]:
    """Queries to Prometheus, by the dashboard and by the alerts."""
    dashboard = json.loads(
        (ROOT / "deploy/monitoring/grafana/dashboards/siamese-nima.json").read_text()
    )
    return {
        "dashboard": "\n".join(
            target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
        ),
        "alerts": "\n".join(
            rule["expr"]
            for group in yaml.safe_load(ALERTS.read_text())["groups"]
            for rule in group["rules"]
        ),
    }


@pytest.mark.parametrize("who", ["dashboard", "alerts"])
def test_prometheus_understands_what_it_is_asked(who: str) -> None:
    for expression in _expressions()[who].splitlines():
        promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def test_every_alert_fires_for_the_server_it_is_about() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which comes with Prometheus, is not on the PATH")
    rules = Path(__file__).with_name("alerts_test.yaml")
    done = subprocess.run(
        [promtool, "test", "rules", rules], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_trial_of_the_alerts_leaves_none_out() -> None:
    tried = yaml.safe_load(Path(__file__).with_name("alerts_test.yaml").read_text())
    names = {
        trial["alertname"]
        for case in tried["tests"]
        for trial in case["alert_rule_test"]
        if trial["exp_alerts"]
    }
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert names == {rule["alert"] for rule in rules}


@pytest.mark.parametrize("who", ["dashboard", "alerts"])
def test_prometheus_is_asked_for_metrics_that_the_server_has(
    who: str, ensemble_server: LocalServer, example_photos: list[Path]
) -> None:
    asked = set(re.findall(r"\b(?:nv|iq)_[a-z_]+", _expressions()[who]))
    with Client(ensemble_server.url) as client:
        client.score_images(example_photos[:1], raise_on_error=True)
    with urllib.request.urlopen(ensemble_server.metrics_url) as response:
        text = response.read().decode() + ImageCounter().text()
    text += Tally(0).to_prometheus()  # of bulk runs, through the node exporter
    offered = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    assert METRIC in asked
    # The GPU's metrics exist only where there is one.
    assert {name for name in asked if not name.startswith("nv_gpu_")} <= offered


def test_alerts_tell_apart_by_labels_that_the_metrics_have(ensemble_server: LocalServer) -> None:
    with urllib.request.urlopen(ensemble_server.metrics_url) as response:
        text = response.read().decode()
    for metric in ("nv_inference_request_success", "nv_inference_request_failure"):
        assert re.search(rf'^{metric}{{[^}}]*model="nima"', text, re.M)
    assert re.search(r'^nv_inference_queue_duration_us{[^}]*model="nima_tower"', text, re.M)
