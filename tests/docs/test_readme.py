"""The two READMEs say the same, and what they quote stands in the pages that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["README.md", "README.zh.md"]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^```.*?^```$", id="blocks of code"),
        pytest.param(r"`[^`\n]+`", id="code"),
        pytest.param(r"\]\(([^)]*)\)", id="links"),
        pytest.param(r"^#+ ", id="headings"),
    ],
)
def test_both_languages_have_the_same(pattern: str) -> None:
    english, chinese = (re.findall(pattern, PAGES[name], re.M | re.S) for name in NAMES)
    if english and not english[0].startswith("#"):
        english, chinese = (
            sorted(part for part in parts if "README" not in part) for parts in (english, chinese)
        )
    assert len(english) >= 5
    assert chinese == english


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_stand_in_the_pages_that_they_name(name: str) -> None:
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]*\d[^|]*) \| \[[^]]+\]\(([^)#]+\.md)[^)]*\) \|$", PAGES[name], re.M
    )
    assert len(rows) >= 4
    for measured, page in rows:
        text = (ROOT / page).read_text(encoding="utf-8")
        for figure in re.findall(r"\d*\.\d+", measured):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", text), (figure, page)
