"""Check a built book: every page loads from the book alone, and every link inside the book leads somewhere.

    python book/check_pages.py _build/html

Prints one line for each fault and exits with 1 if there is any.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# The attributes by which a page loads something. (An <a href> to another site is a link, not a load.)
LOADS = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src", "data-jupyter-widgets-cdn"),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
}
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "manifest", "preconnect"}


class Page(HTMLParser):
    """What a page loads, what it links to, the anchors it offers, and pictures that lack a description."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.without_alt: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort one tag's attributes into the lists above."""
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        for name in LOADS.get(tag, ()):
            if name == "srcset":
                self.loads += [part.split()[0] for part in values.get(name, "").split(",") if part.strip()]
            elif name in values:
                self.loads.append(values[name])
        if tag == "link" and "href" in values and LOADING_LINKS & set(values.get("rel", "").split()):
            self.loads.append(values["href"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not any(name == "alt" for name, _ in attrs):
            self.without_alt.append(values.get("src", "")[:60])


def check(folder: Path) -> list[str]:
    """Faults of the pages below ``folder``, one line each."""
    folder = folder.resolve()
    paths = [p for p in sorted(folder.rglob("*.html")) if "_static" not in p.relative_to(folder).parts]
    pages = {path: Page(path.read_text(encoding="utf8")) for path in paths}
    faults = [] if pages else [f"{folder}: no pages"]
    for path, page in pages.items():
        name = path.relative_to(folder)
        faults += [f"{name}: picture without alt text: {src}" for src in page.without_alt]
        for url in page.loads:
            parts = urlsplit(url)
            if parts.scheme in ("data", "blob"):
                continue
            if parts.scheme or parts.netloc:
                faults.append(f"{name}: loads from another server: {url}")
            elif not (path.parent / unquote(parts.path)).is_file():
                faults.append(f"{name}: loads a file that is missing: {url}")
        for url in page.links:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                faults.append(f"{name}: dead link: {url}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{name}: link to a place that is not there: {url}")
    return faults


def main() -> None:
    """Check the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python book/check_pages.py FOLDER")
    faults = check(Path(sys.argv[1]))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
