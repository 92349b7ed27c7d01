"""Sphinx's configuration: `make docs` builds the documents and the Python API as a site.

The documents lie all over the project and link one another as files, so the project's root is the
source folder. What docs/index.md links, section by section, is the site's navigation.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT: Final = Path(__file__).resolve().parent.parent
INDEX: Final = "docs/index"
MERMAID: Final = ROOT / ".cache/mermaid/mermaid.min.js"  # `make docs` fetches it
SECTION: Final = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Note):$", re.MULTILINE)

project = "Siamese NIMA on Triton"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = INDEX
include_patterns = [
    "*.md",
    "docs/**",
    "*/README.md",
    "examples/*/*.md",
    "model_repository/*/MODEL_CARD.md",
    "towers/*/MODEL_CARD.md",
]
exclude_patterns = [".*"]

# Documents: headings have GitHub's anchors; code blocks without a language are plain text.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
highlight_language = "text"
smartquotes = False  # two hyphens are an option

# Docstrings: types stand in the signatures, as short as they can be read.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False

html_theme = "furo"
html_static_path = ["diagrams.js", *([str(MERMAID)] if MERMAID.exists() else [])]
html_title = project
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
templates_path = ["."]
html_additional_pages = {"index": "redirect.html"}


def setup(app: Sphinx) -> None:
    """Adds the navigation and mermaid's diagrams."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("html-page-context", _with_diagrams)
    app.connect("source-read", _with_navigation)
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=400)
    app.connect("doctree-read", _by_full_name)


def _with_diagrams(
    app: Sphinx, page: str, template: str, context: object, doctree: nodes.document | None
) -> None:
    """Lets the browser draw the diagrams of a page; without mermaid they stay text."""
    blocks = doctree.findall(nodes.literal_block) if doctree and MERMAID.exists() else ()
    if any(block.get("language") == "mermaid" for block in blocks):
        for script in (MERMAID.name, "diagrams.js"):
            app.add_js_file(script, loading_method="defer")


def _with_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Appends a table of contents to the index, made of the links in each of its sections."""
    if name != INDEX:
        return
    introduction, *sections = re.split(r"^## ", source[0], flags=re.MULTILINE)
    parts = [("Project", introduction), *(each.split("\n", 1) for each in sections)]
    for heading, text in parts:
        caption = heading.partition(":")[0]
        pages = dict.fromkeys(re.findall(r"\]\(([^)#:]+\.(?:md|rst))[^)]*\)", text))
        entries = "\n".join(pages)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def _as_restructured_text(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turns the form of the project's docstrings into Sphinx's.

    Code stands in single backticks, and in indented blocks above the first section.
    """
    before_sections = True
    paragraphs = "\n".join(lines).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        before_sections &= not SECTION.match(paragraph)
        if before_sections and paragraph.startswith("    "):
            paragraphs[number] = f"::\n\n{paragraph}"
            continue
        parts = paragraph.split("`") if "``" not in paragraph else [paragraph]
        parts[::2] = [re.sub(r"([|*])", r"\\\1", prose) for prose in parts[::2]]
        paragraphs[number] = "``".join(parts)
    lines[:] = "\n\n".join(paragraphs).split("\n")


def _by_full_name(app: Sphinx, doctree: nodes.document) -> None:
    """Lets a name in a docstring mean what it means in its module, or else in its package."""
    for reference in doctree.findall(pending_xref):
        module = reference.get("py:module") or ""
        package = module.partition(".")[0]
        for place in (module, f"{package}.errors", f"{package}.contract"):
            found = getattr(sys.modules.get(place), reference["reftarget"], None)
            if isinstance(found, type):
                reference["reftarget"] = f"{found.__module__}.{found.__qualname__}"
                break
