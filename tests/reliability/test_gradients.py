"""Gradients beside finite differences in float64: every loss, every layer, every network, and none forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ites_core import losses, metrics, objectives, priors
from ites_core.camera import look_at, project, random_rotations, rotate, rotation_from_vector, unproject
from ites_core.config import student_config, teacher_config
from ites_core.distributed import SyncedBatchNorm
from ites_core.models import (
    C3DPO,
    MeanPose,
    ResFCStudent,
    ResidualMLP,
    SemGCNStudent,
    Student,
    Teacher,
    ZeroDepth,
    c3dpo,
    graph,
    resfc,
    semgcn,
    student,
    teacher,
    trivial,
)
from ites_core.objectives import draw_rotations
from ites_core.priors import BodyPriors, PoseDensity, typical_bones
from ites_core.skeleton import H36M17
from tests.campaigns.properties.base import DOUBLE, generator, normal

FORMS: tuple[losses.LossForm, ...] = ("squared", "norm", "huber")
SEEN = torch.rand(2, 17, generator=generator(0)) < 0.7
ADJACENCY = H36M17.adjacency()
X = 0.1 * normal(0, 2, 17, 2)


def leaf(number: int, *shape: int) -> Tensor:
    """Numbers to differentiate by."""
    return normal(number, *shape).requires_grad_()


# ---- losses --------------------------------------------------------------------------------------------------

LOSSES: dict[Any, Callable[[losses.LossForm], tuple[Callable[..., Tensor], tuple[Tensor, ...]]]] = {
    losses.joint_error: lambda form: (
        lambda a, b: losses.joint_error(a, b, form, SEEN) + losses.joint_error(a, b, form),
        (leaf(1, 2, 17, 3), leaf(2, 2, 17, 3)),
    ),
    losses.reprojection: lambda form: (
        lambda a, b: losses.reprojection(a, b, form) + losses.reprojection(a, b, form, SEEN),
        (leaf(1, 2, 17, 2), leaf(2, 2, 17, 2)),
    ),
    losses.rotation_invariance: lambda form: (
        lambda a, b: losses.rotation_invariance(a, b, form),
        (leaf(1, 2, 3, 17, 3), leaf(2, 2, 17, 3)),
    ),
    losses.distillation: lambda form: (
        lambda a, b: losses.distillation(a, b, form),
        (leaf(1, 2, 17), leaf(2, 2, 17)),
    ),
    losses.rotation_equivariance: lambda form: (
        lambda a, b: losses.rotation_equivariance(a, b, form),
        (leaf(1, 2, 3, 17, 3), leaf(2, 2, 3, 17, 3)),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_losses(loss: Any, form: losses.LossForm) -> None:
    function, inputs = LOSSES[loss](form)
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("form", FORMS)
def test_joints_that_do_not_count_have_no_gradient_and_none_may_count(form: losses.LossForm) -> None:
    a, b = leaf(1, 2, 17, 2), leaf(2, 2, 17, 2)
    (gradient,) = torch.autograd.grad(losses.reprojection(a, b, form, SEEN), a)
    assert (gradient[~SEEN] == 0).all() and (gradient[SEEN] != 0).all()
    nobody = losses.reprojection(a, b, form, torch.zeros_like(SEEN))
    (gradient,) = torch.autograd.grad(nobody, a)
    assert nobody == 0 and (gradient == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_finite_where_everything_is_right(form: losses.LossForm) -> None:
    a = leaf(1, 2, 17, 3)
    (gradient,) = torch.autograd.grad(losses.joint_error(a, a.detach().clone(), form), a)
    assert (gradient == 0).all()


# ---- layers --------------------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "PhysicalGraphConv": (lambda: graph.PhysicalGraphConv(ADJACENCY, 3, 2), (2, 17, 3)),
    "NonphysicalGraphConv": (lambda: graph.NonphysicalGraphConv(3, 2), (2, 17, 3)),
    "GraphBlock": (lambda: graph.GraphBlock(ADJACENCY, 3, 2, "both"), (2, 17, 3)),
    "GraphBlock, physical": (lambda: graph.GraphBlock(ADJACENCY, 3, 2, "physical"), (2, 17, 3)),
    "GraphBlock, nonphysical": (lambda: graph.GraphBlock(ADJACENCY, 3, 2, "nonphysical"), (2, 17, 3)),
    "GraphTrunk": (lambda: graph.GraphTrunk(H36M17, 3, 2, "both"), (2, 17, 2)),
    "ResidualBlock": (lambda: resfc.ResidualBlock(6, 3), (4, 6)),
    "SharedGraphConv": (lambda: semgcn.SharedGraphConv(ADJACENCY, 3, 2), (2, 17, 3)),
    "PooledAttention": (lambda: semgcn.PooledAttention(H36M17, 4), (2, 17, 4)),
    "SemGCNBlock": (lambda: semgcn.SemGCNBlock(H36M17, 3, 4, attention=True), (2, 17, 3)),
    "Student": (lambda: Student(channels=4, blocks=2), (2, 17, 2)),
    "ResFCStudent": (lambda: ResFCStudent(width=8, blocks=1), (4, 17, 2)),
    "ResidualMLP": (lambda: ResidualMLP(width=8, blocks=1, dropout=0.0), (4, 17, 2)),
    "SemGCNStudent": (lambda: SemGCNStudent(channels=4, blocks=2), (2, 17, 2)),
    "ZeroDepth": (lambda: ZeroDepth(H36M17), (2, 17, 2)),
    "Teacher": (lambda: Teacher(atoms=3, width=8, bottleneck=4, blocks=1), (4, 17, 2)),
    "Teacher, free root": (lambda: Teacher(atoms=3, width=8, bottleneck=4, blocks=1, free_root=True), (4, 17, 2)),
    "Teacher, graph": (lambda: Teacher(atoms=3, width=4, blocks=2, features="agcn"), (2, 17, 2)),
    "C3DPO": (lambda: C3DPO(atoms=3, width=8, bottleneck=4, blocks=1), (4, 17, 2)),
}
ELSEWHERE = {
    "DictionaryModel": "abstract: its composition is a teacher's, and stands in test_composition",
    "DepthStudent": "abstract: its head is any student's",
    "MeanPose": "the same answer whatever the picture: test_a_mean_has_no_gradient",
    "PoseDensity": "test_density",
    "BodyPriors": "test_bones, test_density_loss",
    "Objective": "test_objectives: it calls the losses",
    "SyncedBatchNorm": "needs processes: tests/test_distributed.py compares whole runs with those of one process",
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    """A layer in float64, its parameters in general position, and its input."""
    torch.manual_seed(1)
    build, shape = LAYERS[name]
    layer = build().double().train()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer, normal(5, *shape)


def answer_of(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """All that a layer says, as tensors."""
    out = layer(x)
    if isinstance(layer, C3DPO):
        return *out, out.camera, layer.canonicalise(out.canonical)
    return (*out, out.camera) if isinstance(layer, Teacher) else (out,)


class Whole(nn.Module):
    """A network, and something that is computed with it."""

    def __init__(self, network: nn.Module, call: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, x: Tensor) -> Any:
        return self.call(x)


def gradients_are_right(network: nn.Module, call: Callable[[Tensor], Any], x: Tensor) -> bool:
    """Whether gradients by the input and by every parameter are finite differences."""
    whole = Whole(network, call)
    names = [name for name, _ in whole.named_parameters()]
    leaves = [p.detach().clone().requires_grad_() for p in whole.parameters()]

    def function(x: Tensor, *values: Tensor) -> Any:
        return functional_call(whole, dict(zip(names, values, strict=True)), (x,))

    return torch.autograd.gradcheck(
        function, (x.clone().requires_grad_(), *leaves), fast_mode=True, check_undefined_grad=False
    )


@pytest.mark.parametrize("name", LAYERS)
def test_layers_by_input_and_by_every_parameter(name: str) -> None:
    layer, x = made(name)
    assert gradients_are_right(layer, lambda x: answer_of(layer, x), x)


def test_attention_weights() -> None:
    layer = graph.NonphysicalGraphConv(3, 2).double()
    assert torch.autograd.gradcheck(layer.attention, (leaf(1, 2, 17, 3),))


def test_composition() -> None:
    model = Teacher(atoms=3, width=8, bottleneck=4, blocks=1).double()
    assert torch.autograd.gradcheck(model.compose, (leaf(1, 2, 3),))


def test_a_mean_has_no_gradient() -> None:
    assert not MeanPose()(X.clone().requires_grad_()).requires_grad


# ---- priors ----------------------------------------------------------------------------------------------------


def small_density() -> PoseDensity:
    torch.manual_seed(2)
    return PoseDensity(17, width=8, blocks=1).double()


def test_density() -> None:
    density = small_density()
    noise = (0.1 + torch.rand(2, 1, generator=generator(1), dtype=DOUBLE)).requires_grad_()
    assert torch.autograd.gradcheck(density, (leaf(1, 2, 34), noise))

    def score(y: Tensor, s: Tensor) -> Tensor:  # the gradient of the log-likelihood, by Tweedie
        return (density(y, s) - y) / s.square()

    assert torch.autograd.gradcheck(score, (leaf(2, 2, 34), noise))


def test_bones() -> None:
    prior = BodyPriors(typical_bones(normal(3, 50, 17, 3), H36M17), None, H36M17, 4)
    poses = leaf(1, 2, 17, 3)
    assert torch.autograd.gradcheck(prior.bone_loss, (poses,))
    coincident = torch.zeros(2, 17, 3, dtype=DOUBLE, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior.bone_loss(coincident), coincident)
    assert gradient.isfinite().all()


def test_knees() -> None:
    poses = leaf(1, 2, 17, 3)
    assert priors.knee_loss(poses, H36M17) > 0
    assert torch.autograd.gradcheck(lambda p: priors.knee_loss(p, H36M17), (poses,))
    coincident = torch.zeros(2, 17, 3, dtype=DOUBLE, requires_grad=True)
    (gradient,) = torch.autograd.grad(priors.knee_loss(coincident, H36M17), coincident)
    assert gradient.isfinite().all()


def test_density_loss() -> None:
    """The cleaned picture is a constant by design, so the finite difference holds it fixed, too."""
    prior = BodyPriors(None, small_density(), H36M17, 4).double()
    image = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.density_loss(image), image)
    flat = priors.in_units(X)
    with torch.no_grad():
        clean = prior.density(flat + prior.noise[:2], prior.size[:2])

    def held(image: Tensor) -> Tensor:
        return ((priors.in_units(image) - clean).square().sum(dim=1, keepdim=True) / prior.size[:2]).mean()

    assert torch.autograd.gradcheck(held, (image,))
    assert torch.allclose(held(X), prior.density_loss(X), atol=1e-14)
    torch.testing.assert_close(gradient, torch.autograd.grad(held(image), image)[0], rtol=1e-12, atol=0)


# ---- whole losses of training, geometry, metrics ---------------------------------------------------------------


def objective(name: str, form: losses.LossForm) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A network, and the loss of a batch as a function of its pictures."""
    torch.manual_seed(4)
    label = normal(8, 4, 17)
    if name == "c3dpo_losses":
        config = teacher_config("smoke", network="c3dpo", loss=form)
        turns = draw_rotations(config, 4, generator(0)).double()
        phi = C3DPO(atoms=3, width=8, bottleneck=4, blocks=1).double()
        return phi, lambda x: objectives.c3dpo_losses(phi, x, turns, config)["total"]
    if name == "teacher_losses":
        config = teacher_config("smoke", loss=form, rotations_per_pose=2)
        turns = draw_rotations(config, 4, generator(0)).double()
        guide = Teacher(atoms=3, width=8, bottleneck=4, blocks=1).double()
        return guide, lambda x: objectives.teacher_losses(guide, x, turns, config)["total"]
    learner = Student(channels=4, blocks=2).double()
    plain = student_config("smoke", loss=form)
    if name == "supervised_losses":
        return learner, lambda x: objectives.supervised_losses(learner, x, label, plain)["total"]
    weighed = student_config("smoke", loss=form, weight_bones=0.5)
    turns = draw_rotations(weighed, 4, generator(0)).double()
    prior = BodyPriors(typical_bones(normal(3, 50, 17, 3), H36M17), None, H36M17, 4)
    return learner, lambda x: objectives.student_losses(learner, x, label, turns, weighed, prior)["total"]


OBJECTIVES = ("teacher_losses", "student_losses", "supervised_losses", "c3dpo_losses")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name: str, form: losses.LossForm) -> None:
    network, total = objective(name, form)
    x = 0.1 * normal(6, 4, 17, 2)
    assert gradients_are_right(network, total, x)


def test_geometry() -> None:
    assert torch.autograd.gradcheck(project, (leaf(1, 2, 17, 3),))
    assert torch.autograd.gradcheck(unproject, (leaf(1, 2, 17, 2), leaf(2, 2, 17)))
    assert torch.autograd.gradcheck(rotate, (leaf(1, 2, 17, 3), leaf(2, 2, 3, 3)))
    assert torch.autograd.gradcheck(rotation_from_vector, (leaf(3, 4, 3),))
    up = torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE)
    assert torch.autograd.gradcheck(lambda eye, target: look_at(eye, target, up), (leaf(4, 2, 3), leaf(5, 2, 3)))
    turns = random_rotations(2, generator(0)).double()
    assert torch.autograd.gradcheck(lambda p: priors.mirrored(rotate(p, turns), H36M17), (leaf(1, 2, 17, 3),))


def test_procrustes_by_prediction_and_target() -> None:
    both = leaf(1, 2, 17, 3), leaf(2, 2, 17, 3)
    assert torch.autograd.gradcheck(lambda p, t: metrics.procrustes_align(p, t).aligned, both)


# ---- none forgotten ----------------------------------------------------------------------------------------------


def test_every_loss_is_checked() -> None:
    public = {f for name, f in vars(losses).items() if inspect.isfunction(f) and f.__module__ == losses.__name__}
    assert public == set(LOSSES), "a loss without a gradient check: add it to LOSSES"
    whole = {name for name, f in vars(objectives).items() if inspect.isfunction(f) and name.endswith("_losses")}
    assert whole == set(OBJECTIVES), "an objective without a gradient check: add it to OBJECTIVES"
    of_priors = {name for name in vars(BodyPriors) if name.endswith("_loss")}
    assert of_priors == {"bone_loss", "density_loss"}, "a prior without a gradient check: write one"


def test_every_layer_is_checked() -> None:
    modules = (c3dpo, graph, resfc, semgcn, student, teacher, trivial, priors, objectives)
    layers = {
        kind.__name__
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__
    }
    checked = {name.split(",")[0] for name in LAYERS} | set(ELSEWHERE)
    assert layers <= checked, f"without a gradient check: {sorted(layers - checked)}"
    assert checked <= layers | {SyncedBatchNorm.__name__}, "checked, but gone"
