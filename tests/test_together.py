"""Experiments with all seeds at once leave the artefacts that one by one leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from ites_core.experiments.artefacts import Place
from ites_core.experiments.runs import run_systems
from ites_core.experiments.systems import system_named
from ites_core.experiments.together import kinds, run_together

SEEDS = (0, 1)


def test_runs_that_differ_in_seed_or_loss_weights_are_of_one_kind() -> None:
    names = ("teacher", "teacher REP=3", "teacher K=2", "teacher without RIC", "student", "student KD=1")
    groups = list(kinds([system_named(n) for n in names], Place("sampler", "smoke"), SEEDS))
    found = [sorted({system.name for system, _ in group}) for group in groups]
    assert found == [
        ["teacher", "teacher REP=3"], ["teacher K=2"], ["teacher without RIC"], ["student", "student KD=1"],
    ]  # fmt: skip
    assert [len(group) for group in groups] == [4, 2, 2, 4]


@pytest.mark.slow
def test_artefacts_are_those_of_single_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    systems = ("teacher", "teacher on the rays", "student", "all depths zero")
    together = Place("sampler", "smoke", tmp_path / "together")
    alone = Place("sampler", "smoke", tmp_path / "alone")
    run_together(systems, together, SEEDS, tmp_path / "runs together", device="cpu")
    assert "teacher, seed 1: P-MPJPE" in capsys.readouterr().out
    run_systems(systems, alone, SEEDS, tmp_path / "runs alone", device="cpu")
    for a, b in zip(together.rows(), alone.rows(), strict=True):
        assert (a["system"], a["seed"], a["config"], a["views"]) == (b["system"], b["seed"], b["config"], b["views"])
        assert a["metrics"]["P-MPJPE"]["oracle_flip"] == pytest.approx(b["metrics"]["P-MPJPE"]["oracle_flip"], rel=0.15)
    times = {path: path.stat().st_mtime_ns for path in together.folder.iterdir()}
    run_together(systems, together, SEEDS, tmp_path / "runs together", device="cpu")
    assert times == {path: path.stat().st_mtime_ns for path in together.folder.iterdir()}, "nothing is done twice"
