"""Train a system, score it, keep the result: one artefact a run, ``results/<data>/<scale>/<system>-<seed>.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ites_core.checkpoint import Run, RunFolder
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.data import Motion, load_motion
from ites_core.data.sources import is_here
from ites_core.errors import ItesError
from ites_core.evaluation import Report, evaluate
from ites_core.experiments.systems import SYSTEMS, Scale, System, system_named
from ites_core.training import train_student, train_supervised, train_teacher, untrained

RESULTS = Path(__file__).resolve().parents[2] / "results"
# Data sets that a network trained on another is scored on without retraining, where they are here (Table 2, Figure 7).
TRANSFER = {"cmu17": ("hdm05_17",), "h36m": ("mpi-inf-3dhp",), "h36m-cpn": ("mpi-inf-3dhp",)}

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the results of one data set at one scale stand.

    Attributes:
        data: name of the data set, see ``ites data list``.
        scale: see :mod:`ites_core.experiments.systems`.
        results: folder of all artefacts.
    """

    data: str = "cmu17"
    scale: Scale = "small"
    results: Path = RESULTS

    @property
    def folder(self) -> Path:
        """Folder of the artefacts."""
        return self.results / self.data / self.scale

    def artefact(self, system: str, seed: int) -> Path:
        """The file of one run."""
        return self.folder / f"{slug(system)}-{seed}.json"

    def rows(self, *systems: str) -> list[Row]:
        """The stored runs, ordered by system and seed; of all systems if none is named. Empty if there is none.

        Raises:
            ItesError: an artefact that cannot be read.
        """
        found: list[Row] = []
        for system in systems or tuple(SYSTEMS):
            seed = 0
            while (file := self.artefact(system, seed)).is_file():
                try:
                    found.append(json.loads(file.read_text(encoding="utf-8")))
                except (OSError, ValueError) as error:
                    raise ItesError(
                        f"{file}: not readable ({error}); delete it and run the experiment again"
                    ) from error
                seed += 1
        return found


def at_one_scale(*systems: str, data: str = "cmu17") -> tuple[Scale, list[Row]]:
    """Stored runs that may be compared with one another: all at ``small``, or all at ``brief`` if it has more systems.

    Args:
        systems: names of systems; all if none is named.
        data: name of the data set.

    Returns:
        The scale, and its rows; no rows if nothing is stored. Chapters 3 and 4 say in words which scale it is.
    """
    scales: tuple[Scale, Scale] = ("small", "brief")
    found = {scale: Place(data, scale).rows(*systems) for scale in scales}
    best = max(scales, key=lambda scale: len({row["system"] for row in found[scale]}))  # the first of equals
    return best, found[best]


def slug(system: str) -> str:
    """A system's name as part of a file name."""
    return system.replace(" ", "-").replace("=", "")


def run_systems(
    systems: Sequence[str],
    place: Place,
    seeds: int,
    runs: Path,
    workers: int = 1,
    device: str = "auto",
) -> None:
    """Train and score what is missing; a killed call goes on where it stopped. Teachers that are needed come along.

    Args:
        systems: names of systems.
        place: data and scale.
        seeds: seeds 0 to seeds - 1.
        runs: folder for the run folders (weights and logs).
        workers: runs at a time; the processor's cores are shared out among them.
        device: auto, cpu or cuda.

    Raises:
        ItesError: unknown system, data that are not here, or a run that fails; the others are kept.
    """
    wanted = [system_named(name) for name in systems]
    teachers = {s.labels_from for s in wanted if s.labels_from is not None}
    missing_teachers = [system_named(name) for name in sorted(teachers - set(systems))]
    threads = max(1, torch.get_num_threads() // workers)
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        for seed in range(seeds):
            for distilled in (False, True):  # teachers first: students need them
                queue = [
                    system
                    for system in ([] if distilled else missing_teachers) + wanted
                    if (system.labels_from is not None) == distilled and not _done(system, place, seed, runs)
                ]
                jobs: dict[Future[Row], System] = {
                    pool.submit(run_one, system, place, seed, runs, device): system for system in queue
                }
                for job in as_completed(jobs):
                    seconds, plain, oracle, mirrored = figures(job.result())
                    print(
                        f"{jobs[job].name}, seed {seed}: P-MPJPE {plain:.1f} mm, {oracle:.1f} with the oracle flip, "
                        f"{mirrored:.1f} % better mirrored, {seconds:.0f} s",
                        flush=True,
                    )


def _done(system: System, place: Place, seed: int, runs: Path) -> bool:
    """An artefact is enough, except for a teacher whose student is still to be trained: that needs the weights."""
    has_students = any(other.labels_from == system.name for other in SYSTEMS.values())
    weights = RunFolder(run_folder(system.name, place, seed, runs)).model_file.exists()
    return place.artefact(system.name, seed).exists() and (weights or not has_students)


def run_folder(system: str, place: Place, seed: int, runs: Path) -> Path:
    """Where the weights of one run are."""
    return runs / place.data / place.scale / f"{slug(system)}-{seed}"


def run_one(system: System, place: Place, seed: int, runs: Path, device: str = "auto") -> Row:
    """Train one system with one seed, score it on the test split and on the transfer sets, write its artefact.

    Raises:
        ItesError: as training and evaluation; or the teacher of a student is missing.
    """
    archive = load_motion(place.data)
    run = train(system, archive, place, seed, runs, device)
    rays = system.stage == "on the rays"
    row: Row = {
        "system": system.name,
        "data": place.data,
        "scale": place.scale,
        "seed": seed,
        "config": asdict(system.config(place.scale)),
        "parameters": sum(p.numel() for p in run.model.parameters()),
    }
    report = evaluate(run, archive, on_rays=rays)
    row |= _scores(report) | {"actions": report.actions, "transfer": {}}
    for name in TRANSFER.get(place.data, ()):
        if is_here(name):
            row["transfer"][name] = _scores(evaluate(run, load_motion(name), on_rays=rays))
    row["provenance"] = run.provenance | report.provenance
    file = place.artefact(system.name, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)
    return row


def _scores(report: Report) -> Row:
    return {"metrics": report.metrics, "views": report.views, "better_mirrored": report.better_mirrored}


def train(system: System, archive: Motion, place: Place, seed: int, runs: Path, device: str) -> Run:
    """The trained network of a system, resumed where its run folder already holds a part of it."""
    out = run_folder(system.name, place, seed, runs)
    resume = RunFolder(out).exists()
    config = system.config(place.scale)
    learn = archive if system.motion == "recordings" else load_motion(system.motion)
    if system.stage == "untrained":
        assert isinstance(config, StudentConfig)
        return untrained(learn, config, seed=seed)
    if isinstance(config, TeacherConfig):
        return train_teacher(learn, config, out, seed=seed, device=device, resume=resume, progress=False)
    if system.stage == "supervised":
        return train_supervised(learn, config, out, seed=seed, device=device, resume=resume, progress=False)
    assert system.labels_from is not None
    teacher = RunFolder(run_folder(system.labels_from, place, seed, runs)).read()
    if system.stage == "on the rays":
        return teacher
    return train_student(learn, teacher, config, out, seed=seed, device=device, resume=resume, progress=False)


def figures(row: Row) -> tuple[float, float, float, float]:
    """Of one run: seconds, P-MPJPE in mm without and with the oracle flip, percent of views better mirrored."""
    error = row["metrics"]["P-MPJPE"]
    mirrored = 100 * row["better_mirrored"] / row["views"]
    return row["provenance"]["seconds"], error["no_oracle"], error["oracle_flip"], mirrored


def summary(rows: Sequence[Row]) -> str:
    """One line a system: seeds, median seconds, median P-MPJPE in both columns, median share better mirrored."""
    names = list(dict.fromkeys(row["system"] for row in rows))
    width = 2 + max((len(name) for name in names), default=6)
    lines = [f"{'system':{width}s} seeds  seconds  no oracle  oracle flip  better mirrored"]
    for name in names:
        mine = [figures(row) for row in rows if row["system"] == name]
        seconds, plain, oracle, share = (median(column) for column in zip(*mine, strict=True))
        lines.append(f"{name:{width}s} {len(mine):5d} {seconds:8.0f} {plain:10.1f} {oracle:12.1f} {share:14.1f} %")
    return "\n".join(lines)
