"""JSON files of what a command found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siamese_nima.files import write_atomically


def write_json(found: dict[str, Any], path: Path) -> None:
    """Writes a JSON file in one step."""
    with write_atomically(path) as file:
        file.write_text(json.dumps(found, indent=2) + "\n")
