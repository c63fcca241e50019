"""Checks for the exercises of chapter 5, full GPU training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ites_core.config import TeacherConfig, teacher_config
from ites_core.exercises.base import NotYet, call, compare, exercise


@exercise("5.1", "Count a step", "easy", 10)
def step_flop(answer: Callable[[TeacherConfig], float]) -> None:
    """``step_flop(config)``: operations of one training step of a teacher, linear layers only."""
    for name in ("official", "small", "paper"):
        c = teacher_config(name)
        first, heads = 34 * c.width, c.width * (c.atoms + 3)
        blocks = c.blocks * (2 * c.width * c.bottleneck + c.bottleneck**2)
        weights = first + blocks + heads
        passes = 1 + c.rotations_per_pose
        right = 6 * weights * passes * c.batch_size
        compare(
            float(call(answer, c)) / right,
            1.0,
            {
                f"{name}: this is the forward pass alone. Going backwards costs twice as much again.": 1 / 3,
                f"{name}: a weight is a product and a sum; you count one operation.": 1 / 2,
                f"{name}: the passes of the cycle are missing.": 1 / passes,
                f"{name}: the batch is missing.": 1 / c.batch_size,
                f"{name}: the blocks have three layers, width to bottleneck to bottleneck to width.": (
                    first + heads + 2 * c.blocks * c.width * c.bottleneck
                )
                / weights,
                f"{name}: the two heads, atoms and three angles, are missing.": (first + blocks) / weights,
            },
            atol=2e-4,
        )


@exercise("5.2", "What a checkpoint weighs", "easy", 10)
def state_bytes(answer: Callable[[int, int], int]) -> None:
    """``state_bytes(parameters, statistics)``: bytes to resume a run with Adam from, numbers in float32."""
    p, s = 100_000, 5_000
    compare(
        call(answer, p, s),
        4 * (3 * p + s),
        {
            "Adam keeps two numbers for each parameter, beside the parameter itself.": 4 * (2 * p + s),
            "These are the weights alone: enough to lift a pose, too little to go on training.": 4 * (p + s),
            "The running statistics are missing.": 4 * 3 * p,
            "These are bits. A byte has eight.": 32 * (3 * p + s),
            "You count numbers; each takes four bytes.": 3 * p + s,
            "Adam keeps nothing for the statistics: no gradient reaches them.": 4 * 3 * (p + s),
        },
        atol=0.5,
    )


@exercise("5.3", "Amdahl's law", "medium", 10)
def speedup(answer: Callable[[float, float], float]) -> None:
    """``speedup(part, factor)``: how much faster a step gets if a part (0 to 1) of its time is divided by factor."""
    for part, factor in ((0.5, 10.0), (0.9, 10.0), (0.75, float("inf"))):
        right = 1 / ((1 - part) + part / factor)
        place = f"part {part}, factor {factor}"
        compare(
            call(answer, part, factor),
            right,
            {
                f"{place}: this is the new time, as a share of the old. How many times faster is that?": 1 / right,
                f"{place}: the rest of the time does not vanish.": factor / part,
                f"{place}: you speed up the wrong part.": 1 / (part + (1 - part) / factor),
                f"{place}: gains of parts do not add up like this.": 1 + part * (factor - 1),
            },
        )


@exercise("5.4", "Time and energy", "easy", 10)
def estimate(answer: Callable[[float, float, float, float], tuple[float, float]]) -> None:
    """``estimate(flop, rate, share, watts)``: hours and kWh of a run."""
    flop, rate, share, watts = 7.2e15, 1e13, 0.2, 300.0
    found = call(answer, flop, rate, share, watts)
    if not isinstance(found, Sequence | Tensor) or len(found) != 2:
        raise NotYet("Return two numbers: hours and kWh.")
    compare(
        found[0],
        1.0,
        {
            "These are seconds. An hour has 3,600.": 3600.0,
            "These are minutes.": 60.0,
            "You use the machine's full rate. The step reaches a share of it.": 0.2,
            "You multiply by the share; a smaller share takes longer.": 0.04,
        },
    )
    compare(
        found[1],
        0.3,
        {
            "These are watt hours. A kilowatt hour is a thousand.": 300.0,
            "This is the power in kilowatts times seconds; energy is kilowatts times hours.": 1080.0,
            "The energy belongs to the time that the run really takes.": 0.06,
        },
    )


@exercise("5.5", "Gradients of unequal parts", "medium", 15)
def joint_gradient(answer: Callable[[list[Tensor], list[int]], Tensor]) -> None:
    """``joint_gradient(gradients, sizes)``: the gradient of the mean loss of a batch from those of its parts."""
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0]), torch.tensor([0.0, 8.0])]
    sizes = [64, 32, 4]
    stacked, weight = torch.stack(gradients), torch.tensor(sizes, dtype=torch.float32)
    compare(
        call(answer, gradients, sizes),
        (weight[:, None] * stacked).sum(dim=0) / weight.sum(),
        {
            "That is the plain mean of the parts. A part of four poses must not count as much as one of 64.": (
                stacked.mean(dim=0)
            ),
            "That is the sum. The loss is a mean over poses.": stacked.sum(dim=0),
            "You weight by size but do not divide by the number of poses.": (weight[:, None] * stacked).sum(dim=0),
            "You divide by the number of parts; divide by the number of poses.": (weight[:, None] * stacked).mean(
                dim=0
            ),
            "The weights are upside down: a larger part counts more.": (stacked / weight[:, None]).sum(dim=0)
            / (1 / weight).sum(),
        },
    )
