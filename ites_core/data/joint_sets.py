"""Keypoints of detectors and annotators as the joints of H36M17: names, and what each joint is made of (chapter 7).

A joint is a weighted mean of keypoints, so a map can be taken in pictures and in space alike. What no keypoint marks is
put between others: the hip between the hips, the thorax between the shoulders, the spine half-way between those two.
Where a keypoint is missing, the next rule of the joint is tried: the ears for a nose that looks away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

COCO17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
COCO18 = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip", "RKnee", "RAnkle", "LHip",
    "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
)  # fmt: skip
BODY25 = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip
BODY25B = (
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist", "LHip",
    "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "UpperNeck", "HeadTop", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip
MEDIAPIPE33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

Weights = Mapping[str, float]
SEEN, SUBSTITUTED, COMPLETED = 0, 1, 2  # where a joint comes from: its first rule, a later one, the other joints
ORIGINS = ("seen", "substituted", "completed")


def joint_map(sources: Sequence[str], weights: Mapping[str, Weights]) -> np.ndarray:
    """Matrix that turns keypoints into H36M17: ``joints = matrix @ keypoints``.

    Args:
        sources: names of the keypoints, in their order.
        weights: for each joint of H36M17 the keypoints that it is the weighted mean of.

    Returns:
        (17, len(sources)) float64; rows sum to 1.

    Raises:
        ItesError: a joint without weights, a keypoint that is not among the sources, weights that do not sum to 1.

    Chapter 5.
    """
    return np.stack([_row(joint, sources, weights.get(joint, {})) for joint in H36M17.joints])


def _row(joint: str, sources: Sequence[str], weights: Weights) -> np.ndarray:
    row = np.zeros(len(sources))
    for source, weight in weights.items():
        if source not in sources:
            raise ItesError(f"joint map: {joint}: keypoint {source!r} is not among the {len(sources)} given")
        row[sources.index(source)] = weight
    if not np.isclose(row.sum(), 1):
        raise ItesError(f"joint map: {joint}: weights sum to {row.sum():.3g}, expected 1")
    return row


def _trunk_and_limbs(left: Callable[[str], str], right: Callable[[str], str]) -> dict[str, Weights]:
    """Weights of what all sets mark alike; ``left`` and ``right`` spell a part's name, such as ``hip``."""
    limbs: dict[str, Weights] = {
        f"{side}{part.capitalize()}": {name(part): 1.0}
        for side, name in (("L", left), ("R", right))
        for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    }
    return limbs | {
        "Hip": {left("hip"): 0.5, right("hip"): 0.5},
        "Spine": {name(part): 0.25 for name in (left, right) for part in ("hip", "shoulder")},
        "Thorax": {left("shoulder"): 0.5, right("shoulder"): 0.5},
    }


def _long(side: str) -> Callable[[str], str]:
    return lambda part: f"{side}_{part}"


def _short(side: str) -> Callable[[str], str]:
    return lambda part: f"{side}{part.capitalize()}"


# COCO marks no crown and no neck. The nose is as high above the shoulders as H36M17's Head (0.23 m in the OpenPose
# clip; 0.20 to 0.23 m in motion capture), some 10 cm in front of it. The neck is 0.6 of the way, as in motion capture.
COCO17_TO_H36M17 = joint_map(
    COCO17,
    {
        **_trunk_and_limbs(_long("left"), _long("right")),
        "Head": {"nose": 1.0},
        "Neck": {"nose": 0.6, "left_shoulder": 0.2, "right_shoulder": 0.2},
    },
)
# As the clip's own joints3d_h36m17: its head is the crown, its neck the upper end of the neck.
BODY25B_TO_H36M17 = joint_map(
    BODY25B,
    {
        **_trunk_and_limbs(_short("L"), _short("R")),
        "Head": {"HeadTop": 1.0},
        "Neck": {"UpperNeck": 1.0},
    },
)


@dataclass(frozen=True)
class KeypointSet:
    """A set of keypoints that can be lifted, and the rules that make the joints of H36M17 of it. Chapter 7.

    Attributes:
        name: what ``--joints`` calls it.
        joints: names of the K keypoints in their order.
        rules: for each joint of H36M17 the weighted means to take, the first whose keypoints are all there.

    Raises:
        ItesError: a joint without a rule, or a rule that is no mean of the set's keypoints.
    """

    name: str
    joints: tuple[str, ...]
    rules: Mapping[str, tuple[Weights, ...]]

    def __post_init__(self) -> None:
        lacking = [joint for joint in H36M17.joints if not self.rules.get(joint)]
        if lacking:
            raise ItesError(f"keypoint set {self.name}: no rule for {', '.join(lacking)}; give each joint one")
        assert self.matrices  # checks the weights now, not at the first use

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def matrices(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """For each of the 17 joints the rows (K,) of its rules."""
        return tuple(tuple(_row(j, self.joints, w) for w in self.rules[j]) for j in H36M17.joints)

    def apply(self, keypoints: np.ndarray, score: np.ndarray, threshold: float) -> tuple[np.ndarray, ...]:
        """The 17 joints of M people.

        Args:
            keypoints: (M, K, 2) pixels; NaN where a keypoint is missing.
            score: (M, K) confidences.
            threshold: a keypoint with a lower score counts as missing.

        Returns:
            Joints (M, 17, 2), NaN where no rule applies; their scores (M, 17), the lowest of what a joint is made of, 0
            where no rule applies; their origins (M, 17) uint8: SEEN, SUBSTITUTED by a later rule, or COMPLETED, which
            is still to be done.
        """
        there = np.isfinite(keypoints).all(axis=-1) & (score >= threshold)
        known = np.where(there[..., None], keypoints, 0.0)
        people = len(keypoints)
        joints = np.full((people, len(H36M17), 2), np.nan)
        scores = np.zeros((people, len(H36M17)))
        origin = np.full((people, len(H36M17)), COMPLETED, dtype=np.uint8)
        for j, rows in enumerate(self.matrices):
            for order, row in enumerate(rows):
                used = np.flatnonzero(row)
                open_ = (origin[:, j] == COMPLETED) & there[:, used].all(axis=1)
                joints[open_, j] = np.tensordot(known[open_][:, used], row[used], axes=(1, 0))
                scores[open_, j] = score[open_][:, used].min(axis=1)
                origin[open_, j] = SEEN if order == 0 else SUBSTITUTED
        return joints, scores, origin


def _rules(
    left: Callable[[str], str],
    right: Callable[[str], str],
    nose: str,
    neck: str | None = None,
    mid_hip: str | None = None,
) -> dict[str, tuple[Weights, ...]]:
    """The rules that all sets with a face share; ``neck`` and ``mid_hip`` where the set marks them itself."""
    first = _trunk_and_limbs(left, right)
    ears = {left("ear"): 0.5, right("ear"): 0.5}
    heads: list[Weights] = [{nose: 1.0}, ears, {left("eye"): 0.5, right("eye"): 0.5}, {left("ear"): 1.0}]
    heads += [{right("ear"): 1.0}]
    thoraxes: list[Weights] = [first["Thorax"]] + ([{neck: 1.0}] if neck else [])
    hips: list[Weights] = [first["Hip"]] + ([{mid_hip: 1.0}] if mid_hip else [])
    return {joint: (weights,) for joint, weights in first.items()} | {
        "Hip": tuple(hips),
        "Thorax": tuple(thoraxes),
        "Spine": tuple(_mix(hip, thorax, 0.5) for thorax in thoraxes for hip in hips),
        "Head": tuple(heads),
        "Neck": tuple(_mix(head, thorax, 0.4) for head in heads for thorax in thoraxes),
    }


def _mix(a: Weights, b: Weights, share: float) -> Weights:
    """(1 - share) a + share b, for weights of keypoints."""
    return {k: (1 - share) * a.get(k, 0.0) + share * b.get(k, 0.0) for k in dict.fromkeys([*a, *b])}


# For BODY_25B too, the head is where the nose is: the crown that it marks lies above the head that networks here learn.
KEYPOINT_SETS = {
    s.name: s
    for s in (
        KeypointSet("coco17", COCO17, _rules(_long("left"), _long("right"), "nose")),
        KeypointSet("coco18", COCO18, _rules(_short("L"), _short("R"), "Nose", neck="Neck")),
        KeypointSet("body25", BODY25, _rules(_short("L"), _short("R"), "Nose", neck="Neck", mid_hip="MidHip")),
        KeypointSet("body25b", BODY25B, _rules(_short("L"), _short("R"), "Nose")),
        KeypointSet("mediapipe33", MEDIAPIPE33, _rules(_long("left"), _long("right"), "nose")),
        KeypointSet("h36m17", H36M17.joints, {joint: ({joint: 1.0},) for joint in H36M17.joints}),
    )
}


def keypoint_set(name: str) -> KeypointSet:
    """The registered keypoint set of that name.

    Raises:
        ItesError: there is none.
    """
    if name not in KEYPOINT_SETS:
        raise ItesError(f"unknown keypoint set {name!r}: expected one of {', '.join(KEYPOINT_SETS)}")
    return KEYPOINT_SETS[name]


def find_keypoint_set(names: Sequence[str], within: str | None = None) -> tuple[KeypointSet, list[int]] | None:
    """The smallest set that has all these names, in any order and spelling, and the place of each in it; else None.

    Args:
        names: of keypoints, such as ``left_hip``, ``LeftHip`` or ``LHip``.
        within: look into this set alone.

    Raises:
        ItesError: ``within`` is not a set's name.
    """
    wanted = [_plain(name) for name in names]
    candidates = [keypoint_set(within)] if within else sorted(KEYPOINT_SETS.values(), key=len)
    if not wanted or len(set(wanted)) < len(wanted):
        return None
    for candidate in candidates:
        place = {_plain(name): k for k, name in enumerate(candidate.joints)}
        if all(name in place for name in wanted):
            return candidate, [place[name] for name in wanted]
    return None


def _plain(name: str) -> str:
    """``left_hip``, ``LeftHip`` and ``LHip`` are one name."""
    word = "".join(c for c in name.lower() if c.isalnum())
    for long, short in (("left", "l"), ("right", "r")):
        if word.startswith(long):
            return short + word[len(long) :]
    return word
