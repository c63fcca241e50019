"""One thread or two: sums are taken in another order, so float32 differs in its last digits, and in no more.

Beside it, what float32 itself costs: the gradient of a training step, in single and in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from ites_core.checkpoint import Run
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.metrics import p_mpjpe
from ites_core.models import DepthStudent, Teacher
from ites_core.objectives import draw_rotations, student_losses, teacher_losses
from ites_core.weights import load
from tests.campaigns.properties.base import DOUBLE, SEEDS, SINGLE, Property, bodies, generator, largest, normal

POSES = 1024  # enough that torch shares the work out
NETWORKS = ("ites-t", "ites-ts", "ites-beyond")


def with_threads(count: int, call: Callable[[], Tensor]) -> Tensor:
    """What a call gives with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return call()
    finally:
        torch.set_num_threads(before)


@cache
def packaged(name: str) -> Run:
    """Packaged weights."""
    return load(name)


def difference(call: Callable[[], Tensor]) -> float:
    """Largest difference of one and two threads, over the largest magnitude."""
    one, two = (with_threads(count, call) for count in (1, 2))
    return largest(one - two) / max(largest(one), 1e-30)


def pictures(number: int) -> Tensor:
    """Normalised pictures (POSES, 17, 2) of random bodies."""
    image = 0.1 * normal(number, POSES, 17, 2, dtype=SINGLE)
    return image - image[:, :1]


def lifting(name: str, number: int) -> float:
    """Lifted poses of a packaged network."""
    run = packaged(name)
    image = pictures(number) / run.normalisation.factor
    return difference(lambda: run.lift(image, batch=POSES))


def step_gradient(run: Run, number: int, device: str = "cpu", dtype: torch.dtype = SINGLE) -> Tensor:
    """All gradients of one training step at a packaged network's weights, which are on the device in this precision."""
    x = pictures(number).to(device, dtype)
    rotations = draw_rotations(run.config, POSES, generator(number)).to(device, dtype)
    model, config = run.model, run.config
    if isinstance(config, TeacherConfig):
        assert isinstance(model, Teacher)
        total = teacher_losses(model, x, rotations, config)["total"]
    else:
        assert isinstance(config, StudentConfig) and isinstance(model, DepthStudent)
        label = normal(number, POSES, 17, dtype=SINGLE).to(device, dtype)
        total = student_losses(model, x, label, rotations, config)["total"]
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(model.parameters()))]).cpu()


def gradient(name: str, number: int) -> float:
    """All gradients of one training step at a packaged network's weights, over the largest of them."""
    return difference(lambda: step_gradient(packaged(name), number))


def precision(name: str, number: int) -> float:
    """All gradients of one training step in single and in double precision, over the largest of them."""
    double = load(name)
    double.model.double()
    exact = step_gradient(double, number, dtype=DOUBLE)
    return largest(step_gradient(packaged(name), number) - exact) / largest(exact)


def score(number: int) -> float:
    """P-MPJPE, which is computed in float64."""
    prediction, target = bodies(number, POSES, SINGLE), bodies(number + 1, POSES, SINGLE)
    return difference(lambda: p_mpjpe(prediction, target))


PROPERTIES = [
    *(Property(f"threads 1 and 2: {name} lifts", 1e-5, (SEEDS,), partial(lifting, name), cost=40) for name in NETWORKS),
    *(
        Property(f"threads 1 and 2: a step of {name}", 1e-4, (SEEDS,), partial(gradient, name), cost=100)
        for name in NETWORKS[:2]
    ),
    *(
        Property(f"single and double precision: a step of {name}", 5e-2, (SEEDS,), partial(precision, name), cost=100)
        for name in NETWORKS[:2]
    ),
    Property("threads 1 and 2: P-MPJPE", 1e-6, (SEEDS,), score, cost=20),
]
