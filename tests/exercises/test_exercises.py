"""Every check of the book accepts a solution, refuses blanks and likely mistakes with the message that fits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import cases_0
import cases_1
import cases_2
import cases_3
import cases_4
import cases_5
import cases_6
import cases_7
import cases_9
import nbformat
import pytest
import torch

from ites_core.exercises import EXERCISES, NotYet
from ites_core.exercises.base import call, choose, compare

BOOK = Path(__file__).resolve().parents[2] / "book"
CASES = (cases_0, cases_1, cases_2, cases_3, cases_4, cases_5, cases_6, cases_7, cases_9)
RIGHT = [(number, answer) for cases in CASES for number, answers in cases.RIGHT.items() for answer in answers]
WRONG = [(number, *pair) for cases in CASES for number, pairs in cases.WRONG.items() for pair in pairs]


@pytest.mark.parametrize(("number", "answer"), RIGHT)
def test_a_solution_is_accepted(number: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    EXERCISES[number].check(answer)
    assert f"Exercise {number}: correct" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "answer", "message"), WRONG)
def test_a_mistake_is_named(number: str, answer: Any, message: str) -> None:
    with pytest.raises(NotYet, match=message):
        EXERCISES[number].check(answer)


@pytest.mark.parametrize("number", EXERCISES)
def test_a_blank_is_called_a_blank(number: str) -> None:
    with pytest.raises(NotYet, match="still blank"):
        EXERCISES[number].check(...)


def test_each_check_has_a_solution_and_two_mistakes() -> None:
    right, wrong = Counter(number for number, _ in RIGHT), Counter(number for number, _, _ in WRONG)
    assert len(EXERCISES) >= 24
    assert {n for n in EXERCISES if not right[n]} == set()
    assert {n for n in EXERCISES if wrong[n] < 2} == set()


def test_chapters_show_each_exercise_in_order() -> None:
    for chapter in range(8):
        [path] = BOOK.glob(f"{chapter}_*.ipynb")
        cells = nbformat.read(path, as_version=4).cells
        headings = [line[4:] for c in cells for line in c.source.splitlines() if line.startswith("### Exercise ")]
        assert headings == [e.heading for n, e in EXERCISES.items() if n.startswith(f"{chapter}.")], path.name


def test_each_exercise_is_heading_hint_blank_solution_and_check() -> None:
    for path in sorted(BOOK.glob("[0-9]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        starts = [k for k, c in enumerate(cells) if c.source.startswith("### Exercise ")]
        for k in starts:
            assert re.search(r":::\{dropdown\} Hint", cells[k].source), f"{path.name}, cell {k}: no folded hint"
            tags = [set(cells[k + i].metadata.get("tags", [])) & {"exercise", "solution", "check"} for i in (1, 2, 3)]
            assert tags == [{"exercise"}, {"solution"}, {"check"}], f"{path.name}, cell {k}: {tags}"
            assert "hide-cell" in cells[k + 2].metadata.tags
            assert cells[k + 2].metadata.get("jupyter", {}).get("source_hidden"), "folded in JupyterLab too"


def test_comparison_names_kind_shape_values_and_the_first_mistake_that_fits() -> None:
    compare(torch.ones(2), [1.0, 1.0])
    compare(3, 3.0)
    with pytest.raises(NotYet, match="Expected a number, found a str"):
        compare("three", 3.0)
    with pytest.raises(NotYet, match=r"shape is \(3,\), expected \(2,\)"):
        compare(torch.ones(3), torch.ones(2))
    with pytest.raises(NotYet, match="NaN"):
        compare(torch.tensor([1.0, torch.nan]), torch.ones(2))
    with pytest.raises(NotYet, match=r"largest difference is 1\."):
        compare(torch.tensor([1.0, 2.0]), torch.ones(2))
    with pytest.raises(NotYet, match="degrees"):
        compare(180.0, torch.pi, {"wrong sign": -torch.pi, "degrees": 180.0})


def test_a_call_reports_errors_and_missing_returns() -> None:
    with pytest.raises(NotYet, match="ZeroDivisionError"):
        call(lambda x: x / 0, 1)
    with pytest.raises(NotYet, match="returns nothing"):
        call(lambda x: None, 1)
    with pytest.raises(NotYet, match="without brackets"):
        call(3.0, 1)


def test_a_choice_explains_the_wrong_ones() -> None:
    choose(" B ", "b", {"a": "no"})
    with pytest.raises(NotYet, match="because"):
        choose("a", "b", {"a": "because"})
    with pytest.raises(NotYet, match="choose one of a, b"):
        choose("q", "b", {"a": "because"})


def test_a_wrong_answer_shows_one_line_in_a_notebook() -> None:
    assert NotYet("Transposed?")._render_traceback_() == ["Not yet. Transposed?"]
