"""Joint positions as rotations and back: the coordinates in which the pose sampler works (chapter 2).

A pose with known bone lengths is a set of bone directions. Each is written in the frame of its parent
as a *swing* away from a rest direction: the logarithm on the unit sphere, two angles in radians. (The
twist about a bone's own axis leaves no trace in joint positions.) Four more quantities place the body in
the world: the direction of "up" seen from the pelvis, the clearance of the lowest joint above the
floor, the slip of that joint along the floor, and the turning rate about the vertical. The root's path
follows from the slip: a planted foot has none, however the body moves above it.

Clearance and slip are in *leg lengths* (thigh plus shin), so that a tall body takes longer steps, and
squashed, so that a centimetre counts near the floor and little in the air. :func:`encode` and
:func:`decode` are a pair: decoding with the same bone lengths gives the motion back,
up to a turn about the vertical and a shift along the floor.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ites_core.skeleton import H36M17, Skeleton

UP = (0.0, 1.0, 0.0)
MAX_SWING = 3.0  # radians; the logarithm is not defined at half a turn
CONTACT = 0.02  # metres: joints this much higher than the lowest one share in the contact
STANDING, GRAIN = 0.11, 0.06  # leg lengths: clearance of a standing body's ankles; where squashing sets in
SLIP_GRAIN = 0.3  # leg lengths a second
MAX_SQUASHED = 5.0  # asinh of 74 grains


class Layout(NamedTuple):
    """Which columns of a feature vector mean what, for one joint set."""

    bones: tuple[int, ...]  # child joints of the bones that swing: all but the two hips
    swing: slice  # two angles a bone, radians
    up: slice  # unit vector, pelvis frame
    clearance: slice  # asinh((leg lengths - STANDING) / GRAIN)
    slip: slice  # asinh(leg lengths a second / SLIP_GRAIN), pelvis frame; only the horizontal part is used
    turn: slice  # radians a second about the vertical
    size: int


@cache
def layout(skeleton: Skeleton = H36M17) -> Layout:
    """Feature layout of a joint set: the hips are fixed in the pelvis, every other bone swings."""
    hips = {skeleton.joints.index("RHip"), skeleton.joints.index("LHip")}
    bones = tuple(j for _, j in skeleton.bones if j not in hips)
    n = 2 * len(bones)
    return Layout(
        bones, slice(0, n), slice(n, n + 3), slice(n + 3, n + 4), slice(n + 4, n + 7), slice(n + 7, n + 8), n + 8
    )


def leg_length(lengths: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """Thigh plus shin, mean of both sides: bone lengths (..., N - 1) to (...), same unit."""
    children = [j for _, j in skeleton.bones]
    legs = [children.index(skeleton.joints.index(n)) for n in ("RKnee", "RAnkle", "LKnee", "LAnkle")]
    return lengths[..., legs].sum(dim=-1) / 2


def shortest_rotation(a: Tensor, b: Tensor) -> Tensor:
    """Rotation of least angle with R a = b: unit vectors (..., 3) twice to (..., 3, 3).

    R = I + [v] + [v]^2 / (1 + a.b) with v = a x b. Undefined for b = -a, where the angle is half a turn.
    """
    v = torch.linalg.cross(a, b)
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    c = (1 + (a * b).sum(dim=-1)).clamp(min=1e-9)[..., None, None]
    return torch.eye(3, dtype=a.dtype) + k + k @ k / c


def tangent_basis(rest: Tensor) -> Tensor:
    """Two unit vectors perpendicular to each rest direction and to each other: (..., 3) to (..., 2, 3)."""
    axis = torch.nn.functional.one_hot(rest.abs().argmin(dim=-1), 3).to(rest.dtype)
    first = torch.nn.functional.normalize(torch.linalg.cross(axis, rest), dim=-1)
    return torch.stack([first, torch.linalg.cross(rest, first)], dim=-2)


def sphere_log(directions: Tensor, rest: Tensor) -> Tensor:
    """Swing of unit vectors (..., 3) away from ``rest`` (3,): angle times heading, (..., 2), radians."""
    flat = directions @ tangent_basis(rest).mT
    angle = torch.atan2(flat.norm(dim=-1), directions @ rest)
    return flat * (angle / flat.norm(dim=-1).clamp(min=1e-12)).unsqueeze(-1)


def sphere_exp(swing: Tensor, rest: Tensor) -> Tensor:
    """Inverse of :func:`sphere_log`: swings (..., 2) to unit vectors (..., 3)."""
    angle = swing.norm(dim=-1, keepdim=True)
    return angle.cos() * rest + torch.sinc(angle / torch.pi) * (swing @ tangent_basis(rest))


def pelvis_frame(poses: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """Orientation of the pelvis, world from body: poses (..., N, 3) to (..., 3, 3).

    Columns: x to the person's left (right hip to left hip), y up along the spine, z forward.
    """
    right, left, spine = (skeleton.joints.index(n) for n in ("RHip", "LHip", "Spine"))
    x = torch.nn.functional.normalize(poses[..., left, :] - poses[..., right, :], dim=-1)
    up = poses[..., spine, :] - poses[..., skeleton.root, :]
    y = torch.nn.functional.normalize(up - (up * x).sum(dim=-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def local_directions(poses: Tensor, rest: Tensor | None, skeleton: Skeleton = H36M17) -> dict[int, Tensor]:
    """Unit direction of every swinging bone in its parent's frame: joint number to (..., 3).

    Args:
        poses: (..., N, 3).
        rest: (N, 3) rest direction of each bone. A joint's frame is its parent's frame turned by the
            shortest rotation that takes the rest direction to the bone.
    """
    frames = {skeleton.root: pelvis_frame(poses, skeleton)}
    result = {}
    for parent, child in skeleton.bones:
        if child not in layout(skeleton).bones:
            frames[child] = frames[parent]
            continue
        bone = torch.nn.functional.normalize(poses[..., child, :] - poses[..., parent, :], dim=-1)
        result[child] = (bone.unsqueeze(-2) @ frames[parent]).squeeze(-2)
        if rest is not None:
            frames[child] = frames[parent] @ shortest_rotation(rest[child].expand_as(bone), result[child])
    return result


def encode(motion: Tensor, rest: Tensor, fps: float, skeleton: Skeleton = H36M17) -> Tensor:
    """Motion to features: one sequence (F, N, 3), metres, y up, F at least 2, to (F, layout().size).

    Args:
        motion: joint positions in the world.
        rest: (N, 3) rest directions.
        fps: frames a second.
    """
    cols = layout(skeleton)
    motion = motion.to(rest.dtype)
    directions = local_directions(motion, rest, skeleton)
    leg = leg_length(skeleton.bone_lengths(motion).mean(dim=0), skeleton)
    frame = pelvis_frame(motion, skeleton)
    up = frame[:, 1]  # the world's y axis in the pelvis frame: second row
    out = motion.new_zeros(len(motion), cols.size)
    out[:, cols.swing] = torch.cat([sphere_log(directions[j], rest[j]) for j in cols.bones], dim=-1)
    out[:, cols.up] = up
    lowest = motion[..., 1].amin(dim=-1, keepdim=True) / leg
    out[:, cols.clearance] = torch.asinh((lowest - STANDING) / GRAIN)
    slip = _contact_step(motion) * fps / leg * motion.new_tensor([1.0, 0.0, 1.0])
    turned = frame[1:] @ (frame[:-1] @ shortest_rotation(up[1:], up[:-1])).mT  # a pure turn about y
    rates = torch.cat(
        [
            torch.asinh((slip.unsqueeze(-2) @ frame[:-1]).squeeze(-2) / SLIP_GRAIN),
            torch.atan2(turned[:, 0, 2] - turned[:, 2, 0], turned[:, 0, 0] + turned[:, 2, 2]).unsqueeze(-1) * fps,
        ],
        dim=-1,
    )
    out[:, cols.slip.start :] = torch.cat([rates, rates[-1:]])  # rate t leads from frame t to t + 1
    return out


def decode(features: Tensor, lengths: Tensor, rest: Tensor, fps: float, skeleton: Skeleton = H36M17) -> Tensor:
    """Features (..., F, size) and bone lengths (..., N - 1), metres, to motion (..., F, N, 3).

    The first frame stands over the origin and faces +z as nearly as the shortest way up allows.
    """
    cols = layout(skeleton)
    up = torch.nn.functional.normalize(features[..., cols.up], dim=-1)
    leg = leg_length(lengths, skeleton)[..., None]
    frame = _integrate(up, features[..., cols.turn].squeeze(-1) / fps)
    swing = features[..., cols.swing].unflatten(-1, (-1, 2))
    swing = swing * (MAX_SWING / swing.norm(dim=-1, keepdim=True).clamp(min=MAX_SWING))
    frames, joints = {skeleton.root: frame}, {skeleton.root: torch.zeros_like(up)}
    for bone, (parent, child) in enumerate(skeleton.bones):
        length = lengths[..., None, bone, None]
        if child in cols.bones:
            local = sphere_exp(swing[..., cols.bones.index(child), :], rest[child])
            frames[child] = frames[parent] @ shortest_rotation(rest[child].expand_as(local), local)
        else:
            side = -1.0 if child in skeleton.right else 1.0
            local = up.new_tensor([side, 0.0, 0.0]).expand_as(up)
            frames[child] = frames[parent]
        joints[child] = joints[parent] + length * (frames[parent] @ local.unsqueeze(-1)).squeeze(-1)
    pose = torch.stack([joints[j] for j in range(len(skeleton))], dim=-2)
    slip = SLIP_GRAIN * torch.sinh(features[..., cols.slip].clamp(-MAX_SQUASHED, MAX_SQUASHED))
    slip = (frame @ slip.unsqueeze(-1)).squeeze(-1) * leg.unsqueeze(-1) / fps
    step = slip[..., :-1, :] - _contact_step(pose)
    root = torch.nn.functional.pad(step.cumsum(dim=-2), (0, 0, 1, 0))
    lowest = STANDING + GRAIN * torch.sinh(features[..., cols.clearance].clamp(-MAX_SQUASHED, MAX_SQUASHED))
    root[..., 1] = lowest.squeeze(-1) * leg - pose[..., 1].amin(dim=-1)
    return pose + root.unsqueeze(-2)


def _contact_step(motion: Tensor) -> Tensor:
    """How far the point of contact moves in each frame: (..., F, N, 3) to (..., F - 1, 3).

    The contact is a mean of all joints with weights exp(-height / CONTACT): the lowest joint, with a soft
    hand-over from one foot to the other.
    """
    weight = (-motion[..., :-1, :, 1] / CONTACT).softmax(dim=-1)
    return (weight.unsqueeze(-1) * (motion[..., 1:, :, :] - motion[..., :-1, :, :])).sum(dim=-2)


def _integrate(up: Tensor, turn: Tensor) -> Tensor:
    """Pelvis frames (..., F, 3, 3) that see the given up directions and turn by ``turn`` (..., F) a frame.

    R[t + 1] = Y(turn[t]) R[t] A[t], where Y turns about the vertical and A[t] is the shortest rotation
    from up[t + 1] to up[t]. Unlike a heading angle, this has no singular pose.
    """
    frames = [shortest_rotation(up[..., 0, :], up.new_tensor(UP).expand_as(up[..., 0, :]))]
    tilt = shortest_rotation(up[..., 1:, :], up[..., :-1, :])
    for t in range(tilt.shape[-3]):
        frames.append(frames[-1] @ tilt[..., t, :, :])
    total = torch.nn.functional.pad(turn[..., :-1].cumsum(dim=-1), (1, 0))
    return turn_about_up(total) @ torch.stack(frames, dim=-3)


def turn_about_up(angle: Tensor) -> Tensor:
    """Rotation about the world's y axis by an angle in radians: (...) to (..., 3, 3)."""
    c, s = angle.cos(), angle.sin()
    o, one = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack([c, o, s, o, one, o, -s, o, c], dim=-1).unflatten(-1, (3, 3))


def catmull_rom(keys: Tensor, times: Tensor) -> Tensor:
    """Smooth curve through keys at times 0, 1, 2, ...: keys (..., T, S), times (F,) to (..., F, S).

    The cubic Hermite spline whose slope at a key is half the difference of its neighbours, so position and
    velocity are continuous. Times beyond the last key are held at it.
    """
    before, after = 2 * keys[..., :1, :] - keys[..., 1:2, :], 2 * keys[..., -1:, :] - keys[..., -2:-1, :]
    padded = torch.cat([before, keys, after], dim=-2)
    i = times.floor().long().clamp(0, keys.shape[-2] - 2)
    t = (times - i).clamp(0, 1).to(keys.dtype).unsqueeze(-1)
    a, b, c, d = (padded[..., i + k, :] for k in range(4))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
