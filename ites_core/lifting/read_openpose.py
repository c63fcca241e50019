"""OpenPose's JSON: one file a frame, ``{"people": [{"pose_keypoints_2d": [x, y, score, ...]}]}`` (chapter 7)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ites_core.data.joint_sets import BODY25, KEYPOINT_SETS
from ites_core.lifting.people import UNKNOWN, People
from ites_core.lifting.source import Gathered, fault, floats, integer, read_json

ASSUMED = {25: "body25", 18: "coco18"}


def read_openpose(path: Path, joints: str | None = None) -> People:
    """People of a folder that OpenPose wrote with ``--write_json``, or of one of its files.

    BODY_25 and BODY_25B both have 25 keypoints. The first marks the middle of the hips: if its number 8 lies between
    its numbers 9 and 12 it is BODY_25, else BODY_25B.

    Raises:
        ItesError: no JSON files, a file of another kind, an unknown keypoint set, nobody found.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        fault(path, "", "no .json file", "one file a frame", "name the folder given to OpenPose's --write_json")
    gathered = Gathered(path)
    for order, file in enumerate(files):
        data = read_json(file)
        people = data.get("people") if isinstance(data, dict) else None
        if not isinstance(people, list):
            fault(file, "", "no list 'people'", "a file that OpenPose wrote", "name a folder with such files only")
        for number, person in enumerate(people):
            place = f"person {number}"
            values = person if isinstance(person, dict) else {}
            given = values.get("pose_keypoints_2d", values.get("pose_keypoints"))
            points = floats(given, file, place, "pose_keypoints_2d")
            if points.ndim != 1 or points.size == 0 or points.size % 3:
                fault(file, place, f"pose_keypoints_2d {points.shape}", "x, y, score for each keypoint", "export again")
            points = points.reshape(-1, 3)
            who = values.get("person_id", [UNKNOWN])
            who = integer(who[0] if isinstance(who, list) and who else UNKNOWN, UNKNOWN)
            gathered.add(points[:, :2], points[:, 2], _frame_number(file, order), who, file.stem)
    found = gathered.people(joints, ASSUMED, film=path.is_dir() and len(files) > 1)
    if joints is None and found.joints.name == "body25" and not _marks_middle_of_hips(found):
        return replace(found, joints=KEYPOINT_SETS["body25b"])
    return found


def _frame_number(file: Path, order: int) -> int:
    """The number in ``clip_000000000012_keypoints.json``; else the order of the files."""
    match = re.search(r"(\d{1,18})(?:_keypoints)?$", file.stem)
    return int(match[1]) if match else order


def _marks_middle_of_hips(people: People) -> bool:
    middle, right, left, neck = (BODY25.index(name) for name in ("MidHip", "RHip", "LHip", "Neck"))
    certain = (people.score[:, [middle, right, left, neck]] > 0.1).all(axis=1)
    x = people.keypoints[certain]
    if not len(x):
        return True
    off = np.linalg.norm(x[:, middle] - (x[:, right] + x[:, left]) / 2, axis=-1)
    trunk = np.linalg.norm(x[:, middle] - x[:, neck], axis=-1)
    return bool(np.median(off) < 0.25 * np.median(trunk))
