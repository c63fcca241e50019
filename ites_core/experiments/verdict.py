"""Claims against measured runs: a claim holds if the difference is larger than what the seed decides (chapter Results).

Runs of one seed belong together: a student of seed 3 has learnt from the teacher of seed 3, and all networks of seed 3
see the same cameras. So differences are taken seed by seed, and judged by the 95 % interval of their mean (Student's
t). Both columns are judged, without the oracle flip and with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import t as student_t

from ites_core.evaluation import COLUMNS
from ites_core.experiments.artefacts import Place, Row
from ites_core.experiments.tables import PLACES, Claim

Verdict = Literal["holds", "does not hold", "depends on the flip oracle", "within the spread", "not measured"]
HIGHER_IS_BETTER = ("PCK@150", "AUC")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Effect:
    """By how much one side of a claim is better than the other, in one column.

    Attributes:
        better, worse: the two sides as the claim says them.
        column: ``no_oracle`` or ``oracle_flip``.
        gain: mean over seeds by which the first is better; mm, or percentage points for PCK and AUC.
        low, high: the 95 % interval of that mean.
        seeds: number of seeds that both sides have.
    """

    better: str
    worse: str
    column: str
    gain: float
    low: float
    high: float
    seeds: int

    @property
    def sign(self) -> int:
        """1 if the first side is better, -1 if it is worse, 0 if the interval holds both."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict, and the differences that decided."""

    claim: Claim
    verdict: Verdict
    effects: tuple[Effect, ...]


def value(row: Row, metric: str, column: str, where: str | None = None) -> float | None:
    """One number of a stored run; None if it was not measured there.

    Args:
        row: of :meth:`ites_core.experiments.artefacts.Place.rows`.
        metric: of :data:`ites_core.evaluation.METRICS`.
        column: ``no_oracle`` or ``oracle_flip``.
        where: None for the run's own test split, or a key of :data:`ites_core.experiments.tables.PLACES`.
    """
    if where is None:
        scores = row
    else:
        scores = row.get("elsewhere", {}).get(PLACES[where].get(row["data"], ""), {})
    found = scores.get("metrics", {}).get(metric)
    return None if found is None else float(found[column])


def by_seed(side: str, metric: str, column: str, place: Place) -> dict[int, float]:
    """Values of one side of a claim, ``system`` or ``system @ where``: seed -> number."""
    system, _, where = side.partition(" @ ")
    values = {row["seed"]: value(row, metric, column, where or None) for row in place.rows(system)}
    return {seed: v for seed, v in values.items() if v is not None}


def interval(values: Iterable[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean of independent values and the interval in which the true mean lies: (mean, low, high).

    One value tells nothing about its spread: the interval is infinite. Source: Student 1908.
    """
    found = list(values)
    mean = fmean(found)
    if len(found) < 2:
        return mean, -math.inf, math.inf
    reach = float(student_t.ppf(0.5 + confidence / 2, len(found) - 1)) * stdev(found) / math.sqrt(len(found))
    return mean, mean - reach, mean + reach


def judge(claim: Claim, place: Place, seeds: int | None = None) -> Judgement:
    """Hold a claim against the stored runs: of all seeds, or of the first so many.

    It *holds* if, in both columns, every one of its orders is clear of zero; it *does not hold* if in both one of them
    is clearly the other way round. If the columns disagree, and the flip moves a difference by more than the seeds do,
    it *depends on the flip oracle*. Else the difference is *within the spread* of the seeds.
    """
    effects = []
    for better, worse in claim.orders:
        for column in COLUMNS:
            a, b = (by_seed(side, claim.metric, column, place) for side in (better, worse))
            both = sorted(a.keys() & b.keys())[:seeds]
            if len(both) < 2:
                return Judgement(claim, "not measured", ())
            sign = -1 if claim.metric in HIGHER_IS_BETTER else 1
            mean, low, high = interval(sign * (b[seed] - a[seed]) for seed in both)
            effects.append(Effect(better, worse, column, mean, low, high, len(both)))
    plain, oracle = ([e for e in effects if e.column == column] for column in COLUMNS)
    one, other = _alone(plain), _alone(oracle)
    if one == other:
        return Judgement(claim, one, tuple(effects))
    moved = any(
        e.sign != f.sign and abs(e.gain - f.gain) > min(e.high - e.gain, f.high - f.gain)
        for e, f in zip(plain, oracle, strict=True)
    )
    return Judgement(claim, "depends on the flip oracle" if moved else "within the spread", tuple(effects))


def _alone(effects: list[Effect]) -> Verdict:
    """The verdict of one column."""
    worst = min(e.sign for e in effects)
    return "holds" if worst > 0 else "does not hold" if worst < 0 else "within the spread"
