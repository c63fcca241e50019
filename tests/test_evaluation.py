"""The report: truth scores zero, its mirror only with the oracle, and the baselines are what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive, load_archive, make_views
from ites_core.errors import ItesError
from ites_core.evaluation import Report, evaluate, score
from ites_core.metrics import depth_mirror
from ites_core.training import train_student, train_teacher


def test_truth_and_its_mirror(tiny_archive: MocapArchive) -> None:
    truth = make_views(tiny_archive.part("test")).pose
    actions = ["a", "b"] * (len(truth) // 2)
    perfect, mirrored = (score(pose, truth, actions, {}) for pose in (truth, depth_mirror(truth)))
    for name in ("MPJPE", "N-MPJPE", "P-MPJPE"):
        assert perfect.metrics[name] == {"no_oracle": 0.0, "oracle_flip": 0.0}
        assert mirrored.metrics[name]["oracle_flip"] == 0 < mirrored.metrics[name]["no_oracle"]
    assert perfect.better_mirrored == 0 and mirrored.better_mirrored == len(truth)
    assert perfect.metrics["PCK@150"]["no_oracle"] == 100
    assert {a: v["views"] for a, v in perfect.actions.items()} == {"a": len(truth) / 2, "b": len(truth) / 2}


def test_report_errors(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    run = train_teacher(tiny_archive, teacher_config("smoke", max_steps=1), progress=False)
    train_only = tiny_archive.take([i for i, s in enumerate(tiny_archive.split) if s == "train"])
    with pytest.raises(ItesError, match="split 'test' holds no sequence"):
        evaluate(run, train_only)
    with pytest.raises(ItesError, match="cannot be written"):
        Report({}, {}, 0, 0, {}).write(tmp_path / "no" / "folder.json")


def test_on_the_rays_only_depths_count(tiny_archive: MocapArchive) -> None:
    teacher = train_teacher(tiny_archive, teacher_config("smoke", max_steps=2), progress=False)
    student = train_student(tiny_archive, teacher, student_config("smoke", max_steps=2), progress=False)
    assert evaluate(teacher, tiny_archive).metrics != evaluate(teacher, tiny_archive, on_rays=True).metrics
    assert evaluate(student, tiny_archive).metrics == evaluate(student, tiny_archive, on_rays=True).metrics


@pytest.mark.data
def test_all_depths_zero_on_real_motion_is_about_a_decimetre(data_dir: Path) -> None:
    views = make_views(load_archive(data_dir / "cmu17.npz").part("test"), stride=8)
    flat = torch.cat([views.image - views.image[:, :1], torch.zeros_like(views.image[..., :1])], dim=-1)
    report = score(flat, views.pose, ["all"] * len(flat), {})
    errors = report.metrics["P-MPJPE"]
    assert errors["no_oracle"] == errors["oracle_flip"]  # a flat pose is its own mirror
    assert 90 < errors["no_oracle"] < 110
