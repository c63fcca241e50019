"""ites_core.experiments.verdict and report: verdicts follow from the stored numbers, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import ttest_1samp

from ites_core.errors import ItesError
from ites_core.experiments.artefacts import Place, Row, summary, write_row
from ites_core.experiments.declared import EXPERIMENTS
from ites_core.experiments.report import (
    BEGIN,
    END,
    best_place,
    cell,
    judgements,
    readme_block,
    show,
    table,
    write_readme,
)
from ites_core.experiments.tables import Claim
from ites_core.experiments.verdict import Judgement, Verdict, interval, judge, value

FLOATS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8)


def row(system: str, seed: int, plain: float, oracle: float | None = None, **changes: object) -> Row:
    """A stored run whose every metric has these two columns."""
    both = {"no_oracle": plain, "oracle_flip": plain if oracle is None else oracle}
    return {
        "system": system, "data": "cmu17", "scale": "small", "seed": seed, "config": {}, "parameters": 1,
        "metrics": dict.fromkeys(("MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC"), both), "views": 100,
        "better_mirrored": seed, "provenance": {"seconds": 10.0 * (seed + 1)},
    } | changes  # fmt: skip


def store(place: Place, **systems: list[tuple[float, float]]) -> None:
    for name, values in systems.items():
        for seed, (plain, oracle) in enumerate(values):
            write_row(row(name.replace("_", " "), seed, plain, oracle), place)


CLAIM = Claim("A teacher is better than C3DPO.", (("teacher", "C3DPO"),))
LOW, HIGH = [(50.0, 49.0), (51.0, 50.0), (49.5, 48.5)], [(60.0, 59.0), (62.0, 61.0), (61.0, 60.0)]


@pytest.mark.parametrize(
    ("teacher", "c3dpo", "verdict"),
    [
        (LOW, HIGH, "holds"),
        (HIGH, LOW, "does not hold"),
        (LOW, LOW, "within the spread"),
        (LOW, [(60.0, 40.0), (62.0, 41.0), (61.0, 42.0)], "depends on the flip oracle"),
        (
            [(60.0, 49.0), (62.0, 50.0), (61.0, 48.5)],
            [(40.0, 59.0), (42.0, 61.0), (41.0, 60.0)],
            "depends on the flip oracle",
        ),
        (LOW[:1], HIGH, "not measured"),
        ([], HIGH, "not measured"),
    ],
)
def test_verdicts(
    teacher: list[tuple[float, float]], c3dpo: list[tuple[float, float]], verdict: Verdict, tmp_path: Path
) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=teacher, C3DPO=c3dpo)
    found = judge(CLAIM, place)
    assert found.verdict == verdict and len(found.effects) == (0 if verdict == "not measured" else 2)


def test_a_knife_edge_is_no_dependence_on_the_oracle(tmp_path: Path) -> None:
    """One column's interval just holds zero, the other's just does not, and the flip moved nothing."""
    place = Place(results=tmp_path)
    c3dpo = [10.0, 12.0, 21.3]  # differences whose 95 % interval begins a hair above or below zero
    edge = interval(c3dpo)[1]
    store(
        place, teacher=[(0.0, 0.0)] * 3, C3DPO=[(v - edge - 1e-3, v - edge + 1e-3) for v in c3dpo],
    )  # fmt: skip
    signs = [e.sign for e in judge(CLAIM, place).effects]
    assert signs == [0, 1] and judge(CLAIM, place).verdict == "within the spread"


def test_all_orders_must_hold(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=LOW, C3DPO=HIGH, student=LOW)
    both = Claim("Best of all.", (("teacher", "C3DPO"), ("teacher", "student")))
    assert judge(both, place).verdict == "within the spread"
    reverse = Claim("Best of all.", (("teacher", "C3DPO"), ("C3DPO", "student")))
    assert judge(reverse, place).verdict == "does not hold"


def test_more_is_better_for_pck_and_seeds_are_paired(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=[(50.0, 50.0), (90.0, 90.0), (20.0, 20.0)], C3DPO=[(45.0, 45.0), (84.5, 84.5), (15.5, 15.5)])
    assert judge(CLAIM, place).verdict == "does not hold", "5 mm worse in every seed, however far seeds lie apart"
    pck = Claim("A teacher finds more joints.", CLAIM.orders, "PCK@150")
    [first, _] = judge(pck, place).effects
    assert judge(pck, place).verdict == "holds" and first.gain == pytest.approx(5.0) and first.seeds == 3


def test_scores_elsewhere(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, C3DPO=HIGH)
    for seed in range(3):
        scores = {"metrics": row("", 0, 70.0 + seed)["metrics"]}
        write_row(row("teacher", seed, 50.0 + seed, elsewhere={"hdm05_17": scores}), place)
    elsewhere = Claim("Also on the other system.", (("C3DPO", "teacher @ another system"),))
    assert judge(elsewhere, place).verdict == "holds"
    assert judge(Claim("Nobody looked.", (("C3DPO @ the wild", "teacher"),)), place).verdict == "not measured"
    assert value(place.rows("C3DPO")[0], "P-MPJPE", "no_oracle", "detected") is None


@given(FLOATS)
def test_the_interval_is_students(values: list[float]) -> None:
    mean, low, high = interval(values)
    assert low <= mean <= high
    if high - low > 1e-6:  # the textbook's own: zero lies outside if p < 0.05
        outside = low > 0 or high < 0
        assert outside == (ttest_1samp(values, 0.0).pvalue < 0.05) or min(abs(low), abs(high)) < 1e-6 * max(
            map(abs, values)
        )


def test_one_value_has_no_interval() -> None:
    assert interval([3.0]) == (3.0, float("-inf"), float("inf"))


@given(FLOATS, st.floats(-100, 100))
def test_swapping_the_sides_swaps_the_verdict(values: list[float], shift: float) -> None:
    mean, low, high = interval(values)
    reverse = interval([-v for v in values])
    assert reverse == pytest.approx((-mean, -high, -low), abs=1e-9)
    moved = interval([v + shift for v in values])
    assert moved == pytest.approx((mean + shift, low + shift, high + shift), abs=1e-6)


# ---- tables ------------------------------------------------------------------------------------------------


def test_table_3_puts_paper_and_measurement_side_by_side(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=LOW)
    lines = {line.label: line for line in table(EXPERIMENTS["table-3"], place)}
    line = lines["ITES-T: REP + RIC"]
    assert line.printed == (85.6, 54.9) and len(line.runs) == 3
    plain, oracle = line.measured[1]
    assert str(plain) == "50.2 ± 0.8" and oracle is not None and oracle.values == (49.0, 50.0, 48.5)
    assert lines["ITES-TS: REC"].measured == ((None, None), (None, None)), "not measured, and still in its place"
    kinds = {line.label: line.kind for line in table(EXPERIMENTS["table-1"], place)}
    assert kinds["Martinez et al., GT"] == "Fully" and kinds["ITES-T, IMG"] == "Unsup"


def test_one_seed_has_no_spread() -> None:
    found = cell([row("teacher", 0, 50.0)], "P-MPJPE", "no_oracle")
    assert str(found) == "50.0" and found is not None and found.spread is None
    assert cell([], "P-MPJPE", "no_oracle") is None


def test_every_table_can_be_shown_with_nothing_stored(tmp_path: Path) -> None:
    console = Console(record=True, width=160)
    show(Place(results=tmp_path), list(EXPERIMENTS), console)
    printed = console.export_text()
    assert all(f"{name}: " in printed for name in EXPERIMENTS) and "153.5" in printed
    assert all(j.verdict == "not measured" for _, j in judgements(Place(results=tmp_path)))


def test_the_scale_that_has_more_systems(tmp_path: Path) -> None:
    store(Place(results=tmp_path), teacher=LOW)
    assert best_place(EXPERIMENTS["figure-6"], results=tmp_path).scale == "small"
    brief = Place(scale="brief", results=tmp_path)
    for name in ("teacher", "teacher K=2"):
        write_row(row(name, 0, 50.0, scale="brief"), brief)
    assert best_place(EXPERIMENTS["figure-6"], results=tmp_path).scale == "brief"
    assert best_place(EXPERIMENTS["table-4"], results=tmp_path).scale == "small"


# ---- README ------------------------------------------------------------------------------------------------


def test_summary_takes_medians() -> None:
    rows = [row("teacher", seed, 10.0 * s, 5.0 * s) for seed, s in enumerate((1, 2, 9))]
    assert summary(rows).splitlines()[1].split() == ["teacher", "3", "20", "20.0", "10.0", "1.0", "%"]


def test_readme_is_refreshed_between_its_marks(tmp_path: Path) -> None:
    place = Place(results=tmp_path)
    store(place, teacher=LOW, C3DPO=HIGH, student=LOW)
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_readme(file, place)
    once = file.read_text()
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "stale" not in once
    assert readme_block(place) in once and "teacher" in once and "holds" in once
    write_readme(file, place)
    assert file.read_text() == once
    file.write_text("no marks")
    with pytest.raises(ItesError, match="put them where the results shall stand"):
        write_readme(file, place)
    with pytest.raises(ItesError, match="cannot be read"):
        write_readme(tmp_path / "none.md", place)


def test_judgements_keep_their_claims(tmp_path: Path) -> None:
    found = judgements(Place(results=tmp_path), ["table-3", "table-8"])
    assert [e.name for e, _ in found] == ["table-3"] * 6 + ["table-8"] * 3
    assert all(isinstance(j, Judgement) and j.claim in e.claims for e, j in found)
