"""What ITES is compared with: C3DPO, the release's student, the supervised network, and answers without training."""

from __future__ import annotations

import pytest
import torch

from ites_core.camera import project, random_rotations, rotate
from ites_core.checkpoint import build_model
from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive, make_views
from ites_core.metrics import p_mpjpe
from ites_core.models import C3DPO, MeanPose, ResidualMLP, SemGCNStudent, ZeroDepth
from ites_core.models.c3dpo import visible
from ites_core.models.semgcn import PooledAttention, SharedGraphConv
from ites_core.models.trivial import facing
from ites_core.objectives import c3dpo_losses, draw_rotations, supervised_losses
from ites_core.skeleton import H36M17
from ites_core.training import train_supervised, train_teacher, untrained


@pytest.fixture
def image() -> torch.Tensor:
    x = 0.1 * torch.randn(6, 17, 2, generator=torch.Generator().manual_seed(0))
    return x - x[:, :1]


def size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_sizes_are_those_of_the_papers() -> None:
    """Two trunks of C3DPO: about 7.2 million, its reading of Table 9 7.27; the release's student: 534,635."""
    assert size(C3DPO()) == pytest.approx(7.2e6, rel=0.01)
    assert size(C3DPO()) == pytest.approx(7.27e6, rel=0.01)
    official = build_model(student_config("official"), H36M17)
    assert isinstance(official, SemGCNStudent)
    assert size(official) == pytest.approx(534_635, rel=0.01)


# ---- C3DPO ------------------------------------------------------------------------------------------------


def test_c3dpo_looks_at_visible_joints_only(image: torch.Tensor) -> None:
    model = C3DPO(width=32, bottleneck=16, blocks=1).eval()
    hidden = image.clone()
    hidden[:, 5] = torch.nan
    assert (visible(hidden).sum(dim=1) == 16).all() and visible(image).all()
    out = model(hidden)
    assert out.canonical.shape == (6, 17, 3) and out.camera.isfinite().all()
    assert not torch.allclose(out.canonical, model(hidden.nan_to_num()).canonical), "a joint at the root is no gap"
    config = teacher_config("smoke", network="c3dpo", loss="huber")
    turns = draw_rotations(config, 6, torch.Generator().manual_seed(0))
    losses = c3dpo_losses(model, hidden, turns, config)
    assert losses["total"].isfinite()
    losses["total"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters()), "NaN must not reach the weights"


def test_c3dpo_losses_by_hand(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = C3DPO(width=32, bottleneck=16, blocks=1).eval()
    config = teacher_config("smoke", network="c3dpo", loss="norm", weight_rep=2.0, weight_ric=3.0)
    turns = draw_rotations(config, 6, torch.Generator().manual_seed(0))
    assert turns.shape == (6, 2, 3, 3)
    assert torch.allclose(turns[:, 0, 2], torch.tensor([0.0, 0.0, 1.0]).expand(6, 3), atol=1e-6), "in the picture"
    found = c3dpo_losses(model, image, turns, config)
    x = torch.einsum("bij,bnj->bni", turns[:, 0, :2, :2], image)
    out = model(x)
    rep = (out.camera[..., :2] - 5 * x).norm(dim=-1).mean()  # orthographic: no division by depth
    again = model.canonicalise(rotate(out.canonical, turns[:, 1]))
    ric = (again - out.canonical).norm(dim=-1).mean()
    assert torch.allclose(found["rep"], rep, atol=1e-5) and torch.allclose(found["ric"], ric, atol=1e-5)
    assert torch.allclose(found["total"], 2 * rep + 3 * ric, atol=1e-4)


def test_c3dpo_learns_from_incomplete_detections(tiny_archive: MocapArchive) -> None:
    config = teacher_config("smoke", network="c3dpo", loss="huber", noise="detector", max_steps=30)
    run = train_teacher(tiny_archive, config, progress=False)
    assert run.takes_missing_joints and run.log[-1]["total"] < run.log[0]["total"]


# ---- the release's student --------------------------------------------------------------------------------


def test_shared_convolution_by_hand() -> None:
    layer = SharedGraphConv(H36M17.adjacency(), 3, 4)
    torch.nn.init.normal_(layer.edges)
    h = torch.randn(2, 17, 3)
    weights = layer.edge_weights()
    assert torch.allclose(weights.sum(dim=1), torch.ones(17)) and (weights[H36M17.adjacency() == 0] == 0).all()
    for i in (0, 3, 16):
        own = weights[i, i] * layer.itself(h[:, i])
        others = sum(weights[i, j] * layer.neighbours(h[:, j]) for j in range(17) if j != i)
        assert torch.allclose(layer(h)[:, i], own + others, atol=1e-5)


def test_pooled_attention_pools_the_sides_and_adds_to_its_input() -> None:
    layer = PooledAttention(H36M17, 8).eval()
    h = torch.randn(2, 17, 8)
    left, right = H36M17.pairs[0]
    pooled = layer.pool(h)
    assert pooled.shape == (2, 17 - len(H36M17.pairs), 8)
    assert torch.equal(pooled[:, 0], torch.maximum(h[:, left], h[:, right]))
    torch.nn.init.zeros_(layer.norm.weight)
    torch.nn.init.zeros_(layer.norm.bias)
    assert torch.equal(layer(h), h)


# ---- every student -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["agcn", "resfc", "semgcn", "mlp", "zero"])
def test_students_reproduce_their_input(network: str, image: torch.Tensor) -> None:
    model = build_model(student_config("smoke", network=network), H36M17).eval()
    pose = model(image)
    assert isinstance(pose, torch.Tensor) and pose.shape == (6, 17, 3)
    assert torch.allclose(project(pose), image, atol=1e-6) and pose[:, 0].abs().max() == 0


def test_supervised_loss_is_the_distance_to_the_true_depths(image: torch.Tensor) -> None:
    model = ResidualMLP(width=16, blocks=1, dropout=0.0).eval()
    truth = torch.randn(6, 17)
    found = supervised_losses(model, image, truth, student_config("smoke", network="mlp"))
    assert torch.allclose(found["kd"], (model.depth(image) - truth).abs().mean(), atol=1e-6)


def test_supervision_beats_none(tiny_archive: MocapArchive) -> None:
    config = student_config("smoke", network="mlp", channels=128, max_steps=300, dropout=0.0, weight_rec=0.0)
    views = make_views(tiny_archive.part("train"))
    learnt = train_supervised(tiny_archive, config, progress=False)
    flat = untrained(tiny_archive, student_config("smoke", network="zero"))
    errors = [p_mpjpe(run.lift(views.image), views.pose).mean() for run in (learnt, flat)]
    assert errors[0] < 0.6 * errors[1]


# ---- without training --------------------------------------------------------------------------------------


def test_zero_depth_and_mean_pose(tiny_archive: MocapArchive) -> None:
    flat = untrained(tiny_archive, student_config("smoke", network="zero"))
    mean = untrained(tiny_archive, student_config("smoke", network="mean"))
    assert isinstance(flat.model, ZeroDepth) and isinstance(mean.model, MeanPose)
    views = make_views(tiny_archive.part("test"))
    assert flat.lift(views.image)[..., 2].abs().max() == 0
    lifted = mean.lift(views.image)
    assert torch.equal(lifted[0], lifted[-1])
    right, left = lifted[0, H36M17.joints.index("RHip")], lifted[0, H36M17.joints.index("LHip")]
    assert abs(right - left)[2] < 1e-5 < abs(right - left)[0], "all bodies were turned the same way before the mean"


def test_facing_turns_about_the_vertical() -> None:
    poses = torch.randn(20, 17, 3, generator=torch.Generator().manual_seed(0))
    poses = poses - poses[:, :1]
    turned = facing(poses)
    right, left = H36M17.joints.index("RHip"), H36M17.joints.index("LHip")
    across = turned[:, right] - turned[:, left]
    assert across[:, 2].abs().max() < 1e-5 and torch.allclose(turned[..., 1], poses[..., 1])
    about = random_rotations(20, torch.Generator().manual_seed(1), "vertical")
    assert torch.allclose(facing(rotate(poses, about)), turned, atol=1e-5), "whichever way a body faces"
