"""Triton's model `…_preprocess`: encoded image files in, a tower's pixels out.

All files of all requests that wait are decoded together by `decoding` (decoders release the
interpreter's lock). A file that cannot be read becomes an `ERROR` and a NaN `MASK`; its neighbours
are decoded as if it were not there. Where a file takes long, its request is answered later, and all
others go on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils

from . import packages  # first: what follows needs Pillow
from .contract import (
    ERROR,
    IMAGE,
    MASK,
    PIXELS,
    PREPROCESS_MODEL,
    ContractError,
    Limits,
    pixels_of,
)
from .counter import Endpoint, ImageCounter
from .identity import check_versions, parameters_of
from .machine import keep_freed_memory, usable_cores

try:
    from .decoding import LOOK_SECONDS, HostDecoder, Task
    from .preprocessing import PREPROCESSING_VERSION, ImageError
except ModuleNotFoundError as error:
    if error.name != "PIL":
        raise
    raise ImportError(
        f"this server's Python has no Pillow. Where the repository is kept: pip install "
        f"--no-deps --only-binary=:all: --python-version {sys.version_info.major}."
        f"{sys.version_info.minor} --platform manylinux_2_28_x86_64 --target {packages.FOLDER} "
        f"pillow"
    ) from error

# `HOST:PORT` or `:PORT` where images are counted by the code of their ERROR, for Prometheus. Other
# ensembles of a repository have ports of their own: the variable with `_` and the model's name.
METRICS_VARIABLE: Final = "IQ_METRICS_ADDRESS"


class TritonPythonModel:
    """The interface that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the tower's size and this model's limits.

        Args:
            args: Triton's; `model_config` is JSON, `model_repository` this model's folder.

        Raises:
            TritonModelException: The repository was put together from parts that do not fit.
        """
        config = json.loads(args["model_config"])
        parameters = parameters_of(args["model_config"])
        folder = Path(args["model_repository"]).parent / parameters["tower"]
        try:
            tower = check_versions(folder, parameters)
        except ContractError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        if tower.preprocessing_version != PREPROCESSING_VERSION:
            raise pb_utils.TritonModelException(
                f"the tower of {folder} was trained with version "
                f"{tower.preprocessing_version} of the preprocessing, this is version "
                f"{PREPROCESSING_VERSION}; export the tower again or use the matching iq-tools"
            )
        output = pb_utils.get_output_config_by_name(config, PIXELS)
        if output and pixels_of(tower).dims != tuple(int(side) for side in output["dims"]):
            height, width = tower.image_size
            raise pb_utils.TritonModelException(
                f"{folder} says {height}x{width}, this model's configuration {output['dims']}; "
                f"write both with: iq-tools repository"
            )
        keep_freed_memory()
        self._host = HostDecoder(
            image_size=tower.image_size,
            interpolation=tower.interpolation,
            limits=Limits(
                max_bytes=int(parameters["max_bytes"]),
                max_pixels=int(parameters["max_pixels"]),
                max_seconds=float(parameters["max_seconds"]),
            ),
            threads=int(parameters["threads"]) or usable_cores(),
        )
        self._counter = ImageCounter()
        variable = metrics_variable(self._counted_as(config["name"]))
        address = os.environ.get(variable)
        self._metrics = _metrics_endpoint(self._counter, variable, address) if address else None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decodes every file of every request.

        Args:
            requests: Each with `IMAGE`, bytes [n,1].

        Returns:
            One response each: `PIXELS` uint8 [n,H,W,3], `MASK` fp32 [n,1], `ERROR` bytes [n,1];
            None where it is sent later.
        """
        pending = []
        for request in requests:
            files = pb_utils.get_input_tensor_by_name(request, IMAGE).as_numpy().reshape(-1)
            pending.append((request, [self._host.submit(file) for file in files]))
        return [
            self._respond(request, tasks, partial(self._response, tasks))
            for request, tasks in pending
        ]

    def _respond(self, request: Any, tasks: list[Task], response: Callable[[], Any]) -> Any:
        """The response to a request; None where a thread is going to send it."""
        while wait([task.future for task in tasks], LOOK_SECONDS).not_done:
            aside = [self._host.set_aside(task) for task in tasks]
            if all(aside):
                arguments = (request.get_response_sender(), response)
                threading.Thread(target=self._send, args=arguments, daemon=True).start()
                return None
        return response()

    def _response(self, tasks: list[Task]) -> Any:
        pixels = np.zeros((len(tasks), *self._host.image_size, 3), np.uint8)
        errors = [""] * len(tasks)
        for row, task in enumerate(tasks):
            try:
                pixels[row] = task.result()
            except ImageError as error:
                errors[row] = str(error)
        self._counter.add(errors)
        return respond(pb_utils.Tensor(PIXELS, pixels), errors)

    def _send(self, sender: Any, response: Callable[[], Any]) -> None:
        try:
            answer = response()
        except Exception as error:  # or nobody would ever answer
            answer = pb_utils.InferenceResponse(error=pb_utils.TritonError(repr(error)))
        sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _counted_as(self, model: str) -> str:
        """The decoding step whose images this model's are."""
        return model

    def finalize(self) -> None:
        """Ends the threads."""
        if self._metrics is not None:
            self._metrics.close()
        self._host.close()


def respond(pixels: Any, errors: list[str]) -> Any:
    """The response to one request.

    Args:
        pixels: The tensor `PIXELS`.
        errors: `CODE: text` of each image, empty where nothing is wrong.

    Returns:
        The tensor with `MASK` and `ERROR` of as many rows.
    """
    mask = np.array([np.nan if error else 1.0 for error in errors], np.float32)
    return pb_utils.InferenceResponse(
        [pixels, pb_utils.Tensor(MASK, mask.reshape(-1, 1)), error_tensor(errors)]
    )


def error_tensor(errors: list[str]) -> Any:
    """The tensor `ERROR` of so many images."""
    texts = np.array([error.encode() for error in errors], np.object_)
    return pb_utils.Tensor(ERROR, texts.reshape(-1, 1))


def metrics_variable(model: str) -> str:
    """The environment variable with the address that a model's images are counted at."""
    if model == PREPROCESS_MODEL:
        return METRICS_VARIABLE
    return f"{METRICS_VARIABLE}_{model.upper()}"


def _metrics_endpoint(counter: ImageCounter, variable: str, address: str) -> Endpoint:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal():
        raise pb_utils.TritonModelException(f"{variable} is {address!r}, not HOST:PORT or :PORT")
    return Endpoint(counter, host, int(port))
