"""ites_core.data.noise: a detector's errors have the stated sizes, touch nothing else, and can be completed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ites_core.data.noise import NOISE, DetectionNoise, complete, limbs, observe
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

ROOT, HEAD = H36M17.root, H36M17.head
QUIET = {"jitter": 0.0, "swap": 0.0, "outlier": 0.0, "missing": 0.0}


def people(count: int = 4000) -> torch.Tensor:
    """Made-up pictures of people whose hip and head are 0.2 apart."""
    x = 0.1 * torch.randn(count, 17, 2, generator=torch.Generator().manual_seed(3))
    x[:, ROOT], x[:, HEAD] = 0.0, torch.tensor([0.0, -0.2])
    return x


def noisy(**sizes: float) -> torch.Tensor:
    return DetectionNoise(**(QUIET | sizes)).apply(people(), H36M17, torch.Generator().manual_seed(0))


def test_each_error_has_its_size() -> None:
    exact = people()
    assert torch.equal(noisy(), exact)
    assert (noisy(jitter=0.03) - exact).std().item() == pytest.approx(0.03 * 0.2, rel=0.02)
    lost = noisy(missing=0.1).isnan().all(dim=-1)
    assert lost.float().mean(dim=0)[1:].mean().item() == pytest.approx(0.1, abs=0.01) and not lost[:, ROOT].any()
    moved = (noisy(outlier=0.05, outlier_reach=0.5) - exact).abs().amax(dim=-1)
    assert (moved > 0).float().mean().item() == pytest.approx(0.05, abs=0.005)
    assert 0.09 < moved.max() <= 0.5 * 0.2 + 1e-6


def test_swaps_exchange_whole_limbs() -> None:
    exact, swapped = people(), noisy(swap=1.0)
    for limb in limbs(H36M17):
        for left, right in limb:
            assert torch.equal(swapped[:, left], exact[:, right]) and torch.equal(swapped[:, right], exact[:, left])
    assert [len(limb) for limb in limbs(H36M17)] == [3, 3]
    assert torch.equal(swapped[:, [ROOT, HEAD]], exact[:, [ROOT, HEAD]])
    some = noisy(swap=0.25) != exact
    legs = limbs(H36M17)[0][0][0]
    assert some[:, legs].any(dim=-1).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_completion_puts_a_missing_joint_on_its_parent() -> None:
    image = people(3)
    elbow, wrist = (H36M17.joints.index(name) for name in ("LElbow", "LWrist"))
    image[0, [elbow, wrist]] = torch.nan
    filled = complete(image, H36M17)
    shoulder = H36M17.joints.index("LShoulder")
    assert torch.equal(filled[0, elbow], image[0, shoulder]) and torch.equal(filled[0, wrist], image[0, shoulder])
    assert torch.equal(filled[1:], image[1:]) and image[0, wrist].isnan().all(), "the input is left alone"
    image[2, ROOT] = torch.nan
    with pytest.raises(ItesError, match="root joint \\(Hip\\) is missing"):
        complete(image, H36M17)


def test_observation_is_repeatable_and_exact_without_noise() -> None:
    image = people(50)
    assert observe(image, H36M17, None, 0, False) is image
    a, b, c = (observe(image, H36M17, NOISE["detector"], seed, False) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c) and a.isfinite().all()
    kept = observe(people(), H36M17, NOISE["detector"], 0, True)
    assert kept.isnan().any() and not kept[:, ROOT].isnan().any()


@pytest.mark.parametrize("bad", [{"swap": 1.5}, {"missing": -0.1}, {"jitter": -1.0}, {"outlier": float("nan")}])
def test_impossible_sizes_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ItesError, match="expected"):
        DetectionNoise(**bad)


@given(
    st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**31), st.floats(1e-3, 1e3)
)
def test_detections_are_always_usable(
    jitter: float, swap: float, outlier: float, missing: float, seed: int, scale: float
) -> None:
    noise = DetectionNoise(jitter=jitter, swap=swap, outlier=outlier, missing=missing)
    image = scale * people(4)
    seen = observe(image, H36M17, noise, seed, False)
    assert seen.shape == image.shape and seen.isfinite().all()
    assert torch.allclose(seen, scale * observe(people(4), H36M17, noise, seed, False), rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.data
def test_default_sizes_are_those_of_the_recorded_clip(data_dir: object) -> None:
    """The model's own joint errors, in spans, beside the quartiles that its docstring quotes of the clip."""
    exact = people()
    seen = observe(exact, H36M17, DetectionNoise(swap=0.0), 0, False)
    errors = (seen - exact).norm(dim=-1)[:, 1:].flatten() / 0.2
    assert errors.quantile(0.5).item() == pytest.approx(0.037, abs=0.01)
    assert errors.quantile(0.75).item() == pytest.approx(0.058, abs=0.015)
