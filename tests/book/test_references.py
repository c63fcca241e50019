"""The bibliography: well formed, and every citation in the book has its entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pybtex.database import BibliographyData, parse_file

BOOK = Path(__file__).resolve().parents[2] / "book"
CITATION = re.compile(r"\{cite(?::[a-z]+)?\}`([^`]+)`")


@pytest.fixture(scope="module")
def bibliography() -> BibliographyData:
    return parse_file(BOOK / "references.bib")


def test_every_entry_says_who_what_when_and_where(bibliography: BibliographyData) -> None:
    places = {
        "article": "journal",
        "inproceedings": "booktitle",
        "techreport": "institution",
        "misc": "howpublished",
    }
    for key, entry in bibliography.entries.items():
        assert entry.persons.get("author"), f"{key} has no author"
        year = ("year",) if entry.type != "misc" or "arXiv" in entry.fields["howpublished"] else ()
        for field in ("title", *year, places[entry.type]):
            assert entry.fields.get(field), f"{key} has no {field}"


@pytest.mark.parametrize("path", sorted([*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")]), ids=lambda p: p.name)
def test_every_citation_has_its_entry(path: Path, bibliography: BibliographyData) -> None:
    cited = {key.strip() for keys in CITATION.findall(path.read_text()) for key in keys.split(",")}
    assert cited <= set(bibliography.entries), cited - set(bibliography.entries)
