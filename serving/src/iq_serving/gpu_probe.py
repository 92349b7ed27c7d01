"""Opens the first GPU as `preprocess_gpu` does, and ends with the reason where that fails.

`python -m iq_serving.gpu_probe`, started in a model's version folder, tries the code and the
packages that the server would take there.
"""

from __future__ import annotations

import sys

from . import packages  # noqa: F401 - first: the next line needs what it finds
from .gpu_pixels import DeviceError, open_gpu


def main() -> None:
    """Ends with status 0 where the GPU can be used, else with 1 and the reason on stderr."""
    try:
        open_gpu(0)
    except DeviceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
