"""Checks for the exercises of chapter 2, pose dictionaries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import project, random_rotations, rotate, rotation_from_vector
from ites_core.exercises.base import NotYet, call, compare, exercise


@exercise("2.1", "A body from its coefficients", "easy", 5)
def compose(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``compose(c, atoms)``: coefficients (B, K) and atoms (K, N, 3) to poses (B, N, 3)."""
    generator = torch.Generator().manual_seed(0)
    c, atoms = torch.randn(4, 3, generator=generator), torch.randn(3, 5, 3, generator=generator)
    right = torch.einsum("bk,knd->bnd", c, atoms)
    compare(
        call(answer, c, atoms),
        right,
        {
            "You take a mean over the atoms; the pose is their weighted sum.": right / 3,
            "The coefficients go through a softmax. They may be negative, and need not sum to one.": torch.einsum(
                "bk,knd->bnd", c.softmax(dim=1), atoms
            ),
            "The coefficients are not used: this is the plain sum of the atoms.": atoms.sum(dim=0).expand(4, -1, -1),
            "The terms are still apart, one an atom. Sum over the axis of the atoms.": c[..., None, None] * atoms,
            "You sum over the batch. Which axis do c and atoms share?": right.sum(dim=0),
        },
    )


@exercise("2.2", "Rodrigues by hand", "medium", 15)
def rodrigues(answer: Callable[[Tensor], Tensor]) -> None:
    """``rodrigues(r)``: a rotation vector (3,), not zero, to the matrix (3, 3) that acts on columns."""
    r = torch.tensor([0.3, -0.8, 0.5])
    a = r.norm()
    right = rotation_from_vector(r)
    x, y, z = r.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    eye = torch.eye(3)
    compare(
        call(answer, r),
        right,
        {
            "This is the transposed matrix, which turns the other way. Check the signs in the cross matrix.": right.mT,
            "The axis is not normalised: divide the cross matrix by the angle wherever it appears.": eye
            + torch.sin(a) * cross
            + (1 - torch.cos(a)) * cross @ cross,
            "It looks as if the angle were taken in degrees. The length of r is in radians.": rotation_from_vector(
                r * torch.pi / 180
            ),
            "The last term has (1 - cos a) times the cross matrix itself; it needs its square.": eye
            + (torch.sin(a) / a) * cross
            + ((1 - torch.cos(a)) / a**2) * cross,
            "The term with the squared cross matrix is missing.": eye + (torch.sin(a) / a) * cross,
        },
    )


@exercise("2.3", "Does the rank say anything?", "medium", 10)
def picture_rank(answer: Callable[[int, int], int]) -> None:
    """``picture_rank(atoms, joints)``: the rank of W for K atoms and N joints, the root at the origin."""
    table = {(2, 100): 6, (12, 100): 36, (2, 17): 6, (5, 17): 15, (6, 17): 16, (12, 17): 16}
    for (atoms, joints), right in table.items():
        compare(
            call(answer, atoms, joints),
            right,
            {
                f"K = {atoms}, N = {joints}: W has only N columns, and the root's is zero.": 3 * atoms,
                f"K = {atoms}, N = {joints}: the root's column is zero, so it does not count.": min(3 * atoms, joints),
                f"K = {atoms}, N = {joints}: each atom fills three rows of B, one for x, y and z.": min(
                    atoms, joints - 1
                ),
                f"K = {atoms}, N = {joints}: two rows a picture, but the rank is bounded by the rows of B.": min(
                    2 * atoms, joints - 1
                ),
            },
        )


@exercise("2.4", "Undo a turned dictionary", "medium", 10)
def counter_rotate(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``counter_rotate(R, G)``: the camera (3, 3) that keeps every picture when the atoms are turned by G."""
    R, G = random_rotations(2, torch.Generator().manual_seed(1))
    found = call(answer, R, G)
    compare(
        found,
        R @ G.mT,
        {
            "This is G R: it turns what the camera sees. G acts on the shape, before the camera.": G @ R,
            "This is R G, which turns the shape twice. It has to be turned back.": R @ G,
            "This is the inverse of G times R. The camera acts last, so it stands at the left.": G.mT @ R,
            "You return R itself: then the picture changes.": R,
        },
    )
    body = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)) * 0.3
    if not torch.allclose(project(rotate(rotate(body, G), found)), project(rotate(body, R)), atol=1e-4):
        raise NotYet("The pictures differ.")


@exercise("2.5", "What a small dictionary cannot say", "hard", 20)
def nearest_error(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """``nearest_error(train, test, K)``: mean joint distance of test poses from their best fit by K atoms of an SVD.

    Poses (M, N, 3); atoms from the training poses, no mean subtracted.
    """
    generator = torch.Generator().manual_seed(3)
    basis = torch.randn(6, 21, generator=generator)
    train = (torch.randn(40, 6, generator=generator) @ basis).unflatten(1, (7, 3)) + 1.0
    test = (torch.randn(9, 6, generator=generator) @ basis).unflatten(1, (7, 3)) + 1.0

    def error(source: Tensor, centre: Tensor | float = 0.0) -> Tensor:
        _, _, v = torch.linalg.svd((source - centre).flatten(1), full_matrices=False)
        rest = (test - centre).flatten(1)
        return (rest @ v[:3].T @ v[:3] - rest).unflatten(1, (7, 3)).norm(dim=-1).mean()

    _, _, v = torch.linalg.svd(train.flatten(1), full_matrices=False)
    flat = test.flatten(1)
    columns = (flat @ v[:, :3] @ v[:, :3].T - flat).unflatten(1, (7, 3)).norm(dim=-1).mean()
    gap = (flat @ v[:3].T @ v[:3] - flat).unflatten(1, (7, 3))
    compare(
        call(answer, train, test, 3),
        error(train),
        {
            "You take the first K columns of the last factor of `torch.linalg.svd`. It is returned transposed: "
            "the atoms are its rows.": columns,
            "The atoms come from the test poses. Learn them from the training poses.": error(test),
            "You subtract the mean first. A dictionary of the paper has no constant term.": error(
                train, train.mean(dim=0)
            ),
            "This is a mean over single coordinates. Take the distance of each joint first.": gap.abs().mean(),
            "This is a root mean square. Take the mean of the distances.": gap.square().sum(dim=-1).mean().sqrt(),
        },
    )
