"""A model whose weights no longer change, run as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from siamese_nima.errors import SiameseNimaError

# From float32 pixels [N,H,W,3] to the model's outputs, in its order.
Runner = Callable[[npt.NDArray[np.float32]], list[npt.NDArray[Any]]]


def compile_frozen(model: keras.Model) -> Runner:
    """Makes a model ready to be run, and only run.

    On TensorFlow without a GPU it is ONNX Runtime that runs it, two to four times as fast there
    (`benchmarks/training/frozen.py`); elsewhere Keras does.

    Args:
        model: One input [N,H,W,3]; its weights are taken as they are now.

    Returns:
        A function of float32 pixels.

    Raises:
        SiameseNimaError: ONNX Runtime or tf2onnx is not installed.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            return _with_onnxruntime(model)
    outputs = len(model.outputs)

    def run(pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        computed = model.predict_on_batch(pixels)
        return [np.asarray(each) for each in ([computed] if outputs == 1 else computed)]

    return run


def _with_onnxruntime(model: keras.Model) -> Runner:
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise SiameseNimaError(
            f"{error.name} is not installed: pip install 'siamese-nima[distil]'"
        ) from error
    import tensorflow as tf

    function = tf.function(lambda pixels: model(pixels, training=False))
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="pixels")]
    # Convolutions want the channels first; with the input so there is nothing to transpose.
    graph, _ = tf2onnx.convert.from_function(
        function, signature, opset=17, inputs_as_nchw=["pixels"]
    )
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (name,) = (each.name for each in session.get_inputs())

    def run(pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return [np.asarray(each) for each in session.run(None, {name: channels_first})]

    return run
