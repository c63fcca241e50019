"""Cameras, rotations and the 2D normalisation (chapters 1 and 3).

Conventions, here and everywhere in the package:

* Points are row vectors, shape (..., N, 3). Camera frame: x right, y down, z away from the camera.
* A rotation matrix R acts on column vectors, ``x' = R x``; on our row vectors that reads
  ``points @ R.mT``, which is what :func:`rotate` does.
* Inside the networks lengths are in *units*: hip to head is about 1, and the root sits ``t = 5``
  units in front of a virtual camera whose intrinsic matrix is the identity (paper, Section 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17, Skeleton

CAMERA_DISTANCE = 5.0  # t in the paper: from the virtual camera to the root, in units
MIN_DEPTH = 1.0  # z is clamped here, so that a joint near the camera plane cannot explode

ELEVATION = 9.0  # degrees: how far a camera that films people looks down on them, typically

RotationFamily = Literal["haar", "axis_angle", "vertical", "in_plane", "gravity"]


def project(points: Tensor, distance: float = CAMERA_DISTANCE, min_depth: float = MIN_DEPTH) -> Tensor:
    """Perspective projection P of Eq. 1: (u, v) = (x, y) / max(min_depth, distance + z).

    Args:
        points: (..., N, 3) root-relative, camera frame, units.
        distance: t, depth of the origin, units.
        min_depth: lower clamp of the depth, units.

    Returns:
        (..., N, 2) image coordinates of the virtual camera (focal length 1, no unit).

    Source: paper Section 3, Eq. 1 and the clamp of Section 3.3. Chapter 1.
    """
    depth = (distance + points[..., 2:]).clamp(min=min_depth)
    return points[..., :2] / depth


def unproject(image: Tensor, depth: Tensor, distance: float = CAMERA_DISTANCE, min_depth: float = MIN_DEPTH) -> Tensor:
    """Inverse of :func:`project` for known depths: (u z, v z, d) with z = max(min_depth, distance + d).

    Args:
        image: (..., N, 2) image coordinates of the virtual camera.
        depth: (..., N) depth offset d from the root, units.

    Returns:
        (..., N, 3) points in the camera frame, units. ``project(unproject(x, d)) == x`` always,
        also where the clamp is active, because :func:`project` clamps in the same place.

    Source: paper Section 3.3. Chapters 1 and 4.
    """
    z = (distance + depth).clamp(min=min_depth).unsqueeze(-1)
    return torch.cat([image * z, depth.unsqueeze(-1)], dim=-1)


def rotate(points: Tensor, rotation: Tensor) -> Tensor:
    """Apply ``x' = R x`` to row vectors: points (..., N, 3), rotation (..., 3, 3), both broadcast."""
    with full_precision(points):
        return points @ rotation.mT


@contextmanager
def full_precision(points: Tensor) -> Iterator[None]:
    """Geometry stays in float32 where autocast puts matrix products into bfloat16. Chapter 5."""
    kind = points.device.type
    if torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            yield
    else:
        yield


def at_least_float32(numbers: Tensor) -> Tensor:
    """What autocast left in bfloat16 goes back to float32; float32 and float64 stay. Chapter 5."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def orthonormal(rotation: Tensor) -> Tensor:
    """Bring matrices that are rotations up to rounding back to rotations: (..., 3, 3) to the same.

    One step of Newton's iteration, R (3 I - R^T R) / 2, squares what R^T R is off by; float32 then keeps it within
    1e-6. Along rotations it changes no gradient. A long product of rotations needs it once in a while. Chapter 2.
    """
    with full_precision(rotation):
        identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
        return rotation @ (1.5 * identity - 0.5 * (rotation.mT @ rotation))


def rotation_from_vector(vector: Tensor) -> Tensor:
    """Rodrigues' formula: ``R = I + sin(a)/a K + (1 - cos(a))/a^2 K^2``, a the vector's length.

    The two quotients are written with ``sinc``, which is smooth through 0, so value and gradient
    are exact at the identity and at half turns without a special case.

    Args:
        vector: (..., 3) rotation axis times angle in radians.

    Returns:
        (..., 3, 3) rotation matrices, acting on column vectors.

    Source: paper Section 4.2 (as C3DPO, Novotny et al. 2019). Chapter 2.
    """
    angle = torch.linalg.vector_norm(vector, dim=-1)[..., None, None]
    x, y, z = vector.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    a = torch.sinc(angle / torch.pi)
    b = 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2
    with full_precision(vector):
        return orthonormal(torch.eye(3, dtype=vector.dtype, device=vector.device) + a * k + b * (k @ k))


def random_rotations(
    shape: int | tuple[int, ...],
    generator: torch.Generator,
    family: RotationFamily = "haar",
) -> Tensor:
    """Random rotation matrices (..., 3, 3), float32, on the generator's device.

    ``haar``: uniform on SO(3) (a normalised Gaussian quaternion). ``axis_angle``: uniform axis, angle
    uniform in [0, pi], which favours small rotations: the authors' release draws the teacher's
    rotations so. ``vertical``: about the camera's y axis, angle uniform in [0, 2 pi): the release's
    choice for the student. ``in_plane``: about the optical axis, angle uniform in [0, 2 pi): turns the picture.
    ``gravity``: about the vertical of the room, for a camera that looks down by :data:`ELEVATION`; angle as before.

    Args:
        shape: number of rotations, or their batch shape.
        generator: explicit source of randomness; the result lives on its device.
        family: one of the names above.

    Raises:
        ItesError: on an unknown family.

    Chapter 3 compares the families on the sphere.
    """
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    device = generator.device
    if family == "haar":
        q = torch.randn(*size, 4, generator=generator, device=device)
        return orthonormal(_rotation_from_quaternion(q / q.norm(dim=-1, keepdim=True)))
    if family == "axis_angle":
        axis = torch.randn(*size, 3, generator=generator, device=device)
        angle = torch.pi * torch.rand(*size, 1, generator=generator, device=device)
        return rotation_from_vector(axis / axis.norm(dim=-1, keepdim=True) * angle)
    if family in ("vertical", "in_plane"):
        angle = 2 * torch.pi * torch.rand(*size, 1, generator=generator, device=device)
        zero = torch.zeros_like(angle)
        about = [zero, angle, zero] if family == "vertical" else [zero, zero, angle]
        return rotation_from_vector(torch.cat(about, dim=-1))
    if family == "gravity":
        down = torch.full((1,), math.radians(ELEVATION), device=device)  # made there: a recorded step copies nothing
        tilt = rotation_from_vector(torch.cat([down, down.new_zeros(2)]))
        return orthonormal(tilt @ random_rotations(size, generator, "vertical") @ tilt.mT)
    raise ItesError(f"unknown rotation family {family!r}: expected one of {', '.join(get_args(RotationFamily))}")


def _rotation_from_quaternion(q: Tensor) -> Tensor:
    """Unit quaternions (..., 4), scalar first, to matrices (..., 3, 3)."""
    w, x, y, z = q.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """Rotation from world to camera frame for a camera at ``eye`` that looks at ``target``.

    Args:
        eye, target: (..., 3) world positions.
        up: (..., 3) world direction that should appear upright; need not be orthogonal to the view.

    Returns:
        (..., 3, 3) matrix whose rows are the camera's right, down and forward axes in the world.
        A world point p has camera coordinates ``rotate(p - eye, R)``.

    Raises:
        ItesError: if the camera sits on its target or looks straight along ``up``.

    Chapter 1.
    """
    forward = target - eye
    right = torch.linalg.cross(forward, up.expand_as(forward))
    if (right.norm(dim=-1) <= 1e-6 * forward.norm(dim=-1) * up.norm(dim=-1)).any():  # sine of their angle
        raise ItesError("look_at: the camera sits on its target or looks along 'up'; move it")
    forward = forward / forward.norm(dim=-1, keepdim=True)
    right = right / right.norm(dim=-1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward], dim=-2)


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole intrinsics of a real camera, in pixels: focal lengths and principal point."""

    fx: float
    fy: float
    cx: float
    cy: float

    def to_pixels(self, points: Tensor) -> Tensor:
        """Camera-frame points (..., N, 3) in any length unit, z > 0, to pixels (..., N, 2)."""
        scale = points.new_tensor([self.fx, self.fy])
        centre = points.new_tensor([self.cx, self.cy])
        return points[..., :2] / points[..., 2:] * scale + centre

    def to_image(self, pixels: Tensor) -> Tensor:
        """Pixels (..., N, 2) to image coordinates with focal length 1: (pixel - centre) / focal."""
        scale = pixels.new_tensor([self.fx, self.fy])
        centre = pixels.new_tensor([self.cx, self.cy])
        return (pixels - centre) / scale


# 1000 x 1000 pixels and a 47 degree field of view, as the cameras of Human3.6M roughly are.
H36M_LIKE = Intrinsics(fx=1145.0, fy=1145.0, cx=500.0, cy=500.0)


@dataclass(frozen=True)
class Normalisation:
    """How 2D input is brought to the virtual camera: one factor, learnt from the training set.

    The factor belongs to the checkpoint: a test set, or a single pose, is scaled by the *training*
    factor (paper against code: the release scales each split by its own). Where the size of a training picture says
    nothing about its person, as in photographs, each picture was brought to one size; then so is every input.

    Attributes:
        factor: multiplies root-centred image coordinates.
        metres_per_unit: metric length of one unit, from the training cameras' mean distance; only
            used to report plain MPJPE, which needs a metric scale from somewhere.
        size: root mean square distance of the joints from the root to which each pose is brought, of the virtual
            camera's picture; None where the factor alone decides.

    Chapter 1 (what it does), chapter 5 (where it is stored), chapter 9 (photographs).
    """

    factor: float
    metres_per_unit: float
    size: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.factor, self.metres_per_unit, 1.0 if self.size is None else self.size)
        if not all(0 < number < math.inf for number in numbers):
            raise ItesError(
                f"normalisation: found factor {self.factor}, {self.metres_per_unit} metres a unit and size "
                f"{self.size}, expected positive numbers"
            )

    @classmethod
    def fit(
        cls, image: Tensor, mean_distance: float, skeleton: Skeleton = H36M17, sized: bool = False
    ) -> Normalisation:
        """Choose the factor so that the mean hip-to-head distance in 2D becomes 1 / t.

        Args:
            image: (M, N, 2) training image coordinates (focal length 1).
            mean_distance: mean camera-to-person distance of the training set-up, metres.
            skeleton: the joint set.
            sized: all pictures have one size, see :class:`ites_core.data.recorded.ViewArchive`.

        Raises:
            ItesError: if there is no pose, a coordinate is not finite, or all heads lie on their hips.
        """
        span = (image[:, skeleton.head] - image[:, skeleton.root]).norm(dim=-1).mean().item()
        if not math.isfinite(span):
            found = f"a hip or head that is not finite in one of {len(image)} poses" if len(image) else "no pose"
            raise ItesError(f"normalisation: found {found}; expected finite 2D poses, drop the others")
        if not span > 0:
            raise ItesError("normalisation: hip and head coincide in every pose; check the joint order")
        factor = 1.0 / (CAMERA_DISTANCE * span)
        root = image[:, skeleton.root : skeleton.root + 1]
        size = factor * picture_size(image - root).mean().item() if sized else None
        return cls(factor=factor, metres_per_unit=mean_distance / (CAMERA_DISTANCE * factor), size=size)

    def apply(self, image: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
        """Network input: (..., N, 2) image coordinates, root moved to the origin, times the factor; or to the size."""
        root = image[..., skeleton.root : skeleton.root + 1, :]
        offset = (image - root) * self.factor
        if self.size is None:
            return offset
        found = picture_size(offset).clamp(min=torch.finfo(offset.dtype).tiny)
        return offset * (self.size / found)[..., None, None]


def picture_size(offset: Tensor) -> Tensor:
    """Root mean square distance from the root of the joints that are there: (..., N, 2) to (...)."""
    return offset.square().sum(dim=-1).nanmean(dim=-1).sqrt()
