"""From detected people to 3D poses: map, size, complete, lift (chapter 7).

The contract of normalisation, in order:

1. the keypoints become the 17 joints of H36M17 (:mod:`ites_core.data.joint_sets`);
2. each person is brought to the size of the training set, by the bones (:mod:`ites_core.lifting.prior`), or, with
   ``size="camera"``, stays as large as the camera sees him;
3. unseen joints are completed, and flagged;
4. the root goes to the origin, and the network sees what it was trained on: a person about ``t`` units away.

With the size taken from the person no focal length and no principal point is needed: both cancel. What is lost is
where in the room the person stands, and the perspective of a camera that is nearer or farther than the training set's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ites_core.camera import CAMERA_DISTANCE, H36M_LIKE, Intrinsics, Normalisation
from ites_core.checkpoint import Run, RunFolder
from ites_core.data.joint_sets import COMPLETED
from ites_core.errors import ItesError
from ites_core.lifting.people import People, follow
from ites_core.lifting.prior import ShapePrior
from ites_core.lifting.read import Format, read_people
from ites_core.lifting.read_tables import people_of_array
from ites_core.skeleton import H36M17, Skeleton

WEIGHTS = "ites-beyond"
MIN_SCORE = 0.3  # confidence below which a keypoint counts as missing
FEWEST_JOINTS = 8  # of the 17, from which a person is lifted; results/lift/completion.json shows what fewer cost
LARGEST = 1e4  # units from one seen joint to another: beyond, the size is that of no person
FOCAL = H36M_LIKE.fx / (2 * H36M_LIKE.cx)  # focal length of an unknown camera, in longer sides of its picture
BATCH = 256  # poses a forward pass: larger ones fall out of a processor's cache
BLOCK = 32_768  # people at a time: what the work takes beside keypoints and answers does not grow with their number

SizeRule = Literal["person", "camera"]


@dataclass(frozen=True)
class Lifted:
    """3D poses of M people; whoever shows too few joints is kept, with NaN (chapter 7).

    Attributes:
        pose: (M, 17, 3) float32, root-relative, camera frame (x right, y down, z away), metres of a body of the
            training set's size.
        picture: (M, 17, 2) float32, the joints in pixels as the network saw them, completed ones included.
        score: (M, 17) float32, confidence of each joint, 0 where it was completed.
        origin: (M, 17) uint8, where each joint comes from: index into ``joint_sets.ORIGINS``.
        metres_per_pixel: (M,) float32 at the person's depth.
        frame, person: (M,) int64, see :class:`~ites_core.lifting.people.People`.
        images: name of each frame.
        film: whether frames follow one another.
        fps: frames a second; None if unknown.
        skeleton: the joint set of the poses.
        source: of the keypoints.
        weights: what lifted them.
    """

    pose: Tensor
    picture: Tensor
    score: np.ndarray
    origin: np.ndarray
    metres_per_pixel: np.ndarray
    frame: np.ndarray
    person: np.ndarray
    images: dict[int, str]
    film: bool
    fps: float | None
    skeleton: Skeleton
    source: str
    weights: str

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def done(self) -> np.ndarray:
        """(M,) bool: who was lifted."""
        return torch.isfinite(self.pose).all(dim=-1).all(dim=-1).numpy()

    @property
    def completed(self) -> np.ndarray:
        """(M, 17) bool: joints that no keypoint marks, put where the others let expect them."""
        return self.origin == COMPLETED

    def summary(self) -> str:
        """What was lifted, in a few lines."""
        done = self.done
        joints = self.completed[done]
        if self.film:
            who = _count(len(np.unique(self.person)), "person", "people")
            where = _count(len(np.unique(self.frame)), "frame", "frames")
            lines = [f"{who} in {where}: {int(done.sum())} of {_count(len(self), 'pose', 'poses')} lifted"]
        else:
            where = _count(len(np.unique(self.frame)), "picture", "pictures")
            lines = [f"{_count(len(self), 'person', 'people')} in {where}, {int(done.sum())} lifted"]
        if joints.any():
            guessed = _count(int(joints.sum()), "joint", "joints")
            whose = _count(int(joints.any(axis=1).sum()), "pose", "poses")
            lines.append(f"{guessed} of {whose} completed and flagged")
        if not done.all():
            lines.append(f"{int((~done).sum())} left out: fewer than {FEWEST_JOINTS} joints, or no size, seen")
        return "\n".join(lines)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def lift(
    source: str | Path | People | np.ndarray | Tensor,
    *,
    weights: str | Path | Lifter = WEIGHTS,
    format: Format = "auto",
    joints: str | None = None,
    min_score: float = MIN_SCORE,
    size: SizeRule = "person",
    intrinsics: Intrinsics | None = None,
    image_size: tuple[float, float] | None = None,
    film: bool | None = None,
    fps: float | None = None,
    progress: bool = False,
) -> Lifted:
    """Lift detected people to 3D. Chapter 7; on the command line ``ites lift``.

    Args:
        source: file or folder of keypoints, or an array (..., K, 2 or 3) of pixels and scores, see
            :func:`~ites_core.lifting.read_tables.people_of_array`.
        weights: name of packaged weights, folder of a run, file of `ites export onnx` (faster), or a run.
        format: of the file, see :func:`~ites_core.lifting.read.read_people`.
        joints: name of the keypoint set, where the source leaves it open.
        min_score: confidence below which a keypoint counts as missing.
        size: ``person`` brings each person to the training set's size, as photographs need it; ``camera`` keeps the
            size that the camera sees, for set-ups like the training set's, where people are some metres away.
        intrinsics: of the camera; needed for pixels that are not square, and for ``camera``, where an unknown camera is
            taken to have its principal point in the middle and a focal length of FOCAL longer sides.
        image_size: (width, height) in pixels, where the source does not say it.
        film: whether frames follow one another; None: as the source says.
        fps: frames a second; None: as the source says.
        progress: show a progress bar, if it takes longer than a second.

    Returns:
        One pose for each person of the source, in its order.

    Raises:
        ItesError: as the reader of the source; unknown weights, an option out of range, nobody who can be lifted.
    """
    if not 0 <= min_score <= 1:
        raise ItesError(f"min_score: found {min_score}, expected a confidence from 0 to 1")
    if size not in get_args(SizeRule):
        raise ItesError(f"size: found {size!r}, expected one of {', '.join(get_args(SizeRule))}")
    if fps is not None and not 0 < fps < 1e5:
        raise ItesError(f"fps: found {fps}, expected a positive number of frames a second")
    if image_size is not None and not all(np.isfinite(s) and s > 0 for s in image_size):
        raise ItesError(f"image_size: found {image_size}, expected width and height in pixels")
    people = _people(source, format, joints, image_size)
    film = people.film if film is None else film
    run, name = load_lifter(weights)
    if run.skeleton != H36M17:
        raise ItesError(f"{name}: lifts the joint set {run.skeleton.name}, expected {H36M17.name}; take other weights")
    camera = _camera(size, intrinsics, image_size or people.size, people.source)
    prior = ShapePrior.packaged()
    blocks = []
    with tqdm(total=len(people), desc="lift", unit="pose", disable=not progress, delay=1) as bar:
        for start in range(0, len(people), BLOCK):
            part = slice(start, start + BLOCK)
            seen, score, origin = people.joints.apply(people.keypoints[part], people.score[part], min_score)
            blocks.append(_lift_block(run, seen, score, origin, camera, prior, size))
            bar.update(len(seen))
    done = np.concatenate([block.done for block in blocks])
    most = max(block.most for block in blocks)
    if most >= FEWEST_JOINTS and not done.any():
        raise ItesError(
            f"{people.source}: nobody has a size: found joints in one point, or thousands of body lengths apart; "
            "expected pixels, and a focal length in pixels"
        )
    if not done.any():
        raise ItesError(
            f"{people.source}: nobody shows {FEWEST_JOINTS} of {len(H36M17)} joints with a score of {min_score} or "
            f"more (the best has {most}); lower min_score (--min-score), or check the keypoint set (--joints)"
        )
    person = people.person
    if film and (person < 0).any():
        person = follow(people)
    return Lifted(
        pose=torch.cat([block.pose for block in blocks]),
        picture=torch.cat([block.picture for block in blocks]),
        score=np.concatenate([block.score for block in blocks]),
        origin=np.concatenate([block.origin for block in blocks]),
        metres_per_pixel=np.concatenate([block.metres_per_pixel for block in blocks]),
        frame=people.frame,
        person=person,
        images=people.images,
        film=film,
        fps=fps or people.fps,
        skeleton=run.skeleton,
        source=people.source,
        weights=name,
    )


@dataclass(frozen=True)
class _Block:
    """Some people, lifted: fields of :class:`Lifted`, who was lifted, and the most joints that anybody shows."""

    pose: Tensor
    picture: Tensor
    score: np.ndarray
    origin: np.ndarray
    metres_per_pixel: np.ndarray
    done: np.ndarray
    most: int


def _lift_block(
    run: Lifter,
    seen: np.ndarray,
    score: np.ndarray,
    origin: np.ndarray,
    camera: _Pinhole,
    prior: ShapePrior,
    size: SizeRule,
) -> _Block:
    """Size, complete and lift people whose 17 joints, scores and origins are known; NaN for who shows too little."""
    unit = run.normalisation.metres_per_unit
    with np.errstate(over="ignore", invalid="ignore"):  # joints in one point, all but one, give a size of nothing
        rays = camera.rays(seen)
        there = np.isfinite(rays)
        scale = np.full(len(rays), run.normalisation.factor) if size == "camera" else prior.scale(rays)
        low, high = (np.where(there, rays, fill) for fill in (np.inf, -np.inf))
        extent = (high.max(axis=1) - low.min(axis=1)).max(axis=-1) * scale
        metres_per_pixel = (CAMERA_DISTANCE * unit * scale / camera.focal[0]).astype(np.float32)
    shown = np.isfinite(seen[..., 0]).sum(axis=1)
    sized = (extent < LARGEST) & np.isfinite(metres_per_pixel) & (metres_per_pixel > 0)
    done = (shown >= FEWEST_JOINTS) & sized
    to_units = scale[done, None, None]
    whole = prior.complete(rays[done] * to_units)
    pose = torch.full((*seen.shape[:2], 3), torch.nan)
    picture = torch.full((*seen.shape[:2], 2), torch.nan)
    ready = torch.from_numpy(done)
    pose[ready] = lift_units(run, whole) * unit
    picture[ready] = torch.from_numpy(camera.pixels(whole / to_units)).float()
    nothing = np.float32(np.nan)
    return _Block(
        pose,
        picture,
        score.astype(np.float32),
        origin,
        np.where(done, metres_per_pixel, nothing),
        done,
        int(shown.max(initial=0)),
    )


def lift_units(run: Lifter, units: np.ndarray) -> Tensor:
    """Poses (M, 17, 3) in units from complete 2D poses (M, 17, 2) at the training set's size, anywhere in the plane."""
    image = torch.from_numpy(units - units[:, H36M17.root :][:, :1]).float() / run.normalisation.factor
    return run.lift(image, batch=BATCH)


class Lifter(Protocol):
    """What lifting needs of a network: a :class:`~ites_core.checkpoint.Run` has it, and so has an ONNX file's."""

    @property
    def skeleton(self) -> Skeleton:
        """Its joint set."""

    @property
    def normalisation(self) -> Normalisation:
        """Of its training set."""

    @property
    def stage(self) -> str:
        """``"teacher"`` or ``"student"``."""

    def lift(self, image: Tensor, batch: int = BATCH) -> Tensor:
        """Image coordinates for focal length 1 (M, N, 2) to root-relative poses (M, N, 3), units."""


def load_lifter(weights: str | Path | Lifter) -> tuple[Lifter, str]:
    """What lifts: an ONNX file, a run by name or folder, or whatever is given; and what to call it.

    Raises:
        ItesError: no such file, folder or name.
    """
    if not isinstance(weights, str | Path):
        return weights, f"{weights.stage} in memory"
    if Path(weights).suffix.lower() == ".onnx":
        from ites_core.lifting.onnx_run import OnnxRun

        return OnnxRun(weights), str(weights)
    return load_run(weights)


def load_run(weights: str | Path) -> tuple[Run, str]:
    """A run by the name of packaged weights or by its folder, and what to call it.

    Raises:
        ItesError: no such folder or name.
    """
    if Path(weights).is_dir():
        return RunFolder(weights).read(), str(weights)
    import ites_core

    return ites_core.load(str(weights)), str(weights)


def _people(source: Any, format: Format, joints: str | None, image_size: tuple[float, float] | None) -> People:
    if isinstance(source, People):
        return source
    if isinstance(source, str | Path):
        return read_people(source, format, joints, image_size)
    array = source.detach().cpu().numpy() if isinstance(source, Tensor) else source
    return people_of_array(array, joints=joints, size=image_size)


@dataclass(frozen=True)
class _Pinhole:
    """Pixels to rays; without intrinsics, pixels are rays of an unknown focal length, which the size rule cancels."""

    focal: np.ndarray
    centre: np.ndarray

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels - self.centre) / self.focal

    def pixels(self, rays: np.ndarray) -> np.ndarray:
        return rays * self.focal + self.centre


def _camera(
    size: SizeRule, intrinsics: Intrinsics | None, picture: tuple[float, float] | None, source: str
) -> _Pinhole:
    if intrinsics is not None:
        if not (0 < intrinsics.fx < np.inf and 0 < intrinsics.fy < np.inf):
            raise ItesError(f"intrinsics: found focal lengths {intrinsics.fx} and {intrinsics.fy}, expected positive")
        if not np.isfinite([intrinsics.cx, intrinsics.cy]).all():
            raise ItesError(f"intrinsics: found principal point ({intrinsics.cx}, {intrinsics.cy}), expected pixels")
        return _Pinhole(np.array([intrinsics.fx, intrinsics.fy]), np.array([intrinsics.cx, intrinsics.cy]))
    if size == "person":
        return _Pinhole(np.ones(2), np.zeros(2))
    if picture is None:
        raise ItesError(
            f"{source}: size 'camera' needs a focal length or the picture's size; give --focal or --image-size"
        )
    return _Pinhole(np.full(2, FOCAL * max(picture)), np.array(picture) / 2)
