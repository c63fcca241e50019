"""Sphinx extension: "chapter 3" in a docstring becomes a link to that chapter."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MENTION = re.compile(r"\b([Cc]hapter )([0-9])\b")


def link_chapters(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replace every mention of a chapter in the docstring's lines."""
    pages = {path.name[0]: path.stem for path in Path(app.srcdir).glob("[0-9]_*.ipynb")}

    def link(match: re.Match[str]) -> str:
        page = pages.get(match[2])
        return f":doc:`{match[0]} </{page}>`" if page else match[0]

    lines[:] = [MENTION.sub(link, line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", link_chapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
