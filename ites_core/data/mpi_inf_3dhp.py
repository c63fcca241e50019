"""The test set of MPI-INF-3DHP: six people indoors and outdoors, measured without markers (chapter 5).

Each of ``TS1`` to ``TS6`` holds ``annot_data.mat`` (MATLAB 7.3, hence HDF5): ``annot2`` (frames, 1, 17, 2) pixels,
``annot3`` (frames, 1, 17, 3) millimetres in the camera frame, ``valid_frame`` and ``activity_annotation``, one number
a frame. Its 17 joints: head top, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee,
ankle, left hip, knee, ankle, pelvis, spine, head.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ites_core.camera import Intrinsics
from ites_core.data.archive import DEFLATE_LIMIT
from ites_core.data.recorded import ViewArchive
from ites_core.errors import ItesError

# For each joint of H36M17 its place in the order above. "Neck" here is at the height of the shoulders, which H36M17
# calls Thorax, and "head" between the two ends of the head, H36M17's Neck.
JOINTS = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
ACTIVITIES = ("standing or walking", "exercise", "sitting", "reaching or crouching", "on the floor", "sports", "other")
TOLERANCE = 10.0  # pixels between the annotated 2D joints and the fitted projection, root mean square
MAX_FRAMES = 1_000_000  # the real sequences have at most 6,151


def read_mpi_inf_3dhp(folder: str | Path) -> ViewArchive:
    """The valid frames of the MPI-INF-3DHP test set, all of them split ``test``. Chapter 5.

    Poses are root-relative metres of the metric annotation (``annot3``, not ``univ_annot3``, which is scaled to one
    height). Images are (pixel - centre) / focal length, y down; both come from a least-squares fit of pixels to 3D
    joints, sequence by sequence, so no calibration is needed. The fit's residual is at most :data:`TOLERANCE` pixels.

    Args:
        folder: holds ``TS1/annot_data.mat`` and so on; the sequences that are there are read.

    Returns:
        One sequence for each person and activity, such as ``TS1/sitting``; camera 0.

    Raises:
        ItesError: h5py is not installed; no sequence there; damaged file, missing field, wrong shape, data that lies
            in another file; a valid frame whose coordinates are no numbers or behind the camera; residual too large.

    Source: Mehta et al., "Monocular 3D Human Pose Estimation In The Wild", 3DV 2017; joint order as in the data
    set's ``mpii_get_joints('relevant')``, activities as in the paper's tables.
    """
    folder = Path(folder)
    paths = [path for i in range(1, 7) if (path := folder / f"TS{i}" / "annot_data.mat").is_file()]
    if not paths:
        raise ItesError(f"{folder}: no TS1/annot_data.mat to TS6/annot_data.mat; expected the test set's folder")
    images, poses, sequence, depths = [], [], [], []
    names: list[tuple[str, str]] = []
    for path in paths:
        pixels, points, activity = _read_frames(path)
        image = fit_camera(pixels, points, str(path)).to_image(torch.from_numpy(pixels))
        for label in np.unique(activity):
            own = activity == label
            images.append(image[torch.from_numpy(own)])
            poses.append(torch.from_numpy(points[own] - points[own, :1]))
            sequence.append(torch.full((int(own.sum()),), len(names)))
            depths.append(points[own, 0, 2])
            names.append((path.parent.name, ("unknown", *ACTIVITIES)[label]))
    return ViewArchive(
        image=torch.cat(images).float(),
        pose=torch.cat(poses).float(),
        sequence=torch.cat(sequence),
        camera=torch.zeros(sum(map(len, images)), dtype=torch.int64),
        names=tuple("/".join(name) for name in names),
        subject=tuple(person for person, _ in names),
        action=tuple(action for _, action in names),
        split=("test",) * len(names),
        mean_distance=float(np.concatenate(depths).mean()),
        source=str(folder),
    )


def fit_camera(pixels: np.ndarray, points: np.ndarray, source: str, tolerance: float = TOLERANCE) -> Intrinsics:
    """Focal lengths and principal point from 2D and 3D joints: two straight lines, u = fx X/Z + cx, v = fy Y/Z + cy.

    Args:
        pixels: (F, N, 2).
        points: (F, N, 3), camera frame, any unit, all in front of the camera.
        source: file, for messages.
        tolerance: largest root mean square distance, pixels.

    Raises:
        ItesError: the residual is larger, the joints do not determine a camera, or a focal length is not positive.

    Source: linear least squares. Chapter 5.
    """
    with np.errstate(over="ignore"):  # a joint all but in the camera
        ratio = (points[..., :2] / points[..., 2:]).reshape(-1, 2)
    flat = pixels.reshape(-1, 2)
    if not np.isfinite(ratio).all():
        raise ItesError(f"{source}: a joint of annot3 lies in the camera; fetch the file again")
    focal, centre = np.zeros(2), np.zeros(2)
    for axis in range(2):
        design = np.stack([ratio[:, axis], np.ones(len(ratio))], axis=1)
        solution, _, rank, _ = np.linalg.lstsq(design, flat[:, axis], rcond=1e-6)
        if rank < 2 or not solution[0] > 0:
            raise ItesError(f"{source}: annot2 and annot3 determine no camera; is y down, and z away from the camera?")
        focal[axis], centre[axis] = solution
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused below
        residual = float(np.sqrt(((ratio * focal + centre - flat) ** 2).sum(-1).mean()))
    if not residual <= tolerance:
        raise ItesError(
            f"{source}: annot2 lies {residual:.1f} pixels from the best projection of annot3, expected at most "
            f"{tolerance:.0f}; the two do not belong together"
        )
    return Intrinsics(fx=float(focal[0]), fy=float(focal[1]), cx=float(centre[0]), cy=float(centre[1]))


def _read_frames(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Valid frames of one file in H36M17's order: pixels (F, 17, 2), metres (F, 17, 3), activity (F,), 0 if unknown."""
    try:
        import h5py  # only this reader needs it
    except ModuleNotFoundError:
        raise ItesError("reading MPI-INF-3DHP needs h5py: pip install ites-core[data]") from None
    try:
        with h5py.File(path, "r") as file:
            fields = {
                name: _dataset(file, name, path)
                for name in ("annot2", "annot3", "valid_frame", "activity_annotation")
                if name in file or name != "activity_annotation"
            }
    except ItesError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise ItesError(f"{path}: not a readable MATLAB 7.3 file ({error!r:.80}); fetch it again") from error
    frames = fields["annot2"].size // 34
    for name, width in (("annot2", 2), ("annot3", 3)):
        if fields[name].shape != (frames, 1, 17, width):
            raise ItesError(f"{path}: {name}: found shape {fields[name].shape}, expected (frames, 1, 17, {width})")
    valid = fields["valid_frame"].reshape(-1)
    activity = fields["activity_annotation"].reshape(-1) if "activity_annotation" in fields else np.zeros(frames)
    for name, values in (("valid_frame", valid), ("activity_annotation", activity)):
        if len(values) != frames:
            raise ItesError(f"{path}: {name}: found {len(values)} numbers, expected one for each of {frames} frames")
    keep = valid == 1
    if not keep.any():
        raise ItesError(f"{path}: valid_frame: no valid frame among {frames}")
    pixels = fields["annot2"][keep][:, 0, JOINTS]
    points = fields["annot3"][keep][:, 0, JOINTS] / 1000
    if not (np.isfinite(pixels).all() and np.isfinite(points).all() and (points[..., 2] > 0).all()):
        raise ItesError(
            f"{path}: a valid frame has a NaN, infinite, or a joint behind the camera; fetch the file again"
        )
    labels = np.where(np.isin(activity, range(1, len(ACTIVITIES) + 1)), activity, 0).astype(np.int64)
    return pixels, points, labels[keep]


def _dataset(file: Any, name: str, path: Path) -> np.ndarray:
    """A field's numbers as float64; refuses what would follow a link to another file, or claims impossible size."""
    link = type(file.get(name, getlink=True)).__name__ if name in file else "nothing"
    if link != "HardLink":
        raise ItesError(
            f"{path}: field {name!r}: found {link}, expected data; the file has {', '.join(list(file)[:8])}"
        )
    data = file[name]
    if type(data).__name__ != "Dataset" or data.dtype.kind not in "biuf" or data.is_virtual or data.external:
        raise ItesError(f"{path}: {name}: expected numbers stored in the file itself")
    stored = min(data.id.get_storage_size(), path.stat().st_size)  # a chunk that is not there reads as zeros
    if data.compression not in (None, "gzip") or data.scaleoffset is not None:
        raise ItesError(f"{path}: {name}: packed in another way than by gzip; refused")
    for shape in (data.shape, data.chunks or ()):
        if prod(shape) > MAX_FRAMES * 51 or prod(shape) * data.dtype.itemsize > DEFLATE_LIMIT * stored:
            raise ItesError(f"{path}: {name}: claims shape {shape} in {stored} bytes; refused")
    return np.array(data, dtype=np.float64)
