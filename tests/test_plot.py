"""Drawing: shapes, sides, errors, and what an embedded figure carries."""

from __future__ import annotations

import json

import matplotlib as mpl
import pytest
import torch
from matplotlib.axes import Axes

from ites_core.camera import project
from ites_core.errors import ItesError
from ites_core.plot import (
    COLOURS,
    SIDES,
    draw_pose_2d,
    draw_pose_3d,
    draw_poses_3d,
    embed,
    plotly_family,
    plotly_pose,
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


def test_a_pose_of_coincident_joints_can_be_drawn() -> None:
    draw_poses_3d({"nothing": torch.zeros(17, 3)}).canvas.draw()


def test_curves_split_losses_from_validation_and_skip_missing_values() -> None:
    log = [
        {"step": 25, "rep": 0.2, "total": 0.3},
        {"step": 50, "rep": 0.1, "total": 0.2},
        {"step": 50, "val_p_mpjpe": 80.0},
    ]
    losses, validation = training_curves(log).axes
    assert [line.get_label() for line in losses.lines] == ["rep", "total"]
    assert losses.get_yscale() == "log"
    assert [line.get_label() for line in validation.lines] == ["p mpjpe"]
    assert len(training_curves([{"step": 1, "total": 1.0}]).axes) == 1


def test_plotly_pose_names_its_poses(pose: torch.Tensor) -> None:
    fig = plotly_pose({"truth": pose, "twin": -pose})
    assert len(fig.data) == 2 * len(SIDES)
    assert {trace.name for trace in fig.data if trace.showlegend} == {"truth", "twin"}


@pytest.mark.parametrize("picture", [True, False])
def test_family_has_a_frame_and_a_slider_step_a_pose(pose: torch.Tensor, picture: bool) -> None:
    family = torch.stack([pose * s for s in (0.5, 1.0, 1.5)])
    fig = plotly_family(family, ["a", "b", "c"], start=1, picture=picture)
    assert len(fig.frames) == len(fig.layout.sliders[0].steps) == 3
    assert all(len(frame.data) == len(fig.data) == (6 if picture else 3) for frame in fig.frames)
    if picture:
        hip = H36M17.bones[0][0]
        assert fig.data[0].x[0] == pytest.approx(project(pose)[hip, 0].item(), abs=1e-4)


def test_embedded_figure_serves_page_and_lab(pose: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    fig = plotly_family([pose, -pose], ["up </script>", "down"], name="s")
    embedded = embed(fig, 'a "turning" body', draw_poses_3d({"still": pose}))
    bundle = embedded._repr_mimebundle_()
    assert set(bundle) == {"text/html"}  # the build warns of a format that it cannot show
    page = bundle["text/html"]
    assert "Plotly.newPlot" in page  # by which book/_ext/page_assets.py knows the page
    assert "cdn.plot.ly" not in page
    assert "up </script>" not in page
    assert '<noscript><img alt="a &quot;turning&quot; body" src="data:image/png;base64,' in page
    assert "SETTINGS" not in page.split("const plot")[1]
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.ipynb")
    bundle = embedded._repr_mimebundle_()
    lab = bundle["application/vnd.plotly.v1+json"]
    assert len(lab["frames"]) == 2
    assert lab["layout"]["sliders"]
    json.dumps(bundle)


def test_wrong_shapes_and_empty_input_are_refused(pose: torch.Tensor) -> None:
    with pytest.raises(ItesError, match=r"found shape \(17, 3\), expected \(17, 2\)"):
        draw_pose_2d(axes_2d(), pose)
    with pytest.raises(ItesError, match="one label per pose"):
        plotly_family([pose], ["a", "b"])
    with pytest.raises(ItesError, match="no pose"):
        draw_poses_3d({})
    with pytest.raises(ItesError, match="no pose"):
        plotly_pose({})
    with pytest.raises(ItesError, match="step"):
        training_curves([{"total": 1.0}])
