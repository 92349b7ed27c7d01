"""A tower's ONNX graph, run in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from iq_serving.contract import MASK, PIXELS, TOWER_OUTPUTS
from iq_tools.errors import GraphError
from iq_tools.graph.parity import Scores


class OnnxTower:
    """ONNX Runtime in f32, on the CPU where nothing else is asked for."""

    def __init__(
        self,
        graph: bytes | Path,
        *,
        threads: int = 0,
        provider: str = "CPUExecutionProvider",
    ) -> None:
        """Loads the graph.

        Args:
            graph: The serialised graph, or its file.
            threads: Threads per operator; 0 for one per core.
            provider: ONNX Runtime's name of what computes.

        Raises:
            GraphError: ONNX Runtime refuses the graph.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph,
                options,
                providers=[provider],
            )
        except Exception as error:  # its exceptions have no base of their own
            origin = graph if isinstance(graph, Path) else "the graph"
            raise GraphError(f"ONNX Runtime refuses {origin}: {error}") from error

    def score(
        self,
        pixels: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.float32] | None = None,
    ) -> Scores:
        """Scores pixels.

        Args:
            pixels: uint8 [N,H,W,3].
            mask: fp32 [N,1]; None for ones.

        Returns:
            `DISTRIBUTION` [N,10], `MEAN` [N,1] and `STD` [N,1], fp32.
        """
        if mask is None:
            mask = np.ones((len(pixels), 1), np.float32)
        names = list(TOWER_OUTPUTS)
        values = self._session.run(names, {PIXELS: pixels, MASK: mask})
        return dict(zip(names, values, strict=True))
