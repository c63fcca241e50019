"""The benchmark measures what it says: references of equal size, the right operations, a file that says where from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ites_core.bench import measure
from ites_core.bench.reference import ReferenceStudent, ReferenceTeacher, reference_step
from ites_core.checkpoint import build_model
from ites_core.cli.bench import bench
from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

CPU = torch.device("cpu")
CONFIGS = [
    teacher_config("smoke", batch_size=32, learning_rate=1e-2),
    student_config("smoke", batch_size=32, learning_rate=1e-2),
]
each_stage = pytest.mark.parametrize("config", CONFIGS, ids=["teacher", "student"])


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Normalised 2D poses: (256, 17, 2)."""
    return measure.sampled_images(256)


def test_the_references_have_the_sizes_of_the_networks_beside_them() -> None:
    sizes = measure.sizes()
    for name in ("teacher", "student"):
        assert sizes[f"{name}, reference"] == sizes[name]


def test_the_references_have_the_outputs_of_the_networks_beside_them(images: Tensor) -> None:
    teacher, student = CONFIGS
    assert isinstance(teacher, TeacherConfig) and isinstance(student, StudentConfig)
    canonical, rotation = ReferenceTeacher(teacher).eval()(images[:4])
    ours = build_model(teacher, H36M17).eval()(images[:4])
    assert canonical.shape == ours.canonical.shape == (4, 17, 3)
    assert rotation.shape == ours.rotation.shape == (4, 3, 3)
    pose = ReferenceStudent(student).eval()(images[:4])
    assert pose.shape == build_model(student, H36M17).eval()(images[:4]).shape == (4, 17, 3)


def first_losses(model: nn.Module, config: TeacherConfig | StudentConfig, images: Tensor) -> float:
    """What the networks are first asked for: the teacher's picture, the student's (here: zero) depths."""
    with torch.no_grad():
        if isinstance(config, TeacherConfig):
            canonical, rotation = model(images)
            camera = canonical @ rotation.mT
            again = camera[..., :2] / (5 + camera[..., 2:])
            return float((again - images).norm(dim=-1).mean())
        return float(model(images)[..., 2].abs().mean())


@each_stage
def test_the_loss_of_a_reference_falls(config: TeacherConfig | StudentConfig, images: Tensor) -> None:
    model, step = reference_step(config, images, torch.zeros(len(images), 17), CPU)
    before = first_losses(model, config, images)
    taken = [step() for _ in range(60)]  # past the end of the loader's first pass
    assert taken == [32] * 60
    assert first_losses(model, config, images) < 0.8 * before


@each_stage
def test_a_step_of_the_package_is_timed_on_whole_batches(config: TeacherConfig | StudentConfig, images: Tensor) -> None:
    work = measure.training_step(config, images, CPU, "auto")
    assert work() == 32
    assert measure.rate(work, CPU, 0.01) > 0


def test_operations_of_the_teachers_step_are_those_counted_by_hand() -> None:
    config = teacher_config("full")
    passes = 1 + config.rotations_per_pose
    parameters = sum(p.numel() for p in build_model(config, H36M17).parameters())
    assert passes == 5
    assert measure.flop_of_step(config) == pytest.approx(parameters * 2 * passes * 3, rel=0.05)


def test_the_students_step_has_more_operations_than_its_weights_alone() -> None:
    config = student_config("paper")
    parameters = sum(p.numel() for p in build_model(config, H36M17).parameters())
    # every weight of a layer is used once for each of 17 joints; the edges of the graph are not in matrix products
    assert 0.5 * 17 < measure.flop_of_step(config) / (parameters * 2 * 2 * 3) < 17
    more = measure.flop_of_step(replace(config, rotations_per_pose=3)) / measure.flop_of_step(config)
    assert 1.6 < more < 2  # twice the passes; the products of weights with weights are taken once a pass


def test_a_ratio_is_that_of_what_is_compared() -> None:
    figure = measure.compare("twice", lambda: 20, lambda: 10, CPU, seconds=0.0, flop=3.0, machine=6.0)
    assert figure.ratio is not None and figure.reference is not None and figure.limit is not None
    assert figure.limit == pytest.approx(figure.rate / 2)
    alone = measure.compare("alone", lambda: 1, None, CPU, seconds=0.0)
    assert (alone.reference, alone.ratio, alone.limit, alone.memory) == (None, None, None, None)


@pytest.mark.parametrize("joints", [2, 9, 65])
def test_a_chain_is_a_joint_set_of_any_size(joints: int) -> None:
    chain = measure.chain_of(joints)
    assert len(chain) == joints
    adjacency = chain.adjacency()
    assert adjacency.shape == (joints, joints) and bool((adjacency == adjacency.T).all())
    assert int((adjacency != 0).sum()) == joints + 2 * (joints - 1)  # a tree, every joint hears itself
    model = build_model(student_config("smoke"), chain).eval()
    assert model(torch.zeros(3, joints, 2)).shape == (3, joints, 3)


def test_bench_writes_figures_that_say_where_they_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "bench.json"
    bench("cpu", out, seconds=0.01, parts=("other",))
    assert "P-MPJPE" in capsys.readouterr().out
    text = json.loads(out.read_text())
    assert [f["what"].split(",")[0] for f in text["figures"]] == ["P-MPJPE", "views"]
    assert all(f["rate"] > 0 and f["reference"] > 0 and f["ratio"] > 0 for f in text["figures"])
    assert text["growth"] == {} and text["parameters"] == measure.sizes()
    assert all(text["provenance"][k] for k in ("commit", "torch", "python", "device", "processor", "threads"))


def test_bench_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ItesError, match="cannot be written"):
        bench("cpu", tmp_path / "file" / "bench.json", seconds=0.01, parts=("other",))
