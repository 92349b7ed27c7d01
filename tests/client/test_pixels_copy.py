"""The client's copy of the server's way to pixels: the same code, and whole by itself."""

from __future__ import annotations

import subprocess
import sys

from scripts.client_pixels import FOLDER, copies


def test_the_copy_is_the_servers_code() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert found == copies(), "renew it with: python scripts/client_pixels.py"


def test_looking_at_a_photo_changes_no_limit_of_the_application_and_needs_no_other_room() -> None:
    program = (
        "import sys; from PIL import Image; before = Image.MAX_IMAGE_PIXELS;"
        "import iq_client.images.picture; "
        "print(Image.MAX_IMAGE_PIXELS == before, 'iq_serving' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["True", "False"]
