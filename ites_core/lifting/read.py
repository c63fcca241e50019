"""From a file of any known format to people: which reader is meant (chapter 7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from ites_core.errors import ItesError
from ites_core.lifting.people import People
from ites_core.lifting.read_coco import read_coco, read_yolo_labels
from ites_core.lifting.read_mediapipe import NAMES, read_mediapipe
from ites_core.lifting.read_openpose import read_openpose
from ites_core.lifting.read_tables import read_csv, read_numpy
from ites_core.lifting.source import fault, read_json

Format = Literal["auto", "coco", "yolo", "openpose", "mediapipe", "csv", "numpy"]
Size = tuple[float, float] | None

READERS: dict[str, Callable[[Path, str | None, Size], People]] = {
    "coco": lambda path, joints, size: read_coco(path, joints),
    "yolo": read_yolo_labels,
    "openpose": lambda path, joints, size: read_openpose(path, joints),
    "mediapipe": read_mediapipe,
    "csv": read_csv,
    "numpy": read_numpy,
}
SUFFIXES = {".csv": "csv", ".tsv": "csv", ".npz": "numpy", ".npy": "numpy", ".txt": "yolo"}


def read_people(path: str | Path, format: Format = "auto", joints: str | None = None, size: Size = None) -> People:
    """Read detected people (chapter 7).

    Args:
        path: a file, or a folder of one file a picture.
        format: ``auto`` tells it by suffix and content. ``coco`` is COCO's JSON and that of MMPose, Detectron2,
            Ultralytics and AlphaPose; ``yolo`` are Ultralytics' text labels; ``numpy`` is npz and npy.
        joints: name of the keypoint set, where the file leaves it open.
        size: (width, height) of the pictures in pixels, for files that hold shares of it.

    Raises:
        ItesError: missing, of no known format, or as the format's reader.
    """
    path = Path(path)
    if format not in get_args(Format):
        raise ItesError(f"format: found {format!r}, expected one of {', '.join(get_args(Format))}")
    if not path.exists():
        raise ItesError(f"{path}: no such file or folder; check the path")
    kind = find_format(path) if format == "auto" else format
    if path.is_dir() and kind not in ("openpose", "yolo"):
        fault(path, "", f"a folder, to be read as {kind}", "a file", "name the file in it")
    return READERS[kind](path, joints, size)


def find_format(path: Path) -> str:
    """The format of a file or folder, by suffix and, for JSON, by content.

    Raises:
        ItesError: none that is known.
    """
    if path.is_dir():
        if any(path.glob("*.json")):
            return "openpose"
        if any(path.glob("*.txt")):
            return "yolo"
        fault(path, "", "a folder without .json or .txt files", "OpenPose's or YOLO's output", "name a file in it")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix != ".json":
        known = ", ".join([".json", *SUFFIXES])
        fault(path, "", f"suffix {suffix!r}", f"one of {known}", "rename it, or say --format")
    return _format_of_json(read_json(path))


def _format_of_json(data: Any) -> str:
    if isinstance(data, dict) and "people" in data:
        return "openpose"
    first = data[0] if isinstance(data, list) and data else data
    landmarks = isinstance(first, dict) and ("frames" in first or any(name in first for name in NAMES))
    return "mediapipe" if landmarks or (isinstance(first, dict) and {"x", "y"} <= first.keys()) else "coco"
