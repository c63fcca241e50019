"""ites_core.skeleton: the tree, its symmetry and its graph."""

import dataclasses

import pytest
import torch

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, SKELETONS, Skeleton, skeleton_named

TINY = Skeleton(  # a root, a head and one hand on each side
    name="tiny", joints=("root", "head", "left", "right"), parents=(-1, 0, 1, 1), pairs=((2, 3),), head=1
)


@pytest.mark.parametrize("skeleton", [TINY, *SKELETONS.values()], ids=lambda s: s.name)
def test_tree(skeleton):
    n = len(skeleton)
    assert n == len(skeleton.joints) == len(set(skeleton.joints)) == len(skeleton.parents)
    assert skeleton.parents[skeleton.root] == -1
    assert len(skeleton.bones) == n - 1
    assert sorted(child for _, child in skeleton.bones) == [j for j in range(n) if j != skeleton.root]
    for joint in range(n):  # every joint leads to the root
        while joint != skeleton.root:
            assert skeleton.parents[joint] < joint
            joint = skeleton.parents[joint]


@pytest.mark.parametrize("skeleton", [TINY, *SKELETONS.values()], ids=lambda s: s.name)
def test_mirror(skeleton):
    mirror = skeleton.mirror
    assert sorted(mirror) == list(range(len(skeleton)))
    assert [mirror[mirror[j]] for j in range(len(skeleton))] == list(range(len(skeleton)))
    assert not skeleton.left & skeleton.right
    assert {mirror[j] for j in skeleton.left} == skeleton.right
    middle = set(range(len(skeleton))) - skeleton.left - skeleton.right
    assert all(mirror[j] == j for j in middle)
    assert mirror[skeleton.root] == skeleton.root and mirror[skeleton.head] == skeleton.head
    for parent, child in skeleton.bones:  # the mirrored body has the same bones
        assert (mirror[parent], mirror[child]) in skeleton.bones


@pytest.mark.parametrize("skeleton", [TINY, *SKELETONS.values()], ids=lambda s: s.name)
def test_adjacency(skeleton):
    a, bare = skeleton.adjacency(), skeleton.adjacency(self_loops=False)
    n = len(skeleton)
    assert a.shape == (n, n) and a.dtype == torch.float32
    assert torch.equal(a, a.T) and torch.equal(a - torch.eye(n), bare)
    assert bare.sum() == 2 * (n - 1)
    assert (torch.linalg.matrix_power(a, n) > 0).all()  # connected
    order = list(skeleton.mirror)
    assert torch.equal(a[order][:, order], a)  # left and right look the same


def test_tiny_by_hand():
    assert TINY.bones == ((0, 1), (1, 2), (1, 3))
    assert TINY.mirror == (0, 1, 3, 2)
    assert TINY.left == {2} and TINY.right == {3} and TINY.root == 0
    expected = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
    assert torch.equal(TINY.adjacency(), expected)
    pose = torch.tensor([[0.0, 0, 0], [0, -2, 0], [3, -2, 4], [0, -2, -1]])
    torch.testing.assert_close(TINY.bone_lengths(pose), torch.tensor([2.0, 5, 1]))


def test_h36m_names_agree_with_their_sides():
    """The order of Human3.6M's 17 joints is fixed by the data; names are the only other witness."""
    names = H36M17.joints
    assert len(H36M17) == 17 and names[H36M17.root] == "Hip" and names[H36M17.head] == "Head"
    assert {names[j] for j in H36M17.left} == {n for n in names if n[0] == "L"}
    assert {names[j] for j in H36M17.right} == {n for n in names if n[0] == "R"}
    assert all(names[left][1:] == names[right][1:] for left, right in H36M17.pairs)
    chain = {c: names[p] for p, c in ((p, names[c]) for p, c in H36M17.bones)}
    assert chain["RAnkle"] == "RKnee" and chain["RKnee"] == "RHip" and chain["RHip"] == "Hip"
    assert chain["LWrist"] == "LElbow" and chain["LElbow"] == "LShoulder" and chain["LShoulder"] == "Thorax"
    assert chain["Head"] == "Neck" and chain["Neck"] == "Thorax" and chain["Thorax"] == "Spine"


def test_bone_lengths_of_batches():
    poses = torch.randn(2, 3, 17, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = H36M17.bone_lengths(poses)
    assert lengths.shape == (2, 3, 16)
    for i, (parent, child) in enumerate(H36M17.bones):
        expected = (poses[1, 2, child] - poses[1, 2, parent]).norm()
        assert lengths[1, 2, i].item() == pytest.approx(expected.item())
    torch.testing.assert_close(H36M17.bone_lengths(poses + 5.0), lengths)


def test_lookup():
    assert skeleton_named("h36m17") is H36M17
    assert all(name == s.name for name, s in SKELETONS.items())
    with pytest.raises(ItesError, match="unknown joint set 'coco': expected one of h36m17"):
        skeleton_named("coco")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": (-1, 0, 1)}, "4 joints but 3 parents"),
        ({"parents": (-1, 0, 1, -1)}, "exactly one root"),
        ({"parents": (1, -1, 1, 1)}, "before its child"),
        ({"parents": (-1, 0, 2, 1)}, "before its child"),
        ({"parents": (-1, 0, 1, -2)}, "before its child, or be -1"),
        ({"pairs": ((2, 4),)}, "0..3"),
        ({"pairs": ((-1, 3),)}, "0..3"),
        ({"pairs": ((2, 3), (3, 1))}, "more than one pair"),
        ({"pairs": ((2, 2),)}, "more than one pair"),
        ({"head": 4}, "0..3"),
    ],
)
def test_inconsistent_skeletons_are_named(change, message):
    with pytest.raises(ItesError, match=f"skeleton tiny: .*{message}"):
        dataclasses.replace(TINY, **change)


def test_skeletons_are_immutable_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TINY.name = "other"  # type: ignore[misc]
    assert dataclasses.replace(TINY) == TINY and hash(dataclasses.replace(TINY)) == hash(TINY)
