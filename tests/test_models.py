"""Teacher and student: the paper's equations, shapes, sizes and errors."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ites_core.camera import project
from ites_core.errors import ItesError
from ites_core.models import Student, Teacher
from ites_core.models.graph import NonphysicalGraphConv, PhysicalGraphConv, matchings
from ites_core.skeleton import H36M17


@pytest.fixture
def image() -> torch.Tensor:
    x = 0.1 * torch.randn(6, 17, 2, generator=torch.Generator().manual_seed(0))
    return x - x[:, :1]


def test_teacher_pose_is_the_kronecker_product_of_eq_1(image: torch.Tensor) -> None:
    teacher = Teacher(width=32, bottleneck=16, blocks=1, atoms=5).eval()
    out = teacher(image)
    stacked = teacher.dictionary.permute(0, 2, 1).reshape(15, 17)  # [B_1; ...; B_K], each (3, N)
    for c, y in zip(out.coefficients, out.canonical, strict=True):
        assert torch.allclose(torch.kron(c[None], torch.eye(3)) @ stacked, y.mT, atol=1e-5)
    assert torch.allclose(out.camera, (out.rotation @ out.canonical.mT).mT, atol=1e-6)
    assert torch.allclose(out.rotation @ out.rotation.mT, torch.eye(3).expand(6, 3, 3), atol=1e-5)


def test_teacher_root_is_pinned_unless_free(image: torch.Tensor) -> None:
    assert Teacher(width=16, bottleneck=8, blocks=1)(image).canonical[:, 0].abs().max() == 0
    assert Teacher(width=16, bottleneck=8, blocks=1, free_root=True)(image).canonical[:, 0].abs().max() > 0


def test_teacher_has_the_published_size() -> None:
    parameters = sum(p.numel() for p in Teacher().parameters())
    assert parameters == pytest.approx(3.62e6, rel=0.01)


@pytest.mark.parametrize("shape", [(6, 17, 3), (6, 16, 2), (17, 2)])
@pytest.mark.parametrize("model", [Teacher(width=16, bottleneck=8, blocks=1), Student(channels=4, blocks=2)])
def test_wrong_shapes_are_refused(model: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ItesError, match=r"expected \(batch, 17, 2\)"):
        model(torch.zeros(shape))


def test_physical_convolution_is_eq_4_with_non_edges_masked() -> None:
    adjacency = H36M17.adjacency()
    layer = PhysicalGraphConv(adjacency, 3, 4)
    nn.init.normal_(layer.edges)
    h = torch.randn(2, 17, 3)
    out = layer(h)
    for d in range(4):
        weights = torch.zeros(17, 17)
        for i in range(17):
            neighbours = adjacency[:, i].nonzero().flatten()
            weights[neighbours, i] = layer.edges[d, neighbours, i].softmax(0)
        by_hand = torch.einsum("bjk,k->bj", h, layer.weight.weight[d]) @ weights
        assert torch.allclose(out[..., d], by_hand, atol=1e-5)
    assert torch.allclose(layer.edge_weights().sum(1), torch.ones(4, 17))


def test_physical_convolution_folds_its_softmax_in_eval_and_forgets_it_in_training() -> None:
    layer = PhysicalGraphConv(H36M17.adjacency(), 3, 4)
    h = torch.randn(2, 17, 3)
    nn.init.normal_(layer.edges)
    expected = layer(h)
    layer.eval()
    with torch.no_grad():
        assert torch.equal(layer(h), layer(h)) and torch.allclose(layer(h), expected)
        layer.train()
        nn.init.normal_(layer.edges)
        layer.eval()
        assert not torch.allclose(layer(h), expected)
        copied = copy.deepcopy(layer)
        copied.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})
        assert not torch.allclose(copied(h), layer(h)), "loading weights must drop the folded softmax"


def test_nonphysical_convolution_is_eq_5() -> None:
    layer = NonphysicalGraphConv(3, 4)
    h = torch.randn(2, 17, 3)
    attention = layer.attention(h)
    assert torch.allclose(attention.sum(dim=1), torch.ones(2, 17), atol=1e-6)
    w1, w2 = layer.w1.weight, layer.w2.weight
    column = h[0].T  # H, (D, N)
    scores = column.T @ w1.T @ w2 @ column
    assert torch.allclose(attention[0], scores.softmax(dim=0), atol=1e-6)
    assert torch.allclose(layer(h)[0], layer.f((layer.g(h[0]).T @ attention[0]).T), atol=1e-6)


@pytest.mark.parametrize("graph", ["both", "physical", "nonphysical"])
def test_student_reprojects_exactly(graph: str, image: torch.Tensor) -> None:
    student = Student(channels=8, blocks=2, graph=graph)  # type: ignore[arg-type]
    nn.init.normal_(student.depth_head.weight, std=1e4)  # deep enough to reach the clamp
    pose = student(image)
    assert pose[..., 2].min() < -4
    assert torch.allclose(project(pose), image, atol=1e-6)
    assert pose[:, 0].abs().max() == 0


def test_every_parameter_learns(image: torch.Tensor) -> None:
    for model in (Teacher(width=16, bottleneck=8, blocks=1), Student(channels=8, blocks=2)):
        out = model(image)
        pose = out.camera if isinstance(model, Teacher) else out
        (pose * torch.randn(pose.shape)).sum().backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # A bias before batch normalisation, or a constant added to every depth, changes nothing.
        assert all(n.endswith("bias") for n in silent), silent


def test_matchings_share_out_every_edge_once() -> None:
    path_and_ring = torch.zeros(7, 7)  # a ring of four, a pair, and one joint alone
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5)):
        path_and_ring[a, b] = path_and_ring[b, a] = 1
    for adjacency in (H36M17.adjacency(), path_and_ring + torch.eye(7)):
        n = len(adjacency)
        rows = matchings(adjacency)
        joints = torch.arange(n)
        assert torch.equal(rows[0], joints)
        assert all(torch.equal(row[row], joints) for row in rows), "partners are mutual"
        covered = torch.zeros(n, n)
        for row in rows[1:]:
            covered[row[row != joints], joints[row != joints]] += 1
        assert torch.equal(covered, (adjacency - torch.eye(n)).clamp(min=0))
    busiest = int(H36M17.adjacency().sum(dim=0).max()) - 1
    assert len(matchings(H36M17.adjacency())) == 1 + busiest


def test_graph_layers_have_true_gradients() -> None:
    adjacency = H36M17.adjacency()
    h = torch.randn(2, 17, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for layer in (PhysicalGraphConv(adjacency, 3, 2), NonphysicalGraphConv(3, 2)):
        layer = layer.double()
        assert torch.autograd.gradcheck(lambda x, *_, layer=layer: layer(x), (h, *layer.parameters()))


def test_nonphysical_convolution_folds_its_products_in_eval() -> None:
    layer = NonphysicalGraphConv(4, 4).eval()
    h = torch.randn(2, 17, 4)
    with torch.no_grad():
        before = layer(h)
        layer.f[0].weight.mul_(2)
        assert torch.equal(layer(h), before), "computed once"
        layer.train()
        layer.eval()
        assert not torch.allclose(layer(h), before)
