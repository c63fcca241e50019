"""Priors without 3D data: symmetry, bones, gravity, and a density over 2D poses."""

from __future__ import annotations

import math

import pytest
import torch

from ites_core.camera import ELEVATION, project, random_rotations, rotate, unproject
from ites_core.checkpoint import Run
from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.data.sampler import PoseSampler
from ites_core.data.views import make_views
from ites_core.density import fit_density
from ites_core.ensemble import train_ensemble
from ites_core.errors import ItesError
from ites_core.metrics import depth_mirror
from ites_core.objectives import draw_rotations, weights_of
from ites_core.priors import (
    BodyPriors,
    PoseDensity,
    facing,
    in_units,
    knee_loss,
    mirrored,
    pictured_bones,
    place,
    relative_bones,
    typical_bones,
)
from ites_core.skeleton import H36M17, Skeleton
from ites_core.step import clip_each
from ites_core.training import student_task, train_student, train_teacher

LEFT, RIGHT = (H36M17.joints.index(name) for name in ("LWrist", "RWrist"))


def bodies(count: int, seed: int = 0) -> torch.Tensor:
    poses = torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(seed))
    return poses - poses[:, :1]


def test_a_mirrored_picture_is_the_picture_of_the_mirrored_body() -> None:
    body = 0.3 * bodies(5)
    assert torch.allclose(project(mirrored(body, H36M17)), mirrored(project(body), H36M17), atol=1e-6)
    assert torch.equal(mirrored(mirrored(body, H36M17), H36M17), body)
    other = mirrored(body, H36M17)
    assert torch.equal(other[:, LEFT, 0], -body[:, RIGHT, 0]) and torch.equal(other[:, LEFT, 1:], body[:, RIGHT, 1:])


def test_proportions_have_no_unit_and_no_side() -> None:
    poses = bodies(9)
    assert torch.allclose(relative_bones(poses, H36M17), relative_bones(7 * poses, H36M17), atol=1e-5)
    assert torch.allclose(relative_bones(poses, H36M17).mean(dim=-1), torch.ones(9), atol=1e-5)
    typical = typical_bones(poses, H36M17)
    child = [c for _, c in H36M17.bones]
    for left, right in H36M17.pairs:
        assert typical[child.index(left)] == typical[child.index(right)]
    assert typical[child.index(10)] == relative_bones(poses, H36M17).median(dim=0).values[child.index(10)]


def test_pictures_tell_the_proportions_of_the_people_in_them() -> None:
    """Sampled people: from their pictures alone, nearer to their bones than a picture's own lengths are on average."""
    views = make_views(PoseSampler.embedded().archive(sequences=40, frames=25, test_sequences=1, seed=0))
    x = views.image - views.image[:, :1]
    told, true = pictured_bones(x, H36M17), typical_bones(views.pose, H36M17)
    flat = typical_bones(torch.cat([x, torch.zeros_like(x[..., :1])], dim=-1), H36M17)
    assert (told / true - 1).abs().max() < 0.25
    assert (told / true - 1).abs().mean() < 0.7 * (flat / true - 1).abs().mean()
    size = 0.1 + torch.rand(len(x), 1, 1, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(pictured_bones(x * size, H36M17), told, atol=1e-5), "the scale of a picture does not matter"
    assert torch.allclose(pictured_bones(mirrored(x, H36M17), H36M17), told, atol=1e-6)


def standing(knees: float) -> torch.Tensor:
    """(1, 17, 3): somebody who faces the camera, both knees so far in front."""
    body = torch.zeros(1, 17, 3)
    spots = {"Thorax": (0, -1, 0), "RShoulder": (-0.3, -1, 0), "LShoulder": (0.3, -1, 0)}
    for side, x in (("R", -0.2), ("L", 0.2)):
        spots |= {side + "Hip": (x, 0, 0), side + "Knee": (x, 0.8, -knees), side + "Ankle": (x, 1.6, 0)}
    for name, spot in spots.items():
        body[0, place(H36M17, name)] = torch.tensor(spot, dtype=torch.float32)
    return body


def test_knees_tell_a_body_from_its_mirror_image_in_depth() -> None:
    body = standing(0.3)
    assert torch.allclose(facing(body, H36M17), torch.tensor([[0.0, 0.0, -1.0]]))
    assert knee_loss(body, H36M17) == 0
    assert knee_loss(standing(-0.3), H36M17) == pytest.approx(0.6), "both knees"
    assert knee_loss(depth_mirror(body), H36M17) == pytest.approx(0.6)
    turn = random_rotations(1, torch.Generator().manual_seed(2))
    assert knee_loss(rotate(depth_mirror(body), turn), H36M17) == pytest.approx(0.6, abs=1e-5), "from any side"
    assert knee_loss(mirrored(body, H36M17), H36M17) == 0, "left and right do not matter"
    wrong = standing(-0.3).requires_grad_()
    knee_loss(wrong, H36M17).backward()
    assert wrong.grad is not None
    assert (wrong.grad[0, [place(H36M17, "RKnee"), place(H36M17, "LKnee")], 2] > 0).all(), (
        "the knees are pulled forwards"
    )
    point = torch.zeros(1, 17, 3, requires_grad=True)
    knee_loss(point, H36M17).backward()
    assert point.grad is not None and point.grad.isfinite().all()


def test_a_joint_set_without_knees_is_told_so() -> None:
    stick = Skeleton("stick", ("Hip", "Head"), (-1, 0), (), 1)
    with pytest.raises(ItesError, match="joint set stick: found no Thorax, which this prior needs"):
        knee_loss(torch.zeros(1, 2, 3), stick)


def test_bone_loss_is_zero_for_typical_bodies_and_grows_linearly_far_away() -> None:
    body = bodies(1)
    symmetric = (body + mirrored(body, H36M17)) / 2
    priors = BodyPriors(typical_bones(symmetric, H36M17), None, H36M17, 4)
    assert priors.bone_loss(torch.cat([symmetric, 2 * symmetric])) < 1e-6
    long = symmetric.clone()
    long[:, LEFT] += 5.0
    longer = symmetric.clone()
    longer[:, LEFT] += 10.0
    assert 0 < priors.bone_loss(long) < priors.bone_loss(longer) < 3 * priors.bone_loss(long)


def test_about_gravity_the_head_keeps_its_height() -> None:
    turns = random_rotations(200, torch.Generator().manual_seed(0), "gravity")
    down = torch.tensor([0.0, math.cos(math.radians(ELEVATION)), math.sin(math.radians(ELEVATION))])
    assert torch.allclose(rotate(down.expand(200, 1, 3), turns)[:, 0], down.expand(200, 3), atol=1e-6)
    across = rotate(torch.tensor([1.0, 0.0, 0.0]).expand(200, 1, 3), turns)[:, 0]
    assert across[:, 0].min() < -0.95 and across[:, 0].max() > 0.95, "headings all around"


def test_a_share_of_the_rotations_is_free_and_one_more_is_for_the_density() -> None:
    def upright(turns: torch.Tensor) -> torch.Tensor:
        y = torch.tensor([0.0, 1.0, 0.0])
        return (rotate(y.expand(*turns.shape[:-2], 1, 3), turns)[..., 0, :] - y).norm(dim=-1) < 1e-4

    config = student_config("beyond", rotations="vertical", rotations_per_pose=2)
    turns = draw_rotations(config, 1000, torch.Generator().manual_seed(1))
    assert turns.shape == (1000, 3, 3, 3)
    assert 0.65 < upright(turns[:, :2]).float().mean() < 0.75 and upright(turns[:, 2]).all()
    plain = student_config("small")
    assert torch.equal(
        draw_rotations(plain, 7, torch.Generator().manual_seed(1)),
        random_rotations((7, 1), torch.Generator().manual_seed(1), "vertical"),
    ), "the paper's student draws what it always drew"


def test_presets_leave_the_papers_student_alone() -> None:
    for name in ("paper", "official", "full", "small"):
        config = student_config(name)
        assert not (config.mirror_pictures or config.free_rotations or config.weight_bones or config.weight_density)
        assert not config.weight_knees
    with pytest.raises(ItesError, match="unknown preset 'beyond'"):
        teacher_config("beyond")  # it has no teacher
    assert set(weights_of(student_config("beyond"))) == {"kd", "rec", "bones", "knees", "density"}


@pytest.fixture(scope="module")
def line() -> tuple[PoseDensity, torch.Tensor]:
    """Pictures of one body scaled along one direction, and a density that has learnt them."""
    generator = torch.Generator().manual_seed(0)
    base, along = 0.1 * torch.randn(2, 17, 2, generator=generator)
    x = base + along * torch.randn(4000, 1, 1, generator=generator)
    return fit_density(x, seed=0, steps=300), x


def test_a_density_pulls_pictures_back_to_the_ones_it_knows(line: tuple[PoseDensity, torch.Tensor]) -> None:
    density, x = line
    flat = in_units(x[:500])
    noise = 0.2 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        clean = density(flat + noise, torch.full((500, 1), 0.2))
    assert (clean - flat).norm(dim=1).mean() < 0.5 * noise.norm(dim=1).mean(), "one direction of 34 is free"
    assert not any(p.requires_grad for p in density.parameters())


def test_density_loss_prefers_known_pictures_and_moves_others_towards_them(
    line: tuple[PoseDensity, torch.Tensor],
) -> None:
    density, x = line
    priors = BodyPriors(None, density, H36M17, 256)
    strange = (x[:256] + 0.05 * torch.randn(256, 17, 2, generator=torch.Generator().manual_seed(4))).requires_grad_()
    loss = priors.density_loss(strange)
    assert loss > 1.2 * priors.density_loss(x[:256])
    loss.backward()
    assert strange.grad is not None
    nearer = strange.detach() - 0.001 * 256 * strange.grad
    assert (nearer - x[:256]).norm() < (strange - x[:256]).norm()
    assert torch.equal(priors.density_loss(x[:9]), priors.density_loss(x[:9])), "no randomness inside"


def test_the_same_seed_learns_the_same_density(line: tuple[PoseDensity, torch.Tensor]) -> None:
    _, x = line
    first, again, other = (fit_density(x, seed, steps=3).first.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_networks_trained_together_are_clipped_each_by_its_own_norm() -> None:
    parameters = [torch.zeros(2, 3, 4), torch.zeros(2, 5)]
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.ndim))
        p.grad[1] *= 1e-3
    before = [p.grad.clone() for p in parameters if p.grad is not None]
    clip_each(parameters, 0.5)
    norm = torch.stack([p.grad.flatten(1).square().sum(1) for p in parameters if p.grad is not None]).sum(0).sqrt()
    assert norm[0] == pytest.approx(0.5, rel=1e-4)
    assert all(torch.equal(p.grad[1], b[1]) for p, b in zip(parameters, before, strict=True) if p.grad is not None)


TINY = {
    "channels": 16, "blocks": 1, "batch_size": 32, "density_steps": 5, "optimiser": "sgd", "learning_rate": 0.01,
    "clip": 1.0, "validations": 1,
}  # fmt: skip


def test_a_student_trains_with_priors_alone_and_together_alike(tiny_archive: MocapArchive) -> None:
    """With a teacher and without, one by one and as an ensemble."""
    guide = train_teacher(tiny_archive, teacher_config("smoke", max_steps=5), progress=False)
    guided = student_config("beyond", max_steps=1, weight_kd=1.0, bones="teacher", **TINY)
    free = student_config("beyond", max_steps=1, bones="student", bones_steps=3, **TINY)
    for teacher, config, expected in (
        (guide, guided, {"kd", "rec", "bones", "knees", "density"}),
        (None, free, {"rec", "bones", "knees", "density"}),
    ):
        tasks = [student_task(tiny_archive, teacher, config, seed=s) for s in (0, 1)]
        x, *labels = tasks[0].data.batch(torch.arange(len(tasks[0].data)))
        half = len(x) // 2
        assert torch.equal(x[half:], mirrored(x[:half], H36M17))
        assert len(labels) == (teacher is not None)
        for label in labels:
            both = mirrored(unproject(x[:half], label[:half]), H36M17)
            assert torch.allclose(both, unproject(x[half:], label[half:]), atol=1e-6)
        for run, seed in zip(train_ensemble(tasks, progress=False), (0, 1), strict=True):
            alone = train_student(tiny_archive, teacher, config, seed=seed, progress=False)
            assert ("teacher_sha256" in alone.provenance) == (teacher is not None)
            for name in ("total", *sorted(expected)):
                assert run.log[-1][name] == pytest.approx(alone.log[-1][name], rel=1e-4), name
            assert {"kd", *expected} & set(run.log[-1]) == expected
            theirs = alone.model.state_dict()
            for name, value in run.model.state_dict().items():
                assert torch.allclose(value.float(), theirs[name].float(), atol=1e-5), name


def test_without_a_teacher_nothing_can_be_learnt_from_one(tiny_archive: MocapArchive) -> None:
    for changes in ({"weight_kd": 1.0}, {"bones": "teacher"}):
        with pytest.raises(ItesError, match="found no teacher, but settings that learn from one"):
            student_task(tiny_archive, None, student_config("beyond", **(TINY | changes)))


def test_bones_of_a_first_student_leave_the_second_as_it_was(tiny_archive: MocapArchive) -> None:
    def made(bones: str) -> tuple[Run, torch.Tensor]:
        config = student_config("beyond", max_steps=1, bones_steps=30, bones=bones, **TINY)
        task = student_task(tiny_archive, None, config)
        assert task.objective.priors is not None and task.objective.priors.bones is not None
        return task.run, task.objective.priors.bones

    (plain, told), (own, first), (_, again) = (made(bones) for bones in ("pictures", "student", "student"))
    assert own.step == 0 and not own.log and own.config.max_steps == 1
    for name, value in plain.model.state_dict().items():
        assert torch.equal(own.model.state_dict()[name], value), name
    assert torch.equal(first, again) and not torch.equal(told, first), "always the same, and learnt"


def test_the_student_beyond_is_a_function_of_its_seed(tiny_archive: MocapArchive) -> None:
    config = student_config("beyond", max_steps=10, **TINY)
    first, again = (train_student(tiny_archive, None, config, seed=3, progress=False) for _ in range(2))
    for a, b in zip(first.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
