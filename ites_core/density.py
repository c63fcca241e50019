"""Learning what 2D poses look like: the denoiser behind the density prior (chapter 9)."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ites_core.config import TrainingConfig
from ites_core.loop import Plan, epoch_order
from ites_core.objectives import Losses
from ites_core.priors import PoseDensity, in_units
from ites_core.step import Speed, TrainingStep, make_optimiser

NOISE = (0.02, 0.5)  # units: the noise that is learnt to remove, a little wider than what is used


def fit_density(x: Tensor, seed: int, steps: int, speed: Speed = "auto", progress: bool = False) -> PoseDensity:
    """Learn to remove noise of many sizes from 2D poses: the loss is the squared error in units of the noise.

    Args:
        x: (M, N, 2) normalised 2D poses of training, on the device to train on.
        seed: of weights, batches and noise.
        steps: of Adam, with a cosine to zero.
        speed: see :class:`ites_core.step.TrainingStep`.
        progress: show a progress bar.

    Returns:
        The density, frozen.

    Source: denoising score matching, Vincent 2011. Chapter 9.
    """
    config = TrainingConfig(
        epochs=1_000_000, max_steps=steps, batch_size=512, optimiser="adam", learning_rate=1e-3, schedule="cosine"
    )
    plan = Plan.of(config, len(x))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        density = PoseDensity(x.shape[1]).to(x.device)
    low, high = NOISE

    def draw(generators: list[torch.Generator]) -> Tensor:
        """(B, 1 + 2 N): the size of the noise, then the noise."""
        (generator,) = generators
        size = low * (high / low) ** torch.rand(plan.batch, 1, generator=generator, device=x.device)
        noise = torch.randn(plan.batch, 2 * x.shape[1], generator=generator, device=x.device)
        return torch.cat([size, size * noise], dim=1)

    def losses(batch: tuple[Tensor, ...], drawn: Tensor, epoch: float) -> Losses:
        clean, size, noise = in_units(batch[0]), drawn[:, :1], drawn[:, 1:]
        return {"total": ((density(clean + noise, size) - clean) / size).square().mean()}

    parameters = list(density.parameters())
    optimiser = make_optimiser(config, parameters, x.device)
    step = TrainingStep(losses, parameters, optimiser, config, [seed], draw, x.device, speed)
    order = torch.empty(0, dtype=torch.int64)
    for number in tqdm(range(plan.total), desc="density", unit="step", disable=not progress, mininterval=0.5):
        epoch, place = divmod(number, plan.steps_per_epoch)
        if place == 0:
            order = epoch_order(len(x), seed, epoch).to(x.device)
        index = order[place * plan.batch : (place + 1) * plan.batch]
        step((x[index],), number, number / plan.steps_per_epoch, plan.learning_rate(config, number))
    return density.eval().requires_grad_(False)
