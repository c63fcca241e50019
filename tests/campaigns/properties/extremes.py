"""Any numbers at all: what comes out is finite, or an ItesError says what was found. Deviation 1 is neither."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from ites_core.camera import Intrinsics, Normalisation
from ites_core.checkpoint import Run, build_model
from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data.joint_sets import KEYPOINT_SETS
from ites_core.errors import ItesError
from ites_core.export import bvh, gltf, tables
from ites_core.export.rig import rigs
from ites_core.factorisation import mean_body
from ites_core.lifting import lift, plausibility
from ites_core.metrics import better_mirrored, procrustes_align
from ites_core.priors import facing
from ites_core.skeleton import H36M17
from tests.campaigns.properties.base import Property
from tests.campaigns.properties.metrics import METRICS

CONFIGS: dict[str, TeacherConfig | StudentConfig] = {
    "teacher": teacher_config("smoke"),
    "C3DPO": teacher_config("smoke", network="c3dpo"),
    "student": student_config("smoke"),
    "SemGCN": student_config("smoke", network="semgcn"),
}


@cache
def run_of(name: str) -> Run:
    """A small network with random weights: what surrounds it needs no training."""
    torch.manual_seed(3)
    model = build_model(CONFIGS[name], H36M17).eval()
    return Run(model, CONFIGS[name], Normalisation(1.8, 0.6), H36M17, seed=0)


def finite_or_refused(call: Callable[[], Any]) -> float:
    """0 if the tensors, arrays and texts of the answer are finite, or an ItesError of one line comes; else 1."""
    try:
        answer = call()
    except ItesError as error:
        return float(len(str(error)) < 20 or "\n" in str(error))
    parts = answer if isinstance(answer, tuple | list) else (answer,)
    return float(not all(finite(part) for part in parts))


def finite(part: Tensor | np.ndarray | str | float) -> bool:
    """Whether an answer holds finite numbers only; in texts, no word for the others."""
    if isinstance(part, str):
        return not any(word in part.lower() for word in ("nan", "inf"))
    return bool(torch.as_tensor(part).isfinite().all())


def any_numbers(*shape: int, width: int = 64) -> st.SearchStrategy[np.ndarray]:
    """Arrays of any floating-point numbers, among them NaN, the infinities, 0 and the largest and least."""
    dtype = np.float64 if width == 64 else np.float32
    special = [0.0, 1e-40, 1.0, 1e6, 1e15, 1e30, 3e38, np.inf, np.nan]
    entry = st.floats(width=width) | st.floats(-1e3, 1e3, width=width) | st.sampled_from(special)
    return hnp.arrays(dtype, shape, elements=entry.map(dtype), fill=st.nothing()) | hnp.arrays(
        dtype, shape, elements=st.floats(-1e6, 1e6, width=width), fill=st.sampled_from(special).map(dtype)
    )


def networks(name: str, image: np.ndarray) -> float:
    """Run.lift on two pictures of any numbers."""
    return finite_or_refused(lambda: run_of(name).lift(torch.from_numpy(image)))


def lifted(pixels: np.ndarray, kind: str, focal: float, centre: float) -> float:
    """lift() on three people with any numbers for pixels and camera, and each file format of what it gives."""

    def call() -> list[Any]:
        camera = None if focal == 0 else Intrinsics(focal, focal, centre, centre)
        x = pixels[:, : len(KEYPOINT_SETS[kind])]
        found = lift(x, joints=kind, weights=run_of("student"), intrinsics=camera)
        done = found.done
        moved = rigs(found)
        files = [tables.csv_text(found), tables.json_text(found), *(bvh.bvh_text(rig) for rig in moved)]
        assert tables.npz_bytes(found) and gltf.gltf_bytes(moved)
        return [found.pose[done], found.picture[done], found.metres_per_pixel[done], *files]

    return finite_or_refused(call)


def scores(prediction: np.ndarray, target: np.ndarray) -> float:
    """Every metric of poses of any numbers; up to 1e15 metres, errors are finite; beyond, they may overflow."""
    p, t = torch.from_numpy(prediction), torch.from_numpy(target)
    within = bool((p.abs() < 1e15).all() and (t.abs() < 1e15).all())
    bad = 0.0
    for metric in METRICS.values():
        bad += finite_or_refused(lambda metric=metric: metric(p, t) if within else metric(p, t).nan_to_num(0, 0, 0))
    bad += finite_or_refused(lambda: procrustes_align(p, t).rotation)
    return bad + finite_or_refused(lambda: better_mirrored(p, t))


def normalised(image: np.ndarray) -> float:
    """The normalisation and the first body of three pictures of numbers up to 1e15, or not finite."""
    x = torch.from_numpy(image)
    x = x.clamp(-1e15, 1e15).where(x.isfinite(), x)
    factor = finite_or_refused(lambda: [Normalisation.fit(x, 4.0).factor, Normalisation.fit(x, 4.0).metres_per_unit])
    return factor + finite_or_refused(lambda: mean_body(x, H36M17))


def questions(pose: np.ndarray) -> float:
    """Plausibility of finite poses of up to 1e6 metres, joints in one point included."""
    x = torch.from_numpy(pose).nan_to_num(0.0, 0.0, 0.0).clamp(-1e6, 1e6)
    asked = (
        plausibility.limb_asymmetry,
        plausibility.trunk_tilt,
        plausibility.turns_right,
        partial(facing, skeleton=H36M17),
    )
    return sum(finite_or_refused(lambda ask=ask: ask(x)) for ask in asked)


KINDS = st.sampled_from(list(KEYPOINT_SETS))
FOCALS = st.sampled_from([0.0, 1e-300, 1e-30, 1e-3, 1.0, 1e3, 1e9, 1e30, 1e300, np.inf, np.nan, -1.0]) | st.floats()

PROPERTIES = [
    *(
        Property(f"any picture: {name}", 0.0, (any_numbers(2, 17, 2, width=32),), partial(networks, name), cost=4)
        for name in CONFIGS
    ),
    Property(
        "any keypoints and camera: lift and files",
        0.0,
        (any_numbers(3, 33, 2), KINDS, FOCALS, st.sampled_from([0.0, 1e6, np.nan]) | st.floats()),
        lifted,
        cost=8,
    ),
    *(
        Property(
            f"any poses: metrics, float{width}",
            0.0,
            (any_numbers(2, 17, 3, width=width), any_numbers(2, 17, 3, width=width)),
            scores,
            cost=2,
        )
        for width in (32, 64)
    ),
    Property("any pictures: normalisation, first body", 0.0, (any_numbers(3, 17, 2, width=32),), normalised),
    Property("any poses: plausibility", 0.0, (any_numbers(2, 17, 3, width=32),), questions),
]
