"""Lifted poses as npz, JSON and CSV, and back (chapter 7).

All three hold, for each person, the frame, the person's number, the picture's name, 17 joints in metres (root-relative,
camera frame: x right, y down, z away), the joints in pixels, their scores, and where each comes from: ``seen``,
``substituted`` by another keypoint, or ``completed``. Whoever was not lifted has NaN, null or empty cells.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ites_core.data.archive import _field, _read_npz, is_unicode
from ites_core.data.joint_sets import ORIGINS
from ites_core.errors import ItesError
from ites_core.lifting.lift import Lifted
from ites_core.lifting.source import fault, read_json
from ites_core.skeleton import skeleton_named

FORMAT = "ites-lifted-1"
COLUMNS = (
    "frame", "person", "image", "joint", "x_m", "y_m", "z_m", "u_px", "v_px", "score", "origin",
)  # fmt: skip
AGAIN = "lift the keypoints again"


def npz_bytes(lifted: Lifted) -> bytes:
    """The npz file: plain arrays without pickles."""
    buffer = io.BytesIO()
    numbers = sorted(lifted.images)
    np.savez_compressed(
        buffer,
        format=np.array(FORMAT),
        pose=lifted.pose.numpy(),
        picture=lifted.picture.numpy(),
        score=lifted.score,
        origin=lifted.origin,
        metres_per_pixel=lifted.metres_per_pixel,
        frame=lifted.frame,
        person=lifted.person,
        image_frame=np.array(numbers, dtype=np.int64),
        image_name=np.array([lifted.images[n] for n in numbers], dtype=np.str_),
        film=np.array(lifted.film),
        fps=np.array(np.nan if lifted.fps is None else float(lifted.fps)),
        joint_set=np.array(lifted.skeleton.name),
        joints=np.array(lifted.skeleton.joints),
        source=np.array(lifted.source),
        weights=np.array(lifted.weights),
        units=np.array("m"),
    )
    return buffer.getvalue()


def json_text(lifted: Lifted) -> str:
    """The JSON file, numbers rounded to a tenth of a millimetre and a hundredth of a pixel."""
    done = lifted.done
    people = []
    for k in range(len(lifted)):
        person: dict[str, Any] = {
            "frame": int(lifted.frame[k]),
            "person": int(lifted.person[k]),
            "image": lifted.images[int(lifted.frame[k])],
            "pose_m": np.round(lifted.pose[k].double().numpy(), 4).tolist() if done[k] else None,
            "picture_px": np.round(lifted.picture[k].double().numpy(), 2).tolist() if done[k] else None,
            "metres_per_pixel": float(f"{lifted.metres_per_pixel[k]:.6g}") if done[k] else None,
            "score": np.round(lifted.score[k].astype(float), 4).tolist(),
            "origin": [ORIGINS[o] for o in lifted.origin[k]],
        }
        people.append(person)
    head = {
        "format": FORMAT,
        "joint_set": lifted.skeleton.name,
        "joints": lifted.skeleton.joints,
        "parents": lifted.skeleton.parents,
        "axes": "x right, y down, z away from the camera; metres, root at the origin",
        "film": lifted.film,
        "fps": lifted.fps,
        "source": lifted.source,
        "weights": lifted.weights,
    }
    lines = ",\n".join(json.dumps(p, allow_nan=False) for p in people)
    return json.dumps(head)[:-1] + ', "people": [\n' + lines + "\n]}\n"


def csv_text(lifted: Lifted) -> str:
    """The CSV file: one joint a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    pose = _cells(lifted.pose.double().numpy(), 4)
    picture = _cells(lifted.picture.double().numpy(), 2)
    score = _cells(lifted.score.astype(float), 4)
    for k in range(len(lifted)):
        frame = int(lifted.frame[k])
        who = (frame, int(lifted.person[k]), lifted.images[frame])
        for j, joint in enumerate(lifted.skeleton.joints):
            writer.writerow((*who, joint, *pose[k][j], *picture[k][j], score[k][j], ORIGINS[lifted.origin[k, j]]))
    return text.getvalue()


def _cells(values: np.ndarray, digits: int) -> Any:
    rounded = np.round(values, digits).astype(object)
    rounded[np.isnan(values)] = ""
    return rounded.tolist()


def read_lifted(path: str | Path) -> Lifted:
    """Read what :func:`npz_bytes` or :func:`json_text` wrote.

    Raises:
        ItesError: another kind of file, damaged, a field missing or of the wrong shape.
    """
    path = Path(path)
    found = _read_npz_file(path) if path.suffix.lower() == ".npz" else _read_json_file(path)
    m, n = len(found), len(found.skeleton)
    texts = (*found.images.values(), found.source, found.weights)
    for what, right in {
        "score": bool(np.isfinite(found.score).all()),
        "pose": not torch.isinf(found.pose).any(),
        "picture": not torch.isinf(found.picture).any() and torch.isfinite(found.picture[found.done]).all(),
        "metres_per_pixel": not np.isinf(found.metres_per_pixel).any()
        and bool(np.isfinite(found.metres_per_pixel[found.done]).all()),
        "origin": found.origin.shape == (m, n) and (found.origin < len(ORIGINS)).all(),
        "frame": found.frame.shape == (m,) and all(number in found.images for number in found.frame.tolist()),
        "person": found.person.shape == (m,),
        "image": all(isinstance(text, str) for text in texts) and is_unicode(texts),
        "fps": found.fps is None or (isinstance(found.fps, int | float) and 0 < found.fps < 1e5),
    }.items():
        if not right:
            fault(path, what, "another kind or number", "what `ites lift` writes", AGAIN)
    return found


def _read_npz_file(path: Path) -> Lifted:
    arrays = _read_npz(path)
    if str(arrays.get("format")) != FORMAT:
        fault(path, "format", arrays.get("format"), repr(FORMAT), AGAIN)
    texts = {name: str(_field(arrays, path, name, "U", 0)) for name in ("joint_set", "source", "weights")}
    skeleton = skeleton_named(texts["joint_set"])
    pose = _field(arrays, path, "pose", "f", 3)
    m, n = len(pose), len(skeleton)
    shapes = {
        "pose": ("f", (m, n, 3)), "picture": ("f", (m, n, 2)), "score": ("f", (m, n)), "origin": ("u", (m, n)),
        "metres_per_pixel": ("f", (m,)), "frame": ("iu", (m,)), "person": ("iu", (m,)),
    }  # fmt: skip
    fields = {name: _field(arrays, path, name, kind, len(shape)) for name, (kind, shape) in shapes.items()}
    for name, (_, shape) in shapes.items():
        if fields[name].shape != shape:
            fault(path, name, f"shape {fields[name].shape}", f"{shape}", AGAIN)
    fps = float(_field(arrays, path, "fps", "f", 0))
    numbers, names = _field(arrays, path, "image_frame", "iu", 1), _field(arrays, path, "image_name", "U", 1)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        floats = {name: fields[name].astype(np.float32) for name, (kind, _) in shapes.items() if kind == "f"}
    return Lifted(
        pose=torch.from_numpy(floats["pose"]),
        picture=torch.from_numpy(floats["picture"]),
        score=floats["score"],
        origin=fields["origin"],
        metres_per_pixel=floats["metres_per_pixel"],
        frame=fields["frame"],
        person=fields["person"],
        images={int(n): str(name) for n, name in zip(numbers, names, strict=False)},
        film=bool(_field(arrays, path, "film", "b", 0)),
        fps=None if np.isnan(fps) else fps,
        skeleton=skeleton,
        source=texts["source"],
        weights=texts["weights"],
    )


def _read_json_file(path: Path) -> Lifted:
    data = read_json(path)
    found = data.get("format") if isinstance(data, dict) else type(data).__name__
    if found != FORMAT:
        fault(path, "format", found, repr(FORMAT), AGAIN)
    try:
        skeleton = skeleton_named(data["joint_set"])
        people, n = data["people"], len(skeleton)

        def gather(name: str, *shape: int) -> np.ndarray:
            blank = np.full(shape, np.nan)
            stacked = [blank if p[name] is None else np.array(p[name], dtype=np.float32) for p in people]
            return np.stack(stacked).reshape(len(people), *shape).astype(np.float32)

        def whole(name: str) -> np.ndarray:
            numbers = [p[name] for p in people]
            if any(type(number) is not int for number in numbers):  # numpy would take the text "1" for a number
                raise TypeError(f"{name}: expected whole numbers")
            return np.array(numbers, dtype=np.int64)

        return Lifted(
            pose=torch.from_numpy(gather("pose_m", n, 3)),
            picture=torch.from_numpy(gather("picture_px", n, 2)),
            score=gather("score", n),
            origin=np.array([[ORIGINS.index(o) for o in p["origin"]] for p in people], dtype=np.uint8),
            metres_per_pixel=gather("metres_per_pixel"),
            frame=whole("frame"),
            person=whole("person"),
            images={p["frame"]: p["image"] for p in people},
            film=bool(data["film"]),
            fps=data["fps"],
            skeleton=skeleton,
            source=data["source"],
            weights=data["weights"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, ItesError):
            raise
        raise ItesError(f"{path}: a field is missing or of the wrong kind ({error!r}); {AGAIN}") from None
