"""Checks for the exercises of chapter 7, your own poses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.exercises.base import NotYet, call, compare, exercise


@exercise("7.1", "Joints that nobody marks", "easy", 10)
def trunk(answer: Callable[[Tensor], Tensor]) -> None:
    """``trunk(keypoints)``: hip, spine and thorax (3, 2) from COCO's 17 keypoints (17, 2)."""
    x = torch.arange(34, dtype=torch.float32).reshape(17, 2) ** 1.5
    shoulders, hips = (x[5] + x[6]) / 2, (x[11] + x[12]) / 2
    right = torch.stack([hips, (hips + shoulders) / 2, shoulders])
    compare(
        call(answer, x),
        right,
        {
            "The order is hip, spine, thorax; yours begins with the thorax.": right.flip(0),
            "You took keypoints 6, 7 and 12, 13: COCO's list is numbered from 0 here.": torch.stack(
                [(x[12] + x[13]) / 2, (x[12] + x[13] + x[6] + x[7]) / 4, (x[6] + x[7]) / 2]
            ),
            "These are sums. The middle of two points is half their sum.": 2 * right,
            "These are one side's joints, not the middle of both.": torch.stack([x[11], (x[11] + x[5]) / 2, x[5]]),
        },
    )


@exercise("7.2", "How large is this person", "easy", 10)
def size(answer: Callable[[Tensor], float]) -> None:
    """``size(quotients)``: the mean of the second to fifth largest of 12 numbers."""
    q = torch.tensor([0.9, 0.2, 1.0, 0.4, 0.95, 3.0, 0.3, 0.85, 0.1, 0.5, 0.8, 0.6])
    compare(
        call(answer, q),
        0.925,
        {
            "That is the mean of all. Foreshortened bones pull it down.": q.mean(),
            "The largest is among them: one stray keypoint, and the whole person shrinks.": (
                q.sort(descending=True).values[:5].mean()
            ),
            "The largest is in and the fifth is out: drop the first of the sorted numbers.": (
                q.sort(descending=True).values[:4].mean()
            ),
            "These are the smallest, the bones that point at the camera.": q.sort().values[1:5].mean(),
            "That is one number, the largest.": q.max(),
            "That is their sum.": 3.7,
            "You averaged the second to fourth; the fifth belongs to them.": (
                q.sort(descending=True).values[1:4].mean()
            ),
        },
    )


@exercise("7.3", "The best linear guess", "medium", 15)
def best_guess(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """``best_guess(mean, covariance, seen, x)``: x (D,) with the unseen entries at their conditional mean."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    covariance, mean = a @ a.T + 0.1 * torch.eye(6), torch.arange(6, dtype=torch.float64)
    seen = torch.tensor([True, True, False, True, False, True])
    x = torch.where(seen, torch.tensor([1.0, -1.0, 0.0, 2.0, 0.0, 7.0], dtype=torch.float64), torch.nan)
    s, u = seen, ~seen
    weights = torch.linalg.solve(covariance[s][:, s], covariance[s][:, u])

    def filled(values: Tensor) -> Tensor:
        whole = x.clone()
        whole[u] = values
        return whole

    right = filled(mean[u] + weights.T @ (x[s] - mean[s]))
    found = call(answer, mean, covariance, seen, x)
    if isinstance(found, Tensor) and found.shape == (2,):
        raise NotYet("You return the unseen entries alone; give back all of x, the seen ones as they came.")
    compare(
        found,
        right,
        {
            "You guess the mean. What is seen tells more.": filled(mean[u]),
            "The seen entries count as they are; take their difference from their mean.": filled(
                mean[u] + weights.T @ x[s]
            ),
            "The mean of the unseen entries is missing.": filled(weights.T @ (x[s] - mean[s])),
            "You multiply by the covariance of the seen entries' differences without dividing by their own: invert "
            "(or solve with) the seen block.": filled(mean[u] + covariance[u][:, s] @ (x[s] - mean[s])),
        },
    )


@exercise("7.4", "Which way does it face", "medium", 15)
def faces(answer: Callable[[Tensor], Tensor]) -> None:
    """``faces(pose)``: unit vector in which a trunk faces, from joints 0 (hip), 8 (thorax), 1 and 4 (the two hips)."""
    generator = torch.Generator().manual_seed(1)
    pose = torch.randn(17, 3, generator=generator)
    up, across = pose[8] - pose[0], pose[1] - pose[4]
    front = torch.linalg.cross(up, across)
    front = front / front.norm()
    found = call(answer, pose)
    compare(
        found,
        front,
        {
            "That is where the back faces: the order of a cross product decides its sign.": -front,
            "The direction is right, the length is not 1.": torch.linalg.cross(up, across),
            "The direction is opposite, and the length is not 1.": torch.linalg.cross(across, up),
            "That is the trunk's upright. The front is across both upright and hips.": up / up.norm(),
            "That is the line of the hips. The front is across both upright and hips.": across / across.norm(),
        },
    )


@exercise("7.5", "The shortest turn", "hard", 20)
def shortest_turn(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``shortest_turn(a, b)``: the rotation matrix R with R a = b that turns least, for unit vectors (3,)."""
    down, front = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([0.6, 0.0, 0.8])
    tilted = torch.tensor([1.0, 2.0, 2.0]) / 3
    for a, b in ((down, front), (front, tilted), (tilted, tilted)):
        axis = torch.linalg.cross(a, b)
        k = torch.tensor([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        right = torch.eye(3) + k + k @ k / (1 + a @ b)
        found = call(answer, a, b)
        if isinstance(found, Tensor) and found.shape == (3, 3):
            turned = found.float() @ a
            if not torch.allclose(turned, b, atol=1e-4):
                if torch.allclose(found.float().T @ a, b, atol=1e-4):
                    raise NotYet("R brings b to a. Exchange them, or take the transpose.")
                raise NotYet(f"R a is {[round(v, 3) for v in turned.tolist()]}, not b.")
            if not torch.allclose(found.float() @ found.float().T, torch.eye(3), atol=1e-4):
                raise NotYet("R brings a to b, but it is no rotation: its columns are not orthonormal.")
            if torch.linalg.det(found.float()) < 0:
                raise NotYet("R brings a to b, but it mirrors: its determinant is -1.")
            if not torch.allclose(found.float(), right, atol=1e-3):
                raise NotYet("R brings a to b, but turns about b as well; the shortest turn has the axis a x b.")
        compare(found, right)
