"""Where poses come from: mocap archives, virtual camera views, and the embedded pose sampler."""

from ites_core.data.archive import MocapArchive, load_archive, save_archive
from ites_core.data.recorded import CameraViews, ViewArchive
from ites_core.data.sources import find_data, load_motion
from ites_core.data.views import CameraRing, Motion, make_views

__all__ = [
    "CameraRing",
    "CameraViews",
    "MocapArchive",
    "Motion",
    "ViewArchive",
    "find_data",
    "load_archive",
    "load_motion",
    "make_views",
    "save_archive",
]
