"""Answers that need no training: what a method has to beat before it has learnt anything (chapter 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ites_core.camera import rotate, rotation_from_vector
from ites_core.models.student import DepthStudent
from ites_core.skeleton import H36M17, Skeleton


class ZeroDepth(DepthStudent):
    """Every joint as far away as the root. Chapter 1."""

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        return image.new_zeros(image.shape[:2])


class MeanPose(DepthStudent):
    """The same body for every picture; it has no viewpoint, so only P-MPJPE is fair to it. Chapter 1.

    Args:
        skeleton: joint set; N joints.

    Attributes:
        body: (N, 3) units; zero until :meth:`set_mean`.
    """

    body: Tensor

    def __init__(self, skeleton: Skeleton = H36M17) -> None:
        super().__init__(skeleton)
        self.register_buffer("body", torch.zeros(len(skeleton), 3))

    def set_mean(self, poses: Tensor) -> None:
        """Take the mean of root-relative 3D poses (M, N, 3) in camera frame, units, all turned to face one way."""
        self.body.copy_(facing(poses, self.skeleton).mean(dim=0))

    def forward(self, image: Tensor) -> Tensor:
        """(B, N, 2) to (B, N, 3): the mean, whatever the picture."""
        return self.body.expand(image.shape[0], -1, -1)


def facing(poses: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """Turn poses about the camera's vertical so that the hips lie along x: (..., N, 3) to the same."""
    right, left = skeleton.joints.index("RHip"), skeleton.joints.index("LHip")
    across = poses[..., right, :] - poses[..., left, :]
    angle = torch.atan2(across[..., 2], across[..., 0])
    return rotate(poses, rotation_from_vector(angle[..., None] * poses.new_tensor([0.0, 1.0, 0.0])))
