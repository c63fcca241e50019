"""How large a person is in the picture, and where its unseen joints are, from the joints that are seen (chapter 7).

**Size.** A person in a photograph may be near or far. Bones tell: seen askew they only get shorter, so the segments
that look longest for their kind are nearly face on. Each of 12 segments is divided by its mean length in space; the
largest quotient is dropped, since a stray keypoint makes a segment long, and the next four are averaged. On test
views of CMU recordings this tells the size better than the hip-to-head distance or the root mean square distance of the
joints, which shrink when a person bends or sits; ``results/lift/size.json`` has the figures.

**Unseen joints.** The 2D poses of the training set, brought to one size, have a mean and a covariance. Given the seen
joints, the others are put at their conditional mean, the best linear guess. Where the person is in the picture, and so
where an unseen root is, comes from the seen joints too: the guess allows for any shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

FILE = Path(__file__).with_name("prior.safetensors")
SEGMENTS = tuple(
    (H36M17.joints.index(a), H36M17.joints.index(b))
    for a, b in (
        ("RHip", "RKnee"), ("RKnee", "RAnkle"), ("LHip", "LKnee"), ("LKnee", "LAnkle"), ("LShoulder", "LElbow"),
        ("LElbow", "LWrist"), ("RShoulder", "RElbow"), ("RElbow", "RWrist"), ("Hip", "Thorax"), ("Thorax", "Head"),
        ("LShoulder", "RShoulder"), ("RHip", "LHip"),
    )
)  # fmt: skip
DROPPED, AVERAGED = 1, 4  # of the quotients in falling order
FEWEST = 3  # segments that a size is taken from
NOISE = 0.006  # units: what keypoints jitter by, 0.03 of the hip-to-head distance
ANYWHERE = 10.0  # units: the shift that is allowed for


def segment_lengths(points: np.ndarray) -> np.ndarray:
    """Lengths (..., 12) of SEGMENTS of poses (..., 17, 2 or 3); NaN where an end is."""
    a, b = (list(ends) for ends in zip(*SEGMENTS, strict=True))
    return np.linalg.norm(points[..., b, :] - points[..., a, :], axis=-1)


@dataclass(frozen=True)
class ShapePrior:
    """What bodies look like in pictures, in units: hip to head is 1/5 on average (chapter 7).

    Attributes:
        mean: (34,) of the 17 joints, root at the origin, each view brought to one size.
        covariance: (34, 34).
        lengths: (12,) mean lengths of SEGMENTS in space, metres; only their proportions matter.
        size: the mean over training views of what :meth:`measure` gives.
    """

    mean: np.ndarray
    covariance: np.ndarray
    lengths: np.ndarray
    size: float

    @classmethod
    @cache
    def packaged(cls) -> ShapePrior:
        """The prior of the package, fitted to CMU's training views (:mod:`ites_core.lifting.fit`)."""
        return cls.read(FILE)

    @classmethod
    def read(cls, path: Path) -> ShapePrior:
        """Read a prior that :meth:`write` wrote.

        Raises:
            ItesError: missing or damaged file.
        """
        try:
            t = load_file(path)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise ItesError(f"{path}: not a readable shape prior ({error}); install ites_core again") from error
        for name, shape in {"mean": (34,), "covariance": (34, 34), "lengths": (12,), "size": (1,)}.items():
            if name not in t or t[name].shape != shape or t[name].dtype != np.float64 or not np.isfinite(t[name]).all():
                raise ItesError(f"{path}: {name}: expected {shape} finite numbers; install ites_core again")
        return cls(t["mean"], t["covariance"], t["lengths"], float(t["size"][0]))

    def write(self, path: Path) -> None:
        """Write as safetensors."""
        save_file(
            {
                "mean": self.mean,
                "covariance": self.covariance,
                "lengths": self.lengths,
                "size": np.array([self.size]),
            },
            path,
        )

    def measure(self, joints: np.ndarray) -> np.ndarray:
        """Picture size of each person, in the unit of the joints for one metre of body.

        Args:
            joints: (M, 17, 2), NaN where a joint is unseen.

        Returns:
            (M,); NaN where fewer than FEWEST segments are seen, or where they have no length.
        """
        quotient = segment_lengths(joints) / self.lengths
        seen = np.isfinite(quotient).sum(axis=1)
        ordered = -np.sort(-np.where(np.isfinite(quotient), quotient, -1.0), axis=1)  # unseen ones last
        place = np.arange(ordered.shape[1])
        last = np.minimum(seen, DROPPED + AVERAGED)
        taken = (place >= np.minimum(DROPPED, last - 2)[:, None]) & (place < last[:, None])
        total = np.where(taken, ordered, 0.0).sum(axis=1)
        measured = total / np.maximum(taken.sum(axis=1), 1)
        return np.where((seen >= FEWEST) & (measured > 0), measured, np.nan)

    def scale(self, joints: np.ndarray) -> np.ndarray:
        """Factor (M,) that brings each person to the training set's size: units a pixel; NaN where unknown."""
        return self.size / self.measure(joints)

    def complete(self, joints: np.ndarray) -> np.ndarray:
        """Put unseen joints where the seen ones let expect them.

        Args:
            joints: (M, 17, 2) in units, anywhere in the plane; NaN where unseen. At least one joint a person is seen.

        Returns:
            (M, 17, 2) without NaN; seen joints are returned as they came.
        """
        filled = joints.copy()
        hidden = ~np.isfinite(joints).all(axis=-1)
        free = self.covariance + ANYWHERE**2 * np.kron(np.ones((17, 17)), np.eye(2))
        for pattern in np.unique(hidden[hidden.any(axis=1)], axis=0):
            people = np.flatnonzero((hidden == pattern).all(axis=1))
            gone = np.repeat(pattern, 2)
            inner = free[np.ix_(~gone, ~gone)] + NOISE**2 * np.eye(int((~gone).sum()))
            weights = np.linalg.solve(inner, free[np.ix_(~gone, gone)])
            flat = joints[people].reshape(len(people), 34)
            centre = flat[:, ~gone].reshape(len(people), -1, 2).mean(axis=1, keepdims=True)  # keeps numbers small
            mean = self.mean.reshape(17, 2)
            offset = (joints[people] - centre - mean).reshape(len(people), 34)[:, ~gone]
            guess = mean[pattern] + (offset @ weights).reshape(len(people), -1, 2) + centre
            filled[np.ix_(people, np.flatnonzero(pattern))] = guess
        return filled


def fit_prior(image: np.ndarray, pose: np.ndarray) -> ShapePrior:
    """Fit the prior to views of a training set.

    Args:
        image: (M, 17, 2) normalised 2D input, units.
        pose: (M, 17, 3) 3D truth, for the proportions of the segments alone.

    Each view counts twice, once as it is and once mirrored with left and right exchanged: bodies are symmetric.
    """
    lengths = segment_lengths(pose).mean(axis=0)
    for left, right in ((2, 0), (3, 1), (4, 6), (5, 7)):
        lengths[[left, right]] = lengths[[left, right]].mean()
    draft = ShapePrior(np.zeros(34), np.eye(34), lengths, 1.0)
    measured = draft.measure(image)
    size = float(measured.mean())
    one_size = image * (size / measured)[:, None, None]
    both = np.concatenate([one_size, one_size[:, list(H36M17.mirror)] * np.array([-1.0, 1.0])]).reshape(-1, 34)
    return ShapePrior(both.mean(axis=0), np.cov(both.T), lengths, size)
