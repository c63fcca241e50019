"""The four losses of the paper, Eq. 2, 3, 6 and 7 (chapters 2, 3 and 4).

Each comes in three forms: ``squared`` as printed in the paper, ``norm`` as in the authors' release
(the mean over joints of the Euclidean distance, not squared), and ``huber`` as in C3DPO. They differ near zero: the
gradient of the square fades as the error does, that of the norm keeps its length; the pseudo-Huber form is a norm
with its tip rounded off.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

LossForm = Literal["squared", "norm", "huber"]
HUBER = 0.01  # units: where the pseudo-Huber form turns from a square into a norm (Novotny et al. 2019)


def joint_error(a: Tensor, b: Tensor, form: LossForm, counts: Tensor | None = None) -> Tensor:
    """Mean over joints and batch of the distance between two sets of points.

    squared: ``(1/N) ||a - b||_F^2``; norm: ``(1/N) sum_i ||a_i - b_i||``; huber, with e = 0.01:
    ``(1/N) sum_i e (sqrt(1 + (||a_i - b_i|| / e)^2) - 1)``.

    Args:
        a, b: (..., N, D) points.
        form: which of the three.
        counts: (..., N) bool, the joints that count; None for all. The others may hold anything finite.

    Returns:
        scalar; 0 where no joint counts.
    """
    difference = a - b
    if form == "squared":
        error = difference.square().sum(dim=-1)
    elif form == "huber":
        error = HUBER * ((1 + (difference / HUBER).square().sum(dim=-1)).sqrt() - 1)
    elif difference.shape[-1] == 1:
        error = difference.squeeze(-1).abs()  # the same; torch.compile trips over the norm of single numbers
    else:
        error = torch.linalg.vector_norm(difference, dim=-1)
    if counts is None:
        return error.mean()
    return (error * counts).sum() / counts.sum().clamp(min=1)


def reprojection(
    reprojected: Tensor, observed: Tensor, form: LossForm = "squared", seen: Tensor | None = None
) -> Tensor:
    """L_REP, Eq. 2: ``(1/N) ||P(R Y) - X||_F^2``.

    Args:
        reprojected: (B, N, 2) projection of the estimated pose.
        observed: (B, N, 2) the input.
        form: see :func:`joint_error`.
        seen: (B, N) bool, the joints that somebody saw; None for all.

    Chapter 2.
    """
    return joint_error(reprojected, observed, form, seen)


def rotation_invariance(again: Tensor, canonical: Tensor, form: LossForm = "squared") -> Tensor:
    """L_RIC, Eq. 3: ``(1/N) ||F_t(P(R_rand Y)) - Y||_F^2``.

    Args:
        again: (B, V, N, 3) canonical poses estimated from V rotated views of each pose.
        canonical: (B, N, 3) the canonical pose that was rotated. Units.

    Chapter 3.
    """
    return joint_error(again, canonical.unsqueeze(1), form)


def distillation(depth: Tensor, label: Tensor, form: LossForm = "squared") -> Tensor:
    """L_KD, Eq. 6: ``(1/N) ||d - (R Y)_z||^2``.

    Args:
        depth: (B, N) the student's depths.
        label: (B, N) the frozen teacher's depths in the camera frame. Units.

    Chapter 4.
    """
    return joint_error(depth.unsqueeze(-1), label.unsqueeze(-1), form)


def rotation_equivariance(again: Tensor, rotated: Tensor, form: LossForm = "squared") -> Tensor:
    """L_REC, Eq. 7: ``(1/N) ||F_s(P(R_rand Y)) - R_rand Y||_F^2``.

    Args:
        again: (B, V, N, 3) poses estimated from the projections of ``rotated``.
        rotated: (B, V, N, 3) the student's own estimates, rotated. Units.

    Chapter 4.
    """
    return joint_error(again, rotated, form)
