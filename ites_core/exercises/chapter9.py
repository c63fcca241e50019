"""Checks for the exercises of chapter 9, beyond ITES."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ites_core.camera import rotate, rotation_from_vector
from ites_core.exercises.base import call, call_on_copy, compare, exercise


@exercise("9.1", "A mirrored body", "easy", 10)
def mirror_body(answer: Callable[[Tensor, Sequence[tuple[int, int]]], Tensor]) -> None:
    """``mirror_body(points, pairs)``: (N, D) root-centred points to the mirror image, left and right exchanged."""
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [-1.5, 2.5, 1.0], [0.5, -4.0, 2.0]])
    pairs = [(1, 2)]
    swapped = points[[0, 2, 1, 3]]
    sign = torch.tensor([-1.0, 1.0, 1.0])
    found = call_on_copy(answer, points, pairs)
    compare(
        found,
        swapped * sign,
        {
            "x has changed its sign, but the left wrist is still called the left wrist. Exchange the pairs.": (
                points * sign
            ),
            "Left and right are exchanged, but nothing is mirrored: x has to change its sign.": swapped,
            "You mirror the depth, that is the twin of chapter 1. A mirror on the wall mirrors x.": (
                swapped * torch.tensor([1.0, 1.0, -1.0])
            ),
            "You mirror y: the body hangs upside down.": swapped * torch.tensor([1.0, -1.0, 1.0]),
        },
    )
    compare(call(answer, points[:, :2].clone(), pairs), (swapped * sign)[:, :2])


@exercise("9.2", "Turned about gravity", "medium", 15)
def about_gravity(answer: Callable[[float, float], Tensor]) -> None:
    """``about_gravity(angle, elevation)``: (3, 3), a turn about the room's vertical for a camera that looks down."""

    def turn(axis: int, angle: float) -> Tensor:
        vector = torch.zeros(3)
        vector[axis] = angle
        return rotation_from_vector(vector)

    angle, elevation = 1.1, 0.3
    right = turn(0, elevation) @ turn(1, angle) @ turn(0, -elevation)
    found = call(answer, angle, elevation)
    compare(
        found,
        right,
        {
            "This turns about the camera's y axis. The camera looks down: tilt first, turn, tilt back.": turn(1, angle),
            "The sign of the elevation is the other way round: this camera looks up.": (
                turn(0, -elevation) @ turn(1, angle) @ turn(0, elevation)
            ),
            "The tilt is not taken back: at angle 0 nothing may move.": turn(0, elevation) @ turn(1, angle),
            "The angle goes the other way round; compare with `rotation_from_vector`.": right.mT,
        },
    )
    down = torch.tensor([[0.0, math.cos(elevation), math.sin(elevation)]])
    compare(rotate(down, torch.as_tensor(found).float()), down)


@exercise("9.3", "The best denoiser", "medium", 20)
def denoise(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """``denoise(noisy, clean, noise)``: the mean of the clean points (P, D), weighed by how well they explain (D,)."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(6, 2, generator=generator)
    noisy = torch.tensor([0.3, -0.2])
    for noise in (0.3, 1.0):
        squares = (noisy - clean).square().sum(dim=1)
        weights = torch.softmax(-squares / (2 * noise**2), dim=0)

        def mean(w: Tensor) -> Tensor:
            return w @ clean

        compare(
            call(answer, noisy.clone(), clean.clone(), noise),
            mean(weights),
            {
                "That is the nearest clean point. Others may have been it too: take their weighted mean.": (
                    clean[squares.argmin()]
                ),
                "That is the mean of all clean points, whatever the noisy one is.": clean.mean(dim=0),
                "The exponent lacks the 2: a Gaussian is exp(-|difference|^2 / (2 noise^2)).": mean(
                    torch.softmax(-squares / noise**2, dim=0)
                ),
                "The distance enters squared.": mean(torch.softmax(-squares.sqrt() / (2 * noise**2), dim=0)),
                "The noise enters squared.": mean(torch.softmax(-squares / (2 * noise), dim=0)),
                "The sign of the exponent: far points get the most weight here.": mean(
                    torch.softmax(squares / (2 * noise**2), dim=0)
                ),
                "The weights do not sum to 1.": mean((-squares / (2 * noise**2)).exp()),
            },
        )


@exercise("9.4", "What a choice costs", "easy", 10)
def regret(answer: Callable[[list[float], list[float]], float]) -> None:
    """``regret(scores, errors)``: error of the candidate with the lowest score, beyond the lowest error."""
    scores, errors = [0.31, 0.27, 0.29, 0.40], [47.0, 45.5, 44.2, 52.0]
    compare(
        call(answer, list(scores), list(errors)),
        1.3,
        {
            "That is the error of the choice. Regret is what it has too much.": 45.5,
            "You choose by the errors, which nobody knows at that time.": 0.0,
            "You take the candidate with the highest score. Of these scores less is better.": 52.0 - 44.2,
            "That is the mean of all candidates, beyond the best.": sum(errors) / 4 - 44.2,
            "The sign is the other way round: nobody can do better than the best.": -1.3,
        },
    )
    compare(call(answer, [2.0, 1.0, 3.0], [5.0, 4.0, 9.0]), 0.0)


@exercise("9.5", "Is the doubt honest?", "medium", 15)
def coverage(answer: Callable[[Tensor, Tensor, float], float]) -> None:
    """``coverage(error, expected, factor)``: share of the joints whose error is at most factor times the expected."""
    error = torch.tensor([[1.0, 2.0, 8.0, 3.0], [4.0, 6.0, 0.5, 5.0]])
    expected = torch.tensor([[1.0, 3.0, 3.0, 4.0], [2.0, 5.0, 0.2, 8.0]])
    for factor in (1.0, 2.0):
        right = (error <= factor * expected).float().mean().item()
        compare(
            call(answer, error.clone(), expected.clone(), factor),
            right,
            {
                f"factor {factor}: that is the share of the joints outside.": 1 - right,
                f"factor {factor}: the factor is missing.": (error <= expected).float().mean().item(),
                f"factor {factor}: the factor belongs to the expected error.": (
                    (factor * error <= expected).float().mean().item()
                ),
                f"factor {factor}: that is the number of joints, not their share.": right * error.numel(),
                f"factor {factor}: compare joint by joint; do not average the errors first.": float(
                    error.mean() <= factor * expected.mean()
                ),
            },
        )


@exercise("9.6", "Bones from pictures", "medium", 15)
def proportions(answer: Callable[[Tensor, float], Tensor]) -> None:
    """``proportions(lengths, share)``: (M, B) bone lengths in M pictures to (B,) proportions of mean 1."""
    generator = torch.Generator().manual_seed(0)
    bones = torch.tensor([0.4, 1.0, 1.2, 0.6])
    size = 0.5 + torch.rand(201, 1, generator=generator)  # of each person in its picture
    lengths = bones * size * torch.rand(201, 4, generator=generator).sqrt()  # seen from random sides
    share = 0.9
    relative = lengths / lengths.mean(dim=1, keepdim=True)
    longest = relative.quantile(share, dim=0)

    def scaled(values: Tensor) -> Tensor:
        return values / values.mean()

    compare(
        call_on_copy(answer, lengths, share),
        scaled(longest),
        {
            "The quantiles are right. Divide them by their mean: proportions have the mean 1.": longest,
            "A large person counts for more than a small one. Divide by the mean bone of each picture first.": scaled(
                lengths.quantile(share, dim=0)
            ),
            "That is the median, which is too short for bones that often leave the plane of the picture.": scaled(
                relative.median(dim=0).values
            ),
            "That is the longest of all pictures. Use the share: it keeps single wild pictures out.": scaled(
                relative.amax(dim=0)
            ),
            "That is the mean over the pictures; every foreshortened bone pulls it down.": scaled(relative.mean(dim=0)),
            "You divide by the mean over pictures, not by the mean over the bones of a picture.": scaled(
                (lengths / lengths.mean(dim=0, keepdim=True)).quantile(share, dim=0)
            ),
        },
    )
