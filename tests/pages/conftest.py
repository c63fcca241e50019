"""A server for the built book and one browser for all tests of its pages."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # as if the network were off
]  # fmt: skip
SCREENSHOTS = HTML.parent / "screenshots"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Address of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.fail(f"{HTML}: no built book; run `make book` first")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def measured() -> Iterator[dict[str, float]]:
    """What tests measure, by name; written beside the screenshots, to be looked at and not to be judged."""
    found: dict[str, float] = {}
    yield found
    if found:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: round(value, 1) for name, value in sorted(found.items())}, indent=1)
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        (SCREENSHOTS / f"measured-{worker}.json").write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()
