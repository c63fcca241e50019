"""Linear layers by oneDNN's convolution: the same numbers, whatever the shape, and plain products where they belong."""

import pytest
import torch
import torch.nn.functional as F

from ites_core.checkpoint import build_model
from ites_core.config import student_config, teacher_config
from ites_core.models.linear import ENOUGH, Linear, linear, plain_products
from ites_core.skeleton import H36M17

HAS_BOTH = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # elsewhere all stays plain
LARGE = (16, 17, 128)  # times 128 outputs, times 8: enough


def operations_of(work) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(8, 16, 17, 128), (2192, 128), (2193, 128), (3, 128), (128,), (0, 128)])
@pytest.mark.parametrize("threads", [1, 2])
def test_values_and_gradients_are_those_of_a_linear_layer(shape, bias, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(0)
        x, w, b = (torch.randn(s, generator=generator, requires_grad=True) for s in (shape, (128, 128), (128,)))
        inputs = (x, w, b) if bias else (x, w)
        mine, plain = linear(*inputs), F.linear(*inputs)
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-4)
        assert mine.is_contiguous()
        toward = torch.randn(plain.shape, generator=generator)
        gradients = (torch.autograd.grad(y, inputs, toward) for y in (mine, plain))
        for a, c in zip(*gradients, strict=True):
            torch.testing.assert_close(a, c, rtol=1e-5, atol=1e-3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_products_are_onednns(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer, x = Linear(128, 128), torch.randn(8, *LARGE)
        assert x.numel() * 128 >= ENOUGH
        for large in (x, x.transpose(0, 1)):
            assert ("aten::mkldnn_convolution" in operations_of(lambda large=large: layer(large))) is HAS_BOTH
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("config", [teacher_config("paper"), student_config("paper")], ids=["teacher", "student"])
def test_networks_answer_and_learn_as_with_plain_products(config):
    torch.manual_seed(0)
    network, image = build_model(config, H36M17).train(), 0.1 * torch.randn(256, 17, 2)

    def answer():
        out = network(image)
        return out if isinstance(out, torch.Tensor) else out.camera

    def answer_and_gradients():
        pose = answer()
        return pose.detach(), torch.autograd.grad(pose.square().mean(), list(network.parameters()), allow_unused=True)

    assert ("aten::mkldnn_convolution" in operations_of(answer)) is HAS_BOTH
    mine, gradients = answer_and_gradients()
    with plain_products():
        plain, expected = answer_and_gradients()
    assert (mine - plain).abs().max() < 1e-5 * plain.abs().max()
    assert [g is None for g in gradients] == [g is None for g in expected]
    learnt, wanted = (torch.cat([g.flatten() for g in found if g is not None]) for found in (gradients, expected))
    assert (learnt - wanted).norm() < 1e-2 * wanted.norm()  # where rounding turns a ReLU on or off, gradients jump


def test_small_odd_double_and_autocast_products_stay_plain():
    layer, x = Linear(128, 128), torch.randn(8, *LARGE)
    double = Linear(128, 128).double()

    def under_autocast():
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16

    for work in (
        lambda: layer(x[0]),
        lambda: layer(x.flatten(0, 2)[:-1]),
        lambda: double(x.double()),
        under_autocast,
    ):
        assert not any("convolution" in name for name in operations_of(work))


def test_stacked_networks_multiply_in_one_product():
    x, weights = torch.randn(3, 8 * 16 * 17, 128), torch.randn(3, 128, 128)

    def all_at_once():
        with plain_products():
            return torch.vmap(linear)(x, weights)

    assert not any("convolution" in name for name in operations_of(all_at_once))
    torch.testing.assert_close(
        all_at_once(), torch.stack([F.linear(a, w) for a, w in zip(x, weights, strict=True)]), rtol=1e-5, atol=1e-4
    )
