"""The loop that both stages share: batches, schedule, log, validation, checkpoints (chapters 3 and 5).

Batch order and random rotations are functions of (seed, epoch) and (seed, step) alone, so a run that is killed and
resumed continues to bitwise the same weights as one that was not (on the same machine with the same number of threads).
With several processes (:mod:`ites_core.distributed`) each takes its share of the same batches.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ites_core.checkpoint import Run, RunFolder
from ites_core.config import TrainingConfig
from ites_core.data import CameraViews
from ites_core.distributed import Team
from ites_core.errors import Interrupted, ItesError
from ites_core.metrics import p_mpjpe
from ites_core.objectives import Objective, draw_rotations
from ites_core.step import Speed, TrainingStep, compiled_blocks, make_optimiser, seed_of


class Order(Protocol):
    """The numbers 0 to M - 1 in some order: a tensor, or something that computes a part of it when asked."""

    def __getitem__(self, places: slice, /) -> Tensor: ...


class Data(Protocol):
    """What a stage learns from: M poses, on the device by the time they are asked for."""

    def __len__(self) -> int: ...

    def order(self, seed: int, epoch: int) -> Order:
        """The order of one pass over the data."""
        ...

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """The poses of an index (B,): normalised 2D input (B, N, 2) and, for a student, depths (B, N)."""
        ...


@dataclass(frozen=True)
class TensorData:
    """Data that lie on the device as a whole.

    Attributes:
        tensors: M first in each.
    """

    tensors: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.tensors[0])

    def order(self, seed: int, epoch: int) -> Order:
        """See :func:`epoch_order`; where the tensors are."""
        return epoch_order(len(self), seed, epoch).to(self.tensors[0].device)

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Data`."""
        return tuple(t[index] for t in self.tensors)


@dataclass(frozen=True)
class Task:
    """All that a stage hands to the loop.

    Attributes:
        run: what is trained; changed in place.
        objective: the run's network with its losses.
        data: what it learns from.
        validation: held-out views.
        device: where it is trained.
    """

    run: Run
    objective: Objective
    data: Data
    validation: CameraViews
    device: torch.device


@dataclass(frozen=True)
class Plan:
    """How many steps of how many poses.

    Attributes:
        batch: poses a step.
        steps_per_epoch: whole batches in one pass over the data.
        total: steps of the run.
        log_every: steps between log lines; the only place where the loop waits for the device.
        validate_every: steps between scores of the held-out views, rounded up to the next log line.
    """

    batch: int
    steps_per_epoch: int
    total: int
    log_every: int
    validate_every: int

    @classmethod
    def of(cls, config: TrainingConfig, count: int) -> Plan:
        """The plan for ``count`` poses.

        Raises:
            ItesError: fewer than two poses a step.
        """
        batch = min(config.batch_size, count)
        if batch < 2:
            raise ItesError(
                f"batch_size: found {config.batch_size} of {count} poses, expected at least 2 poses a step: batch "
                "normalisation compares them"
            )
        steps_per_epoch = count // batch
        total = config.epochs * steps_per_epoch
        total = total if config.max_steps is None else min(total, config.max_steps)
        return cls(batch, steps_per_epoch, total, max(25, total // 400), max(1, math.ceil(total / config.validations)))

    def learning_rate(self, config: TrainingConfig, step: int) -> float:
        """The rate of a step, from 0."""
        if config.schedule == "cosine":
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.total))
        if config.schedule == "halving":
            return config.learning_rate * 0.5 ** (step // (config.halve_every * self.steps_per_epoch))
        return config.learning_rate

    def logs(self, step: int) -> int:
        """After how many steps the log line of this step comes; 0 if none is due."""
        if step % self.log_every == 0:
            return self.log_every
        return step % self.log_every if step == self.total else 0

    def validates(self, step: int) -> bool:
        """Whether the held-out views are scored at this log line."""
        return step == self.total or step % self.validate_every < self.log_every


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of one pass over the data: (M,) int64, on the processor."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, 1, epoch)))


def fit(
    task: Task,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
    speed: Speed = "auto",
    team: Team | None = None,
) -> Run:
    """Train a task's run to its end.

    Args:
        task: what to train.
        out: run folder; None keeps the run in memory.
        resume: continue the run in ``out``.
        progress: show a progress bar.
        speed: see :class:`ites_core.step.TrainingStep`.
        team: the processes that train together; None for this one alone.

    Raises:
        ItesError: ``out`` in use or not writable, batches that the processes cannot share, a loss that is not finite.
        Interrupted: somebody stopped it; the last checkpoint is kept.
    """
    team, plan = team or Team(), Plan.of(task.run.config, len(task.data))
    if team.size > 1 and speed == "compiled":
        raise ItesError("speed: compiled steps are for one process; several take speed=auto or plain")
    team.share_of(plan.batch)  # refused before a folder is made
    if out is None:
        if resume:
            raise ItesError("resume: name the run folder with --out")
        return _fit(task, plan, None, resume, progress, speed, team)
    folder = RunFolder(out)
    if resume:
        folder.expect_run()  # before a folder of a mistyped name is made
    with folder.ours() if team.leads else nullcontext():
        return _fit(task, plan, folder, resume, progress, speed, team)


def _fit(
    task: Task, plan: Plan, folder: RunFolder | None, resume: bool, progress: bool, speed: Speed, team: Team
) -> Run:
    run, config, device = task.run, task.run.config, task.device
    share = team.share_of(plan.batch)
    if team.size > 1:
        speed = "plain"
        run.provenance["processes"] = team.size
        if task.objective.priors is not None:
            task.objective.priors.share = share
    parameters = list(task.objective.network.parameters())
    optimiser = make_optimiser(config, parameters, device)
    if folder is not None:
        _open(folder, run, optimiser, resume, team)
    step = TrainingStep(
        team.wrap(task.objective),
        parameters,
        optimiser,
        config,
        [run.seed],
        lambda generators: draw_rotations(config, plan.batch, generators[0])[share],
        device,
        speed,
        compiled_blocks(run.model) if speed == "compiled" else (),
    )
    started = time.monotonic() - run.provenance["seconds"]
    order: Order | None = None
    quiet = not (progress and team.leads)
    bar = tqdm(total=plan.total, initial=run.step, desc=run.stage, unit="step", disable=quiet, mininterval=0.5)
    run.model.train()
    try:
        while run.step < plan.total:
            epoch, place = divmod(run.step, plan.steps_per_epoch)
            if place == 0 or order is None:
                order = task.data.order(run.seed, epoch)
            index = order[place * plan.batch : (place + 1) * plan.batch][share]
            rate = plan.learning_rate(config, run.step)
            step(task.data.batch(index), run.step, run.step / plan.steps_per_epoch, rate)
            run.step += 1
            bar.update()
            if count := plan.logs(run.step):
                row = log_line(run, team.mean(step.take_sums()), started, count)
                bar.set_postfix({k: f"{v:.4f}" for k, v in row.items() if k not in ("step", "seconds")}, refresh=False)
                if plan.validates(run.step):
                    if team.leads:
                        run.log[-1] |= validate(run, task.validation, device)
                        if folder is not None:
                            folder.write(run, optimiser)
                    team.wait()
    except KeyboardInterrupt:
        at = f"{run.stage} at step {run.step} of {plan.total}"
        if folder is None:
            raise Interrupted(f"{at}; nothing is kept, as no run folder was named") from None
        raise Interrupted(
            f"{at}; the last checkpoint is kept: continue with --resume --out {folder.path}, in Python with resume=True"
        ) from None
    finally:
        bar.close()
    run.model.eval()
    return run


def _open(folder: RunFolder, run: Run, optimiser: torch.optim.Optimizer, resume: bool, team: Team) -> None:
    if folder.exists() and not resume:
        raise ItesError(f"{folder.path}: already holds a run; continue it with --resume, or train into another folder")
    team.wait()  # nobody writes before everybody has looked
    if resume:
        folder.resume(run, optimiser)
    if team.leads and not (resume and folder.agrees(run.step)):
        folder.write(run, optimiser)


def log_line(run: Run, sums: dict[str, Tensor], started: float, steps: int) -> dict[str, Any]:
    """Append the mean losses since the last line, and stop if they are not finite.

    Raises:
        ItesError: a loss that is not finite.
    """
    row: dict[str, Any] = {"step": run.step} | {k: float(v) / steps for k, v in sums.items()}
    run.provenance["seconds"] = row["seconds"] = round(time.monotonic() - started, 2)
    if not all(math.isfinite(row[k]) for k in sums):
        raise ItesError(
            f"{run.stage}: loss is not finite at step {run.step} ({', '.join(f'{k} {row[k]:g}' for k in sums)}); "
            "the last good checkpoint is kept: lower learning_rate or set clip=1.0"
        )
    run.log.append(row)
    return row


@torch.no_grad()
def validate(run: Run, views: CameraViews, device: torch.device) -> dict[str, float]:
    """P-MPJPE in mm on held-out training subjects, without and with the flip oracle. Chapter 3.

    For the reader's eyes only: nothing in training looks at these numbers, which need 3D truth. Without truth (2D
    annotations) there are none.
    """
    if not views.pose.isfinite().all():
        return {}
    run.model.eval()
    pose = run.lift(views.image)
    run.model.to(device).train()
    free = p_mpjpe(pose, views.pose).mean().item() * 1000
    oracle = p_mpjpe(pose, views.pose, oracle_flip=True).mean().item() * 1000
    return {"val_p_mpjpe": free, "val_p_mpjpe_oracle_flip": oracle}
