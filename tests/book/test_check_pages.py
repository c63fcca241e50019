"""book/check_pages.py finds what it should find in a built page, and nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).resolve().parents[2] / "book" / "check_pages.py"))["check"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', "another server"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "another server"),
        ('<img src="gone.png" alt="a pose">', "missing"),
        ('<img src="here.png">', "alt text"),
        ('<a href="gone.html">x</a>', "dead link"),
        ('<a href="index.html#nowhere">x</a>', "not there"),
    ],
)
def test_fault_is_named(tmp_path: Path, body: str, fault: str) -> None:
    (tmp_path / "here.png").touch()
    (tmp_path / "index.html").write_text(body)
    (line,) = CHECK(tmp_path)
    assert fault in line
    assert line.startswith("index.html: ")


def test_a_good_page_and_links_to_other_sites_pass(tmp_path: Path) -> None:
    (tmp_path / "here.png").touch()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">Poses</h1><img src="here.png?v=1" alt=""><a href="#top">up</a>'
        '<img src="data:image/png;base64,AA==" alt="dot"><a href="https://example.org">elsewhere</a>'
    )
    assert CHECK(tmp_path) == []


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    assert len(CHECK(tmp_path)) == 1
