"""2D keypoints of annotators and detectors in H36M17's joints: COCO photographs, an OpenPose clip (chapter 5).

Each set of keypoints becomes H36M17 by one matrix of :mod:`ites_core.data.joint_sets`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ites_core.camera import Intrinsics
from ites_core.data.archive import _field, _read_npz
from ites_core.data.joint_sets import BODY25B, BODY25B_TO_H36M17, COCO17, COCO17_TO_H36M17
from ites_core.data.recorded import ViewArchive
from ites_core.errors import ItesError

COCO_DISTANCE = 5.0  # metres, assumed
COCO_SIZE = 0.485  # metres: root mean square distance of the joints to the hip in pictures, mean of our CMU views
MIN_SIZE = 1.0  # pixels, the same mean distance below which a person in a photograph is a dot
MIN_SCORE = 0.3  # OpenPose's confidence, below which a keypoint counts as not found


def read_coco_keypoints(path: str | Path) -> ViewArchive:
    """People in COCO photographs, 2D only. Chapter 5.

    Nobody knows how far from the camera a person in a photograph stood, nor with which focal length it was taken: the
    picture of a person is known up to its size. Each person is therefore put to the same size as seen from 5 m: the
    root goes to the principal point, and the root mean square distance of the 17 joints to it becomes
    ``COCO_SIZE / COCO_DISTANCE``. The focal length cancels, so none is assumed. What is lost is that a crouching person
    is smaller than a standing one.

    Args:
        path: npz with ``keypoints`` (people, 17, 3): x, y in pixels, y down, and COCO's visibility (0 not marked,
            1 marked though hidden, 2 visible); ``image_id``, ``is_val``, ``size_ambiguous`` (people,); ``joint_names``.

    Returns:
        ``pose`` None. People whose needed keypoints are all marked, without those of ambiguous picture size; one
        sequence an image; ``test`` is COCO's validation set.

    Raises:
        ItesError: missing or damaged file or field, wrong shape or joint names, nobody left.

    Source: Lin et al., "Microsoft COCO", ECCV 2014.
    """
    path = Path(path)
    arrays = _read_npz(path)
    keypoints = _field(arrays, path, "keypoints", "iuf", 3)
    _check_names(arrays, path, "joint_names", COCO17)
    people = len(keypoints)
    image_id = _field(arrays, path, "image_id", "iu", 1)
    is_val = _field(arrays, path, "is_val", "b", 1)
    ambiguous = _field(arrays, path, "size_ambiguous", "b", 1)
    if keypoints.shape != (people, 17, 3) or not len(image_id) == len(is_val) == len(ambiguous) == people:
        raise ItesError(
            f"{path}: found keypoints {keypoints.shape} and {len(image_id)} images, expected (people, 17, 3)"
        )
    if not np.isfinite(keypoints).all():
        raise ItesError(f"{path}: keypoints: NaN or infinite value; expected pixels, and 0 where nothing is marked")
    needed = COCO17_TO_H36M17.any(axis=0)
    keep = (keypoints[:, needed, 2] >= 1).all(axis=1) & ~ambiguous
    joints = COCO17_TO_H36M17 @ keypoints[keep, :, :2].astype(np.float64)
    offset = joints - joints[:, :1]
    size = np.sqrt((offset**2).sum(-1).mean(-1))
    real = size > MIN_SIZE  # all keypoints in one place are no person
    if not real.any():
        raise ItesError(f"{path}: keypoints: found {int(keep.sum())} complete people of {people}, none above a pixel")
    image = offset[real] / size[real, None, None] * (COCO_SIZE / COCO_DISTANCE)
    images, first, sequence = np.unique(image_id[keep][real], return_index=True, return_inverse=True)
    names = tuple(str(i) for i in images)
    return ViewArchive(
        image=torch.from_numpy(image.astype(np.float32)),
        pose=None,
        sequence=torch.from_numpy(sequence.astype(np.int64)),
        camera=torch.zeros(len(image), dtype=torch.int64),
        names=names,
        subject=names,  # hence an image is never half in training, half in validation
        action=("photograph",) * len(names),
        split=tuple("test" if val else "train" for val in is_val[keep][real][first]),
        mean_distance=COCO_DISTANCE,
        source=str(path),
        sized=True,
    )


def read_openpose_clip(path: str | Path, min_score: float = MIN_SCORE) -> ViewArchive:
    """A clip seen by several calibrated cameras: OpenPose's BODY_25B detections and triangulated 3D. Chapter 5.

    Lens distortion is removed. The 3D is triangulated from the same detections, hence a reference, no ground truth.

    Args:
        path: npz with ``keypoints2d`` (cameras, frames, 25, 3): x, y in pixels and score; ``joints3d_body25b``
            (frames, 25, 3) metres in the world; for each camera ``K`` (3, 3), ``dist`` (4,: k1 k2 p1 p2 of OpenCV),
            ``R`` (3, 3) and ``t`` (3,), a point in the camera frame being R x + t; ``body25b_names``.
        min_score: a view is kept if each needed keypoint has at least this score.

    Returns:
        One sequence, split ``test``; ``camera`` counts the cameras; views ordered by camera, frame.

    Raises:
        ItesError: missing or damaged file or field, wrong shape or joint names, numbers that are not finite, a joint
            behind a camera, no view left.

    Source: Cao et al., "OpenPose", TPAMI 2021; distortion model of Brown, 1971, in OpenCV's form.
    """
    path = Path(path)
    arrays = _read_npz(path)
    _check_names(arrays, path, "body25b_names", BODY25B)
    keypoints = _field(arrays, path, "keypoints2d", "f", 4)
    cameras, frames = keypoints.shape[:2]
    shapes = {
        "keypoints2d": (cameras, frames, 25, 3), "joints3d_body25b": (frames, 25, 3), "K": (cameras, 3, 3),
        "dist": (cameras, 4), "R": (cameras, 3, 3), "t": (cameras, 3),
    }  # fmt: skip
    fields = {name: _field(arrays, path, name, "f", len(shape)).astype(np.float64) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        if fields[name].shape != shape or not shape[0] or not np.isfinite(fields[name]).all():
            raise ItesError(f"{path}: {name}: found shape {fields[name].shape}, expected {shape} of finite numbers")
    joints = BODY25B_TO_H36M17 @ fields["joints3d_body25b"]
    needed = BODY25B_TO_H36M17.any(axis=0)
    images, poses, index, depths = [], [], [], []
    for c in range(cameras):
        keep = (fields["keypoints2d"][c, :, needed, 2] >= min_score).all(axis=0)
        fx, fy, cx, cy = fields["K"][c][[0, 1, 0, 1], [0, 1, 2, 2]]
        if not (fx > 0 and fy > 0):
            raise ItesError(f"{path}: K: camera {c}: found focal lengths {fx:.4g} and {fy:.4g}, expected positive")
        pixels = torch.from_numpy(fields["keypoints2d"][c, keep, :, :2])
        seen = undistort(Intrinsics(fx, fy, cx, cy).to_image(pixels).numpy(), fields["dist"][c])
        points = joints[keep] @ fields["R"][c].T + fields["t"][c]
        images.append(BODY25B_TO_H36M17 @ seen)
        poses.append(points - points[:, :1])
        index.append(np.full(len(points), c))
        depths.append(points[..., 2])
    depth = np.concatenate(depths)
    if not len(depth) or depth.min() <= 0:
        raise ItesError(f"{path}: {'a joint lies behind a camera' if len(depth) else 'no view has all joints'}")
    return ViewArchive(
        image=torch.from_numpy(np.concatenate(images).astype(np.float32)),
        pose=torch.from_numpy(np.concatenate(poses).astype(np.float32)),
        sequence=torch.zeros(len(depth), dtype=torch.int64),
        camera=torch.from_numpy(np.concatenate(index)),
        names=(path.stem,),
        subject=(path.stem,),
        action=("clip",),
        split=("test",),
        mean_distance=float(depth[:, 0].mean()),
        source=str(path),
    )


def undistort(image: np.ndarray, distortion: np.ndarray, steps: int = 10) -> np.ndarray:
    """Where a lens without distortion would have put each point.

    Args:
        image: (..., 2) image coordinates, focal length 1.
        distortion: (4,) k1, k2 (radial) and p1, p2 (tangential), as OpenCV defines them.
        steps: of the fixed-point iteration; each gains a digit or more for lenses that people are filmed with.

    Returns:
        (..., 2), such that distorting it gives ``image``.

    Source: Brown's model. Chapter 5.
    """
    k1, k2, p1, p2 = distortion
    ideal = image
    for _ in range(steps):
        x, y = ideal[..., 0], ideal[..., 1]
        r2 = x * x + y * y
        shift = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1)
        ideal = (image - shift) / (1 + k1 * r2 + k2 * r2 * r2)[..., None]
    return ideal


def _check_names(arrays: dict[str, np.ndarray], path: Path, field: str, expected: tuple[str, ...]) -> None:
    found = tuple(str(name) for name in _field(arrays, path, field, "U", 1))
    if found != expected:
        raise ItesError(f"{path}: {field}: found {', '.join(found[:4])}, ...; expected {', '.join(expected[:4])}, ...")
