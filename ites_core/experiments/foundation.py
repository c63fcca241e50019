"""Five seeds of the small presets, each scored on the test subjects of the same recordings (chapters 3 and 4).

    python -m ites_core.experiments.foundation --data ../shared/data/cmu17.npz --seeds 5

Four systems a seed: the teacher; the teacher without L_RIC; the student of the first teacher; the teacher
trained on the embedded pose sampler alone. Every finished run is added to the artefact at once, so an
interrupted study goes on where it stopped.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro

from ites_core.checkpoint import RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import load_motion
from ites_core.evaluation import evaluate
from ites_core.training import train_student, train_teacher

ARTEFACT = Path(__file__).resolve().parents[2] / "results" / "foundation.json"
SYSTEMS = ("teacher", "teacher without RIC", "student", "teacher from sampler")


def recorded() -> list[dict[str, Any]]:
    """The rows of the study that is stored with the book, one a run; empty where it is not installed."""
    rows: list[dict[str, Any]] = json.loads(ARTEFACT.read_text()) if ARTEFACT.exists() else []
    return rows


def run_one(system: str, data: str, seed: int, folder: Path, threads: int) -> dict[str, Any]:
    """Train one system with one seed, score it on the test split of ``data``."""
    torch.set_num_threads(threads)
    archive = load_motion(data)
    learn = load_motion("sampler") if system == "teacher from sampler" else archive
    out = folder / f"{system.replace(' ', '-')}-{seed}"
    resume = RunFolder(out).exists()
    if system == "student":
        teacher = RunFolder(folder / f"teacher-{seed}").read()
        run = train_student(learn, teacher, student_config(), out, seed=seed, resume=resume, progress=False)
    else:
        changes: dict[str, Any] = {"weight_ric": 0.0} if system == "teacher without RIC" else {}
        run = train_teacher(learn, teacher_config(**changes), out, seed=seed, resume=resume, progress=False)
    report = asdict(evaluate(run, archive))
    return {"system": system, "seed": seed} | report | {"provenance": run.provenance | report["provenance"]}


def summary(rows: list[dict[str, Any]]) -> str:
    """One line a system: seeds, median seconds, median P-MPJPE in both columns, median share better mirrored."""
    lines = [f"{'system':22s} seeds  seconds  no oracle  oracle flip  better mirrored"]
    for system in SYSTEMS:
        mine = [r for r in rows if r["system"] == system]
        if mine:
            seconds, plain, oracle, share = (
                median(f(r) for r in mine)
                for f in (
                    lambda r: r["provenance"]["seconds"],
                    lambda r: r["metrics"]["P-MPJPE"]["no_oracle"],
                    lambda r: r["metrics"]["P-MPJPE"]["oracle_flip"],
                    lambda r: 100 * r["better_mirrored"] / r["views"],
                )
            )
            lines.append(f"{system:22s} {len(mine):5d} {seconds:8.0f} {plain:10.1f} {oracle:12.1f} {share:14.1f} %")
    return "\n".join(lines)


def main(
    data: str,
    seeds: int = 5,
    out: Path = ARTEFACT,
    runs: Path = Path("runs/foundation"),
    workers: int = 1,
) -> None:
    """Run what is missing from the artefact, then print the medians.

    Args:
        data: mocap archive with a train and a test split.
        seeds: seeds 0 to seeds - 1.
        out: the artefact.
        runs: where the run folders go.
        workers: runs at a time; the processor's cores are shared out among them.
    """
    rows: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []
    threads = max(1, torch.get_num_threads() // workers)
    for stage in (("teacher", "teacher without RIC"), ("student",), ("teacher from sampler",)):
        done = {(r["system"], r["seed"]) for r in rows}
        missing = [(s, seed) for seed in range(seeds) for s in stage if (s, seed) not in done]
        with ProcessPoolExecutor(workers) as pool:
            for job in as_completed([pool.submit(run_one, s, data, seed, runs, threads) for s, seed in missing]):
                rows.append(job.result())
                rows.sort(key=lambda r: (SYSTEMS.index(r["system"]), r["seed"]))
                out.parent.mkdir(parents=True, exist_ok=True)
                temporary = out.with_suffix(".tmp")
                temporary.write_text(json.dumps(rows, indent=1) + "\n")
                temporary.replace(out)
                print(summary(rows), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
