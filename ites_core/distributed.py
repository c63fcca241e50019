"""Several processes, on one machine or many, that train one network together (chapter 5).

``torchrun --nproc-per-node 2 -m ites_core train teacher ...`` starts the same program twice and tells each its rank.
Each process takes its share of every batch. Gradients are averaged by torch's ``DistributedDataParallel``. Batch
statistics are those of the whole batch (:class:`SyncedBatchNorm`), so that the result does not depend on the number of
processes. Only rank 0 writes; all read the run folder when they resume. Where one process fails, it says why, and
torchrun ends the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ites_core.errors import ItesError


@dataclass(frozen=True)
class Team:
    """The processes that train together; by default one.

    Attributes:
        rank: number of this process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def share_of(self, batch: int) -> slice:
        """This process's part of a batch.

        Raises:
            ItesError: if the batch cannot be shared out evenly.
        """
        if batch % self.size:
            raise ItesError(
                f"batch_size: found {batch}, which {self.size} processes cannot share evenly; take a multiple of it"
            )
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, objective: nn.Module) -> Callable[..., dict[str, Tensor]]:
        """The objective, its gradients and batch statistics shared with the others."""
        if self.size == 1:
            return objective
        sync_batch_norm(objective)
        return DistributedDataParallel(objective)

    def mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over the processes."""
        if self.size > 1:
            for value in values.values():
                dist.all_reduce(value)
                value /= self.size
        return values

    def wait(self) -> None:
        """Until everybody is here."""
        if self.size > 1:
            dist.barrier()


def join_team(device: torch.device) -> Team:
    """The team that torchrun has started, or this process alone.

    Args:
        device: of :func:`own_device`.
    """
    if "WORLD_SIZE" not in os.environ:
        return Team()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Team(dist.get_rank(), dist.get_world_size())


def leave_team() -> bool:
    """Say goodbye at the end of a program that trained; whether this is the process that prints what came of it.

    A process that fails does not come here: it must not wait for the others.
    """
    if not dist.is_initialized():
        return True
    leads = dist.get_rank() == 0
    dist.barrier()
    dist.destroy_process_group()
    return leads


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process, where torchrun has started several on one machine; else the device as it is.

    Raises:
        ItesError: more processes on this machine than GPUs, or one GPU named for all.
    """
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise ItesError(
            f"device: found {device}, and several processes; write --device cuda, each takes a GPU of its own"
        )
    if local >= gpus:
        raise ItesError(
            f"device: process {local} on this machine, but {gpus} GPUs; start as many processes as there are GPUs, or "
            "use --device cpu"
        )
    return torch.device("cuda", local) if device.index is None else device


class _TeamSum(torch.autograd.Function):
    """A sum over the processes. Each of them has a loss that it enters, so its gradient is a sum over them, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def team_sum(value: Tensor) -> Tensor:
    """The sum over all processes of a tensor that each has, differentiable."""
    return cast(Tensor, _TeamSum.apply(value))


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the statistics of all processes' batches, on any device.

    torch's own SyncBatchNorm needs GPUs, and then nobody without several of them could test it.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C) -> (B, C)
        if not self.training:
            return super().forward(x)
        full = x.float()
        size = dist.get_world_size()
        count = len(x) * size
        mean = team_sum(full.mean(dim=0)) / size
        variance = team_sum((full - mean).square().mean(dim=0)) / size
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        normal = (full - mean) * (variance + self.eps).rsqrt()
        return (normal * self.weight + self.bias).to(x.dtype)


def sync_batch_norm(model: nn.Module) -> None:
    """Make every batch normalisation of a model one over all processes, in place; weights stay."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm1d:
                synced = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
                synced.to(child.weight.device).load_state_dict(child.state_dict())
                synced.weight, synced.bias = child.weight, child.bias
                setattr(module, name, synced)
