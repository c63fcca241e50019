"""Students: one depth a joint, by graph convolution (Section 3.3 of the paper) or by plain networks (chapter 4)."""

from __future__ import annotations

from torch import Tensor, nn

from ites_core.camera import at_least_float32, unproject
from ites_core.models.graph import Graph, GraphTrunk
from ites_core.models.linear import Linear
from ites_core.models.resfc import check_input, residual_trunk
from ites_core.skeleton import H36M17, Skeleton


class DepthStudent(nn.Module):
    """F_s: 2D pose to 3D pose in the frame of the input camera, by one depth a joint. Chapter 4.

    Depths are relative to the root's, which is pinned to 0. Subclasses say where they come from.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.skeleton = skeleton

    def offsets(self, image: Tensor) -> Tensor:
        """One free number a joint: normalised 2D input (B, N, 2) to (B, N)."""
        raise NotImplementedError

    def depth(self, image: Tensor) -> Tensor:
        """Depth offsets d from the root: normalised 2D input (B, N, 2) to (B, N), units.

        Raises:
            ItesError: on any other shape.
        """
        check_input(image, self.skeleton)
        d = at_least_float32(self.offsets(image))
        root = self.skeleton.root
        return d - d[:, root : root + 1]

    def forward(self, image: Tensor) -> Tensor:
        """3D pose (B, N, 3), camera frame, units: (u z, v z, d) with z = max(1, t + d).

        Its projection is the input, exactly: the student cannot get the picture wrong.
        """
        return unproject(image, self.depth(image))


class Student(DepthStudent):
    """The student of the paper: adaptive graph convolutions, Eq. 4 and 5. Chapter 4.

    Args:
        skeleton: joint set; N joints.
        channels: D, features a joint.
        blocks: graph blocks, 8 in the paper, a residual over every two.
        graph: ``both`` as in the paper, or one of the two terms (Table 8).
    """

    def __init__(
        self, skeleton: Skeleton = H36M17, channels: int = 128, blocks: int = 8, graph: Graph = "both"
    ) -> None:
        super().__init__(skeleton)
        self.trunk = GraphTrunk(skeleton, channels, blocks, graph)
        self.depth_head = Linear(channels, 1)

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        return self.depth_head(self.trunk(image)).squeeze(-1)


class ResFCStudent(DepthStudent):
    """A student that knows no graph: the teacher's trunk with one output a joint (Table 4). Chapter 4.

    Args:
        skeleton: joint set; N joints.
        width: of the trunk; its bottleneck is a quarter of it, as in the teacher.
        blocks: number of residual blocks.
    """

    def __init__(self, skeleton: Skeleton = H36M17, width: int = 1024, blocks: int = 6) -> None:
        super().__init__(skeleton)
        self.trunk = residual_trunk(2 * len(skeleton), width, width // 4, blocks)
        self.depth_head = Linear(width, len(skeleton))

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        return self.depth_head(self.trunk(image.flatten(1)))


class ResidualMLP(DepthStudent):
    """The supervised baseline: linear layers with dropout and a skip over every two, after Martinez et al. 2017.

    Theirs answers with three coordinates a joint, and this one with the depth, as every student here does: then the
    labels are all that a student lacks beside it. Chapter 4.

    Args:
        skeleton: joint set; N joints.
        width: of every layer, 1024 in their paper.
        blocks: residual blocks of two layers, 2 in their paper.
        dropout: share of features that each layer drops in training; 0.5 in their paper.
    """

    def __init__(self, skeleton: Skeleton = H36M17, width: int = 1024, blocks: int = 2, dropout: float = 0.5) -> None:
        super().__init__(skeleton)

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))

        self.first = layer(2 * len(skeleton))
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range(blocks))
        self.depth_head = Linear(width, len(skeleton))

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        h = self.first(image.flatten(1))
        for block in self.blocks:
            h = h + block(h)
        return self.depth_head(h)
