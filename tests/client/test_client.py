"""The client against a real Triton with the stand-in model, and over a transport of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.client.conftest import Mean
from tests.client.fakes import FakeTransport

from iq_client import (
    Client,
    ConnectError,
    DeadlineExceeded,
    Group,
    LocalServer,
    Score,
    ScoringError,
    ServerUnavailable,
    Source,
)
from iq_client.images import files
from iq_client.images.kinds import needs_decoder
from iq_client.ranking import probability_better


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    images=st.lists(st.binary(max_size=40), max_size=40),
    batch_size=st.integers(1, 70),
    max_request_bytes=st.integers(1, 200),
    in_flight=st.none() | st.integers(1, 5),
)
def test_every_image_its_score_in_order(
    stub_server: LocalServer,
    stub_mean: Mean,
    images: list[bytes],
    batch_size: int,
    max_request_bytes: int,
    in_flight: int | None,
) -> None:
    with Client(
        stub_server.url,
        batch_size=batch_size,
        max_request_bytes=max_request_bytes,
        in_flight=in_flight,
    ) as client:
        scores = client.score_images(images)
    assert [score.source for score in scores] == [f"image[{i}]" for i in range(len(images))]
    for score, data in zip(scores, images, strict=True):
        if needs_decoder(data):  # has been found: the magic number of JPEG XL
            assert score.error is not None
        elif data:
            assert score.mean == pytest.approx(stub_mean(data), abs=1e-5)
            assert sum(score.distribution) == pytest.approx(1, abs=1e-5)
        else:
            assert score.error is not None and score.error.code == "EMPTY"


def test_failed_images_do_not_cost_their_neighbours(
    stub_client: Client, stub_mean: Mean, tmp_path: Path
) -> None:
    items: list[Any] = [b"a", b"corrupt", tmp_path / "nothing.jpg", 5, b"", b"b"]
    scores = stub_client.score_images(items)
    codes = [score.error.code if score.error else None for score in scores]
    assert codes == [None, "UNREADABLE", "NOT_FOUND", "BAD_INPUT", "EMPTY", None]
    assert scores[0].mean == pytest.approx(stub_mean(b"a"), abs=1e-5)
    assert scores[5].mean == pytest.approx(stub_mean(b"b"), abs=1e-5)
    with pytest.raises(ScoringError, match=r"image\[1\]: UNREADABLE") as caught:
        stub_client.score_images(items, raise_on_error=True)
    assert caught.value.score == scores[1] or caught.value.score.source == "image[1]"


def test_nothing_is_fine(stub_client: Client, tmp_path: Path) -> None:
    assert stub_client.score_images([]) == []
    assert stub_client.score_images(tmp_path) == []
    assert stub_client.rank_images([]) == []


def test_a_folder_is_ranked(stub_client: Client, stub_mean: Mean, tmp_path: Path) -> None:
    contents = {str(tmp_path / f"{i}.jpg"): f"photo {i}".encode() for i in range(30)}
    for name, data in contents.items():
        Path(name).write_bytes(data)
    (tmp_path / "broken.jpg").write_bytes(b"corrupt")
    rows = stub_client.rank_images(tmp_path)
    expected = sorted(contents, key=lambda name: stub_mean(contents[name]), reverse=True)
    assert [row.score.source for row in rows] == [*expected, str(tmp_path / "broken.jpg")]
    assert rows[-1].rank is None
    assert stub_client.rank_images(tmp_path, top=3) == rows[:3]
    by_bound = stub_client.rank_images(tmp_path, key="lower_bound")[:-1]
    bounds = [row.score.mean - row.score.std for row in by_bound]
    assert bounds == sorted(bounds, reverse=True)


def test_groups(stub_server: LocalServer, tmp_path: Path) -> None:
    pytest.importorskip("imagehash")
    noise = np.random.default_rng(0)
    pictures = [
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((160, 160))
        for _ in range(3)
    ]
    for number, picture in enumerate(pictures):
        for quality in (30, 60, 90):
            picture.save(tmp_path / f"{number}_{quality}.jpg", quality=quality)
    (tmp_path / "9_broken.jpg").write_bytes(b"corrupt")

    def together(groups: list[Group]) -> set[frozenset[str]]:
        return {
            frozenset(Path(row.score.source).name[0] for row in group.images) for group in groups
        }

    with Client(stub_server.url, batch_size=2) as client:
        # A file object can be read once only: for the score and for the fingerprint.
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in sorted(tmp_path.iterdir())]
            groups = client.rank_groups(files)
        everything = client.rank_groups(tmp_path, grouping=lambda prints: [0] * len(prints))
        ranking = client.rank_images(tmp_path)
    assert [len(group.images) for group in groups] == [3, 3, 3, 1]
    assert together(groups) == {frozenset("0"), frozenset("1"), frozenset("2"), frozenset("9")}
    best = [group.best.score.mean for group in groups[:3]]
    assert best == sorted(best, reverse=True)
    assert everything == [Group(tuple(ranking))]


def test_scores_are_told_in_order(stub_client: Client) -> None:
    told: list[Score] = []
    scores = stub_client.score_images([str(i).encode() for i in range(50)], on_score=told.append)
    assert told == scores


def test_comparison(stub_client: Client) -> None:
    a, b = stub_client.score_images([b"a", b"b"])
    assert stub_client.compare(b"a", b"b") == probability_better(a, b)
    with pytest.raises(ScoringError):
        stub_client.compare(b"a", b"")


def test_an_iterable_that_raises_ends_the_call(stub_client: Client) -> None:
    def images() -> Iterator[bytes]:
        yield from (b"1", b"2")
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="gone"):
        stub_client.score_images(images())
    assert stub_client.score_images(b"3")[0].ok


def test_several_threads_share_a_client(stub_server: LocalServer, stub_mean: Mean) -> None:
    results: dict[int, list[Score]] = {}
    with Client(stub_server.url, batch_size=3) as client:

        def work(number: int) -> None:
            results[number] = client.score_images(f"{number}/{i}".encode() for i in range(100))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(6):
        assert [score.mean for score in results[number]] == pytest.approx(
            [stub_mean(f"{number}/{i}".encode()) for i in range(100)], abs=1e-5
        )


def test_the_batch_size_of_the_server_is_respected(stub_server: LocalServer) -> None:
    with Client(stub_server.url, batch_size=1000) as client:
        assert all(score.ok for score in client.score_images([b"x"] * 300))


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compression(stub_server: LocalServer, stub_mean: Mean, compression: Any) -> None:
    data = b"abc" * 100_000
    with Client(stub_server.url, compression=compression) as client:
        assert client.score_images(data)[0].mean == pytest.approx(stub_mean(data), abs=1e-5)


def test_a_large_image(stub_server: LocalServer, stub_mean: Mean) -> None:
    data = bytes(80 * 2**20)
    with Client(stub_server.url) as client:
        scores = client.score_images([b"1", data, b"2"])
    assert [score.mean for score in scores] == pytest.approx(
        [stub_mean(b"1"), stub_mean(data), stub_mean(b"2")], abs=1e-5
    )


def test_server_info(stub_client: Client, stub_server: LocalServer) -> None:
    info = stub_client.server_info()
    assert info.url == stub_server.url
    assert (info.server_name, info.model_name, info.model_versions) == ("triton", "nima", ("1",))
    assert info.max_batch_size == 64
    assert info.to_dict()["server_version"] == info.server_version


def test_nobody_answers() -> None:
    with Client("127.0.0.1:9") as client:
        with pytest.raises(ServerUnavailable, match="iq-client serve"):
            client.score_images(b"x")
        with pytest.raises(ConnectError):
            client.server_info()
        with pytest.raises(DeadlineExceeded, match="not ready after"):
            client.wait_until_ready(0.3)


def test_a_transport_takes_the_place_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    with Client(transport=FakeTransport()) as client:
        scores = client.score_images([b"1", tmp_path, tmp_path / "nothing.jpg"])
        assert client.urls == []
        assert client.server_info().server_name == "fake"
        client.wait_until_ready()
    assert [score.mean for score in scores[:2]] == [2.0, 4.0]
    assert scores[2].error is not None and scores[2].error.code == "NOT_FOUND"


def test_a_source_is_read_once_and_taken_as_it_is() -> None:
    reads = []

    def load() -> bytes:
        reads.append(1)
        return b"abc"

    with Client(transport=FakeTransport()) as client:
        assert client.score_images(Source("mine", load))[0].source == "mine"
        (score,) = client.score_images([Source("mine", load)])
    assert (score.source, score.mean, len(reads)) == ("mine", 4.0, 2)


def test_groups_read_every_photo_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagehash")
    for index in range(5):
        Image.new("RGB", (64, 64), (50 * index, 0, 0)).save(tmp_path / f"{index}.png")
    reads: list[str] = []
    read = files.read_file

    def counted(path: str) -> bytes:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(files, "read_file", counted)
    with Client(transport=FakeTransport()) as client:
        groups = client.rank_groups(tmp_path)
    assert sum(len(group.images) for group in groups) == 5
    assert sorted(reads) == sorted(map(str, tmp_path.iterdir()))
