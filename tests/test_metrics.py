"""ites_core.metrics against one-pose-at-a-time references, on ordinary and on degenerate poses."""

import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from ites_core import metrics
from ites_core.camera import random_rotations, rotate
from ites_core.errors import ItesError
from ites_core.metrics import (
    auc,
    better_mirrored,
    depth_mirror,
    mpjpe,
    n_mpjpe,
    p_mpjpe,
    pck,
    procrustes_align,
)

ERRORS = [mpjpe, n_mpjpe, p_mpjpe]
ALL = [*ERRORS, pck, auc]


def by_name(f):
    return f.__name__


def poses(kind: str, frames: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(prediction, target), float64 metres, root-relative; the name says what is special about them."""
    g = torch.Generator().manual_seed(seed)
    target = 0.3 * torch.randn(frames, 17, 3, generator=g, dtype=torch.float64)
    prediction = target + 0.1 * torch.randn(frames, 17, 3, generator=g, dtype=torch.float64)
    if kind == "flat prediction":
        prediction[..., 2] = 0.0
    elif kind == "tilted flat prediction":
        prediction[..., 2] = 0.7 * prediction[..., 0] - 0.2 * prediction[..., 1]
    elif kind == "flat target":
        target[..., 2] = 0.0
    elif kind == "both flat":
        prediction[..., 2] = target[..., 2] = 0.0
    elif kind == "collinear":
        prediction = prediction[..., :1] * torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    elif kind == "coincident prediction":
        prediction = torch.zeros_like(prediction)
    elif kind == "coincident off the root":
        prediction = prediction[:, :1].expand_as(prediction)
    elif kind == "coincident target":
        target = torch.zeros_like(target)
    elif kind == "reflected":
        prediction = prediction * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    else:
        assert kind == "random"
    if kind != "coincident off the root":
        prediction = prediction - prediction[:, :1]
    return prediction, target - target[:, :1]


KINDS = [
    "random",
    "reflected",
    "flat prediction",
    "tilted flat prediction",
    "flat target",
    "both flat",
    "collinear",
    "coincident prediction",
    "coincident off the root",
    "coincident target",
]


# ---- the references: one pose, plain loops, rotation from scipy -------------------------------------------


def naive_align(p: np.ndarray, t: np.ndarray, align: str) -> np.ndarray:
    """Align one pose (N, 3) with another."""
    if align == "none":
        return p
    if align == "scale":
        power = sum(float(a @ a) for a in p)
        return p * (sum(float(a @ b) for a, b in zip(p, t, strict=True)) / power) if power > 0 else 0 * p
    x, y = p - p.mean(0), t - t.mean(0)
    if np.abs(x).max() < 1e-12 or np.abs(y).max() < 1e-12:
        return np.broadcast_to(t.mean(0), t.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy says when the best rotation is not unique
        rotation, _ = Rotation.align_vectors(y, x)
    turned = rotation.apply(x)
    return (turned * y).sum() / (x * x).sum() * turned + t.mean(0)


def naive_distances(p: np.ndarray, t: np.ndarray, align: str) -> list[float]:
    aligned = naive_align(p, t, align)
    return [float(np.sqrt(((a - b) ** 2).sum())) for a, b in zip(aligned, t, strict=True)]


def naive(metric, p: np.ndarray, t: np.ndarray) -> float:
    if metric in ERRORS:
        align = {mpjpe: "none", n_mpjpe: "scale", p_mpjpe: "procrustes"}[metric]
        return float(np.mean(naive_distances(p, t, align)))
    distances = naive_distances(p, t, "scale")
    thresholds = [0.15] if metric is pck else [0.005 * k for k in range(31)]
    return float(np.mean([sum(d < limit for d in distances) / len(distances) for limit in thresholds]))


@pytest.mark.parametrize("oracle_flip", [False, True], ids=["no oracle", "oracle flip"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_equals_the_naive_loop(metric, kind, oracle_flip):
    prediction, target = poses(kind)
    got = metric(prediction, target, oracle_flip=oracle_flip)
    best = min if metric in ERRORS else max
    for frame, p, t in zip(got, prediction.numpy(), target.numpy(), strict=True):
        expected = naive(metric, p, t)
        if oracle_flip:
            expected = best(expected, naive(metric, p * [1, 1, -1], t))
        assert frame.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["random", "reflected", "flat prediction", "flat target", "tilted flat prediction"])
def test_procrustes_rotation_equals_scipy(kind):
    prediction, target = poses(kind)
    rotation = procrustes_align(prediction, target).rotation
    for r, p, t in zip(rotation.numpy(), prediction.numpy(), target.numpy(), strict=True):
        reference, _ = Rotation.align_vectors(t - t.mean(0), p - p.mean(0))
        np.testing.assert_allclose(r, reference.as_matrix(), atol=1e-6)


# ---- Procrustes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_procrustes_parts_fit_together(kind):
    prediction, target = poses(kind)
    aligned, rotation, scale, translation = procrustes_align(prediction, target)
    again = scale[:, None, None] * rotate(prediction, rotation) + translation[:, None]
    torch.testing.assert_close(again, aligned, atol=1e-12, rtol=0)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand_as(rotation))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(40).double())
    assert (scale >= 0).all()


def test_procrustes_recovers_a_similarity():
    source, _ = poses("random")
    g = torch.Generator().manual_seed(1)
    rotation = random_rotations(40, g).double()
    scale = torch.rand(40, generator=g).double() + 0.5
    translation = torch.randn(40, 3, generator=g).double()
    target = scale[:, None, None] * rotate(source, rotation) + translation[:, None]
    found = procrustes_align(source, target)
    torch.testing.assert_close(found.rotation, rotation, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.scale, scale, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.translation, translation, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.aligned, target, atol=1e-6, rtol=0)


def test_procrustes_is_the_least_squares_optimum():
    prediction, target = poses("random")
    found = procrustes_align(prediction, target)
    best = (found.aligned - target).square().sum((-2, -1))
    g = torch.Generator().manual_seed(2)
    for size in (1e-3, 0.1, 1.0):
        nudge = torch.linalg.matrix_exp(size * _skew(torch.randn(40, 3, generator=g).double()))
        scale = found.scale * (1 + size * torch.randn(40, generator=g).double())
        moved = scale[:, None, None] * rotate(prediction, nudge @ found.rotation) + found.translation[:, None]
        assert ((moved - target).square().sum((-2, -1)) >= best).all()


def _skew(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))


def test_coincident_points_get_scale_zero_and_the_centroid():
    prediction, target = poses("coincident off the root")
    found = procrustes_align(prediction, target)
    assert (found.scale == 0).all()
    torch.testing.assert_close(found.aligned, target.mean(-2, keepdim=True).expand_as(target))


# ---- what each metric ignores, and what it does not -------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.01, 100),
    shift=st.tuples(*[st.floats(-10, 10)] * 3),
)
def test_invariances(seed, scale, shift):
    prediction, target = poses("random", frames=3, seed=seed)
    rotation = random_rotations(3, torch.Generator().manual_seed(seed)).double()
    turned = scale * rotate(prediction, rotation) + torch.tensor(shift).double()
    close = {"atol": 1e-6, "rtol": 0}
    torch.testing.assert_close(p_mpjpe(turned, target), p_mpjpe(prediction, target), **close)
    torch.testing.assert_close(n_mpjpe(scale * prediction, target), n_mpjpe(prediction, target), **close)
    torch.testing.assert_close(pck(scale * prediction, target), pck(prediction, target), **close)
    for metric in ERRORS:  # and all of them carry the unit of length of their input
        both = metric(scale * prediction, scale * target)
        torch.testing.assert_close(both, scale * metric(prediction, target), atol=1e-6, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_order_of_the_metrics(seed):
    """Least squares is not least mean, so N- against P-MPJPE needs squares; the oracle only ever helps."""
    prediction, target = poses("random", frames=5, seed=seed)
    aligned = procrustes_align(prediction, target).aligned
    assert ((aligned - target).square().sum((-2, -1)) <= (prediction - target).square().sum((-2, -1))).all()
    for metric in ERRORS:
        assert (metric(prediction, target, oracle_flip=True) <= metric(prediction, target)).all()
    for metric in (pck, auc):
        score, oracle = metric(prediction, target), metric(prediction, target, oracle_flip=True)
        assert (score >= 0).all() and (score <= oracle).all() and (oracle <= 1).all()


def test_what_the_metrics_notice():
    prediction, target = poses("random", frames=8)
    rotation = random_rotations(8, torch.Generator().manual_seed(3)).double()
    mirrored = depth_mirror(prediction)
    assert (p_mpjpe(mirrored, target) - p_mpjpe(prediction, target) > 0.02).all()
    assert (n_mpjpe(rotate(prediction, rotation), target) - n_mpjpe(prediction, target) > 0.02).all()
    assert (mpjpe(rotate(prediction, rotation), target) - mpjpe(prediction, target) > 0.02).all()
    assert (mpjpe(1.5 * prediction, target) - mpjpe(prediction, target) > 0.02).all()


@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_oracle_does_not_care_which_twin_it_gets(metric):
    prediction, target = poses("random")
    torch.testing.assert_close(
        metric(prediction, target, oracle_flip=True),
        metric(depth_mirror(prediction), target, oracle_flip=True),
    )


def test_better_mirrored():
    prediction, target = poses("random")
    assert not better_mirrored(prediction, target).any()
    assert better_mirrored(depth_mirror(prediction), target).all()
    g = torch.Generator().manual_seed(4)
    guess = torch.randn(200, 17, 3, generator=g, dtype=torch.float64)
    truth = torch.randn(200, 17, 3, generator=g, dtype=torch.float64)
    expected = p_mpjpe(depth_mirror(guess), truth) < p_mpjpe(guess, truth)
    assert (better_mirrored(guess, truth) == expected).all()
    assert 60 < expected.sum() < 140


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("random", "reflected", "flat target")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_pose_that_is_its_own_twin_is_not_better_mirrored(kind, dtype):
    prediction, target = poses(kind)
    assert not better_mirrored(prediction.to(dtype), target.to(dtype)).any()


# ---- values that can be checked by eye --------------------------------------------------------------------


def test_by_hand():
    target = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    prediction = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]])
    assert mpjpe(prediction, target).item() == pytest.approx(2 / 4)
    assert mpjpe(prediction, target, oracle_flip=True).item() == 0.0
    assert n_mpjpe(2 * target, target).item() == pytest.approx(0)
    # <p, t> = 1 and <p, p> = 3, so s = 1/3: two joints are 2/3 off, the third is 4/3 off.
    assert n_mpjpe(prediction, target).item() == pytest.approx((2 / 3 + 2 / 3 + 4 / 3) / 4)
    assert n_mpjpe(torch.zeros(4, 3), target).item() == pytest.approx(3 / 4)
    assert pck(prediction, target, align="none").item() == pytest.approx(3 / 4)
    assert pck(prediction, target, align="none", joints=[3]).item() == 0.0
    assert pck(prediction, target, align="none", joints=[3], oracle_flip=True).item() == 1.0
    assert pck(prediction, target, threshold=2.1, align="none").item() == 1.0


def test_auc_by_hand():
    target = torch.zeros(3, 1, 3, dtype=torch.float64)
    prediction = target.clone()
    prediction[:, 0, 0] = torch.tensor([0.0, 0.0723, 0.151], dtype=torch.float64)
    # strictly within 5, 10, ..., 150 mm: 30 of 31; within 75, 80, ..., 150: 16 of 31; within none
    expected = torch.tensor([30 / 31, 16 / 31, 0.0], dtype=torch.float64)
    torch.testing.assert_close(auc(prediction, target, align="none"), expected)
    assert len(metrics.AUC_THRESHOLDS) == 31 and metrics.AUC_THRESHOLDS[-1] == pytest.approx(0.150)


@pytest.mark.parametrize("align", ["none", "scale", "procrustes"])
def test_pck_alignments_and_joints(align):
    prediction, target = poses("random")
    joints = [1, 2, 5, 16]
    for metric, limits in ((pck, [0.15]), (auc, [0.005 * k for k in range(31)])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = metric(prediction, target, align=align, joints=joints)
        for frame, p, t in zip(got, prediction.numpy(), target.numpy(), strict=True):
            distances = np.array(naive_distances(p, t, align))[joints]
            assert frame.item() == pytest.approx(np.mean([(distances < limit).mean() for limit in limits]))


# ---- shapes, types, gradients, time -----------------------------------------------------------------------


@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_batch_shapes(metric):
    prediction, target = poses("random", frames=24)
    flat = metric(prediction, target, oracle_flip=True)
    assert flat.shape == (24,)
    folded = metric(prediction.unflatten(0, (2, 3, 4)), target.unflatten(0, (2, 3, 4)), oracle_flip=True)
    torch.testing.assert_close(folded, flat.unflatten(0, (2, 3, 4)))
    torch.testing.assert_close(metric(prediction[0], target[0], oracle_flip=True), flat[0])
    assert metric(prediction[:0], target[:0], oracle_flip=True).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ERRORS, ids=by_name)
def test_float32_is_close_to_float64(metric, kind):
    prediction, target = poses(kind)
    for oracle_flip in (False, True):
        single = metric(prediction.float(), target.float(), oracle_flip=oracle_flip)
        assert single.dtype == torch.float32
        double = metric(prediction, target, oracle_flip=oracle_flip)
        torch.testing.assert_close(single.double(), double, atol=1e-6, rtol=0)


def test_mixed_precision_promotes():
    prediction, target = poses("random")
    for metric in ALL:
        assert metric(prediction.float(), target).dtype == torch.float64
        assert metric(prediction.bfloat16(), target.float()).dtype == torch.float32


@pytest.mark.parametrize("oracle_flip", [False, True], ids=["no oracle", "oracle flip"])
@pytest.mark.parametrize("metric", ERRORS, ids=by_name)
def test_gradients(metric, oracle_flip):
    prediction, target = poses("random", frames=2)
    prediction[:, 0] += 0.01  # a joint that is exactly right has a norm with a kink
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: metric(p, target, oracle_flip=oracle_flip), prediction)


@pytest.mark.timing
def test_110_000_poses_are_fast():
    """The target is 2 s on two idle cores (0.5 s measured); twice that here, as test machines are busy."""
    g = torch.Generator().manual_seed(0)
    target = torch.randn(110_000, 17, 3, generator=g)
    prediction = target + 0.1 * torch.randn(110_000, 17, 3, generator=g)
    seconds = []
    while not seconds or (seconds[-1] > 4 and len(seconds) < 3):
        start = time.perf_counter()
        p_mpjpe(prediction, target, oracle_flip=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 4


# ---- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [*ALL, better_mirrored, procrustes_align], ids=by_name)
def test_bad_input_is_named(metric):
    good = torch.zeros(4, 17, 3)
    with pytest.raises(ItesError, match=r"shapes \(4, 17, 3\) and \(4, 16, 3\) differ"):
        metric(good, good[:, :16])
    with pytest.raises(ItesError, match="differ"):
        metric(good, good[0])
    for bad in (good[..., :2], torch.zeros(3), torch.zeros(4, 0, 3)):
        with pytest.raises(ItesError, match=r"expected shape \(\.\.\., N, 3\)"):
            metric(bad, bad)
    for value in (float("nan"), float("inf")):
        bad = good.clone()
        bad[2, 5, 1] = value
        with pytest.raises(ItesError, match=r"first has 1 coordinates .* index \(2, 5, 1\)"):
            metric(bad, good)
        with pytest.raises(ItesError, match="second has 1"):
            metric(good, bad)
    with pytest.raises(ItesError, match="floating point"):
        metric(good, good.long())


def test_huge_but_finite_input_passes():
    prediction = torch.full((2, 17, 3), 3e38)  # the sum overflows, the numbers do not
    assert mpjpe(prediction, prediction).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("metric", [pck, auc], ids=by_name)
def test_bad_options_are_named(metric):
    good = torch.ones(4, 17, 3)
    with pytest.raises(ItesError, match="unknown alignment 'rigid': expected one of none, scale, procrustes"):
        metric(good, good, align="rigid")
    for joints in ([17], [-1], []):
        with pytest.raises(ItesError, match=r"expected some of 0\.\.16"):
            metric(good, good, joints=joints)
