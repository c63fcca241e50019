"""Left and right exchanged, and the picture mirrored: everything that knows no side by heart must follow.

:func:`ites_core.priors.mirrored` is the whole change: x changes its sign, left and right joints their places. A
rotation R becomes M R M with M = diag(-1, 1, 1). The networks themselves are not symmetric; what holds for them stands
in ``tests/reliability/test_relabelling.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ites_core import losses
from ites_core.camera import Normalisation, look_at, project, random_rotations, rotate, unproject
from ites_core.data.joint_sets import KEYPOINT_SETS, KeypointSet
from ites_core.data.noise import DetectionNoise, complete
from ites_core.data.sampler import PoseSampler
from ites_core.factorisation import mean_body
from ites_core.lifting import plausibility
from ites_core.lifting.prior import ShapePrior
from ites_core.priors import (
    BodyPriors,
    facing,
    knee_loss,
    mirrored,
    pictured_bones,
    relative_bones,
    typical_bones,
)
from ites_core.skeleton import H36M17
from tests.campaigns.properties.base import DOUBLE, SEEDS, SINGLE, Property, bodies, generator, largest, normal
from tests.campaigns.properties.metrics import METRICS, pair

MIRROR = list(H36M17.mirror)
FLIP = torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
UP = torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE)
SAMPLED = PoseSampler.embedded()


def other(points: Tensor) -> Tensor:
    """Points (..., 17, 2 or 3) of the mirrored body."""
    return mirrored(points, H36M17)


def other_rotation(rotation: Tensor) -> Tensor:
    """M R M: the rotation that does to mirrored points what R does to points."""
    flip = FLIP.to(rotation.dtype)
    return flip[:, None] * rotation * flip


def people(number: int, count: int = 8) -> Tensor:
    """Sampled bodies (count, 17, 3) before a camera: y down, metres."""
    pose = SAMPLED.poses(count, generator(number)).to(DOUBLE)
    return (pose - pose[:, :1]) * torch.tensor([1.0, -1.0, -1.0], dtype=DOUBLE)


def camera_model(number: int) -> float:
    """project, unproject and Normalisation: bit by bit, in float32."""
    pose = bodies(number, 8, SINGLE)
    image = project(pose)
    ready = Normalisation(0.7, 1.0)
    return max(
        largest(project(other(pose)) - other(image)),
        largest(unproject(other(image), pose[:, MIRROR, 2]) - other(unproject(image, pose[..., 2]))),
        largest(ready.apply(other(image)) - other(ready.apply(image))),
    )


def rotations(number: int) -> float:
    """A mirrored body, turned by the mirrored rotation, is the mirror image of the turned body."""
    pose, rotation = bodies(number, 8, SINGLE), random_rotations(8, generator(number))
    return largest(rotate(other(pose), other_rotation(rotation)) - other(rotate(pose, rotation)))


def filmed(number: int) -> float:
    """A mirrored body before the mirrored camera gives the mirrored picture."""
    pose = people(number)
    eye = 4 * normal(number, 8, 3) + torch.tensor([0.0, 0.0, 6.0], dtype=DOUBLE)

    def picture(pose: Tensor, eye: Tensor) -> Tensor:
        seen = rotate(pose - eye[:, None], look_at(eye, pose[:, 0], UP))
        return seen[..., :2] / seen[..., 2:].clamp(min=0.1)

    return largest(picture(other(pose), eye * FLIP) - other(picture(pose, eye)))


def metric(name: str, number: int) -> float:
    """A metric of mirrored poses is the metric of the poses."""
    prediction, target = pair(number)
    return largest(METRICS[name](other(prediction), other(target)) - METRICS[name](prediction, target))


def loss_functions(number: int) -> float:
    """The four losses in all three forms, and those of bones and knees."""
    a, b = bodies(number), bodies(number + 1)
    views, turned = torch.stack([a, b], dim=1), torch.stack([b, a], dim=1)
    seen = torch.rand(4, 17, generator=generator(number)) < 0.8
    priors = BodyPriors(typical_bones(bodies(7, 50), H36M17), None, H36M17, 4)
    worst = [priors.bone_loss(other(a)) - priors.bone_loss(a), knee_loss(other(a), H36M17) - knee_loss(a, H36M17)]
    for form in ("squared", "norm", "huber"):
        f: losses.LossForm = form
        pairs: list[tuple[Callable[..., Tensor], tuple[Tensor, ...], tuple[Tensor, ...]]] = [
            (losses.rotation_invariance, (views, a), (other(views), other(a))),
            (losses.rotation_equivariance, (views, turned), (other(views), other(turned))),
            (losses.distillation, (a[..., 2], b[..., 2]), (a[:, MIRROR, 2], b[:, MIRROR, 2])),
        ]
        worst += [loss(*there, form=f) - loss(*here, form=f) for loss, here, there in pairs]
        x, y = a[..., :2], b[..., :2]
        worst.append(losses.reprojection(other(x), other(y), f, seen[:, MIRROR]) - losses.reprojection(x, y, f, seen))
    return largest(torch.stack(worst))


def bones(number: int) -> float:
    """Bone lengths and proportions change their places, not their sizes; typical proportions are the same."""
    pose = people(number)
    child = [c for _, c in H36M17.bones]
    partner = [child.index(H36M17.mirror[c]) for c in child]
    return max(
        largest(H36M17.bone_lengths(other(pose)) - H36M17.bone_lengths(pose)[:, partner]),
        largest(relative_bones(other(pose), H36M17) - relative_bones(pose, H36M17)[:, partner]),
        largest(typical_bones(other(pose), H36M17) - typical_bones(pose, H36M17)),
        largest(pictured_bones(other(pose)[..., :2], H36M17) - pictured_bones(pose[..., :2], H36M17)),
    )


def questions(number: int) -> float:
    """Symmetry, posture, facing and the way knees bend do not depend on which side is called left."""
    pose = people(number)
    image = other(pose)
    return max(
        largest(plausibility.limb_asymmetry(image) - plausibility.limb_asymmetry(pose)),
        largest(plausibility.trunk_tilt(image) - plausibility.trunk_tilt(pose)) / 180,
        largest(facing(image, H36M17) - facing(pose, H36M17) * FLIP),
        largest(plausibility.turns_right(image) - plausibility.turns_right(pose)),
    )


def sizes_and_gaps(number: int) -> float:
    """The size that lifting gives a person, and where it puts unseen joints, in units."""
    prior = ShapePrior.packaged()
    x = project(2 * people(number)).numpy()
    x = x * prior.scale(x)[:, None, None]
    gone = torch.rand(8, 17, generator=generator(number)).numpy() < 0.3
    gone[:, :3] = False
    holes = np.where(gone[..., None], np.nan, x)
    image = holes[:, MIRROR] * [-1.0, 1.0]
    completed = prior.complete(image) - prior.complete(holes)[:, MIRROR] * [-1.0, 1.0]
    sizes = np.abs(prior.measure(image) / prior.measure(holes) - 1)
    return float(max(np.nanmax(sizes, initial=0.0), np.abs(completed).max()))


def swap_of(kind: KeypointSet) -> list[int]:
    """Where each keypoint's partner on the other side stands."""

    def partner(name: str) -> str:
        for a, b in (("left", "right"), ("right", "left")):
            if name.startswith(a):
                return b + name.removeprefix(a)
        for a, b in (("L", "R"), ("R", "L")):
            if name.startswith(a) and name[1:2].isupper():
                return b + name[1:]
        return name

    return [kind.joints.index(partner(name)) for name in kind.joints]


def detectors(name: str, number: int) -> float:
    """Keypoints of a detector, some missing, as the 17 joints: joints, scores and origins, relative to the picture."""
    kind = KEYPOINT_SETS[name]
    swap = swap_of(kind)
    xy = 300 * normal(number, 8, len(kind), 2).numpy()
    score = torch.rand(8, len(kind), generator=generator(number)).numpy()
    joints, scores, origin = kind.apply(xy, score, 0.2)
    image, image_scores, image_origin = kind.apply(xy[:, swap] * [-1.0, 1.0], score[:, swap], 0.2)
    symmetric = origin[:, MIRROR] == image_origin
    off = np.where(symmetric[..., None], image - joints[:, MIRROR] * [-1.0, 1.0], 1e9)
    return float(max(np.nanmax(np.abs(off)) / 300, np.abs(image_scores - scores[:, MIRROR]).max()))


def faults(number: int) -> float:
    """A detector that exchanges every limb, and gaps that are closed by the parent."""
    noise = replace(DetectionNoise(0, 0, 0, 0, 0), swap=1.0)
    image = project(people(number))
    swapped = noise.apply(other(image), H36M17, generator(0)) - other(noise.apply(image, H36M17, generator(0)))
    gone = torch.rand(8, 17, 1, generator=generator(number)) < 0.4
    gone[:, 0] = False
    holes = image.masked_fill(gone, torch.nan)
    return max(largest(swapped), largest(complete(other(holes), H36M17) - other(complete(holes, H36M17))))


def first_body(number: int) -> float:
    """The body that the dictionary starts from, of mirrored pictures."""
    pose = people(number, 200)
    turned = rotate(pose, random_rotations(200, generator(number), "vertical").to(DOUBLE))
    image = project(turned)
    return largest(mean_body(other(image), H36M17) - other(mean_body(image, H36M17)))


PROPERTIES = [
    Property("relabelled: camera model", 0.0, (SEEDS,), camera_model),
    Property("relabelled: rotations", 1e-6, (SEEDS,), rotations),
    Property("relabelled: film", 1e-10, (SEEDS,), filmed),
    *(Property(f"relabelled: {name}", 1e-12, (SEEDS,), partial(metric, name)) for name in METRICS),
    Property("relabelled: losses", 1e-12, (SEEDS,), loss_functions),
    Property("relabelled: bones", 1e-12, (SEEDS,), bones),
    Property("relabelled: plausibility", 1e-12, (SEEDS,), questions),
    Property("relabelled: size and unseen joints", 1e-6, (SEEDS,), sizes_and_gaps),
    *(
        Property(f"relabelled: keypoints of {name}", 1e-12, (SEEDS,), partial(detectors, name))
        for name in KEYPOINT_SETS
    ),
    Property("relabelled: errors of detectors", 0.0, (SEEDS,), faults),
    Property("relabelled: first body", 1e-5, (SEEDS,), first_body),
]
