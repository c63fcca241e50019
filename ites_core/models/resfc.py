"""The fully connected residual network "ResFC" that teacher, C3DPO and one student share (chapters 2 and 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ites_core.errors import ItesError
from ites_core.models.linear import Linear
from ites_core.skeleton import Skeleton


class ResidualBlock(nn.Module):
    """Fully connected bottleneck with a clear skip: width -> bottleneck -> bottleneck -> width.

    Three linear layers, as in the trunk that Section 4.2 takes from C3DPO; this reading gives the
    3.6 M parameters that are published for it. Normalisation and activation come before each layer,
    so that nothing stands in the way of the skip.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((width, bottleneck), (bottleneck, bottleneck), (bottleneck, width)):
            layers += [nn.BatchNorm1d(inputs), nn.ReLU(), Linear(inputs, outputs)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B, width)
        return x + self.body(x)


def residual_trunk(inputs: int, width: int, bottleneck: int, blocks: int) -> nn.Sequential:
    """Fully connected residual network ("ResFC"): (B, inputs) to (B, width)."""
    return nn.Sequential(
        Linear(inputs, width),
        *(ResidualBlock(width, bottleneck) for _ in range(blocks)),
        nn.BatchNorm1d(width),
        nn.ReLU(),
    )


def check_input(image: Tensor, skeleton: Skeleton) -> None:
    """Raise ItesError unless image is (B, N, 2) for the joint set."""
    if image.ndim != 3 or image.shape[1:] != (len(skeleton), 2):
        raise ItesError(
            f"2D input: found shape {tuple(image.shape)}, expected (batch, {len(skeleton)}, 2) "
            f"for joint set {skeleton.name}"
        )


def check_image(image: Tensor, skeleton: Skeleton, may_miss: bool = False) -> None:
    """Refuse 2D poses that cannot be lifted.

    Args:
        image: should be (..., N, 2).
        skeleton: the joint set.
        may_miss: whether joints other than the root may be NaN.

    Raises:
        ItesError: another shape or kind of number, NaN or infinite coordinates.
    """
    n = len(skeleton)
    if image.shape[-2:] != (n, 2):
        raise ItesError(f"2D input: found shape {tuple(image.shape)}, expected (..., {n}, 2)")
    if image.is_complex() or image.dtype == torch.bool:
        raise ItesError(f"2D input: found {image.dtype}, expected real coordinates")
    if not (may_miss or torch.isfinite(image).all()):
        raise ItesError("2D input: NaN or infinite coordinate; complete or drop missing joints first")
    if may_miss and not image[..., skeleton.root, :].isfinite().all():
        raise ItesError("2D input: NaN or infinite root joint; the others are relative to it, drop those poses")
