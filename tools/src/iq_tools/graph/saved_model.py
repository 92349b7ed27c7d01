"""The SavedModel that training hands over, opened and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import PIXELS, TOWER_FILE, TOWER_OUTPUTS, ContractError, Tower
from iq_tools.errors import GraphError, InputError
from iq_tools.graph.parity import Scores

SIGNATURE: Final = "serving_default"


@dataclass(frozen=True, slots=True)
class ExportedTower:
    """A SavedModel that keeps to the contract.

    Attributes:
        tower: Its `tower.json`.
        signature: The TensorFlow function; takes `PIXELS` uint8 [N,H,W,3], returns a dict.
        owner: Keeps the variables behind the signature alive.
    """

    tower: Tower
    signature: Callable[..., Any]
    owner: object

    def score(self, pixels: npt.NDArray[np.uint8]) -> Scores:
        """Runs TensorFlow on uint8 [N,H,W,3]; fp32 arrays [N,10], [N,1], [N,1] by name."""
        import tensorflow as tf

        outputs = self.signature(**{PIXELS: tf.constant(pixels)})
        return {name: outputs[name].numpy() for name in TOWER_OUTPUTS}


def open_saved_model(folder: Path) -> ExportedTower:
    """Loads a SavedModel and checks its signature.

    Args:
        folder: What `siamese-nima export` wrote.

    Returns:
        The exported tower.

    Raises:
        InputError: The folder is no exported tower.
        GraphError: It is damaged, or its signature is not the contract's.
    """
    description = folder / "assets.extra" / TOWER_FILE
    if not (folder / "saved_model.pb").is_file() or not description.is_file():
        raise InputError(
            f"{folder} is no exported tower: that is a folder with saved_model.pb and assets.extra/"
            f"{TOWER_FILE}. Make one with: siamese-nima export --weights FILE --output FOLDER"
        )
    try:
        tower = Tower.parse(description.read_text(encoding="utf-8"), origin=str(description))
    except ContractError as error:
        raise GraphError(str(error)) from error
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise GraphError(f"{folder} is damaged: TensorFlow cannot load it ({error})") from error
    if SIGNATURE not in module.signatures:
        raise GraphError(
            f"{folder} has the signatures {sorted(module.signatures)}, not {SIGNATURE!r}"
        )
    signature = module.signatures[SIGNATURE]
    _check_signature(signature, tower, folder)
    return ExportedTower(tower=tower, signature=signature, owner=module)


def _check_signature(signature: Any, tower: Tower, folder: Path) -> None:
    inputs = {
        name: (spec.dtype.name, tuple(spec.shape))
        for name, spec in signature.structured_input_signature[1].items()
    }
    outputs = {
        name: (spec.dtype.name, tuple(spec.shape))
        for name, spec in signature.structured_outputs.items()
    }
    wanted_inputs = {PIXELS: ("uint8", (None, *tower.image_size, 3))}
    wanted_outputs = {name: ("float32", (None, size)) for name, size in TOWER_OUTPUTS.items()}
    for kind, found, wanted in (
        ("inputs", inputs, wanted_inputs),
        ("outputs", outputs, wanted_outputs),
    ):
        if found != wanted:
            raise GraphError(
                f"the {kind} of {folder} are {found}, but the serving contract and its "
                f"{TOWER_FILE} say {wanted}"
            )
