"""Right and wrong answers to the exercises of chapter 0."""

import torch


def turn(points, rotation):
    return points @ rotation.mT


def centre(poses):
    return poses - poses[:, :1]


def nearest(rows, k):
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:k]
    return rows @ directions.mT @ directions


def nearest_by_truncation(rows, k):
    u, s, vt = torch.linalg.svd(rows, full_matrices=False)
    return (u[:, :k] * s[:k]) @ vt[:k]


def nearest_with_a_mean(rows, k):
    mean = rows.mean(dim=0)
    return nearest(rows - mean, k) + mean


def nearest_by_columns(rows, k):
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:, :k]
    return rows @ directions @ directions.mT


def descend(loss, start, rate, steps):
    x = start.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(x), x)
        x = x - rate * slope
    return x.detach()


def descend_with_backward(loss, start, rate, steps, *, forget=True, sign=1):
    x = start.clone().requires_grad_()
    for _ in range(steps):
        if forget:
            x.grad = None
        loss(x).backward()
        with torch.no_grad():
            x -= sign * rate * x.grad
    return x


def shares(scores):
    return scores.softmax(dim=-2)


def shares_that_overflow(scores):
    return scores.exp() / scores.exp().sum(dim=-2, keepdim=True)


RIGHT = {
    "0.1": [turn, lambda points, rotation: (rotation @ points.T).T],
    "0.2": [centre, lambda poses: poses - poses[:, 0].unsqueeze(1)],
    "0.3": [nearest, nearest_by_truncation],
    "0.4": [descend, descend_with_backward],
    "0.5": [shares, lambda scores: torch.softmax(scores - scores.amax(dim=-2, keepdim=True), dim=1)],
}
WRONG = {
    "0.1": [
        (lambda points, rotation: points @ rotation, "inverse rotation"),
        (lambda points, rotation: rotation @ points.T, "rows and go out as rows"),
        (lambda points, rotation: rotation @ points, "raised RuntimeError"),
        (lambda points, rotation: points, "Nothing has been turned"),
    ],
    "0.2": [
        (lambda poses: poses - poses[:, 0], "line up with the joints"),
        (lambda poses: poses - poses[0], "first \\*joint\\* of each pose"),
        (lambda poses: poses - poses.mean(dim=1, keepdim=True), "one particular joint"),
    ],
    "0.3": [
        (nearest_with_a_mean, "goes through the origin"),
        (nearest_by_columns, "directions are its rows"),
        (lambda rows, k: rows @ torch.linalg.svd(rows, full_matrices=False).Vh[:k].mT, "one step on"),
        (lambda rows, k: rows, "using k at all"),
    ],
    "0.4": [
        (lambda *a: descend_with_backward(*a, forget=False), "pile up"),
        (lambda *a: descend_with_backward(*a, sign=-1), "uphill"),
        (lambda loss, start, rate, steps: descend(loss, start, rate, 1), "one step ends"),
        (lambda loss, start, rate, steps: descend(loss, start, 1.0, steps), "rate left out"),
    ],
    "0.5": [
        (lambda scores: scores.softmax(dim=-1), "rows sum to one"),
        (lambda scores: scores.softmax(dim=0), "over the batch"),
        (lambda scores: scores / scores.sum(dim=-2, keepdim=True), "exponential is missing"),
        (shares_that_overflow, "overflows"),
    ],
}
