"""The experiments on a GPU: all runs of one kind trained at once, then scored by several processes.

The artefacts are those that :func:`ites_core.experiments.runs.run_systems` makes, run by run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from ites_core.checkpoint import RunFolder
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.ensemble import train_ensemble
from ites_core.experiments.artefacts import Place, Row, in_words, write_row
from ites_core.experiments.runs import helpers, run_folder, whole, with_teachers
from ites_core.experiments.runs import train as train_alone
from ites_core.experiments.scoring import missing_data, motion_named, score_run, setting
from ites_core.experiments.systems import System
from ites_core.loop import Plan, Task
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
    with helpers(workers, threads=1) as pool:
        waiting: list[Future[Row]] = []
        for distilled in (False, True):  # teachers first: students need them
            todo = [s for s in line if (s.labels_from is not None) == distilled]
            for group in kinds(todo, place, seeds):
                started = time.monotonic()
                trained = 0 if group[0][0].stage in ("untrained", "on the rays") else _train(group, place, runs, device)
                names = ", ".join(dict.fromkeys(s.name for s, _ in group))
                print(f"{names}: {trained} networks in {time.monotonic() - started:.0f} s", flush=True)
                waiting += [pool.submit(_score, s, place, i, runs) for s, i in group if not _scored(s, place, i)]
        for job in waiting:
            row = job.result()
            print(f"{row['system']}, seed {row['seed']}: {in_words(row)}", flush=True)


def _train(group: Sequence[tuple[System, int]], place: Place, runs: Path, device: str) -> int:
    """Train those of a group whose weights are not there, or are those of half a run; how many these were."""
    unsure = [(system, seed) for system, seed in group if not whole(system, place, seed, runs)]
    folders, tasks = [], []
    with ExitStack() as stack:
        for (system, seed), task in zip(unsure, tasks_of(unsure, place, runs, device), strict=True):
            folder = RunFolder(run_folder(system.name, place, seed, runs))
            total = Plan.of(task.run.config, len(task.data)).total
            if not (folder.model_file.is_file() and folder.read().step == total):
                stack.enter_context(folder.ours())
                folders.append(folder)
                tasks.append(task)
        for folder, run in zip(folders, train_ensemble(tasks, progress=False) if tasks else [], strict=True):
            folder.write(run, None)
        return len(tasks)


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
            assert isinstance(config, StudentConfig)
            guide = system.labels_from
            teacher = RunFolder(run_folder(guide, place, seed, runs)).read() if guide else None
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
