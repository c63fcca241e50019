"""Right and wrong answers to the exercises of chapter 1."""

import torch


def lift(image, depth, t):
    return torch.cat([image * (t + depth)[:, None], depth[:, None]], dim=-1)


def depth_alone(image, depth, t):
    return torch.cat([image * depth[:, None], depth[:, None]], dim=-1)


def distance_of_its_own(image, depth, t):
    return lift(image, depth, 5.0)


def absolute_depth(image, depth, t):
    return torch.cat([image * (t + depth)[:, None], t + depth[:, None]], dim=-1)


RIGHT = {"1.1": [lift]}
WRONG = {
    "1.1": [
        (depth_alone, "distance from the camera is t \\+ d"),
        (distance_of_its_own, "use the argument t"),
        (absolute_depth, "relative to the root"),
        (lambda image, depth, t: lift(image, depth, t)[:, :2], "shape is"),
    ]
}
