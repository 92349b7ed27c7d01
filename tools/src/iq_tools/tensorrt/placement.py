"""The place of a plan in a model repository, where the configuration `tensorrt` looks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from iq_serving.contract import ENSEMBLE_MODEL, PLAN_FILE, PREPROCESS_MODEL
from iq_serving.layout import Place, served_place
from iq_tools.copies import copy_repository
from iq_tools.tensorrt.plan import GRAPH_SUM, REPORT_SUFFIX

# Triton's `--model-config-name`: it takes `configs/tensorrt.pbtxt` of every model that has one.
CONFIG_NAME: Final = "tensorrt"


def plan_path(repository: Path, ensemble: str = ENSEMBLE_MODEL) -> Path:
    """The plan's file for the tower that an ensemble serves; its report lies beside it."""
    return repository / served_place(repository, ensemble).folder / PLAN_FILE


def gpu_preprocessing(repository: Path, ensemble: str = ENSEMBLE_MODEL) -> Path:
    """The configuration that decodes on the GPU; without it Triton takes the default one."""
    model = Place(ensemble).model(PREPROCESS_MODEL)
    return repository / model / "configs" / f"{CONFIG_NAME}.pbtxt"


def drop_plan_of_another(folder: Path, onnx_sha256: str) -> bool:
    """Removes a plan that another graph was built into, or of which nothing is known.

    Args:
        folder: The tower's version folder.
        onnx_sha256: Sum of the graph that is to be served.

    Returns:
        Whether there was one.
    """
    plan = folder / PLAN_FILE
    if not plan.exists():
        return False
    report = plan.with_suffix(REPORT_SUFFIX)
    if report.exists() and json.loads(report.read_text()).get(GRAPH_SUM) == onnx_sha256:
        return False
    plan.unlink()
    report.unlink(missing_ok=True)
    return True


def lay_out(
    repository: Path, plans: Mapping[str, Path], work: Path, *, decode_on_gpu: bool
) -> Path:
    """Copies a model repository and links plans into the copy.

    Args:
        repository: The given one, left unchanged.
        plans: A plan's file for each ensemble.
        work: Where to make it; its own folder in there is made anew.
        decode_on_gpu: Whether the configuration `tensorrt` decodes there, or the host does.

    Returns:
        The folder to serve.
    """
    served = copy_repository(repository, work)
    for ensemble, plan in plans.items():
        target = plan_path(served, ensemble)
        target.unlink(missing_ok=True)
        target.symlink_to(plan.resolve())
        if not decode_on_gpu:
            gpu_preprocessing(served, ensemble).unlink(missing_ok=True)
    return served
