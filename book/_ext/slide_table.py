"""Sphinx extension: a fenced block {slides} becomes a table of the chapters and of the slides made from them."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

BLOCK = "```{slides}\n```"


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the block of a page by a table with a row for each chapter."""
    chapters = sorted(path.stem for path in Path(app.srcdir).glob("[0-9]_*.ipynb"))
    rows = [f'| []({name}) | <a href="slides/{name}.html">slides of chapter {name[0]}</a> |' for name in chapters]
    source[0] = source[0].replace(BLOCK, "\n".join(["| chapter | slides |", "|---|---|", *rows]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("source-read", expand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
