"""Poses that come with their own pictures: benchmarks with real cameras, detections, annotated photographs (chapter 5).

A :class:`~ites_core.data.archive.MocapArchive` is filmed by virtual cameras; here the 2D input is recorded or
annotated, so there is nothing to film. Both give :class:`CameraViews`, and training and evaluation see no difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ites_core.data.archive import Split, choose_split, is_unicode
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, Skeleton


@dataclass(frozen=True)
class CameraViews:
    """Poses as cameras see them, in camera frame (x right, y down, z away). M views in all.

    Attributes:
        image: (M, N, 2) image coordinates for focal length 1, principal point at the origin.
        pose: (M, N, 3) root-relative 3D truth, metres, camera frame; NaN where there is no truth.
        sequence: (M,) int64, index into the archive's sequences.
        camera: (M,) int64, index of the camera within its sequence.
        mean_distance: mean camera-to-root depth over all views, metres: a property of the set-up.
        actions: action of each sequence.
        skeleton: the joint set.
        source: where the motion came from.
        sized: each picture was brought to one size, see :class:`ViewArchive`.
    """

    image: Tensor
    pose: Tensor
    sequence: Tensor
    camera: Tensor
    mean_distance: float
    actions: tuple[str, ...]
    skeleton: Skeleton
    source: str
    sized: bool = False

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class ViewArchive:
    """Recorded 2D poses, with 3D truth where it is known, validated (chapter 5).

    Attributes:
        image: (M, N, 2) float32, image coordinates for focal length 1, principal point at the origin, y down.
        pose: (M, N, 3) float32, root-relative 3D truth, metres, camera frame; None where nobody measured it.
        sequence: (M,) int64, index of each view's sequence.
        camera: (M,) int64, index of the camera within its sequence.
        names, subject, action, split: one string a sequence; split is ``train`` or ``test``.
        mean_distance: mean camera-to-root depth, metres; for photographs the distance that is assumed.
        skeleton: the joint set.
        source: file or folder, for messages and provenance.
        sized: each picture was brought to one size, since nobody knows how far its person was; a network that learns
            from them brings every input to that size.

    Raises:
        ItesError: shapes that do not fit together, or a coordinate that is not finite.
    """

    image: Tensor
    pose: Tensor | None
    sequence: Tensor
    camera: Tensor
    names: tuple[str, ...]
    subject: tuple[str, ...]
    action: tuple[str, ...]
    split: tuple[str, ...]
    mean_distance: float
    skeleton: Skeleton = H36M17
    source: str = "memory"
    sized: bool = False

    def __post_init__(self) -> None:
        m, n = len(self.image), len(self.skeleton)
        wanted = {"image": (m, n, 2), "pose": (m, n, 3), "sequence": (m,), "camera": (m,)}
        for name, shape in wanted.items():
            found = getattr(self, name)
            if found is None and name == "pose":
                continue
            if tuple(found.shape) != shape:
                raise ItesError(f"{self.source}: {name}: found shape {tuple(found.shape)}, expected {shape}")
            if not torch.isfinite(found).all():
                raise ItesError(f"{self.source}: {name}: NaN or infinite value; drop those views first")
        if not len(self.names) == len(self.subject) == len(self.action) == len(self.split):
            raise ItesError(f"{self.source}: names, subjects, actions and splits differ in number")
        if not is_unicode((*self.names, *self.subject, *self.action)):
            raise ItesError(f"{self.source}: a name is no Unicode text; fetch the file again")
        if m and not 0 <= int(self.sequence.min()) <= int(self.sequence.max()) < len(self.names):
            raise ItesError(f"{self.source}: a view names a sequence outside 0..{len(self.names) - 1}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def frames(self) -> int:
        """Number of views."""
        return len(self.image)

    def checksum(self) -> str:
        """SHA-256 over the sequences' names, the images and the truth, for provenance."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for tensor in (self.image, self.pose):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def part(self, split: Split) -> ViewArchive:
        """One split, chosen as :meth:`ites_core.data.archive.MocapArchive.part` does.

        Raises:
            ItesError: if the split is empty.
        """
        if split == "all":
            return self
        lengths = torch.bincount(self.sequence, minlength=len(self)).tolist()
        return self.take(choose_split(split, self.split, self.subject, self.names, lengths, self.source))

    def take(self, indices: Sequence[int]) -> ViewArchive:
        """The archive restricted to some sequences."""
        pick = list(indices)
        place = torch.full((len(self),), -1)
        place[pick] = torch.arange(len(pick))
        keep = place[self.sequence] >= 0
        fields: dict[str, Any] = {
            name: tuple(getattr(self, name)[i] for i in pick) for name in ("names", "subject", "action", "split")
        }
        return replace(
            self,
            image=self.image[keep],
            pose=None if self.pose is None else self.pose[keep],
            sequence=place[self.sequence[keep]],
            camera=self.camera[keep],
            **fields,
        )

    def views(self, stride: int = 1) -> CameraViews:
        """Every stride-th view as it was recorded."""
        n = len(self.skeleton)
        pose = self.image.new_full((self.frames, n, 3), torch.nan) if self.pose is None else self.pose
        return CameraViews(
            image=self.image[::stride],
            pose=pose[::stride],
            sequence=self.sequence[::stride],
            camera=self.camera[::stride],
            mean_distance=self.mean_distance,
            actions=self.action,
            skeleton=self.skeleton,
            source=self.source,
            sized=self.sized,
        )
