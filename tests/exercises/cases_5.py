"""Right and wrong answers to the exercises of chapter 5."""

import torch


def weights(c):
    return 34 * c.width + c.blocks * (2 * c.width * c.bottleneck + c.bottleneck**2) + c.width * (c.atoms + 3)


def step_flop(c):
    return 6 * weights(c) * (1 + c.rotations_per_pose) * c.batch_size


def speedup(part, factor):
    return 1 / ((1 - part) + part / factor)


def estimate(flop, rate, share, watts):
    hours = flop / (share * rate) / 3600
    return hours, watts * hours / 1000


def joint_gradient(gradients, sizes):
    return sum(n * g for n, g in zip(sizes, gradients, strict=True)) / sum(sizes)


RIGHT = {
    "5.1": [step_flop],
    "5.2": [lambda parameters, statistics: 4 * (3 * parameters + statistics)],
    "5.3": [speedup],
    "5.4": [estimate],
    "5.5": [joint_gradient],
}
WRONG = {
    "5.1": [
        (lambda c: step_flop(c) / 3, "backwards"),
        (lambda c: step_flop(c) / (1 + c.rotations_per_pose), "passes of the cycle"),
        (lambda c: step_flop(c) / 2, "product and a sum"),
    ],
    "5.2": [
        (lambda p, s: 4 * (2 * p + s), "two numbers"),
        (lambda p, s: 4 * (p + s), "weights alone"),
        (lambda p, s: 32 * (3 * p + s), "bits"),
    ],
    "5.3": [
        (lambda p, k: 1 / speedup(p, k), "new time"),
        (lambda p, k: speedup(1 - p, k), "wrong part|new time"),
        (lambda p, k: k / p, "does not vanish"),
    ],
    "5.4": [
        (lambda *a: (3600 * estimate(*a)[0], estimate(*a)[1]), "seconds"),
        (lambda *a: (estimate(*a)[0], 1000 * estimate(*a)[1]), "watt hours"),
        (lambda f, r, share, w: estimate(f, r, 1.0, w), "full rate"),
        (lambda *a: estimate(*a)[0], "two numbers"),
    ],
    "5.5": [
        (lambda g, n: torch.stack(g).mean(dim=0), "plain mean"),
        (lambda g, n: torch.stack(g).sum(dim=0), "That is the sum"),
        (lambda g, n: sum(k * x for k, x in zip(n, g, strict=True)) / len(n), "number of parts"),
    ],
}
