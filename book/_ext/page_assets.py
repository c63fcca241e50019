"""Sphinx extension: what a page loads beside the theme's own files.

plotly.js and the lifter are big, so only pages whose body calls them load them. The state of the live widgets (cells
tagged ``remove-cell``, for JupyterLab) is taken out: no page shows a widget, since without a kernel it would be dead.
"""

from typing import Any

from sphinx.application import Sphinx


def adjust_page_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add plotly.js and the lifter to a page that calls them, and drop the state of widgets."""
    if "Plotly.newPlot" in context.get("body", ""):
        app.add_js_file("figures_on_sight.js", priority=100)  # which loads plotly.js
    if 'id="lifter"' in context.get("body", ""):
        app.add_js_file("lifter/lifter.js", type="module")
        app.add_css_file("lifter/lifter.css")
    context["script_files"] = [
        file
        for file in context.get("script_files", [])
        if "widget-state" not in getattr(file, "attributes", {}).get("type", "")
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", adjust_page_assets)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
