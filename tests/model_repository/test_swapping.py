"""Towers that follow each other in a server that is being asked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import numpy_helper

from iq_client import Client, LocalServer, NotReadyError, RetryPolicy, Score
from iq_serving.contract import TOWER_FILE, Tower
from iq_serving.layout import Place
from iq_tools.repository import Statement, write_repository

pytestmark = pytest.mark.slow  # starts servers of its own

STREAMS: Final = 3
PHOTOS: Final = 6
EXPLICIT: Final = ("--model-control-mode=explicit", "--load-model=*")
# Towers of one request are told apart by far more than what the size of a batch changes.
SAME: Final = 1e-4

Distributions = list[tuple[float, ...]]


@pytest.fixture(scope="module")
def photos(example_photos: list[Path]) -> list[Path]:
    """A few photos."""
    return example_photos[:PHOTOS]


@pytest.fixture(scope="module")
def mirrored(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed tower with its ten votes in the reverse order."""
    model = onnx.load(model_repository / "nima_tower" / "1" / "model.onnx")
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers["DISTRIBUTION_unmasked"]
    while not {"Gemm", "MatMul"} & {node.op_type}:
        node = producers[node.input[0]]
    (kernel,) = (each for each in model.graph.initializer if each.name == node.input[1])
    flipped = np.ascontiguousarray(numpy_helper.to_array(kernel)[..., ::-1])
    kernel.CopyFrom(numpy_helper.from_array(flipped, kernel.name))
    path = tmp_path_factory.mktemp("mirrored") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def repository(model_repository: Path, tmp_path: Path) -> Path:
    """A copy of the committed repository."""
    return shutil.copytree(model_repository, tmp_path / "repository")


@contextmanager
def serving(repository: Path, *arguments: str) -> Iterator[LocalServer]:
    """A server; a test that its crash ends is skipped where the machine was too busy for it."""
    with LocalServer(
        repository,
        allow=("model-repository", "statistics"),
        hang_timeout=None,
        extra_arguments=arguments,
        startup_timeout=300,
    ) as server:
        try:
            yield server
        except Exception:
            if "interprocess::lock_exception" in server.log_path.read_text(errors="replace"):
                pytest.skip("Triton crashes where a model's process may not run for a second")
            raise


class Towers:
    """The answers of each tower, asked before any of them is swapped.

    Attributes:
        first: Distributions of the photos by the committed tower.
        second: By the mirrored one.
        labels: The names that their scores carry.
    """

    def __init__(self, repository: Path, server: LocalServer, photos: list[Path]) -> None:
        self._server = server
        self._photos = photos
        self.first, self.second = self.asked("nima"), self.asked("candidate")
        for one, other in zip(self.first, self.second, strict=True):
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 100 * SAME
        self.labels = [
            f"{tower.name}@{tower.sha256[:12]}"
            for tower in (
                Tower.read(repository / place.folder / TOWER_FILE)
                for place in (Place(), Place("candidate"))
            )
        ]
        assert self.labels[0] != self.labels[1]

    def asked(self, model: str, version: int | None = None) -> Distributions:
        """The distributions that a new client gets."""
        with Client(self._server.url, model=model, version=version) as client:
            return [s.distribution for s in client.score_images(self._photos, raise_on_error=True)]

    def of(self, row: int, score: Score) -> int:
        """The one of the two whose answer a score is, and that it says it is."""
        assert score.error is None
        found = [
            number
            for number, expected in enumerate((self.first[row], self.second[row]))
            if score.distribution == pytest.approx(expected, abs=SAME)
        ]
        assert len(found) == 1, "a score of neither tower"
        assert score.tower == self.labels[found[0]]
        return found[0]


@contextmanager
def streams(ask: Callable[[], list[Score]]) -> Iterator[Callable[[], list[list[Score]]]]:
    """Threads that ask without a pause; gives a function that waits for and takes their answers."""
    ended = threading.Event()
    answered = threading.Condition()
    answers: list[list[Score]] = []

    def stream() -> None:
        while not ended.is_set():
            scores = ask()
            with answered:
                answers.append(scores)
                answered.notify_all()

    def take() -> list[list[Score]]:
        with answered:
            begun = len(answers)
            # Those that were under way as well, and one of each stream that was not.
            answered.wait_for(lambda: len(answers) >= begun + 2 * STREAMS)
            taken = answers[:]
            answers.clear()
        return taken

    with ThreadPoolExecutor(STREAMS) as pool:
        running = [pool.submit(stream) for _ in range(STREAMS)]
        try:
            yield take
        finally:
            ended.set()
    for future in running:
        future.result()


def test_a_tower_is_tried_swapped_in_and_taken_back_under_load(
    repository: Path, mirrored: Path, photos: list[Path]
) -> None:
    with (
        serving(repository, *EXPLICIT) as server,
        triton.InferenceServerClient(server.url) as control,
        # Nothing that is refused is asked again: a gap would show.
        Client(server.url, batch_size=2, retry=RetryPolicy(attempts=1, timeouts=1)) as client,
        streams(lambda: client.score_images(photos)) as take,
    ):

        def load(ensemble: str) -> None:
            for step in ("nima_preprocess", "nima_tower", "nima"):
                control.load_model(Place(ensemble).model(step))

        take()
        write_repository(mirrored, repository, place=Place("candidate"))
        load("candidate")
        towers = Towers(repository, server, photos)

        def seen() -> list[int]:
            answers = take()
            assert all(len(answer) == len(photos) for answer in answers)
            return [towers.of(row, score) for answer in answers for row, score in enumerate(answer)]

        assert set(seen()) == {0}  # beside the candidate, and while it was being loaded

        version = Statement(version="2")
        write_repository(mirrored, repository, place=Place(version=2), statement=version)
        assert set(seen()) == {0}  # a repository that is written changes nothing yet
        load("nima")
        assert set(seen()) <= {0, 1}
        assert set(seen()) == {1}
        with pytest.raises(NotReadyError, match="`nima` in version 1"):
            towers.asked("nima", version=1)

        write_repository(repository / "nima_tower" / "1" / "model.onnx", repository)
        load("nima")
        assert set(seen()) <= {0, 1}
        assert set(seen()) == {0}
        for model in ("candidate", "candidate_tower", "candidate_preprocess"):
            control.unload_model(model)
        assert set(seen()) == {0}


def test_a_share_of_the_photos_goes_to_the_candidate(
    repository: Path, mirrored: Path, photos: list[Path]
) -> None:
    write_repository(mirrored, repository, place=Place("candidate"))
    with serving(repository) as server:
        towers = Towers(repository, server, photos)
        with Client(server.url) as client, Client(server.url, model="candidate") as candidate:
            for row, photo in enumerate(photos):
                chosen = candidate if row % 3 == 0 else client
                (score,) = chosen.score_images(photo)
                assert towers.of(row, score) == (row % 3 == 0)


def test_the_response_cache_never_gives_the_scores_of_another_tower(
    repository: Path, mirrored: Path, photos: list[Path]
) -> None:
    write_repository(mirrored, repository, place=Place("candidate"))
    arguments = (*EXPLICIT, f"--cache-config=local,size={2**22}")
    with (
        serving(repository, *arguments) as server,
        triton.InferenceServerClient(server.url) as control,
    ):

        def hits() -> int:
            (model,) = control.get_inference_statistics("nima").model_stats
            return int(model.inference_stats.cache_hit.count)

        towers = Towers(repository, server, photos)
        assert towers.asked("nima") == towers.first
        assert hits() == 1
        write_repository(mirrored, repository, place=Place(version=2))
        for model in ("nima_preprocess", "nima_tower", "nima"):
            control.load_model(model)
        assert towers.asked("nima") == [pytest.approx(each, abs=SAME) for each in towers.second]
        assert hits() == 0  # counted anew
        write_repository(repository / "nima_tower" / "1" / "model.onnx", repository)
        control.load_model("nima")
        assert towers.asked("nima") == towers.first
        assert hits() == 1  # the answers of before are those of this tower
