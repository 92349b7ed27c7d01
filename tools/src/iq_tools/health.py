"""A real inference as a health check: `python3 -m iq_tools.health`, in the container.

Triton calls itself ready and live although the process of a Python model is gone, and answers every
request with an error from then on (its issue 7230). So a tiny picture goes
through every ensemble, over HTTP inside the container. Each time it is another one: the response
cache would answer for a dead process. A server whose queues are full is busy, not broken.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from iq_serving.layout import ensembles

URL: Final = "http://127.0.0.1:8000"
REPOSITORY: Final = Path("/models")
_SIDE: Final = 8  # pixels
_URGENT: Final = 1  # goes before the requests that wait
# In Triton's errors.
_BUSY: Final = "Exceeds maximum queue size"
_DEAD: Final = "is not healthy"


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks every ensemble and prints what is wrong.

    Args:
        arguments: Of the command line; None for those of this process.

    Returns:
        The exit status: 0 where all of them score, else 1.
    """
    parser = argparse.ArgumentParser(prog="python3 -m iq_tools.health", description=__doc__)
    parser.add_argument("--url", default=URL, help="Triton's HTTP address [%(default)s]")
    parser.add_argument(
        "--model-repository",
        type=Path,
        default=REPOSITORY,
        help="folder whose ensembles are asked [%(default)s]",
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for one answer")
    parser.add_argument(
        "--end",
        type=int,
        metavar="PID",
        help="end this process where a model's process is gone, for a restart policy to start anew",
    )
    options = parser.parse_args(arguments)
    names = ensembles(options.model_repository)
    found = [f"{name}: {problem}" for name in names
             for problem in _problems(options.url, name, options.timeout)]  # fmt: skip
    if not names:
        found = [f"{options.model_repository} holds no ensemble"]
    for line in found:
        print(line, file=sys.stderr)
    if options.end is not None and any(_DEAD in line for line in found):
        os.kill(options.end, signal.SIGTERM)
    return 1 if found else 0


def _problems(url: str, ensemble: str, timeout: float) -> Iterator[str]:
    """The reason why an ensemble does not score; nothing where it does."""
    request = _request(f"{url}/v2/models/{ensemble}/infer", _picture(os.urandom(_SIDE * _SIDE)))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            response.read()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        if _BUSY not in said:
            yield f"{error.code} {said}"
    except OSError as error:
        yield str(getattr(error, "reason", error))


def _request(url: str, picture: bytes) -> urllib.request.Request:
    """An inference of the serving contract in KServe v2's binary form."""
    tensor = struct.pack("<I", len(picture)) + picture
    header = json.dumps(
        {
            "parameters": {"priority": _URGENT},
            "inputs": [
                {
                    "name": "IMAGE",
                    "datatype": "BYTES",
                    "shape": [1, 1],
                    "parameters": {"binary_data_size": len(tensor)},
                }
            ],
            # Without the tower's output Triton might leave the tower out. Binary: JSON has no NaN.
            "outputs": [{"name": "MEAN", "parameters": {"binary_data": True}}],
        }
    ).encode()
    return urllib.request.Request(
        url, header + tensor, {"Inference-Header-Content-Length": str(len(header))}
    )


def _picture(pixels: bytes) -> bytes:
    """A grey PNG of `_SIDE` × `_SIDE` bytes."""
    rows = b"".join(b"\0" + pixels[at : at + _SIDE] for at in range(0, len(pixels), _SIDE))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


if __name__ == "__main__":
    sys.exit(main())
