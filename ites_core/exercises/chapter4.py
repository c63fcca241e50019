"""Checks for the exercises of chapter 4, GCN students."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ites_core.camera import project, rotate, rotation_from_vector, unproject
from ites_core.exercises.base import NotYet, call, compare, exercise
from ites_core.models.graph import NonphysicalGraphConv
from ites_core.skeleton import H36M17


@exercise("4.1", "How far a message travels", "easy", 10)
def layers_needed(answer: Callable[[Tensor, int, int], int]) -> None:
    """``layers_needed(A, i, j)``: averaging layers until joint i has heard of joint j, A with ones on its diagonal."""
    A = H36M17.adjacency()
    joints = H36M17.joints
    for a, b, right in (("RAnkle", "RKnee", 1), ("RAnkle", "Head", 7), ("LWrist", "RWrist", 6), ("Hip", "Hip", 0)):
        compare(
            call(answer, A, joints.index(a), joints.index(b)),
            right,
            {
                f"{a} to {b}: one too many. After k layers a joint has heard of those at most k bones away.": right + 1,
                f"{a} to {b}: one too few. With no layer at all a joint knows only itself.": right - 1,
                f"{a} to {b}: you count bones beyond the root twice, or walk both ways.": 2 * right,
            },
        )


@exercise("4.2", "A softmax with a mask", "medium", 10)
def masked_softmax(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``masked_softmax(M, A)``: (N, N) weights and adjacency to columns that sum to 1 over the edges."""
    A = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    M = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    masked = M.masked_fill(A == 0, -torch.inf)
    compare(
        call(answer, M, A),
        masked.softmax(dim=0),
        {
            "That is the printed formula: a weight of zero still enters the softmax as one.": (M * A).softmax(dim=0),
            "The rows sum to one. Joint i receives by column i.": masked.softmax(dim=1),
            "There is no mask at all.": M.softmax(dim=0),
            "You mask after the softmax, so the columns no longer sum to one.": M.softmax(dim=0) * A,
            "The columns do not sum to one yet: divide by their sums.": M.exp() * A,
        },
    )


@exercise("4.3", "Who looks where", "medium", 15)
def attention(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """``attention(H, W1, W2)``: features (N, D), rows are joints, to weights (N, N) whose columns sum to 1."""
    generator = torch.Generator().manual_seed(1)
    layer = NonphysicalGraphConv(3, 3)
    H = torch.randn(4, 3, generator=generator)
    with torch.no_grad():
        for weight in (layer.w1.weight, layer.w2.weight):
            weight.copy_(torch.randn(3, 3, generator=generator))
        right = layer.attention(H[None])[0]
    W1, W2 = layer.w1.weight.detach(), layer.w2.weight.detach()
    scores = (H @ W1.T) @ (H @ W2.T).T
    compare(
        call(answer, H, W1, W2),
        right,
        {
            "The rows sum to one. Entry [j, i] is how much joint i looks at joint j: normalise over j.": scores.softmax(
                dim=1
            ),
            "This is the transposed matrix: W1 goes with the joint that is looked at.": scores.T.softmax(dim=0),
            "These are the scores; the softmax is missing.": scores,
            "You scale by the square root of the width. Equation 5 does not.": (scores / 3**0.5).softmax(dim=0),
            "A linear layer computes H W^T for rows; you multiply by W.": ((H @ W1) @ (H @ W2).T).softmax(dim=0),
        },
    )


@exercise("4.4", "A head that keeps the picture", "medium", 10)
def depth_head(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``depth_head(image, offsets)``: (B, N, 2) and (B, N) free numbers to poses (B, N, 3), t = 5, root 0 pinned."""
    generator = torch.Generator().manual_seed(2)
    image = 0.2 * torch.randn(3, 5, 2, generator=generator)
    offsets = torch.randn(3, 5, generator=generator)
    offsets[0, 3] = offsets[0, 0] - 6.0  # behind the camera: the clamp is active
    d = offsets - offsets[:, :1]
    found = call(answer, image, offsets)
    compare(
        found,
        unproject(image, d),
        {
            "The root is not pinned: subtract its offset from all of a body's.": unproject(image, offsets),
            "You subtract the mean offset. The root is joint 0.": unproject(
                image, offsets - offsets.mean(dim=1, keepdim=True)
            ),
            "The clamp is missing: z = max(1, t + d).": torch.cat([image * (5 + d)[..., None], d[..., None]], dim=-1),
            "You multiply by d alone; the joint is t + d from the camera.": torch.cat(
                [image * d[..., None], d[..., None]], dim=-1
            ),
            "You multiply by t alone, so all joints stay in the root's plane.": torch.cat(
                [image * 5, d[..., None]], dim=-1
            ),
        },
    )
    if not torch.allclose(project(found), image, atol=1e-5):
        raise NotYet("The picture of your pose is not the input.")


@exercise("4.5", "Equivariance, measured", "hard", 20)
def equivariance_error(answer: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]) -> None:
    """``equivariance_error(lift, image, R)``: mean joint distance between lift(P(R lift(image))) and R lift(image)."""
    image = 0.15 * torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(3))
    R = rotation_from_vector(torch.tensor([0.0, 0.7, 0.0]))

    def lift(x: Tensor) -> Tensor:
        return unproject(x, 2.0 * x[..., 0] + x[..., 1])

    pose = lift(image)
    turned = rotate(pose, R)
    again = lift(project(turned))
    back = lift(project(rotate(pose, R.mT)))
    compare(
        call(answer, lift, image, R),
        (again - turned).norm(dim=-1).mean(),
        {
            "You compare with the pose as it was: that measures invariance. The answer should turn along.": (
                again - pose
            )
            .norm(dim=-1)
            .mean(),
            "You turn the other way before the projection than in the comparison: points are rows.": (back - turned)
            .norm(dim=-1)
            .mean(),
            "You turn by the transposed matrix. For rows that is `points @ R.mT`, which `rotate` does.": (
                back - rotate(pose, R.mT)
            )
            .norm(dim=-1)
            .mean(),
            "This is the squared distance. Take its root before the mean.": (again - turned)
            .square()
            .sum(dim=-1)
            .mean(),
            "You compare pictures. They always agree better than the bodies; compare the 3D poses.": (
                project(again) - project(turned)
            )
            .norm(dim=-1)
            .mean(),
        },
    )
