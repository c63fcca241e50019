"""Every table and figure that can be run: the paper's, and those of our own questions."""

from __future__ import annotations

from ites_core.errors import ItesError
from ites_core.experiments.of_the_paper import PAPERS
from ites_core.experiments.our_own import OURS
from ites_core.experiments.systems import SYSTEMS
from ites_core.experiments.tables import Experiment

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in (*PAPERS, *OURS)}
COST = "table-9"  # measured, not trained: see ites_core.experiments.cost


def experiment_named(name: str) -> Experiment:
    """The declared experiment of that name.

    Raises:
        ItesError: if there is none.
    """
    if name not in EXPERIMENTS:
        raise ItesError(f"unknown experiment {name!r}: expected one of {', '.join([*EXPERIMENTS, COST])}, or a system")
    return EXPERIMENTS[name]


def experiments_of(system: str) -> list[str]:
    """Names of the experiments that a system belongs to."""
    return [e.name for e in EXPERIMENTS.values() if system in e.systems]


assert all(system in SYSTEMS for e in EXPERIMENTS.values() for system in e.systems)
