"""Five seeds of the small presets, each scored on the test subjects of the same recordings (chapters 3 and 4).

    python -m ites_core.experiments.foundation --data ../shared/data/cmu17.npz --seeds 5

Six systems a seed: the teacher; the teacher without L_RIC; the student of the first teacher; a student that knows no
graph; that teacher's depths on the rays of the input, with no student at all; the teacher trained on the embedded
pose sampler alone.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from ites_core.experiments.study import Study, System

FOUNDATION = Study(
    "foundation",
    (
        System("teacher"),
        System("teacher without RIC", {"weight_ric": 0.0}),
        System("student", labels_from="teacher"),
        System("student ResFC", {"network": "resfc", "channels": 256}, labels_from="teacher"),
        System("teacher on the rays", labels_from="teacher", on_rays=True),
        System("teacher from sampler", motion="sampler"),
    ),
)


def main(data: str, seeds: int = 5, runs: Path = Path("runs/foundation"), workers: int = 1) -> None:
    """Run what is missing from the artefact, then print the medians.

    Args:
        data: mocap archive with a train and a test split.
        seeds: seeds 0 to seeds - 1.
        runs: where the run folders go.
        workers: runs at a time; the processor's cores are shared out among them.
    """
    FOUNDATION.run(data, seeds, runs, workers)


if __name__ == "__main__":
    tyro.cli(main)
