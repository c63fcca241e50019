"""Every property of the numbers on thousands of examples, hypothesis walking towards the worst ones.

    python -m tests.campaigns.numbers     # writes results/reliability/numbers.json; ten minutes of an idle processor

The properties stand in ``tests/campaigns/properties``; ``tests/reliability/test_numbers.py`` tries a few examples of
each. Beside them the campaign measures what two threads change.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
import tyro

from ites_core.experiments.artefacts import RESULTS, write_json
from ites_core.provenance import provenance
from tests.campaigns.properties import extremes, geometry, metrics, relabelling, threads
from tests.campaigns.properties.base import Property, examine

GROUPS = {
    "geometry": geometry.PROPERTIES,
    "metrics": metrics.PROPERTIES,
    "left and right": relabelling.PROPERTIES,
    "extreme input": extremes.PROPERTIES,
    "threads": threads.PROPERTIES,
}
PROPERTIES: list[tuple[str, Property]] = [(group, p) for group, members in GROUPS.items() for p in members]


def case(group: str, subject: Property, examples: int, seed: int) -> dict[str, Any]:
    """One line of the artefact."""
    found = examine(subject, max(1, examples // subject.cost), number=seed, hunt=True)
    return {
        "name": subject.name,
        "group": group,
        "says": subject.says,
        "tried": found.tried,
        "survived": found.survived,
        "worst": float(f"{found.worst:.3g}"),
        "tolerance": subject.tolerance,
        "must_differ": subject.must_differ,
        "where": [" ".join(str(argument).split())[:60] for argument in found.where],
    }


def campaign(examples: int = 2000, seed: int = 0, out: Path = RESULTS / "reliability" / "numbers.json") -> None:
    """Examine every property and write what was found.

    Args:
        examples: of each property; of costly ones, fewer.
        seed: of the examples.
        out: the artefact.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    about = provenance(torch.device("cpu")) | {"seed": seed, "examples": examples}
    cases: list[dict[str, Any]] = []
    for group, subject in PROPERTIES:
        cases.append(case(group, subject, examples, seed))
        line = cases[-1]
        print(f"{line['survived']:5d} of {line['tried']:5d}  worst {line['worst']:9.3g}  {subject.name}", flush=True)
        artefact = {
            "campaign": "numbers",
            "what": "Properties of geometry, metrics, left and right, extreme input and threads, on many examples.",
            "complete": len(cases) == len(PROPERTIES),
            "cases": cases,
            "provenance": about | {"seconds": round(time.monotonic() - started)},
        }
        write_json(artefact, out)
    print(f"{out}: {sum(c['tried'] for c in cases)} examples, {sum(c['survived'] for c in cases)} as they should be")


if __name__ == "__main__":
    tyro.cli(campaign)
