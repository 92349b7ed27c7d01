"""Plans built and run by `trtexec`, the program that comes with TensorRT."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import MASK, PIXELS, TOWER_OUTPUTS, Tower
from iq_tools.errors import GpuError, MissingToolError
from iq_tools.graph.parity import Scores
from iq_tools.tensorrt.plan import Plan, PlanOptions, PlanRunner, Precision, count_engine_layers

# The banner says `[TensorRT v101301]`: major, two digits of minor, two of patch.
_BANNER: Final = re.compile(r"\[TensorRT v(\d+)(\d\d)(\d\d)\]")
# From this major version on there is no other kind of network.
_ALWAYS_STRONGLY_TYPED: Final = 11
_THROUGHPUT: Final = re.compile(r"Throughput: ([\d.]+) qps")
_LINES_OF_AN_ERROR: Final = 15


class TrtexecBuilder:
    """A program instead of a Python package: NVIDIA's containers have it."""

    name = "trtexec"

    def __init__(self, program: Path) -> None:
        """Asks the program for its version.

        Args:
            program: The executable.

        Raises:
            MissingToolError: It does not say which TensorRT it is.
        """
        self._program = program
        said = _run([str(program), "--help"], check=False)
        found = _BANNER.search(said)
        if found is None:
            raise MissingToolError(f"{program} does not say its version: {said[:200]!r}")
        self.version = ".".join(str(int(part)) for part in found.groups())

    def build(
        self, graph: bytes, tower: Tower, options: PlanOptions, report: Callable[[str], None]
    ) -> Plan:
        """Builds a plan; arguments and errors as of `PythonBuilder.build`."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "model.onnx").write_bytes(graph)
            report(f"trtexec builds with TensorRT {self.version}; this takes minutes")
            _run(self._build_command(folder, tower, options))
            layers = json.loads((folder / "layers.json").read_text())
            return Plan(
                (folder / "model.plan").read_bytes(),
                Precision(layers=None, engine=count_engine_layers(layers)),
            )

    def runner(self, plan: bytes) -> PlanRunner:
        """A runner that starts the program for every batch."""
        return _TrtexecTower(self._program, plan)

    def _build_command(self, folder: Path, tower: Tower, options: PlanOptions) -> list[str]:
        def shapes(batch: int) -> str:
            size = "x".join(map(str, (batch, *tower.image_size, 3)))
            return f"{PIXELS}:{size},{MASK}:{batch}x1"

        command = [
            str(self._program),
            f"--onnx={folder / 'model.onnx'}",
            f"--saveEngine={folder / 'model.plan'}",
            f"--minShapes={shapes(options.min_batch)}",
            f"--optShapes={shapes(options.opt_batch)}",
            f"--maxShapes={shapes(options.max_batch)}",
            f"--memPoolSize=workspace:{options.workspace_mib}",
            "--profilingVerbosity=detailed",
            f"--exportLayerInfo={folder / 'layers.json'}",
            "--skipInference",
        ]
        if int(self.version.partition(".")[0]) < _ALWAYS_STRONGLY_TYPED:
            command.append("--stronglyTyped")
        if options.version_compatible:
            command.append("--versionCompatible")
        if options.hardware_compatible:
            command.append("--hardwareCompatibilityLevel=ampere+")
        if options.timing_cache is not None:
            command.append(f"--timingCacheFile={options.timing_cache}")
        return command


class _TrtexecTower:
    def __init__(self, program: Path, plan: bytes) -> None:
        self._program = program
        self._plan = plan

    def score(self, pixels: npt.NDArray[np.uint8]) -> Scores:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            output = folder / "outputs.json"
            options = [f"--exportOutput={output}", "--iterations=1", "--warmUp=0", "--duration=0"]
            self._execute(folder, pixels, options)
            return _outputs(json.loads(output.read_text()), len(pixels))

    def speed(self, pixels: npt.NDArray[np.uint8], seconds: float) -> float:
        with tempfile.TemporaryDirectory() as name:
            options = [f"--duration={seconds:g}", "--noDataTransfers", "--useSpinWait"]
            said = self._execute(Path(name), pixels, options)
        found = _THROUGHPUT.search(said)
        if found is None:
            raise GpuError(f"{self._program} names no throughput: {said[-500:]!r}")
        return float(found.group(1)) * len(pixels)

    def _execute(self, folder: Path, pixels: npt.NDArray[np.uint8], options: list[str]) -> str:
        (folder / "model.plan").write_bytes(self._plan)
        inputs: dict[str, npt.NDArray[Any]] = {
            PIXELS: pixels,
            MASK: np.ones((len(pixels), 1), np.float32),
        }
        for tensor, array in inputs.items():
            (folder / tensor).write_bytes(np.ascontiguousarray(array).tobytes())
        shapes = {tensor: "x".join(map(str, array.shape)) for tensor, array in inputs.items()}
        return _run(
            [
                str(self._program),
                f"--loadEngine={folder / 'model.plan'}",
                "--shapes=" + ",".join(f"{key}:{value}" for key, value in shapes.items()),
                "--loadInputs=" + ",".join(f"{key}:{folder / key}" for key in inputs),
                *options,
            ]
        )


def _outputs(values: list[dict[str, Any]], size: int) -> Scores:
    arrays = {value["name"]: np.array(value["values"], np.float32) for value in values}
    return {name: arrays[name].reshape(size, width) for name, width in TOWER_OUTPUTS.items()}


def _run(command: list[str], *, check: bool = True) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if check and done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_LINES_OF_AN_ERROR:])
        raise GpuError(f"{command[0]} failed with status {done.returncode}:\n{tail}")
    return done.stdout
