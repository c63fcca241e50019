"""C3DPO (Novotny et al. 2019): what ITES starts from and is compared with (Tables 1, 4 and 9; chapter 4).

Written from their paper: two trunks of the same kind, an orthographic camera, the visibility of each joint as input,
and a second network that canonicalises shapes. Where it differs from the teacher of this book:

===================  ============================================  =============================================
what                 C3DPO                                         ITES teacher
===================  ============================================  =============================================
camera               orthographic                                  perspective
cycle                rotated *shape* to canonicalisation network   its *picture* back into the same network
input                coordinates and visibility                    coordinates
augmentation         rotations in the picture                      none
===================  ============================================  =============================================
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ites_core.camera import CAMERA_DISTANCE, at_least_float32, full_precision, rotation_from_vector
from ites_core.models.linear import Linear
from ites_core.models.resfc import check_input, residual_trunk
from ites_core.models.teacher import DictionaryModel, TeacherOutput
from ites_core.skeleton import H36M17, Skeleton


class C3DPO(DictionaryModel):
    """Factorisation network Phi and canonicalisation network Psi, with one shape basis (their Section 4).

    Args:
        skeleton: joint set; N joints.
        atoms: D in their paper, size of the shape basis (10 for Human3.6M).
        width, bottleneck, blocks: of either trunk, 1024, 256 and 6 in their paper.
    """

    def __init__(
        self, skeleton: Skeleton = H36M17, atoms: int = 10, width: int = 1024, bottleneck: int = 256, blocks: int = 6
    ) -> None:
        super().__init__(skeleton)
        n = len(skeleton)
        self.trunk = residual_trunk(3 * n, width, bottleneck, blocks)  # Phi: (u, v, visible) of each joint
        self.coefficients = Linear(width, atoms)
        self.rotation = Linear(width, 3)
        self.canonical_trunk = residual_trunk(3 * n, width, bottleneck, blocks)  # Psi: (x, y, z) of each joint
        self.canonical_coefficients = Linear(width, atoms)
        self.atoms = nn.Parameter(0.1 * torch.randn(atoms, n, 3))

    def forward(self, image: Tensor) -> TeacherOutput:
        """Factorise normalised 2D input (B, N, 2) into shape and view.

        Args:
            image: as for the teacher; NaN for joints that nobody saw.

        Raises:
            ItesError: on any other shape.
        """
        check_input(image, self.skeleton)
        seen = visible(image).unsqueeze(-1)
        known = self.scaled(image).where(seen, 0.0)
        features = self.trunk(torch.cat([known, seen.to(image.dtype)], dim=-1).flatten(1))
        c = self.coefficients(features)
        r = rotation_from_vector(at_least_float32(self.rotation(features)))
        with full_precision(image):
            return TeacherOutput(self.compose(c), r, c)

    def canonicalise(self, shape: Tensor) -> Tensor:
        """Psi: a shape (B, N, 3) in any orientation to the same shape in its canonical one, units."""
        c = self.canonical_coefficients(self.canonical_trunk(shape.flatten(1)))
        with full_precision(shape):
            return self.compose(c)

    @staticmethod
    def scaled(image: Tensor) -> Tensor:
        """The picture that an orthographic camera would take of a pose in units: the root's depth divided out."""
        return CAMERA_DISTANCE * image


def visible(image: Tensor) -> Tensor:
    """Which joints somebody saw: 2D input (B, N, 2) with NaN for the others, to (B, N) bool."""
    return image.isfinite().all(dim=-1)
