"""Right and wrong answers to the exercises of chapter 4."""

import torch

from ites_core.camera import project, rotate, unproject


def layers_needed(A, i, j):
    heard, layers = torch.eye(len(A)), 0
    while heard[i, j] == 0:
        heard, layers = heard @ A, layers + 1
    return layers


def masked_softmax(M, A):
    return torch.softmax(M.masked_fill(A == 0, -torch.inf), dim=0)


def attention(H, W1, W2):
    return torch.softmax((H @ W1.T) @ (H @ W2.T).T, dim=0)


def depth_head(image, offsets):
    d = offsets - offsets[:, :1]
    z = (5.0 + d).clamp(min=1.0)
    return torch.cat([image * z[..., None], d[..., None]], dim=-1)


def no_clamp(image, offsets):
    d = offsets - offsets[:, :1]
    return torch.cat([image * (5.0 + d)[..., None], d[..., None]], dim=-1)


def equivariance_error(lift, image, R):
    turned = rotate(lift(image), R)
    return (lift(project(turned)) - turned).norm(dim=-1).mean()


def invariance_error(lift, image, R):
    return (lift(project(rotate(lift(image), R))) - lift(image)).norm(dim=-1).mean()


RIGHT = {
    "4.1": [layers_needed],
    "4.2": [masked_softmax],
    "4.3": [attention],
    "4.4": [depth_head],
    "4.5": [equivariance_error],
}
WRONG = {
    "4.1": [
        (lambda A, i, j: layers_needed(A, i, j) + 1, "one too many"),
        (lambda A, i, j: layers_needed(A, i, j) - 1, "one too few"),
    ],
    "4.2": [
        (lambda M, A: torch.softmax(M * A, dim=0), "printed formula"),
        (lambda M, A: torch.softmax(M.masked_fill(A == 0, -torch.inf), dim=1), "rows sum to one"),
        (lambda M, A: torch.softmax(M, dim=0) * A, "mask after the softmax"),
        (lambda M, A: torch.softmax(M, dim=0), "no mask"),
    ],
    "4.3": [
        (lambda H, W1, W2: torch.softmax((H @ W1.T) @ (H @ W2.T).T, dim=1), "rows sum to one"),
        (lambda H, W1, W2: attention(H, W2, W1), "transposed"),
        (lambda H, W1, W2: (H @ W1.T) @ (H @ W2.T).T, "softmax is missing"),
    ],
    "4.4": [
        (unproject, "root is not pinned"),
        (no_clamp, "clamp is missing"),
        (lambda x, d: torch.cat([5 * x, (d - d[:, :1])[..., None]], dim=-1), "t alone"),
    ],
    "4.5": [
        (invariance_error, "measures invariance"),
        (lambda lift, x, R: equivariance_error(lift, x, R.mT), "transposed matrix"),
        (lambda lift, x, R: (lift(project(rotate(lift(x), R.mT))) - rotate(lift(x), R)).norm(dim=-1).mean(), "rows"),
    ],
}
