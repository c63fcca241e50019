"""COCO's own annotation files to the small archive that :func:`ites_core.data.keypoints.read_coco_keypoints` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ites_core.data.joint_sets import COCO17, COCO17_TO_H36M17
from ites_core.errors import ItesError
from ites_core.files import in_place

SPLITS = ("train", "val")
TOO_LARGE = 4 << 30  # bytes of JSON; the real files have a quarter of a gigabyte


def convert_coco(folder: str | Path, out: str | Path) -> int:
    """Write the keypoints of people who are wholly annotated into one archive; the number of people. Chapter 6.

    Args:
        folder: holds ``annotations/person_keypoints_train2017.json``, or the one of ``val``, or both; as COCO's zip
            file unpacks.
        out: the archive to write (.npz). Crowds, and people of whom a needed keypoint is not marked, are left out.

    Raises:
        ItesError: neither file there, a damaged one, an annotation without the usual fields, nobody left, or the
            archive cannot be written.

    Source: Lin et al., "Microsoft COCO", ECCV 2014; https://cocodataset.org/#format-data.
    """
    folder, out = Path(folder), Path(out)
    files = {split: folder / "annotations" / f"person_keypoints_{split}2017.json" for split in SPLITS}
    here = {split: file for split, file in files.items() if file.is_file()}
    if not here:
        raise ItesError(
            f"{folder}: found neither {' nor '.join(str(f) for f in files.values())}; unpack COCO's zip here"
        )
    needed = COCO17_TO_H36M17.any(axis=0)
    keypoints, images, val = [], [], []
    for split, file in here.items():
        for index, person in enumerate(_annotations(file)):
            found = _person(person, file, index)
            if found is not None and (found[needed, 2] >= 1).all():
                keypoints.append(found)
                images.append(int(person["image_id"]))
                val.append(split == "val")
    if not keypoints:
        raise ItesError(f"{folder}: nobody has all needed keypoints marked; are these COCO's person_keypoints files?")
    with in_place(Path(out)) as beside, beside.open("wb") as opened:
        np.savez_compressed(
            opened,
            keypoints=np.stack(keypoints).astype(np.float32),
            image_id=np.array(images, dtype=np.int64),
            is_val=np.array(val),
            size_ambiguous=np.zeros(len(val), dtype=bool),  # pixels are pixels in COCO's own files
            joint_names=np.array(COCO17),
        )
    return len(keypoints)


def _annotations(file: Path) -> list[Any]:
    try:
        if file.stat().st_size > TOO_LARGE:
            raise ItesError(f"{file}: larger than {TOO_LARGE >> 30} GiB; refused")
        with file.open(encoding="utf-8") as opened:
            top = json.load(opened)
    except (OSError, ValueError, RecursionError) as error:
        raise ItesError(f"{file}: not a readable JSON file ({error!r:.80}); fetch it again") from error
    found = top.get("annotations") if isinstance(top, dict) else None
    if not isinstance(found, list):
        raise ItesError(f"{file}: found no list 'annotations'; expected COCO's format")
    return found


def _person(person: Any, file: Path, index: int) -> np.ndarray | None:
    """Keypoints (17, 3) of one annotation; None for a crowd, or where none is marked."""
    where = f"{file}: annotation {index}"
    if not isinstance(person, dict) or not isinstance(person.get("image_id"), int) or abs(person["image_id"]) >> 62:
        raise ItesError(f"{where}: expected an object with image_id, a whole number of less than 63 bits")
    if person.get("iscrowd", 0) or not person.get("num_keypoints", 1):
        return None
    try:
        found = np.array(person.get("keypoints"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.shape != (51,) or not np.isfinite(found).all() or abs(found).max() > 1e6:
        raise ItesError(f"{where}: keypoints: expected 51 numbers, x, y and visibility of 17 keypoints")
    return found.reshape(17, 3)
