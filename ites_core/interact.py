"""Figures that turn and slide, in the page without a kernel and in JupyterLab (chapters 1 to 5).

A figure is made by a function of its parameters. :func:`frames` evaluates it beforehand, for a slider that works in
the published page; :func:`ites_core.widgets.live` calls the same function whenever a control moves in JupyterLab.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import plotly.graph_objects as go
from matplotlib.figure import Figure
from torch import Tensor

from ites_core.camera import CAMERA_DISTANCE, project
from ites_core.errors import ItesError
from ites_core.plot import COLOURS, SIDES, check_points, side_of
from ites_core.skeleton import H36M17, Skeleton

DASHES = {"right": "solid", "left": "dash", "middle": "solid"}


def poses_figure(
    poses: Mapping[str, Tensor], skeleton: Skeleton = H36M17, *, unit: str = "m", height: int = 420
) -> go.Figure:
    """One or several 3D poses in one scene that can be turned; each name is an entry of the legend.

    Args:
        poses: name to (N, 3) pose, camera frame. The second and later ones are drawn thinner and paler.
        unit: for the axes' labels.
        height: pixels.

    Chapters 1, 2 and 4. Show the result with :func:`embed`.
    """
    if not poses:
        raise ItesError("poses_figure: no pose given; expected at least one")
    fig = go.Figure()
    for k, (name, pose) in enumerate(poses.items()):
        for trace in _traces_3d(pose, skeleton, width=6 if k == 0 else 3, opacity=1.0 if k == 0 else 0.55):
            trace.update(legendgroup=name, name=name, showlegend=trace.meta == "right" and len(poses) > 1)
            fig.add_trace(trace)
    r = 1.05 * max(float(p.abs().max()) for p in poses.values())
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # above, so that the scene keeps its width
    fig.update_layout(scene=_scene(r, unit), height=height, legend=legend, **_PLAIN)
    return fig


def pose_figure(
    pose: Tensor,
    *,
    skeleton: Skeleton = H36M17,
    unit: str = "units",
    picture: bool = True,
    image: Tensor | None = None,
    distance: float = CAMERA_DISTANCE,
    radius: float | None = None,
    image_radius: float | None = None,
    height: int = 420,
) -> go.Figure:
    """One 3D pose that can be turned, and beside it its picture.

    Args:
        pose: (N, 3), root-relative, camera frame.
        skeleton: the joint set.
        unit: for the axes' labels.
        picture: draw the picture on the left.
        image: (N, 2) the picture to draw; None for :func:`ites_core.camera.project` of the pose.
        distance: t of that camera, in the unit of the pose.
        radius, image_radius: half the side of the drawn cube and square; None fits this pose. Give both when the
            figure is to change, so that its axes hold still.
        height: pixels.

    Chapters 1 to 5. Show the result with :func:`embed`, or animate it with :func:`frames`.
    """
    shown = project(pose, distance) if image is None else image
    flat = _traces_2d(shown, skeleton) if picture else []
    fig = go.Figure(data=flat + _traces_3d(pose, skeleton, width=6))
    reach = 1.05 * float(pose.abs().max()) if radius is None else radius
    fig.update_layout(
        scene=_scene(reach, unit, [0.36, 1.0] if picture else [0.0, 1.0]), height=height, showlegend=False, **_PLAIN
    )
    if picture:
        r = 1.1 * float(shown.abs().max()) if image_radius is None else image_radius
        axis = {"zeroline": False, "showline": True, "mirror": True, "linecolor": "#444", "gridcolor": "#e5e5e5"}
        fig.update_layout(
            xaxis={"domain": [0.03, 0.34], "range": [-r, r], "title": "u (the picture)", **axis},
            yaxis={"range": [r, -r], "scaleanchor": "x", "constrain": "domain", "title": "v", **axis},
        )
    return fig


def frames(make: Callable[[Any], go.Figure], values: Mapping[str, Any], *, name: str, start: int = 0) -> go.Figure:
    """A figure with a slider whose positions are computed beforehand.

    Args:
        make: a value to a figure; every figure has the same traces in the same order, and the same axes.
        values: the slider's positions: what the reader sees -> what ``make`` gets.
        name: what the slider changes.
        start: the position shown first.

    Chapters 1 to 5. Show the result with :func:`embed`.
    """
    if not values or not 0 <= start < len(values):
        raise ItesError(
            f"frames: {len(values)} values, start {start}; expected at least one value, and start among them"
        )
    made = [make(value) for value in values.values()]
    for label, one in zip(values, made, strict=True):
        if [t.type for t in one.data] != [t.type for t in made[0].data]:
            raise ItesError(
                f"frames: the figure for {label!r} has other traces than the first; expected the same kinds"
            )
    fig = go.Figure(made[start])
    fig.frames = [go.Frame(data=one.data, layout=moving_layout(one), name=str(k)) for k, one in enumerate(made)]
    steps = [{"args": [[str(k)], _AT_ONCE], "label": label, "method": "animate"} for k, label in enumerate(values)]
    slider = {"active": start, "steps": steps, "currentvalue": {"prefix": f"{name}: "}, "pad": {"t": 8}}
    fig.update_layout(sliders=[slider])
    return fig


def family_figure(
    poses: Sequence[Tensor] | Tensor, labels: Sequence[str], *, start: int = 0, name: str = "pose", **look: Any
) -> go.Figure:
    """A family of 3D poses with a slider, and beside it the picture that the camera takes of each.

    Args:
        poses: F poses (N, 3), root-relative, camera frame.
        labels: F different words for the slider's positions.
        start: the pose shown first.
        name: what the slider changes.
        look: passed to :func:`pose_figure`.

    Chapters 1 (depths) and 2 (coefficients of the dictionary). Show the result with :func:`embed`.
    """
    family = list(poses)
    if not family or len(family) != len(set(labels)):
        raise ItesError(f"family_figure: {len(family)} poses, {len(set(labels))} different labels; one label per pose")
    distance = look.get("distance", CAMERA_DISTANCE)
    look.setdefault("radius", 1.05 * max(float(p.abs().max()) for p in family))
    look.setdefault("image_radius", 1.1 * max(float(project(p, distance).abs().max()) for p in family))
    return frames(
        lambda pose: pose_figure(pose, **look), dict(zip(labels, family, strict=True)), name=name, start=start
    )


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


def embed(fig: go.Figure, alt: str, still: Figure | None = None, *, script: str = "") -> Embedded:
    """Make a plotly figure ready to be the last value of a cell (chapters 1 to 5).

    In the page, the slider of :func:`frames` and the turning of a scene are native range inputs,
    which a keyboard reaches; plotly.min.js comes from the book's own server (book/_ext/page_assets.py).

    Args:
        fig: from this module, or any plotly figure.
        alt: what a reader who cannot see the figure needs to know.
        still: a picture for readers whose browser runs no scripts; closed afterwards.
        script: JavaScript of the figure's own, run after the controls are made; ``{plot_id}`` stands for the
            figure's id.
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
    controls = _CONTROLS.read_text(encoding="utf8").replace("SETTINGS", json.dumps(settings).replace("</", "<\\/"))
    body = page.to_html(
        include_plotlyjs=False, include_mathjax=False, full_html=False, auto_play=False,
        post_script=[controls, script] if script else controls,
        config={"responsive": True, "displaylogo": False},
    )  # fmt: skip
    if still is not None:
        buffer = io.BytesIO()
        still.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
        plt.close(still)
        data = base64.b64encode(buffer.getvalue()).decode()
        body += f'<noscript><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></noscript>'
    return Embedded(fig, body)


_CONTROLS = Path(__file__).with_name("page_controls.js")
_AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
_PLAIN: dict[str, Any] = {
    "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "font": {"color": "#222222"},
    "uirevision": "keep",  # a turned scene stays turned when the slider moves
}


def moving_layout(fig: go.Figure) -> dict[str, Any]:
    """The parts of a layout that a frame may change: title, annotations and shapes."""
    layout = fig.layout.to_plotly_json()
    return {key: layout[key] for key in ("title", "annotations", "shapes") if key in layout}


def _scene(radius: float, unit: str, domain: Sequence[float] = (0.0, 1.0)) -> dict[str, Any]:
    axis = {
        "range": [-radius, radius],
        "backgroundcolor": "#fafafa",
        "gridcolor": "#dddddd",
        "showbackground": True,
        "tickfont": {"size": 10},
        "nticks": 5,
    }

    def title(words: str) -> dict[str, Any]:
        return {"text": f"{words} [{unit}]", "font": {"size": 12}}

    return {
        "xaxis": {"title": title("x right"), **axis},
        "yaxis": {"title": title("z away"), **axis},
        "zaxis": {"title": title("−y up"), **axis},
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.5, "y": -2.3, "z": 0.57}, "center": {"x": 0, "y": 0, "z": -0.12}},
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
    check_points(points, 2, skeleton)
    style: dict[str, Any] = {"mode": "lines+markers", "hoverinfo": "skip", "marker": {"size": 4}}
    return [
        go.Scatter(x=x, y=y, line={"color": COLOURS[s], "dash": DASHES[s], "width": 2.5}, meta=s, **style)
        for s in SIDES
        for x, y in [_segments(points, skeleton, s)]
    ]


def _traces_3d(points: Tensor, skeleton: Skeleton, width: float, opacity: float = 1.0) -> list[Any]:
    check_points(points, 3, skeleton)
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
