"""A first body from 2D poses alone: rigid factorisation for upright cameras (chapters 2 and 3).

A dictionary that starts at random often settles on a wrong body: bent, flattened, or with its two
sides exchanged when seen from behind. The oldest idea of structure from motion gives a better start.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ites_core.camera import CAMERA_DISTANCE
from ites_core.errors import ItesError
from ites_core.skeleton import Skeleton


def mean_body(image: Tensor, skeleton: Skeleton) -> Tensor:
    """The rigid body that best explains many views of upright people with headings all around.

    Turn a body (X, Y, Z) by a uniform heading a: its picture has u = X cos a + Z sin a and v = Y, so
    the second moment of the horizontal coordinates is E[u u^T] = (X X^T + Z Z^T) / 2. Its two leading
    eigenvectors, times the square root of twice their eigenvalues, are X and Z; Y is the mean of v.
    Pictures leave two signs open. The body shall face the camera, so its left is on the picture's
    right; and hands are held in front. That one bit of anatomy is all the prior there is.

    Args:
        image: (M, N, 2) normalised 2D poses, many people, headings all around.
        skeleton: their joint set.

    Returns:
        (N, 3) root at the origin, camera frame, units. No 3D data enters.

    Raises:
        ItesError: fewer than two poses, or poses without horizontal extent.

    Source: Tomasi and Kanade 1992, reduced to cameras that do not tilt.
    """
    u, v = (image - image.mean(dim=1, keepdim=True)).double().unbind(-1)
    if len(u) < 2 or not (image.isfinite().all() and u.abs().max() > 0):
        raise ItesError("mean body: needs at least two poses, all finite and wider than a line")
    values, vectors = torch.linalg.eigh(u.mT @ u / len(u))  # in ascending order
    x, z = (vectors[:, -k] * (2 * values[-k]).clamp(min=0).sqrt() for k in (1, 2))
    left, right = (torch.tensor(side) for side in zip(*skeleton.pairs, strict=True))
    x = x * torch.sign((x[left] - x[right]).sum())
    z = z * -torch.sign(z[list(skeleton.front)].mean() - z.mean())
    body = CAMERA_DISTANCE * torch.stack([x, v.mean(dim=0), z], dim=-1)
    return (body - body[skeleton.root]).float()
