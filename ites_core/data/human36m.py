"""Human3.6M in the files that most papers use: 3D joints, true and detected 2D joints (chapter 5).

The files are not ours to hand out; whoever has agreed to the licence of Human3.6M makes or gets them himself. Layout:
``data_3d_h36m.npz`` holds ``positions_3d``, subject to action to (frames, 32, 3) metres in the world, z up;
``data_2d_h36m_*.npz`` holds ``positions_2d``, subject to action to one (frames, 17, 2) array of pixels a camera.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from ites_core.data.pickles import load_pickled_npz
from ites_core.data.recorded import ViewArchive
from ites_core.errors import ItesError

Detections = Literal["gt", "cpn"]

SPLIT = {"S1": "train", "S5": "train", "S6": "train", "S7": "train", "S8": "train", "S9": "test", "S11": "test"}
JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)  # those of the 32 that move, in H36M17's order
FILES_2D = {"gt": "data_2d_h36m_gt.npz", "cpn": "data_2d_h36m_cpn_ft_h36m_dbb.npz"}
TOLERANCE = {"gt": 5.0, "cpn": 50.0}  # pixels, mean over a recording; a wrong camera is off by a hundred and more
CAMERA_FILE = "human36m_cameras.json"
Arrays = dict[str, Any]


def read_human36m(folder: str | Path, detections: Detections = "gt", stride: int = 1) -> ViewArchive:
    """Human3.6M by the usual protocol: train on subjects 1, 5, 6, 7, 8, test on 9 and 11. Chapter 5.

    Poses are root-relative metres in the frame of each of the four cameras. Images are (pixel - centre) / focal
    length, y down. Lens distortion, a few pixels at most, is not removed, as is usual with these files. A recording is
    as long as the shorter of its 2D and 3D parts.

    Args:
        folder: holds ``data_3d_h36m.npz`` and the 2D file. A ``human36m_cameras.json`` there takes the place of the
            published calibration that comes with this package, whose layout it has.
        detections: ``gt``, projected true joints, or ``cpn``, those that a cascaded pyramid network found in the
            pictures.
        stride: keep every stride-th frame.

    Returns:
        Sequences such as ``S9/Walking 1``, cameras 0 to 3, action ``Walking``; 17 joints.

    Raises:
        ItesError: missing or damaged file, shapes other than above, a coordinate that is no number, an unknown
            subject, or projections that do not meet the 2D joints, so that cameras and files do not belong together.

    Source: Ionescu et al., "Human3.6M", TPAMI 2014; files as by Pavllo et al., CVPR 2019.
    """
    folder = Path(folder)
    if detections not in get_args(Detections):
        raise ItesError(f"detections: found {detections!r}, expected one of {', '.join(get_args(Detections))}")
    if stride < 1:
        raise ItesError(f"stride: found {stride}, expected at least 1")
    path_3d, path_2d = folder / "data_3d_h36m.npz", folder / FILES_2D[detections]
    world = _subjects(path_3d, "positions_3d")
    seen = _subjects(path_2d, "positions_2d")
    cameras, eyes = _cameras(folder)
    images, poses, sequence, camera, depths = [], [], [], [], []
    names: list[tuple[str, str]] = []
    for subject, actions in world.items():
        if subject not in eyes or subject not in SPLIT:
            raise ItesError(f"{path_3d}: subject {subject!r} has no cameras; expected {', '.join(SPLIT)}")
        for action, positions in actions.items():
            where = f"{subject}/{action}"
            points = _array(positions, (32, 3), path_3d, where)[:, JOINTS]
            tracks = seen.get(subject, {}).get(action)
            tracks = list(tracks) if isinstance(tracks, np.ndarray) and tracks.ndim else tracks
            if not isinstance(tracks, list) or len(tracks) != len(cameras):
                raise ItesError(f"{path_2d}: {where}: expected one track for each of {len(cameras)} cameras")
            for index, (lens, eye, track) in enumerate(zip(cameras, eyes[subject], tracks, strict=True)):
                pixels = _array(track, (17, 2), path_2d, f"{where}, camera {index}")
                frames = min(len(points), len(pixels))
                kept = (points[:frames:stride] - eye["centre"]) @ eye["axes"]
                pixels = pixels[:frames:stride]
                _check(kept, pixels, lens, TOLERANCE[detections], f"{path_2d}: {where}, camera {index}")
                images.append(torch.from_numpy(((pixels - lens["centre"]) / lens["focal"]).astype(np.float32)))
                poses.append(torch.from_numpy((kept - kept[:, :1]).astype(np.float32)))
                sequence.append(torch.full((len(kept),), len(names)))
                camera.append(torch.full((len(kept),), index))
                depths.append(kept[:, 0, 2])
            names.append((subject, action))
    if not names:
        raise ItesError(f"{path_3d}: holds no recording")
    return ViewArchive(
        image=torch.cat(images),
        pose=torch.cat(poses),
        sequence=torch.cat(sequence),
        camera=torch.cat(camera),
        names=tuple(f"{subject}/{action}" for subject, action in names),
        subject=tuple(subject for subject, _ in names),
        action=tuple(action.split(" ")[0] for _, action in names),
        split=tuple(SPLIT[subject] for subject, _ in names),
        mean_distance=float(np.concatenate(depths).mean()),
        source=str(folder),
    )


def _subjects(path: Path, field: str) -> dict[str, dict[str, Any]]:
    """The dictionary of dictionaries in a file."""
    members = load_pickled_npz(path)
    found: Any = members.get(field)
    levels = [found, *found.values()] if isinstance(found, dict) else [None]
    if not all(isinstance(level, dict) and all(isinstance(key, str) for key in level) for level in levels):
        raise ItesError(f"{path}: {field}: expected a dictionary, subject to action; found {', '.join(members)}")
    return found


def _array(value: Any, shape: tuple[int, int], path: Path, where: str) -> np.ndarray:
    """A track of finite numbers, (frames, *shape), as float64."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape[1:] != shape or value.ndim != 3:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ItesError(f"{path}: {where}: found {found}, expected (frames, {shape[0]}, {shape[1]}) of floats")
    if not len(value):
        raise ItesError(f"{path}: {where}: no frame")
    if not np.isfinite(value).all():
        frame = int(np.argwhere(~np.isfinite(value))[0][0])
        raise ItesError(f"{path}: {where}: NaN or infinite coordinate at frame {frame}; fetch the file again")
    return value.astype(np.float64)


def _cameras(folder: Path) -> tuple[list[Arrays], dict[str, list[Arrays]]]:
    """Lens of each camera, and for each subject where the cameras stand: centre (metres) and axes (columns).

    World to camera on row vectors is ``(points - centre) @ axes``.
    """
    path = folder / CAMERA_FILE
    if not path.is_file():
        path = Path(__file__).with_name(CAMERA_FILE)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        lenses = [
            {k: _numbers(c[k], n) for k, n in (("focal", 2), ("centre", 2), ("radial", 3))} for c in stored["cameras"]
        ]
        eyes = {
            subject: [
                {"axes": _matrix(_numbers(e["orientation"], 4)), "centre": _numbers(e["translation"], 3) / 1000}
                for e in extrinsics
            ]
            for subject, extrinsics in stored["subjects"].items()
        }
        if any(len(e) != len(lenses) for e in eyes.values()):
            raise ValueError("a subject with another number of cameras than there are lenses")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ItesError(f"{path}: not a camera file ({error!r:.80}); its layout is that of {CAMERA_FILE}") from error
    return lenses, eyes


def _numbers(value: Any, count: int) -> np.ndarray:
    numbers = np.array(value, dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {count} numbers")
    return numbers


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion, scalar first: its columns are the camera's axes in the world."""
    length = np.linalg.norm(quaternion)
    if abs(length - 1) > 0.01:
        raise ValueError("an orientation that is no unit quaternion")
    w, x, y, z = quaternion / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def _check(points: np.ndarray, pixels: np.ndarray, lens: Arrays, tolerance: float, where: str) -> None:
    """Refuse 2D joints that are not where the camera sees the 3D joints."""
    error = np.inf
    if points[..., 2].min() > 0:
        image = points[..., :2] / points[..., 2:]
        r2 = (image**2).sum(-1, keepdims=True)
        k1, k2, k3 = lens["radial"]  # the tangential terms move a joint by a fraction of a pixel here
        expected = image * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) * lens["focal"] + lens["centre"]
        error = float(np.linalg.norm(expected - pixels, axis=-1).mean())
    if not error <= tolerance:
        raise ItesError(
            f"{where}: 2D joints lie {error:.0f} pixels from the projected 3D joints, expected at most "
            f"{tolerance:.0f}; cameras and files do not fit together"
        )
