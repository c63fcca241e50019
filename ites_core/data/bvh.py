"""Biovision hierarchies (BVH): joint offsets and channels in one file, to joint positions (chapter 1).

A joint lies at its offset within its parent's frame, and its own frame is its parent's turned by its channels: listed
``Zrotation Xrotation Yrotation``, the turn is Rz Rx Ry. A joint's position channels replace its offset.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ites_core.data.motion_file import (
    MAX_JOINTS,
    Line,
    check_size,
    finite_positions,
    read_lines,
    rotation_matrices,
    select_h36m17,
)
from ites_core.errors import ItesError

CENTIMETRE = 0.01
EASE = 0.05  # seconds; measured on 10_03, whose hands move at 20 m/s for four frames
CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "xyz")

# The joints whose mean is each joint of H36M17. An End Site is named after its parent.
CMU_JOINTS: dict[str, tuple[str, ...]] = {
    "Hip": ("LeftUpLeg", "RightUpLeg"),
    "RHip": ("RightUpLeg",),
    "RKnee": ("RightLeg",),
    "RAnkle": ("RightFoot",),
    "LHip": ("LeftUpLeg",),
    "LKnee": ("LeftLeg",),
    "LAnkle": ("LeftFoot",),
    "Spine": ("Spine",),
    "Thorax": ("Neck", "Neck1"),
    "Neck": ("Head",),
    "Head": ("Head End",),
    "LShoulder": ("LeftArm",),
    "LElbow": ("LeftForeArm",),
    "LWrist": ("LeftHand",),
    "RShoulder": ("RightArm",),
    "RElbow": ("RightForeArm",),
    "RWrist": ("RightHand",),
}
# CMU's recordings on the body of Daz 3D. It has no joint in mid-head; the eyes are as high.
DAZ_JOINTS: dict[str, tuple[str, ...]] = {
    "Hip": ("lThigh", "rThigh"),
    "RHip": ("rThigh",),
    "RKnee": ("rShin",),
    "RAnkle": ("rFoot",),
    "LHip": ("lThigh",),
    "LKnee": ("lShin",),
    "LAnkle": ("lFoot",),
    "Spine": ("abdomen",),
    "Thorax": ("lCollar", "rCollar"),
    "Neck": ("head",),
    "Head": ("leftEye", "rightEye"),
    "LShoulder": ("lShldr",),
    "LElbow": ("lForeArm",),
    "LWrist": ("lHand",),
    "RShoulder": ("rShldr",),
    "RElbow": ("rForeArm",),
    "RWrist": ("rHand",),
}


@dataclass(frozen=True)
class BvhMotion:
    """A BVH file: J joints, F frames of C channels (chapter 1).

    Attributes:
        joints: names, parents before children; the End Site of ``Head`` is ``Head End``.
        parents: index of each joint's parent, -1 for the root.
        offsets: (J, 3) float64, file units.
        channels: each joint's channels in file order, out of xposition ... zrotation.
        values: (F, C) float64, positions in file units, rotations in degrees.
        frame_time: seconds from frame to frame.
        source: the file, for messages.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor
    channels: tuple[tuple[str, ...], ...]
    values: Tensor
    frame_time: float
    source: str

    @property
    def reference_frames(self) -> int:
        """How many frames at the start do not belong to the motion.

        The BVH releases of CMU's recordings begin with the pose in which the skeleton was fitted, and pass from it
        into the motion within EASE seconds. There, and only there, the root is not turned at all.
        """
        turns = [c for c, name in enumerate(self.channels[0]) if name.endswith("rotation")]
        first, second = self.values[:1, turns], self.values[1:2, turns]
        if first.any() or not second.any():
            return 0
        return min(max(1, round(EASE / self.frame_time)), len(self.values) - 1)

    def every(self, step: int, start: int = 0) -> BvhMotion:
        """Every ``step``-th frame from frame ``start`` on; the frame time grows with it."""
        return replace(self, values=self.values[start::step], frame_time=self.frame_time * step)


def read_bvh(path: str | Path) -> BvhMotion:
    """Read a BVH file (chapter 1).

    Raises:
        ItesError: unreadable, braces that do not match, no root or several, unknown or repeated channels, names that
            are not unique, NaN, fewer or more frames than declared, a frame with another number of values.
    """
    path = Path(path)
    lines = read_lines(path)
    joints, parents, offsets, channels = _hierarchy(path, lines)
    frames, frame_time = _header(path, lines)
    width = sum(map(len, channels))
    values, found = array("d"), 0
    for line in lines:
        found += 1
        if found > frames:
            line.fault(f"the end of the file after {frames} frames", "correct the line 'Frames:'")
        values.extend(line.numbers(0, width, f"the channels of frame {found}"))
    if found < frames:
        raise ItesError(f"{path}: found {found} frames, expected {frames}; the file is truncated, fetch it again")
    return BvhMotion(
        joints=tuple(joints),
        parents=tuple(parents),
        offsets=torch.tensor(offsets, dtype=torch.float64),
        channels=tuple(channels),
        values=torch.frombuffer(values, dtype=torch.float64).view(frames, width),
        frame_time=frame_time,
        source=str(path),
    )


def _hierarchy(
    path: Path, lines: Iterator[Line]
) -> tuple[list[str], list[int], list[list[float]], list[tuple[str, ...]]]:
    """Names, parents, offsets and channels of the joints: the part up to the word MOTION."""
    joints: list[str] = []
    parents: list[int] = []
    offsets: dict[int, list[float]] = {}
    channels: dict[int, tuple[str, ...]] = {}
    inside: list[int] = []  # the joints whose braces are open
    declared: int | None = None  # the joint whose brace is to follow
    for line in lines:
        opens = line.words[-1] == "{"
        words = line.words[:-1] if opens else line.words
        key = words[0].upper() if words else "{"
        if declared is not None and key != "{":
            line.fault("an opening brace")
        if key == "MOTION":
            break
        if key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") != (not joints) or (key != "ROOT" and not inside) or len(words) < 2:
                line.fault("one ROOT, and JOINT and End Site within the braces of another joint, each with a name")
            name = f"{joints[inside[-1]]} End" if key == "END" else " ".join(words[1:])
            if name in joints or len(joints) >= MAX_JOINTS:
                line.fault(f"at most {MAX_JOINTS} joints, each with a name of its own")
            joints.append(name)
            parents.append(inside[-1] if inside else -1)
            declared = len(joints) - 1
        if opens:
            if declared is None:
                line.fault("a joint before the opening brace")
            inside.append(declared)
            declared = None
        elif key == "}" and inside:
            inside.pop()
        elif key == "OFFSET" and inside:
            offsets[inside[-1]] = line.numbers(1, 3, "offset")
        elif key == "CHANNELS" and inside:
            names = tuple(word.lower() for word in words[2:])
            if not set(names) <= set(CHANNELS) or len(set(names)) < len(names) or words[1:2] != [str(len(names))]:
                line.fault(f"'CHANNELS n' and n names out of {', '.join(CHANNELS)}")
            channels[inside[-1]] = names
        elif key not in ("HIERARCHY", "ROOT", "JOINT", "END"):
            line.fault("a joint, OFFSET, CHANNELS or a brace that matches")
    if not joints or inside or declared is not None:
        raise ItesError(f"{path}: found no complete section HIERARCHY, expected a BVH file; fetch it again")
    lacking = [name for j, name in enumerate(joints) if j not in offsets]
    if lacking or not any(channels.values()):
        found = f"{lacking[0][:40]!r} without an OFFSET" if lacking else "no CHANNELS"
        raise ItesError(
            f"{path}: found {found}, expected an OFFSET for every joint and CHANNELS; repair the section HIERARCHY"
        )
    every = range(len(joints))
    return joints, parents, [offsets[j] for j in every], [channels.get(j, ()) for j in every]


def _header(path: Path, lines: Iterator[Line]) -> tuple[int, float]:
    """The number of frames and the time between them, in seconds."""
    values = []
    for wanted, example in (("frames", "Frames: 120"), ("frame time", "Frame Time: 0.0083333")):
        line = next(lines, None)
        if line is None:
            raise ItesError(f"{path}: found no motion, expected {example!r}; the file is truncated, fetch it again")
        label, _, number = " ".join(line.words).partition(":")
        if label.lower() != wanted:
            line.fault(repr(example))
        values.append((Line(line.path, line.number, number.split()).numbers(0, 1, example)[0], line))
    (frames, first), (frame_time, second) = values
    if not 1 <= frames < 1e9 or frames != math.floor(frames):
        first.fault("a whole number of frames, at least one and less than 1e9")
    if not 1e-5 < frame_time < 1e5:
        second.fault("a positive number of seconds")
    return int(frames), frame_time


def bvh_positions(motion: BvhMotion, metres_per_unit: float = CENTIMETRE) -> Tensor:
    """Forward kinematics of all frames at once: (F, J, 3) float32 (chapter 1).

    Args:
        motion: from :func:`read_bvh`.
        metres_per_unit: BVH does not say its unit. Centimetres are usual, CMU's recordings on the body of Daz 3D
            among them; releases that keep CMU's own unit need 0.0254 / 0.45.

    Returns:
        Positions of ``motion.joints`` in metres, in the file's frame (usually y up).

    Raises:
        ItesError: too many positions at once, a scale that is not positive, or a position that overflows.
    """
    check_size(len(motion.values), len(motion.joints), motion.source)
    places: list[Tensor] = []
    turns: list[Tensor] = []
    columns = iter(motion.values.unbind(1))
    for parent, offset, names in zip(motion.parents, motion.offsets, motion.channels, strict=True):
        value = {name: next(columns) for name in names}
        still = offset.expand(len(motion.values), 3)
        local = torch.stack([value.get(f"{axis}position", still[:, k]) for k, axis in enumerate("xyz")], dim=-1)
        order = [name for name in reversed(names) if name.endswith("rotation")]
        turn = torch.eye(3, dtype=torch.float64).expand(len(motion.values), 3, 3)
        if order:
            angles = torch.stack([value[name] for name in order], dim=-1) * (math.pi / 180)
            turn = rotation_matrices("".join(name[0] for name in order), angles)
        if parent < 0:
            places.append(local)
            turns.append(turn)
        else:
            places.append(places[parent] + (turns[parent] @ local.unsqueeze(-1)).squeeze(-1))
            turns.append(turns[parent] @ turn)
    return finite_positions(places, metres_per_unit, motion.source)


def bvh_to_h36m17(motion: BvhMotion, positions: Tensor) -> Tensor:
    """The joints of H36M17 out of those of a BVH file: (F, J, 3) to (F, 17, 3) (chapter 1).

    Two namings are known: that of CMU's recordings for Motion Builder (``LeftUpLeg``) and for Daz 3D (``lThigh``).

    Raises:
        ItesError: joints are missing; the message lists those that are there and those that are not.
    """
    return select_h36m17(motion.joints, positions, (CMU_JOINTS, DAZ_JOINTS), motion.source)
