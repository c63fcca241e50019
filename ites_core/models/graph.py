"""Adaptive graph convolutions, Eq. 4 and 5 of the paper, and the trunk that stacks them (chapter 4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ites_core.skeleton import Skeleton

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


class GraphTrunk(nn.Module):
    """The student's features: one block up to D channels, then blocks with a residual over every two (Section 4.2).

    Args:
        skeleton: joint set; N joints.
        channels: D, features a joint.
        blocks: graph blocks after the first, 8 in the paper.
        graph: ``both`` as in the paper, or one of the two terms (Table 8).
    """

    def __init__(self, skeleton: Skeleton, channels: int, blocks: int, graph: Graph) -> None:
        super().__init__()
        adjacency = skeleton.adjacency()
        self.embed = GraphBlock(adjacency, 2, channels, graph)
        self.blocks = nn.ModuleList(GraphBlock(adjacency, channels, channels, graph) for _ in range(blocks))

    def forward(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N, D)
        h = self.embed(image)
        for i in range(0, len(self.blocks), 2):
            skip = h
            for block in self.blocks[i : i + 2]:
                h = block(h)
            h = h + skip
        return h
