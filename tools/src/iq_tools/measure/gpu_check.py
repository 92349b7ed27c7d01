"""Speed of decode, tower and server on a GPU, beside the peak that it reaches."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import shape_inference

from iq_serving.contract import (
    LIMITS,
    MAX_BATCH_SIZE,
    MEAN,
    PLAN_FILE,
    Tower,
)
from iq_serving.decoding import HostDecoder
from iq_serving.gpu_pixels import Device, GpuDecoder
from iq_tools.errors import InputError, MissingToolError
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.tower import graph_of, read_tower
from iq_tools.measure.perf import Sweep, measure
from iq_tools.measure.timing import rate
from iq_tools.photos import photo_files
from iq_tools.tensorrt.gpu import open_device, require_gpu
from iq_tools.tensorrt.make import make_plan
from iq_tools.tensorrt.plan import Builder, PlanOptions

_CUDA_PROVIDER: Final = "CUDAExecutionProvider"
_MATRIX: Final = 8192
_PRODUCTS: Final = 10
# Of a server: enough in flight to keep a GPU busy.
_SERVER_SWEEP: Final = Sweep(batches=(16,), concurrencies=(8,), requests=200)


@dataclass(frozen=True, slots=True)
class Decoding:
    """Speed of decoding files to pixels.

    Attributes:
        on_gpu: Images per second on the device.
        on_host: Images per second of the host's preprocessing, on all its cores.
        left_to_host: Files that the device left to the host, of those decoded once.
        difference: Mean difference of the pixels between the two, in levels.
    """

    on_gpu: float
    on_host: float
    left_to_host: int
    difference: float


def matmul_peak(device: Device, seconds: float) -> float:
    """FLOP/s of square FP16 matrix products, which no tower can exceed.

    Args:
        device: Where to multiply.
        seconds: For how long.

    Returns:
        Floating point operations per second.
    """
    with device.scope():
        matrix = device.arrays.ones((_MATRIX, _MATRIX), np.float16)

        def multiply() -> int:
            for _ in range(_PRODUCTS):
                matrix @ matrix
            device.synchronize()
            return _PRODUCTS

        return rate(multiply, seconds) * 2 * _MATRIX**3


def measure_decoding(
    device: Device,
    files: Sequence[bytes],
    tower: Tower,
    seconds: float,
    *,
    batch: int = MAX_BATCH_SIZE,
) -> Decoding:
    """Decodes photos on a device and on the host.

    Args:
        device: Where to decode.
        files: Encoded photos, taken in turn.
        tower: Gives size and interpolation.
        seconds: For how long each.
        batch: Files at a time.

    Returns:
        The measurement.

    Raises:
        InputError: A photo cannot be read.
    """
    threads = len(os.sched_getaffinity(0))
    host = HostDecoder(
        image_size=tower.image_size,
        interpolation=tower.interpolation,
        limits=LIMITS,
        threads=threads,
    )
    with closing(host):
        decoder = GpuDecoder(device, host)

        def decode_all(encoded: Sequence[bytes]) -> list[npt.NDArray[np.uint8]]:
            return [task.result() for task in [host.submit(file) for file in encoded]]

        decoded = [
            decoder.decode(files[start : start + batch]) for start in range(0, len(files), batch)
        ]
        left_to_host = decoder.on_host.total()
        errors = [error for _, found in decoded for error in found if error]
        if errors:
            raise InputError(f"{len(errors)} photos cannot be read, such as: {errors[0]}")
        seen = np.concatenate([device.to_host(pixels) for pixels, _ in decoded])
        expected = decode_all(files)
        turns = itertools.cycle(files)

        def next_batch() -> list[bytes]:
            return list(itertools.islice(turns, batch))

        def decode_on_gpu() -> int:
            return len(decoder.decode(next_batch())[1])

        def decode_on_host() -> int:
            return len(decode_all(next_batch()))

        return Decoding(
            on_gpu=rate(decode_on_gpu, seconds),
            on_host=rate(decode_on_host, seconds),
            left_to_host=left_to_host,
            difference=float(np.abs(seen.astype(np.int16) - np.stack(expected)).mean()),
        )


def count_operations(onnx_file: Path) -> int:
    """Floating point operations of a tower for one image: two for each weight that is applied.

    Args:
        onnx_file: The tower's graph.

    Returns:
        Operations of convolutions and matrix products; everything else is small beside them.
    """
    model = onnx.load(onnx_file)
    # One image, so that every shape is known.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    weights = {constant.name: list(constant.dims) for constant in graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        kernel = weights[node.input[1]]
        if node.op_type == "Conv":  # [out, in / groups, height, width] at every place
            places = shapes[node.output[0]][2:]
            total += 2 * int(np.prod(kernel)) * int(np.prod(places))
        else:
            total += 2 * int(np.prod(kernel))
    return total


def stand_in(onnx_file: Path) -> Callable[[npt.NDArray[np.uint8], float], float] | None:
    """ONNX Runtime on the GPU, for where TensorRT is missing; None where it has no GPU either."""
    if _CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return None
    tower = OnnxTower(onnx_file, provider=_CUDA_PROVIDER)

    def speed(pixels: npt.NDArray[np.uint8], seconds: float) -> float:
        return rate(lambda: len(tower.score(pixels)[MEAN]), seconds)

    return speed


def check(
    repository: Path,
    photos: Path,
    *,
    seconds: float,
    find_builder: Callable[[], Builder],
    report: Callable[[str], None],
) -> list[tuple[str, str]]:
    """Measures everything that needs no server.

    Args:
        repository: The model repository.
        photos: Folder of photos.
        seconds: For how long each measurement.
        find_builder: Gives the way to TensorRT.
        report: Receives a line before each measurement.

    Returns:
        Pairs of a measured thing and its result.

    Raises:
        GpuError: There is no GPU, or it cannot be used.
        MissingToolError: A program or package is missing.
        InputError: The repository or a photo cannot be used.
        ScoresMovedError: The plan scores differently.
    """
    gpu = require_gpu()
    onnx_file = graph_of(repository)
    tower = read_tower(onnx_file)
    device = open_device()
    rows = [("GPU", f"{gpu['name']}, compute {gpu['compute_cap']}, driver {gpu['driver_version']}")]
    report("FP16 matrix products")
    peak = matmul_peak(device, seconds)
    rows.append(("FP16 matrix product", f"{peak / 1e12:.1f} TFLOP/s"))
    report("decoding")
    files = [path.read_bytes() for path in photo_files(photos)]
    decoding = measure_decoding(device, files, tower, seconds)
    rows += [
        (f"decode on the GPU, batch {MAX_BATCH_SIZE}", f"{decoding.on_gpu:.0f} images/s"),
        ("decode on the host, all cores", f"{decoding.on_host:.0f} images/s"),
        ("files left to the host", f"{decoding.left_to_host} of {len(files)}"),
        ("mean difference of the pixels", f"{decoding.difference:.2f} levels of 255"),
    ]
    report("tower")
    engine, speed = tower_speed(onnx_file, photos, tower, seconds, find_builder, report)
    reached = speed * count_operations(onnx_file)
    rows.append(
        (
            f"tower {tower.name} in {engine}, batch {MAX_BATCH_SIZE}",
            f"{speed:.0f} images/s = {reached / 1e12:.1f} TFLOP/s, {reached / peak:.0%} of that",
        )
    )
    return rows


def check_server(url: str, photos: Path, program: Path) -> list[tuple[str, str]]:
    """Measures a running server, model by model.

    Args:
        url: The server's gRPC address, `HOST:PORT`.
        photos: Folder of photos to send.
        program: perf_analyzer.

    Returns:
        Pairs of a measured thing and its result.

    Raises:
        InputError: There are no photos.
        IQToolsError: perf_analyzer fails.
    """
    return [
        (f"server at {url}, {found.model}", f"{found.images_per_second:.0f} images/s")
        for found in measure(url, photo_files(photos), _SERVER_SWEEP, program=program)
    ]


def tower_speed(
    onnx_file: Path,
    photos: Path,
    tower: Tower,
    seconds: float,
    find_builder: Callable[[], Builder],
    report: Callable[[str], None],
) -> tuple[str, float]:
    """Images per second of the tower alone, and in what; arguments and errors as of `check`."""
    generator = np.random.default_rng(0)
    shape = (MAX_BATCH_SIZE, *tower.image_size, 3)
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    try:
        builder = find_builder()
    except MissingToolError as error:
        speed = stand_in(onnx_file)
        if speed is None:
            raise MissingToolError(
                f"neither TensorRT nor ONNX Runtime for CUDA: {error}"
            ) from error
        return "ONNX Runtime, f32, for want of TensorRT", speed(pixels, seconds)
    with tempfile.TemporaryDirectory() as name:
        plan = Path(name, PLAN_FILE)
        make_plan(onnx_file, plan, photos, PlanOptions(), builder=builder, report=report)
        return (
            f"TensorRT {builder.version}, FP16",
            builder.runner(plan.read_bytes()).speed(pixels, seconds),
        )
