"""The stored chapters: valid, free of outputs and of any one machine's paths, and listed in the contents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
MACHINE_PATH = re.compile(
    r"(?<![\w./~])/(?:home|root|Users|work|mnt|media|content|kaggle|workspace)/\w|\b[A-Z]:\\\\?\w"
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def contents() -> list[str]:
    """Names of all pages in the table of contents, the root first."""
    toc: dict[str, Any] = yaml.safe_load((BOOK / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


@each_notebook
def test_is_valid_and_runs_on_the_environments_kernel(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.metadata.get("kernelspec", {}).get("name") == "python3"
    ids = [cell.get("id") for cell in notebook.cells]
    assert None not in ids, "a cell has no id: save with nbformat 4.5"
    assert len(ids) == len(set(ids))


@each_notebook
def test_is_stored_without_outputs(path: Path) -> None:
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {number} has outputs; clear them before you commit"
            assert cell.execution_count is None, f"cell {number} has an execution count; clear the outputs"
        assert not cell.get("attachments"), f"cell {number} has an attachment; put the picture in book/images"
    assert "widgets" not in nbformat.read(path, as_version=4).metadata, "widget state is stored; clear the outputs"


@each_notebook
def test_names_no_path_of_one_machine(path: Path) -> None:
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        found = MACHINE_PATH.search(cell.source)
        assert not found, f"cell {number} names a machine's path: {found[0] if found else ''}..."


@each_notebook
def test_opens_with_one_title(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    titles = [
        line
        for cell in cells
        if cell.cell_type == "markdown"
        for line in re.sub(r"(?ms)^(`{3,}|~{3,}|:{3,}).*?^\1", "", cell.source).splitlines()
        if line.startswith("# ")
    ]
    assert cells[0].cell_type == "markdown"
    assert len(titles) == 1, titles
    assert cells[0].source.lstrip().startswith(("# ", "("))


def test_contents_and_files_agree() -> None:
    pages = contents()
    assert len(pages) == len(set(pages))
    for page in pages:
        assert any((BOOK / f"{page}{suffix}").is_file() for suffix in (".md", ".ipynb")), f"no file for {page}"
    unlisted = {path.stem for path in NOTEBOOKS} - set(pages)
    assert not unlisted, f"not in book/_toc.yml: {', '.join(sorted(unlisted))}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/home/ada/poses.npz", True),
        ("C:\\Users\\ada", True),
        ("see ../shared/data", False),
        ("https://example.org/home/page", False),
        ("at work/play", False),
    ],
)
def test_machine_paths_are_told_from_other_text(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found
