"""Photos to scores: through the server, without one, and the way of the project's model.

    python benchmarks/serving.py PHOTO_OR_FOLDER… [--rounds 5] [--count 256]

Three contenders in turns, on the same photos and cores:

- `served`: the embedded server asked by the SDK;
- `raw`: the same decoding and the same engine in one process without a server, every core busy
  with both, in several layouts of which the quickest counts;
- `seed`: Keras' `predict` with InceptionResNetV2 on one photo at a time, decoded in full.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from measure import figure, in_turns, machine, ratio, table, versions

from iq_client import Client, LocalServer
from iq_serving.contract import MASK, ONNX_FILE, PIXELS, TOWER_FILE, TOWER_MODEL, VERSION, Tower
from iq_serving.machine import keep_freed_memory, usable_cores
from iq_serving.preprocessing import load_pixels
from iq_tools.photos import photo_files

REPOSITORY = Path(__file__).parent.parent / "model_repository"
PACKAGES = ("pillow", "onnxruntime", "nvidia-pytriton", "tritonclient", "tensorflow-cpu", "keras")
SERVED, SEED = "served", "seed"
RAW = "raw"

Pixels = npt.NDArray[np.uint8]


class Raw:
    """Decoding and engine in this process."""

    def __init__(self, repository: Path, threads: int) -> None:
        folder = repository / TOWER_MODEL / VERSION
        self._tower = Tower.read(folder / TOWER_FILE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / ONNX_FILE), options, providers=["CPUExecutionProvider"]
        )

    def decode(self, path: str) -> Pixels:
        """Pixels of a file, uint8 [H,W,3]."""
        return load_pixels(
            Path(path).read_bytes(),
            image_size=self._tower.image_size,
            interpolation=self._tower.interpolation,
        )

    def score(self, pixels: Sequence[Pixels]) -> None:
        """Runs the engine on a batch."""
        mask = np.ones((len(pixels), 1), np.float32)
        self._session.run(None, {PIXELS: np.stack(pixels), MASK: mask})

    def together(self, paths: Sequence[str], batch: int, workers: int) -> None:
        """Workers that decode a batch and score it on their own core."""
        batches = [paths[start : start + batch] for start in range(0, len(paths), batch)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda part: self.score([self.decode(path) for path in part]), batches))

    def overlapped(self, paths: Sequence[str], batch: int, workers: int) -> None:
        """Workers that decode ahead of an engine on all cores."""
        with ThreadPoolExecutor(workers) as pool:
            pixels = pool.map(self.decode, paths)
            while part := list(itertools.islice(pixels, batch)):
                self.score(part)


def seed_process(pipe: Connection) -> None:
    """Scores the paths that come through a pipe as the project that this one began with did."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import keras

    backbone = keras.applications.InceptionResNetV2(
        input_shape=(224, 224, 3), include_top=False, weights=None, pooling="avg"
    )
    output = keras.layers.Dense(10, activation="softmax")(backbone.output)
    model = keras.Model(backbone.input, output)
    normalise = keras.applications.inception_resnet_v2.preprocess_input
    while paths := pipe.recv():
        for path in paths:
            photo = keras.utils.load_img(path, target_size=(224, 224))
            pixels = normalise(keras.utils.img_to_array(photo))
            model.predict(pixels[np.newaxis], batch_size=1, verbose=0)
        pipe.send(len(paths))


def measure(paths: Sequence[str], *, rounds: int, seed_count: int) -> str:
    """Runs the contenders; returns a Markdown section.

    Args:
        paths: Photos, all of which every contender scores in a round.
        rounds: Rounds that count.
        seed_count: Of how many photos the slowest contender's time is taken; 0 leaves it out.
    """
    keep_freed_memory()
    cores = usable_cores()
    alone, shared = Raw(REPOSITORY, 1), Raw(REPOSITORY, cores)
    contenders: dict[str, tuple[Callable[[], object], int]] = {
        f"{RAW}: {cores} workers, batches of {batch}": (
            partial(alone.together, paths, batch, cores),
            len(paths),
        )
        for batch in (1, 4)
    }
    contenders |= {
        f"{RAW}: {cores} decoders before the engine, batches of 16": (
            lambda: shared.overlapped(paths, 16, cores),
            len(paths),
        )
    }
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    seed = context.Process(target=seed_process, args=(theirs,), daemon=True)
    if seed_count:
        seed.start()
        chosen = list(paths[:: max(len(paths) // seed_count, 1)])[:seed_count]

        def ask_seed() -> None:
            ours.send(chosen)
            ours.recv()

        contenders[SEED] = (ask_seed, len(chosen))
    with LocalServer(REPOSITORY) as server, Client(server.url) as client:
        contenders[SERVED] = (
            lambda: client.score_images(paths, raise_on_error=True),
            len(paths),
        )
        results = in_turns(contenders, rounds)
    if seed_count:
        ours.send([])
        seed.join()
    served = results[SERVED]
    limit = min(
        (result for name, result in results.items() if name.startswith(RAW)),
        key=lambda result: result.milliseconds,
    )
    rows = [
        (name, f"{result.per_second:.2f}", f"{result.milliseconds:.1f}")
        for name, result in results.items()
    ]
    text = table(("contender", "photos/s", "ms per photo"), rows)
    text += figure("served / raw limit", f"{ratio(limit, served):.2f}", "0.95")
    if seed_count:
        text += figure("served / seed", f"{ratio(results[SEED], served):.1f}x", "25x")
    return text


def chosen_paths(given: Sequence[Path], count: int) -> list[str]:
    """The given files and the photos of given folders, repeated until there are enough."""
    found = [
        str(path) for entry in given for path in (photo_files(entry) if entry.is_dir() else [entry])
    ]
    return list(itertools.islice(itertools.cycle(found), count))


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--count", type=int, default=384, help="photos of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed-count", type=int, default=8, help="0 leaves the seed's way out")
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    paths = chosen_paths(arguments.photos, arguments.count)
    print(measure(paths, rounds=arguments.rounds, seed_count=arguments.seed_count))


if __name__ == "__main__":
    main()
