"""Finding motion by name: a file, a data set of the shared data folder, or the embedded sampler (chapters 1 and 5)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ites_core.data.archive import load_archive
from ites_core.data.recorded import ViewArchive
from ites_core.data.sampler import PoseSampler
from ites_core.data.views import Motion
from ites_core.errors import ItesError

SAMPLER = "sampler"  # the name that stands for the embedded pose sampler wherever data is named


def data_home() -> Path:
    """The folder of data sets: ``ITES_DATA``, without that variable ``../shared/data`` beside the repository."""
    folder = os.environ.get("ITES_DATA")
    return Path(folder) if folder else Path(__file__).resolve().parents[2].parent / "shared" / "data"


def find_data(name: str) -> Path | None:
    """Path of a data file such as ``"cmu17.npz"`` in :func:`data_home`, or None where it is not present."""
    path = data_home() / name
    return path if path.is_file() else None


def _human36m(detections: str) -> Callable[[Path], ViewArchive]:
    def read(file: Path) -> ViewArchive:
        from ites_core.data.human36m import read_human36m

        return read_human36m(file.parent, "cpn" if detections == "cpn" else "gt")

    return read


def _mpi_inf_3dhp(file: Path) -> ViewArchive:
    from ites_core.data.mpi_inf_3dhp import read_mpi_inf_3dhp

    return read_mpi_inf_3dhp(file.parent.parent)


def _coco(file: Path) -> ViewArchive:
    from ites_core.data.keypoints import read_coco_keypoints

    return read_coco_keypoints(file)


def _openpose_clip(file: Path) -> ViewArchive:
    from ites_core.data.keypoints import read_openpose_clip

    return read_openpose_clip(file)


# Name: the file by which a data set is recognised, in the data folder, and what reads it.
NAMED: dict[str, tuple[str, Callable[[Path], Motion]]] = {
    "cmu17": ("cmu17.npz", load_archive),
    "hdm05_17": ("hdm05_17.npz", load_archive),
    "h36m": ("human36m/data_3d_h36m.npz", _human36m("gt")),
    "h36m-cpn": ("human36m/data_3d_h36m.npz", _human36m("cpn")),
    "mpi-inf-3dhp": ("mpi_inf_3dhp_test_set/TS1/annot_data.mat", _mpi_inf_3dhp),
    "coco": ("coco2017_fullbody.npz", _coco),
    "openpose-clip": ("pose2sim_balancing_4view.npz", _openpose_clip),
}


def is_here(name: str) -> bool:
    """Whether a named data set is in the data folder."""
    return name in NAMED and find_data(NAMED[name][0]) is not None


def load_motion(data: str | None = None) -> Motion:
    """Motion to learn from or to be scored on.

    Args:
        data: path of a mocap archive (.npz); the name of a data set that is in the data folder, such as ``"cmu17"`` or
            ``"h36m"``; ``"sampler"``; or None for cmu17 where it is here and the sampler otherwise.

    Raises:
        ItesError: a named data set that is not here; else as the reader of the data.
    """
    if data is None:
        data = "cmu17" if is_here("cmu17") else SAMPLER
    if data == SAMPLER:
        return PoseSampler.embedded().archive()
    if data in NAMED:
        file, read = NAMED[data]
        path = find_data(file)
        if path is None:
            raise ItesError(
                f"data set {data}: {data_home() / file} is missing; `ites data list` says how to get it, "
                "and the environment variable ITES_DATA names another folder"
            )
        return read(path)
    return load_archive(data)
