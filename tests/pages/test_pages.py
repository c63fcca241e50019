"""The built pages in a browser: nothing breaks, nothing is fetched from elsewhere, everything can be read and moved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import HTML
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

pytestmark = pytest.mark.browser
# index.html only forwards to intro.html; print.html repeats all the others.
PAGES = sorted(
    {p.name for p in HTML.glob("*.html")}
    - {"index.html", "print.html", "genindex.html", "py-modindex.html", "search.html"}
)
BOOK = HTML.parents[1] / "book"
CHAPTERS = [name for name in PAGES if re.match(r"\d_", name) and (BOOK / name).with_suffix(".ipynb").is_file()]
DECKS = sorted(f"slides/{p.name}" for p in (HTML / "slides").glob("*.html"))
SITE_MB = 64  # most of it: networks and their runtime for the page that lifts, plotly, MathJax
# The bibliography's list carries a role that its builder gives it; readers lose nothing by it.
AXE_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa"], "preload": False}  # else it fetches style sheets by wrong addresses
AXE_LOOKS_AT = {"include": [["main"]], "exclude": [[".citation-list"]]}


def opened(browser: Browser, address: str, width: int = 1200, scheme: str = "light", **options: bool) -> Page:
    """A page, loaded, that remembers its errors and the requests that left its server."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
    page = context.new_page()
    page.faults = []
    server = "/".join(address.split("/")[:3])

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            page.faults.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((server, "data:", "blob:")):
            page.faults.append(f"request to {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: page.faults.append(f"error: {error}"))
    page.on("request", on_request)
    page.goto(address, wait_until="load")
    return page


def unreadable(page: Page) -> list[str]:
    """What axe-core finds serious: contrast below AA, controls without names, pictures without alternative text."""
    found = Axe().run(page, context=AXE_LOOKS_AT, options=AXE_OPTIONS).response["violations"]
    return [
        f"{v['id']} x {len(v['nodes'])}: {v['help']}; first: {v['nodes'][0]['html'][:160]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_reads_and_fits(browser: Browser, site: str, name: str) -> None:
    """No error, no other server; accessible in light and in dark mode; no wider than a phone."""
    page = opened(browser, f"{site}/{name}")
    # Opened boxes fade in, and half-way their contrast is lower.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important; animation: none !important; }")
    page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    page.wait_for_timeout(500)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert unreadable(page) == [], scheme
    page.set_viewport_size({"width": 390, "height": 900})
    page.reload()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.faults == []
    page.context.close()


@pytest.mark.parametrize("name", DECKS)
def test_slides_open_and_fit(browser: Browser, site: str, name: str) -> None:
    page = opened(browser, f"{site}/{name}")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    tall = page.evaluate("""() => [...document.querySelectorAll('.slides > section')].flatMap((stack, i) =>
        [...stack.querySelectorAll('section')].map((_, j) => {
            Reveal.slide(i, j, 99);
            return [i, j, Reveal.getCurrentSlide().offsetHeight];
        })).filter((place) => place[2] > 800)""")
    assert tall == [], "slides that are too high: stack, slide, pixels"
    assert page.faults == []
    page.context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_move_by_keyboard(browser: Browser, site: str, name: str) -> None:
    """Under every figure are range inputs that a keyboard moves, that say their value, and that change the drawing."""
    page = opened(browser, f"{site}/{name}")
    plots = page.locator("main .plotly-graph-div")
    assert plots.count() >= 2
    state = """(div) => JSON.stringify(
        [div._fullData.map((t) => [t.x, t.y, t.z, t.width]), div.layout.scene, div.layout.title])"""
    for k in range(plots.count()):
        plot = plots.nth(k)
        plot.scroll_into_view_if_needed()  # which is when it is drawn; its controls are made last
        page.wait_for_function("(div) => div.hasAttribute('aria-label')", arg=plot.element_handle())
        slider = plot.locator("xpath=following::input[@type='range'][1]")
        before, drawn = slider.input_value(), plot.evaluate(state)
        slider.focus()
        for _ in range(3):
            slider.press("ArrowRight" if slider.input_value() != slider.get_attribute("max") else "ArrowLeft")
        page.wait_for_timeout(200)
        assert slider.input_value() != before
        assert slider.get_attribute("aria-valuetext")
        assert plot.evaluate(state) != drawn, f"figure {k + 1} of {name}"
    assert page.faults == []
    page.context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_without_scripts_every_figure_is_a_picture(browser: Browser, site: str, name: str) -> None:
    page = opened(browser, f"{site}/{name}", java_script_enabled=False)
    figures = len(re.findall(r"Plotly\.newPlot", (HTML / name).read_text(encoding="utf-8")))
    assert page.locator("main noscript img").count() >= figures
    page.context.close()


def test_student_copies_and_slides_are_offered(site: str) -> None:
    text = "".join((HTML / name).read_text(encoding="utf-8") for name in PAGES)
    assert re.search(r'href="_downloads/[^"]+/student_notebooks\.zip"', text)
    assert len(DECKS) == len(CHAPTERS)
    for deck in DECKS:
        assert f'href="{deck}"' in text


def test_no_page_shows_a_widget(site: str) -> None:
    for name in PAGES:
        assert "jupyter.widget" not in (HTML / name).read_text(encoding="utf-8"), name


def test_the_whole_book_is_small(site: str) -> None:
    size = sum(p.stat().st_size for p in Path(HTML).rglob("*") if p.is_file()) / 1e6
    assert size < SITE_MB
