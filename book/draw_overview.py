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
TILE = 1.3  # side of a picture's tile
WORDS = 12.5  # size of letters, so that they can be read where the picture is six inches wide


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
    ax.text(x, y - half - 0.08, title, ha="center", va="top", fontsize=WORDS, color=INK)


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
    ax.text(x, y + TILE / 2 + 0.06, title, ha="center", va="bottom", fontsize=WORDS, color=INK)


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
        ax.text(*at, label, ha="center", va="center", fontsize=WORDS, color=colour, zorder=6)


def pill(ax: Axes, x: float, y: float, name: str, words: str) -> None:
    """The name of a loss in a rounded box."""
    ax.text(
        x, y, f"{name}  {words}", ha="center", va="center", fontsize=WORDS, color="white", zorder=8,
        bbox={"boxstyle": "round,pad=0.35", "fc": LOSS, "ec": LOSS},
    )  # fmt: skip


def network(ax: Axes, x: float, y: float, name: str, note: str, colour: str) -> None:
    """A network's box."""
    box = FancyBboxPatch((x - 0.7, y - 0.65), 1.4, 1.3, boxstyle="round,pad=0.02,rounding_size=0.15",
                         fc=colour, ec=INK, lw=1.2, zorder=4)  # fmt: skip
    ax.add_patch(box)
    ax.text(x, y + 0.2, name, ha="center", va="center", fontsize=15, weight="bold", color="black", zorder=6)
    ax.text(x, y - 0.3, note, ha="center", va="center", fontsize=11, color="black", zorder=6)


def bars(ax: Axes, values: list[float], x: float, y: float, width: float, height: float, title: str) -> None:
    """A small bar chart of signed numbers."""
    step, top = width / len(values), max(abs(v) for v in values)
    ax.plot([x - width / 2, x + width / 2], [y, y], color="#888888", lw=0.8)
    for k, v in enumerate(values):
        at = x - width / 2 + (k + 0.5) * step
        ax.plot([at, at], [y, y + height / 2 * v / top], color="#444444", lw=42 * step, solid_capstyle="butt")
    ax.text(x, y - height / 2 - 0.1, title, ha="center", va="top", fontsize=WORDS, color=INK)


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

    fig, ax = plt.subplots(figsize=(10, 11.4), facecolor="white")
    ax.set(xlim=(0, 10), ylim=(0, 11.4), aspect="equal")
    ax.axis("off")
    fig.subplots_adjust(0, 0, 1, 1)
    for y0, y1, colour in ((5.75, 11.3, "#FFF7E3"), (0.1, 4.95, "#EBF6FD")):
        ax.add_patch(
            FancyBboxPatch((0.1, y0), 9.8, y1 - y0, boxstyle="round,pad=0,rounding_size=0.2", fc=colour, ec="none")
        )
    ax.text(0.3, 11.02, "stage 1: invariant teacher", fontsize=14, weight="bold", color="#7A5200", va="center")
    ax.text(0.3, 4.65, "stage 2: equivariant student", fontsize=14, weight="bold", color="#0B4F7A", va="center")

    x0, x1, x2, x3, x4 = 0.95, 2.85, 5.0, 7.0, 8.85
    top, upper, lower, bottom = 9.55, 7.25, 3.3, 1.15
    picture(ax, project(seen), x0, top, "2D pose X")
    network(ax, x1, top, "teacher", "fully connected", TEACHER)
    arrow(ax, [(x0 + 0.68, top), (x1 - 0.72, top)])

    # The teacher: coefficients and a rotation, a dictionary, a canonical pose, the camera's view of it.
    bars(ax, [0.5, -0.3, 0.8, 0.2, -0.6, 0.35], x2 - 0.05, 10.32, 1.0, 0.5, "coefficients c")
    for k, atom in enumerate(atoms):
        flat = atom[:, :2]
        bones(ax, flat, x2 - 0.5 + 0.5 * k, 9.3, 0.72 / float((flat.amax(0) - flat.amin(0)).max()), 1.2)
    ax.text(x2, 8.88, "dictionary B", ha="center", va="top", fontsize=WORDS, color=INK)
    arrow(ax, [(x1 + 0.75, top), (x2 - 0.78, top)])
    arrow(ax, [(x2 + 0.72, top), (x3 - 0.62, top)], "Σ c B", (x2 + 1.06, top + 0.2))
    solid(ax, canonical, x3, top + 0.05, "canonical pose Ŷ")
    arrow(ax, [(x3 + 0.6, top), (x4 - 0.58, top)], "R", (x3 + 0.93, top + 0.2))
    solid(ax, seen, x4, top + 0.05, "camera's view")
    arrow(ax, [(x4, top - 0.85), (x4, upper + 0.7)], "project", (x4 + 0.48, 8.35))
    picture(ax, project(seen), x4, upper, "its picture")
    arrow(ax, [(x4, upper - 0.98), (x4, 6.02), (x0, 6.02), (x0, top - 1.02)], colour=LOSS, dashed=True)
    pill(ax, 4.9, 6.02, "$L_{REP}$", "the answer's picture is the picture that came in")
    arrow(ax, [(x3, top - 0.85), (x3, upper + 0.62)], "random turn", (x3 - 0.66, 8.35))
    solid(ax, other, x3, upper - 0.05, size=0.85)
    arrow(ax, [(x3 - 0.6, upper), (x2 + 0.7, upper)], "project", (x2 + 1.05, upper + 0.2))
    scale = 1.15 / float((project(other).amax(0) - project(other).amin(0)).max())
    ax.add_patch(FancyBboxPatch((x2 - 0.65, upper - 0.65), 1.3, 1.3, boxstyle="square,pad=0", fc="white", ec="#888888"))
    bones(ax, project(other), x2, upper, scale, 1.8)
    arrow(ax, [(x2 - 0.7, upper), (x1, upper), (x1, top - 0.72)], "again", (x1 + 0.72, upper + 0.2))
    pill(ax, x1 + 0.1, 7.95, "$L_{RIC}$", "same pose, any view")

    # The student: depths, a pose in the camera's view.
    picture(ax, project(seen), x0, lower, "2D pose X")
    network(ax, x1, lower, "student", "graph network", STUDENT)
    arrow(ax, [(x0 + 0.68, lower), (x1 - 0.72, lower)])
    depth = student[:, 2]
    arrow(ax, [(x1 + 0.75, lower), (x2 - 0.8, lower)])
    bars(ax, depth.tolist(), x2 + 0.1, lower, 1.5, 1.0, "a depth d for each joint")
    arrow(ax, [(x2 + 1.0, lower), (x3 - 0.3, lower)], "on the rays", (x2 + 1.3, lower + 0.25))
    x5 = x3 + 0.45
    solid(ax, student, x5, lower + 0.05, "the answer Ŷ")
    arrow(ax, [(x4 + 0.62, top), (9.72, top), (9.72, lower), (x5 + 0.75, lower)], colour=LOSS, dashed=True)
    pill(ax, 7.9, 5.35, "$L_{KD}$", "the teacher's depths are the labels")
    arrow(ax, [(x5, lower - 0.85), (x5, bottom + 0.68)], "random turn", (x5 + 0.68, 2.18))
    solid(ax, again, x5, bottom - 0.05, size=0.85)
    arrow(ax, [(x5 - 0.7, bottom), (x2 + 0.75, bottom)], "project", (x2 + 1.25, bottom + 0.2))
    ax.add_patch(FancyBboxPatch((x2 - 0.6, bottom - 0.65), 1.3, 1.3, boxstyle="square,pad=0", fc="white", ec="#888888"))
    picked = project(again)
    bones(ax, picked, x2 + 0.05, bottom, 1.15 / float((picked.amax(0) - picked.amin(0)).max()), 1.8)
    arrow(ax, [(x2 - 0.65, bottom), (x1, bottom), (x1, lower - 0.72)], "again", (x1 + 0.72, bottom + 0.2))
    pill(ax, x1 - 0.05, 1.95, "$L_{REC}$", "the answer turns along")
    ax.text(0.3, 0.3, "right side: solid, orange\nleft side: dashed, blue", fontsize=WORDS, color=INK, va="bottom")
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
