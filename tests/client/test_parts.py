"""The client's parts that need no server: packing, order, retries, concurrency, the contract."""

from __future__ import annotations

import io
import itertools
import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iq_client.limit import InFlightLimit
from iq_client.packing import pack
from iq_client.protocol import (
    BadResponse,
    check_contract,
    decode_response,
    encode_request,
)
from iq_client.retry import RetryPolicy
from iq_client.shrink import shrink
from PIL import Image
from tritonclient.grpc import service_pb2

from iq_client.errors import ContractError, ScoringError
from iq_client.ranking import probability_better, rank
from iq_client.results import ImageError, Score

# ---- packing ----


@given(
    images=st.lists(st.binary(max_size=12)),
    max_images=st.integers(1, 8),
    max_bytes=st.integers(1, 30),
)
def test_packing(images: list[bytes], max_images: int, max_bytes: int) -> None:
    batches = list(pack(enumerate(images), max_images, max_bytes))
    assert [item for batch in batches for item in batch] == list(enumerate(images))
    for batch in batches:
        assert 1 <= len(batch) <= max_images
        assert len(batch) == 1 or sum(len(data) for _, data in batch) <= max_bytes
    for batch, following in itertools.pairwise(batches):  # no batch is closed too early
        size = sum(len(data) for _, data in batch)
        assert len(batch) == max_images or size + len(following[0][1]) > max_bytes


def test_packing_reads_one_image_ahead() -> None:
    numbers = itertools.count()
    next(pack(((number, b"x") for number in numbers), 4, 100))
    assert next(numbers) == 5


# ---- ranking ----

votes = st.lists(st.floats(0.01, 1), min_size=10, max_size=10).map(
    lambda weights: tuple(weight / sum(weights) for weight in weights)
)


def score_of(name: str, distribution: tuple[float, ...]) -> Score:
    mean = sum(i * p for i, p in enumerate(distribution, start=1))
    variance = sum((i - mean) ** 2 * p for i, p in enumerate(distribution, start=1))
    return Score(name, mean, math.sqrt(variance), distribution)


FAILED = Score.failed("broken", ImageError("EMPTY", "no bytes"))
some_scores = st.lists(
    st.one_of(votes.map(lambda distribution: score_of("a", distribution)), st.just(FAILED))
)


@given(some_scores, st.sampled_from(["mean", "lower_bound"]), st.none() | st.integers(0, 20))
def test_ranking(scores: list[Score], key: str, top: int | None) -> None:
    everything = rank(scores, key=key)  # type: ignore[arg-type]
    assert sorted(map(repr, scores)) == sorted(repr(row.score) for row in everything)
    good = [row for row in everything if row.score.ok]
    assert everything[: len(good)] == good
    assert [row.rank for row in everything] == [
        *range(1, len(good) + 1),
        *[None] * (len(everything) - len(good)),
    ]
    keys = [getattr(row.score, key) for row in good]
    assert keys == sorted(keys, reverse=True)
    assert rank(scores, top=top, key=key) == everything[:top]  # type: ignore[arg-type]


def test_equal_scores_keep_their_order() -> None:
    scores = [score_of(name, (0.1,) * 10) for name in "cab"]
    assert [row.score.source for row in rank(scores)] == ["c", "a", "b"]


def test_ranking_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="top"):
        rank([], top=-1)
    with pytest.raises(ValueError, match="lower_bound"):
        rank([], key="median")  # type: ignore[arg-type]


@given(votes, votes)
def test_comparison(p: tuple[float, ...], q: tuple[float, ...]) -> None:
    a, b = score_of("a", p), score_of("b", q)
    expected = sum(
        x * y * (1.0 if i > j else 0.5 if i == j else 0.0)
        for i, x in enumerate(p)
        for j, y in enumerate(q)
    )
    assert probability_better(a, b) == pytest.approx(expected)
    assert probability_better(a, b) + probability_better(b, a) == pytest.approx(1)
    assert probability_better(a, a) == pytest.approx(0.5)


def test_comparison_of_opposites() -> None:
    best, worst = score_of("a", (0.0,) * 9 + (1.0,)), score_of("b", (1.0,) + (0.0,) * 9)
    assert (probability_better(best, worst), probability_better(worst, best)) == (1, 0)
    with pytest.raises(ScoringError, match="broken: EMPTY"):
        probability_better(best, FAILED)


# ---- retries ----


@given(
    first=st.floats(0, 10),
    multiplier=st.floats(1, 10),
    maximum=st.floats(0, 20),
    jitter=st.floats(0, 1),
)
def test_delays(first: float, multiplier: float, maximum: float, jitter: float) -> None:
    policy = RetryPolicy(first_delay=first, multiplier=multiplier, max_delay=maximum, jitter=jitter)
    delays = list(itertools.islice(policy.delays(random.Random(0)), 40))
    unspread = [min(first * multiplier**i, maximum) for i in range(40)]
    for delay, longest in zip(delays, unspread, strict=True):
        assert longest * (1 - jitter) <= delay * (1 + 1e-9) + 1e-12
        assert delay <= longest * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"timeouts": 0}, {"first_delay": -1}, {"multiplier": 0.5}, {"jitter": 2}],
)
def test_a_policy_refuses_nonsense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"give|jitter|delays"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


# ---- concurrency ----


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def settled_width(capacity: int) -> int:
    """Where the gate comes to rest at a server that answers `capacity` requests in parallel."""
    clock = Clock()
    limit = InFlightLimit(clock=clock)
    widths = []
    for _ in range(200):
        width = limit.width
        for _ in range(width):
            limit.acquire()
        limit._saturated = True  # as where another request waits at the gate
        clock.now += max(width / capacity, 1.0)
        for _ in range(width):
            limit.release(8)
        widths.append(width)
    return max(set(widths[100:]), key=widths[100:].count)


@pytest.mark.parametrize("capacity", [5, 8, 12])
def test_the_gate_finds_what_the_server_can_do(capacity: int) -> None:
    assert abs(settled_width(capacity) - capacity) <= 1


def test_the_gate_has_a_bound() -> None:
    assert settled_width(1000) == InFlightLimit().maximum


def test_overload_halves_the_gate() -> None:
    limit = InFlightLimit()
    for expected in (2, 1, 1):
        limit.acquire()
        limit.release(0, overloaded=True)
        assert limit.width == expected


def test_a_gate_that_nobody_queues_at_stays() -> None:
    clock = Clock()
    limit = InFlightLimit(clock=clock)
    before = limit.width
    for _ in range(100):
        limit.acquire()
        clock.now += 1.0
        limit.release(8)
    assert limit.width == before


@given(st.integers(1, 32), st.lists(st.booleans(), max_size=50))
def test_a_fixed_gate_stays(width: int, overloads: list[bool]) -> None:
    limit = InFlightLimit(width)
    for overloaded in overloads:
        limit.acquire()
        limit.release(1, overloaded=overloaded)
    assert limit.width == limit.maximum == width


def test_a_gate_needs_a_width() -> None:
    with pytest.raises(ValueError, match="in_flight"):
        InFlightLimit(0)


# ---- the contract ----


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


fp32 = st.floats(0, 10, width=32)
served = st.one_of(
    st.builds(Score, st.just("a"), fp32, fp32, st.lists(fp32, min_size=10, max_size=10).map(tuple)),
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


GOOD = score_of("a", (0.1,) * 10)


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
    with pytest.raises(BadResponse):
        decode_response(response, ["a", "b"])


@pytest.mark.parametrize("name", ["MEAN", "STD", "DISTRIBUTION"])
def test_neither_score_nor_error(name: str) -> None:
    response = response_with([GOOD])
    index = [output.name for output in response.outputs].index(name)
    content = response.raw_output_contents[index]
    response.raw_output_contents[index] = struct.pack("<f", math.nan) + content[4:]
    with pytest.raises(BadResponse, match="neither"):
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


# ---- shrinking ----


def jpeg(size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    long_side=st.integers(1, 250),
    orientation=st.sampled_from([1, 6, 8]),
)
def test_shrinking(width: int, height: int, long_side: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg((width, height), exif=exif, icc_profile=b"a profile")
    small = shrink(data, long_side)
    if max(width, height) <= long_side:
        assert small is data
        return
    picture = Image.open(io.BytesIO(small))
    assert max(picture.size) == long_side
    assert picture.size[0] / long_side == pytest.approx(width / max(width, height), abs=1)
    assert picture.getexif().get(0x0112, 1) == orientation
    assert picture.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("data", [b"", b"no image", jpeg((100, 100))[:200]])
def test_what_cannot_be_shrunk_is_sent_as_it_is(data: bytes) -> None:
    assert shrink(data, 10) is data


def test_lossless_files_are_sent_as_they_are() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (100, 100)).save(buffer, "PNG")
    assert shrink(buffer.getvalue(), 10) == buffer.getvalue()
