"""Linear layers that reach the limit of a processor (chapter 5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGES = 16  # torch hands a 1x1 convolution to oneDNN from 16 images on, with any number of threads
ENOUGH = 2**24  # products a layer; below, a convolution costs more to call than it gains

_plain: ContextVar[bool] = ContextVar("plain_products", default=False)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b as :func:`torch.nn.functional.linear`, by the faster of torch's two libraries. Chapter 5.

    On x86 processors torch leaves float32 products to MKL, which on AMD's does without the widest vector instructions.
    It leaves convolutions to oneDNN, which takes them; and a convolution with kernel size 1 over pixels whose channels
    lie side by side *is* this product. On two cores of an EPYC with AVX-512 that is twice as fast, forwards and
    backwards; the same sums are rounded in another order.

    Args:
        x: (..., D) of any leading shape.
        weight, bias: (D', D) and (D',).

    Returns:
        (..., D').
    """
    if not _suits_onednn(x, weight):
        return F.linear(x, weight, bias)
    pixels = x.reshape(IMAGES, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # (16, D, rows / 16, 1), channels last
    y = F.conv2d(pixels, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()  # compiled or exported, a product is for that to choose
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() * len(weight) >= ENOUGH
        and x.shape[:-1].numel() % IMAGES == 0
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")  # bfloat16 products are oneDNN's anyway
        and not _plain.get()
    )


@contextmanager
def plain_products() -> Iterator[None]:
    """Leave every product to MKL: within ``torch.vmap`` over networks, where stacked convolutions are slow."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


class Linear(nn.Linear):
    """A linear layer of the networks here: :class:`torch.nn.Linear`, computed by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D')."""
        return linear(x, self.weight, self.bias)
