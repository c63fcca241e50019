"""ITES: lifting 2D human keypoints to 3D with no 3D labels, as a small readable package.

Data flows one way: ``skeleton`` and ``camera`` know geometry; ``data`` knows recordings; ``models``
and ``losses`` know tensors; ``training`` and ``evaluation`` join them; ``cli`` is the command line.

    ites_core.lift("keypoints.json")    your keypoints in, 3D poses out (:func:`ites_core.lifting.lift`)
    ites_core.load("ites-ts")           a trained network (:func:`ites_core.weights.load`)
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Found in their modules when first asked for, so that importing the package stays light.
_LAZY = {"lift": "ites_core.lifting", "load": "ites_core.weights"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
