"""The graph-convolution student, Section 3.3 of the paper, and a plain one to compare it with (chapter 4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ites_core.camera import unproject
from ites_core.models.teacher import check_input, residual_trunk
from ites_core.skeleton import H36M17, Skeleton

Graph = Literal["both", "physical", "nonphysical"]


class PhysicalGraphConv(nn.Module):
    """Graph convolution on the skeleton, Eq. 4, without the activation. Chapter 4.

    For every output channel d: h_d = w_d H softmax(M_d * A), the softmax over each column. Entries
    outside the graph are masked (minus infinity) before the softmax: taken literally, the product
    with A = 0 would let every pair of joints in with weight exp(0).

    Args:
        adjacency: (N, N), nonzero where two joints are connected; the diagonal included.
        inputs, outputs: D and D'.
    """

    def __init__(self, adjacency: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, outputs, bias=False)
        n = len(adjacency)
        self.edges = nn.Parameter(torch.zeros(outputs, n, n))  # M_d; starts as a plain average
        self.register_buffer("outside", adjacency == 0, persistent=False)
        self._folded: Tensor | None = None

    def edge_weights(self) -> Tensor:
        """softmax(M_d * A) over the first joint axis: (D', N, N), columns sum to 1."""
        return self.edges.masked_fill(self.get_buffer("outside"), -torch.inf).softmax(dim=1)

    def train(self, mode: bool = True) -> PhysicalGraphConv:
        """Leaving or entering training drops the folded edge weights."""
        self._folded = None
        return super().train(mode)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D'). In eval mode the softmax, which no input changes, is computed once."""
        if self.training or torch.is_grad_enabled():
            weights = self.edge_weights()
        else:
            if self._folded is None or self._folded.device != self.edges.device:
                self._folded = self.edge_weights()
            weights = self._folded
        return torch.einsum("bjd,dji->bid", self.weight(h), weights.to(h.dtype))


class NonphysicalGraphConv(nn.Module):
    """Attention between all pairs of joints, Eq. 5: f(g(H) softmax(H^T W_1^T W_2 H)). Chapter 4.

    f and g are two-layer perceptrons shared by the joints; the softmax is over each column, so
    joint i receives a weighted mean of all joints.

    Args:
        inputs, outputs: D and D'.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(inputs, inputs, bias=False)
        self.w2 = nn.Linear(inputs, inputs, bias=False)
        self.g = nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))
        self.f = nn.Sequential(nn.Linear(outputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))

    def attention(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, N): entry [j, i] is how much joint i looks at joint j; columns sum to 1."""
        return (self.w1(h) @ self.w2(h).mT).softmax(dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D')."""
        return self.f(self.attention(h).mT @ self.g(h))


class GraphBlock(nn.Module):
    """Adaptive graph convolution H' = H_P + H_NP, then batch normalisation and ReLU (Section 3.3).

    Args:
        adjacency: (N, N) graph of the joint set.
        inputs, outputs: D and D'.
        graph: both terms, or one of them (Table 8).
    """

    def __init__(self, adjacency: Tensor, inputs: int, outputs: int, graph: Graph) -> None:
        super().__init__()
        self.physical = PhysicalGraphConv(adjacency, inputs, outputs) if graph != "nonphysical" else None
        self.nonphysical = NonphysicalGraphConv(inputs, outputs) if graph != "physical" else None
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, h: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D')
        terms = []
        if self.physical is not None:
            terms.append(torch.relu(self.physical(h)))
        if self.nonphysical is not None:
            terms.append(self.nonphysical(h))
        total = sum(terms[1:], terms[0])
        return torch.relu(self.norm(total.flatten(0, 1)).unflatten(0, total.shape[:2]))


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
        d = self.offsets(image).float()
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
        adjacency = skeleton.adjacency()
        self.embed = GraphBlock(adjacency, 2, channels, graph)
        self.blocks = nn.ModuleList(GraphBlock(adjacency, channels, channels, graph) for _ in range(blocks))
        self.depth_head = nn.Linear(channels, 1)

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        h = self.embed(image)
        for i in range(0, len(self.blocks), 2):
            skip = h
            for block in self.blocks[i : i + 2]:
                h = block(h)
            h = h + skip
        return self.depth_head(h).squeeze(-1)


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
        self.depth_head = nn.Linear(width, len(skeleton))

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        return self.depth_head(self.trunk(image.flatten(1)))
