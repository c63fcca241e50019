"""Skeletons on paper: still pictures and training curves (chapters 1 to 5). Figures that move: ites_core.interact.

The right side of the body is solid and orange, the left side dashed and blue, the middle grey: hues that
colour-blind readers can tell apart (Okabe and Ito), and line styles for those who print in black. Grounds are
white in every figure, so that a figure reads the same on a light and on a dark page.

Poses come in the camera frame (x right, y down, z away). Three-dimensional plots stand them upright: x to the
right, z into the page, and y, which points down, drawn downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, Skeleton

SIDES = ("right", "left", "middle")
COLOURS = {"right": "#D55E00", "left": "#0072B2", "middle": "#666666"}
STYLES: dict[str, Any] = {"right": "-", "left": "--", "middle": "-"}
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
MARKS = ("-", "--", ":", "-.")


def side_of(bone: tuple[int, int], skeleton: Skeleton = H36M17) -> str:
    """Which side of the body a bone (parent, child) belongs to: ``"right"``, ``"left"`` or ``"middle"``."""
    child = bone[1]
    return "right" if child in skeleton.right else "left" if child in skeleton.left else "middle"


def draw_pose_2d(ax: Axes, pose2d: Tensor, skeleton: Skeleton = H36M17, *, legend: bool = False, **line: Any) -> None:
    """Draw a 2D pose as a camera sees it, y down (chapters 1 and 2).

    Args:
        ax: plain axes.
        pose2d: (N, 2) image coordinates.
        skeleton: the joint set.
        legend: name the two sides.
        line: passed to every bone, for example ``alpha=0.4`` or ``color="black"``.
    """
    points = check_points(pose2d, 2, skeleton)
    _draw_bones(ax, points, skeleton, line)
    ax.set_aspect("equal", adjustable="datalim")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    if legend:
        ax.legend(handles=_legend_handles(), loc="best", fontsize="small", frameon=False)


def draw_pose_3d(
    ax: Any,
    pose3d: Tensor,
    skeleton: Skeleton = H36M17,
    *,
    elev: float = 12.0,
    azim: float = -60.0,
    radius: float | None = None,
    unit: str = "m",
    labels: bool = True,
    **line: Any,
) -> None:
    """Draw a 3D pose upright: x right, z into the page, y down (chapters 1 to 5).

    Args:
        ax: axes made with ``projection="3d"``. With ``azim=-90, elev=0`` you look where the camera looks.
        pose3d: (N, 3) root-relative, camera frame.
        elev, azim: from where to look, degrees.
        radius: half the side of the drawn cube, whose middle is the pose's; None fits the pose.
        unit: for the axes' labels.
        labels: name the axes and number them; False for a panel whose neighbour on the same scale does.
        line: passed to every bone.
    """
    x, y, z = check_points(pose3d, 3, skeleton).T
    _draw_bones(ax, list(zip(x, z, -y, strict=True)), skeleton, line)
    middle, half = _extent(pose3d)
    r = half if radius is None else radius
    a, b, c = middle.tolist()
    ax.set(xlim=(a - r, a + r), ylim=(c - r, c + r), zlim=(-b - r, -b + r))
    ax.set_box_aspect((1, 1, 1), zoom=1.06)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    ax.view_init(elev=elev, azim=azim)
    ax.patch.set_alpha(0.0)  # labels reach into the neighbour's square
    if labels:
        ax.set_xlabel(f"x right [{unit}]", fontsize=8, labelpad=-9)
        ax.set_ylabel(f"z away [{unit}]", fontsize=8, labelpad=-9)
        ax.set_zlabel(f"up, −y [{unit}]", fontsize=8, labelpad=-6)
        ax.tick_params(labelsize=7, pad=-4)
    else:
        ax.tick_params(labelbottom=False, labelleft=False, labelright=False, labeltop=False)


def draw_poses_3d(
    poses: Mapping[str, Tensor],
    skeleton: Skeleton = H36M17,
    *,
    columns: int = 4,
    size: float = 2.1,
    **kwargs: Any,
) -> Figure:
    """A grid of 3D poses on one scale, each with its name above it (chapters 1 to 5).

    Args:
        poses: name to (N, 3) pose, camera frame.
        columns: poses in a row, at most.
        size: side of one panel, inches. The first panel alone has numbers on its axes.
        kwargs: passed to :func:`draw_pose_3d`.
    """
    if not poses:
        raise ItesError("draw_poses_3d: no pose given; expected at least one")
    columns = min(columns, len(poses))
    rows = -(-len(poses) // columns)
    fig = plt.figure(figsize=(size * columns, size * rows * 1.08), facecolor="white")
    fig.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=1 - 0.1 / rows, wspace=0.08, hspace=0.1)  # all alike
    kwargs.setdefault("radius", max(_extent(pose)[1] for pose in poses.values()))
    for k, (name, pose) in enumerate(poses.items()):
        ax = fig.add_subplot(rows, columns, k + 1, projection="3d")
        draw_pose_3d(ax, pose, skeleton, **({"labels": k == 0} | kwargs))
        ax.set_title(name, fontsize=9, y=0.96)
    return fig


def training_curves(log: Sequence[Mapping[str, Any]]) -> Figure:
    """Losses on the left (logarithmic), validation errors on the right, against the step (chapters 2 to 5).

    Args:
        log: rows such as ``{"step": 25, "rep": 0.02, "total": 0.2}``; keys that start with ``val_`` go to
            the right. A row need not have every key.
    """
    rows = [row for row in log if "step" in row]
    if not rows:
        raise ItesError("training_curves: no row of the log has a 'step'; expected one row per logged step")
    names = list(dict.fromkeys(k for row in rows for k, v in row.items() if _is_number(v) and k not in _NOT_CURVES))
    panels = {"loss": [n for n in names if not n.startswith("val_")]}
    if validation := [n for n in names if n.startswith("val_")]:
        panels["validation"] = validation
    fig, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.2), squeeze=False, layout="constrained")
    fig.set_facecolor("white")
    for ax, (title, keys) in zip(axes[0], panels.items(), strict=True):
        for k, key in enumerate(keys):
            pairs = [(row["step"], row[key]) for row in rows if _is_number(row.get(key))]
            label = _CURVE_NAMES.get(key, key.removeprefix("val_").replace("_", " "))
            style = MARKS[k % len(MARKS)]
            steps, values = zip(*pairs, strict=True)
            ax.plot(steps, values, style, color=CURVES[k % len(CURVES)], label=label, lw=1.5)
        ax.set(xlabel="step", ylabel=title, yscale="log" if title == "loss" else "linear")
        ax.grid(alpha=0.3)
        if keys:
            ax.legend(fontsize="small")
    return fig


_CURVE_NAMES = {
    "rep": "REP", "ric": "RIC", "kd": "KD", "rec": "REC",
    "val_p_mpjpe": "P-MPJPE, no oracle", "val_p_mpjpe_oracle_flip": "P-MPJPE, oracle flip",
}  # fmt: skip
_NOT_CURVES = ("step", "epoch", "lr", "seconds", "time")


def _draw_bones(ax: Any, points: Sequence[Any], skeleton: Skeleton, line: Mapping[str, Any]) -> None:
    for bone in skeleton.bones:
        side = side_of(bone, skeleton)
        look = {
            "color": COLOURS[side],
            "linestyle": STYLES[side],
            "linewidth": 2.0,
            "solid_capstyle": "round",
            **line,
        }
        ax.plot(*zip(points[bone[0]], points[bone[1]], strict=True), **look)


def _extent(pose: Tensor) -> tuple[Tensor, float]:
    """Middle (3,) of the box around a pose, and half its longest side with a margin."""
    low, high = pose.amin(dim=0), pose.amax(dim=0)
    return (low + high) / 2, 0.55 * float((high - low).max()) or 1.0


def _legend_handles() -> list[Any]:
    return [Line2D([], [], color=COLOURS[s], linestyle=STYLES[s], lw=2, label=s) for s in SIDES]


def check_points(points: Tensor, dims: int, skeleton: Skeleton) -> Any:
    """The (N, dims) points of a skeleton as an array.

    Raises:
        ItesError: on any other shape.
    """
    if points.shape != (len(skeleton), dims):
        raise ItesError(f"pose to draw: found shape {tuple(points.shape)}, expected ({len(skeleton)}, {dims})")
    return points.detach().cpu().numpy()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
