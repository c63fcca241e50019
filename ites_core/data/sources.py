"""Finding motion: a file, the shared data folder, or the embedded sampler (chapter 1)."""

from __future__ import annotations

import os
from pathlib import Path

from ites_core.data.archive import MocapArchive, load_archive
from ites_core.data.sampler import PoseSampler

SAMPLER = "sampler"  # the name that stands for the embedded pose sampler wherever data is named


def find_data(name: str) -> Path | None:
    """Path of a data file such as ``"cmu17.npz"``, or None where it is not present.

    Looks in the folder named by the environment variable ``ITES_DATA``; without that variable, in
    ``../shared/data`` beside the repository.
    """
    folder = os.environ.get("ITES_DATA")
    base = Path(folder) if folder else Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = base / name
    return path if path.is_file() else None


def load_motion(data: str | None = None) -> MocapArchive:
    """Motion to learn from: a file, the sampler, or (None) the best that is here.

    Args:
        data: path of a mocap archive, ``"sampler"``, or None for cmu17 where :func:`find_data`
            finds it and the sampler otherwise.

    Raises:
        ItesError: as :func:`ites_core.data.archive.load_archive`.
    """
    if data is None:
        found = find_data("cmu17.npz")
        data = str(found) if found else SAMPLER
    return PoseSampler.embedded().archive() if data == SAMPLER else load_archive(data)
