"""A body whose joints slide along their rays, computed in the page itself (chapter 1).

:func:`depths_figure` draws one choice of depths; JupyterLab calls it for every move of its sliders.
:func:`depth_explorer` puts it into the page, where ``depth_sliders.js`` does the same arithmetic in the browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
from matplotlib.figure import Figure
from torch import Tensor

from ites_core.camera import CAMERA_DISTANCE, MIN_DEPTH, project, unproject
from ites_core.errors import ItesError
from ites_core.interact import Embedded, embed, pose_figure
from ites_core.plot import SIDES, side_of
from ites_core.skeleton import H36M17, Skeleton

RAY = "#222222"


def depths_figure(
    image: Tensor,
    depth: Tensor,
    *,
    joint: int,
    reach: float,
    distance: float = CAMERA_DISTANCE,
    millimetres: float | None = None,
    skeleton: Skeleton = H36M17,
    height: int = 460,
) -> go.Figure:
    """A picture, the body that stands at given depths behind it, and the ray of one joint.

    Args:
        image: (N, 2) image coordinates of the virtual camera.
        depth: (N,) depths relative to the root, units.
        joint: whose ray to draw.
        reach: half the side of the drawn cube, units; what lies beyond it is cut off.
        distance: t of the camera, units.
        millimetres: in one unit; if given, the title says how much left and right bones differ.
        skeleton: the joint set.
        height: pixels.

    Chapter 1.
    """
    body = unproject(image, depth, distance)
    size = 1.1 * float(image.abs().max())
    fig = pose_figure(body, skeleton=skeleton, distance=distance, radius=reach, image_radius=size, height=height)
    shown = project(body, distance)
    flat, solid = fig.data[: len(SIDES)], fig.data[len(SIDES) :]
    names = list(skeleton.joints)
    dots = go.Scatter(
        x=_list(shown[:, 0]), y=_list(shown[:, 1]), mode="markers", text=names, hoverinfo="text",
        marker={"size": 9, "color": "rgba(34,34,34,0.25)"},
    )  # fmt: skip
    ring = go.Scatter(
        x=_list(shown[joint : joint + 1, 0]), y=_list(shown[joint : joint + 1, 1]), mode="markers", hoverinfo="skip",
        marker={"size": 15, "symbol": "circle-open", "color": RAY, "line": {"width": 2.5}},
    )  # fmt: skip
    ends = unproject(image[[joint, joint]], depth.new_tensor([max(MIN_DEPTH - distance, -reach), reach]), distance)
    ray = go.Scatter3d(
        x=_list(ends[:, 0]), y=_list(ends[:, 2]), z=_list(-ends[:, 1]), mode="lines", hoverinfo="skip",
        line={"color": RAY, "width": 3, "dash": "dot"},
    )  # fmt: skip
    here = body[joint : joint + 1]
    knob = go.Scatter3d(
        x=_list(here[:, 0]), y=_list(here[:, 2]), z=_list(-here[:, 1]), mode="markers", hoverinfo="skip",
        marker={"size": 7, "symbol": "circle-open", "color": RAY},
    )  # fmt: skip
    made = go.Figure(data=[*flat, dots, ring, *solid, ray, knob], layout=fig.layout)
    made.update_layout(scene_camera_eye={"x": 2.0, "y": -1.35, "z": 0.4})  # from the side: depth runs across
    if millimetres is not None:
        gaps = {name: _gap(body, left, right) for name, left, right in _bone_pairs(skeleton)}
        most = max(gaps, key=lambda name: gaps[name])
        text = f"largest left-right difference of a bone: {millimetres * gaps[most]:.0f} mm ({most})"
        made.update_layout(title={"text": text, "font": {"size": 13}}, margin={"t": 40})
    return made


def depth_explorer(
    image: Tensor,
    starts: Mapping[str, Tensor],
    alt: str,
    still: Figure | None = None,
    *,
    joint: int,
    reach: float,
    millimetres: float,
    distance: float = CAMERA_DISTANCE,
    skeleton: Skeleton = H36M17,
) -> Embedded:
    """:func:`depths_figure` with a menu of joints, a slider for the chosen one's depth, and buttons.

    Args:
        image: (N, 2) image coordinates of the virtual camera.
        starts: button -> (N,) depths that it sets; the first is shown at the start.
        alt, still: as for :func:`ites_core.interact.embed`.
        joint: chosen at the start.
        reach: largest depth of the slider, and half the side of the drawn cube, units.
        millimetres: in one unit.
        distance: t of the camera, units.
        skeleton: the joint set.

    Raises:
        ItesError: without any start, or if one has another number of joints.

    Chapter 1.
    """
    if not starts or any(depth.shape != (len(skeleton),) for depth in starts.values()):
        shapes = [tuple(depth.shape) for depth in starts.values()]
        raise ItesError(f"depth_explorer: depths of shapes {shapes}; expected one or more of shape ({len(skeleton)},)")
    first = next(iter(starts.values()))
    fig = depths_figure(image, first, joint=joint, reach=reach, distance=distance, skeleton=skeleton)
    settings = {
        "image": [[round(v, 5) for v in point] for point in image.tolist()],
        "starts": {name: _list(depth) for name, depth in starts.items()},
        "names": list(starts),
        "joint": joint,
        "reach": reach,
        "t": distance,
        "millimetres": millimetres,
        "joints": list(skeleton.joints),
        "root": skeleton.root,
        "sides": [[bone for bone in skeleton.bones if side_of(bone, skeleton) == side] for side in SIDES],
        "pairs": [{"name": name, "left": left, "right": right} for name, left, right in _bone_pairs(skeleton)],
    }
    script = _SLIDERS.read_text(encoding="utf8").replace("DEPTHS", json.dumps(settings).replace("</", "<\\/"))
    return embed(fig, alt, still, script=script)


_SLIDERS = Path(__file__).with_name("depth_sliders.js")


def _bone_pairs(skeleton: Skeleton) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """(name, left bone, right bone) for every bone that ends in a paired joint."""
    found = []
    for left, right in skeleton.pairs:
        ends = (skeleton.parents[left], left)
        name = " to ".join(skeleton.joints[j].removeprefix("L") for j in ends)
        found.append((name, ends, (skeleton.parents[right], right)))
    return found


def _gap(body: Tensor, left: tuple[int, int], right: tuple[int, int]) -> float:
    lengths = [(body[a] - body[b]).norm() for a, b in (left, right)]
    return abs(float(lengths[0] - lengths[1]))


def _list(values: Tensor) -> list[float]:
    return [round(v, 4) for v in values.tolist()]
