"""What a detector does to 2D keypoints: jitter, swapped limbs, outliers, missing joints (chapter 5).

The paper's "IMG" rows use 2D poses that a network found in images. Where no images are, :class:`DetectionNoise` gives
exact 2D poses the kinds of error that detectors make. Lengths are in *spans*, the distance of hip and head in the
picture, so that near and far people are treated alike. The sizes are those of the one real clip we can measure: in
the four-camera OpenPose recording, detections lie a median of 0.037 spans from the triangulated joints (quartile
0.058, 99 in 100 below 0.20).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.skeleton import Skeleton


@dataclass(frozen=True)
class DetectionNoise:
    """Errors of a 2D detector. Chapter 5.

    Attributes:
        jitter: standard deviation of a normal error in u and in v, spans.
        swap: probability that left and right of a whole limb (arms or legs) are exchanged.
        outlier: probability that a joint is somewhere else, anywhere in a square of ``outlier_reach`` around it.
        outlier_reach: half the side of that square, spans.
        missing: probability that a joint is not found. The root never is missing: everything is relative to it.

    Raises:
        ItesError: a negative size, or a probability outside [0, 1].
    """

    jitter: float = 0.03
    swap: float = 0.01
    outlier: float = 0.01
    outlier_reach: float = 0.5
    missing: float = 0.02

    def __post_init__(self) -> None:
        for name in ("swap", "outlier", "missing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ItesError(f"noise: {name}: found {getattr(self, name)}, expected a probability from 0 to 1")
        for name in ("jitter", "outlier_reach"):
            if not getattr(self, name) >= 0:
                raise ItesError(f"noise: {name}: found {getattr(self, name)}, expected at least 0 spans")

    def apply(self, image: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
        """Detections of exact 2D poses: (M, N, 2) to the same, NaN where a joint is missing.

        Args:
            image: image coordinates of any scale.
            skeleton: the joint set.
            generator: source of the errors.
        """
        m, n = image.shape[:2]
        span = (image[:, skeleton.head] - image[:, skeleton.root]).norm(dim=-1)[:, None, None]
        noisy = image.clone()
        for limb in limbs(skeleton):
            swapped = torch.rand(m, generator=generator) < self.swap
            left, right = (list(side) for side in zip(*limb, strict=True))
            both = noisy[swapped][:, left + right]
            noisy[swapped.nonzero(), torch.tensor(right + left)] = both
        noisy = noisy + self.jitter * span * torch.randn(m, n, 2, generator=generator)
        astray = torch.rand(m, n, 1, generator=generator) < self.outlier
        noisy = noisy + astray * self.outlier_reach * span * (2 * torch.rand(m, n, 2, generator=generator) - 1)
        lost = torch.rand(m, n, generator=generator) < self.missing
        lost[:, skeleton.root] = False
        return noisy.masked_fill(lost.unsqueeze(-1), torch.nan)


def limbs(skeleton: Skeleton) -> list[list[tuple[int, int]]]:
    """The (left, right) pairs of each limb, from the trunk outwards: arms and legs of the joint set."""
    found: list[list[tuple[int, int]]] = []
    for pair in sorted(skeleton.pairs, key=lambda p: p[0]):
        parent = skeleton.parents[pair[0]]
        limb = next((limb for limb in found if limb[-1][0] == parent), None)
        if limb is None:
            found.append([pair])
        else:
            limb.append(pair)
    return found


def complete(image: Tensor, skeleton: Skeleton) -> Tensor:
    """Put missing joints where their parent is: (..., N, 2) with NaN to the same without.

    The plainest of completions, and a stated one: a missing wrist lies on the elbow, as if the forearm pointed at the
    camera.

    Raises:
        ItesError: if the root is missing: then nothing is known about where the person is.
    """
    if not image[..., skeleton.root, :].isfinite().all():
        raise ItesError(f"2D input: the root joint ({skeleton.joints[skeleton.root]}) is missing; drop those frames")
    filled = image.clone()
    for parent, child in skeleton.bones:  # parents come first
        gone = ~filled[..., child, :].isfinite().all(dim=-1, keepdim=True)
        filled[..., child, :] = torch.where(gone, filled[..., parent, :], filled[..., child, :])
    return filled


def observe(image: Tensor, skeleton: Skeleton, noise: DetectionNoise | None, seed: int, keep_missing: bool) -> Tensor:
    """2D poses as a network gets them: exact, or with a detector's errors and missing joints completed.

    Args:
        image: (M, N, 2) exact image coordinates.
        skeleton: the joint set.
        noise: the detector's errors; None for exact poses.
        seed: of the errors.
        keep_missing: leave NaN where a joint is missing, for networks that know what to do with it.
    """
    if noise is None:
        return image
    detected = noise.apply(image, skeleton, torch.Generator().manual_seed(seed))
    return detected if keep_missing else complete(detected, skeleton)


NOISE: dict[str, DetectionNoise | None] = {"none": None, "detector": DetectionNoise()}
