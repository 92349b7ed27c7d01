"""The preprocessing of the configuration `tensorrt` in a real server, with a CPU for the GPU."""

from __future__ import annotations

import io
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tests.model_repository.slow import SLOW
from tests.repositories import as_ensemble

from iq_client import LocalServer, LocalServerError

pytest.importorskip("nvidia.nvimgcodec", reason="needs nvidia-nvimgcodec-cu13")

OUTPUTS = ("DISTRIBUTION", "MEAN", "STD", "ERROR")


def _without_gpu(model_repository: Path, folder: Path, device: str) -> Path:
    """A copy whose configuration `embedded` is what `tensorrt` is, without a GPU."""
    copy = as_ensemble(shutil.copytree(model_repository, folder / "repository"))
    configs = copy / "nima_preprocess" / "configs"
    text = (configs / "tensorrt.pbtxt").read_text()
    for old, new in (
        ("kind: KIND_GPU", "kind: KIND_CPU"),
        ('string_value: "cuda"', f'string_value: "{device}"'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (configs / "embedded.pbtxt").write_text(text)
    return copy


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "triton.log"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file; while it is there, marked files are not decoded."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def metrics_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def gpu_client(
    model_repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    log: Path,
    metrics_port: int,
    gate: Path,
) -> Iterator[triton.InferenceServerClient]:
    copy = _without_gpu(model_repository, tmp_path_factory.mktemp("gpu"), "cpu")
    with (copy / "nima_preprocess" / "1" / "model_gpu.py").open("a") as file:
        file.write(SLOW.format(closed=str(gate)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("IQ_METRICS_ADDRESS", f"127.0.0.1:{metrics_port}")
        # Without its own questions, which would be counted as well.
        with LocalServer(copy, log_file=log, hang_timeout=None) as server:
            yield triton.InferenceServerClient(server.url)


def _score(client: triton.InferenceServerClient, files: list[bytes]) -> dict[str, npt.NDArray[Any]]:
    tensor = triton.InferInput("IMAGE", [len(files), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(files, np.object_).reshape(-1, 1))
    result = client.infer("nima", [tensor])
    return {name: result.as_numpy(name) for name in OUTPUTS}


def test_scores_are_those_of_the_host(
    gpu_client: triton.InferenceServerClient, server: LocalServer, example_photos: list[Path]
) -> None:
    files = [path.read_bytes() for path in example_photos]
    found = _score(gpu_client, files)
    expected = _score(triton.InferenceServerClient(server.url), files)
    assert (found["ERROR"] == b"").all()
    # The host decodes large JPEGs at a reduced scale.
    assert np.abs(found["MEAN"] - expected["MEAN"]).max() <= 0.03


def test_one_bad_image_leaves_its_neighbours(
    gpu_client: triton.InferenceServerClient,
    server: LocalServer,
    example_photos: list[Path],
    log: Path,
    metrics_port: int,
) -> None:
    whole = example_photos[0].read_bytes()
    png = io.BytesIO()
    with Image.open(example_photos[0]) as photo:
        photo.save(png, "PNG")
    files = [whole, whole[: len(whole) // 2], b"", b"not an image", png.getvalue()]
    found = _score(gpu_client, files)
    expected = _score(triton.InferenceServerClient(server.url), files)
    np.testing.assert_array_equal(found["ERROR"], expected["ERROR"])
    codes = [text.decode().partition(":")[0] for text in found["ERROR"].reshape(-1)]
    assert codes == ["", "UNREADABLE", "EMPTY", "UNREADABLE", ""]
    for name in ("DISTRIBUTION", "MEAN", "STD"):
        assert np.isnan(found[name][1:4]).all()
        assert np.isfinite(found[name][[0, 4]]).all()
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as response:
        counts = response.read().decode()
    assert 'iq_images_total{code="UNREADABLE"} 2' in counts
    assert 'iq_images_total{code="EMPTY"} 1' in counts
    assert "the host decoded 2 files so far: 1 JPEG that is cut off, 1 PNG" in log.read_text()


def test_requests_that_wait_are_answered_each_with_its_own(
    gpu_client: triton.InferenceServerClient, example_photos: list[Path]
) -> None:
    files = [path.read_bytes() for path in example_photos[:6]]
    together = _score(gpu_client, files)["MEAN"]
    alone = [_score(gpu_client, [file])["MEAN"][0] for file in files]
    np.testing.assert_allclose(np.stack(alone), together, atol=1e-4)


def test_nobody_waits_for_files_that_the_host_decodes_for_long(
    gpu_client: triton.InferenceServerClient, example_photos: list[Path], gate: Path
) -> None:
    photo = example_photos[0].read_bytes()
    png = io.BytesIO()
    with Image.open(example_photos[1]) as image:
        image.save(png, "PNG")
    gate.touch()
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(_score, gpu_client, [photo, png.getvalue() + b"slow", photo])
            for files in ([photo], [png.getvalue()]):
                assert (_score(gpu_client, files)["ERROR"] == b"").all()
            assert not asked.done()
            gate.unlink()
            found = asked.result()
    finally:
        gate.unlink(missing_ok=True)
    assert (found["ERROR"] == b"").all()
    means = found["MEAN"].reshape(-1)
    expected = _score(gpu_client, [photo, png.getvalue()])["MEAN"].reshape(-1)
    assert abs(expected[0] - expected[1]) > 0.01
    np.testing.assert_allclose(means, expected[[0, 1, 0]], atol=1e-4)


def test_a_missing_package_is_named(model_repository: Path, tmp_path: Path) -> None:
    copy = _without_gpu(model_repository, tmp_path, "cuda")
    (copy / "nima_preprocess" / "1" / "cupy.py").write_text(
        "raise ImportError('No module named cupy')\n"
    )
    with pytest.raises(LocalServerError, match=r"pip install .* cupy-cuda13x"):
        LocalServer(copy).start()


def test_an_unknown_device_is_named(model_repository: Path, tmp_path: Path) -> None:
    copy = _without_gpu(model_repository, tmp_path, "tpu")
    with pytest.raises(LocalServerError, match="'tpu' is neither cuda nor cpu"):
        LocalServer(copy).start()
