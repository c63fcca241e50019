"""Results on disk: one artefact a run, ``results/<data>/<scale>/<system>-<seed>.json``, and how to read them back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ites_core.errors import ItesError
from ites_core.experiments.systems import SYSTEMS, Scale
from ites_core.files import in_place, reason

RESULTS = Path(__file__).resolve().parents[2] / "results"
FIELDS = (
    "system",
    "data",
    "scale",
    "seed",
    "config",
    "parameters",
    "metrics",
    "views",
    "better_mirrored",
    "provenance",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the results of one data set at one scale stand.

    Attributes:
        data: name of the data set, see ``ites data list``.
        scale: see :mod:`ites_core.experiments.systems`.
        results: folder of all artefacts.
    """

    data: str = "cmu17"
    scale: Scale = "small"
    results: Path = RESULTS

    @property
    def folder(self) -> Path:
        """Folder of the artefacts."""
        return self.results / self.data / self.scale

    def artefact(self, system: str, seed: int) -> Path:
        """The file of one run.

        Raises:
            ItesError: a system whose name would lead to another folder.
        """
        file = self.folder / f"{slug(system)}-{seed}.json"
        if file.parent != self.folder:
            raise ItesError(f"system {system!r}: expected a name without a path")
        return file

    def complete(self, system: str, seed: int) -> bool:
        """Whether a run is stored with all that is scored today; older ones lack the scores elsewhere."""
        file = self.artefact(system, seed)
        return file.is_file() and "elsewhere" in read_row(file)

    def rows(self, *systems: str) -> list[Row]:
        """The stored runs, ordered by system and seed; of all systems if none is named. Empty if there is none.

        Raises:
            ItesError: an artefact that cannot be read.
        """
        if not self.folder.is_dir():
            return []
        files = sorted(self.folder.iterdir())
        found: list[Row] = []
        for system in systems or tuple(SYSTEMS):
            name = re.compile(rf"{re.escape(slug(system))}-(\d+)\.json")
            seeds = {int(match[1]): file for file in files if (match := name.fullmatch(file.name))}
            found += [read_row(seeds[seed]) for seed in sorted(seeds)]
        return found


def read_row(file: Path) -> Row:
    """One stored run.

    Raises:
        ItesError: not readable, or not what a run leaves behind.
    """
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        missing = [name for name in FIELDS if name not in row]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ItesError(f"{file}: not readable ({error}); delete it and run the experiment again") from error
    if not isinstance(row, dict) or missing:
        raise ItesError(f"{file}: holds no {', '.join(missing) or 'run'}; delete it and run the experiment again")
    try:
        in_words(row)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ItesError(f"{file}: a figure is missing or no number ({error!r}); run the experiment again") from error
    return row


def at_one_scale(*systems: str, data: str = "cmu17") -> tuple[Scale, list[Row]]:
    """Stored runs that may be compared with one another: all at ``small``, or all at ``brief`` if it has more systems.

    Args:
        systems: names of systems; all if none is named.
        data: name of the data set.

    Returns:
        The scale, and its rows; no rows if nothing is stored. Chapters 3 and 4 say in words which scale it is.
    """
    scales: tuple[Scale, Scale] = ("small", "brief")
    found = {scale: Place(data, scale).rows(*systems) for scale in scales}
    best = max(scales, key=lambda scale: len({row["system"] for row in found[scale]}))  # the first of equals
    return best, found[best]


def slug(system: str) -> str:
    """A system's name as part of a file name."""
    return system.replace(" ", "-").replace("=", "")


def write_row(row: Row, place: Place) -> None:
    """Write one run's artefact; a reader never sees half of one."""
    write_json(row, place.artefact(row["system"], row["seed"]))


def write_json(row: Row, file: Path) -> None:
    """JSON with a line a field: small, and a change shows where it is; the folder is made if it is missing.

    Raises:
        ItesError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ItesError(f"{file.parent}: cannot be made ({reason(error)}); choose another folder") from error
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in row.items())
    with in_place(file, "make room, then run the same command again: what is finished is kept") as beside:
        beside.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def in_words(row: Row) -> str:
    """One run in a line."""
    seconds, plain, oracle, mirrored = figures(row)
    return (
        f"P-MPJPE {plain:.1f} mm, {oracle:.1f} with the oracle flip, {mirrored:.1f} % better mirrored, {seconds:.0f} s"
    )


def figures(row: Row) -> tuple[float, float, float, float]:
    """Of one run: seconds, P-MPJPE in mm without and with the oracle flip, percent of views better mirrored."""
    error = row["metrics"]["P-MPJPE"]
    mirrored = 100 * row["better_mirrored"] / row["views"]
    return row["provenance"]["seconds"], error["no_oracle"], error["oracle_flip"], mirrored


def summary(rows: Sequence[Row]) -> str:
    """One line a system: seeds, median seconds, median P-MPJPE in both columns, median share better mirrored."""
    names = list(dict.fromkeys(row["system"] for row in rows))
    width = 2 + max((len(name) for name in names), default=6)
    lines = [f"{'system':{width}s} seeds  seconds  no oracle  oracle flip  better mirrored"]
    for name in names:
        mine = [figures(row) for row in rows if row["system"] == name]
        seconds, plain, oracle, share = (median(column) for column in zip(*mine, strict=True))
        lines.append(f"{name:{width}s} {len(mine):5d} {seconds:8.0f} {plain:10.1f} {oracle:12.1f} {share:14.1f} %")
    return "\n".join(lines)
