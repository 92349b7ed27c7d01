"""One model on several devices or machines: who computes which part of a batch, and who writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from siamese_nima.errors import ConfigError
from siamese_nima.train.pairs import FILLER

Indices = npt.NDArray[np.int64]

STRATEGIES: Final = {
    "none": "one device",
    "mirrored": "every GPU of this machine (MirroredStrategy)",
    "multi_worker": "several machines, as TF_CONFIG says (MultiWorkerMirroredStrategy)",
}


@dataclass(frozen=True, slots=True)
class Replicas:
    """Copies of a model that learn together, each from its part of every batch.

    Attributes:
        strategy: TensorFlow's.
        count: Copies, on all machines.
        local: Copies in this process.
        first: Number of this process's first copy.
    """

    strategy: tf.distribute.Strategy
    count: int
    local: int
    first: int

    @property
    def chief(self) -> bool:
        """True for the process that writes the run's folder."""
        return self.first == 0

    def local_share(self, batch_size: int) -> int:
        """Images of a batch that this process decodes."""
        return batch_size // self.count * self.local

    def local_places(self, count: int, batch_size: int) -> Indices:
        """Places of an epoch that are this process's part, batch by batch.

        The batches are the same as on one device, and neighbours at 2i and 2i + 1 stay together.
        The last batch is filled up, so that every copy has as many places.

        Args:
            count: Places of the epoch, on all machines.
            batch_size: Images a batch, divisible by twice the number of copies.

        Returns:
            Places 0…count - 1 or `FILLER`; all of them on one device.
        """
        places = np.arange(count)
        if self.count == 1:
            return places
        filled = np.full(-count % batch_size, FILLER)
        parts = np.concatenate([places, filled]).reshape(-1, self.count, batch_size // self.count)
        return np.asarray(parts[:, self.first : self.first + self.local].ravel(), np.int64)

    def run(self, function: Callable[..., Any], batch: Sequence[Any]) -> Any:
        """Runs a function on every copy, each with its part of this process's rows.

        Args:
            function: Made by `graph`.
            batch: Tensors, or tuples of them, whose first axis is `local_share` long.

        Returns:
            What the first copy here returned.
        """
        if self.count == 1:
            return function(*batch)

        def shared(each: Any) -> Any:
            parts = tf.split(each, self.local)
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group - self.first]
            )

        result = function(*tf.nest.map_structure(shared, list(batch)))
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0], result
        )

    def graph(self, function: Callable[..., Any], signature: Sequence[Any]) -> Any:
        """Compiles a function of one copy.

        Args:
            function: Called in the context of a copy.
            signature: What one copy is given.

        Returns:
            For `run`.
        """
        if self.count == 1:
            return tf.function(lambda *batch: self.strategy.run(function, batch), signature)
        return tf.function(lambda *batch: self.strategy.run(function, batch))

    def total(self, value: Any) -> Any:
        """The sum of a tensor, or of each in a list, over the copies; inside `graph` only."""
        if self.count == 1:
            return value
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def chief_value(self, value: float) -> float:
        """The chief's value of a number that every process has computed.

        Whoever decides by it decides alike, though machines may round differently.
        """
        if self.count == self.local:
            return value

        def first_only() -> Any:
            context = tf.distribute.get_replica_context()
            chief = context.replica_id_in_sync_group == 0
            return self.total(tf.where(chief, tf.constant(value, tf.float64), 0.0))

        results = self.strategy.run(tf.function(first_only))
        return float(self.strategy.experimental_local_results(results)[0])


def open_replicas(strategy: str) -> Replicas:
    """Finds the devices, and for several machines waits until all are there.

    Args:
        strategy: A key of `STRATEGIES`. Before `multi_worker` TensorFlow must not have been used in
            the process.

    Returns:
        The copies.

    Raises:
        ConfigError: The strategy is unknown, or TF_CONFIG does not say who the workers are.
    """
    if strategy == "none":
        return Replicas(tf.distribute.get_strategy(), count=1, local=1, first=0)
    if strategy == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Replicas(mirrored, count=len(devices), local=len(devices), first=0)
    if strategy != "multi_worker":
        raise ConfigError(f"strategy is {strategy!r}, not one of {', '.join(STRATEGIES)}")
    index = _worker_index(os.environ.get("TF_CONFIG", ""))
    workers = tf.distribute.MultiWorkerMirroredStrategy()
    count = workers.num_replicas_in_sync
    local = workers.extended.worker_devices
    return Replicas(workers, count=count, local=len(local), first=index * len(local))


def _worker_index(text: str) -> int:
    """This process's number among the workers of a TF_CONFIG."""
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        if task["type"] == "worker" and 0 <= int(task["index"]) < len(workers):
            return int(task["index"])
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(
        "strategy multi_worker needs the environment variable TF_CONFIG on every worker, such as "
        '\'{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
        '"task": {"type": "worker", "index": 0}}\'; it is ' + repr(text)
    )
