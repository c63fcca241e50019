"""Prose: measured numbers are glued, figures have words, headings are in order, questions have answers."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]_*.ipynb"))
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAGES = sorted([*NOTEBOOKS, *BOOK.glob("*.md")])

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)

# A number with a unit in which results are measured.
MEASURED = re.compile(
    r"(?<![\w.$\\^_{-])\d[\d,.]*(?:\s|\u00a0|-)?"
    r"(?:mm|millimetres?|%|per cent|percent|pixels?|ms|milliseconds?|MB|GB|GFLOP/s|TFLOP/s|poses/s|fps|kWh|times "
    r"(?:faster|slower|larger|smaller))(?![\w])"
)
CITED = re.compile(r"\{cite:[pt]\}`")
# Chosen, not measured: thresholds of metrics, goals, and numbers that a question or a task sets.
CHOSEN = {
    "1,000-pixel": "the camera that chapter 2 expresses its errors in",
    "50 mm": "a goal of chapter 2, and what one bad joint adds on average in chapter 1",
    "20 mm": "a goal of chapter 2",
    "10 mm": "a goal of chapter 2",
    "5 mm": "a goal of chapter 2",
    "150 mm": "the threshold of PCK",
    "95 %": "the confidence that chapter 6 asks of an interval",
    "1 %": "the leak that an exercise of chapter 4 asks for",
    "1 ms": "the toy time-line of chapter 5",
    "1.5 ms": "the toy time-line of chapter 5",
    "30 mm": "an example that a question sets",
    "100 mm": "an example that a question sets",
}


def prose(path: Path) -> list[tuple[str, str]]:
    """(place, paragraph) of a page, without code and formulae."""
    if path.suffix == ".md":
        cells = [(path.name, path.read_text(encoding="utf-8"))]
    else:
        notebook = nbformat.read(path, as_version=4)
        cells = [(f"cell {k}", c.source) for k, c in enumerate(notebook.cells) if c.cell_type == "markdown"]
    found = []
    for place, text in cells:
        text = re.sub(r"(?ms)^(`{3,})(?!\{admonition).*?^\1", "", text)
        text = re.sub(r"(?s)\$\$.*?\$\$|(?<!\$)\$[^$\n]+(?:\n[^$\n]+)?\$", " FORMULA ", text)
        text = re.sub(r"(\{[\w:-]+\})?`[^`]+`", lambda m: m[0] if m[1] else " CODE ", text)  # a role is prose
        found += [(place, " ".join(p.split())) for p in re.split(r"\n\s*\n|^:::.*$", text, flags=re.M) if p.strip()]
    return found


@each_page
def test_no_result_is_typed_in(path: Path) -> None:
    """Numbers of the paper stand beside a citation; ours come from a cell: printed above, or {glue:text}."""
    if path.name in ("execution_times.md", "api.md", "bibliography.md"):
        return
    typed = [
        f"{place}: {match[0]!r} in {paragraph[:80]!r}"
        for place, paragraph in prose(path)
        if not CITED.search(paragraph)
        for match in MEASURED.finditer(paragraph)
        if match[0].replace("\u00a0", " ") not in CHOSEN
    ]
    assert not typed, "\n".join(typed)


def test_the_search_for_typed_results_finds_them() -> None:
    for text in ("an error of 69.8 mm here", "in 45 % of the frames", "off by 12.3 pixels", "it is 3.1 times faster"):
        assert MEASURED.search(text), text
    for text in ("17 joints", "t = 5 units", "K = 12 atoms", "the {glue:text}`gain:.1f` mm", "4,000 steps"):
        assert not MEASURED.search(text), text


def headings(path: Path) -> list[int]:
    """Levels of all headings of a page in order."""
    return [len(m[0]) for _, text in raw(path) for m in re.finditer(r"(?m)^#+(?= )", text)]


def raw(path: Path) -> list[tuple[str, str]]:
    """(place, text) of the markdown of a page without fenced code."""
    if path.suffix == ".md":
        cells = [(path.name, path.read_text(encoding="utf-8"))]
    else:
        notebook = nbformat.read(path, as_version=4)
        cells = [(f"cell {k}", c.source) for k, c in enumerate(notebook.cells) if c.cell_type == "markdown"]
    return [(place, re.sub(r"(?ms)^(`{3,}|~{3,}).*?^\1", "", text)) for place, text in cells]


@each_page
def test_headings_are_in_order(path: Path) -> None:
    levels = headings(path)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


def draws(cell: Any) -> bool:
    """A code cell that leaves a matplotlib figure in the page."""
    source = cell.source
    makes = re.search(
        r"plt\.(?:subplots|figure)\(|^(?:draw_poses_3d|training_curves)\(|= training_curves\(", source, re.M
    )
    return bool(makes) and "embed(" not in source and "remove-cell" not in cell.metadata.get("tags", [])


@each_notebook
def test_every_figure_has_caption_and_alt_text(path: Path) -> None:
    for k, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code" and draws(cell) and "solution" not in cell.metadata.get("tags", []):
            words = cell.metadata.get("mystnb", {})
            assert len(words.get("image", {}).get("alt", "")) > 30, f"{path.name}, cell {k}: no alt text"
            assert len(words.get("figure", {}).get("caption", "")) > 20, f"{path.name}, cell {k}: no caption"


MOVES = re.compile(r"(?m)^\s*embed\(|depth_explorer\(")


@each_notebook
def test_every_figure_that_moves_has_a_caption(path: Path) -> None:
    """Their alternative text is an argument of the function, so Python asks for it."""
    for k, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code" and MOVES.search(cell.source):
            caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
            assert len(caption) > 20, f"{path.name}, cell {k}: no caption"


@each_notebook
def test_every_figure_that_moves_has_a_still(path: Path) -> None:
    for k, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code" and "embed(" in cell.source:
            for call in ast.walk(ast.parse(cell.source)):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "embed":
                    given = len(call.args) >= 3 or any(word.arg == "still" for word in call.keywords)
                    assert given, f"{path.name}, cell {k}: no still picture for pages without scripts"


@each_notebook
def test_every_prediction_has_a_folded_answer(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for k, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "**Predict" in cell.source:
            # below the question, or after the cell that shows it
            below = "\n".join(c.source for c in cells[k : k + 4] if c.cell_type == "markdown").split("**Predict", 1)[1]
            assert ":::{dropdown} Answer" in below, f"{path.name}, cell {k}: no folded answer"


@each_chapter
def test_a_chapter_has_everything_a_chapter_has(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    code = [c for c in cells if c.cell_type == "code"]
    assert "**Time**" in text and "{execution-time}`" in text
    assert "[student copies](student-copies)" in text or "(student-copies)=" in text
    for heading in ("## Exercises", "## Quiz", "## Take-aways"):
        assert heading in text, heading
    moving = [c for c in code if MOVES.search(c.source)]
    live = [c for c in code if "remove-cell" in c.metadata.get("tags", []) and "live(" in c.source]
    assert len(moving) >= 2, f"{len(moving)} figures that move"
    assert len(live) >= 2, f"{len(live)} live twins"
    quiz = text.split("## Quiz")[1].split("\n## ")[0]
    questions = re.split(r"(?m)^(?=\*\*\d\.\*\*)", quiz)[1:]
    assert 3 <= len(questions) <= 5
    for question in questions:
        assert len(re.findall(r"\{dropdown\} \(\w\)", question)) >= 3, f"too few options: {question[:60]}"
        assert question.count("**Right") == 1, f"one option is right: {question[:60]}"


@each_chapter
def test_a_chapter_has_the_right_length(path: Path) -> None:
    words = sum(len(paragraph.split()) for _, paragraph in prose(path))
    assert 2500 <= words <= 5000, f"{words} words"
