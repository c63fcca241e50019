"""Sphinx extension: the directive {modules} puts the reference of modules into a page, from their docstrings.

Its body names modules and packages of ``ites_core``, one a line; a package stands for all of its modules. With an empty
body it adds every module that the page has not named yet, so that a new one is never forgotten.
"""

from pkgutil import walk_packages
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import ites_core

# Programs explain themselves with --help; the checks of a chapter are read in its exercises.
LEFT_OUT = ("ites_core.__main__", "ites_core.cli", "ites_core.exercises.chapter")


def all_modules() -> list[str]:
    """Every module with something to refer to, by name."""
    found = walk_packages(ites_core.__path__, "ites_core.")
    return [module.name for module in found if not module.ispkg and not module.name.startswith(LEFT_OUT)]


class Modules(SphinxDirective):
    """The directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The reference of each module in turn."""
        known = all_modules()
        shown: set[str] = self.env.temp_data.setdefault("modules shown", set())
        wanted = [name for line in self.content if (name := line.strip())]
        if unknown := [name for name in wanted if not any(f"{module}.".startswith(f"{name}.") for module in known)]:
            raise self.error(f"no module {', '.join(unknown)}; there are {', '.join(known)}")
        names = [m for name in wanted or ["ites_core"] for m in known if f"{m}.".startswith(f"{name}.")]
        node = nodes.Element()
        for name in dict.fromkeys(names):
            if name not in shown:
                shown.add(name)
                lines = ["```{eval-rst}", f".. automodule:: {name}", "```"]
                self.state.nested_parse(StringList(lines, source=self.env.docname), 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_directive("modules", Modules)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
