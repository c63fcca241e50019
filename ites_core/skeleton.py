"""Joint sets: names, parents, left/right pairs, bones and the graph that they form (chapter 4).

The book works on the 17 joints of Human3.6M. A :class:`Skeleton` carries everything that the rest of
the package needs to know about a joint set, so nothing else hard-codes a joint number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ites_core.errors import ItesError


@dataclass(frozen=True)
class Skeleton:
    """A named joint set with its kinematic tree (chapter 1 draws it, chapter 4 convolves over it).

    Attributes:
        name: identifier stored in archives and checkpoints, for example ``"h36m17"``.
        joints: joint names, in the order in which coordinates are stored; N = len(joints).
        parents: index of each joint's parent, -1 for the root. Parents come before their children.
        pairs: (left, right) joint indices that exchange under a mirror reflection.
        head: the joint whose distance to the root defines one "unit" (Section 4.2 of the paper).
        front: joints that people hold in front of the trunk on average (the wrists): they tell the
            front of a body from its back where a picture cannot.

    Raises:
        ItesError: if the tree has no single root or is not in parent-first order, a pair or the head is not
            in range, or a joint stands in two pairs.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    head: int
    front: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.joints)
        if len(self.parents) != n:
            raise ItesError(f"skeleton {self.name}: {n} joints but {len(self.parents)} parents")
        if self.parents.count(-1) != 1:
            raise ItesError(f"skeleton {self.name}: expected exactly one root (parent -1)")
        if any(not -1 <= p < j for j, p in enumerate(self.parents)):
            raise ItesError(f"skeleton {self.name}: every parent must come before its child, or be -1")
        if any(not 0 <= j < n for pair in self.pairs for j in pair) or not 0 <= self.head < n:
            raise ItesError(f"skeleton {self.name}: a pair or the head names a joint outside 0..{n - 1}")
        paired = [j for pair in self.pairs for j in pair]
        if len(set(paired)) < len(paired):
            raise ItesError(f"skeleton {self.name}: a joint stands in more than one pair, or is its own partner")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def root(self) -> int:
        """Index of the root joint (the pelvis)."""
        return self.parents.index(-1)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The N - 1 bones, one (parent, child) for every joint but the root."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Permutation that exchanges left and right; joint j of the mirrored body is joint mirror[j]."""
        order = list(range(len(self)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @cached_property
    def left(self) -> frozenset[int]:
        """Indices of the joints on the left side of the body."""
        return frozenset(left for left, _ in self.pairs)

    @cached_property
    def right(self) -> frozenset[int]:
        """Indices of the joints on the right side of the body."""
        return frozenset(right for _, right in self.pairs)

    def adjacency(self, self_loops: bool = True) -> Tensor:
        """Adjacency matrix A of Eq. 4: (N, N) float, symmetric, 1 on bones and on the diagonal."""
        size, cpu = len(self), torch.device("cpu")  # named, as a network may be built on torch's device "meta"
        a = torch.eye(size, device=cpu) if self_loops else torch.zeros(size, size, device=cpu)
        for parent, child in self.bones:
            a[parent, child] = a[child, parent] = 1.0
        return a

    def bone_lengths(self, poses: Tensor) -> Tensor:
        """Length of every bone: poses (..., N, 3) to (..., N - 1), in the unit of the poses."""
        # Lists as an index would come from the host, for which a recorded step cannot wait.
        joints = poses.unbind(dim=-2)
        return torch.stack([joints[child] - joints[parent] for parent, child in self.bones], dim=-2).norm(dim=-1)


H36M17 = Skeleton(
    name="h36m17",
    joints=(
        "Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Thorax",
        "Neck", "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    pairs=((4, 1), (5, 2), (6, 3), (11, 14), (12, 15), (13, 16)),
    head=10,
    front=(13, 16),
)  # fmt: skip

SKELETONS = {s.name: s for s in (H36M17,)}


def skeleton_named(name: str) -> Skeleton:
    """The registered joint set of that name.

    Raises:
        ItesError: if no joint set has that name.
    """
    if name not in SKELETONS:
        raise ItesError(f"unknown joint set {name!r}: expected one of {', '.join(SKELETONS)}")
    return SKELETONS[name]
