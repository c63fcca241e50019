"""Student copies of the chapters: the same notebooks without solutions, in one zip that the book offers.

    python book/make_student_copies.py

Writes book/_generated/student_notebooks.zip. Cells tagged ``solution`` go; the blank before and the check after
each of them stay. A student who has ites_core installed can run them anywhere.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent
TARGET = BOOK / "_generated" / "student_notebooks.zip"
STAMP = (1980, 1, 1, 0, 0, 0)  # zip's own epoch: the same notebooks give the same file
READ_ME = """Student copies of "Lifting poses without labels": the chapters without solutions.

Install the package from its repository (make env, or pip install -r requirements.txt), then
open a notebook in JupyterLab and run it cell by cell. An exercise is a blank cell followed by
a check. A check that is not content says what the answer looks like; replace the dots, run the
cell, run the check again.
"""


def student_copy(path: Path) -> str:
    """A chapter without its solutions and without outputs, as notebook JSON."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def main() -> None:
    """Write the zip."""
    TARGET.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED) as archive:
        texts = {path.name: student_copy(path) for path in sorted(BOOK.glob("[0-9]_*.ipynb"))}
        for name, text in {"README.txt": READ_ME, **texts}.items():
            archive.writestr(zipfile.ZipInfo(f"student_notebooks/{name}", STAMP), text, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
