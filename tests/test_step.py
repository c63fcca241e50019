"""One step: the same numbers however it is issued."""

from __future__ import annotations

import shutil

import pytest
import torch

from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.loop import Plan, fit
from ites_core.step import Speed
from ites_core.training import student_task, teacher_task, train_teacher

STEPS = {"max_steps": 8, "validations": 1}


def final_losses(
    archive: MocapArchive, config: TeacherConfig | StudentConfig, speed: Speed, device: str
) -> dict[str, float]:
    if isinstance(config, TeacherConfig):
        task = teacher_task(archive, config, device=device)
    else:
        teacher = train_teacher(archive, teacher_config("smoke", **STEPS), device="cpu", progress=False)
        task = student_task(archive, teacher, config, device=device)
    return {k: v for k, v in fit(task, progress=False, speed=speed).log[-1].items() if k != "seconds"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_blocks_give_the_numbers_of_the_plain_step(tiny_archive: MocapArchive) -> None:
    config = teacher_config("smoke", blocks=1, **STEPS)
    plain, compiled = (final_losses(tiny_archive, config, speed, "cpu") for speed in ("plain", "compiled"))
    assert compiled == pytest.approx(plain, rel=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", [teacher_config("smoke", **STEPS), student_config("smoke", **STEPS)])
def test_a_recorded_step_gives_the_numbers_of_the_plain_one(
    config: TeacherConfig | StudentConfig, tiny_archive: MocapArchive
) -> None:
    plain, recorded = (final_losses(tiny_archive, config, speed, "cuda") for speed in ("plain", "auto"))
    assert recorded == pytest.approx(plain, rel=1e-2)


def test_compiled_blocks_leave_the_network_as_it_was(tiny_archive: MocapArchive) -> None:
    run = train_teacher(tiny_archive, teacher_config("smoke", **STEPS), progress=False)
    assert all("forward" not in vars(module) for module in run.model.modules())


def test_plan_counts_steps_logs_and_rates() -> None:
    config = teacher_config("smoke", batch_size=10, epochs=3, max_steps=None, validations=2, learning_rate=0.1)
    plan = Plan.of(config, 105)
    assert (plan.batch, plan.steps_per_epoch, plan.total) == (10, 10, 30)
    assert [s for s in range(1, 31) if plan.logs(s)] == [25, 30] and plan.logs(25) == 25 and plan.logs(30) == 5
    assert plan.validates(30) and plan.validates(25)
    assert plan.learning_rate(config, 0) == pytest.approx(0.1) and plan.learning_rate(config, 15) == pytest.approx(0.05)
    assert Plan.of(config, 4).batch == 4
    assert Plan.of(teacher_config("smoke", max_steps=100_000, epochs=10**6), 1000).log_every == 250
