"""Sphinx extension: "chapter 3" and "chapters 1, 3 and 5" in a docstring become links to those chapters."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MENTION = re.compile(r"\b([Cc]hapters? )([0-9](?:(?:, | and | to )[0-9])*)\b")


def link_chapters(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replace every mention of a chapter in the docstring's lines."""
    pages = {path.name[0]: path.stem for path in Path(app.srcdir).glob("[0-9]_*.*") if path.suffix in (".ipynb", ".md")}

    def link(match: re.Match[str]) -> str:
        if match[2] in pages:
            return f":doc:`{match[0]} </{pages[match[2]]}>`"
        each = re.sub(r"\d", lambda d: f":doc:`{d[0]} </{pages[d[0]]}>`" if d[0] in pages else d[0], match[2])
        return match[1] + each

    lines[:] = [MENTION.sub(link, line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", link_chapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
