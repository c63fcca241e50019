"""What every reader of keypoints needs: files and their faults, numbers of JSON, people put together (chapter 7)."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ites_core.data.joint_sets import KEYPOINT_SETS, KeypointSet, keypoint_set
from ites_core.errors import ItesError
from ites_core.lifting.people import UNKNOWN, People

MAX_BYTES = 1 << 30  # a larger text file is refused
# Sets that begin with COCO's 17: COCO-WholeBody and Halpe.
BEGIN_WITH_COCO17 = (26, 133, 136)


def fault(path: Path, place: str, found: object, expected: str, cure: str) -> NoReturn:
    """Refuse a file in one line.

    Raises:
        ItesError: always.
    """
    text = " ".join(str(found).split())
    text = text if len(text) <= 80 else text[:77] + "..."
    raise ItesError(f"{path}: {place + ': ' if place else ''}found {text}, expected {expected}; {cure}")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ItesError: missing, a folder, not UTF-8, too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            fault(path, "", f"{size >> 20} MiB", f"at most {MAX_BYTES >> 20}", "split the file")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItesError(
            f"{path}: found bytes that are no UTF-8 text ({error.reason}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise ItesError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ItesError: as :func:`read_text`; or no JSON, for example because the file is truncated.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ItesError(
            f"{path}: line {error.lineno}, column {error.colno}: found no valid JSON ({error.msg}), expected a "
            "complete JSON file; it may be truncated, export it again"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ItesError(f"{path}: found JSON that cannot be read ({error}); export it again") from None


def floats(values: Any, path: Path, place: str, what: str) -> np.ndarray:
    """A list of numbers, or of lists of numbers, as float64; null becomes NaN.

    Raises:
        ItesError: something else.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        fault(path, place, reprlib.repr(values), f"numbers ({what})", "export the file again")


def integer(value: Any, otherwise: int) -> int:
    """A whole number of at least 0 that fits into 62 bits, else ``otherwise``."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else otherwise


def set_of_count(count: int, joints: str | None, assumed: dict[int, str], path: Path) -> tuple[KeypointSet, int]:
    """The keypoint set of a file that does not name its keypoints, and how many of them to take.

    Args:
        count: keypoints a person.
        joints: what the user says; None for ``assumed``.
        assumed: count -> name of the set that the format means by it.
        path: for the message.

    Raises:
        ItesError: no set has so many keypoints, or another than the user says.
    """
    cure = f"name the set with --joints ({', '.join(KEYPOINT_SETS)})"
    if joints is not None:
        chosen = keypoint_set(joints)
        trimmed = chosen.name == "coco17" and count in BEGIN_WITH_COCO17
        if len(chosen) != count and not trimmed:
            fault(path, "", f"{count} keypoints a person", f"the {len(chosen)} of {chosen.name}", cure)
        return chosen, len(chosen)
    if count in BEGIN_WITH_COCO17 and 17 in assumed:
        return keypoint_set("coco17"), 17
    if count not in assumed:
        known = ", ".join(f"{name} ({n})" for n, name in assumed.items())
        fault(path, "", f"{count} keypoints a person", f"a known set: {known}", cure)
    return keypoint_set(assumed[count]), count


@dataclass
class Gathered:
    """People of a file, one after the other, on their way to :class:`People`."""

    path: Path
    xy: list[np.ndarray] = field(default_factory=list)  # each (K, 2)
    score: list[np.ndarray] = field(default_factory=list)  # each (K,)
    frame: list[int] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    images: dict[int, str] = field(default_factory=dict)

    def add(self, xy: np.ndarray, score: np.ndarray, frame: int, person: int = UNKNOWN, image: str = "") -> None:
        """One person: (K, 2) pixels and (K,) scores.

        Raises:
            ItesError: another shape than the person before.
        """
        if xy.shape != (len(score), 2) or (self.xy and xy.shape != self.xy[0].shape):
            expected = self.xy[0].shape if self.xy else "(keypoints, 2)"
            fault(
                self.path,
                f"person {len(self.xy)}",
                f"keypoints {xy.shape} with {len(score)} scores",
                f"the same number for everybody, here {expected}",
                "export people of one keypoint set only",
            )
        self.xy.append(xy)
        self.score.append(score)
        self.frame.append(frame)
        self.person.append(person)
        self.images.setdefault(frame, image or str(frame))

    def people(self, joints: str | None, assumed: dict[int, str], **about: Any) -> People:
        """All of them.

        Raises:
            ItesError: nobody, an unknown keypoint set, or as :class:`People`.
        """
        if not self.xy:
            fault(self.path, "", "no person", "at least one", "check the detector's output")
        found, count = set_of_count(len(self.score[0]), joints, assumed, self.path)
        return People(
            keypoints=np.stack(self.xy)[:, :count],
            score=np.stack(self.score)[:, :count],
            joints=found,
            frame=np.array(self.frame, dtype=np.int64),
            person=np.array(self.person, dtype=np.int64),
            images=self.images,
            source=str(self.path),
            **about,
        )


def number_frames(keys: Sequence[Any]) -> list[int]:
    """A number for each frame's key: itself if all are whole numbers, else the order of first appearance."""
    if all(integer(key, -1) >= 0 for key in keys):
        return list(keys)
    order: dict[str, int] = {}
    return [order.setdefault(name_of(key), len(order)) for key in keys]


def name_of(key: Any) -> str:
    """A frame's key as text; of what should not be a key, only the beginning."""
    return str(key) if isinstance(key, str | int | float) else reprlib.repr(key)


def found_or_zero(xy: np.ndarray) -> np.ndarray:
    """Scores (K,) of keypoints that have none: 1, and 0 for those at exactly (0, 0), as exports mark missing ones."""
    return (xy != 0).any(axis=-1).astype(np.float64)
