"""Every link in the documents leads somewhere: files, folders and headings. No network is asked."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
MARKDOWN = MarkdownIt("commonmark").enable("table")
# Names of files in prose, comments and messages that other files may move from under.
PATHS = re.compile(
    r"(?<![\w./-])(?:docs|scripts|benchmarks|examples)/[\w./-]*\w\.(?:md|png|py|jpg)\b"
)


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, also those not committed yet."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = dict.fromkeys(done.stdout.split("\0")[:-1])
    return [ROOT / name for name in names if (ROOT / name).is_file()]


PAGES = tracked("*.md")


@cache
def parsed(page: Path) -> list[Token]:
    """The blocks of a page and, behind each, its inline parts."""
    blocks = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    return [part for block in blocks for part in (block, *(block.children or ()))]


def links(page: Path) -> Iterator[str]:
    """Targets of the links and pictures of a page."""
    for token in parsed(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield str(target)


@cache
def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    names = set()
    for opening, inline in pairwise(parsed(page)):
        if opening.type != "heading_open":
            continue
        text = "".join(part.content for part in inline.children or ())
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in links(page):
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            found.append(f"{link}: no such file")
        elif url.fragment and unquote(url.fragment) not in anchors(target):
            found.append(f"{link}: no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_to_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `b`, c!\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n\n[1](other.md#a-b-c) [2](#here) [3](other.md#twice-1) [4](https://example.com/x)\n\n"
        "[5](gone.md) [6](other.md#gone) [7](#gone) ![8](gone.png) [9](../out.md)\n\n"
        "`[10](code.md)`\n\n| cell |\n| --- |\n| [11](table.md) |\n\n```\n[12](block.md)\n```\n"
    )
    assert broken(page) == [
        "gone.md: no such file",
        "other.md#gone: no such heading",
        "#gone: no such heading",
        "gone.png: no such file",
        "../out.md: no such file",
        "table.md: no such file",
    ]


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / urlsplit(link).path).resolve() for link in links(index)}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_files_that_are_named_exist() -> None:
    missing = []
    for path in tracked("*.md", "*.py", "*.toml", "*.yaml", "Makefile", "Dockerfile"):
        for name in PATHS.findall(path.read_text(encoding="utf-8")):
            if not (ROOT / name).is_file():
                missing.append(f"{path.relative_to(ROOT)} names {name}")
    assert missing == []
