"""Your own keypoints in, 3D poses out: readers, the size of a person, unseen joints, lifting (chapter 7)."""

from ites_core.lifting.lift import Lifted, lift
from ites_core.lifting.people import People
from ites_core.lifting.read import read_people

__all__ = ["Lifted", "People", "lift", "read_people"]
