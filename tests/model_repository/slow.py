"""Files that take long to decode, whatever the machine."""

from __future__ import annotations

# Put behind a model's own code: marked files are not decoded while another file is there.
SLOW = """

import os
import time

from .iq_serving import decoding

_load = decoding.load_pixels
decoding._SLOW_SECONDS = 0.01


def _slow(data, **options):
    if data.endswith(b"slow"):
        with options["budget"].hold(1):  # from here on its time is taken
            while os.path.exists({closed!r}):
                time.sleep(0.01)
    return _load(data, **options)


decoding.load_pixels = _slow
"""
