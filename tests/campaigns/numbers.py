"""Every property of the numbers on thousands of examples, hypothesis walking towards the worst ones.

    python -m tests.campaigns.numbers         # writes results/reliability/numbers.json; an hour of a processor
    python -m tests.campaigns.numbers --gpu   # writes results/reliability/gpu.json; a minute of a GPU

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
from ites_core.training import pick_device
from tests.campaigns.properties import extremes, geometry, gpu, metrics, relabelling, threads
from tests.campaigns.properties.base import Property, examine

GROUPS = {
    "geometry": geometry.PROPERTIES,
    "metrics": metrics.PROPERTIES,
    "left and right": relabelling.PROPERTIES,
    "extreme input": extremes.PROPERTIES,
    "threads and precision": threads.PROPERTIES,
}
PROPERTIES: list[tuple[str, Property]] = [(group, p) for group, members in GROUPS.items() for p in members]
ON_GPU: list[tuple[str, Property]] = [("processor and GPU", p) for p in gpu.PROPERTIES]


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


def campaign(examples: int = 2000, seed: int = 0, gpu: bool = False, out: Path | None = None) -> None:
    """Examine every property and write what was found.

    Args:
        examples: of each property; of costly ones, fewer.
        seed: of the examples.
        gpu: instead of the properties of the processor, those that compare it with a GPU.
        out: the artefact; by default numbers.json or gpu.json in results/reliability.
    """
    torch.set_num_threads(1)
    properties, name = (ON_GPU, "gpu") if gpu else (PROPERTIES, "numbers")
    out = out or RESULTS / "reliability" / f"{name}.json"
    started = time.monotonic()
    about = provenance(pick_device("cuda" if gpu else "cpu")) | {"seed": seed, "examples": examples}
    cases: list[dict[str, Any]] = []
    for group, subject in properties:
        cases.append(case(group, subject, examples, seed))
        line = cases[-1]
        print(f"{line['survived']:5d} of {line['tried']:5d}  worst {line['worst']:9.3g}  {subject.name}", flush=True)
        artefact = {
            "campaign": name,
            "what": f"Properties of {', '.join(dict.fromkeys(group for group, _ in properties))}, on many examples.",
            "complete": len(cases) == len(properties),
            "cases": cases,
            "provenance": about | {"seconds": round(time.monotonic() - started)},
        }
        write_json(artefact, out)
    print(f"{out}: {sum(c['tried'] for c in cases)} examples, {sum(c['survived'] for c in cases)} as they should be")


if __name__ == "__main__":
    tyro.cli(campaign)
