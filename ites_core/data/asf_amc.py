"""Acclaim motion capture: a skeleton (ASF) and its joint angles (AMC) to joint positions (chapter 1).

Every bone has axes of its own, turned by C against the world while the skeleton rests. A frame turns the bone by M
within those axes, so that the bone's rotation in the world is its parent's times C M C^-1, and the bone ends where
its parent ends plus its rotated rest vector. A bone's end carries the bone's name here: ``lfemur`` is the left knee.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

INCH = 0.0254  # metres
MAX_SKELETON_BYTES = 1 << 20  # an ASF has 7 kB

# The bone ends whose mean is each joint of H36M17, by the names that CMU and HDM05 share.
ASF_JOINTS: dict[str, tuple[str, ...]] = {
    "Hip": ("lhipjoint", "rhipjoint"),
    "RHip": ("rhipjoint",),
    "RKnee": ("rfemur",),
    "RAnkle": ("rtibia",),
    "LHip": ("lhipjoint",),
    "LKnee": ("lfemur",),
    "LAnkle": ("ltibia",),
    "Spine": ("lowerback",),
    "Thorax": ("thorax", "lowerneck"),
    "Neck": ("upperneck",),
    "Head": ("head",),
    "LShoulder": ("lclavicle",),
    "LElbow": ("lhumerus",),
    "LWrist": ("lwrist",),  # CMU's "radius" is the upper two thirds of the forearm only
    "RShoulder": ("rclavicle",),
    "RElbow": ("rhumerus",),
    "RWrist": ("rwrist",),
}


# ---- ASF ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AcclaimSkeleton:
    """A skeleton as an ASF file describes it (chapter 1). Its J joints are the root and the ends of the bones.

    Attributes:
        joints: "root", then the bones' names, parents before children.
        parents: index of each joint's parent, -1 for the root.
        rest: (J, 3) float64, file units: from a bone's start to its end while the skeleton rests; the root's position.
        axes: (J, 3, 3) float64: the rotation C of each bone's own axes.
        dof: each joint's channels in an AMC, out of tx, ty, tz (root only), rx, ry, rz.
        root_axis: the order of the root's turns, for example "xyz".
        metres_per_unit: from ``:units length``.
        degrees: whether the file's angles are in degrees.
        source: the file, for messages.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Tensor
    axes: Tensor
    dof: tuple[tuple[str, ...], ...]
    root_axis: str
    metres_per_unit: float
    degrees: bool
    source: str


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Read an ASF file (chapter 1).

    ``:units length L`` says that lengths are inches times L: that is how CMU documents its files (L = 0.45), so a
    unit is 0.0254 / L metres. Limits, masses and skins are passed over.

    Raises:
        ItesError: unreadable, a section or field missing, NaN, an unknown bone, a bone with two parents, a cycle.
    """
    path = Path(path)
    sections: dict[str, list[Line]] = {}
    current: list[Line] = []
    for line in read_lines(path, MAX_SKELETON_BYTES):
        if line.words[0].startswith(":"):
            current = sections.setdefault(line.words[0].lower(), [])
        else:
            current.append(line)
    for section in (":root", ":bonedata", ":hierarchy"):
        if not sections.get(section):
            raise ItesError(f"{path}: found no section {section}, expected an ASF skeleton; fetch the file again")
    units = {line.words[0].lower(): line for line in sections.get(":units", [])}
    length = units["length"].numbers(1, 1, "length") if "length" in units else [1.0]
    if not 1e-6 < length[0] < 1e6:
        units["length"].fault("a positive length unit")
    degrees = "angle" not in units or units["angle"].words[1:2] != ["rad"]
    grain = math.pi / 180 if degrees else 1.0

    root = {line.words[0].lower(): line for line in sections[":root"]}
    if "order" not in root:
        raise ItesError(f"{path}: section :root: found no line 'order', expected 'order TX TY TZ RX RY RZ'; add it")
    bones = _bones(sections[":bonedata"])
    parent_of = _hierarchy(sections[":hierarchy"], bones)
    joints = ["root", *_parents_first(path, bones, parent_of)]
    rest, dof = [[0.0] * 3], [_channels(root["order"], ("tx", "ty", "tz", "rx", "ry", "rz"))]
    if "position" in root:
        rest = [root["position"].numbers(1, 3, "position")]
    root_axis = _axis(root["axis"].words[-1], root["axis"]) if "axis" in root else "xyz"
    turn = root["orientation"].numbers(1, 3, "orientation") if "orientation" in root else [0.0] * 3
    turns, orders = [turn], [root_axis]
    for name in joints[1:]:
        fields = bones[name]
        for field in ("direction", "length", "axis"):
            if field not in fields:
                fields["name"].fault(f"a bone with the field {field!r}", "add the field")
        (size,) = fields["length"].numbers(1, 1, "length")
        rest.append([size * d for d in fields["direction"].numbers(1, 3, "direction")])
        axis = fields["axis"]
        orders.append(_axis(axis.words[-1], axis))
        turns.append(Line(axis.path, axis.number, axis.words[:-1]).numbers(1, 3, "axis"))
        dof.append(_channels(fields["dof"], ("rx", "ry", "rz")) if "dof" in fields else ())
    index = {name: j for j, name in enumerate(joints)}
    return AcclaimSkeleton(
        joints=tuple(joints),
        parents=(-1, *(index[parent_of[name]] for name in joints[1:])),
        rest=torch.tensor(rest, dtype=torch.float64),
        axes=torch.stack(
            [
                rotation_matrices(order, grain * _reordered(turn, order))
                for order, turn in zip(orders, turns, strict=True)
            ]
        ),
        dof=tuple(dof),
        root_axis=root_axis,
        metres_per_unit=INCH / length[0],
        degrees=degrees,
        source=str(path),
    )


def _bones(lines: Sequence[Line]) -> dict[str, dict[str, Line]]:
    """The fields of each bone, by name, out of the section ``:bonedata``."""
    bones: dict[str, dict[str, Line]] = {}
    fields: dict[str, Line] = {}
    for line in lines:
        key = line.words[0].lower()
        if key == "begin":
            fields = {}
        elif key == "end":
            if "name" not in fields or len(fields["name"].words) != 2:
                line.fault("a bone that has a name before its 'end'")
            name = fields["name"].words[1]
            if name in bones or name == "root":
                fields["name"].fault("a name that no other bone has")
            bones[name] = fields
            if len(bones) >= MAX_JOINTS:
                line.fault(f"fewer than {MAX_JOINTS} bones")
            fields = {}
        else:
            fields.setdefault(key, line)
    return bones


def _hierarchy(lines: Sequence[Line], bones: Mapping[str, object]) -> dict[str, str]:
    """Each bone's parent out of the section ``:hierarchy``."""
    parent_of: dict[str, str] = {}
    for line in lines:
        parent, *children = line.words
        if parent.lower() in ("begin", "end") and not children:
            continue
        for name in line.words:
            if name not in bones and name != "root":
                line.fault(f"bones of section :bonedata, not {name[:40]!r}")
        for child in children:
            if child in parent_of or child == "root":
                line.fault(f"one parent for each bone and none for the root, here {child[:40]!r} gets another")
            parent_of[child] = parent
    return parent_of


def _parents_first(path: Path, bones: Mapping[str, object], parent_of: Mapping[str, str]) -> list[str]:
    """The bones' names, parents before children."""
    children: dict[str, list[str]] = {}
    for child, parent in parent_of.items():
        children.setdefault(parent, []).append(child)
    order: list[str] = []
    waiting = list(reversed(children.get("root", [])))
    while waiting:
        order.append(waiting.pop())
        waiting.extend(reversed(children.get(order[-1], [])))
    lost = [name for name in bones if name not in set(order)]
    if lost:
        raise ItesError(
            f"{path}: section :hierarchy: found no way from the root to {str(lost[:5])[:200]}, expected a tree "
            "of all bones without a cycle; repair the section"
        )
    return order


def _channels(line: Line, known: tuple[str, ...]) -> tuple[str, ...]:
    """The channels that a line ``order`` or ``dof`` lists."""
    found = tuple(word.lower() for word in line.words[1:])
    if not set(found) <= set(known) or len(set(found)) < len(found):
        line.fault(f"each of {' '.join(known)} at most once", "stretching or sliding bones are not supported")
    return found


def _axis(word: str, line: Line) -> str:
    """An order of turns such as "xyz"."""
    if sorted(word.lower()) != ["x", "y", "z"]:
        line.fault("an order of turns such as XYZ as the last word")
    return word.lower()


def _reordered(turn: Sequence[float], order: str) -> Tensor:
    """Angles about x, y, z in the order in which they are turned."""
    return torch.tensor([turn["xyz".index(axis)] for axis in order], dtype=torch.float64)


# ---- AMC ----------------------------------------------------------------------------------------------------


def read_amc(path: str | Path, skeleton: AcclaimSkeleton) -> Tensor:
    """Read the frames of an AMC file that belongs to a skeleton (chapter 1).

    Returns:
        (F, C) float64: the channels of all joints in the skeleton's order; angles in radians, translations in the
        file's unit. ``:DEGREES`` and ``:RADIANS`` count before the skeleton's own unit of angles.

    Raises:
        ItesError: unreadable, no frame, a frame that lacks a bone or has one twice, a bone that the skeleton lacks,
            a wrong number of channels, NaN, frame numbers with a gap.
    """
    path = Path(path)
    count = {name: len(dof) for name, dof in zip(skeleton.joints, skeleton.dof, strict=True)}
    moving = [name for name, n in count.items() if n]
    degrees, values = skeleton.degrees, array("d")
    frame: dict[str, list[float]] = {}
    start: Line | None = None

    def close() -> None:
        """Store the frame that ends here."""
        if start is None:
            return
        missing = [name for name in moving if name not in frame]
        if missing:
            start.fault(
                f"a frame of {len(moving)} bones, here {missing[0]!r} is missing", "the file is truncated or has gaps"
            )
        for name in moving:
            values.extend(frame[name])

    for line in read_lines(path):
        key = line.words[0]
        if key.startswith(":"):
            degrees = {":degrees": True, ":radians": False}.get(key.lower(), degrees)
        elif len(line.words) == 1 and key.isascii() and key.isdecimal():
            close()
            if len(key) > 9 or (start is not None and int(key) != int(start.words[0]) + 1):
                line.fault("frame numbers that go up by one", "the file has gaps: cut it there")
            frame, start = {}, line
        elif start is None or key not in count or key in frame:
            wanted = "a frame number" if start is None else "one line for each bone of the skeleton"
            line.fault(f"{wanted} ({Path(skeleton.source).name})", "check that ASF and AMC belong together")
        else:
            frame[key] = line.numbers(1, count[key], key)
    close()
    if start is None or not moving:
        raise ItesError(f"{path}: found no frame, expected AMC motion; fetch the file again")
    channels = torch.frombuffer(values, dtype=torch.float64).view(-1, sum(count.values()))
    turns = torch.tensor([channel[0] == "r" for dof in skeleton.dof for channel in dof])
    return torch.where(turns, channels * math.pi / 180, channels) if degrees else channels


def asf_positions(skeleton: AcclaimSkeleton, channels: Tensor, metres_per_unit: float | None = None) -> Tensor:
    """Forward kinematics of all frames at once: channels (F, C) to (F, J, 3) float32 (chapter 1).

    Args:
        skeleton: from :func:`read_asf`.
        channels: from :func:`read_amc`.
        metres_per_unit: overrides the skeleton's own, where a file's ``:units length`` is not to be trusted.

    Returns:
        Positions of ``skeleton.joints`` in metres, in the file's frame (y up for CMU and HDM05).

    Raises:
        ItesError: another number of channels, too many positions at once, or a position that overflows.
    """
    if channels.ndim != 2 or channels.shape[1] != sum(map(len, skeleton.dof)):
        raise ItesError(
            f"{skeleton.source}: found channels {tuple(channels.shape)}, expected (F, {sum(map(len, skeleton.dof))})"
        )
    check_size(len(channels), len(skeleton.joints), skeleton.source)
    places: list[Tensor] = []
    turns: list[Tensor] = []
    columns = iter(channels.unbind(1))
    zero = channels.new_zeros(len(channels))
    for parent, rest, axes, dof in zip(skeleton.parents, skeleton.rest, skeleton.axes, skeleton.dof, strict=True):
        value = {channel: next(columns) for channel in dof}
        order = skeleton.root_axis if parent < 0 else "".join(c[1] for c in dof) or "x"  # a stiff bone turns by 0
        angles = torch.stack([value.get(f"r{axis}", zero) for axis in order], dim=-1)
        turn = axes @ rotation_matrices(order, angles) @ axes.T
        if parent < 0:
            turns.append(turn)
            places.append(rest + torch.stack([value.get(f"t{axis}", zero) for axis in "xyz"], dim=-1))
        else:
            turns.append(turns[parent] @ turn)
            places.append(places[parent] + turns[-1] @ rest)
    scale = skeleton.metres_per_unit if metres_per_unit is None else metres_per_unit
    return finite_positions(places, scale, skeleton.source)


def load_amc(
    path: str | Path, skeleton: AcclaimSkeleton, metres_per_unit: float | None = None, every: int = 1
) -> Tensor:
    """Every n-th frame of an AMC file on the joints of H36M17: (F, 17, 3) float32, metres, y up (chapter 1).

    The hip is the midpoint of the femur heads, the thorax lies half-way up the lower neck, the head is the top of
    Acclaim's head bone.

    Raises:
        ItesError: what :func:`read_amc` and :func:`asf_positions` refuse, or a joint that the skeleton lacks.
    """
    positions = asf_positions(skeleton, read_amc(path, skeleton)[::every], metres_per_unit)
    return select_h36m17(skeleton.joints, positions, (ASF_JOINTS,), skeleton.source)
