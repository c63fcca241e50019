"""Checks for the exercises of chapter 3, the invariance cycle."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import rotation_from_vector
from ites_core.exercises.base import NotYet, call, compare, exercise


@exercise("3.1", "The cycle loss", "easy", 10)
def cycle_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``cycle_loss(canonical, again)`` in its norm form: (B, N, 3) and (B, V, N, 3) to a number.

    ``again[b, v]`` is the canonical pose found from the v-th rotated picture of pose b.
    """
    generator = torch.Generator().manual_seed(0)
    canonical, again = torch.randn(3, 5, 3, generator=generator), torch.randn(3, 4, 5, 3, generator=generator)
    gap = again - canonical[:, None]
    compare(
        call(answer, canonical, again),
        gap.norm(dim=-1).mean(),
        {
            "This is the squared form. The norm form takes the distance of each joint.": gap.square()
            .sum(dim=-1)
            .mean(),
            "This is a mean over coordinates. Sum over x, y and z before you take the mean.": gap.abs().mean(),
            "You sum over the joints. The loss is a mean over joints, rotations and poses.": gap.norm(dim=-1)
            .sum(dim=-1)
            .mean(),
            "The distance is taken over the joint axis. Coordinates are the last axis.": gap.norm(dim=-2).mean(),
            "You average the second answers before you compare. Compare each of them.": (again.mean(dim=1) - canonical)
            .norm(dim=-1)
            .mean(),
        },
    )


@exercise("3.2", "How far a matrix turns", "easy", 10)
def angle(answer: Callable[[Tensor], Tensor]) -> None:
    """``angle(R)``: rotation matrices (B, 3, 3) to angles (B,) in radians, 0 to pi."""
    size = torch.tensor([0.2, 1.0, 2.0, 3.0])
    axis = torch.nn.functional.normalize(torch.tensor([[1.0, 2, 3], [0, 1, 0], [-1, 0, 2], [1, -1, 1]]), dim=-1)
    R = rotation_from_vector(size[:, None] * axis)
    trace = R.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    compare(
        call(answer, R),
        size,
        {
            "These are degrees. The check wants radians.": torch.rad2deg(size),
            "This is the cosine of the angle; one step is missing.": torch.cos(size),
            "You forgot the 1 in trace = 1 + 2 cos(angle).": torch.acos((trace / 2).clamp(-1, 1)),
            "This is arccos of the trace itself; solve trace = 1 + 2 cos(angle) for the cosine.": torch.acos(
                trace.clamp(-1, 1)
            ),
            "You return the trace.": trace,
        },
        atol=2e-3,
    )


@exercise("3.3", "Uniform rotations without quaternions", "medium", 15)
def haar(answer: Callable[[int, torch.Generator], Tensor]) -> None:
    """``haar(count, generator)``: Haar rotations (count, 3, 3) by a QR decomposition of Gaussian matrices."""
    R = call(answer, 20_000, torch.Generator().manual_seed(0))
    if not isinstance(R, Tensor) or R.shape != (20_000, 3, 3):
        raise NotYet(f"Expected a tensor of shape (20000, 3, 3), found {getattr(R, 'shape', type(R).__name__)}.")
    R = R.double()
    if not torch.allclose(R @ R.mT, torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-4):
        raise NotYet("These matrices are not orthogonal. Return Q, not the Gaussian matrix and not the factor R.")
    if (torch.linalg.det(R) < 0).any():
        raise NotYet("Some of your matrices have determinant -1: they mirror. Change the sign of one column of those.")
    cosine = ((R.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1) / 2).clamp(-1, 1)
    mean = torch.acos(cosine).mean().item()
    if abs(mean - math.pi / 2) < 0.02:
        raise NotYet("The mean angle is 90 degrees: that is a uniform angle, not a uniform rotation.")
    for name, place in (("first", 0), ("second", 1), ("third", 2)):
        centre = R[..., place].mean(dim=0).norm().item()
        if centre > 0.05:
            raise NotYet(f"The {name} columns crowd on one side of the sphere: use the signs of the diagonal of R.")
    compare(mean, math.pi / 2 + 2 / math.pi, atol=0.02)


@exercise("3.4", "How much of the variance is the camera's", "medium", 15)
def view_share(answer: Callable[[Tensor], Tensor]) -> None:
    """``view_share(Y)``: canonical poses (I, C, N, 3) of I instants and C cameras to a number from 0 to 1."""
    generator = torch.Generator().manual_seed(1)
    Y = 2 * torch.randn(6, 1, 5, 3, generator=generator) + torch.randn(6, 4, 5, 3, generator=generator)

    def spread(mean: Tensor) -> Tensor:
        return (Y - mean).square().sum(dim=-1).mean()

    within, overall = spread(Y.mean(dim=1, keepdim=True)), spread(Y.mean(dim=(0, 1)))
    compare(
        call(answer, Y),
        within / overall,
        {
            "This is the ratio of the spreads. Variance is the spread squared.": (within / overall).sqrt(),
            "You average over the instants. The cameras of one instant are axis 1.": spread(Y.mean(dim=0, keepdim=True))
            / overall,
            "This is the share of everything else: you return 1 minus the view share.": 1 - within / overall,
            "The numerator is right; divide it by the variance about the overall mean.": within,
            "You centre every pose on its own joints. The mean is over cameras, joint by joint.": spread(
                Y.mean(dim=2, keepdim=True)
            )
            / overall,
            "The ratio is upside down.": overall / within,
        },
    )


@exercise("3.5", "Frames better mirrored", "easy", 10)
def share_mirrored(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``share_mirrored(own, twin)``: errors (M,) of the answers and of their twins to a share from 0 to 1."""
    own = torch.tensor([50.0, 60, 90, 40, 120, 30, 70, 80, 45, 55])
    twin = torch.tensor([80.0, 55, 60, 90, 100, 30, 95, 120, 90, 300])
    compare(
        call(answer, own, twin),
        0.3,
        {
            "That is the share of frames that are better as they are, or equal.": 0.7,
            "You compare the means of all frames. The question is asked of every frame.": 0.0,
            "A frame whose twin is exactly as good is not better mirrored.": 0.4,
            "This is a count. Divide by the number of frames.": 3.0,
            "This is in per cent. The check wants a number from 0 to 1.": 30.0,
        },
    )
