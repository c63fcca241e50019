"""Right and wrong answers to the exercises of chapter 7."""

import torch


def trunk(x):
    shoulders, hips = (x[5] + x[6]) / 2, (x[11] + x[12]) / 2
    return torch.stack([hips, (hips + shoulders) / 2, shoulders])


def size(q):
    return q.sort(descending=True).values[1:5].mean()


def best_guess(mean, covariance, seen, x):
    weights = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen])
    whole = x.clone()
    whole[~seen] = mean[~seen] + weights.T @ (x[seen] - mean[seen])
    return whole


def only_mean(mean, covariance, seen, x):
    return torch.where(seen, x, mean)


def without_centring(mean, covariance, seen, x):
    weights = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen])
    whole = x.clone()
    whole[~seen] = mean[~seen] + weights.T @ x[seen]
    return whole


def faces(pose):
    front = torch.linalg.cross(pose[8] - pose[0], pose[1] - pose[4])
    return front / front.norm()


def shortest_turn(a, b):
    x, y, z = torch.linalg.cross(a, b)
    k = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return torch.eye(3) + k + k @ k / (1 + a @ b)


def reflection(a, b):
    """The mirror that exchanges a and b."""
    n = a - b
    return torch.eye(3) - 2 * torch.outer(n, n) / max(float(n @ n), 1e-9)


def with_twist(a, b):
    x, y, z = b * 0.7
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])) @ shortest_turn(a, b)


RIGHT = {
    "7.1": [trunk],
    "7.2": [size, lambda q: float(size(q))],
    "7.3": [best_guess],
    "7.4": [faces],
    "7.5": [shortest_turn],
}
WRONG = {
    "7.1": [
        (lambda x: trunk(x).flip(0), "begins with the thorax"),
        (lambda x: 2 * trunk(x), "sums"),
        (lambda x: trunk(x)[:2], "shape"),
    ],
    "7.2": [
        (lambda q: q.mean(), "mean of all"),
        (lambda q: q.sort(descending=True).values[:5].mean(), "stray keypoint"),
        (lambda q: q.sort().values[1:5].mean(), "smallest"),
    ],
    "7.3": [
        (only_mean, "guess the mean"),
        (without_centring, "difference from their mean"),
        (lambda m, c, s, x: best_guess(m, c, s, x)[~s], "unseen entries alone"),
    ],
    "7.4": [
        (lambda p: -faces(p), "back faces"),
        (lambda p: 2.5 * faces(p), "values are not|length"),
        (lambda p: torch.linalg.cross(p[8] - p[0], p[1] - p[4]), "length is not 1"),
    ],
    "7.5": [
        (lambda a, b: shortest_turn(a, b).T, "brings b to a"),
        (reflection, "mirrors"),
        (with_twist, "turns about b as well"),
        (lambda a, b: torch.outer(b, a), "no rotation"),
    ],
}
