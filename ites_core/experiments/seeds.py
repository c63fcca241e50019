"""What several seeds are good for where nobody knows the truth: to choose one, to average, to doubt (chapter 9).

Nothing that chooses, averages or doubts looks at 3D. The truth comes in afterwards, to say how good that was. The one
exception is named: a doubt in millimetres needs a curve that turns disagreement into error, and it is fitted on
training subjects, whose truth no network has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from ites_core.camera import project, rotate
from ites_core.checkpoint import Run, RunFolder
from ites_core.config import student_config
from ites_core.data.archive import Split
from ites_core.density import fit_density
from ites_core.errors import ItesError
from ites_core.evaluation import Filmed, film, lift_test
from ites_core.experiments.artefacts import Place, Row, slug, write_json
from ites_core.experiments.runs import run_folder
from ites_core.experiments.scoring import ELSEWHERE, motion_named
from ites_core.experiments.systems import system_named
from ites_core.metrics import p_mpjpe, procrustes_align
from ites_core.models import DepthStudent
from ites_core.objectives import draw_rotations
from ites_core.priors import BodyPriors, knee_loss, mirrored, pictured_bones
from ites_core.provenance import provenance

JUDGED = 4096  # pictures on which a run is judged without truth
DENSITY_STEPS = 1000  # a judge need not be as sharp as the density that a student follows
JUDGE = student_config("beyond")  # whose losses, and weights of them, judge
BINS = 10  # of equally many joints, by expected error
KNOTS = 20  # of a joint's curve from disagreement to error
FITTED = 20_000  # views of training subjects that the curves are fitted to
LEARNT: tuple[Split, ...] = ("train", "val")
KEPT = tuple(k / 20 for k in range(20, 0, -1))  # shares of the views that are kept, the most certain first


def judge_without_truth(run: Run, image: Tensor, priors: BodyPriors) -> dict[str, float]:
    """The losses of the preset ``beyond`` on a student's own answers; of all, less is better.

    Args:
        run: a student.
        image: (M, N, 2) image coordinates for focal length 1; M is the batch of ``priors``.
        priors: bones and density of the training pictures, the same for all runs that are compared.

    Returns:
        ``cycle``: how far the student is from itself when it lifts the picture of its own body, turned as in
        training; ``bones``, ``knees``, ``density``: as in training; ``total``: their sum with the preset's weights.
    """
    assert isinstance(run.model, DepthStudent)
    with torch.no_grad():
        pose = run.model.eval()(run.normalisation.apply(image, run.skeleton))
        free, upright = draw_rotations(JUDGE, len(pose), torch.Generator().manual_seed(0)).unbind(dim=1)
        turned = rotate(pose, free)
        again = run.model(project(turned))
        losses = {
            "cycle": (again - turned).norm(dim=-1).mean().item(),
            "bones": priors.bone_loss(pose).item(),
            "knees": knee_loss(pose, run.skeleton).item(),
            "density": priors.density_loss(project(rotate(pose, upright))).item(),
        }
    weights = (JUDGE.weight_rec, JUDGE.weight_bones, JUDGE.weight_knees, JUDGE.weight_density)
    return losses | {"total": sum(w * loss for w, loss in zip(weights, losses.values(), strict=True))}


def lift_all(runs: Sequence[Run], test: Filmed) -> Tensor:
    """Answers of several runs to the same views: (R, M, N, 3) metres, each brought to the size of their mean."""
    poses = torch.stack([lift_test(run, test) for run in runs])
    size = poses.norm(dim=-1).mean(dim=-1)  # (R, M)
    return poses * (size.mean(dim=0) / size)[..., None, None]


def disagreement(poses: Tensor) -> Tensor:
    """Standard deviation over runs of each joint's place: (R, M, N, 3) to (M, N), the unit of the poses."""
    return poses.var(dim=0).sum(dim=-1).sqrt()


def joint_errors(poses: Tensor, truth: Tensor) -> Tensor:
    """Distance of each joint of the mean pose from the truth after Procrustes: (R, M, N, 3), (M, N, 3) to (M, N)."""
    return (procrustes_align(poses.mean(dim=0), truth).aligned - truth).norm(dim=-1)


def fit_doubt(doubt: Tensor, error: Tensor) -> Tensor:
    """For each joint, the error to expect as a curve over the disagreement of the runs: it never falls, that is all.

    The views are put into bins of equally many by disagreement. Over each bin both are averaged, as root mean squares;
    then isotonic regression makes the errors rise.

    Args:
        doubt: (M, N) disagreement of the runs, M at least KNOTS.
        error: (M, N) their error, same unit.

    Returns:
        (N, 2, KNOTS): disagreement and expected error at the knots.
    """
    curves = []
    for d, e in zip(doubt.double().unbind(dim=1), error.double().unbind(dim=1), strict=True):
        order = d.argsort()
        x, y = (torch.stack([part.square().mean() for part in values[order].tensor_split(KNOTS)]) for values in (d, e))
        rising = torch.from_numpy(isotonic_regression(y.numpy()).x)
        curves.append(torch.stack([x, rising]).sqrt())
    return torch.stack(curves)


def expected_error(doubt: Tensor, curves: Tensor) -> Tensor:
    """Root mean square error to expect: (M, N) and the (N, 2, KNOTS) of :func:`fit_doubt` to (M, N).

    Straight lines between the knots, level beyond them.
    """
    columns = [np.interp(d, x, y) for d, (x, y) in zip(doubt.numpy().T, curves.numpy(), strict=True)]
    return torch.from_numpy(np.stack(columns, axis=1))


def reliability(expected: Tensor, error: Tensor) -> list[dict[str, float]]:
    """Expected against actual error, both root mean squares, in bins of equally many joints."""
    order = expected.flatten().argsort()
    return [
        {
            "expected": expected.flatten()[part].double().square().mean().sqrt().item(),
            "actual": error.flatten()[part].double().square().mean().sqrt().item(),
        }
        for part in order.chunk(BINS)
    ]


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: the correlation of the ranks of two flat tensors."""
    ranks = torch.stack([t.flatten().argsort().argsort().double() for t in (a, b)])
    return torch.corrcoef(ranks)[0, 1].item()


def doubt_about(runs: Sequence[Run], test: Filmed, curves: Tensor) -> Row:
    """How well disagreement tells error on one test; millimetres."""
    poses, truth = 1000 * lift_all(runs, test), 1000 * test.views.pose
    doubt, error = disagreement(poses), joint_errors(poses, truth)
    expected = expected_error(doubt, curves)
    by_view = error.mean(dim=1)
    certain = by_view[doubt.mean(dim=1).argsort()]
    single = [p_mpjpe(p, truth).mean().item() for p in poses]
    best = by_view.sort().values
    count = [max(1, round(share * len(by_view))) for share in KEPT]
    return {
        "single": single,
        "mean_pose": by_view.mean().item(),
        "rank_correlation_joints": rank_correlation(doubt, error),
        "rank_correlation_views": rank_correlation(doubt.mean(dim=1), by_view),
        "reliability": reliability(expected, error),
        "joints": [
            {"expected": e, "actual": a}
            for e, a in zip(
                expected.square().mean(dim=0).sqrt().tolist(), error.square().mean(dim=0).sqrt().tolist(), strict=True
            )
        ],
        "kept": list(KEPT),
        "error_of_kept": [certain[:n].mean().item() for n in count],
        "error_of_kept_by_oracle": [best[:n].mean().item() for n in count],
    }


def study_seeds(systems: Sequence[str], place: Place, runs: Path, density_steps: int = DENSITY_STEPS) -> Row:
    """Choose, average and doubt, with the stored networks of some systems.

    Args:
        systems: students that learnt from ``place.data``; the first one is averaged and doubted, all are chosen from.
        place: data and scale.
        runs: folder of the run folders.
        density_steps: how long the density that judges all of them is learnt.

    Raises:
        ItesError: no system, or fewer than two stored runs of the first one.
    """
    if not systems:
        raise ItesError("seeds: found no system, expected the name of at least one student")
    stored = {name: _stored(name, place, runs) for name in systems}
    main = [run for _, run in stored[systems[0]]]
    if len(main) < 2:
        raise ItesError(
            f"{runs}: found {len(main)} runs of {systems[0]}, expected at least 2; run the experiment first"
        )
    archive, cameras = motion_named(place.data), main[0].config.cameras
    train, held_out = film(archive, "train", cameras=cameras), film(archive, "val", cameras=cameras)
    tests = {place.data: film(archive, "test", cameras=cameras)}
    for name, noise in ELSEWHERE.get(place.data, {}).values():
        if noise is None:
            tests[name] = film(motion_named(name), "test", cameras=cameras)
    judged = {"held out": _some(held_out, JUDGED)} | {name: _some(test, JUDGED) for name, test in tests.items()}
    x = main[0].normalisation.apply(train.views.image, main[0].skeleton)
    x = torch.cat([x, mirrored(x, main[0].skeleton)])
    density = fit_density(x, 0, density_steps)
    bones = pictured_bones(x, main[0].skeleton)
    candidates = []
    for name, found in stored.items():
        errors = {row["seed"]: row for row in place.rows(name)}
        for seed, run in found:
            if seed in errors:
                candidates.append(
                    {
                        "system": name,
                        "seed": seed,
                        "judged": {
                            where: judge_without_truth(run, image, BodyPriors(bones, density, run.skeleton, len(image)))
                            for where, image in judged.items()
                        },
                        **_errors(errors[seed]),
                    }
                )
    doubts, misses = [], []
    stride = max(1, (len(train.views) + len(held_out.views)) // FITTED)
    for part in (film(archive, split, cameras=cameras, stride=stride) for split in LEARNT):
        poses = 1000 * lift_all(main, part)
        doubts.append(disagreement(poses))
        misses.append(joint_errors(poses, 1000 * part.views.pose))
    curves = fit_doubt(torch.cat(doubts), torch.cat(misses))
    return {
        "systems": list(systems),
        "data": place.data,
        "scale": place.scale,
        "seeds": len(main),
        "candidates": candidates,
        "joints": list(main[0].skeleton.joints),
        "curves": curves.tolist(),
        "tests": {name: doubt_about(main, test, curves) for name, test in tests.items()},
        "provenance": {**held_out.about, **provenance(torch.device("cpu"))},
    }


def write_seeds(study: Row, place: Place) -> Path:
    """Store a study beside the runs' results; returns the file."""
    file = place.results / place.data / f"seeds-{slug(study['systems'][0])}-{place.scale}.json"
    write_json(study, file)
    return file


def _some(part: Filmed, count: int) -> Tensor:
    """So many of its pictures, evenly spaced, in an order that time does not tell: neighbours are alike."""
    pick = torch.linspace(0, len(part.views) - 1, count).long().unique()
    return part.views.image[pick[torch.randperm(len(pick), generator=torch.Generator().manual_seed(1))]]


def _stored(name: str, place: Place, runs: Path) -> list[tuple[int, Run]]:
    system_named(name)
    prefix = run_folder(name, place, 0, runs).name[:-1]
    folder = runs / place.data / place.scale
    seeds = sorted(
        int(p.name.removeprefix(prefix)) for p in folder.glob(f"{prefix}*") if p.name[len(prefix) :].isdigit()
    )
    return [(seed, RunFolder(run_folder(name, place, seed, runs)).read()) for seed in seeds]


def _errors(row: Row) -> dict[str, float]:
    """P-MPJPE without the oracle: on the run's own test and, without retraining, on others."""
    found = {"error": float(row["metrics"]["P-MPJPE"]["no_oracle"])}
    for name, scores in row.get("elsewhere", {}).items():
        found[f"error {name}"] = float(scores["metrics"]["P-MPJPE"]["no_oracle"])
    return found
