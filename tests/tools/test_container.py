"""The container, as far as it can be judged without building it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from iq_client import LocalServer
from iq_client.local.server import MALLOC_THRESHOLDS
from iq_serving import machine
from iq_serving.counter import METRIC, ImageCounter
from iq_serving.gpu_pixels import GPU_PACKAGES

ROOT = Path(__file__).resolve().parents[2]
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


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (400, False)])
def test_the_health_check_asks_whether_the_models_are_ready(status: int, healthy: bool) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    check = re.search(
        r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M
    )
    assert check is not None
    program, *arguments = json.loads(check.group(1))
    assert program == "python3"
    with HTTPServer(("127.0.0.1", 0), Handler) as triton:
        threading.Thread(target=triton.serve_forever, daemon=True).start()
        command = [part.replace(":8000/", f":{triton.server_port}/") for part in arguments]
        done = subprocess.run([sys.executable, *command], stderr=subprocess.DEVNULL, check=False)
        triton.shutdown()
    assert asked == ["/v2/health/ready"]
    assert (done.returncode == 0) == healthy


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
import iq_tools.cli, iq_tools.serve, iq_tools.tensorrt.builders, iq_tools.tensorrt.make
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


def test_the_dashboard_asks_for_metrics_that_the_server_has(server: LocalServer) -> None:
    dashboard = json.loads(
        (ROOT / "deploy/monitoring/grafana/dashboards/siamese-nima.json").read_text()
    )
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:nv|iq)_[a-z_]+", target["expr"])
    }
    with urllib.request.urlopen(server.metrics_url) as response:
        text = response.read().decode() + ImageCounter().text()
    offered = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    assert METRIC in asked
    # The GPU's metrics exist only where there is one.
    assert {name for name in asked if not name.startswith("nv_gpu_")} <= offered
