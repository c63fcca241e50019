"""Processor or GPU: sums are taken in another order, so float32 differs in its last digits. On one GPU twice: in none.

TF32 is off, as it is by default. Rotations are drawn on the device, so two *trainings* differ from the first step on;
what must agree is each step, given the same rotations. In float64 it does. In float32 the gradient of a deep graph
student is itself up to two percent off that in float64, wherever it is computed, hence that tolerance.
"""

from __future__ import annotations

from functools import partial

import torch

from ites_core.checkpoint import camera_pose
from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.data.sampler import PoseSampler
from ites_core.loop import fit
from ites_core.metrics import p_mpjpe
from ites_core.training import student_task, teacher_task, train_teacher
from ites_core.weights import load
from tests.campaigns.properties.base import DOUBLE, SEEDS, SINGLE, Property, bodies, largest
from tests.campaigns.properties.threads import NETWORKS, POSES, packaged, pictures, step_gradient

SETTINGS = {"max_steps": 12, "validations": 1}


def lifting(name: str, number: int) -> float:
    """Lifted poses of a packaged network on both, over the largest coordinate."""
    x = pictures(number)
    with torch.no_grad():
        here = camera_pose(packaged(name).model, x)
        there = camera_pose(load(name, "cuda").model, x.cuda()).cpu()
    return largest(here - there) / largest(here)


def gradient(name: str, dtype: torch.dtype, number: int) -> float:
    """All gradients of one training step at a packaged network's weights on both, over the largest of them."""
    here, there = load(name), load(name, "cuda")
    for run in (here, there):
        run.model.to(dtype)
    expected = step_gradient(here, number, "cpu", dtype)
    return largest(expected - step_gradient(there, number, "cuda", dtype)) / largest(expected)


def score(number: int) -> float:
    """P-MPJPE of random bodies on both, in float64; metres."""
    prediction, target = bodies(number, POSES, SINGLE), bodies(number + 1, POSES, SINGLE)
    return largest(p_mpjpe(prediction, target) - p_mpjpe(prediction.cuda(), target.cuda()).cpu())


def repeated(config: TeacherConfig | StudentConfig, number: int) -> float:
    """The same training twice on one GPU, recorded steps included: largest difference of weights, over the largest."""
    archive = PoseSampler.embedded().archive(sequences=12, frames=20, test_sequences=3, subjects=6, test_subjects=2)
    once, again = (_weights(archive, config, number) for _ in range(2))
    return largest(once - again) / largest(once)


def _weights(archive: MocapArchive, config: TeacherConfig | StudentConfig, seed: int) -> torch.Tensor:
    if isinstance(config, TeacherConfig):
        task = teacher_task(archive, config, seed=seed, device="cuda")
    else:
        teacher = train_teacher(archive, teacher_config("smoke", **SETTINGS), seed=seed, device="cpu", progress=False)
        task = student_task(archive, teacher, config, seed=seed, device="cuda")
    model = fit(task, progress=False).model
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


BEYOND = {**SETTINGS, "network": "resfc", "channels": 64, "bones": "pictures", "batch_size": 64, "density_steps": 5}
PROPERTIES = [
    *(
        Property(f"processor and GPU: {name} lifts", 1e-4, (SEEDS,), partial(lifting, name), cost=40)
        for name in NETWORKS
    ),
    *(
        Property(
            f"processor and GPU: a step of {name}, {kind}", off, (SEEDS,), partial(gradient, name, dtype), cost=100
        )
        for kind, dtype, off in (("float32", SINGLE, 5e-2), ("float64", DOUBLE, 1e-9))
        for name in NETWORKS[:2]
    ),
    Property("processor and GPU: P-MPJPE", 1e-6, (SEEDS,), score, cost=20),
    Property("a GPU twice: teacher", 0.0, (SEEDS,), partial(repeated, teacher_config("smoke", **SETTINGS)), cost=400),
    Property("a GPU twice: student", 0.0, (SEEDS,), partial(repeated, student_config("smoke", **SETTINGS)), cost=400),
    Property(
        "a GPU twice: priors alone", 0.0, (SEEDS,), partial(repeated, student_config("beyond", **BEYOND)), cost=400
    ),
]
