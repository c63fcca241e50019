"""ites_core.experiments.page: tables that sort in a browser without the network, and figures of any stored runs."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from test_verdict import HIGH, LOW, row, store

from ites_core.errors import ItesError
from ites_core.experiments.artefacts import Place, write_row
from ites_core.experiments.cost import Cost
from ites_core.experiments.declared import EXPERIMENTS
from ites_core.experiments.page import (
    Entry,
    cost_table,
    examples,
    forest_figure,
    paper_table,
    reasons,
    sortable,
    sweep_figure,
    verdict_table,
)
from ites_core.experiments.report import judgements


def cells(html: str) -> list[str]:
    return re.findall(r"<(?:td|th scope=\"row\")[^>]*>(.*?)</(?:td|th)>", html)


def test_text_is_escaped() -> None:
    page = sortable(["<a>"], [["<b>"], [Entry("<i>shown</i>", '"')]], "<c>").text
    assert "&lt;a&gt;" in page and "&lt;b&gt;" in page and "&lt;c&gt;" in page
    assert "<i>shown</i>" in page and 'data-key="&quot;"' in page


@pytest.mark.browser
def test_a_table_sorts_by_mouse_and_by_keyboard(chromium: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    rows = [
        ["b", Entry("10.0", 10.0)],
        ["a", Entry("9.0", 9.0)],
        ["c", Entry("", float("nan"))],
        ["d", Entry("-1", -1.0)],
    ]
    file = tmp_path / "page.html"
    two = [sortable(["name", "value"], rows, f"table {k}").text for k in (1, 2)]  # each brings the script
    file.write_text(f"<!doctype html><html lang='en'><body>{''.join(two)}</body></html>", encoding="utf-8")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.route("http*://**", lambda route: route.abort())
        page.goto(file.as_uri())
        first = page.locator("table").first

        def names() -> str:
            return "".join(first.locator("tbody th").all_inner_texts())

        value = first.get_by_role("button", name="value")
        assert names() == "bacd"
        value.click()
        assert names() == "dabc", "numbers by size, not by letter; blanks last"
        assert first.locator("thead th").nth(1).get_attribute("aria-sort") == "ascending"
        value.press("Enter")
        assert names() == "badc", "descending, blanks still last"
        value.press("Enter")
        assert names() == "bacd" and first.locator("[aria-sort]").count() == 0
        first.get_by_role("button", name="name").press("Space")
        assert names() == "abcd"
        assert "".join(page.locator("table").nth(1).locator("tbody th").all_inner_texts()) == "bacd"
        browser.close()


def test_a_paper_table_links_every_run(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=LOW)
    page = paper_table(EXPERIMENTS["table-3"], place).text
    links = re.findall(r'href="results/([^"]+)"', page)
    assert links == [f"cmu17/small/teacher-{seed}.json" for seed in range(3)]
    assert all((tmp_path / link).is_file() for link in links)
    assert "50.2&nbsp;±&nbsp;0.8" in cells(page) and "120.4" in cells(page)
    whole, mine = (paper_table(EXPERIMENTS["table-1"], place, only).text for only in (False, True))
    assert "RepNet" in whole and "RepNet" not in mine and "Fully" in mine


def test_verdicts_and_reasons(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, **{"student": HIGH, "teacher on the rays": LOW, "teacher": LOW, "student KD only": HIGH})
    found = judgements(place, ["table-3", "table-4"])
    page = verdict_table(found, "claims").text
    assert "<strong>does not hold</strong>" in page and "<strong>not measured</strong>" in page
    assert reasons(found).text.count("<li>") == 2, "those that were measured and do not hold, if there is a reason"
    assert "Every claim" in reasons([]).text


@pytest.mark.parametrize("name", ["table-5", "table-6", "figure-6"])
def test_sweeps_draw_what_is_there(name: str, tmp_path: Path) -> None:
    empty = sweep_figure(EXPERIMENTS[name], Place(results=tmp_path), "weight")
    place = Place(results=tmp_path)
    for k, system in enumerate(EXPERIMENTS[name].systems):
        for seed in range(3):
            write_row(row(system, seed, 60.0 + k + seed, 50.0 + k), place)
    full = sweep_figure(EXPERIMENTS[name], place, "weight", log=True)
    assert len(full.axes[0].collections) == 2, "a band for each column"
    assert len(full.axes[0].lines) == len(empty.axes[0].lines) + 2
    plt.close("all")


def test_forest_keeps_its_rows_while_seeds_come_and_go(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=LOW, student=LOW, C3DPO=HIGH)
    claims = [(claim, place) for e in EXPERIMENTS.values() for claim in e.claims]
    few, all_of_them = (forest_figure(claims, n) for n in (2, 3))
    assert len(few.data) == len(all_of_them.data) == 2
    assert list(few.layout.yaxis.ticktext) == list(all_of_them.layout.yaxis.ticktext) and len(few.data[0].x) > 1
    assert max(few.data[0].error_x.array) > max(all_of_them.data[0].error_x.array)
    assert len(forest_figure([], 2).data[0].x) == 0


def test_examples_come_at_their_best_scale(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    with pytest.raises(ItesError, match="examples-cmu17"):
        examples(EXPERIMENTS["figure-5"], place, "cmu17")
    stored = examples(EXPERIMENTS["figure-5"], Place(), "cmu17")
    assert stored.truth.shape == (4, 17, 3) and len(stored.actions) == len(stored.camera) == 4
    (tmp_path / "cmu17").mkdir()
    (tmp_path / "cmu17" / "examples-cmu17.json").write_text(
        (Place().results / "cmu17" / "examples-cmu17.json").read_text()
    )
    millimetres = (2000 * stored.truth).round().int().tolist()
    write_row(row("student", 0, 50.0, examples={"cmu17": millimetres}), place)
    found = examples(EXPERIMENTS["figure-5"], place, "cmu17")
    assert set(found.lifted) == {"student"} and (found.lifted["student"] - found.truth).abs().max() < 2e-3


def test_cost_table_shows_print_beside_measurement() -> None:
    networks = {"C3DPO": {"parameters": 7279919, "ms_single": 1.5, "us_batch": 20.0}}
    page = cost_table(Cost("a machine", networks, {})).text
    assert cells(page) == ["C3DPO", "0.53", "7,279,919", "0.17", "1.50", "20.0"] and "a machine" in page
