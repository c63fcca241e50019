"""Checks for the exercises of chapter 0, the prerequisites, and its self-test of the installation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import project, rotate, rotation_from_vector, unproject
from ites_core.data.sampler import PoseSampler
from ites_core.exercises.base import NotYet, call, compare, exercise
from ites_core.metrics import p_mpjpe
from ites_core.skeleton import H36M17


def self_test() -> None:
    """Four things that every chapter relies on; prints one line each.

    Raises:
        NotYet: at the first that fails, with what to do.
    """
    generator = torch.Generator().manual_seed(0)
    poses = PoseSampler.embedded().poses(8, generator)
    poses = poses - poses[:, :1]
    turned = 1.5 * rotate(poses, rotation_from_vector(torch.tensor([0.1, 1.0, -0.2])))
    depth = poses[..., 2].clone().requires_grad_()
    lifted = unproject(project(poses), depth)
    lifted.square().sum().backward()
    slope = depth.grad
    tests = {
        "the sampler draws bodies": poses.shape == (8, len(H36M17), 3) and bool(poses.isfinite().all()),
        "lifting undoes projection": torch.allclose(lifted, poses, atol=1e-5),
        "P-MPJPE forgives turn and size": bool((p_mpjpe(turned, poses) < 1e-5).all()),
        "gradients flow through the camera": slope is not None and bool(slope.isfinite().all() and slope.any()),
    }
    for name, passed in tests.items():
        if not passed:
            raise NotYet(
                f"Self-test: {name}: failed. The installed versions do not fit together. Make the environment anew "
                "(remove .venv, then `make env`) and restart the kernel."
            )
        print(f"ok    {name}")


@exercise("0.1", "Turn a body of row vectors", "easy", 5)
def turn(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``turn(points, rotation)``: points (N, 3), one a row, turned by a matrix (3, 3) that acts on columns."""
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    rotation = rotation_from_vector(torch.tensor([0.3, -1.0, 0.6]))
    compare(
        call(answer, points.clone(), rotation),
        rotate(points, rotation),
        {
            "This turns the other way: for row vectors `points @ R` is the inverse rotation. Look at which index of R "
            "is summed over.": points @ rotation,
            "The numbers are right, but one point stands in each column. Points come in as rows and go out as rows.": (
                rotation @ points.T
            ),
            "This is the inverse rotation, and one point stands in each column.": rotation.T @ points.T,
            "Nothing has been turned.": points,
        },
    )


@exercise("0.2", "Put every root at the origin", "easy", 5)
def centre(answer: Callable[[Tensor], Tensor]) -> None:
    """``centre(poses)``: poses (B, N, 3) minus each pose's own joint 0."""
    n = len(H36M17)
    poses = torch.randn(n, n, 3, generator=torch.Generator().manual_seed(2))  # as many poses as joints: see below
    compare(
        call(answer, poses.clone()),
        poses - poses[:, :1],
        {
            "The shape is right, and the roots are mixed up: this batch has as many poses as joints, and roots of "
            "shape (B, 3) line up with the joints. Which axis must be kept, with length 1?": poses - poses[:, 0],
            "You subtract the first *pose* from all poses. The root is the first *joint* of each pose.": (
                poses - poses[0]
            ),
            "You subtract the mean of the joints. The root is one particular joint, number 0.": (
                poses - poses.mean(dim=1, keepdim=True)
            ),
            "You subtract the mean of all roots. Each pose has a root of its own.": (
                poses - poses[:, :1].mean(dim=0, keepdim=True)
            ),
        },
    )


@exercise("0.3", "The nearest point of a subspace", "medium", 10)
def nearest(answer: Callable[[Tensor, int], Tensor]) -> None:
    """``nearest(rows, k)``: each row's nearest point in the k-dimensional space that fits all rows (M, D) best."""
    k = 2
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(12, 5, generator=generator) * torch.tensor([3.0, 2.0, 1.0, 0.7, 0.3])
    rows = rows @ _orthogonal(5, generator).T + torch.tensor([1.0, -1.0, 0.5, 0.0, 2.0])
    found = call(answer, rows.clone(), k)
    if isinstance(found, Tensor) and found.shape == (len(rows), k):
        raise NotYet(
            f"These are {k} coordinates for each row, in the basis of the subspace. Go one step on: the point itself "
            f"has {rows.shape[1]} numbers again."
        )
    vt = torch.linalg.svd(rows, full_matrices=False).Vh
    mean = rows.mean(dim=0)
    centred = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:k]
    compare(
        found,
        rows @ vt[:k].T @ vt[:k],
        {
            "You subtract the mean of the rows first. That fits a plane anywhere; a subspace goes through the "
            "origin.": (rows - mean) @ centred.T @ centred + mean,
            "You subtract the mean of the rows, and do not even add it again.": (rows - mean) @ centred.T @ centred,
            "You use the last k directions, with the *smallest* singular values.": rows @ vt[-k:].T @ vt[-k:],
            "You take k columns of the matrix that `torch.linalg.svd` gives. It is V transposed, so the directions "
            "are its rows.": rows @ vt[:, :k] @ vt[:, :k].T,
            "With k = D nothing is left out: are you using k at all?": rows,
        },
        atol=1e-3,
    )


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """An orthogonal matrix (size, size)."""
    return torch.linalg.qr(torch.randn(size, size, generator=generator)).Q


@exercise("0.4", "Walk downhill", "medium", 10)
def descend(answer: Callable[[Callable[[Tensor], Tensor], Tensor, float, int], Tensor]) -> None:
    """``descend(loss, start, rate, steps)``: plain gradient descent with autograd."""
    target, weight = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 0.5, 2.0])
    start, rate, steps = torch.tensor([0.0, 1.0, 2.0]), 0.1, 5

    def loss(x: Tensor) -> Tensor:
        return (weight * (x - target).square()).sum()

    def slope(x: Tensor) -> Tensor:
        return 2 * weight * (x - target)

    def walk(sign: float, step: float, number: int, piled: bool = False) -> Tensor:
        x, pile = start, torch.zeros(3)
        for _ in range(number):
            pile = pile + slope(x) if piled else slope(x)
            x = x - sign * step * pile
        return x

    compare(
        call(answer, loss, start.clone(), rate, steps),
        walk(1.0, rate, steps),
        {
            "The gradients pile up: `backward` *adds* to what an earlier step has left in `.grad`.": walk(
                1.0, rate, steps, piled=True
            ),
            "You walk uphill: the gradient points to where the loss grows.": walk(-1.0, rate, steps),
            "This is where one step ends. Repeat it `steps` times, each time with the gradient at the new place.": walk(
                1.0, rate, 1
            ),
            "The steps are too long: is the rate left out?": walk(1.0, 1.0, steps),
            "This is a gradient, not the place where the walk ends.": slope(start),
            "You have not left the start. Assign the new place, and return it.": start,
        },
    )


@exercise("0.5", "Shares that sum to one", "easy", 5)
def shares(answer: Callable[[Tensor], Tensor]) -> None:
    """``shares(scores)``: a softmax over each column of scores (B, N, N)."""
    scores = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(4))
    right = scores.softmax(dim=-2)
    compare(
        call(answer, scores.clone()),
        right,
        {
            "The rows sum to one. Which of the three axes runs down a column?": scores.softmax(dim=-1),
            "You normalise over the batch, so that the poses share with one another.": scores.softmax(dim=0),
            "Each whole matrix sums to one; each column should.": scores.flatten(1).softmax(dim=-1).view_as(scores),
            "You divide the scores by their sum. The exponential is missing, and shares must not be negative.": (
                scores / scores.sum(dim=-2, keepdim=True)
            ),
            "These are exponentials that have not been divided by their sum.": scores.exp(),
        },
    )
    large = call(answer, scores + 1000)
    if isinstance(large, Tensor) and not large.isfinite().all():
        raise NotYet(
            "Right for small scores. For scores near 1000 the exponential overflows and the result is NaN. Adding one "
            "number to all scores of a column changes no share: use that to keep them small, or PyTorch's own function."
        )
    compare(large, right, atol=1e-3)
