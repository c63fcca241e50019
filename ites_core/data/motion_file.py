"""What every reader of motion-capture files needs: lines with their place, turns, limits, joint sets (chapter 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

MAX_BYTES = 128 << 20  # a larger file is refused; the longest recording of CMU has about 20 MB
MAX_LINE = 1 << 20  # characters; one line is all that is held as text
MAX_JOINTS = 500
MAX_POINTS = 1 << 24  # frames times joints: more than an hour of 31 joints at 120 Hz


@dataclass(frozen=True)
class Line:
    """One line of a motion file: its words, and where it stands, for messages (chapter 1)."""

    path: Path
    number: int
    words: list[str]

    def fault(self, expected: str, cure: str = "repair the line or fetch the file again") -> NoReturn:
        """Refuse the file at this line; the message names it, what it holds, what is expected and what to do.

        Raises:
            ItesError: always.
        """
        text = " ".join(self.words[:20])
        text = text if len(text) <= 60 else text[:57] + "..."
        raise ItesError(f"{self.path}: line {self.number}: found {text!r}, expected {expected}; {cure}")

    def numbers(self, skip: int, count: int, what: str) -> list[float]:
        """The numbers after the first ``skip`` words: exactly ``count`` of them, all finite.

        Raises:
            ItesError: another count, a word that is no number, NaN or infinity.
        """
        words = self.words[skip:]
        if len(words) != count:
            self.fault(f"{count} numbers ({what}), not {len(words)}")
        try:
            values = [float(word) for word in words]
        except ValueError:
            self.fault(f"numbers ({what})")
        if not all(map(math.isfinite, values)):
            self.fault(f"finite numbers ({what})")
        return values


def read_lines(path: str | Path, max_bytes: int = MAX_BYTES) -> Iterator[Line]:
    """The lines of a motion file that are neither empty nor a comment, one at a time (chapter 1).

    The formats are ASCII, but comments and paths within them may be in any old encoding: bytes are read as Latin-1.

    Raises:
        ItesError: no such file, a folder, unreadable, larger than ``max_bytes``, or not text.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ItesError(f"{path}: found {size >> 20} MiB, expected at most {max_bytes >> 20}; split the file")
        with path.open(encoding="latin-1") as file:
            number = 0
            while text := file.readline(MAX_LINE):
                number += 1
                if "\0" in text or len(text) == MAX_LINE:
                    raise ItesError(
                        f"{path}: line {number}: found binary data or an endless line, expected text; "
                        "this is no motion file, or a damaged one: fetch it again"
                    )
                words = text.split()
                if words and not words[0].startswith("#"):
                    yield Line(path, number, words)
    except OSError as error:
        raise ItesError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def rotation_matrices(axes: str, angles: Tensor) -> Tensor:
    """Turns about fixed axes, one after the other: angles (..., n) in radians to (..., 3, 3) (chapter 1).

    ``axes`` names the n axes in the order of the turns: "xyz" turns about x first and gives Rz Ry Rx.
    """
    total = torch.eye(3, dtype=angles.dtype).expand(*angles.shape[:-1], 3, 3)
    for axis, angle in zip(axes, angles.unbind(-1), strict=True):
        k = "xyz".index(axis)
        i, j = (k + 1) % 3, (k + 2) % 3
        turn = torch.zeros(*angle.shape, 3, 3, dtype=angles.dtype)
        turn[..., k, k] = 1.0
        turn[..., i, i] = turn[..., j, j] = angle.cos()
        turn[..., j, i] = angle.sin()
        turn[..., i, j] = -angle.sin()
        total = turn @ total
    return total


def check_size(frames: int, joints: int, source: str) -> None:
    """Refuse a motion whose positions would not fit in memory (chapter 1).

    Raises:
        ItesError: more than MAX_POINTS positions.
    """
    if frames * joints > MAX_POINTS:
        raise ItesError(
            f"{source}: found {frames} frames of {joints} joints, expected at most {MAX_POINTS} positions in all; "
            "split the recording"
        )


def finite_positions(places: Sequence[Tensor], metres_per_unit: float, source: str) -> Tensor:
    """J joints (F, 3) in file units, stacked to (F, J, 3) float32 in metres (chapter 1).

    Raises:
        ItesError: the scale is no positive number, or a position overflows.
    """
    if not 0 < metres_per_unit < math.inf:
        raise ItesError(f"{source}: metres per unit: found {metres_per_unit}, expected a positive number")
    positions = (torch.stack(list(places), dim=1) * metres_per_unit).float()
    if not torch.isfinite(positions).all():
        frame = int((~torch.isfinite(positions)).nonzero()[0, 0])
        raise ItesError(f"{source}: frame {frame + 1}: a joint is infinitely far away; repair or drop the frame")
    return positions


def select_h36m17(
    joints: Sequence[str], positions: Tensor, tables: Sequence[Mapping[str, tuple[str, ...]]], source: str
) -> Tensor:
    """The 17 joints of H36M17 out of named ones: (F, J, 3) to (F, 17, 3), same unit (chapter 1).

    Args:
        joints: names of the J joints.
        positions: (F, J, 3).
        tables: for each naming that is known, the joints whose mean is each joint of H36M17.
        source: file, for messages.

    Raises:
        ItesError: joints of the best-fitting naming are missing.
    """
    place = {name: j for j, name in enumerate(joints)}
    missing = [sorted({n for names in t.values() for n in names} - place.keys()) for t in tables]
    best = min(range(len(tables)), key=lambda t: len(missing[t]))
    if missing[best]:
        lacking, there = ", ".join(missing[best]), ", ".join(joints)
        lacking, there = (t if len(t) <= 600 else t[:597] + "..." for t in (lacking, there))
        raise ItesError(
            f"{source}: found the joints {there!r}; expected also {lacking}; "
            "rename the joints in the file, or map them yourself with select_h36m17"
        )
    columns = [positions[:, [place[n] for n in tables[best][joint]]].mean(dim=1) for joint in H36M17.joints]
    return torch.stack(columns, dim=1)
