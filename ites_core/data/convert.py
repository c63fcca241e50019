"""A folder of motion-capture files to one mocap archive (chapter 1)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ites_core.data.archive import MocapArchive
from ites_core.data.asf_amc import AcclaimSkeleton, load_amc, read_asf
from ites_core.data.bvh import CENTIMETRE, bvh_positions, bvh_to_h36m17, read_bvh
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

LEGS = (0.4, 1.3)  # metres from hip to ankle; a child of three and the tallest of men lie within


def convert_folder(
    folder: str | Path,
    *,
    fps: float = 24.0,
    test_subjects: Sequence[str] = (),
    metres_per_unit: float | None = None,
    amc_fps: float = 120.0,
    progress: bool = True,
) -> tuple[MocapArchive, list[tuple[Path, str]]]:
    """Read every AMC and BVH file in a folder and its subfolders (chapter 1).

    The subject is the file name up to the first ``_`` (``35_05.amc``; ``HDM_bd_01-01_01_120.amc`` of HDM05 has the
    subject ``bd``). Its skeleton is the ASF file whose name the AMC's begins with (``35.asf``, ``HDM_bd.asf``),
    beside it or else anywhere in the folder. A table ``actions.csv`` in the folder with the columns ``name`` (file
    name without ending) and ``action`` names actions; the others are "unknown". The reference pose that CMU's BVH
    files begin with is left out.

    Args:
        folder: where the files are, all in one place or one folder a subject.
        fps: frames a second to come near to. Every n-th frame is kept and none is made up, so that 100 frames a
            second become 25; the archive says which rate each sequence has.
        test_subjects: subjects of the split ``test``, as they stand in the file names; all others are ``train``.
        metres_per_unit: overrides what ASF files say, and centimetres for BVH files.
        amc_fps: frames a second of AMC files, which do not say it; 120 for HDM05 and most of CMU.
        progress: show a progress bar.

    Returns:
        The archive (17 joints, metres, y up; kind ``amc`` or ``bvh``) and, for every file that could not be read, its
        path and the reason.

    Raises:
        ItesError: no such folder, no file in it can be read, a damaged ``actions.csv``, a rate that is not positive,
            a test subject of whom no file was read.
    """
    folder = Path(folder)
    for name, rate in (("fps", fps), ("amc_fps", amc_fps)):
        if not 0 < rate < math.inf:
            raise ItesError(f"{name}: found {rate}, expected a positive number of frames a second")
    if not folder.is_dir():
        raise ItesError(
            f"{folder}: found no such folder, expected one with .amc and .asf or .bvh files; check the path"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    skeleton_files = [path for path in files if path.suffix.lower() == ".asf"]
    motion_files = [path for path in files if path.suffix.lower() in (".amc", ".bvh")]
    actions = _actions(folder / "actions.csv")
    skeletons: dict[Path, AcclaimSkeleton] = {}
    sequences: dict[str, tuple[Tensor, float, str]] = {}
    failures: list[tuple[Path, str]] = []
    for path in tqdm(motion_files, unit="file", disable=not progress):
        try:
            if path.stem in sequences:
                raise ItesError(f"{path}: found a second recording of that name, expected one; rename it")
            if path.suffix.lower() == ".amc":
                skeleton = _skeleton(path, skeleton_files, skeletons)
                step = max(1, round(amc_fps / fps))
                sequence = load_amc(path, skeleton, metres_per_unit, step), amc_fps / step, "amc"
            else:
                sequence = *_load_bvh(path, fps, metres_per_unit), "bvh"
            _check_legs(sequence[0], path)
        except ItesError as error:
            failures.append((path, str(error)))
        else:
            sequences[path.stem] = sequence
    if not sequences:
        reason = f"; the first: {failures[0][1]}" if failures else ", expected at least one"
        raise ItesError(f"{folder}: found {len(motion_files)} .amc and .bvh files, none of which can be read{reason}")
    return _archive(folder, sequences, actions, test_subjects), failures


def _archive(
    folder: Path,
    sequences: Mapping[str, tuple[Tensor, float, str]],
    actions: Mapping[str, str],
    test_subjects: Sequence[str],
) -> MocapArchive:
    """The sequences (positions, frames a second, kind) by name, as one archive."""
    names = tuple(sequences)
    subject = tuple(_subject(name) for name in names)
    for wanted in test_subjects:
        if wanted not in subject:
            raise ItesError(
                f"{folder}: test subject {wanted!r}: found no readable file of that subject, expected one of "
                f"{', '.join(sorted(set(subject)))}; correct the list of test subjects"
            )
    motions, fps, kind = zip(*sequences.values(), strict=True)
    lengths = tuple(len(motion) for motion in motions)
    return MocapArchive(
        positions=torch.cat(motions),
        starts=tuple(accumulate(lengths[:-1], initial=0)),
        lengths=lengths,
        names=names,
        subject=subject,
        action=tuple(actions.get(name, "unknown") for name in names),
        kind=kind,
        split=tuple("test" if s in test_subjects else "train" for s in subject),
        fps=tuple(round(f, 3) for f in fps),
        source=str(folder),
    )


def _subject(name: str) -> str:
    """The subject that a recording's name tells: ``35`` of ``35_05``, ``bd`` of ``HDM_bd_01-01_01_120``."""
    return name.removeprefix("HDM_").partition("_")[0]


def _skeleton(path: Path, files: Sequence[Path], known: dict[Path, AcclaimSkeleton]) -> AcclaimSkeleton:
    """The skeleton that an AMC file belongs to; ``known`` keeps what has been read."""
    fitting = [asf for asf in files if path.stem == asf.stem or path.stem.startswith(f"{asf.stem}_")]
    if not fitting:
        raise ItesError(
            f"{path}: found no skeleton, expected {path.stem.rpartition('_')[0] or path.stem}.asf or the like beside "
            "it; an AMC file cannot be read without its ASF"
        )
    best = max(fitting, key=lambda asf: (asf.parent == path.parent, len(asf.stem)))
    if best not in known:
        known[best] = read_asf(best)
    return known[best]


def _load_bvh(path: Path, fps: float, metres_per_unit: float | None) -> tuple[Tensor, float]:
    """Positions (F, 17, 3) in metres of every n-th frame, and the frames a second that this gives."""
    motion = read_bvh(path)
    step = max(1, round(1 / motion.frame_time / fps))
    kept = motion.every(step, start=motion.reference_frames)
    positions = bvh_positions(kept, CENTIMETRE if metres_per_unit is None else metres_per_unit)
    return bvh_to_h36m17(motion, positions), 1 / kept.frame_time


def _check_legs(motion: Tensor, path: Path) -> None:
    """Refuse what is no person, which is nearly always a wrong unit.

    Raises:
        ItesError: the median leg is shorter or longer than any person's.
    """
    knee, ankle = (H36M17.bones.index(bone) for bone in ((1, 2), (2, 3)))
    lengths = H36M17.bone_lengths(motion)
    leg = float((lengths[:, knee] + lengths[:, ankle]).median())
    if not LEGS[0] <= leg <= LEGS[1]:
        raise ItesError(
            f"{path}: found a leg of {leg:.3g} m, expected {LEGS[0]} to {LEGS[1]} m; set metres per unit "
            "(0.01 for centimetres, 0.0564 for the unit of CMU)"
        )


def _actions(path: Path) -> dict[str, str]:
    """The table of actions, empty where there is none."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"name", "action"} <= set(rows.fieldnames or ()):
                raise ItesError(f"{path}: line 1: found {rows.fieldnames}, expected the columns name,action; add them")
            return {row["name"]: row["action"] or "unknown" for row in rows}
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ItesError(f"{path}: not a readable table ({error}); save it as CSV in UTF-8") from error
