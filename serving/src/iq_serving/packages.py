"""Packages for a server whose Python lacks them, such as the stock container, which has no Pillow.

Imported first by a model that needs them. They come last on the path: what the server brings wins.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

# Beside the model: this package lies in MODEL/VERSION/iq_serving.
FOLDER: Final = Path(__file__).resolve().parents[2] / "site-packages"

# The interpreter inside Triton's backend may ignore PYTHONPATH.
sys.path += [str(FOLDER), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
