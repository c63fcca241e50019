"""book/make_slides.py: what a slide shows of a chapter, and how much of it."""

from __future__ import annotations

import base64
import hashlib
import runpy
import struct
from pathlib import Path
from typing import Any

import nbformat
import pytest

SLIDES = runpy.run_path(str(Path(__file__).resolve().parents[2] / "book" / "make_slides.py"))
NAMES = ("Piece", "plain", "packed", "deck", "picture", "shared")
Piece, plain, packed, deck, picture, shared = (SLIDES[name] for name in NAMES)


def png(wide: int, high: int) -> str:
    """The head of a PNG file of that size, base64: all that the size is read from."""
    return base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", wide, high) + bytes(20)).decode()


def chapter(*cells: Any) -> Any:
    return nbformat.v4.new_notebook(cells=list(cells))


def test_glued_numbers_take_their_form() -> None:
    text = plain("off by {glue:text}`gap:.1f` mm, {glue:text}`side`", {"gap": "12.345", "side": "behind"})
    assert text == "off by 12.3 mm, behind"


def test_a_number_that_nobody_glued_stops_the_build() -> None:
    with pytest.raises(SystemExit, match="gone"):
        plain("{glue:text}`gone:.1f` mm", {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see {cite:p}`xu2021ites`.", "see."),
        ("by {eq}`eq-ric`", "by above"),
        ("a {term}`lifting`", "a lifting"),
        ("as in [](3_invariance_cycle)", "as in chapter 3"),
        ("in [the glossary](glossary)", "in the glossary"),
    ],
)
def test_what_only_the_builder_understands_is_replaced(text: str, shown: str) -> None:
    assert plain(text, {}) == shown


def test_a_slide_takes_what_fits_and_a_question_opens_one() -> None:
    low, high = Piece("low", 200), Piece("high", 500)
    assert list(packed([low, low, low, low])) == ["low\nlow\nlow", "low"]
    assert list(packed([low, high])) == ["low", "high"]
    assert list(packed([low, Piece("question", 100, opens=True)])) == ["low", "question"]
    assert list(packed([Piece("<h2>Quiz</h2>", 80, opens=True), Piece("question", 100, opens=True)])) == [
        "<h2>Quiz</h2>\nquestion"
    ]


def test_a_picture_shrinks_to_stay_with_its_text_but_not_to_a_stamp() -> None:
    shown = picture(png(1000, 800), "a pose", "")
    assert shown.picture == 430
    assert [slide.count("height: 330px") for slide in packed([Piece("text", 320), shown])] == [1]
    assert [slide.count("height: 430px") for slide in packed([Piece("text", 600), shown])] == [0, 1]


def test_a_picture_is_not_changed_by_its_height() -> None:
    data = png(100, 80) + base64.b64encode(base64.b64decode("HIGHHIGH")).decode()
    (slide,) = packed([picture(data, "a pose", "")])
    assert f"base64,{data}" in slide


def test_a_deck_leaves_out_exercises_and_live_cells_and_joins_what_is_printed() -> None:
    printed = nbformat.v4.new_code_cell(
        "...", outputs=[nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    )
    hidden = nbformat.v4.new_code_cell("live(...)", metadata={"tags": ["remove-cell"]}, outputs=list(printed.outputs))
    text = deck(
        chapter(
            nbformat.v4.new_markdown_cell("# Poses\n\nShort."),
            printed,
            hidden,
            nbformat.v4.new_markdown_cell("## Exercises\n\nDo this."),
            nbformat.v4.new_markdown_cell("## Take-aways\n\n- One thing"),
        ),
        {},
    )
    assert text.count("<pre>one\ntwo\n</pre>") == 1
    assert "Do this" not in text
    assert "One thing" in text


def test_a_picture_that_the_book_has_as_a_file_is_not_carried_twice(tmp_path: Path) -> None:
    known, other = png(10, 10), png(20, 10)
    folder = tmp_path / "_images"
    folder.mkdir()
    name = f"{hashlib.sha256(base64.b64decode(known)).hexdigest()}.png"
    (folder / name).touch()
    text = f'<img src="data:image/png;base64,{known}"><img src="data:image/png;base64,{other}">'
    assert shared(text, tmp_path) == f'<img src="../_images/{name}"><img src="data:image/png;base64,{other}">'
