"""Stored results: complete provenance, and the README quotes them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from ites_core.experiments.ablations import ABLATIONS
from ites_core.experiments.foundation import FOUNDATION
from ites_core.experiments.study import Study

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("study", [FOUNDATION, ABLATIONS], ids=lambda study: study.name)
def test_every_row_says_where_it_comes_from(study: Study) -> None:
    rows = study.rows()
    assert rows, f"{study.artefact} is missing"
    for row in rows:
        assert row["system"] in [system.name for system in study.systems]
        about = row["provenance"]
        assert all(about[k] for k in ("commit", "data", "data_sha256", "device", "torch", "seconds", "steps"))
        for value in row["metrics"].values():
            assert set(value) == {"no_oracle", "oracle_flip"}


def test_readme_quotes_the_study() -> None:
    assert FOUNDATION.summary(FOUNDATION.rows()) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_summary_takes_medians() -> None:
    rows = [
        {
            "system": "teacher",
            "provenance": {"seconds": s},
            "metrics": {"P-MPJPE": {"no_oracle": 10.0 * s, "oracle_flip": 5.0 * s}},
            "better_mirrored": s,
            "views": 100,
        }
        for s in (1, 2, 9)
    ]
    assert FOUNDATION.summary(rows).splitlines()[1].split() == ["teacher", "3", "2", "20.0", "10.0", "2.0", "%"]
