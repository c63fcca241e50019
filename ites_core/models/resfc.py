"""The fully connected residual network "ResFC" that teacher, C3DPO and one student share (chapters 2 and 4)."""

from __future__ import annotations

from torch import Tensor, nn

from ites_core.errors import ItesError
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
            layers += [nn.BatchNorm1d(inputs), nn.ReLU(), nn.Linear(inputs, outputs)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B, width)
        return x + self.body(x)


def residual_trunk(inputs: int, width: int, bottleneck: int, blocks: int) -> nn.Sequential:
    """Fully connected residual network ("ResFC"): (B, inputs) to (B, width)."""
    return nn.Sequential(
        nn.Linear(inputs, width),
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
