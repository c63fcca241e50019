"""The graph student as the authors released it: shared edge weights and pooled attention (chapter 4).

Written from the description of semantic graph convolution (Zhao et al. 2019, Section 3) and of non-local blocks
(Wang et al. 2018), and from what is known of the release: its 534,635 parameters fix channels and blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ites_core.models.linear import Linear
from ites_core.models.student import DepthStudent
from ites_core.skeleton import H36M17, Skeleton


class SharedGraphConv(nn.Module):
    """Graph convolution with one edge-weight vector for all channels, apart from that like Eq. 4. Chapter 4.

    h_i' = s_ii W_0 h_i + sum over neighbours j of s_ij W_1 h_j + b, where s is the softmax of the edge weights over
    the neighbours of i and i itself: other weights for a joint itself than for its neighbours.

    Args:
        adjacency: (N, N), nonzero where two joints are connected; the diagonal included.
        inputs, outputs: D and D'.
    """

    def __init__(self, adjacency: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.itself = Linear(inputs, outputs)
        self.neighbours = Linear(inputs, outputs, bias=False)
        place = adjacency.nonzero()
        self.edges = nn.Parameter(torch.ones(len(place)))
        self.register_buffer("place", place, persistent=False)
        self.size = len(adjacency)

    def edge_weights(self) -> Tensor:
        """(N, N): row i sums to 1 over the neighbours of joint i."""
        row, column = self.get_buffer("place").T
        logits = self.edges.new_full((self.size, self.size), -torch.inf)
        return logits.index_put((row, column), self.edges).softmax(dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D')."""
        s = self.edge_weights().to(h.dtype)
        own = s.diagonal()
        return own[:, None] * self.itself(h) + (s - torch.diag(own)) @ self.neighbours(h)


class PooledAttention(nn.Module):
    """Non-local block: attention by concatenation, not by products; added to its input. Chapter 4.

    Joint i looks at place j with weight relu(w . [theta(h_i), phi(h_j)]) / P. The P places are the joints, left and
    right of a pair pooled to their maximum.

    Args:
        skeleton: joint set; N joints.
        channels: D.
    """

    def __init__(self, skeleton: Skeleton, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.g = Linear(channels, inner)
        self.theta = Linear(channels, inner)
        self.phi = Linear(channels, inner)
        self.concatenation = Linear(2 * inner, 1, bias=False)
        self.out = Linear(inner, channels)
        self.norm = nn.BatchNorm1d(channels)
        paired = {j for pair in skeleton.pairs for j in pair}
        alone = [(j, j) for j in range(len(skeleton)) if j not in paired]
        self.register_buffer("places", torch.tensor([*skeleton.pairs, *alone]), persistent=False)

    def pool(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, P, D)."""
        return h[:, self.get_buffer("places")].amax(dim=2)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        inner = self.theta.out_features
        w = self.concatenation.weight[0]
        looking = self.theta(h) @ w[:inner]  # (B, N)
        looked_at = self.pool(self.phi(h)) @ w[inner:]  # (B, P)
        attention = torch.relu(looking.unsqueeze(2) + looked_at.unsqueeze(1)) / looked_at.shape[1]
        y = self.out(attention @ self.pool(self.g(h)))
        return h + self.norm(y.flatten(0, 1)).unflatten(0, y.shape[:2])


class SemGCNBlock(nn.Module):
    """Shared graph convolution, batch normalisation, ReLU and, from the second block on, attention."""

    def __init__(self, skeleton: Skeleton, inputs: int, outputs: int, attention: bool) -> None:
        super().__init__()
        self.conv = SharedGraphConv(skeleton.adjacency(), inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)
        self.attention = PooledAttention(skeleton, outputs) if attention else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D')
        h = self.conv(h)
        h = torch.relu(self.norm(h.flatten(0, 1)).unflatten(0, h.shape[:2]))
        return self.attention(h)


class SemGCNStudent(DepthStudent):
    """The student of the ``official`` preset: 534,635 parameters at D = 128 and 8 blocks, as released. Chapter 4.

    Args:
        skeleton: joint set; N joints.
        channels: D, features a joint.
        blocks: blocks after the first, a residual over every two.
    """

    def __init__(self, skeleton: Skeleton = H36M17, channels: int = 128, blocks: int = 8) -> None:
        super().__init__(skeleton)
        self.embed = SemGCNBlock(skeleton, 2, channels, attention=False)
        self.blocks = nn.ModuleList(SemGCNBlock(skeleton, channels, channels, attention=True) for _ in range(blocks))
        self.depth_head = SharedGraphConv(skeleton.adjacency(), channels, 1)

    def offsets(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N)
        h = self.embed(image)
        for i in range(0, len(self.blocks), 2):
            skip = h
            for block in self.blocks[i : i + 2]:
                h = block(h)
            h = h + skip
        return self.depth_head(h).squeeze(-1)
