"""A Gaussian mixture that can be sampled, and sampled given a linear observation (chapter 2).

Plain tensors, no fitting: :mod:`ites_core.data.fit` learns the parameters. Row vectors throughout: a latent is
w (d,), an observation is y = H w + b + e with H (m, d), b (m,) and independent errors e ~ N(0, noise^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ites_core.errors import ItesError


@dataclass(frozen=True)
class Mixture:
    """p(w) = sum_k weights[k] N(w; centres[k], L_k L_k^T) (chapter 2). All tensors float64.

    Attributes:
        weights: (K,), positive; they need not sum to one.
        centres: (K, d).
        factors: (K, d, d) lower Cholesky factors L_k of the covariances.
    """

    weights: Tensor
    centres: Tensor
    factors: Tensor

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, (n, d)."""
        return self.draw_from(torch.multinomial(self.weights, n, replacement=True, generator=generator), generator)

    def draw_from(self, component: Tensor, generator: torch.Generator) -> Tensor:
        """One draw from each of the named components: (n,) integers to (n, d)."""
        z = standard_normal((len(component), self.centres.shape[1]), generator)
        out = torch.empty_like(z)
        for k in component.unique().tolist():  # far faster than gathering a matrix for every draw
            mine = component == k
            out[mine] = self.centres[k] + z[mine] @ self.factors[k].mT
        return out


class Conditional:
    """Draws from a mixture given y = H w + b + e: p(w | y), exactly, for any number of y at once.

    Args:
        mixture: p(w).
        observe: H (m, d). offset: b (m,). noise: (m,) standard deviations of e, all positive.

    The component is chosen by Bayes' rule; within it a free draw is corrected by Matheron's rule:
    w + G (y - H w - b - e), G = C H^T (H C H^T + diag(noise^2))^-1, has the conditional law.
    """

    def __init__(self, mixture: Mixture, observe: Tensor, offset: Tensor, noise: Tensor) -> None:
        self.mixture, self.observe, self.offset, self.noise = mixture, observe, offset, noise
        seen = observe @ mixture.factors  # (K, m, d)
        self.expected = offset + mixture.centres @ observe.mT  # (K, m)
        self.factor = torch.linalg.cholesky(seen @ seen.mT + torch.diag(noise**2))  # (K, m, m)
        self.gain = torch.cholesky_solve(seen @ mixture.factors.mT, self.factor).mT  # (K, d, m)

    def log_joint(self, y: Tensor) -> Tensor:
        """log p(component, y) up to a constant: observations (n, m) to (n, K)."""
        miss = (y - self.expected.unsqueeze(1)).mT  # (K, m, n)
        square = torch.linalg.solve_triangular(self.factor, miss, upper=False).square().sum(dim=1)
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1, keepdim=True)
        return (self.mixture.weights.log().unsqueeze(-1) - log_det - 0.5 * square).mT

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """One latent for each observation: (n, m) to (n, d)."""
        probability = self.log_joint(y).softmax(dim=-1)
        component = torch.multinomial(probability, 1, generator=generator).squeeze(-1)
        w = self.mixture.draw_from(component, generator)
        e = standard_normal(tuple(y.shape), generator) * self.noise
        miss = y - (self.offset + w @ self.observe.mT) - e
        for k in component.unique().tolist():
            mine = component == k
            w[mine] += miss[mine] @ self.gain[k].mT
        return w


def standard_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent N(0, 1) numbers, float64."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def pack(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Block factors (K, d, d), full in the first f rows and diagonal below, without their zeros.

    Returns:
        the full blocks' lower triangles (K, f (f + 1) / 2), row by row, and the other diagonals (K, d - f).
    """
    inner = factors.tril(-1).abs().amax(dim=(0, 2)).nonzero()
    full = int(inner.max()) + 1 if len(inner) else 1
    lower = torch.tril_indices(full, full)
    return factors[:, lower[0], lower[1]], factors.diagonal(dim1=1, dim2=2)[:, full:]


def unpack(triangles: Tensor, diagonals: Tensor) -> Tensor:
    """Inverse of :func:`pack`.

    Raises:
        ItesError: if the shapes do not belong together.
    """
    entries = triangles.shape[1] if triangles.ndim == diagonals.ndim == 2 else -1
    full = (math.isqrt(8 * max(entries, 0) + 1) - 1) // 2
    if entries != full * (full + 1) // 2 or len(triangles) != len(diagonals):
        raise ItesError(f"factors: found shapes {tuple(triangles.shape)} and {tuple(diagonals.shape)}")
    lower = torch.tril_indices(full, full)
    factors = torch.diag_embed(torch.cat([triangles.new_zeros(len(triangles), full), diagonals], dim=1))
    factors[:, lower[0], lower[1]] = triangles
    return factors
