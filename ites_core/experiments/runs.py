"""Train a system, score it, keep the result; many of them at a time, and again only what is missing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import torch

from ites_core.checkpoint import Run, RunFolder
from ites_core.config import TeacherConfig
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import (
    RESULTS,
    Place,
    Row,
    at_one_scale,
    figures,
    in_words,
    read_row,
    slug,
    summary,
    write_row,
)
from ites_core.experiments.scoring import missing_data, motion_named, score_run, setting
from ites_core.experiments.systems import SYSTEMS, System, system_named
from ites_core.training import train_student, train_supervised, train_teacher, untrained

__all__ = [
    "RESULTS",
    "Place",
    "Row",
    "at_one_scale",
    "figures",
    "run_folder",
    "run_one",
    "run_systems",
    "score_run",
    "summary",
    "train",
    "with_teachers",
    "write_row",
]


def with_teachers(systems: Sequence[str]) -> list[System]:
    """The systems of these names and the teachers that they learn from, teachers first.

    Raises:
        ItesError: an unknown system.
    """
    wanted = [system_named(name) for name in systems]
    teachers = [SYSTEMS[s.labels_from] for s in wanted if s.labels_from is not None]
    everything = {s.name: s for s in [*teachers, *wanted]}
    return sorted(everything.values(), key=lambda s: s.labels_from is not None)


def run_systems(
    systems: Sequence[str],
    place: Place,
    seeds: Sequence[int],
    runs: Path,
    workers: int = 1,
    device: str = "auto",
) -> None:
    """Train and score what is missing; a killed call goes on where it stopped. Teachers that are needed come along.

    Args:
        systems: names of systems.
        place: data and scale.
        seeds: one run of each system a seed.
        runs: folder for the run folders (weights and logs).
        workers: runs at a time; the processor's cores are shared out among them.
        device: auto, cpu or cuda.

    Raises:
        ItesError: unknown system, data that are not here, or a run that fails; what was finished is kept.
    """
    line = with_teachers(systems)
    for system in line:
        if (name := missing_data(system, place)) is not None:
            raise ItesError(f"{system.name}: needs the data set {name}; `ites data list` says how to get it")
    for distilled in (False, True):  # teachers first: students need them
        jobs = [
            (system, seed)
            for seed in seeds
            for system in line
            if (system.labels_from is not None) == distilled and not _done(system, systems, place, seed, runs)
        ]
        for row in _finish(jobs, place, runs, workers, device):
            print(f"{row['system']}, seed {row['seed']}: {in_words(row)}", flush=True)


def _finish(jobs: Sequence[tuple[System, int]], place: Place, runs: Path, workers: int, device: str) -> Iterator[Row]:
    """Run all of them, and give each row when it is there."""
    if workers == 1 or len(jobs) < 2:
        for system, seed in jobs:
            yield run_one(system, place, seed, runs, device)
        return
    threads = max(1, torch.get_num_threads() // workers)
    with helpers(workers, threads) as pool:
        waiting = [pool.submit(run_one, system, place, seed, runs, device) for system, seed in jobs]
        try:
            for job in as_completed(waiting):
                yield job.result()
        except Exception:
            pool.shutdown(wait=True, cancel_futures=True)  # what is under way ends, nothing else begins
            raise


@contextmanager
def helpers(workers: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end when this one is stopped or killed; what they train is kept up to the last checkpoint.

    Args:
        workers: how many.
        threads: of torch in each.
    """
    # Fresh processes: a copy of this one would hang in torch's threads, or find its GPU taken.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, initializer=_begin_helper, initargs=(threads,)) as pool:
        try:
            yield pool
        except (KeyboardInterrupt, GeneratorExit):  # Ctrl-C here, or in what takes the rows
            pool.shutdown(wait=False, cancel_futures=True)
            for helper in multiprocessing.active_children():
                helper.terminate()
            raise


def _begin_helper(threads: int) -> None:
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # killed, the parent could not stop us


def _done(system: System, wanted: Sequence[str], place: Place, seed: int, runs: Path) -> bool:
    """Whether nothing is left to do: its artefact is there, and the weights of it where a student waits for them."""
    waited_for = any(SYSTEMS[name].labels_from == system.name and not place.complete(name, seed) for name in wanted)
    if not waited_for:
        return system.name not in wanted or place.complete(system.name, seed)
    return whole(system, place, seed, runs)


def whole(system: System, place: Place, seed: int, runs: Path) -> bool:
    """Whether a run is scored and its weights are here, not those of half a run."""
    folder = RunFolder(run_folder(system.name, place, seed, runs))
    if not (place.complete(system.name, seed) and folder.model_file.is_file()):
        return False
    steps: int = read_row(place.artefact(system.name, seed))["provenance"]["steps"]
    return folder.read().step == steps


def run_folder(system: str, place: Place, seed: int, runs: Path) -> Path:
    """Where the weights of one run are."""
    return runs / place.data / place.scale / f"{slug(system)}-{seed}"


def run_one(system: System, place: Place, seed: int, runs: Path, device: str = "auto") -> Row:
    """Train one system with one seed, score it on the test split and elsewhere, write its artefact.

    Raises:
        ItesError: as training and evaluation; or the teacher of a student is missing.
    """
    row = score_run(train(system, place, seed, runs, device), system, place, seed)
    write_row(row, place)
    return row


def train(system: System, place: Place, seed: int, runs: Path, device: str) -> Run:
    """The trained network of a system, resumed where its run folder already holds a part of it.

    Raises:
        ItesError: as training; or the teacher of a student is missing.
    """
    out = run_folder(system.name, place, seed, runs)
    resume = RunFolder(out).exists()
    motion, config = setting(system, place)
    if system.stage == "on the rays":
        return _teacher_of(system, place, seed, runs)
    archive = motion_named(motion)
    if isinstance(config, TeacherConfig):
        return train_teacher(archive, config, out, seed=seed, device=device, resume=resume, progress=False)
    if system.stage == "untrained":
        return untrained(archive, config, seed=seed)
    if system.stage == "supervised":
        return train_supervised(archive, config, out, seed=seed, device=device, resume=resume, progress=False)
    teacher = _teacher_of(system, place, seed, runs) if system.labels_from else None
    return train_student(archive, teacher, config, out, seed=seed, device=device, resume=resume, progress=False)


def _teacher_of(system: System, place: Place, seed: int, runs: Path) -> Run:
    assert system.labels_from is not None
    return RunFolder(run_folder(system.labels_from, place, seed, runs)).read()
