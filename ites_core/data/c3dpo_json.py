"""Human3.6M in the JSON files of C3DPO, on which the paper of this book trains and tests (chapter 5).

Layout: ``{"dataset": name, "data": [entry, ...]}``, or the list of entries alone, also under ``"dataset"``. An entry
has ``kp_loc`` (2 rows of J), ``kp_vis`` (J, 1 for visible), ``kp_loc_3d`` (3 rows of J, camera frame, y down) and
``h36m_info`` with ``action_name`` and ``scale``, by which 3D becomes millimetres. The 17 joints come in H36M17's order:
hip; right hip, knee, ankle; left hip, knee, ankle; spine, thorax, neck, head; left arm; right arm.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ites_core.data.recorded import ViewArchive
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

DISTANCE = 5.0  # metres: where the person is taken to stand; the cameras of Human3.6M stand about so far away
SIZES = (0.2, 1.0)  # root mean square distance of a person's joints from the hip, metres, in any pose
MISFIT = 0.3  # what perspective may do, as a share of the size; other joint orders or axes are above 0.5
TOO_LARGE = 8 << 30  # bytes of JSON


def read_c3dpo_json(path: str | Path, split: Literal["train", "test"]) -> ViewArchive:
    """Poses of a C3DPO JSON file with 17 joints. Chapter 5.

    The files neither say where the camera's centre is nor its focal length: C3DPO's camera is orthographic. So the root
    goes to the principal point, and one factor for the whole file turns 2D units into focal length 1: the median over
    views of the least-squares scale from 2D to 3D, divided by an assumed :data:`DISTANCE` of 5 m. People keep the
    relative sizes that the file gives them. Without ``scale`` the 3D joints are taken to be metres.

    Args:
        path: the file, for example ``h36m_train.json``; needs memory of several times its size.
        split: which split all of its views belong to.

    Returns:
        One sequence for each action, one camera; views with an invisible joint are left out.

    Raises:
        ItesError: missing or damaged file, missing fields, another number of joints, numbers that are not finite,
            people of impossible size, or 2D joints that do not lie under the 3D joints (wrong order or axes).

    Source: Novotny et al., "C3DPO", ICCV 2019, and its release, dataset/keypoints_dataset.py and eval_zoo.py.
    """
    path = Path(path)
    entries = _entries(path)
    j = len(H36M17)
    flat, solid, actions = [], [], []
    for i, entry in enumerate(entries):
        if _field(entry, "kp_vis", (j,), path, i).min() <= 0:
            continue
        info = entry.get("h36m_info")
        info = info if isinstance(info, dict) else {}
        scale = info.get("scale", 1000.0)
        if not isinstance(scale, int | float) or not 0 < scale < 1e9:
            raise ItesError(f"{path}: entry {i}: scale: expected a positive number")
        flat.append(_field(entry, "kp_loc", (2, j), path, i).T)
        solid.append(_field(entry, "kp_loc_3d", (3, j), path, i).T * (scale / 1000))
        action = info.get("action_name", "unknown")
        if not isinstance(action, str):
            raise ItesError(f"{path}: entry {i}: action_name: found {type(action).__name__}, expected text")
        actions.append(action)
    if not flat:
        raise ItesError(f"{path}: no entry with all {j} joints visible, of {len(entries)}")
    image, pose = np.stack(flat), np.stack(solid)
    image, pose = image - image[:, :1], pose - pose[:, :1]
    image = image * (_factor(image, pose, path) / DISTANCE)
    names = sorted(set(actions))
    place = {name: k for k, name in enumerate(names)}
    return ViewArchive(
        image=torch.from_numpy(image.astype(np.float32)),
        pose=torch.from_numpy(pose.astype(np.float32)),
        sequence=torch.tensor([place[action] for action in actions]),
        camera=torch.zeros(len(image), dtype=torch.int64),
        names=tuple(f"{path.stem}/{name}" for name in names),
        subject=("",) * len(names),
        action=tuple(names),
        split=(split,) * len(names),
        mean_distance=DISTANCE,
        source=str(path),
    )


def _factor(image: np.ndarray, pose: np.ndarray, path: Path) -> float:
    """Metres for one unit of the 2D joints, after checking that 2D and 3D belong together."""
    low, high = SIZES
    size = float(np.median(np.sqrt((pose**2).sum(-1).mean(-1))))
    if not low < size < high:
        raise ItesError(
            f"{path}: kp_loc_3d: joints lie {size:.3g} m from the hip, expected {low} to {high}; the unit is unknown"
        )
    share = np.einsum("mnc,mnc->m", image, image)
    with np.errstate(all="ignore"):  # what cannot be divided is refused below
        scale = np.einsum("mnc,mnc->m", image, pose[..., :2]) / share
        misfit = np.linalg.norm(image * scale[:, None, None] - pose[..., :2], axis=(1, 2))
        misfit = misfit / np.linalg.norm(pose[..., :2], axis=(1, 2))
    factor = float(np.median(scale))
    if not (factor > 0 and np.median(misfit) < MISFIT and np.isfinite(image * factor).all()):
        raise ItesError(
            f"{path}: kp_loc lies {np.median(misfit):.0%} of the size away from kp_loc_3d, expected less than "
            f"{MISFIT:.0%}; other axes or another joint order"
        )
    if not np.median(image[:, H36M17.head, 1]) < 0:
        raise ItesError(f"{path}: heads are below hips; expected y down, as in pictures")
    return factor


def _entries(path: Path) -> list[Any]:
    """The list of entries; JSON lists of numbers become arrays at once, which need less memory."""
    try:
        if path.stat().st_size > TOO_LARGE:
            raise ItesError(f"{path}: larger than {TOO_LARGE >> 30} GiB; refused")
        with path.open(encoding="utf-8") as file:
            top = json.load(file, object_hook=_compact)
    except FileNotFoundError:
        raise ItesError(f"{path}: no such file; `ites data list` says how to get the data sets") from None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ItesError(f"{path}: not a readable JSON file ({error!r:.80}); fetch it again") from error
    if isinstance(top, dict):
        top = next((top[key] for key in ("data", "dataset") if isinstance(top.get(key), list)), None)
    if not isinstance(top, list) or not all(isinstance(entry, dict) for entry in top):
        raise ItesError(f"{path}: expected a list of entries under 'data'; is this a file of C3DPO?")
    return top


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: np.array(v, dtype=np.float64) if k in ("kp_loc", "kp_vis", "kp_loc_3d") else v for k, v in entry.items()}


def _field(entry: dict[str, Any], name: str, shape: tuple[int, ...], path: Path, index: int) -> np.ndarray:
    """One field of an entry, of that shape and finite."""
    value = entry.get(name)
    if value is None:
        raise ItesError(f"{path}: entry {index}: field {name!r} is missing; found {', '.join(sorted(entry))}")
    if name == "kp_vis" and value.ndim == 2 and len(value) == 1:  # some files have one row
        value = value[0]
    if value.shape != shape or not np.isfinite(value).all():
        raise ItesError(f"{path}: entry {index}: {name}: found shape {value.shape}, expected {shape} of finite numbers")
    return value
