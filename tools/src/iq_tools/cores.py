"""The default configuration's tower on a CPU: instances of one thread each, one for every core.

The threads of ONNX Runtime's pool spin, wait for the slowest of them after every operator, and are
as many as the machine has cores, whatever quota the container has. Triton's backend can turn none
of it off. An instance of one thread has no pool: several of them share the cores as processes do,
for a lone photo's being computed on one core only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from iq_serving.contract import PREPROCESS_MODEL, TOWER_MODEL
from iq_serving.layout import Place
from iq_tools.copies import copy_repository

# For a machine that is not known yet: two fill a small one, and two on a GPU copy and compute at
# once. `iq-tools serve` counts.
INSTANCES: Final = 2


def turns(share: int) -> str:
    """The part of the cores that an instance holds where the rate limiter has the steps take turns.

    Args:
        share: One for each thread; the decoding step holds as many as the tower's instances do
            together.
    """
    return f'rate_limiter {{ resources [ {{ name: "cores" count: {share} }} ] }}'


def tower_instances(count: int = INSTANCES, kind: str = "KIND_AUTO") -> str:
    """The default tower's `instance_group`: so many instances, of a thread each on a CPU."""
    return f"instance_group [ {{ count: {count} kind: {kind} {turns(1)} }} ]"


def one_process(towers: int = INSTANCES) -> str:
    """The `instance_group` of one process on all cores, beside so many instances of a tower."""
    return f"instance_group [ {{ count: 1 kind: KIND_CPU {turns(towers)} }} ]"


def lay_out_for_cores(
    repository: Path, ensembles: Iterable[str], work: Path, cores: int
) -> Path | None:
    """Copies a model repository and gives its towers an instance for each core.

    Args:
        repository: The given one, left unchanged.
        ensembles: Names of its ensembles.
        work: Where to make the copy.
        cores: Instances of each tower.

    Returns:
        The folder to serve; None where every configuration states instances of its own.

    Raises:
        InputError: The copy cannot be written.
    """
    steps = {
        TOWER_MODEL: (tower_instances(), tower_instances(cores, "KIND_CPU")),
        PREPROCESS_MODEL: (one_process(), one_process(cores)),
    }
    changed = {}
    for place in map(Place, ensembles):
        for step, (written, counted) in steps.items():
            config = Path(place.model(step), "config.pbtxt")
            text = (repository / config).read_text(encoding="utf-8")
            if written in text:
                changed[config] = text.replace(written, counted)
    if not changed:
        return None
    served = copy_repository(repository, work)
    for config, text in changed.items():
        (served / config).write_text(text, encoding="utf-8")
    return served
