"""The pose-dictionary teacher, Section 3.2 of the paper (chapters 2 and 3)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ites_core.camera import at_least_float32, full_precision, rotate, rotation_from_vector
from ites_core.models.graph import GraphTrunk
from ites_core.models.linear import Linear
from ites_core.models.resfc import check_input, residual_trunk
from ites_core.skeleton import H36M17, Skeleton

Features = Literal["resfc", "agcn"]


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


class DictionaryModel(nn.Module):
    """What the teacher and C3DPO share: a pose dictionary and Y = (c^T kron I_3) B. Chapter 2.

    Args:
        skeleton: joint set; N joints.
        free_root: leave the dictionary's root joint free. By default it is pinned to the origin: the
            input is root-centred, and a free root depth would only trade against the scale.
    """

    coefficients: Linear
    atoms: nn.Parameter

    def __init__(self, skeleton: Skeleton, free_root: bool = False) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.free_root = free_root

    @property
    def dictionary(self) -> Tensor:
        """(K, N, 3) pose atoms B_k, units; the root at the origin unless it is left free."""
        if self.free_root:
            return self.atoms
        root = self.skeleton.root
        return self.atoms - self.atoms[:, root : root + 1]

    def compose(self, coefficients: Tensor) -> Tensor:
        """Canonical pose of coefficients: (B, K) to (B, N, 3), units."""
        return torch.einsum("bk,knd->bnd", at_least_float32(coefficients), self.dictionary)

    @torch.no_grad()
    def start_from(self, body: Tensor) -> None:
        """Make a rigid body (N, 3) the first estimate: one atom is the body, the others small deviations."""
        self.atoms[0] = body
        self.atoms[1:] *= 0.5
        self.coefficients.weight *= 0.3
        self.coefficients.bias.zero_()
        self.coefficients.bias[0] = 1.0

    def forward(self, image: Tensor) -> TeacherOutput:
        """Estimate pose and camera from normalised 2D input (B, N, 2)."""
        raise NotImplementedError


class Teacher(DictionaryModel):
    """F_t: 2D pose to dictionary coefficients c and camera view R (Section 3.2, Eq. 1). Chapter 2.

    Args:
        skeleton: joint set; N joints.
        atoms: K, size of the pose dictionary (12 in the paper).
        width, bottleneck: 1024 and 256 in the paper.
        blocks: number of residual blocks (6 in the paper).
        free_root: see :class:`DictionaryModel`.
        features: the paper's fully connected trunk, or the student's graph convolutions (Table 7), for which
            ``width`` is D and ``blocks`` the number of graph blocks.
    """

    def __init__(
        self,
        skeleton: Skeleton = H36M17,
        atoms: int = 12,
        width: int = 1024,
        bottleneck: int = 256,
        blocks: int = 6,
        free_root: bool = False,
        features: Features = "resfc",
    ) -> None:
        super().__init__(skeleton, free_root)
        n = len(skeleton)
        if features == "resfc":
            self.trunk = nn.Sequential(nn.Flatten(1), residual_trunk(2 * n, width, bottleneck, blocks))
        else:
            self.trunk = nn.Sequential(GraphTrunk(skeleton, width, blocks, "both"), nn.Flatten(1))
            width *= n
        self.coefficients = Linear(width, atoms)
        self.rotation = Linear(width, 3)
        self.atoms = nn.Parameter(0.1 * torch.randn(atoms, n, 3))

    def forward(self, image: Tensor) -> TeacherOutput:
        """Estimate pose and camera from normalised 2D input (B, N, 2).

        Raises:
            ItesError: on any other shape.
        """
        check_input(image, self.skeleton)
        features = self.trunk(image)
        c = self.coefficients(features)
        r = rotation_from_vector(at_least_float32(self.rotation(features)))
        with full_precision(image):
            return TeacherOutput(self.compose(c), r, c)
