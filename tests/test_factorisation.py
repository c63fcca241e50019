"""The mean body: exact on a turning rigid body, right way round on sampled and real people."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ites_core.camera import CAMERA_DISTANCE, Normalisation, random_rotations, rotate
from ites_core.data import MocapArchive, load_archive, make_views
from ites_core.errors import ItesError
from ites_core.factorisation import mean_body
from ites_core.metrics import depth_mirror, p_mpjpe
from ites_core.skeleton import H36M17


def test_a_turning_rigid_body_is_recovered(tiny_archive: MocapArchive) -> None:
    pose = tiny_archive.sequence(0)[0] * torch.tensor([1.0, -1.0, -1.0])  # y down
    pose = pose - pose.mean(dim=0)
    turned = rotate(pose, random_rotations(4000, torch.Generator().manual_seed(0), "vertical"))
    body = mean_body(turned[..., :2] / CAMERA_DISTANCE, H36M17)  # without perspective the equation is exact
    error = torch.minimum(p_mpjpe(body, pose), p_mpjpe(depth_mirror(body), pose))
    assert error.item() < 0.02
    assert body[0].abs().max() == 0


def check_the_right_way_round(archive: MocapArchive) -> None:
    views = make_views(archive.part("train"), stride=4)
    body = mean_body(Normalisation.fit(views.image, views.mean_distance).apply(views.image), H36M17)
    right, wrong = (p_mpjpe(b.expand_as(views.pose), views.pose).mean() for b in (body, depth_mirror(body)))
    assert right < 0.9 * wrong
    assert body[4, 0] > 0 > body[1, 0]  # it faces the camera: its left hip is on the picture's right
    assert body[10, 1] < 0 < body[3, 1]  # head up, ankle down, y down


def test_sampled_people_come_out_the_right_way_round(tiny_archive: MocapArchive) -> None:
    check_the_right_way_round(tiny_archive)


@pytest.mark.data
def test_real_people_come_out_the_right_way_round(data_dir: Path) -> None:
    check_the_right_way_round(load_archive(data_dir / "cmu17.npz"))


def test_too_little_to_factorise() -> None:
    with pytest.raises(ItesError, match="at least two poses"):
        mean_body(torch.zeros(5, 17, 2), H36M17)
