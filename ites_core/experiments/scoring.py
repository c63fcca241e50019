"""What a trained network is scored on, and the artefact that comes of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ites_core.checkpoint import Run
from ites_core.config import Noise, StudentConfig, TeacherConfig
from ites_core.data import Motion, load_motion
from ites_core.data.sources import NAMED, is_here
from ites_core.evaluation import Filmed, Report, evaluate_on, film, lift_test
from ites_core.experiments.artefacts import Place, Row, write_json
from ites_core.experiments.systems import System

# What a network is scored on without retraining, where it is here: for each data set that it learnt from, a label, the
# data set and the errors of the 2D input. None for those that it was trained with. Tables 1 and 2, Figure 7.
ELSEWHERE: dict[str, dict[str, tuple[str, Noise | None]]] = {
    "cmu17": {
        "detected": ("cmu17", "detector"),
        "hdm05_17": ("hdm05_17", None),
        "openpose-clip": ("openpose-clip", "none"),  # real detections have their own errors
    },
    "h36m": {"detected": ("h36m-cpn", "none"), "mpi-inf-3dhp": ("mpi-inf-3dhp", "none")},
}
DETECTED = {"h36m": "h36m-cpn"}  # data sets whose 2D joints were also found by a detector in the pictures
EXAMPLES = ("C3DPO", "teacher", "student", "supervised")  # whose poses Figures 5 and 7 show, of seed 0
EXAMPLES_ELSEWHERE = {"cmu17": ("openpose-clip",), "h36m": ("mpi-inf-3dhp",)}
EXAMPLE_VIEWS = 4


class Setting(NamedTuple):
    """What a system learns from at a place, and with which settings."""

    motion: str  # name of a data set, or "sampler"
    config: TeacherConfig | StudentConfig


def setting(system: System, place: Place) -> Setting:
    """Data and settings of a system: where a data set comes with real detections, they replace the noise model."""
    config = system.config(place.scale)
    if system.motion != "recordings":
        return Setting(system.motion, config)
    if config.noise != "none" and place.data in DETECTED:
        return Setting(DETECTED[place.data], replace(config, noise="none"))
    return Setting(place.data, config)


def missing_data(system: System, place: Place) -> str | None:
    """Name of the data set that a system needs and that is not here; None if it can be trained and scored."""
    needed = (setting(system, place).motion, place.data)
    return next((name for name in needed if name in NAMED and not is_here(name)), None)


def score_run(run: Run, system: System, place: Place, seed: int) -> Row:
    """The artefact of a trained network: scored on the test split and, without retraining, on :data:`ELSEWHERE`.

    Data are read and filmed once a process, so a further run costs its lifting and its metrics alone.

    Args:
        run: the network; for a system ``on the rays`` its teacher.
        system: what it is.
        place: data and scale.
        seed: that it was trained with.

    Raises:
        ItesError: as :func:`ites_core.evaluation.evaluate`.
    """
    motion, config = setting(system, place)
    rays = system.stage == "on the rays"
    own = filmed(motion if system.motion == "recordings" else place.data, config.cameras)
    report = evaluate_on(run, own, on_rays=rays, noise=config.noise)
    row: Row = {
        "system": system.name,
        "data": place.data,
        "scale": place.scale,
        "seed": seed,
        "config": asdict(config),
        "parameters": sum(p.numel() for p in run.model.parameters()),
        **_scores(report),
        "actions": report.actions,
        "elsewhere": {},
    }
    for label, (name, noise) in ELSEWHERE.get(place.data, {}).items():
        if is_here(name):
            test = filmed(name, config.cameras)
            row["elsewhere"][label] = _scores(evaluate_on(run, test, on_rays=rays, noise=noise or config.noise))
    if seed == 0 and system.name in EXAMPLES:
        row["examples"] = {
            name: _millimetres(lift_test(run, example_views(name), on_rays=rays, noise="none"))
            for name in (place.data, *EXAMPLES_ELSEWHERE.get(place.data, ()))
            if name not in NAMED or is_here(name)
        }
    row["provenance"] = run.provenance | report.provenance
    return row


def _scores(report: Report) -> Row:
    return {"metrics": report.metrics, "views": report.views, "better_mirrored": report.better_mirrored}


@lru_cache(maxsize=4)
def motion_named(name: str) -> Motion:
    """:func:`~ites_core.data.sources.load_motion`, once a process."""
    return load_motion(name)


@lru_cache(maxsize=6)
def filmed(name: str, cameras: int = 4) -> Filmed:
    """The test views of a data set, filmed once a process."""
    return film(motion_named(name), cameras=cameras)


def example_views(name: str) -> Filmed:
    """The few views that Figures 5 and 7 show: evenly spaced through the test split, so that nobody picked them."""
    test = filmed(name)
    pick = torch.linspace(0, len(test.views) - 1, EXAMPLE_VIEWS + 2).long()[1:-1]
    views = replace(
        test.views,
        **{field: getattr(test.views, field)[pick] for field in ("image", "pose", "sequence", "camera")},
    )
    return replace(test, views=views, actions=[test.actions[i] for i in pick.tolist()])


def _millimetres(poses: Tensor) -> list[list[list[int]]]:
    rounded: list[list[list[int]]] = (1000 * poses).round().int().tolist()
    return rounded


def write_examples(place: Place) -> None:
    """Pictures and truth of :func:`example_views`, without which the lifted poses in the artefacts cannot be drawn."""
    for name in (place.data, *EXAMPLES_ELSEWHERE.get(place.data, ())):
        if name in NAMED and not is_here(name):
            continue
        test = example_views(name)
        about: Row = {
            "data": name,
            "actions": test.actions,
            "camera": test.views.camera.tolist(),
            "image": [[[round(c, 5) for c in joint] for joint in view] for view in test.views.image.tolist()],
            "truth": _millimetres(test.views.pose),
            "provenance": test.about,
        }
        write_json(about, place.results / place.data / f"examples-{name}.json")
