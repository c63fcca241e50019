"""A run and a data set in, a report out: every metric without and with the flip oracle (chapters 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ites_core.camera import unproject
from ites_core.checkpoint import Run
from ites_core.config import Noise
from ites_core.data import CameraRing, CameraViews, Motion, make_views
from ites_core.data.archive import Split
from ites_core.data.noise import NOISE, complete, observe
from ites_core.errors import ItesError
from ites_core.files import in_place
from ites_core.metrics import auc, better_mirrored, mpjpe, n_mpjpe, p_mpjpe, pck
from ites_core.skeleton import Skeleton

Metric = Callable[..., Tensor]

METRICS: dict[str, tuple[Metric, float]] = {  # name: (function, factor to the unit that is reported)
    "MPJPE": (mpjpe, 1000.0),
    "N-MPJPE": (n_mpjpe, 1000.0),
    "P-MPJPE": (p_mpjpe, 1000.0),
    "PCK@150": (pck, 100.0),
    "AUC": (auc, 100.0),
}
UNITS = {"MPJPE": "mm", "N-MPJPE": "mm", "P-MPJPE": "mm", "PCK@150": "%", "AUC": "%"}
COLUMNS = ("no_oracle", "oracle_flip")
BLOCK = 65_536  # poses scored at a time: what scoring takes beside pictures, truth and answers does not grow


@dataclass(frozen=True)
class Report:
    """How well a run lifts a data set.

    Attributes:
        metrics: name -> {"no_oracle": value, "oracle_flip": value}; mm, or % for PCK and AUC.
            ``oracle_flip`` takes, frame by frame and with the ground truth, the better of the pose
            and its depth mirror: what the literature reports, and what a user cannot have.
        actions: action -> P-MPJPE in both columns and the number of views.
        views: number of views scored.
        better_mirrored: views whose depth mirror has the lower P-MPJPE.
        provenance: run, data, checksums, versions.
    """

    metrics: dict[str, dict[str, float]]
    actions: dict[str, dict[str, float]]
    views: int
    better_mirrored: int
    provenance: dict[str, Any]

    def write(self, path: str | Path) -> None:
        """Write the report as JSON.

        Raises:
            ItesError: if the file cannot be written.
        """
        with in_place(Path(path)) as file:
            file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Filmed:
    """Views to score on, filmed once for any number of runs. Chapter 5.

    Attributes:
        views: 2D input and 3D truth.
        actions: action of each view.
        seed: of the virtual cameras; the errors of a detector are drawn with the next one.
        about: data, checksum, split, stride: the data's part of a report's provenance.
    """

    views: CameraViews
    actions: list[str]
    seed: int
    about: dict[str, Any]


def film(archive: Motion, split: Split = "test", *, cameras: int = 4, stride: int = 1, seed: int = 0) -> Filmed:
    """The views of a split. Chapter 5.

    Args:
        archive: recordings.
        split: ``train``, ``val``, ``test`` or ``all``.
        cameras: virtual cameras around a sequence; recorded views keep their own.
        stride: keep every stride-th frame.
        seed: of the virtual cameras.

    Raises:
        ItesError: an empty split, or no 3D truth.
    """
    part = archive.part(split)
    views = make_views(part, CameraRing(cameras=cameras), seed, stride)
    if not views.pose.isfinite().all():
        raise ItesError(f"{archive.source}: holds no 3D truth to score against; take recordings with truth")
    about = {
        "data": Path(archive.source).name,
        "data_sha256": archive.checksum(),
        "split": split,
        "stride": stride,
    }
    return Filmed(views, [part.action[i] for i in views.sequence.tolist()], seed, about)


def evaluate(
    run: Run,
    archive: Motion,
    split: Split = "test",
    *,
    stride: int = 1,
    seed: int = 0,
    on_rays: bool = False,
    noise: Noise | None = None,
    progress: bool = False,
) -> Report:
    """Lift every view of a split and score it. Chapters 3 and 4.

    Plain MPJPE scales every pose by the one constant ``metres_per_unit`` of the checkpoint; N-MPJPE by
    the least-squares scale of the frame; P-MPJPE aligns by rotation (no reflection), translation and scale;
    PCK and AUC follow the least-squares scale.

    Args:
        run: a trained teacher or student.
        archive: recordings of the run's joint set.
        split, stride, seed: as :func:`film`.
        on_rays, noise: as :func:`lift_test`.
        progress: show a progress bar, if it takes longer than a second.

    Raises:
        ItesError: another joint set, an empty split, or no 3D truth.
    """
    _same_joints(run, archive.skeleton, archive.source)
    test = film(archive, split, cameras=run.config.cameras, stride=stride, seed=seed)
    return evaluate_on(run, test, on_rays=on_rays, noise=noise, progress=progress)


def evaluate_on(
    run: Run, test: Filmed, *, on_rays: bool = False, noise: Noise | None = None, progress: bool = False
) -> Report:
    """:func:`evaluate` on views that are there already: nothing is read or filmed again. Chapter 5.

    Lifting and scoring happen where the network is: on a GPU both take a moment.
    """
    device = next((p.device for p in run.model.parameters()), torch.device("cpu"))
    lifted = lift_test(run, test, on_rays=on_rays, noise=noise).to(device)
    about = {
        "stage": run.stage,
        "steps": run.step,
        "seed": run.seed,
        "trained_on": run.provenance.get("data"),
        "trained_on_sha256": run.provenance.get("data_sha256"),
        **test.about,
        "noise": noise or run.config.noise,
        "commit": run.provenance.get("commit"),
        "torch": torch.__version__,
    }
    return score(lifted, test.views.pose.to(device), test.actions, about, progress)


def lift_test(run: Run, test: Filmed, *, on_rays: bool = False, noise: Noise | None = None) -> Tensor:
    """Lift every view of a test: (M, N, 3) metres, root-relative, camera frame.

    Args:
        run: a trained teacher or student.
        test: views of the run's joint set.
        on_rays: of the run's answer keep the depths alone, and put every joint on the ray of its pixel. For a
            student that changes nothing; for a teacher it shows what a student gains by its head alone.
        noise: errors of the 2D input; None for those that the run was trained with.

    Raises:
        ItesError: another joint set.
    """
    _same_joints(run, test.views.skeleton, test.views.source)
    errors = NOISE[noise or run.config.noise]
    image = observe(test.views.image, run.skeleton, errors, test.seed + 1, run.takes_missing_joints)
    lifted = run.lift(image)
    if on_rays:
        lifted = unproject(run.normalisation.apply(complete(image, run.skeleton), run.skeleton), lifted[..., 2])
    return lifted * run.normalisation.metres_per_unit


def _same_joints(run: Run, skeleton: Skeleton, source: str) -> None:
    if skeleton != run.skeleton:
        raise ItesError(f"{source}: joint set {skeleton.name}, the run lifts {run.skeleton.name}")


def score(
    lifted: Tensor, truth: Tensor, actions: list[str], provenance: dict[str, Any], progress: bool = False
) -> Report:
    """Score lifted poses against the truth, both (M, N, 3) in metres, root-relative, camera frame."""
    blocks: list[dict[tuple[str, str], Tensor]] = []
    mirrored = 0
    with tqdm(total=len(lifted), desc="score", unit="pose", disable=not progress, delay=1) as bar:
        for x, y in zip(lifted.split(BLOCK), truth.split(BLOCK), strict=True):
            blocks.append(
                {
                    (name, column): metric(x, y, oracle_flip=column == "oracle_flip")
                    for name, (metric, _) in METRICS.items()
                    for column in COLUMNS
                }
            )
            mirrored += int(better_mirrored(x, y).sum())
            bar.update(len(x))
    frames = {key: torch.cat([block[key] for block in blocks]) for key in blocks[0]}
    places: dict[str, list[int]] = {}
    for place, action in enumerate(actions):
        places.setdefault(action, []).append(place)
    by_action = {}
    for action, mine in sorted(places.items()):
        pick = torch.tensor(mine, device=lifted.device)
        by_action[action] = {"views": float(len(mine))} | {
            c: round(frames["P-MPJPE", c][pick].mean().item() * 1000, 2) for c in COLUMNS
        }
    return Report(
        metrics={
            name: {c: round(frames[name, c].mean().item() * METRICS[name][1], 2) for c in COLUMNS} for name in METRICS
        },
        actions=by_action,
        views=len(lifted),
        better_mirrored=mirrored,
        provenance=provenance,
    )
