"""book/_ext/results_files.py: the stored runs go along with the pages."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

COPY = runpy.run_path(str(Path(__file__).resolve().parents[2] / "book" / "_ext" / "results_files.py"))["copy_results"]


@pytest.mark.parametrize(
    ("builder", "error", "copied"), [("html", None, True), ("latex", None, False), ("html", 1, False)]
)
def test_runs_are_copied_into_a_finished_html_build(builder: str, error: object, copied: bool, tmp_path: Path) -> None:
    runs = tmp_path / "results" / "cmu17" / "small"
    runs.mkdir(parents=True)
    (runs / "teacher-0.json").write_text("{}")
    (runs / ".teacher-1.json.tmp").write_text("{")
    (tmp_path / "results" / "README.md").write_text("# Results")
    out = tmp_path / "out"
    for _ in range(2):  # a second build finds the folder there
        COPY(SimpleNamespace(srcdir=tmp_path / "book", outdir=out, builder=SimpleNamespace(format=builder)), error)
    found = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    assert found == (["results/cmu17/small/teacher-0.json"] if copied else [])
