"""Right and wrong answers to the exercises of chapter 3."""

import torch

from ites_core.camera import random_rotations


def cycle_loss(canonical, again):
    return (again - canonical[:, None]).norm(dim=-1).mean()


def angle(R):
    trace = R.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return torch.acos(((trace - 1) / 2).clamp(-1, 1))


def haar(count, generator):
    Q, upper = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    Q = Q * upper.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    Q[..., 0] *= torch.linalg.det(Q).sign()[:, None]
    return Q


def mirrors_kept(count, generator):
    Q, upper = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    return Q * upper.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]


def signs_left(count, generator):
    Q, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    Q[..., 0] *= torch.linalg.det(Q).sign()[:, None]
    return Q


def view_share(Y):
    within = (Y - Y.mean(dim=1, keepdim=True)).square().sum(dim=-1).mean()
    overall = (Y - Y.mean(dim=(0, 1))).square().sum(dim=-1).mean()
    return within / overall


def over_instants(Y):
    within = (Y - Y.mean(dim=0, keepdim=True)).square().sum(dim=-1).mean()
    return within / (Y - Y.mean(dim=(0, 1))).square().sum(dim=-1).mean()


RIGHT = {
    "3.1": [cycle_loss],
    "3.2": [angle],
    "3.3": [haar, random_rotations],
    "3.4": [view_share],
    "3.5": [lambda own, twin: (twin < own).float().mean()],
}
WRONG = {
    "3.1": [
        (lambda Y, again: (again - Y[:, None]).square().sum(dim=-1).mean(), "squared form"),
        (lambda Y, again: (again - Y[:, None]).norm(dim=-2).mean(), "Coordinates are the last axis"),
        (lambda Y, again: (again - Y[:, None]).norm(dim=-1).sum(dim=-1).mean(), "sum over the joints"),
    ],
    "3.2": [
        (lambda R: torch.rad2deg(angle(R)), "degrees"),
        (lambda R: torch.acos((R.diagonal(dim1=-2, dim2=-1).sum(-1) / 2).clamp(-1, 1)), "forgot the 1"),
        (lambda R: torch.cos(angle(R)), "cosine"),
    ],
    "3.3": [
        (mirrors_kept, "they mirror"),
        (lambda n, g: random_rotations(n, g, "axis_angle"), "uniform angle"),
        (lambda n, g: torch.randn(n, 3, 3, generator=g), "not orthogonal"),
        (signs_left, "signs of the diagonal"),
    ],
    "3.4": [
        (lambda Y: view_share(Y).sqrt(), "ratio of the spreads"),
        (over_instants, "axis 1"),
        (lambda Y: 1 - view_share(Y), "1 minus"),
    ],
    "3.5": [
        (lambda own, twin: (twin >= own).float().mean(), "better as they are"),
        (lambda own, twin: (twin.mean() < own.mean()).float(), "means of all frames"),
        (lambda own, twin: (twin < own).sum(), "count"),
    ],
}
