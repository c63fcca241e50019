"""The four losses against their equations, by hand and by gradient check."""

from __future__ import annotations

import pytest
import torch

from ites_core import losses


def test_squared_form_is_frobenius_over_joints_averaged_over_the_batch() -> None:
    a, b = torch.randn(5, 17, 2), torch.randn(5, 17, 2)
    by_hand = sum(torch.linalg.matrix_norm(x - y) ** 2 / 17 for x, y in zip(a, b, strict=True)) / 5
    assert torch.allclose(losses.reprojection(a, b, "squared"), by_hand)


def test_norm_form_is_the_mean_joint_distance() -> None:
    a, b = torch.randn(5, 17, 2), torch.randn(5, 17, 2)
    by_hand = sum((x[j] - y[j]).norm() for x, y in zip(a, b, strict=True) for j in range(17)) / (5 * 17)
    assert torch.allclose(losses.reprojection(a, b, "norm"), by_hand)


def test_invariance_compares_every_view_with_the_one_canonical_pose() -> None:
    canonical = torch.randn(3, 17, 3)
    again = canonical.unsqueeze(1).repeat(1, 4, 1, 1)
    assert losses.rotation_invariance(again, canonical) == 0
    again[1, 2, 5] += torch.tensor([3.0, 0.0, 4.0])
    assert losses.rotation_invariance(again, canonical, "norm").item() == pytest.approx(5 / (3 * 4 * 17))
    assert losses.rotation_invariance(again, canonical, "squared").item() == pytest.approx(25 / (3 * 4 * 17))


def test_distillation_compares_depths() -> None:
    d, label = torch.zeros(2, 17), torch.full((2, 17), 0.5)
    assert losses.distillation(d, label, "squared").item() == pytest.approx(0.25)
    assert losses.distillation(d, label, "norm").item() == pytest.approx(0.5)


@pytest.mark.parametrize("form", ["squared", "norm"])
def test_gradients_in_float64(form: losses.LossForm) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x, y: losses.joint_error(x, y, form), (a, b))


def test_the_norm_keeps_its_gradient_near_zero_and_the_square_does_not() -> None:
    for form, expected in (("norm", 1.0), ("squared", 2e-6)):
        x = torch.tensor([[[1e-6, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
        losses.joint_error(x, torch.zeros_like(x), form).backward()  # type: ignore[arg-type]
        assert x.grad is not None and x.grad.norm().item() == pytest.approx(expected)
    x = torch.zeros(1, 1, 3, requires_grad=True)
    losses.joint_error(x, torch.zeros(1, 1, 3), "norm").backward()
    assert x.grad is not None and torch.equal(x.grad, torch.zeros(1, 1, 3))
