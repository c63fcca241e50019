"""Sphinx extension: links to the repository appear once ``repository: url:`` in _config.yml names it, not before.

With an address, every page has an edit link and every notebook has launch buttons for the services under
``launch_buttons``. Without one the theme would be left with buttons that lead nowhere. Pages whose code stands in a
text file get no launch buttons: those services open notebooks only.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")


def link_repository(app: Sphinx, config: Config) -> None:
    """Switch the theme's buttons on or off, and tell the theme where the pages' sources are."""
    options = config.html_theme_options
    if options.get("repository_url"):
        options.update(dict.fromkeys(BUTTONS, True))
    else:
        for name in ("repository_url", "repository_branch", "path_to_docs", "launch_buttons"):
            options.pop(name, None)


def launch_notebooks_only(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Take the theme's launch buttons off a page that is no notebook."""
    if context.get("page_source_suffix") != ".ipynb" and "header_buttons" in context:
        context["header_buttons"] = [b for b in context["header_buttons"] if b.get("label") != "launch-buttons"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, before the theme looks at its options."""
    app.connect("config-inited", link_repository, priority=100)
    app.connect("html-page-context", launch_notebooks_only, priority=900)  # after the theme has put them there
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
