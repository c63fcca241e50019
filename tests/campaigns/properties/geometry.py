"""Projection and its inverse, rotations, real cameras: what goes there comes back, and rotations stay rotations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from hypothesis import strategies as st

from ites_core.camera import (
    Intrinsics,
    Normalisation,
    RotationFamily,
    look_at,
    orthonormal,
    project,
    random_rotations,
    rotate,
    rotation_from_vector,
    unproject,
)
from tests.campaigns.properties.base import (
    DOUBLE,
    SEEDS,
    SINGLE,
    Property,
    bodies,
    generator,
    largest,
    normal,
    off_orthonormal,
)

POWERS = st.floats(-3.0, 3.0)  # of ten
SPECIAL = (0.0, 1e-30, 1e-12, 1e-7, 1e-4, 1e-3)  # angles next to 0, half a turn and a whole one
ANGLES = st.builds(
    lambda turn, step, sign: turn * math.pi + sign * step,
    st.sampled_from([0, 1, 2]),
    st.sampled_from(SPECIAL),
    st.sampled_from([-1, 1]),
)
CHAIN = 300  # rotations, one after the other


def epsilon(dtype: torch.dtype) -> float:
    """Distance of 1 and the next number."""
    return torch.finfo(dtype).eps


def project_unproject(dtype: torch.dtype, number: int, width: float, distance: float, depth: float) -> float:
    """Largest |project(unproject(x, d)) - x| / |x|, in steps of the precision."""
    image = 10**width * normal(number, 8, 17, 2, dtype=dtype)
    d = 10**depth * normal(number + 1, 8, 17, dtype=dtype)
    again = project(unproject(image, d, 10**distance), 10**distance)
    return largest((again - image) / image.abs().clamp(min=1e-30)) / epsilon(dtype)


def unproject_project(dtype: torch.dtype, number: int, width: float, distance: float) -> float:
    """Largest |unproject(project(p), z) - p| / |p|, in steps of the precision."""
    points = 10**width * normal(number, 8, 17, 3, dtype=dtype)
    again = unproject(project(points, 10**distance), points[..., 2], 10**distance)
    return largest((again - points) / points.abs().clamp(min=1e-30)) / epsilon(dtype)


def pixels_and_back(dtype: torch.dtype, number: int, focal: float, centre: float) -> float:
    """Pixels cost what the principal point costs: |there and back - x| / (|x| + |centre| / focal), in steps."""
    camera = Intrinsics(10**focal, 2 * 10**focal, 10**centre, -(10**centre))
    points = normal(number, 8, 17, 3, dtype=dtype)
    points[..., 2] = points[..., 2].abs() + 1
    image = points[..., :2] / points[..., 2:]
    off = camera.to_image(camera.to_pixels(points)) - image
    scale = image.abs() + image.new_tensor([camera.cx / camera.fx, camera.cy / camera.fy]).abs()
    return largest(off / scale) / epsilon(dtype)


def normalised_elsewhere(dtype: torch.dtype, number: int, shift: float) -> float:
    """Network input does not depend on where the person is: |off| / factor / (|x| + |shift|), in steps."""
    image = normal(number, 8, 17, 2, dtype=dtype)
    ready = Normalisation(0.7, 1.0)
    moved = ready.apply(image + 10**shift)
    return largest(moved - ready.apply(image)) / (0.7 * (image.abs().max().item() + 10**shift)) / epsilon(dtype)


def rodrigues(number: int, angle: float) -> float:
    """Rodrigues' formula in float32 about random axes and those of the coordinates."""
    axis = torch.cat([normal(number, 13, 3), torch.eye(3, dtype=DOUBLE)])
    axis = axis / axis.norm(dim=-1, keepdim=True)
    return off_orthonormal(rotation_from_vector((angle * axis).to(SINGLE)))


def rodrigues_of_any_size(number: int, size: float) -> float:
    """The same where a network answers with many turns."""
    return off_orthonormal(rotation_from_vector(10**size * normal(number, 16, 3, dtype=SINGLE)))


def rodrigues_gradient(number: int, angle: float) -> float:
    """Largest |gradient in float32 - gradient in float64|; not finite anywhere gives NaN."""
    axis = normal(number, 8, 3)
    vector = angle * axis / axis.norm(dim=-1, keepdim=True)
    weight = normal(number + 1, 8, 3, 3)
    gradients = []
    for dtype in (SINGLE, DOUBLE):
        v = vector.to(SINGLE).to(dtype).requires_grad_()  # the same point: rounding the angle is not at fault
        (gradient,) = torch.autograd.grad((rotation_from_vector(v) * weight.to(dtype)).sum(), v)
        gradients.append(gradient.to(DOUBLE))
    return largest(gradients[0] - gradients[1])


def sampled(family: RotationFamily, number: int) -> float:
    """64 draws of one family."""
    return off_orthonormal(random_rotations(64, generator(number), family))


def cycle(number: int, angle: float) -> float:
    """What the networks compose: a camera of Rodrigues' formula, then a random rotation of any family."""
    axis = normal(number, 5, 3)
    camera = rotation_from_vector((angle * axis / axis.norm(dim=-1, keepdim=True)).to(SINGLE))
    return max(
        off_orthonormal(random_rotations(5, generator(number), family) @ camera) for family in get_args(RotationFamily)
    )


def chain(number: int) -> float:
    """The product of CHAIN draws of the families in turn: rounding walks at random, by the root of CHAIN."""
    families = get_args(RotationFamily)
    g = generator(number)
    product = torch.eye(3).expand(4, 3, 3)
    for k in range(CHAIN):
        product = random_rotations(4, g, families[k % len(families)]) @ product
    return off_orthonormal(product)


def chain_kept_orthonormal(number: int) -> float:
    """The same, brought back to a rotation after every product."""
    families = get_args(RotationFamily)
    g = generator(number)
    product = torch.eye(3).expand(4, 3, 3)
    for k in range(CHAIN):
        product = orthonormal(random_rotations(4, g, families[k % len(families)]) @ product)
    return off_orthonormal(product)


def lengths_along_a_chain(number: int) -> float:
    """Bones keep their length through CHAIN rotations in turn: largest |length after / length before - 1|."""
    pose = bodies(number, 4, SINGLE)
    before = pose.norm(dim=-1)[:, 1:]
    g = generator(number)
    for _ in range(CHAIN):
        pose = rotate(pose, random_rotations(4, g))
    return largest(pose.norm(dim=-1)[:, 1:] / before - 1)


def inverse_rotation(dtype: torch.dtype, number: int, width: float) -> float:
    """Largest |R^T R p - p| over the length of p."""
    points = 10**width * bodies(number, 8, dtype)
    rotation = random_rotations(8, generator(number)).to(dtype)
    if dtype == DOUBLE:
        rotation = rotation_from_vector(normal(number, 8, 3))
    again = rotate(rotate(points, rotation), rotation.mT)
    return largest((again - points)[:, 1:] / points[:, 1:].norm(dim=-1, keepdim=True))


def cameras_that_look(number: int, distance: float, elevation: float) -> float:
    """Cameras at up to 60 degrees above or below, in float32."""
    azimuth = 2 * torch.pi * torch.rand(16, generator=generator(number))
    tilt = torch.full((16,), math.radians(elevation))
    away = torch.stack([tilt.cos() * azimuth.cos(), tilt.sin(), tilt.cos() * azimuth.sin()], dim=-1)
    target = normal(number + 1, 16, 3, dtype=SINGLE)
    return off_orthonormal(look_at(target + 10**distance * away, target, torch.tensor([0.0, 1.0, 0.0])))


def both(name: str, steps: float, measure: Callable[..., float], *inputs: st.SearchStrategy[float]) -> list[Property]:
    """A property in float32 and in float64, its tolerance in steps of either precision."""
    kinds = {"float32": SINGLE, "float64": DOUBLE}
    return [Property(f"{name}, {kind}", steps, inputs, partial(measure, dtype)) for kind, dtype in kinds.items()]


PROPERTIES = [
    *both("project after unproject", 4, project_unproject, SEEDS, POWERS, st.floats(0, 3), POWERS),
    *both("unproject after project", 4, unproject_project, SEEDS, POWERS, st.floats(0, 3)),
    *both("pixels and back", 8, pixels_and_back, SEEDS, st.floats(-6, 6), st.floats(-3, 6)),
    *both("normalised wherever the person is", 8, normalised_elsewhere, SEEDS, st.floats(-3, 6)),
    Property("Rodrigues at 0, half and whole turns", 1e-6, (SEEDS, ANGLES), rodrigues),
    Property("Rodrigues of many turns", 1e-6, (SEEDS, st.floats(-30, 6)), rodrigues_of_any_size),
    Property("Rodrigues' gradient", 1e-5, (SEEDS, ANGLES), rodrigues_gradient),
    *(
        Property(f"random rotations, {family}", 1e-6, (SEEDS,), partial(sampled, family))
        for family in get_args(RotationFamily)
    ),
    Property("camera, then rotation of the cycle", 1e-6, (SEEDS, ANGLES), cycle),
    Property(f"a chain of {CHAIN} rotations", 2e-5, (SEEDS,), chain, cost=10),
    Property(f"a chain of {CHAIN} rotations, kept orthonormal", 1e-6, (SEEDS,), chain_kept_orthonormal, cost=10),
    Property(f"lengths through {CHAIN} rotations", 1e-5, (SEEDS,), lengths_along_a_chain, cost=10),
    Property("there and back by a rotation, float32", 2e-6, (SEEDS, POWERS), partial(inverse_rotation, SINGLE)),
    Property("there and back by a rotation, float64", 4e-15, (SEEDS, POWERS), partial(inverse_rotation, DOUBLE)),
    Property("cameras that look at somebody", 1e-6, (SEEDS, st.floats(0, 3), st.floats(-60, 60)), cameras_that_look),
]
