"""Virtual cameras around recorded motion: 2D input and 3D truth (chapter 1).

Each sequence is filmed by a ring of fixed cameras, as in a motion-capture studio. Everything is
drawn from a generator seeded by (seed, name of the sequence), so a sequence has the same views
whatever subset it is in.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ites_core.camera import look_at, rotate
from ites_core.data.archive import MocapArchive
from ites_core.data.recorded import CameraViews, ViewArchive
from ites_core.errors import ItesError

Motion = MocapArchive | ViewArchive  # all that a network can learn from


@dataclass(frozen=True)
class CameraRing:
    """The camera set-up: how many cameras, how far, how high (metres). Chapter 1 draws it.

    Attributes:
        cameras: number of cameras, evenly spaced in azimuth from a random start, jittered.
        distance: range of the horizontal distance to the middle of the track.
        height: range of the camera height above the floor.
        jitter: largest azimuth jitter, degrees.
        nearest: the ring widens so that no camera is nearer to the root's track than this.
    """

    cameras: int = 4
    distance: tuple[float, float] = (4.0, 6.0)
    height: tuple[float, float] = (1.2, 2.2)
    jitter: float = 20.0
    nearest: float = 2.5


def make_views(archive: Motion, ring: CameraRing | None = None, seed: int = 0, stride: int = 1) -> CameraViews:
    """Film every sequence of an archive by a ring of cameras; recorded views stay as they are (chapter 1).

    Args:
        archive: recordings, world frame with y up; or views that were recorded with real cameras, for which ``ring``
            and ``seed`` mean nothing.
        ring: the camera set-up; the default has four cameras.
        seed: views are a function of the seed and the sequences' names alone.
        stride: keep every stride-th frame.

    Returns:
        Views ordered by sequence, camera, frame: M = sum over sequences of cameras x kept frames.

    Raises:
        ItesError: if stride or the number of cameras is below 1, or a joint lies behind its camera.
    """
    ring = ring or CameraRing()
    if stride < 1:
        raise ItesError(f"stride: found {stride}, expected at least 1")
    if isinstance(archive, ViewArchive):
        return archive.views(stride)
    if ring.cameras < 1:
        raise ItesError(f"cameras: found {ring.cameras}, expected at least 1")
    images, poses, sequences, cameras, depths = [], [], [], [], []
    root = archive.skeleton.root
    for index, name in enumerate(archive.names):
        whole = archive.sequence(index)
        motion = whole[::stride]  # (F, N, 3)
        eyes, rotations = place_cameras(whole[:, root], ring, name, seed)
        seen = rotate(motion - eyes[:, None, None], rotations[:, None])  # (C, F, N, 3), camera frame
        check_in_front(seen, archive.source, name)
        images.append((seen[..., :2] / seen[..., 2:]).flatten(0, 1))
        poses.append((seen - seen[..., root : root + 1, :]).flatten(0, 1))
        depths.append(seen[..., root, 2].flatten())
        sequences.append(torch.full((len(poses[-1]),), index))
        cameras.append(torch.arange(ring.cameras).repeat_interleave(len(motion)))
    return CameraViews(
        image=torch.cat(images),
        pose=torch.cat(poses),
        sequence=torch.cat(sequences),
        camera=torch.cat(cameras),
        mean_distance=torch.cat(depths).mean().item(),
        actions=archive.action,
        skeleton=archive.skeleton,
        source=archive.source,
    )


def check_in_front(seen: Tensor, source: str, name: str) -> None:
    """Raise ItesError where a joint (..., 3) in the camera frame is at or behind its camera."""
    if (seen[..., 2] < 0.1).any():
        raise ItesError(f"{source}: sequence {name}: a joint is at or behind the camera; widen the ring")


def place_cameras(track: Tensor, ring: CameraRing, name: str, seed: int) -> tuple[Tensor, Tensor]:
    """Eyes (C, 3) and world-to-camera rotations (C, 3, 3) of the ring around a root track (F, 3)."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(ring.cameras, generator=generator)

    low, high = track.min(dim=0).values, track.max(dim=0).values
    middle = (low + high) / 2
    reach = (track - middle)[:, [0, 2]].norm(dim=-1).max()
    start = 2 * torch.pi * torch.rand(1, generator=generator)
    azimuth = start + 2 * torch.pi * torch.arange(ring.cameras) / ring.cameras
    azimuth = azimuth + torch.deg2rad(uniform(-ring.jitter, ring.jitter))
    radius = uniform(*ring.distance).maximum(reach + ring.nearest)
    height = uniform(*ring.height)
    eyes = torch.stack(
        [middle[0] + radius * azimuth.cos(), height, middle[2] + radius * azimuth.sin()],
        dim=-1,
    )
    return eyes, look_at(eyes, middle, torch.tensor([0.0, 1.0, 0.0]))
