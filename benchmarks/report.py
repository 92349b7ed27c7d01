"""Runs every benchmark; puts its tables into docs/results/performance.md, between the marks.

    python benchmarks/report.py --photos DIR [--large DIR] [--perf-analyzer FILE] [--only NAME…]

What a section was run with stands above its table. The text around the tables is written by hand.
Each section is a run of its own (`--only`); the table of figures at the beginning is gathered from
all of them as they lie in the document.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from measure import machine, table, versions

from iq_client import LocalServer

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parent / "docs" / "results" / "performance.md"
REPOSITORY: Final = HERE.parent / "model_repository"
FIGURES: Final = "figures"
# As `measure.figure` writes them.
_FIGURE: Final = re.compile(r"^(.+): \*\*(.+)\*\* \(wanted: (.+)\)$", re.MULTILINE)
PACKAGES: Final = (
    "pillow", "numpy", "onnxruntime", "openvino", "tensorflow-cpu", "keras", "nvidia-pytriton",
    "tritonclient",
)  # fmt: skip


def replaced(document: str, name: str, text: str) -> str:
    """The document with another text between a section's marks.

    Raises:
        SystemExit: The document has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(document):
        raise SystemExit(f"{DOCUMENT} has no marks {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", document)


def figures(document: str) -> str:
    """The table of all figures that the sections of a document hold."""
    rows = []
    for found in re.finditer(r"<!-- ([\w-]+) -->(.*?)<!-- /\1 -->", document, re.DOTALL):
        section, text = found.groups()
        if section != FIGURES:
            rows += [(*each.group(1, 3, 2), section) for each in _FIGURE.finditer(text)]
    return table(("figure", "wanted", "got", "section"), rows)


def benchmark(script: str, *arguments: str) -> str:
    """Output of one of the scripts beside this one, without its heading."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    body = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("# "))
    shown = " ".join([f"benchmarks/{script}", *arguments])
    return f"`python {shown}`\n\n{body.strip()}"


def in_steps(folder: Path) -> LocalServer:
    """The embedded server with the ensemble of two steps, as the container serves it."""
    copy = shutil.copytree(REPOSITORY, folder / "repository")
    (copy / "nima" / "configs" / "embedded.pbtxt").unlink()
    return LocalServer(copy, allow=("statistics", "shared-memory", "trace"))


def sweep(photos: Path, perf_analyzer: Path | None, picture: Path) -> str:
    """`iq-tools perf` on the ensemble; keeps its picture beside the document."""
    options = ["--photos", str(photos), "--batch", "1,16", "--concurrency", "1,4"]
    options += ["--requests", "50"]
    program = ["--perf-analyzer", str(perf_analyzer)] if perf_analyzer else []
    with (
        tempfile.TemporaryDirectory() as folder,
        in_steps(Path(folder)) as server,
    ):
        command = [
            sys.executable, "-m", "iq_tools", "perf", "--url", server.url, "--output", folder,
            *options, *program,
        ]  # fmt: skip
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        picture.write_bytes((Path(folder) / "perf.png").read_bytes())
        table = (Path(folder) / "perf.md").read_text(encoding="utf-8")
    return (
        f"`iq-tools perf {' '.join(options)}`\n\n{table.strip()}\n\n"
        f"![photos per second against latency]({picture.name})"
    )


def main() -> None:
    """Reads the command line, runs the benchmarks and rewrites the document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, default=Path("examples/photos"))
    parser.add_argument("--large", type=Path, help="photos of 12 megapixels and more, if any")
    parser.add_argument("--perf-analyzer", type=Path, help="default: on the PATH, else left out")
    parser.add_argument("--inception", type=Path, help="as engines.py's --onnx")
    parser.add_argument("--calibration", type=Path, help="real photos, as precision.py's")
    parser.add_argument("--stock", metavar="HOST:PORT", help="the container here, as stock.py's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of sections")
    arguments = parser.parse_args()
    rounds = ("--rounds", str(arguments.rounds))
    photos = str(arguments.photos)
    sections: dict[str, Callable[[], str]] = {
        "machine": lambda: f"{machine()}; {versions(*PACKAGES)}.",
        "serving": lambda: benchmark("serving.py", photos, *rounds),
        "latency": lambda: benchmark("latency.py", photos),
        "peers": lambda: benchmark("peers.py", photos),
        "commands": lambda: benchmark("commands.py", photos),
        "client": lambda: benchmark("client.py", "compare", "--count", "960", *rounds),
        "decoding": lambda: benchmark("decoding.py", str(arguments.large or photos), *rounds),
        "precision": lambda: benchmark(
            "precision.py",
            *(("--calibration", str(arguments.calibration)) if arguments.calibration else ()),
        ),
        "growth": lambda: benchmark("growth.py", photos),
        "engines": lambda: benchmark(
            "engines.py",
            *rounds,
            *(("--onnx", str(arguments.inception)) if arguments.inception else ()),
        ),
    }
    if arguments.perf_analyzer or shutil.which("perf_analyzer"):
        sections["sweep"] = lambda: sweep(
            arguments.photos, arguments.perf_analyzer, DOCUMENT.with_name("performance.png")
        )
    else:
        print("perf_analyzer is not on the PATH: its table stays as it is", file=sys.stderr)
    if arguments.large:
        sections["serving-large"] = lambda: benchmark(
            "serving.py", str(arguments.large), "--count", "96", "--rounds", "3"
        )
    if arguments.stock:
        sections["stock"] = lambda: benchmark("stock.py", photos, "--url", arguments.stock, *rounds)
    for name in arguments.only or sections:
        print(f"{name} …", file=sys.stderr, flush=True)
        text = sections[name]()
        print(text, flush=True)
        document = replaced(DOCUMENT.read_text(encoding="utf-8"), name, text)
        document = replaced(document, FIGURES, figures(document))
        DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
