"""A study: several systems, several seeds, each run scored on the test subjects and stored at once.

The two studies of the book declare their systems in :mod:`ites_core.experiments.foundation` and
:mod:`ites_core.experiments.ablations`; everything they share is here.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ites_core.checkpoint import RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import load_motion
from ites_core.evaluation import evaluate
from ites_core.training import train_student, train_teacher

RESULTS = Path(__file__).resolve().parents[2] / "results"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class System:
    """One line of a study's table.

    Attributes:
        name: unique within the study.
        changes: what differs from the preset ``small``.
        labels_from: name of the teacher system whose depths a student learns; None for a teacher.
        on_rays: train nothing, put those depths themselves on the rays of the input.
        motion: what to learn from: the recordings under test, or the embedded sampler.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    labels_from: str | None = None
    on_rays: bool = False
    motion: str = "recordings"


@dataclass(frozen=True)
class Study:
    """Systems whose results share one artefact, ``results/<name>.json``."""

    name: str
    systems: tuple[System, ...]

    @property
    def artefact(self) -> Path:
        """Where the rows are stored."""
        return RESULTS / f"{self.name}.json"

    def rows(self) -> Rows:
        """The stored rows, one a run; empty where the results are not installed."""
        stored: Rows = json.loads(self.artefact.read_text()) if self.artefact.exists() else []
        return stored

    def run(self, data: str, seeds: int, runs: Path, workers: int = 1) -> None:
        """Train and score what is missing from the artefact; a killed study goes on where it stopped.

        Args:
            data: mocap archive with a train and a test split.
            seeds: seeds 0 to seeds - 1.
            runs: where the run folders go.
            workers: runs at a time; the processor's cores are shared out among them.
        """
        threads = max(1, torch.get_num_threads() // workers)
        order = [system.name for system in self.systems]
        rows = self.rows()
        done = {(r["system"], r["seed"]) for r in rows}
        for seed, distilled in product(range(seeds), (False, True)):  # teachers first: students need them
            missing = [
                system
                for system in self.systems
                if (system.labels_from is not None) == distilled and (system.name, seed) not in done
            ]
            with ProcessPoolExecutor(workers) as pool:
                jobs = [pool.submit(run_one, system, data, seed, runs, threads) for system in missing]
                for job in as_completed(jobs):
                    rows.append(job.result())
                    rows.sort(key=lambda r: (order.index(r["system"]), r["seed"]))
                    temporary = self.artefact.with_suffix(".tmp")
                    temporary.write_text(json.dumps(rows, indent=1) + "\n")
                    temporary.replace(self.artefact)
                    print(self.summary(rows), flush=True)

    def summary(self, rows: Rows) -> str:
        """One line a system: seeds, median seconds, median P-MPJPE in both columns, median share better mirrored."""
        width = 2 + max(len(system.name) for system in self.systems)
        lines = [f"{'system':{width}s} seeds  seconds  no oracle  oracle flip  better mirrored"]
        for system in self.systems:
            mine = [r for r in rows if r["system"] == system.name]
            if mine:
                seconds, plain, oracle, share = (median(column) for column in zip(*map(figures, mine), strict=True))
                lines.append(
                    f"{system.name:{width}s} {len(mine):5d} {seconds:8.0f} {plain:10.1f} {oracle:12.1f} {share:14.1f} %"
                )
        return "\n".join(lines)


def figures(row: dict[str, Any]) -> tuple[float, float, float, float]:
    """Of one run: seconds, P-MPJPE in mm without and with the oracle flip, percent of views better mirrored."""
    error = row["metrics"]["P-MPJPE"]
    mirrored = 100 * row["better_mirrored"] / row["views"]
    return row["provenance"]["seconds"], error["no_oracle"], error["oracle_flip"], mirrored


def run_one(system: System, data: str, seed: int, folder: Path, threads: int) -> dict[str, Any]:
    """Train one system with one seed, score it on the test split of ``data``."""
    torch.set_num_threads(threads)
    archive = load_motion(data)
    learn = archive if system.motion == "recordings" else load_motion(system.motion)
    out = _folder(folder, system.name, seed)
    resume = RunFolder(out).exists()
    if system.labels_from is not None:
        run = RunFolder(_folder(folder, system.labels_from, seed)).read()
        if not system.on_rays:
            student = student_config(**system.changes)
            run = train_student(learn, run, student, out, seed=seed, resume=resume, progress=False)
    else:
        run = train_teacher(learn, teacher_config(**system.changes), out, seed=seed, resume=resume, progress=False)
    report = asdict(evaluate(run, archive, on_rays=system.on_rays))
    about = {"changes": system.changes, "provenance": run.provenance | report["provenance"]}
    return {"system": system.name, "seed": seed} | report | about


def _folder(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(' ', '-')}-{seed}"
