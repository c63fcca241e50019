"""Stored results: complete, with their provenance, small, and quoted as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ites_core.experiments.artefacts import FIELDS, RESULTS, Place, read_row, slug
from ites_core.experiments.cost import stored_costs
from ites_core.experiments.report import readme_block
from ites_core.experiments.systems import SYSTEMS, Scale

ROOT = Path(__file__).resolve().parents[1]
SCALES: tuple[Scale, ...] = ("small", "brief", "paper")


def stored() -> Iterator[Path]:
    for scale in SCALES:
        yield from sorted((RESULTS / "cmu17" / scale).glob("*.json"))


def test_every_row_says_where_it_comes_from() -> None:
    files = list(stored())
    assert files, f"{RESULTS}: no stored run"
    for file in files:
        row = read_row(file)
        assert set(FIELDS) <= set(row)
        assert file.name == f"{slug(row['system'])}-{row['seed']}.json" and row["system"] in SYSTEMS
        assert file.parent == Place(row["data"], row["scale"]).folder, f"{file} is in the wrong folder"
        about = row["provenance"]
        assert all(about[k] is not None for k in ("commit", "data", "data_sha256", "device", "torch", "seconds")), file
        assert about["steps"] > 0 or SYSTEMS[row["system"]].stage == "untrained"
        for value in row["metrics"].values():
            assert set(value) == {"no_oracle", "oracle_flip"}
        errors = row["metrics"]["P-MPJPE"]
        assert 0 < errors["oracle_flip"] <= errors["no_oracle"] < 1000


def test_settings_are_still_those_that_are_declared() -> None:
    """A stored run speaks for its system only while the system has not been changed since."""
    for file in stored():
        row = read_row(file)
        config = SYSTEMS[row["system"]].config(row["scale"])
        changed = {k: (v, getattr(config, k)) for k, v in row["config"].items() if getattr(config, k, v) != v}
        assert not changed, f"{file.name}: stored and declared settings differ: {changed}"


def test_headline_systems_have_enough_seeds() -> None:
    for name in ("teacher", "teacher without RIC", "student", "student ResFC", "teacher on the rays"):
        assert len(Place().rows(name)) >= 3, name


def test_one_test_set_one_checksum() -> None:
    for scale in SCALES:
        sums = {row["provenance"]["data_sha256"] for row in Place(scale=scale).rows()}
        assert len(sums) <= 1, f"runs of {scale} were scored on different data"


def test_artefacts_are_small() -> None:
    assert sum(file.stat().st_size for file in RESULTS.rglob("*") if file.is_file()) < 2_000_000


def test_readme_quotes_the_stored_runs() -> None:
    """After new rows: ites experiment report --into README.md"""
    assert readme_block(Place()) in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "the README quotes other results than are stored; run `ites experiment report --into README.md`"
    )


def test_costs_can_be_read() -> None:
    for cost in stored_costs(RESULTS):
        assert cost.device and cost.networks["C3DPO"]["parameters"] == pytest.approx(7.27e6, rel=0.01)
