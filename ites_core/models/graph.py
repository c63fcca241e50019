"""Adaptive graph convolutions, Eq. 4 and 5 of the paper, and the trunk that stacks them (chapter 4)."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ites_core.camera import full_precision
from ites_core.models.linear import Linear, linear
from ites_core.skeleton import Skeleton

Graph = Literal["both", "physical", "nonphysical"]


class PhysicalGraphConv(nn.Module):
    """Graph convolution on the skeleton, Eq. 4, without the activation. Chapter 4.

    For every output channel d: h_d = w_d H softmax(M_d * A), the softmax over each column. Entries
    outside the graph are masked (minus infinity) before the softmax: taken literally, the product
    with A = 0 would let every pair of joints in with weight exp(0).

    A joint has few neighbours, so most of an N x N product would multiply by zero. The edges are shared out among a
    few *matchings*, in which every joint has at most one partner: one elementwise product for each, and one for the
    joint itself.

    Args:
        adjacency: (N, N), nonzero where two joints are connected; symmetric, the diagonal included.
        inputs, outputs: D and D'.
    """

    def __init__(self, adjacency: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = Linear(inputs, outputs, bias=False)
        n = len(adjacency)
        self.edges = nn.Parameter(torch.zeros(outputs, n, n))  # M_d; starts as a plain average
        self.register_buffer("outside", adjacency == 0, persistent=False)
        partners = matchings(adjacency)  # the first: everybody with himself
        paired = partners != torch.arange(n)
        paired[0] = True
        self.register_buffer("partners", partners, persistent=False)
        self.register_buffer("paired", paired, persistent=False)
        self._folded: Tensor | None = None

    def edge_weights(self) -> Tensor:
        """softmax(M_d * A) over the first joint axis: (D', N, N), columns sum to 1."""
        return self.edges.masked_fill(self.get_buffer("outside"), -torch.inf).softmax(dim=1)

    def matched_weights(self) -> Tensor:
        """The same by matching: (matchings, N, D'), what joint i takes of its partner; 0 where it has none."""
        partners = self.get_buffer("partners")
        joints = torch.arange(partners.shape[1], device=partners.device)
        weights = self.edge_weights()[:, partners, joints] * self.get_buffer("paired")
        return weights.permute(1, 2, 0).contiguous()  # channels side by side, as in what they multiply

    def train(self, mode: bool = True) -> PhysicalGraphConv:
        """Leaving or entering training drops the folded edge weights."""
        self._folded = None
        return super().train(mode)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D'). In eval mode the softmax, which no input changes, is computed once."""
        if self.training or torch.is_grad_enabled():
            weights = self.matched_weights()
        else:
            if self._folded is None or self._folded.device != self.edges.device:
                self._folded = self.matched_weights()
            weights = self._folded
        h = self.weight(h)
        weights = weights.to(h.dtype)
        partners = self.get_buffer("partners")
        total = h * weights[0]
        for k in range(1, len(partners)):
            swapped = swap_joints(h, partners[k])
            if torch.is_grad_enabled():
                total = torch.addcmul(total, swapped, weights[k])
            else:  # in place: one tensor less to write, where a processor's cache is what is short
                total.addcmul_(swapped, weights[k])
        return total


def matchings(adjacency: Tensor) -> Tensor:
    """Share out the edges of a graph so that in each share no joint has two partners (an edge colouring).

    Args:
        adjacency: (N, N), nonzero where two joints are connected, symmetric.

    Returns:
        (1 + number of shares, N) int64: the partner of each joint, itself where it has none. The first row is everybody
        with himself. A tree needs as many shares as its busiest joint has neighbours.
    """
    n = len(adjacency)
    rows = [list(range(n))]
    queue, seen = [0], {0}
    while queue:
        joint = queue.pop(0)
        for other in adjacency[joint].nonzero().flatten().tolist():
            if other == joint or any(row[joint] == other for row in rows):
                continue
            free = next((row for row in rows[1:] if row[joint] == joint and row[other] == other), None)
            if free is None:
                free = list(range(n))
                rows.append(free)
            free[joint], free[other] = other, joint
            if other not in seen:
                seen.add(other)
                queue.append(other)
        if not queue:  # a graph in several pieces
            queue = [j for j in range(n) if j not in seen][:1]
            seen.update(queue)
    return torch.tensor(rows)


class _SwapJoints(torch.autograd.Function):
    """Exchange the joints of each pair. The gradient is exchanged back, which is cheaper than torch's general rule."""

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor, partner: Tensor) -> Tensor:
        return h.index_select(-2, partner)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (partner,) = ctx.saved_tensors
        return gradient.index_select(-2, partner), None


def swap_joints(h: Tensor, partner: Tensor) -> Tensor:
    """(..., N, D) with joint i where its partner was; ``partner`` (N,) is one row of :func:`matchings`."""
    if not torch.is_grad_enabled():
        return h.index_select(-2, partner)
    return cast(Tensor, _SwapJoints.apply(h, partner))


class NonphysicalGraphConv(nn.Module):
    """Attention between all pairs of joints, Eq. 5: f(g(H) softmax(H^T W_1^T W_2 H)). Chapter 4.

    f and g are two-layer perceptrons shared by the joints; the softmax is over each column, so
    joint i receives a weighted mean of all joints.

    Two products of weights stand for two products with the data each: W_1^T W_2; and the last layer of g with the first
    of f, since a weighted mean of joints may be taken before a linear layer as well as after it.

    Args:
        inputs, outputs: D and D'.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.w1 = Linear(inputs, inputs, bias=False)
        self.w2 = Linear(inputs, inputs, bias=False)
        self.g = nn.Sequential(Linear(inputs, outputs), nn.ReLU(), Linear(outputs, outputs))
        self.f = nn.Sequential(Linear(outputs, outputs), nn.ReLU(), Linear(outputs, outputs))
        self._folded: tuple[Tensor, Tensor, Tensor] | None = None

    def attention(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, N): entry [j, i] is how much joint i looks at joint j; columns sum to 1."""
        return self._attention(h, self._weights(h)[0])

    def train(self, mode: bool = True) -> NonphysicalGraphConv:
        """Leaving or entering training drops the folded products."""
        self._folded = None
        return super().train(mode)

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D')."""
        looks, middle, bias = self._weights(h)
        mixed = self._attention(h, looks).mT @ torch.relu_(self.g[0](h))
        return self.f[2](torch.relu_(linear(mixed, middle, bias)))

    @staticmethod
    def _attention(h: Tensor, looks: Tensor) -> Tensor:
        return (linear(h, looks) @ h.mT).softmax(dim=1)

    def _weights(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """W_2^T W_1, and weight and bias of g's last with f's first layer; computed once in eval mode."""
        if self.training or torch.is_grad_enabled():
            return self._products(h)
        if self._folded is None or self._folded[0].device != h.device:
            self._folded = self._products(h)
        return self._folded

    def _products(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        last, first = cast(Linear, self.g[2]), cast(Linear, self.f[0])
        with full_precision(h):
            return (
                self.w2.weight.mT @ self.w1.weight,
                first.weight @ last.weight,
                first.weight @ last.bias + first.bias,
            )


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
        if self.nonphysical is not None:
            terms.append(self.nonphysical(h))
        if self.physical is not None:
            terms.append(torch.relu_(self.physical(h)))
        total = sum(terms[1:], terms[0])
        return torch.relu_(self.norm(total.flatten(0, 1)).view_as(total))


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
