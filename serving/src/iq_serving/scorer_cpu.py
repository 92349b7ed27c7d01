"""Triton's model of an ensemble's name for the configuration `embedded`: files in, scores out.

One process does the work of both steps, with the same answers; `preprocess_host` has the limits and
errors, `engines` the tower.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from . import preprocess_host as on_host  # first: it finds the packages that the others need
from .contract import IMAGE, PREPROCESS_MODEL, TOWER_OUTPUTS, ContractError
from .decoding import LOOK_SECONDS
from .engines import EngineError, open_engine
from .errors import ImageError
from .identity import parameters_of
from .layout import Place
from .scoring import Photo, Scorer


class TritonPythonModel(on_host.TritonPythonModel):
    """The interface that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the tower's version of this number beside what the decoding step reads.

        Args:
            args: Triton's.

        Raises:
            TritonModelException: The repository was put together from parts that do not fit, or
                the tower cannot be computed here as the configuration states.
        """
        super().initialize(args)
        parameters = parameters_of(args["model_config"])
        folder = Path(args["model_repository"]).parent / parameters["tower"]
        try:
            engine = open_engine(folder / args["model_version"], parameters)
        except (ContractError, EngineError) as error:
            super().finalize()
            raise pb_utils.TritonModelException(str(error)) from error
        self._scorer = Scorer(self._host, engine)
        self._senders: set[threading.Thread] = set()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Begins with every file of every request.

        Returns when a thread is about to be free: the next requests then come in time, and those
        behind them keep their turns in Triton's queue.

        Args:
            requests: Each with `IMAGE`, bytes [n,1].

        Returns:
            None for each: the response, of `DISTRIBUTION` fp32 [n,10], `MEAN` and `STD` fp32 [n,1]
            and `ERROR` bytes [n,1], is sent when its last photo is scored.
        """
        # All of them first: what cannot be read fails before anything has begun.
        batches = [
            pb_utils.get_input_tensor_by_name(request, IMAGE).as_numpy().reshape(-1)
            for request in requests
        ]
        for request, files in zip(requests, batches, strict=True):
            photos = [self._scorer.submit(file) for file in files]
            arguments = (request.get_response_sender(), partial(self._scores, photos))
            sender = threading.Thread(target=self._send, args=arguments, daemon=True)
            self._senders.add(sender)
            sender.start()
        self._host.wait_for_room()
        return [None] * len(requests)

    def _send(self, sender: Any, response: Callable[[], Any]) -> None:
        try:
            super()._send(sender, response)
        finally:
            self._senders.discard(threading.current_thread())

    def finalize(self) -> None:
        """Ends the threads when everything that was begun is answered."""
        for sender in list(self._senders):
            sender.join()
        super().finalize()

    def _scores(self, photos: list[Photo]) -> Any:
        """The response to a request, when its photos are scored."""
        tasks = [photo.task for photo in photos]
        while wait([task.future for task in tasks], LOOK_SECONDS).not_done:
            aside = [self._host.set_aside(task) for task in tasks]
            if all(aside):
                break
        outputs = {
            name: np.full((len(photos), size), np.nan, np.float32)
            for name, size in TOWER_OUTPUTS.items()
        }
        errors = [""] * len(photos)
        for row, photo in enumerate(photos):
            try:
                scores = self._scorer.result(photo)
            except ImageError as error:
                errors[row] = str(error)
                continue
            for values, found in zip(outputs.values(), scores, strict=True):
                values[row] = found
        self._counter.add(errors)
        tensors = [pb_utils.Tensor(name, values) for name, values in outputs.items()]
        return pb_utils.InferenceResponse([*tensors, on_host.error_tensor(errors)])

    def _counted_as(self, model: str) -> str:
        return Place(model).model(PREPROCESS_MODEL)
