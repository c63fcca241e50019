"""Camera views that are made when they are asked for, from an archive that stays in its file (chapter 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ites_core.camera import Normalisation, rotate
from ites_core.data.mapped import MappedArchive
from ites_core.data.permutation import Permutation
from ites_core.data.recorded import CameraViews
from ites_core.data.views import CameraRing, check_in_front, place_cameras
from ites_core.errors import ItesError

PIECE = 8192  # views that are made at once where many are wanted


@dataclass(frozen=True)
class StreamedViews:
    """The views of :func:`ites_core.data.views.make_views`, in the same order, none of them in memory. Chapter 5.

    What stays in memory are the cameras: some 60 bytes each.

    Attributes:
        archive: the recordings.
        eyes: (S, C, 3) where the cameras of each sequence are, on the device.
        turns: (S, C, 3, 3) world-to-camera rotations, on the device.
        first: (S + 1,) int64, number of the first view of each sequence; the last entry is M.
        mean_distance: mean camera-to-root depth over all views, metres.
        normalisation: of what :meth:`batch` gives.
    """

    archive: MappedArchive
    eyes: Tensor
    turns: Tensor
    first: np.ndarray
    mean_distance: float
    normalisation: Normalisation | None = None

    @classmethod
    def film(cls, archive: MappedArchive, ring: CameraRing, seed: int, device: torch.device) -> StreamedViews:
        """Place the cameras around every sequence, which reads and checks the whole file once, a sequence at a time.

        Raises:
            ItesError: as :func:`ites_core.data.views.make_views`; or a coordinate that is not finite.
        """
        if ring.cameras < 1:
            raise ItesError(f"cameras: found {ring.cameras}, expected at least 1")
        eyes, turns = (torch.empty(len(archive), ring.cameras, *shape) for shape in ((3,), (3, 3)))
        depths = 0.0
        for index, name in enumerate(archive.names):
            motion = archive.sequence(index)
            eyes[index], turns[index] = place_cameras(motion[:, archive.skeleton.root], ring, name, seed)
            seen = rotate(motion - eyes[index][:, None, None], turns[index][:, None])
            check_in_front(seen, archive.source, name)
            depths += seen[..., archive.skeleton.root, 2].double().sum().item()
        first = ring.cameras * np.cumsum([0, *archive.lengths], dtype=np.int64)
        return cls(archive, eyes.to(device), turns.to(device), first, depths / int(first[-1]))

    def __len__(self) -> int:
        return int(self.first[-1])

    def order(self, seed: int, epoch: int) -> Permutation:
        """The order of one pass over the views, of which nothing is written down."""
        return Permutation(len(self), seed, epoch)

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """Normalised 2D input (B, N, 2) of the views ``index`` (B,), on the device, as the loop asks for it.

        Raises:
            ItesError: a coordinate that is not finite.
        """
        assert self.normalisation is not None
        image, _ = self._make(index.numpy())
        return (self.normalisation.apply(image, self.archive.skeleton),)

    def sample(self, most: int) -> CameraViews:
        """Views spread evenly over all, or all where there are no more than ``most``; on the processor."""
        count = min(most, len(self))
        index = np.arange(count) * len(self) // count
        parts = [self._make(index[i : i + PIECE]) for i in range(0, count, PIECE)]
        image, pose = (torch.cat(side).cpu() for side in zip(*parts, strict=True))
        sequence, _, camera = self._place(index)
        return CameraViews(
            image,
            pose,
            torch.from_numpy(sequence),
            torch.from_numpy(camera),
            self.mean_distance,
            self.archive.action,
            self.archive.skeleton,
            self.archive.source,
        )

    def normalised(self, normalisation: Normalisation) -> StreamedViews:
        """The same views, for the normalisation of a run."""
        return replace(self, normalisation=normalisation)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.array(self.archive.starts)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.array(self.archive.lengths)

    def _place(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sequence, stored frame and camera of views, each (B,)."""
        sequence = np.searchsorted(self.first, index, side="right") - 1
        camera, frame = np.divmod(index - self.first[sequence], self._lengths[sequence])
        return sequence, self._starts[sequence] + frame, camera

    def _make(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Image coordinates (B, N, 2) and root-relative poses (B, N, 3) of views, on the device."""
        sequence, frame, camera = self._place(index)
        device = self.eyes.device
        place = torch.from_numpy(sequence * self.eyes.shape[1] + camera).to(device)
        motion = self.archive.frames_at(frame).to(device, non_blocking=True)
        eye, turn = self.eyes.flatten(0, 1)[place], self.turns.flatten(0, 1)[place]
        seen = rotate(motion - eye.unsqueeze(1), turn)
        root = self.archive.skeleton.root
        return seen[..., :2] / seen[..., 2:], seen - seen[:, root : root + 1]


@dataclass(frozen=True)
class LabelledViews:
    """Streamed views with a teacher's depths, if there is one: it gives them when a batch is asked for. Chapter 5.

    Attributes:
        views: normalised.
        label: from normalised input (B, N, 2) to what a student learns from: input and depths, or the input alone, once
            for the picture as it is and, for students that learn from it too, once for its mirror image.
        sides: how many of them ``label`` gives.
    """

    views: StreamedViews
    label: Callable[[Tensor], list[tuple[Tensor, ...]]]
    sides: int = 1

    def __len__(self) -> int:
        return self.sides * len(self.views)

    def order(self, seed: int, epoch: int) -> Permutation:
        """As of the views."""
        return Permutation(len(self), seed, epoch)

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """Normalised 2D input (B, N, 2) and, with a teacher, depths (B, N), units."""
        count = len(self.views)
        (x,) = self.views.batch(index % count)
        sides = self.label(x)
        side = (index // count).to(x.device)
        rows = torch.arange(len(x), device=x.device)
        return tuple(torch.stack(tensors)[side, rows] for tensors in zip(*sides, strict=True))
