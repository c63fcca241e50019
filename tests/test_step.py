"""One step: the same numbers however it is issued."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.loop import Plan, fit
from ites_core.objectives import draw_rotations
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


class HostCalls(TorchDispatchMode):
    """Notes what a CUDA graph cannot record: numbers that come from the host, and waits until the host knows one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        masks = func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masks or str(func).split(".")[1] in ("lift_fresh", "_local_scalar_dense", "nonzero", "masked_select"):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "config",
    [
        *(teacher_config("smoke", network=network) for network in ("dictionary", "agcn", "c3dpo")),
        *(student_config("smoke", network=network) for network in ("agcn", "resfc", "semgcn", "mlp")),
        *(student_config("beyond", **STEPS, channels=16, bones=bones, bones_steps=2, density_steps=2)
          for bones in ("pictures", "student")),
    ],
    ids=lambda c: f"{type(c).__name__} {c.network}",
)  # fmt: skip
def test_a_step_needs_nothing_from_the_host(config: TeacherConfig | StudentConfig, tiny_archive: MocapArchive) -> None:
    if isinstance(config, TeacherConfig):
        task = teacher_task(tiny_archive, config, device="cpu")
    else:
        teacher = train_teacher(tiny_archive, teacher_config("smoke", **STEPS), device="cpu", progress=False)
        task = student_task(tiny_archive, teacher, config, device="cpu")
    batch, generator = task.data.batch(torch.arange(16)), torch.Generator().manual_seed(0)
    with HostCalls() as host:
        task.objective(batch, draw_rotations(config, 16, generator))["total"].backward()
    assert not host.found
    with HostCalls() as host:  # it does see such calls
        batch[0][:, [0, 1]].sum().item()
    assert host.found == ["aten.lift_fresh.default", "aten._local_scalar_dense.default"]


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
