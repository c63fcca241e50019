"""Skeletons on paper and on screen: still pictures, figures that turn, training curves (chapters 1 to 5).

The right side of the body is solid and orange, the left side dashed and blue, the middle grey: hues that
colour-blind readers can tell apart (Okabe and Ito), and line styles for those who print in black. Grounds are
white in every figure, so that a figure reads the same on a light and on a dark page.

Poses come in the camera frame (x right, y down, z away). Three-dimensional plots stand them upright: x to the
right, z into the page, and y, which points down, drawn downwards.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ites_core.camera import CAMERA_DISTANCE, project
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, Skeleton

SIDES = ("right", "left", "middle")
COLOURS = {"right": "#D55E00", "left": "#0072B2", "middle": "#666666"}
STYLES: dict[str, Any] = {"right": "-", "left": "--", "middle": "-"}
DASHES = {"right": "solid", "left": "dash", "middle": "solid"}  # the same, in plotly's words
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
    points = _check(pose2d, 2, skeleton)
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
    **line: Any,
) -> None:
    """Draw a 3D pose upright: x right, z into the page, y down (chapters 1 to 5).

    Args:
        ax: axes made with ``projection="3d"``. With ``azim=-90, elev=0`` you look where the camera looks.
        pose3d: (N, 3) root-relative, camera frame.
        elev, azim: from where to look, degrees.
        radius: half the side of the drawn cube, whose middle is the pose's; None fits the pose.
        unit: for the axes' labels.
        line: passed to every bone.
    """
    x, y, z = _check(pose3d, 3, skeleton).T
    _draw_bones(ax, list(zip(x, z, -y, strict=True)), skeleton, line)
    middle, half = _extent(pose3d)
    r = half if radius is None else radius
    a, b, c = middle.tolist()
    ax.set(xlim=(a - r, a + r), ylim=(c - r, c + r), zlim=(-b - r, -b + r))
    ax.set_box_aspect((1, 1, 1), zoom=0.92)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    ax.view_init(elev=elev, azim=azim)
    ax.set_xlabel(f"x right [{unit}]", fontsize=7, labelpad=-7)
    ax.set_ylabel(f"z away [{unit}]", fontsize=7, labelpad=-7)
    ax.set_zlabel(f"up, −y [{unit}]", fontsize=7, labelpad=-7)
    ax.tick_params(labelsize=6, pad=-2)


def draw_poses_3d(
    poses: Mapping[str, Tensor],
    skeleton: Skeleton = H36M17,
    *,
    columns: int = 4,
    size: float = 2.7,
    **kwargs: Any,
) -> Figure:
    """A grid of 3D poses on one scale, each with its name above it (chapters 1 to 5).

    Args:
        poses: name to (N, 3) pose, camera frame.
        columns: poses in a row, at most.
        size: side of one panel, inches.
        kwargs: passed to :func:`draw_pose_3d`.
    """
    if not poses:
        raise ItesError("draw_poses_3d: no pose given; expected at least one")
    columns = min(columns, len(poses))
    rows = -(-len(poses) // columns)
    fig = plt.figure(figsize=(size * columns, size * rows * 1.08), facecolor="white", layout="constrained")
    kwargs.setdefault("radius", max(_extent(pose)[1] for pose in poses.values()))
    for k, (name, pose) in enumerate(poses.items()):
        ax = fig.add_subplot(rows, columns, k + 1, projection="3d")
        draw_pose_3d(ax, pose, skeleton, **kwargs)
        ax.set_title(name, fontsize=9)
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
            label = key.removeprefix("val_").replace("_", " ")
            style = MARKS[k % len(MARKS)]
            steps, values = zip(*pairs, strict=True)
            ax.plot(steps, values, style, color=CURVES[k % len(CURVES)], label=label, lw=1.5)
        ax.set(xlabel="step", ylabel=title, yscale="log" if title == "loss" else "linear")
        ax.grid(alpha=0.3)
        if keys:
            ax.legend(fontsize="small")
    return fig


_NOT_CURVES = ("step", "epoch", "lr", "seconds", "time")


def plotly_pose(
    poses: Mapping[str, Tensor], skeleton: Skeleton = H36M17, *, unit: str = "m", height: int = 460
) -> go.Figure:
    """One or several 3D poses in one scene that can be turned; each name is an entry of the legend.

    Args:
        poses: name to (N, 3) pose, camera frame. The second and later ones are drawn thinner and paler.
        unit: for the axes' labels.
        height: pixels.

    Chapters 1, 2 and 4. Show the result with :func:`embed`.
    """
    if not poses:
        raise ItesError("plotly_pose: no pose given; expected at least one")
    fig = go.Figure()
    for k, (name, pose) in enumerate(poses.items()):
        for trace in _traces_3d(pose, skeleton, width=6 if k == 0 else 3, opacity=1.0 if k == 0 else 0.55):
            trace.update(legendgroup=name, name=name, showlegend=trace.meta == "right" and len(poses) > 1)
            fig.add_trace(trace)
    r = 1.05 * max(float(p.abs().max()) for p in poses.values())
    fig.update_layout(scene=_scene(r, unit), height=height, **_PLAIN)
    return fig


def plotly_family(
    poses: Sequence[Tensor] | Tensor,
    labels: Sequence[str],
    *,
    skeleton: Skeleton = H36M17,
    start: int = 0,
    name: str = "pose",
    unit: str = "units",
    picture: bool = True,
    distance: float = CAMERA_DISTANCE,
    height: int = 460,
) -> go.Figure:
    """A family of 3D poses with a slider, and beside it the picture that the camera takes of each.

    Args:
        poses: F poses (N, 3), root-relative, camera frame.
        labels: F words for the slider's positions.
        start: the pose shown first.
        name: what the slider changes.
        unit: for the axes' labels.
        picture: draw the perspective image :func:`ites_core.camera.project` on the left.
        distance: t of that camera, in the unit of the poses.
        height: pixels.

    Chapters 1 (depths) and 2 (coefficients of the dictionary). Show the result with :func:`embed`.
    """
    family = list(poses)
    if not family or len(family) != len(labels) or not 0 <= start < len(family):
        raise ItesError(f"plotly_family: {len(family)} poses, {len(labels)} labels, start {start}; one label per pose")

    def panels(pose: Tensor) -> list[Any]:
        flat = _traces_2d(project(pose, distance), skeleton) if picture else []
        return flat + _traces_3d(pose, skeleton, width=6)

    frames = [go.Frame(data=panels(pose), name=str(k)) for k, pose in enumerate(family)]
    fig = go.Figure(data=panels(family[start]), frames=frames)
    steps = [{"args": [[str(k)], _AT_ONCE], "label": label, "method": "animate"} for k, label in enumerate(labels)]
    fig.update_layout(
        scene=_scene(1.05 * max(float(p.abs().max()) for p in family), unit, [0.36, 1.0] if picture else [0.0, 1.0]),
        sliders=[{"active": start, "steps": steps, "currentvalue": {"prefix": f"{name}: "}, "pad": {"t": 8}}],
        height=height,
        showlegend=False,
        **_PLAIN,
    )
    if picture:
        r = 1.1 * max(float(project(p, distance).abs().max()) for p in family)
        axis = {
            "zeroline": False,
            "showline": True,
            "mirror": True,
            "linecolor": "#444",
            "gridcolor": "#e5e5e5",
        }
        fig.update_layout(
            xaxis={"domain": [0.03, 0.34], "range": [-r, r], "title": "u (the picture)", **axis},
            yaxis={"range": [r, -r], "scaleanchor": "x", "constrain": "domain", "title": "v", **axis},
        )
    return fig


class Embedded:
    """A plotly figure that shows itself in JupyterLab and in the published page; made by :func:`embed`."""

    def __init__(self, figure: go.Figure, page: str) -> None:
        self.figure, self.page = figure, page

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """HTML for the built page; a live notebook server also gets plotly's own format, and prefers it."""
        bundle: dict[str, Any] = {"text/html": self.page}
        if "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ:
            bundle["application/vnd.plotly.v1+json"] = json.loads(self.figure.to_json())
        return bundle


def embed(fig: go.Figure, alt: str, still: Figure | None = None) -> Embedded:
    """Make a plotly figure ready to be the last value of a cell (chapters 1 to 5).

    In the page, the slider of :func:`plotly_family` and the turning of a scene are native range inputs,
    which a keyboard reaches; plotly.min.js comes from the book's own server (book/_ext/page_assets.py).

    Args:
        fig: from :func:`plotly_pose` or :func:`plotly_family`.
        alt: what a reader who cannot see the figure needs to know.
        still: a picture for readers whose browser runs no scripts; closed afterwards.
    """
    page = go.Figure(fig)
    sliders = fig.layout.sliders
    labels = [step.label for step in sliders[0].steps] if sliders else []
    page.layout.sliders = ()
    settings = {
        "alt": alt,
        "name": sliders[0].currentvalue.prefix.rstrip(": ") if sliders else "",
        "labels": labels,
        "start": sliders[0].active if sliders else 0,
        "turns": any(trace.type == "scatter3d" for trace in fig.data),
    }
    script = _CONTROLS.read_text(encoding="utf8").replace("SETTINGS", json.dumps(settings).replace("</", "<\\/"))
    body = page.to_html(
        include_plotlyjs=False, include_mathjax=False, full_html=False, auto_play=False, post_script=script,
        config={"responsive": True, "displaylogo": False},
    )  # fmt: skip
    if still is not None:
        buffer = io.BytesIO()
        still.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
        plt.close(still)
        data = base64.b64encode(buffer.getvalue()).decode()
        body += f'<noscript><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></noscript>'
    return Embedded(fig, body)


_CONTROLS = Path(__file__).with_name("plot_controls.js")
_AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
_PLAIN: dict[str, Any] = {
    "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "font": {"color": "#222222"},
    "uirevision": "keep",  # a turned scene stays turned when the slider moves
}


def _scene(radius: float, unit: str, domain: Sequence[float] = (0.0, 1.0)) -> dict[str, Any]:
    axis = {
        "range": [-radius, radius],
        "backgroundcolor": "#fafafa",
        "gridcolor": "#dddddd",
        "showbackground": True,
    }
    return {
        "xaxis": {"title": f"x right [{unit}]", **axis},
        "yaxis": {"title": f"z away [{unit}]", **axis},
        "zaxis": {"title": f"−y up [{unit}]", **axis},
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.3, "y": -2.0, "z": 0.5}},
        "domain": {"x": list(domain), "y": [0.0, 1.0]},
    }


def _segments(points: Tensor, skeleton: Skeleton, side: str) -> list[list[float | None]]:
    """Coordinates of one side's bones, bone after bone with a gap between them: one list per dimension."""
    columns: list[list[float | None]] = [[] for _ in range(points.shape[-1])]
    for bone in skeleton.bones:
        if side_of(bone, skeleton) == side:
            for d, column in enumerate(columns):
                column += [round(points[bone[0], d].item(), 4), round(points[bone[1], d].item(), 4), None]
    return columns


def _traces_2d(points: Tensor, skeleton: Skeleton) -> list[Any]:
    _check(points, 2, skeleton)
    style: dict[str, Any] = {"mode": "lines+markers", "hoverinfo": "skip", "marker": {"size": 4}}
    return [
        go.Scatter(x=x, y=y, line={"color": COLOURS[s], "dash": DASHES[s], "width": 2.5}, meta=s, **style)
        for s in SIDES
        for x, y in [_segments(points, skeleton, s)]
    ]


def _traces_3d(points: Tensor, skeleton: Skeleton, width: float, opacity: float = 1.0) -> list[Any]:
    _check(points, 3, skeleton)
    style: dict[str, Any] = {
        "mode": "lines+markers",
        "hoverinfo": "skip",
        "marker": {"size": 3},
        "opacity": opacity,
    }
    return [
        go.Scatter3d(
            x=x, y=z, z=[None if v is None else -v for v in y],
            line={"color": COLOURS[s], "dash": DASHES[s], "width": width}, meta=s, **style,
        )
        for s in SIDES
        for x, y, z in [_segments(points, skeleton, s)]
    ]  # fmt: skip


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


def _check(points: Tensor, dims: int, skeleton: Skeleton) -> Any:
    if points.shape != (len(skeleton), dims):
        raise ItesError(f"pose to draw: found shape {tuple(points.shape)}, expected ({len(skeleton)}, {dims})")
    return points.detach().cpu().numpy()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
