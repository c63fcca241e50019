"""What a property is, and how hypothesis examines it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings, target
from hypothesis import strategies as st
from torch import Tensor

SEEDS = st.integers(0, 2**31 - 1)
SINGLE, DOUBLE = torch.float32, torch.float64


@dataclass(frozen=True)
class Property:
    """Something that must hold for every input, with the number that says how well it does.

    Attributes:
        name: a few words.
        tolerance: the largest deviation that passes; or the least, with ``must_differ``.
        inputs: hypothesis strategies, one an argument.
        deviation: from the arguments to one number; its docstring says what must hold, and how failing is measured.
        cost: how many times as long as others one example takes; so many times fewer are tried.
        must_differ: the property says that something *changes*: the deviation must be at least the tolerance.
    """

    name: str
    tolerance: float
    inputs: tuple[st.SearchStrategy[Any], ...]
    deviation: Callable[..., float]
    must_differ: bool = False
    cost: int = 1

    @property
    def says(self) -> str:
        """The docstring of the deviation, in one line."""
        return " ".join((getattr(self.deviation, "func", self.deviation).__doc__ or "").split())

    def passes(self, deviation: float) -> bool:
        """Whether a deviation is within the tolerance; NaN never is."""
        return deviation >= self.tolerance if self.must_differ else deviation <= self.tolerance


@dataclass
class Examined:
    """What came of many examples.

    Attributes:
        tried, survived: numbers of examples.
        worst: the largest deviation, or the least where something must change.
        where: the arguments that gave it.
    """

    tried: int = 0
    survived: int = 0
    worst: float = math.nan
    where: tuple[Any, ...] = ()


def examine(subject: Property, examples: int, *, number: int = 0, hunt: bool = False) -> Examined:
    """Try a property on many examples.

    Args:
        subject: the property.
        examples: how many.
        number: seed of the examples.
        hunt: let hypothesis walk towards larger deviations.
    """
    found = Examined()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=False,
        database=None,
        phases=[Phase.generate, Phase.target] if hunt else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*subject.inputs))
    def each(arguments: tuple[Any, ...]) -> None:
        deviation = subject.deviation(*arguments)
        found.tried += 1
        found.survived += subject.passes(deviation)
        worse = deviation < found.worst if subject.must_differ else deviation > found.worst
        if worse or math.isnan(deviation) or not found.where:
            found.worst, found.where = deviation, arguments
        if hunt and math.isfinite(deviation) and deviation > 0:
            target(-math.log10(deviation) if subject.must_differ else math.log10(deviation))

    each()
    return found


def generator(number: int) -> torch.Generator:
    """A source of randomness."""
    return torch.Generator().manual_seed(number)


def normal(number: int, *shape: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Normal numbers, the same in either precision up to rounding."""
    return torch.randn(*shape, generator=generator(number), dtype=DOUBLE).to(dtype)


def bodies(number: int, count: int = 4, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Random root-relative poses (count, 17, 3), 0.3 m wide: like no body, so nothing about them is special."""
    pose = 0.3 * normal(number, count, 17, 3, dtype=dtype)
    return pose - pose[:, :1]


def largest(difference: Tensor) -> float:
    """Largest magnitude, NaN if any entry is NaN; 0 of nothing."""
    return difference.abs().max().item() if difference.numel() else 0.0


def off_orthonormal(rotation: Tensor) -> float:
    """Largest entry of |R^T R - I|, and |det R - 1|, of matrices (..., 3, 3), in float64."""
    r = rotation.to(DOUBLE)
    gram = r.mT @ r - torch.eye(3, dtype=DOUBLE)
    return max(largest(gram), largest(torch.linalg.det(r) - 1))
