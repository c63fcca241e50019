"""Right and wrong answers to the exercises of chapter 1."""

import torch

from ites_core.camera import project
from ites_core.metrics import depth_mirror, mpjpe, n_mpjpe, pck


def lift(image, depth, t):
    return torch.cat([image * (t + depth)[:, None], depth[:, None]], dim=-1)


def depth_alone(image, depth, t):
    return torch.cat([image * depth[:, None], depth[:, None]], dim=-1)


def distance_of_its_own(image, depth, t):
    return lift(image, depth, 5.0)


def absolute_depth(image, depth, t):
    return torch.cat([image * (t + depth)[:, None], t + depth[:, None]], dim=-1)


def twin_shift(pose, t):
    xy, d = pose[:, :2], pose[:, 2:]
    return 2 * xy * d / (t**2 - d**2)


def bone_depths(image, parent, length, t):
    ray = torch.cat([image, torch.ones(len(image), 1)], dim=-1)
    start = parent + torch.tensor([0.0, 0.0, t])
    a, b = ray.square().sum(dim=-1), (ray * start).sum(dim=-1)
    root = (b**2 - a * (start.square().sum(dim=-1) - length**2)).sqrt()
    return torch.stack([b - root, b + root], dim=-1) / a[:, None] - t


def bones_by_search(image, parent, length, t):
    """The same by looking along each ray: slow, and obviously right."""
    steps = torch.linspace(-4, 4, 800_001, dtype=torch.float64)
    found = []
    for (u, v), p, bone in zip(image.double(), parent.double(), length.double(), strict=True):
        z = t + steps
        over = (u * z - p[0]) ** 2 + (v * z - p[1]) ** 2 + (steps - p[2]) ** 2 > bone**2
        where = (over[1:] != over[:-1]).nonzero()[:, 0]
        found.append(steps[where].tolist() if len(where) == 2 else [torch.nan] * 2)
    return torch.tensor(found)


def root_clamped_at_zero(image, parent, length, t):
    ray = torch.cat([image, torch.ones(len(image), 1)], dim=-1)
    start = parent + torch.tensor([0.0, 0.0, t])
    a, b = ray.square().sum(dim=-1), (ray * start).sum(dim=-1)
    root = (b**2 - a * (start.square().sum(dim=-1) - length**2)).clamp(min=0).sqrt()
    return torch.stack([b - root, b + root], dim=-1) / a[:, None] - t


def parent_at_the_root(image, parent, length, t):
    return bone_depths(image, parent - torch.tensor([0.0, 0.0, t]), length, t)


def rescaled(p, y):
    return p * (p * y).sum(dim=(-2, -1), keepdim=True) / p.square().sum(dim=(-2, -1), keepdim=True)


def ratio_of_norms(p, y):
    return p * y.norm(dim=(-2, -1), keepdim=True) / p.norm(dim=(-2, -1), keepdim=True)


def scale_of_each_joint(p, y):
    return p * (p * y).sum(dim=-1, keepdim=True) / p.square().sum(dim=-1, keepdim=True)


def one_scale_for_all(p, y):
    return p * (p * y).sum() / p.square().sum()


def pck_oracle(prediction, target, threshold):
    twins = torch.stack([prediction, depth_mirror(prediction)])
    return ((twins - target).norm(dim=-1) < threshold).float().mean(dim=-1).amax(dim=0).mean()


def hits(prediction, target, threshold):
    return ((prediction - target).norm(dim=-1) < threshold).float()


def best_joints(prediction, target, threshold):
    return torch.maximum(*(hits(p, target, threshold) for p in (prediction, depth_mirror(prediction)))).mean()


def best_set(prediction, target, threshold):
    return max(hits(p, target, threshold).mean() for p in (prediction, depth_mirror(prediction)))


def worst_frames(prediction, target, threshold):
    both = torch.stack([hits(p, target, threshold).mean(dim=-1) for p in (prediction, depth_mirror(prediction))])
    return both.amin(dim=0).mean()


RIGHT = {
    "1.1": [lift],
    "1.2": [twin_shift, lambda pose, t: project(depth_mirror(pose), t) - project(pose, t)],
    "1.3": [bone_depths, bones_by_search],
    "1.4": [rescaled],
    "1.5": [pck_oracle, lambda p, y, limit: pck(p, y, limit, align="none", oracle_flip=True).mean()],
}
WRONG = {
    "1.1": [
        (depth_alone, "distance from the camera is t \\+ d"),
        (distance_of_its_own, "use the argument t"),
        (absolute_depth, "relative to the root"),
        (lambda image, depth, t: lift(image, depth, t)[:, :2], "shape is"),
    ],
    "1.2": [
        (lambda pose, t: -twin_shift(pose, t), "other way round"),
        (lambda pose, t: twin_shift(pose, 5.0), "use the argument t"),
        (lambda pose, t: project(depth_mirror(pose), t), "twin alone"),
        (lambda pose, t: 2 * pose[:, :2] * pose[:, 2:] / t**2, "product of the two distances"),
        (lambda pose, t: -2 * project(pose, t) * torch.tensor([1.0, 0.0]), "left and right"),
    ],
    "1.3": [
        (lambda *a: bone_depths(*a) + a[-1], "distances from the camera"),
        (lambda *a: bone_depths(*a).flip(-1), "nearer answer first"),
        (parent_at_the_root, "relative to the root"),
        (root_clamped_at_zero, "mark both as NaN"),
        (lambda *a: bone_depths(*a).tolist(), "found a list"),
    ],
    "1.4": [
        (ratio_of_norms, "ratio of norms"),
        (scale_of_each_joint, "joint has a scale of its own"),
        (one_scale_for_all, "share one scale"),
        (lambda p, y: rescaled(y, p) * p / y, "<y, y>"),
        (lambda p, y: rescaled(p, y) - y, "values are not"),
        (lambda p, y: n_mpjpe(p, y), "shape is"),
    ],
    "1.5": [
        (best_joints, "every joint separately"),
        (best_set, "once for the whole set"),
        (worst_frames, "takes the maximum"),
        (lambda p, y, limit: hits(p, y, limit).mean(), "no oracle"),
        (lambda p, y, limit: 1 - pck_oracle(p, y, limit), "further"),
        (lambda p, y, limit: mpjpe(p, y, oracle_flip=True).mean(), "not the right number"),
    ],
}
