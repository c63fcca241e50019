"""A clip of calibrated cameras from its makers' files: Pose2Sim's calibration and OpenPose's detections.

Writes the archive that :func:`ites_core.data.keypoints.read_openpose_clip` reads. The 3D in it is triangulated here
from the detections, each weighted by its score: a reference, no ground truth.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from ites_core.data.joint_sets import BODY25B
from ites_core.data.keypoints import undistort
from ites_core.errors import ItesError
from ites_core.files import in_place

NUMBER = re.compile(r"(\d+)(?:_keypoints)?\.json")
KEYPOINTS = len(BODY25B)


class Cameras(NamedTuple):
    """Pinhole cameras: a world point x is seen at K d(R x + t), with the lens d of OpenCV."""

    K: np.ndarray  # (C, 3, 3)
    dist: np.ndarray  # (C, 4) k1 k2 p1 p2
    R: np.ndarray  # (C, 3, 3)
    t: np.ndarray  # (C, 3) metres
    size: np.ndarray  # (C, 2) pixels


def convert_clip(calibration: str | Path, folder: str | Path, out: str | Path) -> tuple[int, int]:
    """Write one clip as an archive; the number of cameras and of frames. Chapter 6.

    Args:
        calibration: Pose2Sim's ``Calib_*.toml``: a table a camera with ``matrix``, ``distortions``, ``rotation``
            (axis times angle), ``translation`` (metres) and ``size``.
        folder: holds one folder of OpenPose's JSON files a camera, in the order of the calibration when sorted by
            name; the number at the end of a file's name is the frame. Of several people the one with the highest
            scores is taken. Frames in which no two cameras see some joint are left out.
        out: the archive to write (.npz).

    Raises:
        ItesError: missing or damaged file, other numbers of cameras, no common frame, or the archive cannot be written.

    Source: weighted direct linear transform, Hartley and Zisserman, 2nd edition, Section 12.2.
    """
    cameras = read_calibration(calibration)
    folder, out = Path(folder), Path(out)
    views = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    views = [path for path in views if any(path.glob("*.json"))]
    if len(views) != len(cameras.K):
        raise ItesError(
            f"{folder}: found {len(views)} folders with JSON files, expected {len(cameras.K)}, one a camera"
        )
    seen = [_detections(path) for path in views]
    frames = sorted(set.intersection(*(set(one) for one in seen)))
    if not frames:
        raise ItesError(f"{folder}: no frame is in the files of all cameras")
    found = np.stack([[one[frame] for frame in frames] for one in seen])  # (C, F, 25, 3)
    focal, centre = cameras.K[:, [0, 1], [0, 1]], cameras.K[:, :2, 2]
    flat = (found[..., :2] - centre[:, None, None]) / focal[:, None, None]
    image = np.stack([undistort(f, d) for f, d in zip(flat, cameras.dist, strict=True)])
    joints = triangulate(image, found[..., 2], cameras.R, cameras.t)
    whole = np.isfinite(joints).all(axis=(1, 2))
    if not whole.any():
        raise ItesError(f"{folder}: in no frame every joint is seen by two cameras")
    with in_place(Path(out)) as beside, beside.open("wb") as file:
        np.savez_compressed(
            file,
            **cameras._asdict() | {"image_size": cameras.size},
            keypoints2d=found[:, whole].astype(np.float32),
            joints3d_body25b=joints[whole].astype(np.float32),
            body25b_names=np.array(BODY25B),
        )
    return len(cameras.K), int(whole.sum())


def triangulate(image: np.ndarray, score: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """World points from their pictures in several cameras: weighted least squares on u (Z) = X, v (Z) = Y.

    Args:
        image: (C, ..., 2) undistorted image coordinates, focal length 1.
        score: (C, ...) weights, 0 where nothing was found.
        rotation, translation: (C, 3, 3), (C, 3) of the cameras.

    Returns:
        (..., 3); NaN for points that fewer than two cameras see.
    """
    camera = np.concatenate([rotation, translation[..., None]], axis=-1)  # (C, 3, 4)
    shape = (len(camera), *[1] * (image.ndim - 2))
    rows = image[..., None] * camera[:, 2].reshape(*shape, 1, 4) - camera[:, :2].reshape(*shape, 2, 4)
    rows = np.moveaxis(rows * score[..., None, None], 0, -3)  # (..., C, 2, 4)
    whole = np.isfinite(rows).all(axis=(-3, -2, -1))  # what is not has left the range of float64 on the way
    *_, vt = np.linalg.svd(np.where(whole[..., None, None, None], rows, 0.0).reshape(*rows.shape[:-3], -1, 4))
    with np.errstate(divide="ignore", invalid="ignore"):  # a point at infinity
        points = vt[..., -1, :3] / vt[..., -1, 3:]
    points[~whole | ((score > 0).sum(axis=0) < 2)] = np.nan
    return points


def read_calibration(path: str | Path) -> Cameras:
    """The cameras of a calibration file of Pose2Sim, in its order.

    Raises:
        ItesError: missing or damaged file, no camera, a field of another shape, or a lens of another kind.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ItesError(f"{path}: not a readable TOML file ({error!r:.80})") from error
    cameras = {name: table for name, table in tables.items() if isinstance(table, dict) and "matrix" in table}
    if not cameras:
        raise ItesError(f"{path}: found no camera; expected tables with matrix, distortions, rotation, translation")
    fields: dict[str, list[np.ndarray]] = {name: [] for name in Cameras._fields}
    for name, table in cameras.items():
        if table.get("fisheye"):
            raise ItesError(f"{path}: {name}: a fisheye lens; expected one with radial and tangential distortion")
        matrix = _numbers(table, "matrix", (3, 3), path, name)
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise ItesError(f"{path}: {name}: matrix: expected positive focal lengths")
        fields["K"].append(matrix)
        fields["dist"].append(_numbers(table, "distortions", (4,), path, name))
        fields["R"].append(Rotation.from_rotvec(_numbers(table, "rotation", (3,), path, name)).as_matrix())
        fields["t"].append(_numbers(table, "translation", (3,), path, name))
        fields["size"].append(_numbers(table, "size", (2,), path, name))
    return Cameras(**{name: np.stack(values) for name, values in fields.items()})


def _numbers(table: dict[str, Any], field: str, shape: tuple[int, ...], path: Path, camera: str) -> np.ndarray:
    try:
        found = np.array(table.get(field), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.shape != shape or not np.isfinite(found).all():
        raise ItesError(f"{path}: {camera}: {field}: expected {' x '.join(map(str, shape))} finite numbers")
    return found


def _detections(folder: Path) -> dict[int, np.ndarray]:
    """Frame number -> (25, 3) pixels and score of the best person; zeros where nobody was found."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        match = NUMBER.search(file.name)
        if match is None:
            raise ItesError(f"{file}: its name does not end in a frame number")
        try:
            people = json.loads(file.read_text(encoding="utf-8"))["people"]
            arrays = [np.array(one["pose_keypoints_2d"], dtype=np.float64) for one in people]
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ItesError(f"{file}: not a file of OpenPose ({error!r:.80})") from error
        if any(one.shape != (3 * KEYPOINTS,) or not np.isfinite(one).all() for one in arrays):
            raise ItesError(f"{file}: pose_keypoints_2d: expected {3 * KEYPOINTS} numbers, BODY_25B")
        best = max(arrays, key=lambda one: one[2::3].sum(), default=np.zeros(3 * KEYPOINTS))
        found[int(match[1])] = best.reshape(KEYPOINTS, 3)
    return found
