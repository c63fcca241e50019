"""MediaPipe's 33 pose landmarks in JSON (chapter 7). MediaPipe has no file format of its own; this one is read:

``{"image_size": [width, height], "fps": 30, "frames": [{"frame": 0, "poses": [[{"x", "y", "visibility"}, ... 33]]}]}``

Of a frame, the names ``pose_landmarks``, ``landmarks`` and ``landmark`` are understood for ``poses``, as MediaPipe's
results name them; a frame may be the list itself, the file may be one frame or a list of frames, and a landmark may be
a list ``[x, y, z, visibility]``. Coordinates are shares of the picture's width and height, hence ``image_size``;
numbers that are too large for that are pixels.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import numpy as np

from ites_core.lifting.people import UNKNOWN, People
from ites_core.lifting.source import Gathered, fault, floats, integer, read_json

ASSUMED = {33: "mediapipe33"}
NAMES = ("poses", "pose_landmarks", "landmarks", "landmark")
LARGEST_SHARE = 4.0  # landmarks may lie outside the picture, though hardly that far
LAYOUT = "write the layout that the chapter 'Your own poses' shows"


def read_mediapipe(path: Path, joints: str | None = None, size: tuple[float, float] | None = None) -> People:
    """People of a JSON file of landmarks.

    Args:
        path: the file.
        joints: for other keypoints in the same layout.
        size: (width, height) of the pictures in pixels, where the file does not say it.

    Raises:
        ItesError: no JSON, another layout, shares of an unknown size, an unknown keypoint set.
    """
    data = read_json(path)
    fps = None
    listed: Any = data if isinstance(data, list) else [data]
    if isinstance(data, dict):
        if data.get("image_size") is not None:
            named = floats(data["image_size"], path, "image_size", "width and height")
            if named.shape != (2,) or not (np.isfinite(named).all() and (named > 0).all()):
                fault(path, "image_size", reprlib.repr(data["image_size"]), "[width, height] in pixels", LAYOUT)
            size = (float(named[0]), float(named[1]))
        if isinstance(data.get("fps"), int | float) and 0 < data["fps"] < 1e5:
            fps = float(data["fps"])
        if isinstance(data.get("frames"), list):
            listed = data["frames"]
    if listed and all(_is_landmark(item) for item in listed):
        listed = [listed]
    gathered = Gathered(path)
    for order, frame in enumerate(listed):
        number = integer(frame.get("frame"), order) if isinstance(frame, dict) else order
        for pose in _poses(frame, path, f"frame {order}"):
            points = np.array([_landmark(one, path, f"frame {order}") for one in pose])
            gathered.add(points[:, :2], points[:, 2], number, UNKNOWN)
    if gathered.xy and np.nanmax(np.abs(gathered.xy), initial=0.0) <= LARGEST_SHARE:
        if size is None:
            cure = "add image_size to the file, or give --image-size WIDTH HEIGHT"
            fault(path, "", "shares of the picture's size", "that size too", cure)
        gathered.xy = [xy * np.array(size) for xy in gathered.xy]
    return gathered.people(joints, ASSUMED, film=len(listed) > 1, size=size, fps=fps)


def _is_landmark(item: Any) -> bool:
    if isinstance(item, dict):
        return "x" in item and "y" in item
    return isinstance(item, list) and len(item) in (2, 3, 4) and all(isinstance(v, int | float) for v in item)


def _poses(frame: Any, path: Path, place: str) -> list[list[Any]]:
    """The poses of one frame, each a list of landmarks."""
    found = frame
    while isinstance(found, dict) and not _is_landmark(found):
        found = next((found[name] for name in NAMES if name in found), None)
    if found is None or found == []:
        return []  # a frame without anybody
    if not isinstance(found, list):
        fault(path, place, reprlib.repr(frame), f"a list of landmarks, named one of {', '.join(NAMES)}", LAYOUT)
    if all(_is_landmark(item) for item in found):
        return [found]
    poses = []
    for item in found:
        pose = item.get("landmark", item.get("landmarks")) if isinstance(item, dict) else item
        if not isinstance(pose, list) or not all(_is_landmark(one) for one in pose):
            fault(path, place, reprlib.repr(item), "landmarks with x and y", LAYOUT)
        if pose:
            poses.append(pose)
    return poses


def _landmark(one: Any, path: Path, place: str) -> list[float]:
    """x, y and the confidence of one landmark, 1 where none is given."""
    if isinstance(one, list):
        values = [one[0], one[1], one[3] if len(one) == 4 else 1.0]
    else:
        values = [one["x"], one["y"], one.get("visibility", one.get("presence", 1.0))]
    numbers = floats(values, path, place, "landmark")
    if numbers.shape != (3,):
        fault(path, place, reprlib.repr(one), "one number for each of x, y and visibility", LAYOUT)
    return numbers.tolist()
