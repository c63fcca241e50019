"""Several processes, on one machine or many, that train one network together (chapter 5).

``torchrun --nproc-per-node 2 -m ites_core train teacher ...`` starts the same program twice and tells each its rank.
Each process takes its share of every batch. Gradients are averaged by torch's ``DistributedDataParallel``. Batch
statistics are those of the whole batch (:class:`SyncedBatchNorm`), so that the result does not depend on the number of
processes. Only rank 0 writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
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
        return DistributedDataParallel(objective, broadcast_buffers=False)

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

    Raises:
        ItesError: more processes on this machine than GPUs.
    """
    if "WORLD_SIZE" not in os.environ:
        return Team()
    local = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ItesError(
                f"device: process {local} on this machine, but {torch.cuda.device_count()} GPUs; start as many "
                "processes as there are GPUs, or use --device cpu"
            )
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Team(dist.get_rank(), dist.get_world_size())


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the statistics of all processes' batches, on any device.

    torch's own SyncBatchNorm needs GPUs, and then nobody without several of them could test it.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C) -> (B, C)
        if not self.training:
            return super().forward(x)
        full = x.float()
        size = dist.get_world_size()
        sums = all_reduce(torch.stack([full.mean(dim=0), full.square().mean(dim=0)])) / size
        mean, variance = sums[0], (sums[1] - sums[0].square()).clamp(min=0)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            count = len(x) * size
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
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
