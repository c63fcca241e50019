"""Draw the picture of the whole method, book/images/overview.png, from poses of the embedded sampler.

python book/draw_overview.py
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from torch import Tensor

mpl.use("Agg")
import matplotlib.pyplot as plt

from ites_core.camera import project, rotate, rotation_from_vector
from ites_core.data.sampler import PoseSampler
from ites_core.plot import COLOURS, STYLES, side_of
from ites_core.skeleton import H36M17

TEACHER, STUDENT, LOSS, INK = "#E69F00", "#56B4E9", "#007A5A", "#222222"
TILE = 1.62  # side of a picture's tile


def turn(yaw: float, pitch: float = 0.0) -> Tensor:
    """Rotation about the vertical axis, then about the horizontal one, degrees."""
    vertical = rotation_from_vector(torch.tensor([0.0, math.radians(yaw), 0.0]))
    return rotation_from_vector(torch.tensor([math.radians(pitch), 0.0, 0.0])) @ vertical


def bones(ax: Axes, points: Tensor, x: float, y: float, scale: float, width: float) -> None:
    """Draw flat points (N, 2), y down, centred at (x, y)."""
    p = points - (points.amin(0) + points.amax(0)) / 2
    for bone in H36M17.bones:
        side = side_of(bone)
        (x0, y0), (x1, y1) = p[bone[0]].tolist(), p[bone[1]].tolist()
        ends = ([x + scale * x0, x + scale * x1], [y - scale * y0, y - scale * y1])
        ax.plot(*ends, STYLES[side], color=COLOURS[side], lw=width, dash_capstyle="round", zorder=5)


def picture(ax: Axes, image: Tensor, x: float, y: float, title: str) -> None:
    """A 2D pose in a frame, as a camera sees it."""
    half = TILE / 2
    frame = FancyBboxPatch((x - half, y - half), TILE, TILE, boxstyle="square,pad=0", fc="#f4f4f4", ec="#888888")
    ax.add_patch(frame)
    bones(ax, image, x, y, 0.84 * TILE / float((image.amax(0) - image.amin(0)).max()), 2.0)
    ax.text(x, y - half - 0.08, title, ha="center", va="top", fontsize=10.5, color=INK)


def solid(ax: Axes, pose: Tensor, x: float, y: float, title: str = "", size: float = 1.0) -> None:
    """A 3D pose seen from obliquely above, standing on a tile of floor."""
    view = turn(24, 14)
    scale = 0.82 * size * TILE / 1.9
    floor = pose[:, 1].max().item()
    mid = (pose.amin(0) + pose.amax(0)) / 2
    corners = [[mid[0] + i, floor, mid[2] + j] for i, j in ((-0.55, -0.55), (0.55, -0.55), (0.55, 0.55), (-0.55, 0.55))]
    flat = rotate(pose, view)[:, :2]
    centre = (flat.amin(0) + flat.amax(0)) / 2
    ground = (rotate(torch.tensor(corners), view)[:, :2] - centre) * scale
    ax.add_patch(Polygon([(x + u, y - v) for u, v in ground.tolist()], fc="#ececec", ec="#bbbbbb", zorder=1))
    bones(ax, flat, x, y, scale, 2.4)
    ax.text(x, y + TILE / 2 + 0.06, title, ha="center", va="bottom", fontsize=10.5, color=INK)


def arrow(ax: Axes, points: list[tuple[float, float]], label: str = "", at: tuple[float, float] = (0, 0),
          colour: str = INK, dashed: bool = False) -> None:  # fmt: skip
    """A line through the points with a head at its end, and a label."""
    style = (0, (4, 2)) if dashed else "-"
    for a, b in pairwise(points[:-1]):
        ax.plot(*zip(a, b, strict=True), color=colour, lw=1.7, ls=style, solid_capstyle="round", zorder=3)
    ax.add_patch(
        FancyArrowPatch(points[-2], points[-1], arrowstyle="-|>", mutation_scale=15, lw=1.7, color=colour,
                        ls=style, shrinkA=0, shrinkB=0, zorder=3)
    )  # fmt: skip
    if label:
        ax.text(*at, label, ha="center", va="center", fontsize=10.5, color=colour, zorder=6)


def pill(ax: Axes, x: float, y: float, name: str, words: str) -> None:
    """The name of a loss in a rounded box."""
    ax.text(
        x, y, f"{name}  {words}", ha="center", va="center", fontsize=10.5, color="white", zorder=8,
        bbox={"boxstyle": "round,pad=0.35", "fc": LOSS, "ec": LOSS},
    )  # fmt: skip


def network(ax: Axes, x: float, y: float, name: str, note: str, colour: str) -> None:
    """A network's box."""
    box = FancyBboxPatch((x - 0.85, y - 0.72), 1.7, 1.44, boxstyle="round,pad=0.02,rounding_size=0.15",
                         fc=colour, ec=INK, lw=1.2, zorder=4)  # fmt: skip
    ax.add_patch(box)
    ax.text(x, y + 0.2, name, ha="center", va="center", fontsize=14, weight="bold", color="black", zorder=6)
    ax.text(x, y - 0.3, note, ha="center", va="center", fontsize=9.5, color="black", zorder=6)


def bars(ax: Axes, values: list[float], x: float, y: float, width: float, height: float, title: str) -> None:
    """A small bar chart of signed numbers."""
    step, top = width / len(values), max(abs(v) for v in values)
    ax.plot([x - width / 2, x + width / 2], [y, y], color="#888888", lw=0.8)
    for k, v in enumerate(values):
        at = x - width / 2 + (k + 0.5) * step
        ax.plot([at, at], [y, y + height / 2 * v / top], color="#444444", lw=52 * step, solid_capstyle="butt")
    ax.text(x, y - height / 2 - 0.1, title, ha="center", va="top", fontsize=10.5, color=INK)


def main(path: Path = Path(__file__).parent / "images" / "overview.png") -> None:
    """Draw the overview and write it."""
    world = PoseSampler.embedded().poses(400, torch.Generator().manual_seed(4))
    poses = (world - world[:, :1]) * torch.tensor([1.0, -1.0, -1.0])  # y up to y down
    hips = poses[:, 1] - poses[:, 4]  # from left to right hip
    yaw = torch.atan2(hips[:, 2], hips[:, 0])
    facing = rotate(poses, torch.stack([turn(math.degrees(a)) for a in yaw.tolist()]))
    spread = (facing[:, 13] - facing[:, 16]).norm(dim=-1) + (facing[:, 3] - facing[:, 6]).norm(dim=-1)
    order = spread.argsort(descending=True)
    canonical = facing[order[3]] * torch.tensor([-1.0, 1.0, -1.0])
    canonical = canonical / (canonical[10] - canonical[0]).norm()
    atoms = [p * torch.tensor([-1.0, 1.0, -1.0]) for p in facing[order[[0, 60, 200]]]]
    seen, other = rotate(canonical, turn(-50)), rotate(canonical, turn(75, 12))
    student, again = rotate(canonical, turn(-50)), rotate(canonical, turn(150, -10))

    fig, ax = plt.subplots(figsize=(16, 9.6), facecolor="white")
    ax.set(xlim=(0, 16), ylim=(-0.35, 9.35), aspect="equal")
    ax.axis("off")
    fig.subplots_adjust(0, 0, 1, 1)
    for y0, y1, colour in ((4.35, 8.55, "#FFF7E3"), (-0.3, 3.95, "#EBF6FD")):
        ax.add_patch(
            FancyBboxPatch((2.55, y0), 13.3, y1 - y0, boxstyle="round,pad=0,rounding_size=0.2", fc=colour, ec="none")
        )
    ax.text(2.75, 8.3, "stage 1: invariant teacher", fontsize=12, weight="bold", color="#7A5200", va="center")
    ax.text(2.75, 3.68, "stage 2: equivariant student", fontsize=12, weight="bold", color="#0B4F7A", va="center")

    x0, x1, x2, x3, x4, x5 = 1.2, 3.75, 6.35, 9.1, 11.85, 14.7
    top, upper, middle, lower, bottom = 7.1, 5.35, 4.15, 2.55, 0.75
    picture(ax, project(seen), x0, middle, "2D pose X")
    network(ax, x1, top, "teacher", "fully connected", TEACHER)
    network(ax, x1, lower, "student", "graph network", STUDENT)
    arrow(ax, [(x0, middle + 0.85), (x0, top), (x1 - 0.92, top)])
    arrow(ax, [(x0, middle - 1.25), (x0, lower), (x1 - 0.92, lower)])

    # The teacher: coefficients and a rotation, a dictionary, a canonical pose, the camera's view of it.
    bars(ax, [0.5, -0.3, 0.8, 0.2, -0.6, 0.35], x2 - 0.05, 7.78, 1.0, 0.5, "coefficients c")
    for k, atom in enumerate(atoms):
        flat = atom[:, :2]
        bones(ax, flat, x2 - 0.5 + 0.5 * k, 6.72, 0.72 / float((flat.amax(0) - flat.amin(0)).max()), 1.2)
    ax.text(x2, 6.3, "dictionary B, learnt", ha="center", va="top", fontsize=10.5, color=INK)
    arrow(ax, [(x1 + 0.9, top), (x2 - 0.85, top)])
    arrow(ax, [(x2 + 0.8, top), (x3 - 0.8, top)], "Σ c B", (x2 + 1.36, top + 0.2))
    solid(ax, canonical, x3, top + 0.05, "canonical pose Ŷ")
    arrow(ax, [(x3 + 0.8, top), (x4 - 0.75, top)], "turn by R", (10.47, top + 0.2))
    solid(ax, seen, x4, top + 0.05, "in the camera's view RŶ")
    arrow(ax, [(x4 + 0.8, top), (x5 - 0.88, top)], "project", (13.25, top + 0.2))
    picture(ax, project(seen), x5, top, "its picture")
    arrow(ax, [(x5, top + 0.85), (x5, 8.95), (0.75, 8.95), (0.75, middle + 0.85)], colour=LOSS, dashed=True)
    pill(ax, 8.0, 8.95, "$L_{REP}$", "the picture of the answer is the picture that came in")
    arrow(ax, [(x3, 6.22), (x3, 5.86)], "random turn", (x3 + 0.66, 6.04))
    solid(ax, other, x3, upper - 0.12, size=0.72)
    arrow(ax, [(x3 - 0.75, upper), (x2 + 0.7, upper)], "project", (7.72, upper + 0.2))
    scale = 1.15 / float((project(other).amax(0) - project(other).amin(0)).max())
    ax.add_patch(FancyBboxPatch((x2 - 0.65, upper - 0.65), 1.3, 1.3, boxstyle="square,pad=0", fc="white", ec="#888888"))
    bones(ax, project(other), x2, upper, scale, 1.8)
    arrow(ax, [(x2 - 0.7, upper), (x1, upper), (x1, top - 0.78)], "again", (x1 + 0.9, upper + 0.2))
    pill(ax, 4.42, 4.72, "$L_{RIC}$", "same pose, any view")

    # The student: depths, a pose in the camera's view.
    depth = student[:, 2]
    arrow(ax, [(x1 + 0.9, lower), (x2 - 0.2, lower)])
    bars(ax, depth.tolist(), x2 + 0.75, lower, 1.7, 1.1, "a depth d for every joint")
    arrow(ax, [(x2 + 1.75, lower), (x4 - 0.8, lower)], "back along the rays: (u z, v z, d)", (9.6, lower + 0.2))
    solid(ax, student, x4, lower + 0.05)
    ax.text(x4 + 0.85, lower + 0.3, "the answer: Ŷ in the camera's\nview; its picture is X exactly", fontsize=11,
            va="center", color=INK, weight="bold")  # fmt: skip
    arrow(ax, [(x4, 6.2), (x4, lower + 0.95)], colour=LOSS, dashed=True)
    pill(ax, x4, 4.15, "$L_{KD}$", "the teacher's depths are the labels")
    arrow(ax, [(x4, 1.72), (x4, 1.36)], "random turn", (x4 + 0.66, 1.55))
    solid(ax, again, x4, bottom - 0.1, size=0.78)
    arrow(ax, [(x4 - 0.75, bottom), (x3 + 0.35, bottom)], "project", (10.35, bottom + 0.2))
    ax.add_patch(FancyBboxPatch((x3 - 1.0, bottom - 0.65), 1.3, 1.3, boxstyle="square,pad=0", fc="white", ec="#888888"))
    picked = project(again)
    bones(ax, picked, x3 - 0.35, bottom, 1.15 / float((picked.amax(0) - picked.amin(0)).max()), 1.8)
    arrow(ax, [(x3 - 1.05, bottom), (x1, bottom), (x1, lower - 0.78)], "again", (6.4, bottom + 0.2))
    pill(ax, 6.1, 0.25, "$L_{REC}$", "the answer turns with the view")
    ax.text(0.12, -0.1, "right side: solid, orange\nleft side: dashed, blue", fontsize=10, color=INK, va="bottom")
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
