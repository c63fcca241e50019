"""Runs trained at once are the runs that each would be alone."""

from __future__ import annotations

import pytest
import torch

from ites_core.checkpoint import Run
from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.ensemble import train_ensemble
from ites_core.errors import ItesError
from ites_core.training import student_task, supervised_task, teacher_task, train_student, train_teacher

SMOKE = {"max_steps": 1, "validations": 1}  # in further steps ReLUs amplify rounding


def assert_same(a: Run, b: Run) -> None:
    """Equal up to rounding, relative to the size of each weight tensor."""
    assert a.step == b.step and a.seed == b.seed
    theirs = b.model.state_dict()
    for name, value in a.model.state_dict().items():
        scale = max(theirs[name].abs().max().item(), 1e-2)
        assert torch.allclose(value.double(), theirs[name].double(), atol=1e-5 * scale), name
    for ours, other in zip(a.log, b.log, strict=True):
        assert ours["total"] == pytest.approx(other["total"], rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [{}, {"network": "c3dpo", "loss": "huber"}, {"network": "c3dpo", "noise": "detector"}, {"network": "agcn"}],
    ids=["dictionary", "c3dpo", "c3dpo with missing joints", "agcn"],
)
def test_teachers(changes: dict[str, str], tiny_archive: MocapArchive) -> None:
    config = teacher_config("smoke", optimiser="sgd", learning_rate=0.01, **SMOKE, **changes)
    together = train_ensemble([teacher_task(tiny_archive, config, seed=s) for s in (0, 1)], progress=False)
    alone = [train_teacher(tiny_archive, config, seed=s, progress=False) for s in (0, 1)]
    for a, b in zip(together, alone, strict=True):
        assert_same(a, b)
    assert together[0].provenance["runs_at_once"] == 2


def test_longer_runs_learn_as_they_would_alone(tiny_archive: MocapArchive) -> None:
    config = teacher_config("smoke", max_steps=200, validations=1)
    together = train_ensemble([teacher_task(tiny_archive, config, seed=s) for s in (0, 1)], progress=False)
    alone = train_teacher(tiny_archive, config, seed=1, progress=False)
    assert [row["step"] for row in together[1].log] == [row["step"] for row in alone.log]
    assert together[1].log[-1]["total"] == pytest.approx(alone.log[-1]["total"], rel=0.1)
    assert all(run.log[-1]["total"] < 0.9 * run.log[0]["total"] for run in together)


def test_weights_of_the_losses_may_differ(tiny_archive: MocapArchive) -> None:
    configs = [teacher_config("smoke", optimiser="sgd", learning_rate=0.01, weight_rep=w, **SMOKE) for w in (1, 30)]
    together = train_ensemble([teacher_task(tiny_archive, c) for c in configs], progress=False)
    for run, config in zip(together, configs, strict=True):
        assert_same(run, train_teacher(tiny_archive, config, progress=False))


@pytest.mark.parametrize("network", ["agcn", "resfc", "semgcn"])
def test_students(network: str, tiny_archive: MocapArchive) -> None:
    teacher = train_teacher(tiny_archive, teacher_config("smoke", **SMOKE), progress=False)
    config = student_config("smoke", network=network, optimiser="sgd", learning_rate=0.01, **SMOKE)
    together = train_ensemble([student_task(tiny_archive, teacher, config, seed=s) for s in (0, 1)], progress=False)
    for run in together:
        assert_same(run, train_student(tiny_archive, teacher, config, seed=run.seed, progress=False))


def test_supervised_runs_drop_features_independently(tiny_archive: MocapArchive) -> None:
    config = student_config("smoke", network="mlp", weight_rec=0, **SMOKE)
    a, b = train_ensemble([supervised_task(tiny_archive, config, seed=s) for s in (0, 1)], progress=False)
    assert a.step == b.step == SMOKE["max_steps"]
    assert not torch.equal(a.model.depth_head.weight, b.model.depth_head.weight)  # type: ignore[union-attr]


def test_what_cannot_be_stacked(tiny_archive: MocapArchive) -> None:
    def task(**changes: object) -> object:
        return teacher_task(tiny_archive, teacher_config("smoke", **SMOKE, **changes))

    for tasks, message in (
        ([], "found no task"),
        ([task(), task(width=16)], "different settings"),
        ([task(), task(weight_ric=0.0)], "weight 0 in some runs only"),
    ):
        with pytest.raises(ItesError, match=message):
            train_ensemble(tasks, progress=False)  # type: ignore[arg-type]
