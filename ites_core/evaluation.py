"""A run and a data set in, a report out: every metric without and with the flip oracle (chapters 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ites_core.camera import unproject
from ites_core.checkpoint import Run
from ites_core.config import Noise
from ites_core.data import CameraRing, Motion, make_views
from ites_core.data.archive import Split
from ites_core.data.noise import NOISE, complete, observe
from ites_core.errors import ItesError
from ites_core.metrics import auc, better_mirrored, mpjpe, n_mpjpe, p_mpjpe, pck

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
        try:
            Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ItesError(f"{path}: cannot write the report ({error.strerror or error})") from error


def evaluate(
    run: Run,
    archive: Motion,
    split: Split = "test",
    *,
    stride: int = 1,
    seed: int = 0,
    on_rays: bool = False,
    noise: Noise | None = None,
) -> Report:
    """Lift every view of a split and score it. Chapters 3 and 4.

    Plain MPJPE scales every pose by the one constant ``metres_per_unit`` of the checkpoint; N-MPJPE by
    the least-squares scale of the frame; P-MPJPE aligns by rotation (no reflection), translation and scale;
    PCK and AUC follow the least-squares scale.

    Args:
        run: a trained teacher or student.
        archive: recordings of the run's joint set.
        split: ``train``, ``val``, ``test`` or ``all``.
        stride: score every stride-th frame.
        seed: of the virtual cameras.
        on_rays: of the run's answer keep the depths alone, and put every joint on the ray of its pixel. For a
            student that changes nothing; for a teacher it shows what a student gains by its head alone.
        noise: errors of the 2D input; None for those that the run was trained with.

    Raises:
        ItesError: another joint set, an empty split, or no 3D truth.
    """
    if archive.skeleton != run.skeleton:
        raise ItesError(f"{archive.source}: joint set {archive.skeleton.name}, the run lifts {run.skeleton.name}")
    part = archive.part(split)
    views = make_views(part, CameraRing(cameras=run.config.cameras), seed, stride)
    if not views.pose.isfinite().all():
        raise ItesError(f"{archive.source}: holds no 3D truth to score against; take recordings with truth")
    errors = NOISE[noise or run.config.noise]
    image = observe(views.image, run.skeleton, errors, seed + 1, run.takes_missing_joints)
    lifted = run.lift(image)
    if on_rays:
        lifted = unproject(run.normalisation.apply(complete(image, run.skeleton), run.skeleton), lifted[..., 2])
    lifted = lifted * run.normalisation.metres_per_unit
    return score(
        lifted,
        views.pose,
        [part.action[i] for i in views.sequence.tolist()],
        {
            "stage": run.stage,
            "steps": run.step,
            "seed": run.seed,
            "trained_on": run.provenance.get("data"),
            "data": Path(archive.source).name,
            "data_sha256": archive.checksum(),
            "split": split,
            "stride": stride,
            "noise": noise or run.config.noise,
            "commit": run.provenance.get("commit"),
            "torch": torch.__version__,
        },
    )


def score(lifted: Tensor, truth: Tensor, actions: list[str], provenance: dict[str, Any]) -> Report:
    """Score lifted poses against the truth, both (M, N, 3) in metres, root-relative, camera frame."""
    frames: dict[str, dict[str, Tensor]] = {
        name: {"no_oracle": metric(lifted, truth), "oracle_flip": metric(lifted, truth, oracle_flip=True)}
        for name, (metric, _) in METRICS.items()
    }
    by_action = {}
    for action in sorted(set(actions)):
        pick = torch.tensor([a == action for a in actions])
        by_action[action] = {"views": float(pick.sum())} | {
            c: round(frames["P-MPJPE"][c][pick].mean().item() * 1000, 2) for c in COLUMNS
        }
    return Report(
        metrics={
            name: {c: round(frames[name][c].mean().item() * METRICS[name][1], 2) for c in COLUMNS} for name in METRICS
        },
        actions=by_action,
        views=len(lifted),
        better_mirrored=int(better_mirrored(lifted, truth).sum()),
        provenance=provenance,
    )
