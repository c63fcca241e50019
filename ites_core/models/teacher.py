"""The pose-dictionary teacher, Section 3.2 of the paper (chapters 2 and 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ites_core.camera import full_precision, rotate, rotation_from_vector
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, Skeleton


class TeacherOutput(NamedTuple):
    """What the teacher says about a 2D pose.

    Attributes:
        canonical: (B, N, 3) the pose Y = (c^T kron I_3) B in the dictionary's own frame, units.
        rotation: (B, 3, 3) camera view matrix R, acting on column vectors.
        coefficients: (B, K) the coefficients c.
    """

    canonical: Tensor
    rotation: Tensor
    coefficients: Tensor

    @property
    def camera(self) -> Tensor:
        """(B, N, 3) the pose R Y in the frame of the input camera, units."""
        return rotate(self.canonical, self.rotation)


class ResidualBlock(nn.Module):
    """Fully connected bottleneck with a clear skip: width -> bottleneck -> bottleneck -> width.

    Three linear layers, as in the trunk that Section 4.2 takes from C3DPO; this reading gives the
    3.6 M parameters that are published for it. Normalisation and activation come before each layer,
    so that nothing stands in the way of the skip.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((width, bottleneck), (bottleneck, bottleneck), (bottleneck, width)):
            layers += [nn.BatchNorm1d(inputs), nn.ReLU(), nn.Linear(inputs, outputs)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B, width)
        return x + self.body(x)


def residual_trunk(inputs: int, width: int, bottleneck: int, blocks: int) -> nn.Sequential:
    """Fully connected residual network ("ResFC"): (B, inputs) to (B, width)."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        *(ResidualBlock(width, bottleneck) for _ in range(blocks)),
        nn.BatchNorm1d(width),
        nn.ReLU(),
    )


class Teacher(nn.Module):
    """F_t: 2D pose to dictionary coefficients c and camera view R (Section 3.2, Eq. 1). Chapter 2.

    Args:
        skeleton: joint set; N joints.
        atoms: K, size of the pose dictionary (12 in the paper).
        width, bottleneck: 1024 and 256 in the paper.
        blocks: number of residual blocks (6 in the paper).
        free_root: leave the dictionary's root joint free. By default it is pinned to the origin: the
            input is root-centred, and a free root depth would only trade against the scale.
    """

    def __init__(
        self,
        skeleton: Skeleton = H36M17,
        atoms: int = 12,
        width: int = 1024,
        bottleneck: int = 256,
        blocks: int = 6,
        free_root: bool = False,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.free_root = free_root
        n = len(skeleton)
        self.trunk = residual_trunk(2 * n, width, bottleneck, blocks)
        self.coefficients = nn.Linear(width, atoms)
        self.rotation = nn.Linear(width, 3)
        self.atoms = nn.Parameter(0.1 * torch.randn(atoms, n, 3))

    @property
    def dictionary(self) -> Tensor:
        """(K, N, 3) pose atoms B_k, units; the root at the origin unless it is left free."""
        if self.free_root:
            return self.atoms
        root = self.skeleton.root
        return self.atoms - self.atoms[:, root : root + 1]

    @torch.no_grad()
    def start_from(self, body: Tensor) -> None:
        """Make a rigid body (N, 3) the first estimate: one atom is the body, the others small deviations."""
        self.atoms[0] = body
        self.atoms[1:] *= 0.5
        self.coefficients.weight *= 0.3
        self.coefficients.bias.zero_()
        self.coefficients.bias[0] = 1.0

    def forward(self, image: Tensor) -> TeacherOutput:
        """Estimate pose and camera from normalised 2D input (B, N, 2).

        Raises:
            ItesError: on any other shape.
        """
        check_input(image, self.skeleton)
        features = self.trunk(image.flatten(1))
        c = self.coefficients(features)
        r = rotation_from_vector(self.rotation(features).float())
        with full_precision(image):
            canonical = torch.einsum("bk,knd->bnd", c.float(), self.dictionary)
        return TeacherOutput(canonical, r, c)


def check_input(image: Tensor, skeleton: Skeleton) -> None:
    """Raise ItesError unless image is (B, N, 2) for the joint set."""
    if image.ndim != 3 or image.shape[1:] != (len(skeleton), 2):
        raise ItesError(
            f"2D input: found shape {tuple(image.shape)}, expected (batch, {len(skeleton)}, 2) "
            f"for joint set {skeleton.name}"
        )
