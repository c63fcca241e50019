"""Sphinx extension: load a big browser library only on the pages that use it.

plotly.js must load before require.js (which comes with widgets): once ``define`` exists, plotly registers
itself there and leaves no global ``Plotly`` for the figures to call. Hence the low priority number, which
means early.
"""

from typing import Any

from sphinx.application import Sphinx


def add_page_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add plotly.js to a page whose body calls it."""
    if "Plotly.newPlot" in context.get("body", ""):
        app.add_js_file("plotly/plotly.min.js", priority=100)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", add_page_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
