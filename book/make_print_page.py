"""The whole book as one page, for the browser's own "print" and "save as PDF".

    python book/make_print_page.py _build/html

Writes print.html into the built book, out of its pages: figures that move become their still pictures, folded boxes
stand open, links within the book become links within the page. The API reference stays out: it is for looking things
up, and half as long as the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag

LEFT_OUT = ("api",)
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")  # attributes that name an id
# What is for a screen only. A moving figure's <div> goes, the picture in its <noscript> stays.
SCREEN_ONLY = "script, style, link, button, .headerlink, .toctree-wrapper, .plotly-graph-div, .cell_output iframe"

PAGE = """<!DOCTYPE html>
<html lang="en" data-content_root="./" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: print view</title>
<link rel="icon" href="_static/favicon.svg">
{styles}
<link rel="stylesheet" href="_static/print.css">
<script>{formulae}</script>
<script defer src="_static/mathjax/tex-svg.js"></script>
</head>
<body>
<main class="bd-article print-view">
<p class="print-hint">This is the whole book on one page. Print it from the browser, or save it as PDF there.
<a href="intro.html">Back to the book</a>.</p>
<nav aria-label="Contents"><ul>
{contents}
</ul></nav>
{articles}
</main>
</body>
</html>
"""


def pages(index: BeautifulSoup) -> dict[str, str]:
    """Page name to title, in the order of the book's contents, from the navigation of its first page."""
    found = {}
    for link in index.select("nav.bd-docs-nav li.toctree-l1 > a.reference.internal"):
        name = str(link["href"]).removesuffix(".html")
        found["intro" if name == "#" else name] = " ".join(link.get_text().split())
    return {name: title for name, title in found.items() if name not in LEFT_OUT}


def article(path: Path, names: set[str]) -> Tag:
    """A page's text, ready to stand beside the others.

    Args:
        path: the built page.
        names: of all pages that will stand in the same document.
    """
    found = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")
    if found is None:
        sys.exit(f"{path}: no article in this page; was it built with another theme?")
    for part in found.select(SCREEN_ONLY):
        part.decompose()
    for part in found.select("noscript"):
        part.unwrap()
    for box in found.select("details"):
        box["open"] = ""
    for part in found.select("[id]"):
        part["id"] = f"{path.stem}--{part['id']}"
    for attribute in REFERENCES:
        for part in found.select(f"[{attribute}]"):
            part[attribute] = " ".join(f"{path.stem}--{word}" for word in str(part[attribute]).split())
    for link in found.select("a[href]"):
        link["href"] = within(str(link["href"]), path.stem, names)
    found.name = "section"
    found["id"] = path.stem
    found["class"] = "print-page"
    return found


def within(address: str, page: str, names: set[str]) -> str:
    """An address of the book as an address of the one page; everything else stays as it is."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return address
    target = Path(parts.path).stem if parts.path else page
    if target not in names or (parts.path and parts.path != f"{target}.html"):
        return address
    return f"#{target}--{parts.fragment}" if parts.fragment else f"#{target}"


def settings_of_mathjax(built: Path, names: Iterable[str]) -> str:
    """The script by which the book's pages tell MathJax where formulae are, from the first page that has any."""
    for name in names:
        page = BeautifulSoup((built / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        for script in page.select("script:not([src])"):
            if script.get_text().strip().startswith("window.MathJax"):
                return script.get_text()
    return ""


def main() -> None:
    """Write print.html."""
    if len(sys.argv) != 2:
        sys.exit("usage: python book/make_print_page.py BUILT_BOOK")
    built = Path(sys.argv[1])
    index = BeautifulSoup((built / "intro.html").read_text(encoding="utf-8"), "html.parser")
    titles = pages(index)
    if len(titles) < 2:
        sys.exit(f"{built}/intro.html: its navigation names {len(titles)} pages; was it built with another theme?")
    styles = [link for link in index.select('link[rel="stylesheet"]') if str(link["href"]).startswith("_static/")]
    text = PAGE.format(
        title=titles["intro"],
        formulae=settings_of_mathjax(built, titles),
        styles="\n".join(map(str, styles)),
        contents="\n".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in titles.items()),
        articles="\n".join(str(article(built / f"{name}.html", set(titles))) for name in titles),
    )
    (built / "print.html").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
