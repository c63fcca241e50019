"""Right and wrong answers to the exercises of chapter 2."""

import torch


def compose(c, atoms):
    total = torch.zeros(len(c), *atoms.shape[1:])
    for k, atom in enumerate(atoms):
        total = total + c[:, k, None, None] * atom
    return total


def rodrigues(r):
    a = r.norm()
    x, y, z = r.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.eye(3) + torch.sin(a) / a * cross + (1 - torch.cos(a)) / a**2 * cross @ cross


def in_degrees(r):
    return rodrigues(torch.deg2rad(r))


def not_normalised(r):
    a = r.norm()
    x, y, z = r.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.eye(3) + torch.sin(a) * cross + (1 - torch.cos(a)) * cross @ cross


def nearest_error(train, test, atoms):
    _, _, v = torch.linalg.svd(train.flatten(1), full_matrices=False)
    fit = test.flatten(1) @ v[:atoms].T @ v[:atoms]
    return (fit.unflatten(1, test.shape[1:]) - test).norm(dim=-1).mean()


def columns_for_rows(train, test, atoms):
    _, _, v = torch.linalg.svd(train.flatten(1), full_matrices=False)
    fit = test.flatten(1) @ v[:, :atoms] @ v[:, :atoms].T
    return (fit.unflatten(1, test.shape[1:]) - test).norm(dim=-1).mean()


RIGHT = {
    "2.1": [compose, lambda c, atoms: torch.einsum("bk,knd->bnd", c, atoms)],
    "2.2": [rodrigues],
    "2.3": [lambda atoms, joints: min(3 * atoms, joints - 1)],
    "2.4": [lambda R, G: R @ G.T, lambda R, G: R @ torch.linalg.inv(G)],
    "2.5": [nearest_error],
}
WRONG = {
    "2.1": [
        (lambda c, atoms: compose(c.softmax(dim=1), atoms), "softmax"),
        (lambda c, atoms: compose(c, atoms) / c.shape[1], "weighted sum"),
        (lambda c, atoms: c[..., None, None] * atoms, "still apart"),
    ],
    "2.2": [
        (lambda r: rodrigues(r).T, "transposed"),
        (in_degrees, "degrees"),
        (not_normalised, "not normalised"),
    ],
    "2.3": [
        (lambda atoms, joints: 3 * atoms, "only N columns"),
        (lambda atoms, joints: min(3 * atoms, joints), "root's column is zero"),
        (lambda atoms, joints: min(atoms, joints - 1), "three rows"),
    ],
    "2.4": [
        (lambda R, G: G @ R, "G R"),
        (lambda R, G: R @ G, "turns the shape twice"),
        (lambda R, G: G.T @ R, "camera acts last"),
    ],
    "2.5": [
        (columns_for_rows, "its rows"),
        (lambda train, test, atoms: nearest_error(test, test, atoms), "Learn them from the training poses"),
        (lambda train, test, atoms: 3.0, "not the right number"),
    ],
}
