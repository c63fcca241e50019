"""ites_core.data.recorded: views that were recorded are kept as they are, split by subjects, and refused if crooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ites_core.checkpoint import RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import CameraRing, ViewArchive, make_views
from ites_core.errors import ItesError
from ites_core.evaluation import evaluate
from ites_core.export.onnx import export_onnx
from ites_core.lifting.onnx_run import OnnxRun
from ites_core.training import train_student, train_supervised, train_teacher


def make(sequences: int = 8, each: int = 30, truth: bool = True, **changes: Any) -> ViewArchive:
    """People at random; the last two sequences are the test."""
    g = torch.Generator().manual_seed(0)
    m = sequences * each
    pose = 0.3 * torch.randn(m, 17, 3, generator=g)
    pose = pose - pose[:, :1]
    fields: dict[str, Any] = {
        "image": pose[..., :2] / (4.0 + pose[..., 2:]),
        "pose": pose if truth else None,
        "sequence": torch.arange(sequences).repeat_interleave(each),
        "camera": torch.arange(m) % 2,
        "names": tuple(f"take{i}" for i in range(sequences)),
        "subject": tuple(f"s{i}" for i in range(sequences)),
        "action": tuple(("walk", "sit")[i % 2] for i in range(sequences)),
        "split": ("train",) * (sequences - 2) + ("test",) * 2,
        "mean_distance": 4.0,
    }
    return ViewArchive(**(fields | changes))


def test_views_are_the_recorded_ones_whatever_ring_and_seed() -> None:
    archive = make()
    views = make_views(archive, CameraRing(cameras=9), seed=3)
    assert torch.equal(views.image, archive.image) and archive.pose is not None
    assert torch.equal(views.pose, archive.pose) and views.mean_distance == 4.0
    third = archive.views(3)
    assert torch.equal(third.image, archive.image[::3]) and torch.equal(third.sequence, archive.sequence[::3])
    assert make(truth=False).views().pose.isnan().all()


def test_parts_hold_whole_subjects() -> None:
    archive = make()
    parts = {name: archive.part(name) for name in ("train", "val", "test")}  # type: ignore[arg-type]
    subjects = [set(part.subject) for part in parts.values()]
    assert sum(part.frames for part in parts.values()) == archive.frames
    assert not subjects[0] & subjects[1] and not (subjects[0] | subjects[1]) & subjects[2]
    part = parts["test"]
    assert part.names == ("take6", "take7") and part.sequence.tolist() == [0] * 30 + [1] * 30
    assert torch.equal(part.image, archive.image[archive.sequence >= 6])
    assert archive.part("all") is archive


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True))
def test_taking_sequences_keeps_each_view_with_its_name(pick: list[int]) -> None:
    archive = make(each=3)
    part = archive.take(pick)
    assert part.names == tuple(archive.names[i] for i in pick)
    for view in range(part.frames):
        name = part.names[int(part.sequence[view])]
        where = (archive.image == part.image[view]).all(dim=(1, 2)).nonzero()[0, 0]
        assert archive.names[int(archive.sequence[where])] == name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": torch.zeros(240, 16, 2)}, "image: found shape"),
        ({"pose": torch.zeros(239, 17, 3)}, "pose: found shape"),
        ({"image": torch.full((240, 17, 2), torch.nan)}, "image: NaN or infinite"),
        ({"pose": torch.full((240, 17, 3), torch.inf)}, "pose: NaN or infinite"),
        ({"camera": torch.zeros(3, dtype=torch.int64)}, "camera: found shape"),
        ({"sequence": torch.full((240,), 8)}, r"a sequence outside 0\.\.7"),
        ({"sequence": torch.full((240,), -1)}, r"a sequence outside 0\.\.7"),
        ({"subject": ("one",)}, "differ in number"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ItesError, match=says) as caught:
        make(**changes)
    assert "memory" in str(caught.value) and "\n" not in str(caught.value)


def test_checksum_sees_pictures_truth_and_names() -> None:
    archive = make()
    others = [make(truth=False), make(names=tuple("abcdefgh")), make(image=archive.image + 1e-3)]
    assert archive.checksum() == make().checksum()
    assert len({archive.checksum(), *(other.checksum() for other in others)}) == 4


def test_who_learns_from_pictures_of_one_size_brings_others_to_it(tmp_path: Path) -> None:
    archive = make(truth=False, sized=True)
    assert archive.part("train").sized and archive.views().sized
    config = student_config("beyond", channels=16, blocks=1, batch_size=16, max_steps=2, density_steps=2)
    train_student(archive, None, config, tmp_path / "run", progress=False)
    run = RunFolder(tmp_path / "run").read()
    assert run.normalisation.size is not None
    image = archive.image[:3]
    torch.testing.assert_close(run.lift(4 * image), run.lift(image), atol=1e-5, rtol=1e-5)
    export_onnx(run, tmp_path / "run.onnx")  # compares with torch
    torch.testing.assert_close(OnnxRun(tmp_path / "run.onnx").lift(4 * image), run.lift(image), atol=1e-4, rtol=1e-4)


def test_two_dimensions_are_enough_to_learn_and_too_few_to_be_scored() -> None:
    flat = make(truth=False)
    teacher = train_teacher(flat, teacher_config("smoke", max_steps=5), progress=False)
    student = train_student(flat, teacher, student_config("smoke", max_steps=5), progress=False)
    assert "val_p_mpjpe" not in student.log[-1] and evaluate(student, make()).views == 60
    with pytest.raises(ItesError, match="no 3D truth to score against"):
        evaluate(student, flat)
    with pytest.raises(ItesError, match="no 3D truth to learn from"):
        train_supervised(flat, student_config("smoke", network="mlp", max_steps=1), progress=False)
