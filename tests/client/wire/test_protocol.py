"""Requests, responses and the contract."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.faulty import description
from tritonclient.grpc import model_config_pb2, service_pb2

from iq_client.errors import ContractError, RequestFailed
from iq_client.results import ImageError, Score
from iq_client.wire.protocol import (
    check_contract,
    decode_response,
    encode_request,
    tower_identities,
)


def elements(content: bytes) -> list[bytes]:
    found = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


@given(st.lists(st.binary(), min_size=1))
def test_requests_hold_the_bytes(images: list[bytes]) -> None:
    request = service_pb2.ModelInferRequest.FromString(encode_request(images, "id-1"))
    assert (request.model_name, request.id) == ("nima", "id-1")
    assert [(t.name, t.datatype, list(t.shape)) for t in request.inputs] == [
        ("IMAGE", "BYTES", [len(images), 1])
    ]
    assert len(request.raw_input_contents) == 1
    assert elements(request.raw_input_contents[0]) == images


def test_large_requests_hold_the_bytes() -> None:
    images = [bytes(size) for size in (1, 200, 20_000, 3_000_000)]
    request = service_pb2.ModelInferRequest.FromString(encode_request(images, ""))
    assert elements(request.raw_input_contents[0]) == images


def response_with(
    scores: list[Score], order: tuple[str, ...] = ("MEAN", "ERROR", "STD", "DISTRIBUTION")
) -> service_pb2.ModelInferResponse:
    """The server's side of `decode_response`."""
    errors = [str(score.error).encode() if score.error else b"" for score in scores]
    nan = (math.nan,) * 10
    contents = {
        "MEAN": struct.pack(f"<{len(scores)}f", *(score.mean for score in scores)),
        "STD": struct.pack(f"<{len(scores)}f", *(score.std for score in scores)),
        "DISTRIBUTION": b"".join(
            struct.pack("<10f", *(score.distribution or nan)) for score in scores
        ),
        "ERROR": b"".join(struct.pack("<I", len(error)) + error for error in errors),
    }
    response = service_pb2.ModelInferResponse()
    for name in order:
        width = 10 if name == "DISTRIBUTION" else 1
        datatype = "BYTES" if name == "ERROR" else "FP32"
        response.outputs.add(name=name, datatype=datatype, shape=[len(scores), width])
        response.raw_output_contents.append(contents[name])
    return response


def as_fp32(values: Iterable[float]) -> tuple[float, ...]:
    """Numbers as a tensor has them."""
    return tuple(np.asarray(list(values), np.float32).tolist())


votes = st.lists(st.integers(0, 1000), min_size=10, max_size=10).filter(any)


served = st.one_of(
    st.builds(
        Score,
        st.just("a"),
        st.floats(1, 10, width=32),
        st.floats(0, 4.5, width=32),
        votes.map(lambda counts: as_fp32(count / sum(counts) for count in counts)),
    ),
    st.builds(
        lambda code, text: Score.failed("a", ImageError(code, text)),
        st.sampled_from(["EMPTY", "UNREADABLE"]),
        st.text(st.characters(codec="utf-8")),
    ),
)


@given(st.lists(served, min_size=1), st.permutations(["MEAN", "ERROR", "STD", "DISTRIBUTION"]))
def test_responses_are_read(scores: list[Score], order: list[str]) -> None:
    found = decode_response(response_with(scores, tuple(order)), ["a"] * len(scores))
    assert list(map(repr, found)) == list(map(repr, scores))  # NaN is equal to nothing


GOOD = Score("a", 5.5, 2.87, (0.1,) * 10)


@given(st.data())
def test_damaged_responses_are_refused(data: st.DataObject) -> None:
    response = response_with([GOOD, GOOD])
    index = data.draw(st.integers(0, 3))
    kind = data.draw(st.sampled_from(["shape", "datatype", "content", "missing", "length"]))
    if kind == "shape":
        response.outputs[index].shape[0] += data.draw(st.sampled_from([-1, 1, 100]))
    elif kind == "datatype":
        response.outputs[index].datatype = "FP16"
    elif kind == "content":
        content = response.raw_output_contents[index]
        response.raw_output_contents[index] = data.draw(
            st.sampled_from([content[:-1], content + b"x", b"", content * 2])
        )
    elif kind == "missing":
        del response.outputs[index], response.raw_output_contents[index]
    else:
        del response.raw_output_contents[index]
    with pytest.raises(RequestFailed, match="BAD_RESPONSE"):
        decode_response(response, ["a", "b"])


@pytest.mark.parametrize("name", ["MEAN", "STD", "DISTRIBUTION"])
def test_neither_score_nor_error(name: str) -> None:
    response = response_with([GOOD])
    index = [output.name for output in response.outputs].index(name)
    content = response.raw_output_contents[index]
    response.raw_output_contents[index] = struct.pack("<f", math.nan) + content[4:]
    with pytest.raises(RequestFailed, match="neither"):
        decode_response(response, ["a"])


def contract() -> service_pb2.ModelMetadataResponse:
    metadata = service_pb2.ModelMetadataResponse(name="nima")
    metadata.inputs.add(name="IMAGE", datatype="BYTES", shape=[-1, 1])
    for name, datatype, width in (
        ("DISTRIBUTION", "FP32", 10),
        ("MEAN", "FP32", 1),
        ("STD", "FP32", 1),
        ("ERROR", "BYTES", 1),
    ):
        metadata.outputs.add(name=name, datatype=datatype, shape=[-1, width])
    return metadata


def test_the_contract_is_kept() -> None:
    metadata = contract()
    metadata.outputs.add(name="ATTENTION", datatype="FP32", shape=[-1, 7, 7])
    check_contract(metadata)


def test_every_difference_is_told() -> None:
    metadata = contract()
    metadata.outputs[0].shape[1] = 5
    metadata.outputs[1].datatype = "FP16"
    del metadata.outputs[2]
    metadata.inputs.add(name="MASK", datatype="FP32", shape=[-1, 1])
    with pytest.raises(ContractError) as caught:
        check_contract(metadata)
    for part in ("DISTRIBUTION is FP32 [-1, 5]", "MEAN is FP16", "STD is missing", "MASK"):
        assert part in str(caught.value)


def test_an_error_of_a_code_that_is_not_in_the_contract() -> None:
    response = response_with([GOOD])
    index = [output.name for output in response.outputs].index("ERROR")
    text = b"HAUNTED: the photo stares back"
    response.raw_output_contents[index] = struct.pack("<I", len(text)) + text
    (score,) = decode_response(response, ["a"])
    assert score.error is not None and score.error.code == "BAD_RESPONSE"
    assert "HAUNTED: the photo stares back" in score.error.message


def test_every_version_of_an_ensemble_has_its_tower() -> None:
    config = model_config_pb2.ModelConfig(name="nima")
    assert tower_identities(config) == {}
    config.parameters["tower"].string_value = "nima_tower"
    for number in (2, 10):
        text = description(f"tower {number}")
        config.parameters[f"tower.{number}"].string_value = text
    found = tower_identities(config)
    assert {version: tower.name for version, tower in found.items()} == {
        "2": "tower 2",
        "10": "tower 10",
    }


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("MEAN", [0.5]),
        ("MEAN", [10.5]),
        ("STD", [-1.0]),
        ("STD", [5.0]),
        ("DISTRIBUTION", [0.2] * 10),
        ("DISTRIBUTION", [0.0] * 10),
        ("DISTRIBUTION", [1.5, -0.5, *[0.0] * 8]),
    ],
)
def test_a_score_that_cannot_be_is_refused(name: str, values: list[float]) -> None:
    response = response_with([GOOD])
    index = [output.name for output in response.outputs].index(name)
    response.raw_output_contents[index] = struct.pack(f"<{len(values)}f", *values)
    with pytest.raises(RequestFailed, match="a score that cannot be"):
        decode_response(response, ["a"])
