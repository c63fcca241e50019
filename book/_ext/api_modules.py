"""Sphinx extension: a fenced block {modules} puts the reference of modules into a page, from their docstrings.

Its lines name modules and packages of ``ites_core``; a package stands for all of its modules. The one block without
lines stands for every module that no page names, so that a new one is never forgotten.
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

    def members(names: list[str]) -> list[str]:
        wrong = [name for name in names if not any(f"{module}.".startswith(f"{name}.") for module in known)]
        if wrong:
            raise ExtensionError(f"{page}: no module {', '.join(wrong)}; there are {', '.join(known)}")
        return list(dict.fromkeys(m for name in names for m in known if f"{m}.".startswith(f"{name}.")))

    everywhere = [block for file in Path(app.srcdir).glob("*.md") for block in BLOCK.findall(file.read_text("utf-8"))]
    named = members(" ".join(everywhere).split())

    def entries(match: re.Match[str]) -> str:
        names = members(match[1].split()) or [module for module in known if module not in named]
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
