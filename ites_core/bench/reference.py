"""A training step in the usual style, kept as the yardstick of ``ites bench`` (chapter 5).

Nothing in it is wrong, and nothing is slow on purpose; it is how such code is often written: poses come one by one from
a ``Dataset``, per-joint layers are convolutions with kernel size 1, every view of the cycle is a pass of its own, every
loss is read with ``.item()`` in every step. The networks have the sizes, inputs and outputs of the paper's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ites_core.camera import project, random_rotations, rotate, rotation_from_vector, unproject
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.losses import joint_error
from ites_core.skeleton import H36M17


class PoseDataset(Dataset[tuple[Tensor, Tensor]]):
    """Poses one by one: input (N, 2) and depth label (N,).

    Args:
        images: (M, N, 2) normalised input.
        labels: (M, N) depths.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images.numpy()
        self.labels = labels.numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.images[index]), torch.from_numpy(self.labels[index])


class ConvBlock(nn.Module):
    """Residual bottleneck of convolutions with kernel size 1 over a sequence of length 1."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, 1) for a, b in ((width, bottleneck), (bottleneck, bottleneck), (bottleneck, width))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(c) for c in (width, bottleneck, bottleneck))

    def forward(self, x: Tensor) -> Tensor:  # (B, width, 1) -> (B, width, 1)
        y = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = convolution(F.relu(norm(y)))
        return x + y


class ReferenceTeacher(nn.Module):
    """The dictionary teacher on convolutions."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        n = len(H36M17)
        self.first = nn.Conv1d(2 * n, config.width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(config.width, config.bottleneck) for _ in range(config.blocks)))
        self.norm = nn.BatchNorm1d(config.width)
        self.coefficients = nn.Conv1d(config.width, config.atoms, 1)
        self.rotation = nn.Conv1d(config.width, 3, 1)
        self.atoms = nn.Parameter(0.1 * torch.randn(config.atoms, n, 3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # (B, N, 2) -> canonical (B, N, 3), rotation (B, 3, 3)
        features = F.relu(self.norm(self.blocks(self.first(image.flatten(1).unsqueeze(-1)))))
        c = self.coefficients(features).squeeze(-1)
        canonical = torch.einsum("bk,knd->bnd", c, self.atoms)
        return canonical - canonical[:, :1], rotation_from_vector(self.rotation(features).squeeze(-1))


class ConvGraphBlock(nn.Module):
    """Adaptive graph convolution with channels first: the full N x N product, and attention on convolutions."""

    outside: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        n = len(H36M17)
        self.register_buffer("outside", H36M17.adjacency() == 0)
        self.weight = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.edges = nn.Parameter(torch.zeros(outputs, n, n))
        self.looking = nn.Conv1d(inputs, inputs, 1, bias=False)
        self.looked_at = nn.Conv1d(inputs, inputs, 1, bias=False)
        self.g = nn.Sequential(nn.Conv1d(inputs, outputs, 1), nn.ReLU(), nn.Conv1d(outputs, outputs, 1))
        self.f = nn.Sequential(nn.Conv1d(outputs, outputs, 1), nn.ReLU(), nn.Conv1d(outputs, outputs, 1))
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, h: Tensor) -> Tensor:  # (B, D, N) -> (B, D', N)
        adjacency = self.edges.masked_fill(self.outside, -torch.inf).softmax(dim=1)
        physical = F.relu(torch.einsum("bdj,dji->bdi", self.weight(h), adjacency))
        attention = torch.bmm(self.looked_at(h).transpose(1, 2), self.looking(h)).softmax(dim=1)
        return F.relu(self.norm(physical + self.f(torch.bmm(self.g(h), attention))))


class ReferenceStudent(nn.Module):
    """The graph student on convolutions."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.first = ConvGraphBlock(2, config.channels)
        self.blocks = nn.ModuleList(ConvGraphBlock(config.channels, config.channels) for _ in range(config.blocks))
        self.head = nn.Conv1d(config.channels, 1, 1)

    def forward(self, image: Tensor) -> Tensor:  # (B, N, 2) -> (B, N, 3)
        h = self.first(image.transpose(1, 2))
        for i in range(0, len(self.blocks), 2):
            h = h + self.blocks[i + 1](self.blocks[i](h))
        depth = self.head(h).squeeze(1)
        return unproject(image, depth - depth[:, :1])


def reference_step(
    config: TeacherConfig | StudentConfig, images: Tensor, labels: Tensor, device: torch.device
) -> tuple[nn.Module, Callable[[], int]]:
    """The network, and a function that takes one training step and returns how many poses it took.

    Args:
        config: sizes, losses and batch; always float32.
        images, labels: (M, N, 2) and (M, N), on the processor, as a loader wants them.
        device: where the network is.
    """
    model: nn.Module = ReferenceTeacher(config) if isinstance(config, TeacherConfig) else ReferenceStudent(config)
    model = model.to(device).train()
    optimiser: torch.optim.Optimizer
    if config.optimiser == "adam":
        optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    else:
        optimiser = torch.optim.SGD(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    loader = DataLoader(PoseDataset(images, labels), config.batch_size, shuffle=True, drop_last=True)
    batches = iter(loader)
    generator = torch.Generator(device).manual_seed(0)

    def cycle(pose: Tensor, again: Callable[[Tensor], Tensor], turned_back: bool) -> Tensor:
        loss = pose.new_zeros(())
        for _ in range(config.rotations_per_pose):
            turned = rotate(pose, random_rotations(len(pose), generator, config.rotations))
            loss = loss + joint_error(again(project(turned)), pose if turned_back else turned, config.loss)
        return loss / config.rotations_per_pose

    def step() -> int:
        nonlocal batches
        try:
            x, label = next(batches)
        except StopIteration:
            batches = iter(loader)
            x, label = next(batches)
        x, label = x.to(device), label.to(device)
        if isinstance(config, TeacherConfig):
            canonical, rotation = model(x)
            first = joint_error(project(rotate(canonical, rotation)), x, config.loss)
            second = cycle(canonical, lambda image: model(image)[0], turned_back=True)
            loss = config.weight_rep * first + config.weight_ric * second
        else:
            pose = model(x)
            first = joint_error(pose[..., 2:], label.unsqueeze(-1), config.loss)
            second = cycle(pose, model, turned_back=False)
            loss = config.weight_kd * first + config.weight_rec * second
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item(), first.item(), second.item()
        return len(x)

    return model, step
