from __future__ import annotations

import pytest

from iq_tools.errors import MissingToolError
from iq_tools.tensorrt.builders import find_builder


def test_a_missing_builder_says_what_to_install() -> None:
    with pytest.raises(MissingToolError, match="pip install tensorrt"):
        find_builder("tensorrt_of_another_planet")
