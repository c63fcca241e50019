"""Checks for the exercises of chapter 1, projection ambiguity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import unproject
from ites_core.exercises.base import call, compare, exercise


@exercise("1.1", "Undo a projection", "easy", 5)
def lift(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """``lift(image, depth, t)``: joints (N, 2) at relative depths (N,) back into space, (N, 3)."""
    generator = torch.Generator().manual_seed(0)
    image, depth = 0.2 * torch.randn(5, 2, generator=generator), 0.4 * torch.randn(5, generator=generator)
    t = 4.0
    z = depth[:, None]
    compare(
        call(answer, image, depth, t),
        unproject(image, depth, t),
        {
            "You multiply by the relative depth d; the joint's distance from the camera is t + d.": torch.cat(
                [image * z, z], dim=-1
            ),
            "You multiply by t alone, so every joint stays in the root's plane; its distance is t + d.": torch.cat(
                [image * t, z], dim=-1
            ),
            "x and y are right. The third coordinate should be the depth relative to the root, not t + d.": torch.cat(
                [image * (t + z), t + z], dim=-1
            ),
            "You use 5 for the distance of the camera; use the argument t.": unproject(image, depth, 5.0),
        },
    )
