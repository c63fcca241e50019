"""Keypoints in plain CSV and NumPy files (chapter 7).

CSV, with a header, either one keypoint a row, ``frame, person, joint, x, y, score``, or one person a row,
``frame, person`` and for each keypoint ``NAME_x, NAME_y, NAME_score``. Frame, person, image and all scores may be left
out. Names may be spelt as ``left_hip``, ``LeftHip`` or ``LHip``. An empty cell is a missing keypoint.

npz: ``keypoints`` (people, K, 2 or 3: x, y, score) or (frames, people, K, 2 or 3), and, all optional, ``score``,
``joint_names`` (or ``joints``) or ``joint_set``, ``frame``, ``person``, ``image_id``, ``image_size``, ``fps``. npy:
the array ``keypoints`` alone. NaN is a missing keypoint; pickled objects are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ites_core.data.archive import _read_npy, _read_npz
from ites_core.data.joint_sets import KEYPOINT_SETS, KeypointSet, find_keypoint_set
from ites_core.errors import ItesError
from ites_core.lifting.people import UNKNOWN, People
from ites_core.lifting.source import fault, found_or_zero, number_frames, read_text, set_of_count

# Without a name, 17 keypoints may be COCO's or Human3.6M's: not assumed.
ASSUMED = {18: "coco18", 25: "body25", 33: "mediapipe33"}
FRAME, PERSON, IMAGE = ("frame", "frame_id"), ("person", "person_id", "track", "track_id", "id"), ("image", "image_id")
JOINT = ("joint", "keypoint", "landmark", "name")
SCORE = ("score", "confidence", "conf", "visibility", "likelihood", "c", "p")
SPELL = "name the keypoints as the chapter 'Your own poses' shows"


def read_csv(path: Path, joints: str | None = None, size: tuple[float, float] | None = None) -> People:
    """People of a CSV file (comma, semicolon or tab).

    Raises:
        ItesError: unreadable, no header, a cell that is no number, unknown keypoints, the same keypoint twice.
    """
    text = read_text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ItesError(f"{path}: found no readable CSV ({error}); export it again") from None
    if len(rows) < 2:
        fault(path, "", f"{len(rows)} rows", "a header and at least one row", "export it again")
    header = [cell.strip() for cell in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            fault(path, f"row {number}", f"{len(row)} cells", f"the {len(header)} of the header", "repair the row")
    column = {name.lower(): k for k, name in enumerate(header)}
    cells = [[row[k].strip() for row in rows[1:]] for k in range(len(header))]
    joint = next((column[name] for name in JOINT if name in column), None)
    table = _long if joint is not None and "x" in column and "y" in column else _wide
    keys = _keys(path, column, cells)
    xy, score, found, frame, person = table(path, header, column, cells, keys, joints)
    numbers = number_frames([_whole(key) for key in frame])
    people = People(
        keypoints=xy,
        score=score,
        joints=found,
        frame=np.array(numbers, dtype=np.int64),
        person=np.array([who if isinstance(who, int) else UNKNOWN for who in map(_whole, person)], dtype=np.int64),
        images={n: str(key) for n, key in zip(numbers, frame, strict=True)},
        film=any(name in column for name in FRAME),
        size=size,
        source=str(path),
    )
    if found.name == "mediapipe33" and np.nanmax(np.abs(xy), initial=0.0) <= 4.0:
        if size is None:
            fault(path, "", "shares of the picture's size", "that size too", "give --image-size WIDTH HEIGHT")
        object.__setattr__(people, "keypoints", xy * np.array(size))
    return people


Keys = list[tuple[str, str]]  # of each row: which frame, which person
Table = tuple[np.ndarray, np.ndarray, KeypointSet, list[str], list[str]]


def _keys(path: Path, column: dict[str, int], cells: list[list[str]]) -> Keys:
    rows = len(cells[0])
    frame = next((cells[column[name]] for name in FRAME + IMAGE if name in column), None)
    person = next((cells[column[name]] for name in PERSON if name in column), None)
    return list(zip(frame or [""] * rows, person or [""] * rows, strict=True))


def _long(
    path: Path,
    header: list[str],
    column: dict[str, int],
    cells: list[list[str]],
    keys: Keys,
    joints: str | None,
) -> Table:
    """One keypoint a row."""
    names = cells[next(column[name] for name in JOINT if name in column)]
    distinct = list(dict.fromkeys(names))
    if all(name.isdecimal() and len(name) < 9 for name in distinct):
        numbered = sorted(distinct, key=int)
        known, _ = set_of_count(max(map(int, distinct)) + 1, joints, ASSUMED | {17: "coco17"}, path)
        place = {name: int(name) for name in numbered}
    else:
        known, places = _named(path, distinct, joints)
        place = dict(zip(distinct, places, strict=True))
    x, y = (_numbers(path, header[column[c]], cells[column[c]]) for c in "xy")
    given = next((cells[column[name]] for name in SCORE if name in column), None)
    score = np.ones(len(x)) if given is None else np.nan_to_num(_numbers(path, "score", given))
    people: dict[tuple[str, str], int] = {}
    index = np.array([people.setdefault(key, len(people)) for key in keys])
    at = np.array([place[name] for name in names])
    double = np.unique(index * len(known) + at, return_counts=True)[1]
    if (double > 1).any():
        cure = "give people and frames numbers in the columns person and frame"
        fault(path, "", "one keypoint of one person twice", "each once", cure)
    xy = np.full((len(people), len(known), 2), np.nan)
    scores = np.zeros((len(people), len(known)))
    xy[index, at, 0], xy[index, at, 1], scores[index, at] = x, y, score
    return xy, scores, known, [f for f, _ in people], [p for _, p in people]


def _wide(
    path: Path,
    header: list[str],
    column: dict[str, int],
    cells: list[list[str]],
    keys: Keys,
    joints: str | None,
) -> Table:
    """One person a row."""
    stems = [name[:-2] for name in header if name.lower().endswith(("_x", ".x")) and f"{name[:-1]}y".lower() in column]
    if not stems:
        cure = "see the chapter 'Your own poses' for the two layouts"
        fault(path, "header", ", ".join(header), "columns joint, x, y or NAME_x, NAME_y", cure)
    known, places = _named(path, stems, joints)
    xy = np.full((len(cells[0]), len(known), 2), np.nan)
    scores = np.zeros((len(cells[0]), len(known)))
    for stem, place in zip(stems, places, strict=True):
        for axis, letter in enumerate("xy"):
            name = next(f"{stem}{mark}{letter}" for mark in "_." if f"{stem}{mark}{letter}".lower() in column)
            xy[:, place, axis] = _numbers(path, name, cells[column[name.lower()]])
        given = next((n for mark in "_." for s in SCORE if (n := f"{stem}{mark}{s}".lower()) in column), None)
        scores[:, place] = 1.0 if given is None else np.nan_to_num(_numbers(path, given, cells[column[given]]))
    frame = [key or str(row) for row, (key, _) in enumerate(keys)]
    return xy, scores, known, frame, [who for _, who in keys]


def _named(path: Path, names: Sequence[str], joints: str | None) -> tuple[KeypointSet, list[int]]:
    found = find_keypoint_set(names, joints)
    if found is None:
        which = joints or f"one set out of {', '.join(KEYPOINT_SETS)}"
        fault(path, "", f"keypoints {', '.join(names)}", f"different names, all from {which}", SPELL)
    return found


def _numbers(path: Path, name: str, cells: list[str]) -> np.ndarray:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        row, cell = next((k, c) for k, c in enumerate(cells, 2) if c and not _is_number(c))
        fault(path, f"row {row}, column {name}", repr(cell), "a number or an empty cell", "repair the cell")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _whole(text: str) -> Any:
    return int(text) if text.isdecimal() and len(text) < 19 else text


def read_numpy(path: Path, joints: str | None = None, size: tuple[float, float] | None = None) -> People:
    """People of an npz or npy file.

    Raises:
        ItesError: damaged, pickled objects, no array ``keypoints``, a wrong shape, unknown keypoints, 17 of them
            without a name.
    """
    if path.suffix.lower() == ".npy":
        return people_of_array(_read_npy_file(path), joints=joints, size=size, source=str(path))
    arrays = _read_npz(path)
    if "keypoints" not in arrays:
        fault(path, "", f"arrays {', '.join(sorted(arrays)) or 'none'}", "an array 'keypoints'", "save it by that name")
    names = next((arrays[key] for key in ("joint_names", "joints") if key in arrays), None)
    if joints is None and "joint_set" in arrays:
        joints = str(arrays["joint_set"])
    wh = next((arrays[key] for key in ("image_size", "image_wh") if key in arrays), None)
    if size is None and wh is not None and wh.dtype.kind in "iuf" and wh.size and wh.shape[-1:] == (2,):
        each = np.unique(wh.reshape(-1, 2).astype(np.float64), axis=0)
        size = (float(each[0, 0]), float(each[0, 1])) if len(each) == 1 and (each > 0).all() else None
    fps = arrays.get("fps")
    rate = float(fps.reshape(-1)[0]) if fps is not None and fps.dtype.kind in "iuf" and fps.size else None
    return people_of_array(
        arrays["keypoints"],
        arrays.get("score"),
        joints=joints,
        names=None if names is None or names.dtype.kind != "U" else [str(n) for n in names.reshape(-1)],
        frame=next((arrays[key] for key in ("frame", "image_id") if key in arrays), None),
        person=arrays.get("person"),
        film=True if rate is not None or "frame" in arrays else None,
        size=size,
        fps=rate if rate is not None and np.isfinite(rate) and rate > 0 else None,
        source=str(path),
    )


def _read_npy_file(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return _read_npy(file, path.stat().st_size, path, "npy")
    except OSError as error:
        raise ItesError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def people_of_array(
    keypoints: np.ndarray,
    score: np.ndarray | None = None,
    *,
    joints: str | None = None,
    names: Sequence[str] | None = None,
    frame: np.ndarray | None = None,
    person: np.ndarray | None = None,
    film: bool | None = None,
    size: tuple[float, float] | None = None,
    fps: float | None = None,
    source: str = "array",
) -> People:
    """People of arrays (chapter 7).

    Args:
        keypoints: (K, 2 or 3), (M, K, 2 or 3) or (frames, people, K, 2 or 3): x, y in pixels and a score. The third
            may also be COCO's visibility 0, 1, 2. NaN marks what is missing; in a 4-axis array also who is.
        score: (..., K) instead of the third number.
        joints: name of the keypoint set.
        names: of the K keypoints, instead.
        frame, person: (M,) numbers.
        film: whether frames follow one another; None: if there are four axes.
        size, fps, source: see :class:`People`.

    Raises:
        ItesError: a wrong shape or kind, unknown keypoints, as :class:`People`.
    """
    path = Path(source)
    array = np.asarray(keypoints)
    if array.dtype.kind not in "iuf" or not 2 <= array.ndim <= 4 or array.shape[-1] not in (2, 3) or not array.size:
        found = f"{array.dtype} of shape {array.shape}"
        fault(path, "keypoints", found, "numbers (people, keypoints, 2 or 3)", "save x, y, score for each keypoint")
    if array.ndim == 2:
        array = array[None]
    crowd = array.shape[:2] if array.ndim == 4 else None
    if crowd:
        frame, person = (axis.ravel() for axis in np.indices(crowd))
        array = array.reshape(-1, *array.shape[2:])
    values = array.astype(np.float64)
    people, count = values.shape[:2]
    if names is not None:
        known, places = _named(path, names, joints)
        if len(places) != count:
            fault(path, "keypoints", f"{count} keypoints", f"the {len(places)} that are named", "save one name each")
    elif joints is None and count == 17:
        cure = "say --joints coco17 or --joints h36m17, or save joint_names"
        fault(path, "", "17 keypoints without names", "COCO's or Human3.6M's, which differ", cure)
    else:
        known, kept = set_of_count(count, joints, ASSUMED, path)
        values, places = values[:, :kept], list(range(kept))
    if score is None:
        third = values[..., 2] if values.shape[-1] == 3 else found_or_zero(values)
        confidence = np.minimum(third, 1.0) if np.isin(third, (0, 1, 2)).all() else third
    else:
        confidence = np.asarray(score)
        if confidence.dtype.kind not in "iufb" or confidence.size != people * count:
            fault(
                path, "score", f"shape {confidence.shape}", f"one for each of {people} x {count} keypoints", "repair it"
            )
        confidence = confidence.reshape(people, count).astype(np.float64)[:, : len(places)]
    xy = np.full((people, len(known), 2), np.nan)
    scores = np.zeros((people, len(known)))
    xy[:, places], scores[:, places] = values[..., :2], confidence
    numbers = _index(path, "frame", frame, people, np.arange(people))
    who = _index(path, "person", person, people, np.full(people, UNKNOWN))
    here = np.isfinite(xy).any(axis=(1, 2)) if crowd else np.ones(people, dtype=bool)
    return People(
        keypoints=xy[here],
        score=scores[here],
        joints=known,
        frame=numbers[here],
        person=who[here],
        images={int(n): str(n) for n in np.unique(numbers[here])},
        film=bool(crowd) if film is None else film,
        size=size,
        fps=fps,
        source=source,
    )


def _index(path: Path, name: str, given: np.ndarray | None, people: int, otherwise: np.ndarray) -> np.ndarray:
    if given is None:
        return otherwise.astype(np.int64)
    array = np.asarray(given)
    if array.shape != (people,) or array.dtype.kind not in "iu":
        fault(path, name, f"{array.dtype} of shape {array.shape}", f"{people} whole numbers", "save one a person")
    return array.astype(np.int64)
