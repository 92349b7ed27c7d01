"""The committed repository in a real server, asked without the SDK."""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tests.repositories import as_ensemble
from tests.serving.files import scans
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client import Client, LocalServer, RetryPolicy
from iq_serving.preprocessing import load_pixels
from iq_tools.graph.runner import OnnxTower

OUTPUTS = ("DISTRIBUTION", "MEAN", "STD", "ERROR")


@pytest.fixture(scope="module")
def client(server: LocalServer) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(server.url)


def _photo(seed: int, size: tuple[int, int] = (500, 333), kind: str = "JPEG") -> bytes:
    """A soft random picture: unlike noise it survives compression."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def _input(files: list[bytes]) -> triton.InferInput:
    tensor = triton.InferInput("IMAGE", [len(files), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(files, np.object_).reshape(-1, 1))
    return tensor


def _score(client: triton.InferenceServerClient, files: list[bytes]) -> dict[str, npt.NDArray[Any]]:
    result = client.infer("nima", [_input(files)])
    return {name: result.as_numpy(name) for name in OUTPUTS}


@pytest.mark.parametrize("model", ["nima", "nima_preprocess", "nima_tower"])
def test_the_three_models_are_ready(ensemble_server: LocalServer, model: str) -> None:
    assert triton.InferenceServerClient(ensemble_server.url).is_model_ready(model)


@pytest.mark.parametrize("model", ["nima_preprocess", "nima_tower"])
def test_the_embedded_server_needs_no_steps(
    client: triton.InferenceServerClient, model: str
) -> None:
    assert client.is_model_ready("nima")
    assert not client.is_model_ready(model)


def test_one_process_scores_as_the_ensemble_of_the_steps_does(
    client: triton.InferenceServerClient,
    ensemble_server: LocalServer,
    example_photos: list[Path],
) -> None:
    photos = [path.read_bytes() for path in example_photos]
    whole = photos[0]
    bad = [b"", whole[: len(whole) // 2], b"not an image"]
    files = [*photos[:3], *bad, *photos[3:]]
    found = _score(client, files)
    expected = _score(triton.InferenceServerClient(ensemble_server.url), files)
    np.testing.assert_array_equal(found["ERROR"], expected["ERROR"])
    assert (found["ERROR"] != b"").sum() == len(bad)
    assert np.nanstd(expected["MEAN"]) > 0.1
    for name in ("DISTRIBUTION", "MEAN", "STD"):
        assert found[name].shape == expected[name].shape
        assert np.isnan(found[name][3:6]).all()
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, rtol=0)


def test_scores_are_those_of_the_graph_on_the_same_pixels(
    client: triton.InferenceServerClient, model_repository: Path
) -> None:
    tower = json.loads((model_repository / "nima_tower" / "1" / "tower.json").read_text())
    files = [_photo(seed, kind=kind) for seed, kind in enumerate(("JPEG", "PNG", "WEBP", "JPEG"))]
    pixels = np.stack(
        [
            load_pixels(
                file,
                image_size=tuple(tower["image_size"]),
                interpolation=tower["interpolation"],
            )
            for file in files
        ]
    )
    expected = OnnxTower(model_repository / "nima_tower" / "1" / "model.onnx").score(pixels)
    found = _score(client, files)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, rtol=0)
    assert (found["ERROR"] == b"").all()


def test_one_corrupt_image_leaves_its_neighbours_scored(
    client: triton.InferenceServerClient,
) -> None:
    good = [_photo(1), _photo(2)]
    whole = _photo(3)
    cut = whole[: len(whole) // 2]
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "EPS")
    files = [good[0], cut, b"", b"not an image", buffer.getvalue(), good[1]]
    found = _score(client, files)
    codes = [text.decode().partition(":")[0] for text in found["ERROR"].reshape(-1)]
    assert codes == ["", "UNREADABLE", "EMPTY", "UNREADABLE", "UNSUPPORTED", ""]
    alone = _score(client, good)
    for name in ("DISTRIBUTION", "MEAN", "STD"):
        assert np.isnan(found[name][1:5]).all()
        np.testing.assert_allclose(found[name][[0, 5]], alone[name], atol=1e-4, rtol=0)


def test_a_file_beyond_the_limit_is_refused_before_it_is_decoded(
    client: triton.InferenceServerClient,
) -> None:
    buffer = io.BytesIO()
    # One bit a pixel compresses to almost nothing: what a decompression bomb looks like.
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    found = _score(client, [buffer.getvalue(), _photo(1)])
    assert found["ERROR"][0, 0].startswith(b"TOO_LARGE: 20000x20000 pixels")
    assert found["ERROR"][1, 0] == b""


def test_a_jpeg_of_twenty_thousand_scans_costs_its_neighbours_nothing(server: LocalServer) -> None:
    good = [_photo(seed) for seed in range(15)]
    once = RetryPolicy(attempts=1, timeouts=1)
    with Client(server.url, batch_size=16, retry=once) as client:
        alone = [score.mean for score in client.score_images(good, raise_on_error=True)]
        *scored, endless = client.score_images([*good, scans(20_000)])
    assert endless.error is not None
    assert endless.error.code == "TOO_LARGE"
    assert len(set(alone)) > 1
    assert [score.mean for score in scored] == pytest.approx(alone, abs=1e-4)


def test_requests_that_break_the_protocol_are_refused_and_cost_nobody_a_score(
    server: LocalServer, client: triton.InferenceServerClient
) -> None:
    photo = _photo(1)
    element = struct.pack("<I", len(photo)) + photo
    broken: list[tuple[str, str, str, list[int], bytes]] = [
        ("nima", "IMAGE", "BYTES", [1, 1], element[:-5]),
        ("nima", "IMAGE", "BYTES", [1, 1], element + b"more"),
        ("nima", "IMAGE", "BYTES", [1, 1], b"\xff\xff\xff\xff" + photo),
        ("nima", "IMAGE", "BYTES", [1, 1], b""),
        ("nima", "IMAGE", "BYTES", [2, 1], element),
        ("nima", "IMAGE", "BYTES", [1, 2], element * 2),
        ("nima", "IMAGE", "BYTES", [-1, 1], element),
        ("nima", "IMAGE", "BYTES", [2**62, 4], element),
        ("nima", "IMAGE", "BYTES", [65, 1], element * 65),
        ("nima", "IMAGE", "UINT8", [1, 4], b"abcd"),
        ("nima", "PHOTO", "BYTES", [1, 1], element),
        ("none", "IMAGE", "BYTES", [1, 1], element),
        ("nima_tower", "PIXELS", "UINT8", [1, 1, 1, 3], bytes(3)),
    ]
    codes = set()
    before = _score(client, [photo])["MEAN"]
    with grpc.insecure_channel(server.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for model, name, datatype, shape, content in broken:
            request = service_pb2.ModelInferRequest(model_name=model)
            request.inputs.add(name=name, datatype=datatype, shape=shape)
            request.raw_input_contents.append(content)
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request, timeout=300)
            codes.add(caught.value.code().name)
    assert codes <= {"INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL"}
    np.testing.assert_allclose(_score(client, [photo])["MEAN"], before, atol=1e-4)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def counted() -> int:
    """A port for the counts of images."""
    return _free_port()


@pytest.fixture
def counting(
    model_repository: Path, counted: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalServer]:
    """The committed repository with a cache, and counts."""
    monkeypatch.setenv("IQ_METRICS_ADDRESS", f"127.0.0.1:{counted}")
    arguments = ("--cache-config=local,size=16777216",)
    with LocalServer(
        model_repository,
        allow=("statistics",),
        hang_timeout=None,
        extra_arguments=arguments,
    ) as server:
        yield server


def test_a_cache_answers(counting: LocalServer) -> None:
    client = triton.InferenceServerClient(counting.url)
    first = _score(client, [_photo(1)])
    again = _score(client, [_photo(1)])
    for name in OUTPUTS:
        np.testing.assert_array_equal(first[name], again[name])
    statistics = client.get_inference_statistics("nima", as_json=True)["model_stats"][0]
    assert int(statistics["inference_stats"]["cache_hit"]["count"]) == 1


def test_images_are_counted_by_code(counting: LocalServer, counted: int) -> None:
    client = triton.InferenceServerClient(counting.url)

    def count() -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{counted}/metrics") as response:
            text = response.read().decode()
        return {
            code: int(number)
            for code, number in re.findall(r'^iq_images_total{code="(\w+)"} (\d+)$', text, re.M)
        }

    before = count()
    _score(client, [_photo(1), b"", b"", _photo(2), _photo(3)])
    after = count()
    assert {code: after[code] - before.get(code, 0) for code in ("OK", "EMPTY")} == {
        "OK": 3,
        "EMPTY": 2,
    }


def test_priorities_are_accepted(
    client: triton.InferenceServerClient,
) -> None:
    for priority in (0, 1, 2):
        result = client.infer("nima", [_input([_photo(1)])], priority=priority)
        assert result.as_numpy("ERROR")[0, 0] == b""


def test_packages_beside_the_model_are_found(model_repository: Path, tmp_path: Path) -> None:
    copy = as_ensemble(shutil.copytree(model_repository, tmp_path / "repository"))
    packages = copy / "nima_preprocess" / "site-packages"
    packages.mkdir()
    (packages / "only_beside_the_model.py").write_text("")
    preprocessing = copy / "nima_preprocess" / "1" / "iq_serving" / "preprocessing.py"
    source = preprocessing.read_text()
    preprocessing.write_text(
        source.replace("import io\n", "import io\nimport only_beside_the_model\n", 1)
    )
    with LocalServer(copy) as server:
        assert triton.InferenceServerClient(server.url).is_model_ready("nima")
