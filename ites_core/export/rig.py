"""A jointed body out of 3D poses: constant bones and a rotation for every joint and frame (chapter 7).

Animation programs want bones that keep their lengths. The rig takes each bone's median length, stands in a T-pose
facing +z, and turns every joint so that the bones point where the lifted ones do: exactly for a joint with one child,
by least squares for the hip and the thorax, which have three. A turn about a bone's own axis shows in no skeleton of
points; the least one is taken. The rig's frame is y up, z towards the camera, metres.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ites_core.errors import ItesError
from ites_core.lifting.lift import Lifted
from ites_core.skeleton import H36M17, Skeleton

UPRIGHT = np.array([1.0, -1.0, -1.0])  # camera frame (y down, z away) to the rig's (y up, z towards the camera)
MOST_FRAMES = 500_000  # that are written where a format wants every frame
FPS = 25.0  # of a film whose rate is unknown

# Where the bone to each joint points in the T-pose.
REST = np.array(
    [
        (0, 0, 0), (-1, 0, 0), (0, -1, 0), (0, -1, 0), (1, 0, 0), (0, -1, 0), (0, -1, 0), (0, 1, 0), (0, 1, 0),
        (0, 1, 0), (0, 1, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0), (-1, 0, 0), (-1, 0, 0), (-1, 0, 0),
    ],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Rig:
    """One person's motion as rotations (chapter 7).

    Attributes:
        name: of the person.
        offsets: (17, 3) metres, from each joint's parent in the T-pose; the root's is 0.
        turns: (F, 17, 4) unit quaternions (x, y, z, w) within the parent's frame, acting on column vectors.
        root: (F, 3) metres.
        frame: (F,) numbers of the frames, rising; some may lack.
        fps: frames a second.
        skeleton: the joint set.
    """

    name: str
    offsets: np.ndarray
    turns: np.ndarray
    root: np.ndarray
    frame: np.ndarray
    fps: float
    skeleton: Skeleton = H36M17

    @property
    def seconds(self) -> np.ndarray:
        """(F,) time of each frame, the first at 0."""
        return (self.frame - self.frame[0]) / self.fps

    def positions(self) -> np.ndarray:
        """Forward kinematics: (F, 17, 3) metres, y up."""
        places, whole = [self.root], [Rotation.from_quat(self.turns[:, 0])]
        for joint in range(1, len(self.skeleton)):
            parent = self.skeleton.parents[joint]
            places.append(places[parent] + whole[parent].apply(self.offsets[joint]))
            whole.append(whole[parent] * Rotation.from_quat(self.turns[:, joint]))
        return np.stack(places, axis=1)

    def without_gaps(self) -> Rig:
        """The same with a pose for every frame; between two that are known, turns and places are interpolated.

        Raises:
            ItesError: more than MOST_FRAMES from the first to the last.
        """
        if self.frame[-1] - self.frame[0] >= MOST_FRAMES:
            raise ItesError(
                f"{self.name}: found frames {self.frame[0]} to {self.frame[-1]}, expected at most {MOST_FRAMES}; "
                "split the film, or write .glb, which needs no frame between"
            )
        every = np.arange(self.frame[0], self.frame[-1] + 1)
        if len(every) == len(self.frame):
            return self
        turns = np.stack(
            [
                Slerp(self.frame, Rotation.from_quat(self.turns[:, j]))(every).as_quat()
                for j in range(len(self.skeleton))
            ],
            axis=1,
        )
        root = np.stack([np.interp(every, self.frame, axis) for axis in self.root.T], axis=1)
        return Rig(self.name, self.offsets, turns, root, every, self.fps, self.skeleton)


def rigs(lifted: Lifted, person: int | None = None, most: int = 64) -> list[Rig]:
    """The people of a film, each with a motion; or of photographs, each with one pose, in a row.

    In a film, a person moves sideways and up as his picture does, at the metres a pixel that his size gives; the motion
    towards the camera is unknown and left out. Everybody's lowest ankle stands on the floor, y = 0.

    Args:
        lifted: poses.
        person: only this one.
        most: people, at most.

    Raises:
        ItesError: no such person, more people than ``most``.
    """
    done = lifted.done
    numbers = lifted.person if lifted.film else np.arange(len(lifted))
    whom = [n for n in np.unique(numbers[done]) if person is None or n == person]
    if not whom:
        there = np.unique(numbers[done])
        raise ItesError(f"person {person}: not among those lifted ({there.min()} to {there.max()}); choose one of them")
    if len(whom) > most:
        raise ItesError(f"{lifted.source}: found {len(whom)} people, expected at most {most}; choose one with --person")
    made = []
    start = float(lifted.picture[np.flatnonzero(done & (numbers == whom[0]))[0], 0, 0])
    for place, number in enumerate(whom):
        rows = np.flatnonzero(done & (numbers == number))
        rows = rows[np.argsort(lifted.frame[rows], kind="stable")]
        rows = rows[np.unique(lifted.frame[rows], return_index=True)[1]]
        pose = lifted.pose[rows].double().numpy() * UPRIGHT
        root = np.zeros((len(rows), 3))
        if lifted.film:
            pixels = lifted.picture[rows, 0].double().numpy() - [start, 0.0]
            root[:, :2] = pixels * np.median(lifted.metres_per_pixel[rows]) * UPRIGHT[:2]
        else:
            root[:, 0] = 1.2 * place
        made.append(make_rig(f"person {number}", pose, root, lifted.frame[rows], lifted.fps or FPS, lifted.skeleton))
    return made


def make_rig(
    name: str, pose: np.ndarray, root: np.ndarray, frame: np.ndarray, fps: float, skeleton: Skeleton = H36M17
) -> Rig:
    """Rig of poses (F, 17, 3), y up and root-relative, whose root is at (F, 3); the lowest ankle is put at y = 0."""
    child, parent = np.arange(1, len(skeleton)), np.array(skeleton.parents[1:])
    bones = np.zeros_like(pose)
    bones[:, child] = pose[:, child] - pose[:, parent]
    offsets = REST * np.median(np.linalg.norm(bones, axis=-1), axis=0)[:, None]
    whole: list[Rotation] = []
    turns = []
    for joint in range(len(skeleton)):
        above = skeleton.parents[joint]
        carried = whole[above] if above >= 0 else Rotation.identity(len(pose))
        children = [c for c in range(len(skeleton)) if skeleton.parents[c] == joint]
        if len(children) > 1:
            now = _fit(offsets[children], bones[:, children])
        elif children:
            now = _shortest(carried.apply(REST[children[0]]), bones[:, children[0]]) * carried
        else:
            now = carried
        whole.append(now)
        turns.append(_continuous((carried.inv() * now).as_quat()))
    rig = Rig(name, offsets, np.stack(turns, axis=1), root.copy(), frame, fps, skeleton)
    ankles = [skeleton.joints.index(a) for a in ("RAnkle", "LAnkle")]
    rig.root[:, 1] -= rig.positions()[:, ankles, 1].min()
    return rig


def _fit(rest: np.ndarray, now: np.ndarray) -> Rotation:
    """The rotations (F) that bring the vectors (C, 3) nearest to those of each frame (F, C, 3)."""
    fitted = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # vectors in one line leave a turn free: any will do
        for vectors in now:
            usable = np.linalg.norm(vectors, axis=-1).max() > 1e-9 and np.linalg.norm(rest, axis=-1).max() > 1e-9
            fitted.append(Rotation.align_vectors(vectors, rest)[0] if usable else Rotation.identity())
    return Rotation.concatenate(fitted)


def _shortest(start: np.ndarray, end: np.ndarray) -> Rotation:
    """The least rotations (F) that turn unit vectors (F, 3) into the directions of others; none for zero vectors."""
    length = np.linalg.norm(end, axis=-1, keepdims=True)
    target = np.where(length > 1e-9, end / np.maximum(length, 1e-9), start)
    cosine = (start * target).sum(-1)
    quaternion = np.concatenate([np.cross(start, target), 1 + cosine[:, None]], axis=-1)
    opposite = cosine < -1 + 1e-9  # half a turn about any axis across
    across = np.cross(start, np.where(np.abs(start[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    quaternion[opposite] = np.concatenate([across, np.zeros((len(start), 1))], axis=-1)[opposite]
    return Rotation.from_quat(quaternion)


def _continuous(turns: np.ndarray) -> np.ndarray:
    """The same rotations, each quaternion on the side of the one before: q and -q are one rotation."""
    same = (turns[1:] * turns[:-1]).sum(-1) >= 0
    sign = np.cumprod(np.where(np.concatenate([[True], same]), 1.0, -1.0))
    return turns * sign[:, None]
