"""What leaves each metric as it is, and what must change it: a table, and both halves of it are measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ites_core.camera import random_rotations, rotate, rotation_from_vector
from ites_core.metrics import auc, better_mirrored, depth_mirror, mpjpe, n_mpjpe, p_mpjpe, pck
from tests.campaigns.properties.base import DOUBLE, SEEDS, Property, bodies, generator, largest, normal

Pair = tuple[Tensor, Tensor]  # prediction and target
Change = Callable[[Pair, int], Pair]

METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "MPJPE": mpjpe,
    "N-MPJPE": n_mpjpe,
    "P-MPJPE": p_mpjpe,
    "PCK": pck,
    "AUC": auc,
    "MPJPE, oracle": lambda p, t: mpjpe(p, t, oracle_flip=True),
    "N-MPJPE, oracle": lambda p, t: n_mpjpe(p, t, oracle_flip=True),
    "P-MPJPE, oracle": lambda p, t: p_mpjpe(p, t, oracle_flip=True),
}
PLAIN = ("MPJPE", "N-MPJPE", "P-MPJPE", "PCK", "AUC")
ORACLE = ("MPJPE, oracle", "N-MPJPE, oracle", "P-MPJPE, oracle")
SCALED = ("N-MPJPE", "PCK", "AUC", "N-MPJPE, oracle")  # PCK and AUC follow the least-squares scale
PROCRUSTES = ("P-MPJPE", "P-MPJPE, oracle")
ALL = tuple(METRICS)
FRAMES = 12


def pair(number: int) -> Pair:
    """A target, and a prediction 0.1 m off in every coordinate; every second one is the twin in depth of such a one."""
    target = bodies(number, FRAMES)
    prediction = target + 0.1 * normal(number + 1, FRAMES, 17, 3)
    prediction[::2] = depth_mirror(prediction[::2])
    return prediction - prediction[:, :1], target


def turns(number: int) -> Tensor:
    """One rotation a frame, by at least a radian."""
    axis = normal(number + 2, FRAMES, 3)
    angle = 1 + torch.rand(FRAMES, 1, generator=generator(number), dtype=DOUBLE)
    return rotation_from_vector(angle * axis / axis.norm(dim=-1, keepdim=True))


def in_picture(number: int) -> Tensor:
    """One rotation a frame about the optical axis."""
    return random_rotations(FRAMES, generator(number), "in_plane").to(DOUBLE)


def orthonormal(rotation: Tensor) -> Tensor:
    """Rotations drawn in float32, made exact in float64."""
    u, _, vt = torch.linalg.svd(rotation)
    return u @ vt


def shifts(number: int) -> Tensor:
    """One shift a frame, half a metre long."""
    shift = normal(number + 3, FRAMES, 1, 3)
    return 0.5 * shift / shift.norm(dim=-1, keepdim=True)


def other_order(number: int) -> Tensor:
    """An order of the joints in which none keeps its place."""
    return torch.arange(17).roll(1 + number % 16)


def of_both(change: Callable[[Tensor, int], Tensor]) -> Change:
    """The same change of prediction and target."""
    return lambda poses, number: (change(poses[0], number), change(poses[1], number))


def of_prediction(change: Callable[[Tensor, int], Tensor]) -> Change:
    """A change of the prediction alone."""
    return lambda poses, number: (change(poses[0], number), poses[1])


def flip_x(pose: Tensor, _: int = 0) -> Tensor:
    """(x, y, z) to (-x, y, z)."""
    return pose * pose.new_tensor([-1.0, 1.0, 1.0])


# Change: what it does, and the metrics that must not notice. All others must.
TABLE: dict[str, tuple[Change, tuple[str, ...]]] = {
    "one rotation of both": (of_both(lambda p, n: rotate(p, turns(n))), (*PLAIN, "P-MPJPE, oracle")),
    "one turn in the picture of both": (of_both(lambda p, n: rotate(p, orthonormal(in_picture(n)))), ALL),
    "one mirror image of both": (of_both(flip_x), ALL),
    "both upside down and inside out": (of_both(lambda p, _: -p), ALL),
    "one shift of both": (of_both(lambda p, n: p + shifts(n)), ("MPJPE", *PROCRUSTES)),
    "one order of joints for both": (of_both(lambda p, n: p[:, other_order(n)]), ALL),
    "one scale for both": (of_both(lambda p, _: 2.5 * p), ()),
    "a rotation of the prediction": (of_prediction(lambda p, n: rotate(p, turns(n))), PROCRUSTES),
    "a shift of the prediction": (of_prediction(lambda p, n: p + shifts(n)), PROCRUSTES),
    "a scale of the prediction": (of_prediction(lambda p, _: 1.7 * p), (*SCALED, *PROCRUSTES)),
    "a tiny prediction": (of_prediction(lambda p, _: 1e-140 * p), (*SCALED, *PROCRUSTES)),
    "a huge prediction": (of_prediction(lambda p, _: 1e140 * p), (*SCALED, *PROCRUSTES)),
    "the prediction through its root": (of_prediction(lambda p, _: -p), (*SCALED, "P-MPJPE, oracle")),
    "the prediction's twin in depth": (of_prediction(lambda p, _: depth_mirror(p)), ORACLE),
    "the prediction's mirror image": (of_prediction(flip_x), ("P-MPJPE, oracle",)),
    "another order of the prediction's joints": (of_prediction(lambda p, n: p[:, other_order(n)]), ()),
    "prediction and target exchanged": (lambda poses, _: (poses[1], poses[0]), ("MPJPE", "MPJPE, oracle")),
}


def change_of(metric: str, change: str, number: int) -> float:
    """By how much a metric changes: the mean over frames of the difference."""
    before, after = pair(number), TABLE[change][0](pair(number), number)
    difference = (METRICS[metric](*after) - METRICS[metric](*before)).abs()
    return difference.mean().item()


def batch_order(metric: str, number: int) -> float:
    """Frames in another order, one by one, or folded into more axes: the same numbers."""
    prediction, target = pair(number)
    values = METRICS[metric](prediction, target)
    order = torch.randperm(FRAMES, generator=generator(number))
    again = METRICS[metric](prediction[order], target[order])
    alone = torch.stack([METRICS[metric](p, t) for p, t in zip(prediction, target, strict=True)])
    folded = METRICS[metric](prediction.unflatten(0, (3, -1)), target.unflatten(0, (3, -1))).flatten()
    return max(largest(again - values[order]), largest(alone - values), largest(folded - values))


def twins_agree(number: int) -> float:
    """Of a pose and its twin exactly one is "better mirrored": the number of frames where that is not so."""
    prediction, target = pair(number)
    one, other = better_mirrored(prediction, target), better_mirrored(depth_mirror(prediction), target)
    return float((one == other).sum())


def units(metric: str, number: int) -> float:
    """Errors carry the unit of their input: metres or millimetres, relative difference."""
    prediction, target = pair(number)
    metres, millimetres = METRICS[metric](prediction, target), METRICS[metric](1000 * prediction, 1000 * target)
    return largest(millimetres / (1000 * metres) - 1)


def precision(metric: str, number: int) -> float:
    """float32 beside float64, metres (a joint at a threshold may fall to either side, so not for PCK and AUC)."""
    prediction, target = pair(number)
    single = METRICS[metric](prediction.float(), target.float()).to(DOUBLE)
    return largest(single - METRICS[metric](prediction.float().to(DOUBLE), target.float().to(DOUBLE)))


ERRORS = tuple(name for name in ALL if "MPJPE" in name)

PROPERTIES = [
    *(
        Property(
            f"{metric} {'keeps through' if metric in kept else 'notices'} {change}",
            1e-9 if metric in kept else 1e-3,
            (SEEDS,),
            partial(change_of, metric, change),
            must_differ=metric not in kept,
        )
        for change, (_, kept) in TABLE.items()
        for metric in ALL
    ),
    *(Property(f"{metric}: order of frames", 1e-12, (SEEDS,), partial(batch_order, metric)) for metric in ALL),
    *(Property(f"{metric}: units", 1e-12, (SEEDS,), partial(units, metric)) for metric in ERRORS),
    *(Property(f"{metric}: precision", 1e-6, (SEEDS,), partial(precision, metric)) for metric in ERRORS),
    Property("better mirrored: one of two twins", 0.0, (SEEDS,), twins_agree),
]
