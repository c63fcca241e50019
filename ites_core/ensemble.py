"""Many runs of one kind at once: their weights stacked, every operation done for all of them (chapter 5).

Small networks leave most of a machine idle. Runs that differ in their seed, or in the weights of their losses, do the
same operations on tensors of the same shapes; ``torch.func`` stacks them, and one step trains all. Each run sees the
batches, rotations and start that it would see alone, so the result is the same up to rounding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state
from tqdm.auto import tqdm

from ites_core.checkpoint import Run
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.errors import ItesError
from ites_core.loop import Plan, Task, TensorData, epoch_order, log_line, validate
from ites_core.models.linear import plain_products
from ites_core.objectives import Losses, draw_rotations, weights_of
from ites_core.step import Speed, TrainingStep, make_optimiser


def train_ensemble(tasks: Sequence[Task], *, progress: bool = True, speed: Speed = "auto") -> list[Run]:
    """Train several tasks in one batched pass. Chapter 5.

    Args:
        tasks: of one kind of network, with as many poses each; their settings may differ in the weights of the losses
            (none of them 0 in one task and not in another).
        progress: show a progress bar.
        speed: see :class:`ites_core.step.TrainingStep`.

    Returns:
        The tasks' runs, trained; each with its own log. ``seconds`` is that of all together.

    Raises:
        ItesError: tasks that cannot be stacked, or a loss that is not finite.
    """
    config, device = _common(tasks), tasks[0].device
    count = len(tasks[0].data)
    plan = Plan.of(config, count)
    runs = [task.run for task in tasks]
    weights = [weights_of(run.config) for run in runs]
    weight = {name: torch.tensor([w[name] for w in weights], device=device) for name in weights[0]}
    for run in runs:
        run.model.train()
    parameters, buffers = stack_module_state([task.objective for task in tasks])
    template = copy.deepcopy(tasks[0].objective).to("meta")

    def losses(batch: tuple[Tensor, ...], rotations: Tensor, epoch: float) -> Losses:
        def of_one(p: dict[str, Tensor], b: dict[str, Tensor], batch: tuple[Tensor, ...], turn: Tensor) -> Losses:
            return functional_call(template, (p, b), (batch, turn, epoch))

        with plain_products():
            result = torch.vmap(of_one, randomness="different")(parameters, buffers, batch, rotations)
        total = torch.stack([weight[name] * result[name] for name in weight if name in result]).sum(dim=0)
        return result | {"total": total}

    trained = [p for p in parameters.values() if p.requires_grad]  # not a prior's
    optimiser = make_optimiser(config, trained, device)
    step = TrainingStep(
        losses,
        trained,
        optimiser,
        config,
        [run.seed for run in runs],
        lambda generators: torch.stack([draw_rotations(config, plan.batch, g) for g in generators]),
        device,
        speed,
    )
    started = time.monotonic()
    order = torch.empty(0, 0, dtype=torch.int64)
    bar = tqdm(total=plan.total, desc=f"{len(runs)} runs", unit="step", disable=not progress, mininterval=0.5)
    for number in range(plan.total):
        epoch, place = divmod(number, plan.steps_per_epoch)
        if place == 0:
            order = torch.stack([epoch_order(count, run.seed, epoch) for run in runs]).to(device)
        index = order[:, place * plan.batch : (place + 1) * plan.batch]
        parts = [task.data.batch(i) for task, i in zip(tasks, index, strict=True)]
        batch = tuple(torch.stack(t) for t in zip(*parts, strict=True))
        step(batch, number, number / plan.steps_per_epoch, plan.learning_rate(config, number))
        bar.update()
        if due := plan.logs(number + 1):
            sums = step.take_sums()
            valid = plan.validates(number + 1)
            if valid:
                _unstack(tasks, parameters, buffers)
            for i, task in enumerate(tasks):
                task.run.step = number + 1
                log_line(task.run, {name: value[i] for name, value in sums.items()}, started, due)
                if valid:
                    task.run.log[-1] |= validate(task.run, task.validation, device)
    bar.close()
    for run in runs:
        run.provenance["runs_at_once"] = len(runs)
        run.model.eval()
    return runs


def _common(tasks: Sequence[Task]) -> TeacherConfig | StudentConfig:
    """The settings that all tasks share.

    Raises:
        ItesError: nothing to train, settings or data that differ.
    """
    if not tasks:
        raise ItesError("ensemble: found no task, expected at least one")
    first = tasks[0].run.config
    same = {f.name: getattr(first, f.name) for f in fields(first) if not f.name.startswith("weight_")}
    for task in tasks:
        config = task.run.config
        if type(config) is not type(first) or replace(config, **same) != config:
            raise ItesError("ensemble: found runs of different settings; only seeds and loss weights may differ")
        if {k for k, v in weights_of(config).items() if v} != {k for k, v in weights_of(first).items() if v}:
            raise ItesError("ensemble: found a loss that has weight 0 in some runs only; train those apart")
        if not isinstance(task.data, TensorData) or len(task.data) != len(tasks[0].data):
            raise ItesError("ensemble: expected tasks with as many poses each, held in memory")
    return first


@torch.no_grad()
def _unstack(tasks: Sequence[Task], parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
    """Copy the stacked weights back to the runs' own networks."""
    for i, task in enumerate(tasks):
        for name, value in (*task.objective.named_parameters(), *task.objective.named_buffers()):
            stacked = parameters.get(name, buffers.get(name))
            assert stacked is not None
            value.copy_(stacked[i])
