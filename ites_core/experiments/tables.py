"""What a table is made of: rows that name systems, columns that name metrics, and claims that can be checked.

The tables themselves are in :mod:`of_the_paper` and :mod:`our_own`, the paper's numbers in ``paper.json``, as printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

# Where a network is scored that is not the test split of its own data: for each data set, a key of a row's "elsewhere".
PLACES: dict[str, dict[str, str]] = {
    "another system": {"cmu17": "hdm05_17", "h36m": "mpi-inf-3dhp"},  # Table 2
    "the wild": {"cmu17": "openpose-clip", "h36m": "mpi-inf-3dhp"},  # Figure 7
    "detected": {"cmu17": "detected", "h36m": "detected"},
}


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Attributes:
        title: as the paper prints it.
        metric: ours, see :data:`ites_core.evaluation.METRICS`.
        where: None for the test split of the data that were learnt from, or a key of :data:`PLACES`.
    """

    title: str
    metric: str
    where: str | None = None


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
        label: what the table calls it.
        system: our system of it; None where the paper quotes somebody else's number.
        printed: its key in ``paper.json``; None where the paper has no such row.
    """

    label: str
    system: str | None = None
    printed: str | None = None


@dataclass(frozen=True)
class Claim:
    """Something that is said about the systems, as orderings that can be checked.

    Attributes:
        says: the claim in a sentence.
        orders: (better, worse) pairs, all of which must hold. A side is the name of a system, or
            ``system @ place`` for its score at one of :data:`PLACES`.
        metric: of which.
        source: the paper, or a question of our own.
        why: what lies behind it where it does not hold.
    """

    says: str
    orders: tuple[tuple[str, str], ...]
    metric: str = "P-MPJPE"
    source: Literal["paper", "ours"] = "paper"
    why: str = ""


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        name: for the command line, ``table-3``.
        title: what it is about.
        lines: its rows.
        columns: its metrics.
        claims: what is said about it.
        note: what differs from the paper's set-up.
    """

    name: str
    title: str
    lines: tuple[Line, ...]
    columns: tuple[Column, ...]
    claims: tuple[Claim, ...] = ()
    note: str = ""

    @property
    def systems(self) -> list[str]:
        """The systems that are trained for it: those of its rows and of its claims."""
        sides = [side.partition(" @ ")[0] for claim in self.claims for pair in claim.orders for side in pair]
        return list(dict.fromkeys([line.system for line in self.lines if line.system] + sides))


ERRORS = (Column("MPJPE", "N-MPJPE"), Column("P-MPJPE", "P-MPJPE"))


def lines(*rows: str | tuple[str, str | None]) -> tuple[Line, ...]:
    """Rows of a table: (key in ``paper.json``, our system), or the name of a system that the paper's table lacks."""
    return tuple(Line(row, row) if isinstance(row, str) else Line(row[0], row[1], row[0]) for row in rows)


def best(system: str, others: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The orders of a claim that a system is better than each of some others."""
    return tuple((system, other) for other in others)


@lru_cache(maxsize=1)
def paper() -> dict[str, Any]:
    """The paper's tables as printed: name -> ``columns``, ``rows``, and ``kinds`` of methods where it gives them."""
    text = (Path(__file__).with_name("paper.json")).read_text(encoding="utf-8")
    numbers: dict[str, Any] = json.loads(text)
    return numbers
