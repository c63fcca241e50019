"""Checks for the exercises of chapter 6, results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import fmean, pstdev, stdev
from typing import Any

from scipy.stats import t as student_t
from torch import Tensor

from ites_core.exercises.base import NotYet, call, compare, exercise


@exercise("6.1", "An interval for a difference", "easy", 15)
def paired_interval(answer: Callable[[list[float], list[float]], tuple[float, float, float]]) -> None:
    """``paired_interval(better, worse)``: mean gain over seeds and its 95 % interval, (mean, low, high)."""
    better, worse = [50.0, 54.0, 61.0, 47.0], [53.0, 58.5, 63.0, 52.5]
    gains = [b - a for a, b in zip(better, worse, strict=True)]
    n, mean, spread = len(gains), fmean(gains), stdev(gains)
    t = float(student_t.ppf(0.975, n - 1))
    reach = t * spread / math.sqrt(n)
    found = call(answer, list(better), list(worse))
    if not isinstance(found, Sequence | Tensor) or len(found) != 3:
        raise NotYet("Return three numbers: mean, low, high.")
    compare(
        found[0],
        mean,
        {
            "The sign is the other way round: errors are better when they are smaller, a gain is worse minus better.": (
                -mean
            ),
        },
    )
    unpaired = t * math.sqrt((stdev(better) ** 2 + stdev(worse) ** 2) / n)
    mistakes = {
        "You treat the two sides as strangers. Take the difference of each seed first.": mean - unpaired,
        "That is the spread of single seeds. The mean of n seeds is surer, by the square root of n.": mean - t * spread,
        "You divide by n, not by its square root.": mean - t * spread / n,
        "1.96 is for a spread that is known. With four seeds it is estimated: take Student's t.": (
            mean - 1.96 * spread / math.sqrt(n)
        ),
        "This t leaves 5 % on either side. An interval of 95 % leaves 2.5 %.": (
            mean - float(student_t.ppf(0.95, n - 1)) * spread / math.sqrt(n)
        ),
        "n differences have n - 1 degrees of freedom.": mean - float(student_t.ppf(0.975, n)) * spread / math.sqrt(n),
        "The standard deviation divides by n - 1: the mean was estimated too.": mean - t * pstdev(gains) / math.sqrt(n),
    }
    compare(found[1], mean - reach, mistakes)
    compare(found[2], mean + reach)


@exercise("6.2", "A verdict from two columns", "medium", 15)
def verdict(answer: Callable[[Sequence[tuple[float, float]], Sequence[tuple[float, float]]], str]) -> None:
    """``verdict(plain, oracle)``: a word for a claim, from the intervals (low, high) of its orders in both columns."""
    up, down, wide = (2.0, 5.0), (-4.0, -1.0), (-1.0, 3.0)
    cases = {
        ((up, up), (up, up)): ("holds", ""),
        ((up, down), (up, down)): ("fails", "One order that is clearly the other way round refutes the claim."),
        ((up, wide), (up, wide)): ("open", "Every order must be clear of zero. One is not."),
        ((down, wide), (down, wide)): ("fails", "A refuted order is not saved by an open one."),
        ((up,), (down,)): ("oracle", "The columns contradict each other: that is the flip oracle's doing."),
        ((wide,), (up,)): ("oracle", "It holds in one column alone. A reader must be told which."),
        ((wide,), (wide,)): ("open", "An interval that holds zero shows nothing, in either direction."),
    }
    for (plain, oracle), (right, why) in cases.items():
        found = call(answer, list(plain), list(oracle))
        if str(found).strip().lower() != right:
            raise NotYet(f"For {plain} and {oracle} you say {found!r}, expected {right!r}. {why}".strip())


@exercise("6.3", "The best of several seeds", "medium", 15)
def best_of(answer: Callable[[list[float], int], float]) -> None:
    """``best_of(errors, n)``: the smallest of n seeds, on average over all choices of n of the seeds at hand."""
    errors = [71.0, 58.0, 66.0, 90.0, 61.0]
    for n in (1, 3, 5):
        right = fmean(min(some) for some in combinations(errors, n))
        compare(
            call(answer, list(errors), n),
            right,
            {
                f"n = {n}: this is the mean of all seeds, whatever n is.": fmean(errors),
                f"n = {n}: this is the best of all seeds, whatever n is.": min(errors),
                f"n = {n}: this is the best of the first n. Go through all choices of n.": min(errors[:n]),
                f"n = {n}: errors are better when they are smaller; you took the largest.": fmean(
                    max(some) for some in combinations(errors, n)
                ),
                f"n = {n}: this is the mean of each choice; a mean of means is the mean.": fmean(
                    fmean(some) for some in combinations(errors, n)
                ),
            },
        )


@exercise("6.4", "How many seeds", "medium", 15)
def seeds_needed(answer: Callable[[float, float], int]) -> None:
    """``seeds_needed(gain, spread)``: fewest seeds for which the interval of the mean gain is clear of zero."""
    for gain, spread in ((5.0, 1.0), (2.0, 2.0), (1.0, 3.0)):
        right = next(n for n in range(2, 1000) if _reach(n, spread) < gain)
        normal = next(n for n in range(2, 1000) if 1.96 * spread / math.sqrt(n) < gain)
        compare(
            call(answer, gain, spread),
            right,
            {
                f"Gain {gain}, spread {spread}: 1.96 is too small for few seeds; take Student's t.": normal,
                f"Gain {gain}, spread {spread}: one too many, or the wrong degrees of freedom.": right + 1,
                f"Gain {gain}, spread {spread}: one too few: the interval must not touch zero.": right - 1,
            },
            atol=0.4,
        )


def _reach(n: int, spread: float) -> float:
    return float(student_t.ppf(0.975, n - 1)) * spread / math.sqrt(n)


@exercise("6.5", "A mean of what", "easy", 10)
def over_actions(answer: Callable[[Mapping[str, Any]], tuple[float, float]]) -> None:
    """``over_actions(actions)``: P-MPJPE without the oracle, averaged over views and averaged over actions."""
    actions = {
        "walk": {"views": 900.0, "no_oracle": 50.0, "oracle_flip": 48.0},
        "jump": {"views": 80.0, "no_oracle": 70.0, "oracle_flip": 65.0},
        "cartwheel": {"views": 20.0, "no_oracle": 150.0, "oracle_flip": 110.0},
    }
    views = sum(a["views"] for a in actions.values())
    by_view = {c: sum(a["views"] * a[c] for a in actions.values()) / views for c in ("no_oracle", "oracle_flip")}
    by_action = {c: fmean(a[c] for a in actions.values()) for c in ("no_oracle", "oracle_flip")}
    found = call(answer, actions)
    if not isinstance(found, Sequence | Tensor) or len(found) != 2:
        raise NotYet("Return two numbers: over views, over actions.")
    compare(
        found[0],
        by_view["no_oracle"],
        {
            "You return the mean over actions first; the order is views, actions.": by_action["no_oracle"],
            "That is the column with the oracle flip.": by_view["oracle_flip"],
        },
    )
    compare(
        found[1],
        by_action["no_oracle"],
        {
            "That is the column with the oracle flip.": by_action["oracle_flip"],
            "Over actions, every action counts the same, however many views it has.": by_view["no_oracle"],
        },
    )
