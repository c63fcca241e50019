"""Slides from the executed chapters: headings, equations, predictions, figures, results, quiz and take-aways.

    python book/make_slides.py _build/jupyter_execute _build/html

Writes slides/NAME.html into the built book, one deck a chapter. Nothing is written for slides alone, so they cannot
fall behind the chapters. Arrow keys walk: right to the next section, down within it; a folded answer comes one step
after its question.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
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
LONGEST_OUTPUT = 16  # lines of printed text that still fit a slide
FEW_WORDS = 40  # an opening paragraph up to this length is shown whole
# A slide of 1100 x 720 pixels with letters of 30 pixels (web/slides.css); estimates, in pixels.
WIDTH, HEIGHT, LINE, CHARACTERS = 1040, 650, 39, 78
PICTURE, SMALLEST = 430, 260  # height of a picture: at most, and at least where it has to make room for text

markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
dollarmath_plugin(markdown, renderer=lambda tex, how: rf"\[{tex}\]" if how["display_mode"] else rf"\({tex}\)")


@dataclass(frozen=True)
class Piece:
    """A part of a slide.

    Attributes:
        html: the part; ``@HIGH`` in it stands for the height of a picture.
        height: about how high it is, pixels.
        opens: begins a new slide, unless there is only a heading before it.
        picture: how much of the height is a picture, which may shrink.
    """

    html: str
    height: int
    opens: bool = False
    picture: int = 0


def written(text: str, *, opens: bool = False, fragment: bool = False, line: int = LINE) -> Piece:
    """Rendered markdown as a piece."""
    lines = sum(-(-max(1, len(row)) // CHARACTERS) for row in text.splitlines() if row.strip())
    lines = max(lines, -(-len(text) // CHARACTERS))
    body = markdown.render(text)
    return Piece(f'<div class="fragment">{body}</div>' if fragment else body, line * lines + 18, opens)


def plain(text: str, glued: dict[str, str]) -> str:
    """Markdown without what only the book's own builder understands: citations, references, glued numbers."""

    def number(match: re.Match[str]) -> str:
        name, _, form = match[1].partition(":")
        if name not in glued:
            sys.exit(f"{{glue:text}}`{name}`: no cell glues that name; a slide would have a hole")
        return format(float(glued[name]), form) if form else glued[name]

    text = re.sub(r"\{glue:text\}`([^`]+)`", number, text)
    text = re.sub(r"\s*\{cite:p\}`[^`]*`", "", text)
    text = re.sub(r"\{cite:t\}`[^`]*`", "the literature", text)
    text = re.sub(r"\{(?:eq|numref|ref)\}`[^`]*`", "above", text)
    text = re.sub(r"\{(?:term|doc)\}`([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", text)
    text = re.sub(r"\[\]\((\d)_\w+\)", r"chapter \1", text)
    text = re.sub(r"\[\]\((\w+)\)", lambda m: m[1].replace("_", " "), text)
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


def text_pieces(text: str) -> Iterator[Piece]:
    """The pieces of one markdown cell: headings, formulae, lists, questions, and the paragraph it opens with."""
    opened = False
    for kind, piece in blocks(text):
        if kind == "heading":
            opened = False
            yield written(re.sub(r"^#+", "##", piece), opens=True, line=64)
        elif kind == "equation":
            yield Piece(markdown.render(piece), 110 + 75 * piece.count("\\\\"))
        elif kind == "list":
            yield written(piece)
        elif kind == "paragraph":
            if piece.startswith("**After"):
                yield written(piece)
            elif not opened and not re.match(r"\*\*(Time|Files|You need)", piece):
                yield written(opening(piece))
                opened = True
        elif kind == "question":
            yield written(piece, opens=True)
        else:
            title, answer = folded(piece)
            if title.startswith("("):  # an option of a quiz: shown, its explanation one step later
                yield written(f"**{title}**")
                yield written(answer, fragment=True)
            elif title != "Hint":
                yield written(f"**{title}.** {answer}", fragment=True)


def picture(png: str, alt: str, words: str) -> Piece:
    """A base64 picture, as large as fits, with its caption."""
    wide, high = struct.unpack(">II", base64.b64decode(png[:44])[16:24])
    height = int(min(PICTURE, high * WIDTH / wide, 1.7 * high))
    caption = written(words) if words else Piece("", 0)
    image = f'<img alt="{alt}" style="height: @HIGHpx" src="data:image/png;base64,{png}">'
    whole = height + int(0.8 * caption.height)
    return Piece(f'{image}<div class="caption">{caption.html}</div>', whole, picture=height)


def output_pieces(cell: Any) -> Iterator[Piece]:
    """Figures with their captions, stills of what moves in the page, and short printed tables."""
    words = cell.metadata.get("mystnb", {})
    caption = plain(words.get("figure", {}).get("caption", ""), {})
    alt = html.escape(words.get("image", {}).get("alt", ""))
    still = re.compile(r'<noscript><img alt="(.*?)" src="data:image/png;base64,(.*?)"></noscript>', re.DOTALL)
    for printed, group in groupby(cell.outputs, key=lambda output: output.get("name") == "stdout"):
        if printed:  # a long run prints in several parts
            text = "".join(output.text for output in group)
            lines = text.splitlines()
            if 1 < len(lines) <= LONGEST_OUTPUT:
                wide = ' class="wide"' if max(map(len, lines)) > 80 else ""
                yield Piece(f"<pre{wide}>{html.escape(text)}</pre>", 30 * len(lines) + 30)
            continue
        for output in group:
            data = output.get("data", {})
            if "image/png" in data:
                yield picture("".join(data["image/png"].split()), alt, caption)
            elif found := still.search(data.get("text/html", "")):
                yield picture(found[2], found[1], f"{caption} It moves in the chapter.")


def packed(pieces: Iterable[Piece]) -> Iterator[str]:
    """Slides, each with as many pieces as fit; a picture shrinks a little to stay with the text before it."""
    slide: list[str] = []
    used = 0
    for piece in pieces:
        shrink = max(0, used + piece.height - HEIGHT)
        full = shrink > 0 and piece.picture - shrink < SMALLEST
        heading_alone = len(slide) == 1 and slide[0].startswith("<h2>")
        if slide and (full or (piece.opens and not heading_alone)):
            yield "\n".join(slide)
            slide, used, shrink = [], 0, 0
        slide.append(piece.html.replace("@HIGH", str(piece.picture - shrink)) if piece.picture else piece.html)
        used += piece.height - shrink
    if slide:
        yield "\n".join(slide)


def deck(notebook: Any, glued: dict[str, str]) -> str:
    """All slides of an executed chapter, with its glued values."""
    stacks: list[list[Piece]] = [[]]
    left_out = False  # exercises and further reading are for the chapter
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"(?m)^(?=## )", plain(cell.source, glued)):
                if part.startswith("## "):
                    left_out = part.startswith(("## Exercises", "## Going further"))
                    if not left_out:
                        stacks.append([])
                if not left_out:
                    stacks[-1] += text_pieces(part)
        elif not left_out and "remove-cell" not in cell.metadata.get("tags", []):
            stacks[-1] += output_pieces(cell)
    sections = ("\n".join(f"<section>{slide}</section>" for slide in packed(stack)) for stack in stacks if stack)
    return "\n".join(f"<section>{section}</section>" for section in sections)


def shared(text: str, built: Path) -> str:
    """Pictures that the book has as files are taken from there, so that the site does not carry them twice."""

    def source(match: re.Match[str]) -> str:
        name = f"{hashlib.sha256(base64.b64decode(match[1])).hexdigest()}.png"  # as myst-nb names it
        return f'src="../_images/{name}"' if (built / "_images" / name).is_file() else match[0]

    return re.sub(r'src="data:image/png;base64,([^"]+)"', source, text)


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
        store = path.with_suffix(".glue.json")  # myst-nb keeps glued values beside the notebook
        stored = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
        glued = {name: "".join(output["data"].values()).strip("'") for name, output in stored.items()}
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        slides = shared(deck(notebook, glued), built)
        (folder / f"{path.stem}.html").write_text(PAGE.format(title=title, slides=slides), encoding="utf-8")


if __name__ == "__main__":
    main()
