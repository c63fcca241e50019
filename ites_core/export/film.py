"""Films of lifted poses, GIF or MP4: the detected picture on the left, the lifted bodies on the right (chapter 7)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import matplotlib
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ites_core.errors import ItesError
from ites_core.export.rig import FPS
from ites_core.files import in_place
from ites_core.lifting.lift import Lifted
from ites_core.plot import draw_pose_2d, draw_pose_3d

MOST_FRAMES = 300  # drawn; of a longer film every second one, or third, and so on
MOST_PEOPLE = 6
TURN = 40.0  # degrees that the view swings to either side, so that depth can be seen
DPI = 80


def write_film(lifted: Lifted, path: Path, person: int | None = None) -> None:
    """Write a GIF or an MP4, by the suffix.

    Args:
        lifted: poses of a film.
        path: the file.
        person: only this one; None for those that are seen in most frames, at most MOST_PEOPLE.

    Raises:
        ItesError: photographs instead of a film, no such person, no program that writes MP4, a file that cannot be
            written.
    """
    if not lifted.film:
        raise ItesError(
            f"{path}: a film needs frames that follow one another, and {lifted.source} holds pictures; "
            "say --film yes if they are frames, or write .html, .glb or .json"
        )
    done = lifted.done
    numbers, seen = np.unique(lifted.person[done], return_counts=True)
    whom = [int(n) for n in numbers[np.argsort(-seen, kind="stable")][:MOST_PEOPLE]] if person is None else [person]
    place = {(int(f), int(p)): k for k, (f, p) in enumerate(zip(lifted.frame, lifted.person, strict=True)) if done[k]}
    rows = [k for (_, p), k in place.items() if p in whom]
    if not rows:
        raise ItesError(f"person {person}: not among those lifted ({', '.join(map(str, numbers))}); choose one of them")
    every = np.unique(lifted.frame[rows])
    step = -(-len(every) // MOST_FRAMES)
    fps = (lifted.fps or FPS) / step
    figure = Figure(figsize=(9, 4.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    flat, solid = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
    left, right = _actors(lifted, whom, rows, flat, solid)
    flat.set_title(" ", fontsize=9)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once, not for every frame
    with matplotlib.rc_context({"animation.ffmpeg_path": _ffmpeg()}):
        writer = _writer(path, fps)
        try:
            with in_place(path) as beside, writer.saving(figure, str(beside), dpi=DPI):
                for number, frame in enumerate(every[::step]):
                    for who in whom:
                        k = place.get((int(frame), who))
                        _move(left[who], None if k is None else lifted.picture[k].numpy(), lifted)
                        _move(right[who], None if k is None else _stand(lifted, k, rows[0]), lifted)
                    swing = TURN * np.sin(2 * np.pi * number / max(len(every[::step]), 2))
                    solid.view_init(elev=10, azim=-90 + swing)
                    flat.set_title(f"frame {frame}", fontsize=9)
                    writer.grab_frame()
        except CalledProcessError as error:
            raise ItesError(f"{path}: cannot be written (ffmpeg failed); make room, or write .gif") from error


Lines = list[Any]


def _actors(
    lifted: Lifted, whom: list[int], rows: list[int], flat: Any, solid: Any
) -> tuple[dict[int, Lines], dict[int, Lines]]:
    """The lines of each person in both panels, and axes wide enough for the whole film."""
    left: dict[int, Lines] = {}
    right: dict[int, Lines] = {}
    for who in whom:
        first = next(k for k in rows if lifted.person[k] == who)
        before = len(flat.lines), len(solid.lines)
        draw_pose_2d(flat, lifted.picture[first], lifted.skeleton, legend=who == whom[0])
        draw_pose_3d(solid, lifted.pose[first], lifted.skeleton)
        left[who], right[who] = flat.lines[before[0] :], solid.lines[before[1] :]
    flat.set_aspect("auto")  # limits first, then the aspect
    pictures = lifted.picture[rows].reshape(-1, 2).numpy()
    stage = np.concatenate([_stand(lifted, k, rows[0]) for k in rows])
    for axis, values in zip("xy", pictures.T, strict=True):
        low, high = values.min(), values.max()
        margin = 0.05 * (high - low) + 1
        getattr(flat, f"set_{axis}lim")(low - margin, high + margin)
    flat.invert_yaxis()
    flat.set_aspect("equal", adjustable="box")
    flat.set(xlabel="pixels", ylabel="pixels")
    middle, half = (stage.min(axis=0) + stage.max(axis=0)) / 2, 0.52 * np.ptp(stage, axis=0)
    # The plot's axes are x right, z away, up; nobody is squeezed: the box has the extent's proportions.
    half = np.maximum(half, 0.5)
    for name, centre, reach in zip("xyz", middle[[0, 2, 1]] * [1, 1, -1], half[[0, 2, 1]], strict=True):
        getattr(solid, f"set_{name}lim")(centre - reach, centre + reach)
    solid.set_box_aspect(half[[0, 2, 1]])
    return left, right


def _stand(lifted: Lifted, k: int, first: int) -> np.ndarray:
    """The pose (17, 3) where the person stands in the picture's plane, metres from where the film begins."""
    root = lifted.skeleton.root
    aside = (lifted.picture[k, root] - lifted.picture[first, root]).numpy() * lifted.metres_per_pixel[k]
    return lifted.pose[k].numpy() + np.array([*aside, 0.0])


def _move(lines: Lines, points: np.ndarray | None, lifted: Lifted) -> None:
    for line, (a, b) in zip(lines, lifted.skeleton.bones, strict=True):
        line.set_visible(points is not None)
        if points is None:
            continue
        x, y, *z = points[[a, b]].T
        if z:
            line.set_data_3d(x, z[0], -y)
        else:
            line.set_data(x, y)


def _writer(path: Path, fps: float) -> AbstractMovieWriter:
    if path.suffix.lower() == ".gif":
        return PillowWriter(fps=max(1, round(fps)))
    if not FFMpegWriter.isAvailable():
        raise ItesError(
            f"{path}: MP4 needs the program ffmpeg, which is not here; install it, or imageio-ffmpeg by "
            "`pip install imageio-ffmpeg`, or write .gif"
        )
    rate: Any = fps  # ffmpeg takes fractions, matplotlib says int
    return FFMpegWriter(fps=rate, codec="h264", extra_args=["-pix_fmt", "yuv420p"])


def _ffmpeg() -> str:
    """The path of ffmpeg: imageio-ffmpeg's own where that is installed."""
    if find_spec("imageio_ffmpeg") is None:
        return "ffmpeg"
    return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
