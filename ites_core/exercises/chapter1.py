"""Checks for the exercises of chapter 1, projection ambiguity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import project, unproject
from ites_core.exercises.base import NotYet, call, compare, exercise
from ites_core.metrics import depth_mirror


@exercise("1.1", "Undo a projection", "easy", 5)
def lift(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """``lift(image, depth, t)``: joints (N, 2) at relative depths (N,) back into space, (N, 3)."""
    generator = torch.Generator().manual_seed(0)
    image, depth = 0.2 * torch.randn(5, 2, generator=generator), 0.4 * torch.randn(5, generator=generator)
    t = 4.0
    z = depth[:, None]
    compare(
        call(answer, image, depth, t),
        unproject(image, depth, t),
        {
            "You multiply by the relative depth d; the joint's distance from the camera is t + d.": torch.cat(
                [image * z, z], dim=-1
            ),
            "You multiply by t alone, so every joint stays in the root's plane; its distance is t + d.": torch.cat(
                [image * t, z], dim=-1
            ),
            "x and y are right. The third coordinate should be the depth relative to the root, not t + d.": torch.cat(
                [image * (t + z), t + z], dim=-1
            ),
            "You use 5 for the distance of the camera; use the argument t.": unproject(image, depth, 5.0),
        },
    )


@exercise("1.2", "How far the twin's picture moves", "medium", 10)
def twin_shift(answer: Callable[[Tensor, float], Tensor]) -> None:
    """``twin_shift(pose, t)``: pose (N, 3) to the picture of its twin minus its own picture, (N, 2)."""
    pose, t = 0.4 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), 4.0
    xy, d = pose[:, :2], pose[:, 2:]
    compare(
        call(answer, pose, t),
        project(depth_mirror(pose), t) - project(pose, t),
        {
            "The sign is the other way round: subtract the picture of the pose from that of the twin.": (
                project(pose, t) - project(depth_mirror(pose), t)
            ),
            "You use 5 for the distance of the camera; use the argument t.": (
                project(depth_mirror(pose)) - project(pose)
            ),
            "This is the picture of the twin alone; its difference from the picture of the pose is asked for.": (
                project(depth_mirror(pose), t)
            ),
            "The denominator is the product of the two distances, t - d and t + d, not t² alone.": 2 * xy * d / t**2,
            "This mirrors left and right; the twin changes the sign of the depth.": (
                project(pose * torch.tensor([-1.0, 1.0, 1.0]), t) - project(pose, t)
            ),
        },
        atol=1e-5,
    )


@exercise("1.3", "Two depths for a known bone", "hard", 15)
def bone_depths(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """``bone_depths(image, parent, length, t)``: (N, 2), (N, 3) and (N,) to relative depths (N, 2), near first."""
    generator = torch.Generator().manual_seed(2)
    parent, child = 0.3 * torch.randn(2, 6, 3, generator=generator)
    t, length = 4.0, (child - parent).norm(dim=-1)
    image = project(child, t)
    length[3] = 0.01  # too short: the ray passes further away

    def solve(parent: Tensor, squared: bool = True) -> Tensor:
        ray = torch.cat([image, torch.ones(len(image), 1)], dim=-1)
        a, b = ray.square().sum(dim=-1) if squared else torch.ones(len(ray)), (ray * parent).sum(dim=-1)
        root = (b * b - a * (parent.square().sum(dim=-1) - length**2)).sqrt()
        return torch.stack([b - root, b + root], dim=-1) / a[:, None]

    placed = parent + torch.tensor([0.0, 0.0, t])
    z = solve(placed)
    if not z[3].isnan().all() or z[[0, 1, 2, 4, 5]].isnan().any():
        raise RuntimeError("the check's own bones changed: one of six should be too short")
    expected = (z - t).nan_to_num(nan=-99.0)
    found = call(answer, image, parent, length, t)
    if not isinstance(found, Tensor):
        raise NotYet(f"Expected a tensor, found a {type(found).__name__}.")
    compare(
        found.nan_to_num(nan=-99.0),
        expected,
        {
            "These are distances from the camera. A relative depth is what is left when you subtract t.": (
                z.nan_to_num(nan=-99.0)
            ),
            "The order is far, near; give the nearer answer first.": expected.flip(-1),
            "The parent is given relative to the root. Put it before the camera first: add t to its depth.": (
                solve(parent).nan_to_num(nan=-99.0)
            ),
            "The parent is given relative to the root. Put it before the camera first, then solve, then subtract t.": (
                (solve(parent) - t).nan_to_num(nan=-99.0)
            ),
            "Where a bone is too short there is no answer: mark both as NaN instead of a root clamped at zero.": (
                torch.where(z.isnan(), _foot(image, placed)[:, None], z) - t
            ),
            "The ray (u, v, 1) is longer than 1: the quadratic is divided by its squared length.": (
                (solve(placed, squared=False) - t).nan_to_num(nan=-99.0)
            ),
        },
    )


def _foot(image: Tensor, point: Tensor) -> Tensor:
    """Depth at which each ray passes nearest to its point: (N, 2), (N, 3) to (N,)."""
    ray = torch.cat([image, torch.ones(len(image), 1)], dim=-1)
    return (ray * point).sum(dim=-1) / ray.square().sum(dim=-1)


@exercise("1.4", "The scale that fits", "medium", 10)
def rescaled(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``rescaled(prediction, target)``: the prediction, (F, N, 3), with each frame at its least-squares scale."""
    generator = torch.Generator().manual_seed(3)
    target = torch.randn(4, 5, 3, generator=generator)
    size = torch.tensor([0.5, 1.0, 2.0, 3.0])[:, None, None]
    p = size * (target + 0.5 * torch.randn(4, 5, 3, generator=generator))

    def scaled(dims: tuple[int, ...]) -> Tensor:
        return p * (p * target).sum(dim=dims, keepdim=True) / p.square().sum(dim=dims, keepdim=True)

    whole, power = (-2, -1), p.square().sum(dim=(-2, -1), keepdim=True)
    fit = (p * target).sum(dim=whole, keepdim=True) / power
    compare(
        call(answer, p, target),
        scaled(whole),
        {
            "This is the ratio of norms. It makes both poses equally large, which is not the best fit.": (
                p * (target.square().sum(dim=whole, keepdim=True) / power).sqrt()
            ),
            "Every joint has a scale of its own: sum over the joints too, not over the last dimension alone.": (
                scaled((-1,))
            ),
            "Each of x, y and z has a scale of its own: sum over the coordinates too.": scaled((-2,)),
            "All frames share one scale: keep the first dimension, sum over the other two.": scaled((0, 1, 2)),
            "You divide by <y, y>, so this scale would fit the target to the prediction.": (
                p * (p * target).sum(dim=whole, keepdim=True) / target.square().sum(dim=whole, keepdim=True)
            ),
            "These are the scales alone; return the scaled prediction.": fit,
            "These are the scales alone; return the scaled prediction, shape (F, N, 3).": fit.flatten(),
        },
    )


@exercise("1.5", "PCK, and an oracle that chooses once a frame", "medium", 10)
def pck_oracle(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """``pck_oracle(prediction, target, threshold)``: mean over frames of the better PCK of pose and twin."""
    generator = torch.Generator().manual_seed(4)
    target = 0.3 * torch.randn(8, 10, 3, generator=generator)
    prediction = target + 0.1 * torch.randn(8, 10, 3, generator=generator)
    prediction[:5] = depth_mirror(prediction[:5])
    threshold = 0.2
    twins = torch.stack([prediction, depth_mirror(prediction)])
    error = (twins - target).norm(dim=-1)  # (2, F, N)
    hit = (error < threshold).float()
    per_frame = hit.mean(dim=-1)
    compare(
        call(answer, prediction, target, threshold),
        per_frame.amax(dim=0).mean(),
        {
            "The choice is made for every joint separately. A body is mirrored as a whole: average over the joints "
            "first, then choose.": hit.amax(dim=0).mean(),
            "The choice is made once for the whole set. Choose in every frame, then average over the frames.": (
                per_frame.mean(dim=-1).amax()
            ),
            "You take the worse of the two. For PCK higher is better, so the oracle takes the maximum.": (
                per_frame.amin(dim=0).mean()
            ),
            "There is no oracle in this: score the twin too.": per_frame[0].mean(),
            "This averages the two scores; the oracle takes the better one.": per_frame.mean(),
            "You count the joints that are *further* away than the threshold.": (1 - per_frame).amin(dim=0).mean(),
            "This is one number a frame; average them.": per_frame.amax(dim=0),
        },
    )
