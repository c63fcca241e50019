"""One optimisation step, issued operation by operation or recorded once and replayed (chapter 5).

The step is the same function either way. On a processor, and for a first few steps anywhere, it runs as it is written.
On a GPU, where hundreds of small operations take longer to issue than to run, it is then recorded as a CUDA graph: each
further step copies its batch to where the graph reads it, and replays the graph with one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ites_core.config import TeacherConfig, TrainingConfig
from ites_core.models.graph import GraphBlock
from ites_core.models.resfc import ResidualBlock
from ites_core.objectives import Losses

Speed = Literal["auto", "plain", "compiled"]
LossFunction = Callable[[tuple[Tensor, ...], Tensor, float], Losses]

WARM_UP = 3  # steps before recording, in which libraries choose their kernels and buffers


class TrainingStep:
    """A step of training: losses, gradients, update. Chapter 5.

    Args:
        losses: from batch, rotations and epoch to losses; ``total`` is minimised (its sum, if it is a vector).
        parameters: what is trained.
        optimiser: made by :func:`make_optimiser`.
        config: learning rate, clipping, autocast.
        seeds: one for each network that is trained; with the number of the step they fix its rotations.
        draw: from one generator a seed to the rotations of the step.
        device: where all of it lives.
        speed: ``plain`` issues every step as written; ``auto`` and ``compiled`` record it on a GPU.
        compiled: of :func:`compiled_blocks`; these take the place of the blocks' own forward passes.

    Attributes:
        sums: the losses, summed since :meth:`take_sums`; on the device, so that nothing waits for them.
    """

    def __init__(
        self,
        losses: LossFunction,
        parameters: Sequence[Tensor],
        optimiser: torch.optim.Optimizer,
        config: TrainingConfig,
        seeds: Sequence[int],
        draw: Callable[[list[torch.Generator]], Tensor],
        device: torch.device,
        speed: Speed = "auto",
        compiled: Sequence[tuple[nn.Module, Callable[..., Tensor]]] = (),
    ) -> None:
        self.losses = losses
        self.compiled = compiled
        self.parameters = parameters
        self.optimiser = optimiser
        self.config = config
        self.seeds = seeds
        self.draw = draw
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self._generators = [torch.Generator(device) for _ in seeds]
        self._record = device.type == "cuda" and speed != "plain"
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded_phase: bool | None = None
        self._batch: tuple[Tensor, ...] = ()
        self._stream = torch.cuda.Stream(device) if self._record else None

    def __call__(self, batch: tuple[Tensor, ...], step: int, epoch: float, learning_rate: float) -> None:
        """Take one step.

        Args:
            batch: tensors on the device; the same shapes in every step.
            step: number of the step, from 0; fixes its rotations.
            epoch: passes over the data so far.
            learning_rate: of this step.
        """
        for generator, seed in zip(self._generators, self.seeds, strict=True):
            generator.manual_seed(seed_of(seed, 2, step))
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        if self._stream is None:
            self._issue(batch, epoch)
        elif self._taken < WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self._stream):
                self._issue(batch, epoch)
            torch.cuda.current_stream(self.device).wait_stream(self._stream)
        else:
            self._replay(batch, epoch)
        self._taken += 1

    def take_sums(self) -> dict[str, Tensor]:
        """The losses summed since the last call, still on the device; the sums start anew."""
        taken = {name: value.clone() for name, value in self.sums.items()}
        for value in self.sums.values():
            value.zero_()
        return taken

    def _issue(self, batch: tuple[Tensor, ...], epoch: float) -> None:
        """The step itself."""
        rotations = self.draw(self._generators)
        with self._fused(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
            # Of time, the losses need to know this one bit; a float that changes would be compiled anew in every step.
            result = self.losses(batch, rotations, 0.0 if root_is_pinned(self.config, epoch) else torch.inf)
        self.optimiser.zero_grad(set_to_none=True)
        result["total"].sum().backward()
        if self.config.clip is not None:
            if len(self.seeds) > 1:
                clip_each(self.parameters, self.config.clip)
            else:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self.optimiser.step()
        for name, value in result.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(value, dtype=torch.float32)
            self.sums[name] += value.detach()

    @contextmanager
    def _fused(self) -> Iterator[None]:
        """The compiled passes, for the step alone: evaluation in between has other shapes, and would compile anew."""
        for block, forward in self.compiled:
            block.forward = forward
        try:
            yield
        finally:
            for block, _ in self.compiled:
                del block.forward

    def _replay(self, batch: tuple[Tensor, ...], epoch: float) -> None:
        phase = root_is_pinned(self.config, epoch)
        if self._graph is None or phase != self._recorded_phase:
            self._batch = tuple(t.clone() for t in batch)
            self._recorded_phase = phase
            self._graph = torch.cuda.CUDAGraph()
            for generator in self._generators:
                self._graph.register_generator_state(generator)
            self.optimiser.zero_grad(set_to_none=True)  # gradients then live where the graph writes them
            torch.cuda.synchronize(self.device)
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._issue(self._batch, epoch)
        for mine, new in zip(self._batch, batch, strict=True):
            mine.copy_(new)
        self._graph.replay()


def compiled_blocks(network: nn.Module) -> list[tuple[nn.Module, Callable[..., Tensor]]]:
    """Every residual block and graph block of a network, with its forward pass as ``torch.compile`` fuses it.

    Blocks of one shape share one compiled function, so this takes seconds where a whole network takes a minute.
    """
    blocks = [m for m in network.modules() if isinstance(m, ResidualBlock | GraphBlock)]
    return [(block, torch.compile(block.forward, dynamic=False)) for block in blocks]


def clip_each(parameters: Sequence[Tensor], limit: float) -> None:
    """Clip the gradients of several networks, each by its own norm.

    Args:
        parameters: stacked, the networks first in each.
        limit: largest norm that a network's gradient keeps.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0).sqrt()  # (networks,)
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))


def root_is_pinned(config: TrainingConfig, epoch: float) -> bool:
    """Whether the cycle still sees root-centred bodies, ``free_root_after``: the one thing that time changes."""
    return isinstance(config, TeacherConfig) and epoch < (config.free_root_after or 0)


def make_optimiser(config: TrainingConfig, parameters: Sequence[Tensor], device: torch.device) -> torch.optim.Optimizer:
    """SGD or Adam, fused into few operations; on a GPU with a learning rate that a recorded step can read."""
    rate = torch.tensor(config.learning_rate, device=device) if device.type == "cuda" else config.learning_rate
    if config.optimiser == "adam":
        return torch.optim.AdamW(
            parameters, lr=rate, weight_decay=config.weight_decay, fused=True, capturable=device.type == "cuda"
        )
    return torch.optim.SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=config.weight_decay, fused=True)


def seed_of(*key: int) -> int:
    """A seed from a key such as (seed, purpose, step): randomness without a state to save."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6], "big")
