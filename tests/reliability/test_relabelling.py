"""Joints in another order, left and right exchanged: what holds for networks, losses and training as a whole.

What knows no side (camera, metrics, losses, plausibility, keypoint sets) is equivariant as it stands; the properties of
``tests/campaigns/properties/relabelling.py`` say so. A network is not: its weights know which joint is which, and
nothing makes what it learnt about the left hold for the right. Two statements hold instead, and are tested here.

* **Another order.** Number the joints anew, in the skeleton and in the input, and move the parameters along: the output
  is the old one in the new order. So no code depends on the order of the joints, apart from what the skeleton says.
* **Another side.** To every network there is a mirror image: its parameters moved as under the exchange of left and
  right, with the signs of all that multiplies x turned. Shown mirrored pictures, it answers with mirrored bodies, its
  losses are the same, and so is its training: step for step the mirror image of the other network's.

The student ``beyond`` has an equivariance of its own: its labels are averages over a picture and its mirror image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.loop import TensorData
from ites_core.models import C3DPO, ResFCStudent, ResidualMLP, SemGCNStudent, Student, Teacher, ZeroDepth
from ites_core.models.graph import PhysicalGraphConv
from ites_core.models.semgcn import PooledAttention, SharedGraphConv
from ites_core.objectives import c3dpo_losses, draw_rotations, student_losses, teacher_losses
from ites_core.priors import mirrored
from ites_core.skeleton import H36M17, Skeleton
from ites_core.training import student_task, train_teacher
from tests.campaigns.properties.base import DOUBLE, SEEDS, generator, normal
from tests.campaigns.properties.relabelling import FLIP, MIRROR, other_rotation

NETWORKS: dict[str, Callable[[Skeleton], nn.Module]] = {
    "Student": lambda s: Student(s, channels=6, blocks=2),
    "Student, physical": lambda s: Student(s, channels=6, blocks=2, graph="physical"),
    "Student, nonphysical": lambda s: Student(s, channels=6, blocks=2, graph="nonphysical"),
    "SemGCNStudent": lambda s: SemGCNStudent(s, channels=6, blocks=2),
    "ResFCStudent": lambda s: ResFCStudent(s, width=12, blocks=1),
    "ResidualMLP": lambda s: ResidualMLP(s, width=12, blocks=1, dropout=0.0),
    "ZeroDepth": ZeroDepth,
    "Teacher": lambda s: Teacher(s, atoms=4, width=12, bottleneck=6, blocks=1),
    "Teacher, graph": lambda s: Teacher(s, atoms=4, width=6, blocks=2, features="agcn"),
    "C3DPO": lambda s: C3DPO(s, atoms=4, width=12, bottleneck=6, blocks=1),
}


def made(name: str, seed: int = 0) -> nn.Module:
    """A network for H36M17 in float64, its parameters in general position."""
    torch.manual_seed(seed)
    network = NETWORKS[name](H36M17).double().train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def renumbered(order: list[int]) -> Skeleton:
    """H36M17 with joint k of the new order being joint ``order[k]`` of the old."""
    place = {old: new for new, old in enumerate(order)}
    return Skeleton(
        name="renumbered",
        joints=tuple(H36M17.joints[j] for j in order),
        parents=tuple(place.get(H36M17.parents[j], -1) for j in order),
        pairs=tuple((place[left], place[right]) for left, right in H36M17.pairs),
        head=place[H36M17.head],
        front=tuple(place[j] for j in H36M17.front),
    )


def parents_first(choose: Callable[[int], int]) -> list[int]:
    """An order in which every parent comes before its children; ``choose`` picks one of so many that may come next."""
    order: list[int] = []
    while len(order) < len(H36M17):
        ready = [j for j, p in enumerate(H36M17.parents) if j not in order and (p < 0 or p in order)]
        order.append(ready[choose(len(ready))])
    return order


@torch.no_grad()
def move_along(network: nn.Module, order: list[int]) -> None:
    """Move the parameters of a network for the old numbers to where the new numbers look for them."""
    n = len(order)
    for layer in network.modules():
        if isinstance(layer, PhysicalGraphConv):
            layer.edges.copy_(layer.edges[:, order][:, :, order])
        if isinstance(layer, SharedGraphConv):
            dense = layer.edges.new_zeros(n, n)
            row, column = layer.place.T
            dense[row, column] = layer.edges
            moved = H36M17.adjacency()[order][:, order].nonzero().T
            layer.edges.copy_(dense[order][:, order][tuple(moved)])
    if isinstance(network, Teacher | C3DPO):
        network.atoms.copy_(network.atoms[:, order])
    for layer, per_joint in inputs_of(network):
        layer.weight.copy_(layer.weight.unflatten(1, (n, per_joint))[:, order].flatten(1))
    if isinstance(network, ResFCStudent | ResidualMLP):
        network.depth_head.weight.copy_(network.depth_head.weight[order])
        network.depth_head.bias.copy_(network.depth_head.bias[order])


def inputs_of(network: nn.Module) -> list[tuple[nn.Linear, int]]:
    """The linear layers that see all joints in a row, and how many numbers each joint has there."""
    if isinstance(network, C3DPO):
        return [(network.trunk[0], 3), (network.canonical_trunk[0], 3)]
    if isinstance(network, Teacher) and isinstance(network.trunk[0], nn.Flatten):
        return [(network.trunk[1][0], 2)]
    if isinstance(network, Teacher):  # of graph features
        channels = network.trunk[0].embed.norm.num_features
        return [(network.coefficients, channels), (network.rotation, channels)]
    if isinstance(network, ResFCStudent):
        return [(network.trunk[0], 2)]
    return [(network.first[0], 2)] if isinstance(network, ResidualMLP) else []


@torch.no_grad()
def turn_signs(network: nn.Module) -> None:
    """The signs of all that multiplies or makes an x: first layers, atoms, two components of a rotation."""
    if isinstance(network, Teacher | C3DPO):
        network.atoms.mul_(FLIP)
        network.rotation.weight.mul_(-FLIP[:, None])  # a rotation vector is axial: (a, b, c) to (a, -b, -c)
        network.rotation.bias.mul_(-FLIP)
    for layer, per_joint in inputs_of(network):
        if per_joint <= 3:  # u, v and, for C3DPO, whether it was seen or z; more are features, which have no sign
            layer.weight.copy_((layer.weight.unflatten(1, (-1, per_joint)) * FLIP[:per_joint]).flatten(1))
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == 2:  # of a graph: the coordinates of one joint
            layer.weight.mul_(FLIP[:2])


def answer(network: nn.Module, x: Tensor) -> Tensor:
    """Pose in the camera's frame."""
    out = network(x)
    return out.camera if isinstance(network, Teacher | C3DPO) else out


def mirror_image(network: nn.Module) -> nn.Module:
    """The network that does to mirrored pictures what this one does to pictures."""
    image = copy.deepcopy(network)
    move_along(image, MIRROR)
    turn_signs(image)
    return image


def test_left_and_right_have_the_same_graph() -> None:
    adjacency = H36M17.adjacency()
    assert torch.equal(adjacency[MIRROR][:, MIRROR], adjacency)
    layer = PooledAttention(H36M17, 4)
    h = torch.randn(2, 17, 4)
    assert torch.equal(layer.pool(h[:, MIRROR]), layer.pool(h)), "a pair is pooled to its maximum, whichever is left"


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8)
@given(data=st.data(), seed=SEEDS)
def test_joints_in_another_order(name: str, data: st.DataObject, seed: int) -> None:
    order = parents_first(lambda count: data.draw(st.integers(0, count - 1)))
    network, skeleton = made(name, seed), renumbered(order)
    other = NETWORKS[name](skeleton).double().train()
    old = copy.deepcopy(network)
    move_along(old, order)
    other.load_state_dict(old.state_dict())
    x = 0.1 * normal(seed, 5, 17, 2)
    torch.testing.assert_close(answer(other, x[:, order]), answer(network, x)[:, order], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5)
@given(seed=SEEDS)
def test_a_mirrored_network_answers_with_mirrored_bodies(name: str, seed: int) -> None:
    network = made(name, seed)
    x = 0.1 * normal(seed, 5, 17, 2)
    found = answer(mirror_image(network), mirrored(x, H36M17))
    torch.testing.assert_close(found, mirrored(answer(network, x), H36M17), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["Teacher", "C3DPO", "Student", "SemGCNStudent"])
def test_training_of_a_mirrored_network_is_the_mirror_image_of_training(name: str) -> None:
    """Five steps of gradient descent with momentum; float64, so that only rounding is left."""
    network = made(name)
    image = mirror_image(network)
    x, label = 0.1 * normal(1, 8, 17, 2), normal(2, 8, 17)
    totals = []
    for model, side in ((network, False), (image, True)):
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        seen = mirrored(x, H36M17) if side else x
        depth = label[:, MIRROR] if side else label
        for step in range(5):
            total = loss_of(model, seen, depth, step, side)
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            totals.append(total.detach())
    ours, theirs = torch.stack(totals).chunk(2)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)
    expected = mirror_image(network).state_dict()
    for key, value in image.state_dict().items():
        torch.testing.assert_close(value, expected[key], atol=1e-8, rtol=1e-8, msg=key)


def loss_of(model: nn.Module, x: Tensor, label: Tensor, step: int, side: bool) -> Tensor:
    """The loss of one step, its rotations mirrored for the mirrored side."""
    config = student_config("smoke") if isinstance(model, Student | SemGCNStudent) else teacher_config("smoke")
    if isinstance(model, C3DPO):
        config = teacher_config("smoke", network="c3dpo")
    turns = draw_rotations(config, len(x), generator(step)).to(DOUBLE)
    turns = other_rotation(turns) if side else turns
    if isinstance(model, C3DPO):
        return c3dpo_losses(model, x, turns, config)["total"]
    if isinstance(model, Teacher):
        return teacher_losses(model, x, turns, config)["total"]
    return student_losses(model, x, label, turns, config)["total"]


def test_labels_averaged_over_a_picture_and_its_mirror_image_are_equivariant(tiny_archive: MocapArchive) -> None:
    """Bit by bit: a sum of two numbers does not depend on their order. Without the average they are not."""
    guide = train_teacher(tiny_archive, teacher_config("smoke", max_steps=3), progress=False)
    for averaged in (True, False):
        config = student_config("smoke", mirror_pictures=averaged)
        data = student_task(tiny_archive, guide, config).data
        assert isinstance(data, TensorData)
        x, depths = data.tensors
        if not averaged:
            guide.model.eval()
            with torch.no_grad():
                theirs = guide.model(mirrored(x, H36M17)).camera[..., 2]
            assert not torch.allclose(theirs[:, MIRROR], depths, atol=1e-2)
            continue
        here, there = x.chunk(2)
        assert torch.equal(mirrored(here, H36M17), there)
        assert torch.equal(depths.chunk(2)[0][:, MIRROR], depths.chunk(2)[1])
