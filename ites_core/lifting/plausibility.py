"""Is a lifted body plausible? Questions that need no truth: symmetry, posture, and which way knees bend (chapter 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from ites_core.camera import at_least_float32
from ites_core.errors import ItesError
from ites_core.priors import facing
from ites_core.skeleton import H36M17

J = {name: j for j, name in enumerate(H36M17.joints)}
LIMBS = (("Hip", "Knee"), ("Knee", "Ankle"), ("Shoulder", "Elbow"), ("Elbow", "Wrist"))
BENT = 0.12  # of the limb's length: a joint nearer to the straight line tells nothing


def limb_asymmetry(pose: Tensor) -> Tensor:
    """Mean difference of left and right limb lengths, by their mean: (M, 17, 3) to (M,); 0 is symmetric."""
    pose = at_least_float32(pose)
    ratios = []
    for upper, lower in LIMBS:
        left, right = ((pose[:, J[side + upper]] - pose[:, J[side + lower]]).norm(dim=-1) for side in ("L", "R"))
        ratios.append((left - right).abs() / ((left + right) / 2).clamp(min=1e-9))
    return torch.stack(ratios).mean(dim=0)


def trunk_tilt(pose: Tensor) -> Tensor:
    """Angle between the trunk and the picture's upright, degrees: (M, 17, 3) to (M,)."""
    trunk = pose[:, J["Thorax"]] - pose[:, J["Hip"]]
    return torch.rad2deg(torch.atan2(trunk[:, [0, 2]].norm(dim=-1), -trunk[:, 1]))


def facing_away(pose: Tensor) -> Tensor:
    """Whether the trunk faces away from the camera: (M, 17, 3) to (M,) bool."""
    return facing(pose, H36M17)[:, 2] > 0


def turns_right(pose: Tensor) -> Tensor:
    """Which way knees and elbows bend: 1 as bodies do, -1 as their mirror images do, 0 where nothing is bent.

    Knees bend forwards and elbows backwards. In a depth-mirrored body they do the opposite: its left and right say
    that it faces one way, its joints say the other. The sign of the sum over the four joints, each weighted by how far
    it is bent, changes exactly when the body is mirrored.

    Args:
        pose: (M, 17, 3), camera frame, any unit.

    Returns:
        (M,) float.
    """
    pose = at_least_float32(pose)
    front = facing(pose, H36M17)
    total = torch.zeros(len(pose))
    for upper, middle, lower, sign in (("Hip", "Knee", "Ankle", 1.0), ("Shoulder", "Elbow", "Wrist", -1.0)):
        for side in "LR":
            a, b, c = (pose[:, J[side + name]] for name in (upper, middle, lower))
            bend = b - (a + c) / 2
            length = ((a - b).norm(dim=-1) + (b - c).norm(dim=-1)).clamp(min=1e-9)
            share = (bend * front).sum(dim=-1) / length
            total = total + sign * torch.where(share.abs() > BENT, share, 0.0)
    return total.sign()


def mirrored_share(sign: Tensor, right_in_truth: float) -> float:
    """Share of bodies that are depth-mirrored, from the signs of :func:`turns_right`.

    Of true bodies a share p bends the right way, of mirrored ones 1 - p. If q is observed, a share
    m = (p - q) / (2 p - 1) is mirrored.

    Args:
        sign: (M,) from :func:`turns_right`; zeros are left out.
        right_in_truth: p, measured on recordings.

    Returns:
        m, between 0 and 1.

    Raises:
        ItesError: a p of one half, by which bodies and their mirror images bend alike, or no share at all.
    """
    if not 0 <= right_in_truth <= 1 or right_in_truth == 0.5:
        raise ItesError(f"right_in_truth: found {right_in_truth}, expected a share from 0 to 1, other than a half")
    told = sign[sign != 0]
    observed = float(told.gt(0).float().mean()) if len(told) else right_in_truth
    return min(1.0, max(0.0, (right_in_truth - observed) / (2 * right_in_truth - 1)))
