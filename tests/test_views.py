"""ites_core.data.views: the ring of cameras, and what the cameras see."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ites_core.camera import rotate
from ites_core.data import CameraRing, MocapArchive, make_views
from ites_core.data.sampler import PoseSampler
from ites_core.data.views import place_cameras
from ites_core.errors import ItesError

UP = torch.tensor([0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def motion() -> MocapArchive:
    return PoseSampler.embedded().archive(sequences=6, frames=30, test_sequences=2, subjects=3, test_subjects=1)


def standing(at: tuple[float, float] = (0.0, 0.0), frames: int = 3) -> MocapArchive:
    """A statue: 17 joints about (x, 0.9, z), the head above the root, the right hand to the side."""
    pose = torch.zeros(17, 3)
    pose[10, 1], pose[16, 0] = 0.7, 0.5
    positions = pose + torch.tensor([at[0], 0.9, at[1]])
    one = ("statue",)
    return MocapArchive(positions.expand(frames, 17, 3), (0,), (frames,), one, one, one, one, ("train",), (24.0,))


def test_deterministic_by_seed(motion: MocapArchive) -> None:
    a, b, c = make_views(motion, seed=3), make_views(motion, seed=3), make_views(motion, seed=4)
    assert torch.equal(a.image, b.image) and torch.equal(a.pose, b.pose) and a.mean_distance == b.mean_distance
    assert not torch.allclose(a.pose, c.pose, atol=0.05)


def test_views_of_a_sequence_do_not_depend_on_its_company(motion: MocapArchive) -> None:
    every = make_views(motion)
    alone = make_views(motion.take([4]))
    assert torch.equal(alone.image, every.image[every.sequence == 4])
    assert torch.equal(alone.pose, every.pose[every.sequence == 4])
    backwards = make_views(motion.take([5, 4]))
    assert torch.equal(alone.pose, backwards.pose[backwards.sequence == 1])


def test_global_random_state_is_neither_used_nor_changed(motion: MocapArchive) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make_views(motion)
    assert torch.equal(before, torch.get_rng_state())


def test_other_sequences_get_other_cameras(motion: MocapArchive) -> None:
    track = motion.sequence(0)[:, 0]
    assert not torch.allclose(
        place_cameras(track, CameraRing(), "a", 0)[0], place_cameras(track, CameraRing(), "b", 0)[0]
    )


def test_order_and_counts(motion: MocapArchive) -> None:
    views = make_views(motion, CameraRing(cameras=3), stride=7)  # frames 0, 7, 14, 21, 28
    assert len(views) == 8 * 3 * 5 and views.image.shape == (120, 17, 2) and views.pose.shape == (120, 17, 3)
    assert views.sequence.tolist() == [s for s in range(8) for _ in range(15)]
    assert views.camera.tolist() == [c for _ in range(8) for c in range(3) for _ in range(5)]
    assert views.actions == motion.action and views.skeleton == motion.skeleton and views.source == "sampler"


def test_a_stride_keeps_the_cameras(motion: MocapArchive) -> None:
    every, some = make_views(motion), make_views(motion, stride=10)
    assert torch.equal(every.pose.unflatten(0, (8, 4, 30))[:, :, ::10].flatten(0, 2), some.pose)


def test_pose_and_root_project_to_the_image(motion: MocapArchive) -> None:
    views = make_views(motion)
    start = 0
    for i, name in enumerate(motion.names):
        eyes, rotations = place_cameras(motion.sequence(i)[:, 0], CameraRing(), name, 0)
        for eye, rotation in zip(eyes, rotations, strict=True):
            here = slice(start, start + motion.lengths[i])
            root = rotate(motion.sequence(i)[:, :1] - eye, rotation)
            seen = views.pose[here] + root
            torch.testing.assert_close(seen[..., :2] / seen[..., 2:], views.image[here], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(rotate(seen, rotation.mT) + eye, motion.sequence(i), atol=1e-5, rtol=1e-5)
            assert (seen[..., 2] > 0.1).all()
            start += motion.lengths[i]
    assert start == len(views)


def test_pose_is_relative_to_the_root_and_rigid(motion: MocapArchive) -> None:
    views = make_views(motion)
    assert (views.pose[:, 0] == 0).all()
    lengths = motion.skeleton.bone_lengths(motion.positions).unflatten(0, (8, 1, 30)).expand(8, 4, 30, 16)
    torch.testing.assert_close(motion.skeleton.bone_lengths(views.pose), lengths.flatten(0, 2), atol=1e-5, rtol=1e-5)


def test_mean_distance_is_the_depth_of_the_root(motion: MocapArchive) -> None:
    depths = []
    for i, name in enumerate(motion.names):
        eyes, rotations = place_cameras(motion.sequence(i)[:, 0], CameraRing(), name, 0)
        depths.append(rotate(motion.sequence(i)[:, 0] - eyes[:, None], rotations)[..., 2])
    assert make_views(motion).mean_distance == pytest.approx(torch.cat(depths).mean().item(), rel=1e-5)


def test_a_statue_stands_upright_in_the_middle_of_the_picture() -> None:
    views = make_views(standing((3.0, -2.0)), CameraRing(cameras=8))
    assert views.image[:, 0].abs().max() < 1e-6
    head = views.image[:, 10]
    assert (head[:, 1] < -0.05).all() and head[:, 0].abs().max() < 1e-6  # y points down
    side = views.image[:, 16, 0]
    assert (side > 0.02).any() and (side < -0.02).any()  # cameras all around


def azimuths(eyes: Tensor, middle: Tensor) -> Tensor:
    d = eyes - middle
    return torch.atan2(d[:, 2], d[:, 0])


@pytest.mark.parametrize("cameras", [1, 2, 4, 7])
@pytest.mark.parametrize("seed", range(5))
def test_ring_geometry(cameras: int, seed: int) -> None:
    ring = CameraRing(cameras=cameras, distance=(3.0, 5.0), height=(1.0, 2.0), jitter=10.0)
    track = torch.tensor([[1.0, 0.9, 2.0], [1.5, 1.1, 2.2]])
    middle = torch.tensor([1.25, 1.0, 2.1])
    eyes, rotations = place_cameras(track, ring, "ring", seed)
    distance = (eyes - middle)[:, [0, 2]].norm(dim=-1)
    assert ((distance >= 3.0 - 1e-5) & (distance <= 5.0 + 1e-5)).all()
    assert ((eyes[:, 1] >= 1.0) & (eyes[:, 1] <= 2.0)).all()
    step = 2 * math.pi / cameras
    offsets = azimuths(eyes, middle) - step * torch.arange(cameras)
    turns = torch.stack([(offsets - offsets[0]).cos(), (offsets - offsets[0]).sin()], dim=-1)
    assert torch.atan2(turns[:, 1], turns[:, 0]).abs().max() <= math.radians(20.0) + 1e-5
    seen = torch.stack([rotate((middle - e).unsqueeze(0), r)[0] for e, r in zip(eyes, rotations, strict=True)])
    assert seen[:, :2].abs().max() < 1e-5 and (seen[:, 2] > 0).all()  # all look at the middle
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(cameras, 3, 3), atol=1e-5, rtol=0.0)
    assert (rotations[:, 1] @ UP < 0).all() and (rotations[:, 0] @ UP).abs().max() < 1e-6  # no roll


def test_ring_widens_for_a_long_walk() -> None:
    ring = CameraRing(nearest=2.5)
    track = torch.stack([torch.linspace(-10, 10, 50), torch.full((50,), 0.9), torch.zeros(50)], dim=-1)
    eyes, _ = place_cameras(track, ring, "walk", 0)
    assert ((eyes[:, None] - track)[..., [0, 2]].norm(dim=-1) >= 2.5 - 1e-4).all()


def test_a_joint_behind_its_camera_is_refused() -> None:
    archive = standing()
    reaching = archive.positions.clone()
    reaching[:, 16, 0] = 9.0
    with pytest.raises(ItesError, match=r"memory: sequence statue: a joint is at or behind the camera"):
        make_views(replace(archive, positions=reaching), CameraRing(cameras=16))


def test_no_camera_is_refused(motion: MocapArchive) -> None:
    with pytest.raises(ItesError, match="cameras: found 0"):
        make_views(motion, CameraRing(cameras=0))


@pytest.mark.parametrize("stride", [0, -1])
def test_stride_below_one_is_refused(motion: MocapArchive, stride: int) -> None:
    with pytest.raises(ItesError, match=f"stride: found {stride}"):
        make_views(motion, stride=stride)
