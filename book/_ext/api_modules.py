"""Sphinx extension: a fenced block {modules} puts the reference of modules into a page, from their docstrings.

Its lines name modules and packages of ``ites_core``. A package stands for all of its modules that no page names by
themselves, and the one block without lines for every module that no page names at all: a new module is never forgotten,
and none is shown twice.
"""

import re
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import ites_core

# Programs explain themselves with --help; the checks of a chapter are read in its exercises.
LEFT_OUT = ("ites_core.__main__", "ites_core.cli", "ites_core.exercises.chapter")
BLOCK = re.compile(r"(?ms)^```\{modules\}\n(.*?)^```$")
ENTRY = """## `{name}`

```{{eval-rst}}
.. automodule:: {name}
```
"""


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the blocks of a page by headings and ``automodule`` directives."""
    if "```{modules}" not in source[0]:
        return
    found = walk_packages(ites_core.__path__, "ites_core.")
    known = [module.name for module in found if not module.ispkg and not module.name.startswith(LEFT_OUT)]

    everywhere = [block for file in Path(app.srcdir).glob("*.md") for block in BLOCK.findall(file.read_text("utf-8"))]
    listed = " ".join(everywhere).split()

    def members(name: str) -> list[str]:
        if name in known:
            return [name]
        if inside := [module for module in known if module.startswith(f"{name}.")]:
            return [module for module in inside if module not in listed]
        raise ExtensionError(f"{page}: no module {name}; there are {', '.join(known)}")

    rest = [module for module in known if module not in {m for name in listed for m in members(name)}]

    def entries(match: re.Match[str]) -> str:
        names = [m for name in match[1].split() for m in members(name)] if match[1].strip() else rest
        return "\n".join(ENTRY.format(name=name) for name in names)

    source[0] = BLOCK.sub(entries, source[0])


def skip_aliases(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Fields of a named tuple say nothing that its docstring does not say."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("source-read", expand)
    app.connect("autodoc-skip-member", skip_aliases)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
