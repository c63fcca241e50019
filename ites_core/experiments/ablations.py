"""The paper's ablations at small scale: which part buys what (chapters 3 and 4).

    python -m ites_core.experiments.ablations --data ../shared/data/cmu17.npz --seeds 3

Each run is a third of the preset ``small``: long enough to order the systems, too short for their best score.
A name says what differs from the first line of its stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro

from ites_core.experiments.study import Study, System

TEACHER: dict[str, Any] = {"max_steps": 1500, "validations": 2}
STUDENT: dict[str, Any] = {"max_steps": 400, "validations": 2}
ATOMS = (2, 4, 8, 24, 40)  # beside the 12 of the preset; Figure 6
WEIGHTS = (1, 3, 8, 30, 60)  # lambda_REP beside the 15 of the preset; Table 5
WEIGHTS_KD = (1, 20)  # lambda_KD beside the 5 of the preset; Table 6


def _student(name: str, **changes: Any) -> System:
    return System(f"student {name}".strip(), STUDENT | changes, labels_from="teacher")


ABLATIONS = Study(
    "ablations",
    (
        System("teacher", TEACHER),
        System("teacher random start", TEACHER | {"dictionary_start": "random"}),
        *(System(f"teacher K={k}", TEACHER | {"atoms": k}) for k in ATOMS),
        *(System(f"teacher REP={w}", TEACHER | {"weight_rep": float(w)}) for w in WEIGHTS),
        _student(""),
        _student("KD only", weight_rec=0.0),
        _student("REC only", weight_kd=0.0),
        *(_student(f"KD={w}", weight_kd=float(w)) for w in WEIGHTS_KD),
        _student("physical graph", graph="physical"),
        _student("nonphysical graph", graph="nonphysical"),
        _student("ResFC", network="resfc", channels=256),
        System("teacher on the rays", labels_from="teacher", on_rays=True),
    ),
)


def main(data: str, seeds: int = 3, runs: Path = Path("runs/ablations"), workers: int = 1) -> None:
    """Run what is missing from the artefact, then print the medians.

    Args:
        data: mocap archive with a train and a test split.
        seeds: seeds 0 to seeds - 1.
        runs: where the run folders go.
        workers: runs at a time; the processor's cores are shared out among them.
    """
    ABLATIONS.run(data, seeds, runs, workers)


if __name__ == "__main__":
    tyro.cli(main)
