"""Right and wrong answers to the exercises of chapter 9."""

import torch

from ites_core.camera import rotation_from_vector


def mirror_body(points, pairs):
    mirrored = points.clone()
    for left, right in pairs:
        mirrored[left], mirrored[right] = points[right], points[left]
    mirrored[:, 0] *= -1
    return mirrored


def only_sign(points, pairs):
    return points * torch.tensor([-1.0] + [1.0] * (points.shape[1] - 1))


def in_place(points, pairs):
    points[:, 0] *= -1
    return mirror_body(only_sign(points, pairs), pairs)


def about(axis, angle):
    vector = torch.zeros(3)
    vector[axis] = angle
    return rotation_from_vector(vector)


def about_gravity(angle, elevation):
    return about(0, elevation) @ about(1, angle) @ about(0, -elevation)


def denoise(noisy, clean, noise, two=2, power=2, sign=-1):
    squares = (noisy - clean).square().sum(dim=1)
    return torch.softmax(sign * squares / (two * noise**power), dim=0) @ clean


def regret(scores, errors):
    return errors[scores.index(min(scores))] - min(errors)


def proportions(lengths, share, scale=True):
    relative = lengths / lengths.mean(dim=1, keepdim=True)
    longest = relative.sort(dim=0).values[round(share * (len(lengths) - 1))]
    return longest / longest.mean() if scale else longest


RIGHT = {
    "9.1": [mirror_body],
    "9.2": [about_gravity],
    "9.3": [denoise],
    "9.4": [regret],
    "9.5": [lambda error, expected, factor: (error <= factor * expected).double().mean()],
    "9.6": [proportions],
}
WRONG = {
    "9.1": [
        (only_sign, "Exchange the pairs"),
        (lambda points, pairs: only_sign(mirror_body(points, pairs), pairs), "nothing is mirrored"),
        (in_place, "Work on a copy"),
        (lambda points, pairs: mirror_body(points, pairs) * torch.tensor([-1.0, -1.0, 1.0]), "upside down"),
    ],
    "9.2": [
        (lambda angle, elevation: about(1, angle), "camera's y axis"),
        (lambda angle, elevation: about_gravity(angle, -elevation), "looks up"),
        (lambda angle, elevation: about(0, elevation) @ about(1, angle), "not taken back"),
        (lambda angle, elevation: about_gravity(-angle, elevation), "other way round"),
    ],
    "9.3": [
        (lambda noisy, clean, noise: clean[(noisy - clean).norm(dim=1).argmin()], "nearest clean point"),
        (lambda noisy, clean, noise: clean.mean(dim=0), "mean of all clean points"),
        (lambda noisy, clean, noise: denoise(noisy, clean, noise, two=1), "lacks the 2"),
        (lambda noisy, clean, noise: denoise(noisy, clean, noise, power=1), "noise enters squared"),
        (lambda noisy, clean, noise: denoise(noisy, clean, noise, sign=1), "sign of the exponent"),
    ],
    "9.4": [
        (lambda scores, errors: errors[scores.index(min(scores))], "error of the choice"),
        (lambda scores, errors: 0.0, "choose by the errors"),
        (lambda scores, errors: errors[scores.index(max(scores))] - min(errors), "highest score"),
        (lambda scores, errors: -regret(scores, errors), "sign"),
    ],
    "9.5": [
        (lambda error, expected, factor: (error > factor * expected).double().mean(), "outside"),
        (lambda error, expected, factor: (error <= expected).double().mean(), "factor is missing"),
        (lambda error, expected, factor: (error <= factor * expected).sum(), "not their share"),
    ],
    "9.6": [
        (lambda lengths, share: proportions(lengths, share, scale=False), "have the mean 1"),
        (lambda lengths, share: proportions(lengths, 0.5), "That is the median"),
        (lambda lengths, share: proportions(lengths, 1.0), "longest of all"),
        (
            lambda lengths, share: lengths.quantile(share, dim=0) / lengths.quantile(share, dim=0).mean(),
            "A large person",
        ),
        (lambda lengths, share: proportions(lengths.mul_(2), share), "Work on a copy"),
    ],
}
