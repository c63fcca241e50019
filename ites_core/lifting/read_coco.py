"""Keypoints in COCO's JSON and its relatives: MMPose, Detectron2, Ultralytics YOLO, AlphaPose (chapter 7).

* annotations: ``{"images": [...], "annotations": [{"image_id", "keypoints": [x, y, v, ...]}]}``, v being 0, 1 or 2;
* results: ``[{"image_id", "keypoints": [x, y, score, ...]}, ...]``;
* MMPose: ``[{"keypoints": [[x, y], ...], "keypoint_scores": [...]}, ...]`` for one picture, the same within
  ``[{"frame_id", "instances": [...]}, ...]`` for a film, or within ``{"instance_info": [...]}``;
* Ultralytics: ``[{"keypoints": {"x": [...], "y": [...], "visible": [...]}}, ...]``, or a list of such lists;
* Ultralytics labels: a text file a picture, ``class x y w h`` and then ``x y visibility`` for each keypoint, all in
  shares of the picture's width and height.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ites_core.lifting.people import UNKNOWN, People
from ites_core.lifting.source import (
    Gathered,
    fault,
    floats,
    found_or_zero,
    integer,
    name_of,
    number_frames,
    read_json,
    read_text,
)

ASSUMED = {17: "coco17", 18: "coco18", 25: "body25", 33: "mediapipe33"}
EXPORT = "export the keypoints again as COCO JSON"


def read_coco(path: Path, joints: str | None = None) -> People:
    """People of any of the JSON files above.

    Raises:
        ItesError: no JSON, none of these layouts, a person without numbers, an unknown keypoint set.
    """
    data = read_json(path)
    sizes: list[tuple[float, float] | None] = []
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        people, film = list(_annotations(data, sizes, path)), False
    else:
        listed = data.get("instance_info", [data]) if isinstance(data, dict) else data
        if not isinstance(listed, list):
            fault(path, "", type(listed).__name__, "a list of people or of frames", EXPORT)
        frames = bool(listed) and all(isinstance(p, list) or (isinstance(p, dict) and "instances" in p) for p in listed)
        people = list(_frames(listed, path) if frames else _results(listed))
        film = frames or any("track_id" in person for _, _, person in people)
    gathered = Gathered(path)
    numbers = number_frames([key for key, _, _ in people])
    flags = _are_flags([person for _, _, person in people])
    for number, (_, name, person) in zip(numbers, people, strict=True):
        xy, score = _keypoints(person, path, f"person {len(gathered.xy)}")
        who = next((person[key] for key in ("track_id", "idx") if key in person), UNKNOWN)
        who = who[0] if isinstance(who, list) and who else who
        gathered.add(xy, np.minimum(score, 1.0) if flags else score, number, integer(who, UNKNOWN), name)
    alike = len(set(sizes)) == 1
    return gathered.people(joints, ASSUMED, film=film, size=sizes[0] if alike else None)


Found = tuple[Any, str, dict[str, Any]]  # key of the frame, its name, the person


def _annotations(data: dict[str, Any], sizes: list[tuple[float, float] | None], path: Path) -> Iterator[Found]:
    listed = data["images"] if isinstance(data.get("images"), list) else []
    images = {i.get("id"): i for i in listed if isinstance(i, dict) and _is_key(i.get("id"))}
    for number, one in enumerate(data["annotations"]):
        if not isinstance(one, dict):
            fault(path, f"annotation {number}", reprlib.repr(one), "an object with 'keypoints'", EXPORT)
        if not one.get("keypoints") or not any(one["keypoints"][2::3] if isinstance(one["keypoints"], list) else [1]):
            continue  # COCO annotates many people without keypoints
        key = one.get("image_id", number)
        image = images.get(key) if _is_key(key) else None
        size = (image.get("width"), image.get("height")) if image else (None, None)
        sizes.append((float(size[0]), float(size[1])) if all(integer(s, 0) > 0 for s in size) else None)  # type: ignore[arg-type]
        yield key, name_of((image or {}).get("file_name", key)), one


def _is_key(key: Any) -> bool:
    return isinstance(key, int | str)


def _results(listed: list[Any]) -> Iterator[Found]:
    for number, one in enumerate(listed):
        person = one if isinstance(one, dict) else {"keypoints": one}
        one_picture = "keypoint_scores" in person or "box" in person  # MMPose and Ultralytics: a file a picture
        key = person.get("image_id", person.get("frame_id", 0 if one_picture else number))
        yield key, name_of(key), person


def _frames(listed: list[Any], path: Path) -> Iterator[Found]:
    for number, frame in enumerate(listed):
        instances = frame if isinstance(frame, list) else frame["instances"]
        key = number if isinstance(frame, list) else frame.get("frame_id", number)
        for one in instances if isinstance(instances, list) else [instances]:
            if not isinstance(one, dict):
                fault(path, f"frame {number}", reprlib.repr(one), "objects with 'keypoints'", EXPORT)
            yield key, name_of(key), one


def _keypoints(person: dict[str, Any], path: Path, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (K, 2) and scores (K,) of one person in any of the layouts."""
    given = person.get("keypoints")
    if isinstance(given, dict):
        xy = floats([given.get("x"), given.get("y")], path, place, "keypoints 'x' and 'y'")
        if xy.ndim != 2:
            fault(path, place, reprlib.repr(given), "'x' and 'y', a list of numbers each", EXPORT)
        seen = given.get("visible")
        return xy.T, found_or_zero(xy.T) if seen is None else _scores(seen, xy.shape[1], path, place)
    values = floats(given, path, place, "keypoints")
    if values.ndim == 1 and values.size and values.size % 3 == 0:
        values = values.reshape(-1, 3)
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        found = "no 'keypoints'" if given is None else f"keypoints of shape {values.shape}"
        fault(path, place, found, "x, y, score for each keypoint", EXPORT)
    scores = person.get("keypoint_scores")
    if scores is not None:
        return values[:, :2], _scores(scores, len(values), path, place)
    return values[:, :2], values[:, 2] if values.shape[1] == 3 else found_or_zero(values)


def _scores(given: Any, count: int, path: Path, place: str) -> np.ndarray:
    scores = floats(given, path, place, "scores").reshape(-1)
    if len(scores) != count:
        fault(path, place, f"{len(scores)} scores", f"one for each of {count} keypoints", EXPORT)
    return scores


def _are_flags(people: list[dict[str, Any]]) -> bool:
    """Whether the third numbers are COCO's visibility and no scores: a 2 occurs, and nothing else but 0 and 1."""
    kinds: set[Any] = set()
    for person in people:
        given = person.get("keypoints")
        if not isinstance(given, list) or not given or isinstance(given[0], list) or "keypoint_scores" in person:
            return False
        kinds.update(v for v in given[2::3] if isinstance(v, int | float))
        if not kinds <= {0, 1, 2}:
            return False
    return 2 in kinds


def read_yolo_labels(path: Path, joints: str | None = None, size: tuple[float, float] | None = None) -> People:
    """People of a label file of Ultralytics YOLO, or of a folder of them, one file a picture.

    Args:
        path: ``.txt`` file or folder.
        joints: the keypoint set; None tells it by the number of keypoints.
        size: (width, height) of the pictures in pixels, since the labels hold shares of them.

    Raises:
        ItesError: unreadable, no size, words that are no numbers, an unknown keypoint set.
    """
    if size is None:
        fault(path, "", "shares of the picture's size", "that size too", "give it with --image-size WIDTH HEIGHT")
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    gathered = Gathered(path)
    for frame, file in enumerate(files):
        for number, line in enumerate(read_text(file).splitlines(), 1):
            words = line.split()
            if not words:
                continue
            values = floats(words, file, f"line {number}", "a label")
            # Behind the keypoints there may stand a confidence, and behind that a track.
            fits = [(k, n) for k in ASSUMED for n in (3, 2) if 0 <= len(values) - 5 - n * k <= 2]
            if not fits:
                expected = "class x y w h and 2 or 3 numbers for each keypoint"
                fault(file, f"line {number}", f"{len(values)} numbers", expected, "export pose labels, not boxes")
            k, n = fits[0]
            points = values[5 : 5 + n * k].reshape(k, n)
            score = points[:, 2] if n == 3 else found_or_zero(points)
            gathered.add(points[:, :2] * np.array(size), np.minimum(score, 1.0), frame, UNKNOWN, file.stem)
    return gathered.people(joints, ASSUMED, size=size)
