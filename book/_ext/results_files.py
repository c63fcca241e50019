"""Sphinx extension: the stored runs go along with the pages, so that a number can link to its artefact."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def copy_results(app: Sphinx, error: Exception | None) -> None:
    """Copy results/ into the built book."""
    results = Path(app.srcdir).parent / "results"
    if error is None and app.builder.format == "html" and results.is_dir():
        shutil.copytree(
            results, Path(app.outdir) / "results", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md", ".*")
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", copy_results)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
