"""Student copies run up to their first blank, whose check then says that it is still blank."""

from __future__ import annotations

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]_*.ipynb"))
student_copy = runpy.run_path(str(BOOK / "make_student_copies.py"))["student_copy"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_student_copy_runs_up_to_its_first_blank(path: Path, tmp_path: Path) -> None:
    copy = nbformat.reads(student_copy(path), as_version=4)
    tags = [set(cell.metadata.get("tags", [])) for cell in copy.cells]
    assert not any("solution" in found for found in tags)
    checks = [k for k, found in enumerate(tags) if "check" in found]
    blanks = [k for k, found in enumerate(tags) if "exercise" in found]
    assert len(checks) == len(blanks) >= 4
    copy.cells = copy.cells[: checks[0] + 1]
    with pytest.raises(CellExecutionError, match=r"still blank|returns nothing yet"):
        NotebookClient(copy, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    done = [cell.execution_count for cell in copy.cells if cell.cell_type == "code"]
    assert None not in done, "a cell before the first check failed"
