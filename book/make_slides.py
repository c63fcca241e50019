"""Slides from the executed chapters: headings, equations, predictions, figures, results, quiz and take-aways.

    python book/make_slides.py _build/jupyter_execute _build/html

Writes slides/NAME.html into the built book, one deck a chapter. Nothing is written for slides alone, so they cannot
fall behind the chapters. Arrow keys walk: right to the next section, down within it; a folded answer comes one step
after its question.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/reveal/reveal.css">
<link rel="stylesheet" href="../_static/reveal/theme/white.css">
<link rel="stylesheet" href="../_static/slides.css">
<script>window.MathJax = {{tex: {{inlineMath: [["\\\\(", "\\\\)"]]}}, svg: {{fontCache: "global"}}}};</script>
<script defer src="../_static/mathjax/tex-svg.js"></script>
</head>
<body>
<main class="reveal"><div class="slides">
{slides}
</div></main>
<script src="../_static/reveal/reveal.js"></script>
<script>Reveal.initialize({{hash: true, slideNumber: "c/t", width: 1100, height: 720, transition: "none"}});</script>
</body>
</html>
"""
LONGEST_OUTPUT = 14  # lines of printed text that still fit a slide
FEW_WORDS = 40  # an opening paragraph up to this length is shown whole

markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
dollarmath_plugin(markdown, renderer=lambda tex, how: rf"\[{tex}\]" if how["display_mode"] else rf"\({tex}\)")


def plain(text: str, glued: dict[str, str]) -> str:
    """Markdown without what only the book's own builder understands: citations, references, glued numbers."""

    def number(match: re.Match[str]) -> str:
        name, _, form = match[1].partition(":")
        value = glued.get(name, "")
        return format(float(value), form) if form and value else value

    text = re.sub(r"\{glue:text\}`([^`]+)`", number, text)
    text = re.sub(r"\s*\{cite:p\}`[^`]*`", "", text)
    text = re.sub(r"\{cite:t\}`[^`]*`", "the literature", text)
    text = re.sub(r"\{(?:eq|numref|ref)\}`[^`]*`", "above", text)
    text = re.sub(r"\{(?:term|doc)\}`([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\{[a-z:-]+\}`[^`]*`", "", text)
    return re.sub(r"(?m)^\([\w-]+\)=\n", "", re.sub(r"\$\$ *\([\w-]+\)", "$$", text))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """A markdown cell as (kind, text): heading, dropdown, question, equation, list, table or paragraph."""
    dropdown = re.compile(r"(?ms)^(:{3,})\{(?:dropdown|admonition)\}[^\n]*\n.*?^\1 *$")
    place = 0
    for match in dropdown.finditer(text):
        yield from _pieces(text[place : match.start()])
        yield "dropdown", match[0]
        place = match.end()
    yield from _pieces(text[place:])


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    for piece in re.split(r"\n\s*\n", text.strip()):
        piece = piece.strip()
        if not piece:
            continue
        if piece.startswith("#"):
            yield "heading", piece
        elif re.match(r"\*\*(Predict|\d+\.)", piece):
            yield "question", piece
        elif piece.startswith("$$"):
            yield "equation", piece
        elif re.match(r"[-*] |\d+\. |\|", piece):
            yield "list", piece
        else:
            yield "paragraph", piece


def folded(dropdown: str) -> tuple[str, str]:
    """Title and text of a folded box."""
    first, _, rest = dropdown.partition("\n")
    lines = [line for line in rest.splitlines() if not line.startswith((":::", ":"))]
    return first.split("}", 1)[1].strip(), "\n".join(lines).strip()


def opening(paragraph: str) -> str:
    """A short paragraph whole, of a longer one the first two sentences, formulae kept whole."""
    one_line = " ".join(paragraph.split())
    if len(one_line.split()) <= FEW_WORDS:
        return one_line
    match = re.match(r"(?:(?:\$[^$]*\$|[^$])*?[.?!](?=\s|$)){1,2}", one_line)
    return match[0] if match else one_line


def text_slides(text: str) -> Iterator[str]:
    """The slides of one markdown cell: headings, formulae, lists, questions, and the paragraph it opens with."""
    body: list[str] = []
    opened = False
    for kind, piece in blocks(text):
        if kind in ("heading", "equation", "list"):
            opened = opened and kind != "heading"
            body.append(markdown.render(re.sub(r"^#+", "##", piece)))
        elif kind == "paragraph":
            if piece.startswith("**After"):
                body.append(markdown.render(piece))
            elif not opened and not re.match(r"\*\*(Time|Files|You need)", piece):
                body.append(markdown.render(opening(piece)))
                opened = True
        elif kind == "question":
            if body:
                yield "\n".join(body)
            body = [markdown.render(piece)]
        else:
            title, answer = folded(piece)
            if title.startswith("("):  # an option of a quiz: shown, its explanation one step later
                body.append(markdown.render(f"**{title}**") + f'<div class="fragment">{markdown.render(answer)}</div>')
            elif title != "Hint":
                body.append(f'<div class="fragment">{markdown.render(f"**{title}.** {answer}")}</div>')
    if body:
        yield "\n".join(body)


def output_slides(cell: Any) -> Iterator[str]:
    """Figures with their captions, stills of what moves in the page, and short printed tables."""
    words = cell.metadata.get("mystnb", {})
    caption = markdown.render(plain(words.get("figure", {}).get("caption", ""), {}))
    alt = html.escape(words.get("image", {}).get("alt", ""))
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">{caption}'
        elif still := re.search(r"<noscript>(<img .*?>)</noscript>", data.get("text/html", ""), re.DOTALL):
            yield f"{still[1]}<p>This figure moves in the chapter.</p>"
        elif output.get("name") == "stdout" and 1 < len(output.text.splitlines()) <= LONGEST_OUTPUT:
            yield f"<pre>{html.escape(output.text)}</pre>"


def deck(notebook: Any) -> str:
    """All slides of an executed chapter."""
    glued = {
        output.metadata.scrapbook.name: output.data.get("text/plain", "").strip("'")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    }
    stacks: list[list[str]] = [[]]
    left_out = False  # exercises and further reading are for the chapter
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"(?m)^(?=## )", plain(cell.source, glued)):
                if part.startswith("## "):
                    left_out = part.startswith(("## Exercises", "## Going further"))
                    if not left_out:
                        stacks.append([])
                if not left_out:
                    stacks[-1] += text_slides(part)
        elif not left_out and "remove-cell" not in cell.metadata.get("tags", []):
            stacks[-1] += output_slides(cell)
    sections = ("\n".join(f"<section>{slide}</section>" for slide in stack) for stack in stacks if stack)
    return "\n".join(f"<section>{section}</section>" for section in sections)


def main() -> None:
    """Write a deck for every executed chapter (files that begin with a digit)."""
    if len(sys.argv) != 3:
        sys.exit("usage: python book/make_slides.py EXECUTED_NOTEBOOKS BUILT_BOOK")
    executed, built = map(Path, sys.argv[1:])
    book = Path(__file__).resolve().parent  # a page written as text, like the one that lifts, has no slides
    chapters = sorted(path for path in executed.glob("[0-9]_*.ipynb") if (book / path.name).is_file())
    if not chapters:
        sys.exit(f"{executed}: no executed chapters; build the book first")
    folder = built / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    for path in chapters:
        notebook = nbformat.read(path, as_version=4)
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        (folder / f"{path.stem}.html").write_text(PAGE.format(title=title, slides=deck(notebook)), encoding="utf-8")


if __name__ == "__main__":
    main()
