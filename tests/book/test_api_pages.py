"""The API reference: the block {modules} shows every module once, and refuses names that are none."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from sphinx.errors import ExtensionError

BOOK = Path(__file__).resolve().parents[2] / "book"
EXPAND = runpy.run_path(str(BOOK / "_ext" / "api_modules.py"))["expand"]


def expanded(folder: Path, page: str) -> str:
    source = [(folder / f"{page}.md").read_text(encoding="utf-8")]
    EXPAND(SimpleNamespace(srcdir=folder), page, source)
    return source[0]


def test_each_module_of_the_package_is_shown_once() -> None:
    package = BOOK.parent / "ites_core"
    modules = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in package.rglob("*.py")
        if not path.name.startswith("__") and path.parts[-2] not in ("cli", "exercises")
    }
    shown: Counter[str] = Counter()
    for path in BOOK.glob("api*.md"):
        shown.update(line[4:-1] for line in expanded(BOOK, path.stem).splitlines() if line.startswith("## `ites_core."))
    assert {name for name, times in shown.items() if times > 1} == set()
    assert modules <= set(shown)


def test_a_package_leaves_out_what_another_page_names(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("```{modules}\nites_core.models\n```\n")
    (tmp_path / "b.md").write_text("```{modules}\nites_core.models.teacher\n```\n")
    assert "models.teacher" not in expanded(tmp_path, "a")
    assert "models.student" in expanded(tmp_path, "a")
    assert "models.teacher" in expanded(tmp_path, "b")


def test_a_name_that_is_no_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("```{modules}\nites_core.model\n```\n")
    with pytest.raises(ExtensionError, match=r"no module ites_core\.model;"):
        expanded(tmp_path, "a")
