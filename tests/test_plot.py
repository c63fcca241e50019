"""Drawing: shapes, sides, curves, errors."""

from __future__ import annotations

import matplotlib as mpl
import pytest
import torch
from matplotlib.axes import Axes

from ites_core.errors import ItesError
from ites_core.plot import (
    COLOURS,
    SIDES,
    draw_pose_2d,
    draw_pose_3d,
    draw_poses_3d,
    side_of,
    training_curves,
)
from ites_core.skeleton import H36M17

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def pose() -> torch.Tensor:
    points = 0.4 * torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    return points - points[:1]


def axes_2d() -> Axes:
    return plt.figure().add_subplot()


def test_sides_differ_by_colour_and_style_and_mirror_each_other(pose: torch.Tensor) -> None:
    sides = [side_of(bone) for bone in H36M17.bones]
    assert {side: sides.count(side) for side in SIDES} == {"right": 6, "left": 6, "middle": 4}
    ax = axes_2d()
    draw_pose_2d(ax, pose[:, :2])
    looks = {side: {(line.get_color(), line.get_linestyle()) for line in ax.lines} for side in SIDES}
    assert looks["right"] == {(COLOURS["right"], "-"), (COLOURS["left"], "--"), (COLOURS["middle"], "-")}


def test_2d_has_y_down_also_when_drawn_twice(pose: torch.Tensor) -> None:
    ax = axes_2d()
    draw_pose_2d(ax, pose[:, :2])
    draw_pose_2d(ax, pose[:, :2], alpha=0.3, legend=True)
    assert ax.yaxis_inverted()
    assert len(ax.lines) == 2 * len(H36M17.bones)


def test_3d_stands_upright(pose: torch.Tensor) -> None:
    ax = plt.figure().add_subplot(projection="3d")
    draw_pose_3d(ax, pose)
    parent, child = H36M17.bones[0]
    x, y, z = ax.lines[0].get_data_3d()
    ends = pose[[parent, child]]
    drawn = torch.tensor([list(x), list(y), list(z)], dtype=torch.float32)
    assert torch.allclose(drawn, torch.stack([ends[:, 0], ends[:, 2], -ends[:, 1]]))


def test_grid_has_a_panel_a_pose_on_one_scale(pose: torch.Tensor) -> None:
    fig = draw_poses_3d({"one": pose, "two": 2 * pose, "three": -pose}, columns=2)
    assert [ax.get_title() for ax in fig.axes] == ["one", "two", "three"]
    sizes = [round(float(ax.get_xlim()[1] - ax.get_xlim()[0]), 4) for ax in fig.axes]
    assert len(set(sizes)) == 1
    assert [bool(ax.get_xlabel()) for ax in fig.axes] == [True, False, False]


def test_a_pose_of_coincident_joints_can_be_drawn() -> None:
    draw_poses_3d({"nothing": torch.zeros(17, 3)}).canvas.draw()


def test_curves_split_losses_from_validation_and_skip_missing_values() -> None:
    log = [
        {"step": 25, "rep": 0.2, "total": 0.3},
        {"step": 50, "rep": 0.1, "total": 0.2},
        {"step": 50, "val_p_mpjpe": 80.0},
    ]
    losses, validation = training_curves(log).axes
    assert [line.get_label() for line in losses.lines] == ["REP", "total"]
    assert losses.get_yscale() == "log"
    assert [line.get_label() for line in validation.lines] == ["P-MPJPE, no oracle"]
    assert len(training_curves([{"step": 1, "total": 1.0}]).axes) == 1


def test_wrong_shapes_and_empty_input_are_refused(pose: torch.Tensor) -> None:
    with pytest.raises(ItesError, match=r"found shape \(17, 3\), expected \(17, 2\)"):
        draw_pose_2d(axes_2d(), pose)
    with pytest.raises(ItesError, match="no pose"):
        draw_poses_3d({})
    with pytest.raises(ItesError, match="step"):
        training_curves([{"total": 1.0}])
