"""book/make_print_page.py: the whole book as one page that needs no scripts but MathJax."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

SCRIPT = str(Path(__file__).resolve().parents[2] / "book" / "make_print_page.py")
NAVIGATION = """<nav class="bd-docs-nav"><ul>
<li class="toctree-l1"><a class="reference internal" href="{intro}">The book</a></li>
<li class="toctree-l1"><a class="reference internal" href="{one}">1. One</a></li>
<li class="toctree-l1"><a class="reference internal" href="api.html">API</a></li></ul></nav>"""
INTRO = """<html><head><link rel="stylesheet" href="_static/theme.css"><link rel="icon" href="_static/x.svg"></head>
<body>{navigation}<article class="bd-article"><h1 id="top">The book<a class="headerlink" href="#top">#</a></h1>
<a href="1_one.html#here">see</a> <a href="1_one.html">chapter</a> <a href="api.html">API</a>
<a href="slides/1_one.html">slides</a> <a href="https://example.org/1_one.html">far</a></article></body></html>"""
ONE = """<html><head><script>window.MathJax = {"a": 1}</script></head><body>
{navigation}<article class="bd-article"><h1 id="top">One</h1><a href="#here">down</a> <a href="intro.html#top">up</a>
<details><summary>Answer</summary>Yes.</details><p id="here">Here.</p>
<div class="cell_output"><div class="plotly-graph-div" id="p"></div><script>Plotly.newPlot()</script>
<noscript><img alt="still" src="data:,"></noscript></div></article></body></html>"""


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BeautifulSoup:
    """The print view of a book of two pages and an API reference."""
    for name, text, here in (("intro", INTRO, "intro"), ("1_one", ONE, "one")):
        links = {"intro": "intro.html", "one": "1_one.html", here: "#"}
        page = (
            text.format(navigation=NAVIGATION.format(**links)) if here == "intro" else text.replace("{navigation}", "")
        )
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [SCRIPT, str(tmp_path)])
    runpy.run_path(SCRIPT, run_name="__main__")
    return BeautifulSoup((tmp_path / "print.html").read_text(encoding="utf-8"), "html.parser")


def test_pages_follow_one_another_without_the_reference(printed: BeautifulSoup) -> None:
    assert [page["id"] for page in printed.select(".print-page")] == ["intro", "1_one"]
    assert [link["href"] for link in printed.select("nav a")] == ["#intro", "#1_one"]


def test_links_lead_to_places_in_the_page_or_out_of_it(printed: BeautifulSoup) -> None:
    links = [link["href"] for link in printed.select(".print-page a")]
    outside = ["api.html", "slides/1_one.html", "https://example.org/1_one.html"]
    assert links == ["#1_one--here", "#1_one", *outside, "#1_one--here", "#intro--top"]
    ids = {tag["id"] for tag in printed.select("[id]")}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_what_moves_is_still_and_what_is_folded_is_open(printed: BeautifulSoup) -> None:
    assert printed.select_one("details").has_attr("open")
    assert printed.select_one('img[alt="still"]') is not None
    assert not printed.select(".plotly-graph-div, noscript, .headerlink")
    assert [script.get_text() for script in printed.select("script:not([src])")] == ['window.MathJax = {"a": 1}']
    assert [link["href"] for link in printed.select('link[rel="stylesheet"]')] == [
        "_static/theme.css",
        "_static/print.css",
    ]


def test_a_folder_without_pages_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intro.html").write_text("<html></html>", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [SCRIPT, str(tmp_path)])
    with pytest.raises(SystemExit, match="names 0 pages"):
        runpy.run_path(SCRIPT, run_name="__main__")
