"""The experiments on a GPU: all runs of one kind trained at once, then scored by several processes.

The artefacts are those that :func:`ites_core.experiments.runs.run_systems` makes, run by run.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path

import torch

from ites_core.checkpoint import RunFolder
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.ensemble import train_ensemble
from ites_core.experiments.artefacts import Place, Row, in_words, write_row
from ites_core.experiments.runs import run_folder, with_teachers
from ites_core.experiments.runs import train as train_alone
from ites_core.experiments.scoring import missing_data, motion_named, score_run, setting
from ites_core.experiments.systems import System
from ites_core.loop import Task
from ites_core.objectives import weights_of
from ites_core.training import student_task, supervised_task, teacher_task

MOST = 40  # networks in one pass


def run_together(
    systems: Sequence[str], place: Place, seeds: Sequence[int], runs: Path, workers: int = 1, device: str = "auto"
) -> None:
    """Train and score what is missing, as ``run_systems`` does, with all seeds of a system in one pass.

    Args:
        systems, place, seeds, runs, device: as there. Systems whose data are not here are passed over.
        workers: processes that score.
    """
    line = [s for s in with_teachers(systems) if missing_data(s, place) is None]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: list[Future[Row]] = []
        for distilled in (False, True):  # teachers first: students need them
            todo = [s for s in line if (s.labels_from is not None) == distilled]
            for group in kinds(todo, place, seeds):
                started = time.monotonic()
                missing = [(s, i) for s, i in group if not RunFolder(run_folder(s.name, place, i, runs)).exists()]
                if group[0][0].stage not in ("untrained", "on the rays") and missing:
                    for (system, seed), run in zip(
                        missing, train_ensemble(tasks_of(missing, place, runs, device), progress=False), strict=True
                    ):
                        RunFolder(run_folder(system.name, place, seed, runs)).write(run, None)
                names = ", ".join(dict.fromkeys(s.name for s, _ in group))
                print(f"{names}: {len(missing)} networks in {time.monotonic() - started:.0f} s", flush=True)
                waiting += [pool.submit(_score, s, place, i, runs) for s, i in group if not _scored(s, place, i)]
        for job in waiting:
            row = job.result()
            print(f"{row['system']}, seed {row['seed']}: {in_words(row)}", flush=True)


def kinds(systems: Sequence[System], place: Place, seeds: Sequence[int]) -> Iterator[list[tuple[System, int]]]:
    """Runs that can be stacked: the same data, teacher and settings up to the weights of the losses."""
    groups: dict[str, list[tuple[System, int]]] = {}
    for system in systems:
        motion, config = setting(system, place)
        weights = weights_of(config)
        rest = [(f.name, getattr(config, f.name)) for f in fields(config) if not f.name.startswith("weight_")]
        used = [name for name, weight in weights.items() if weight]
        key = repr((system.stage, system.labels_from, motion, rest, used))
        groups.setdefault(key, []).extend((system, seed) for seed in seeds)
    for group in groups.values():
        for first in range(0, len(group), MOST):
            yield group[first : first + MOST]


def tasks_of(group: Sequence[tuple[System, int]], place: Place, runs: Path, device: str) -> list[Task]:
    """The tasks of some runs; runs of one seed that learn from the same data share them."""
    tasks: list[Task] = []
    for system, seed in group:
        motion, config = setting(system, place)
        archive = motion_named(motion)
        if isinstance(config, TeacherConfig):
            task = teacher_task(archive, config, seed=seed, device=device)
        elif system.stage == "supervised":
            task = supervised_task(archive, config, seed=seed, device=device)
        else:
            assert system.labels_from is not None and isinstance(config, StudentConfig)
            teacher = RunFolder(run_folder(system.labels_from, place, seed, runs)).read()
            task = student_task(archive, teacher, config, seed=seed, device=device)
        tasks.append(task)
    return tasks


def _scored(system: System, place: Place, seed: int) -> bool:
    return place.complete(system.name, seed)


def _score(system: System, place: Place, seed: int, runs: Path) -> Row:
    """Score a stored run, or one that needs no training, in a process of its own."""
    if system.stage in ("untrained", "on the rays"):
        run = train_alone(system, place, seed, runs, "cpu")
    else:
        run = RunFolder(run_folder(system.name, place, seed, runs)).read()
    row = score_run(run, system, place, seed)
    write_row(row, place)
    return row
