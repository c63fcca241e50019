"""Detected people as every reader returns them, and tracks of people through a film (chapter 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ites_core.data.archive import is_unicode
from ites_core.data.joint_sets import KeypointSet
from ites_core.errors import ItesError

FARTHEST = 1e9  # pixels: beyond, a coordinate is a fault of the file
UNKNOWN = -1  # the number of a person whom nobody has followed yet


@dataclass(frozen=True)
class People:
    """M people in photographs or frames of a film, validated (chapter 7).

    Attributes:
        keypoints: (M, K, 2) float64, pixels, x right, y down; NaN where a keypoint is missing.
        score: (M, K) float64, confidence of each keypoint, 0 where it is missing.
        joints: the set of the K keypoints.
        frame: (M,) int64, number of the frame, or of the photograph.
        person: (M,) int64, who it is, the same number through a film; UNKNOWN before :func:`follow`.
        images: a name for each frame number that occurs, such as a file name.
        film: whether frames follow one another in time.
        size: (width, height) of the pictures in pixels; None if unknown or not all alike.
        fps: frames a second; None if unknown.
        source: file, for messages.

    Raises:
        ItesError: nobody in it, a wrong shape, a coordinate that is half missing or farther than FARTHEST, a negative
            or infinite score.
    """

    keypoints: np.ndarray
    score: np.ndarray
    joints: KeypointSet
    frame: np.ndarray
    person: np.ndarray
    images: dict[int, str]
    film: bool = False
    size: tuple[float, float] | None = None
    fps: float | None = None
    source: str = "memory"

    def __post_init__(self) -> None:
        m, k = len(self.keypoints), len(self.joints)
        if m == 0:
            raise ItesError(f"{self.source}: found no person; expected at least one with {k} keypoints")
        for name, shape in (("keypoints", (m, k, 2)), ("score", (m, k)), ("frame", (m,)), ("person", (m,))):
            found = getattr(self, name).shape
            if found != shape:
                raise ItesError(f"{self.source}: {name}: found shape {found}, expected {shape}")
        if not is_unicode(self.images.values()):
            raise ItesError(f"{self.source}: a picture's name is no Unicode text; rename it and export again")
        for fault, what in (
            (np.isinf(self.keypoints).any(axis=-1), "an infinite coordinate"),
            ((np.abs(self.keypoints) > FARTHEST).any(axis=-1), f"a coordinate beyond {FARTHEST:g} pixels"),
            (np.isnan(self.keypoints).sum(axis=-1) == 1, "NaN in one coordinate of two"),
            (np.isinf(self.score) | (self.score < 0), "a negative or infinite score"),
        ):
            if fault.any():
                i, j = np.argwhere(fault)[0]
                raise ItesError(
                    f"{self.source}: person {i}, keypoint {self.joints.joints[j]}: found {what}; "
                    "expected pixels and a score of at least 0, or NaN in both where a keypoint is missing"
                )
        object.__setattr__(self, "score", np.where(np.isnan(self.keypoints).any(-1), 0.0, np.nan_to_num(self.score)))

    def __len__(self) -> int:
        return len(self.keypoints)

    def take(self, index: np.ndarray | Sequence[int]) -> People:
        """Some of the people."""
        return replace(
            self,
            keypoints=self.keypoints[index],
            score=self.score[index],
            frame=self.frame[index],
            person=self.person[index],
        )


def follow(people: People, reach: float = 0.5, memory: int = 10) -> np.ndarray:
    """Number the people of a film so that one person keeps one number.

    From frame to frame, people are matched so that the sum of their mean keypoint distances is smallest. A match
    farther than ``reach`` of the person's box diagonal is refused, and the person gets a new number.

    Args:
        people: of a film.
        reach: largest distance, in diagonals of the box around the person.
        memory: frames for which somebody who is not seen is remembered.

    Returns:
        (M,) int64 numbers from 0 on, in the order of appearance.
    """
    points = np.where((people.score > 0)[..., None], people.keypoints, np.nan)
    number = np.full(len(people), UNKNOWN, dtype=np.int64)
    last: dict[int, tuple[int, int]] = {}  # number -> (frame, index) where it was seen last
    following = 0
    for frame in np.unique(people.frame):
        here = np.flatnonzero(people.frame == frame)
        known = [n for n, (seen, _) in last.items() if frame - seen <= memory]
        if known and len(here):
            before = points[[last[n][1] for n in known]]
            cost = _distances(before, points[here])
            for a, b in zip(*linear_sum_assignment(np.where(cost < reach, cost, 1e6)), strict=True):
                if cost[a, b] < reach:
                    number[here[b]] = known[a]
        for index in here:
            if number[index] == UNKNOWN:
                number[index] = following
                following += 1
            last[int(number[index])] = (int(frame), int(index))
    return number


def _distances(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Mean distance of the keypoints that both have, by box diagonal: (A, K, 2), (B, K, 2) to (A, B)."""
    apart = np.linalg.norm(before[:, None] - now[None], axis=-1)
    both = np.isfinite(apart)
    mean = np.where(both, apart, 0.0).sum(-1) / np.maximum(both.sum(-1), 1)
    low = np.nanmin(np.where(np.isfinite(before), before, np.inf), axis=1)
    high = np.nanmax(np.where(np.isfinite(before), before, -np.inf), axis=1)
    diagonal = np.maximum(np.linalg.norm(high - low, axis=-1), 1e-9)[:, None]
    return np.where(both.any(-1), mean / diagonal, np.inf)
