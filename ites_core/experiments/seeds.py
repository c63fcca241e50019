"""What several seeds are good for where nobody knows the truth: to choose one, to average, to doubt (chapter 9).

Nothing that chooses, averages or doubts looks at 3D. The truth comes in afterwards, to say how good that was. The one
exception is named: a doubt in millimetres needs two numbers that turn disagreement into error, and they are fitted on
the held-out training subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ites_core.camera import project, random_rotations, rotate
from ites_core.checkpoint import Run, RunFolder
from ites_core.density import fit_density
from ites_core.errors import ItesError
from ites_core.evaluation import Filmed, film, lift_test
from ites_core.experiments.artefacts import Place, Row, slug, write_json
from ites_core.experiments.runs import run_folder
from ites_core.experiments.scoring import ELSEWHERE, motion_named
from ites_core.experiments.systems import system_named
from ites_core.metrics import p_mpjpe, procrustes_align
from ites_core.models import DepthStudent
from ites_core.priors import BodyPriors, PoseDensity, relative_bones
from ites_core.provenance import provenance

JUDGED = 4096  # held-out pictures on which a run is judged without truth
DENSITY_STEPS = 1000  # a judge need not be as sharp as the density that a student follows
BINS = 10  # of equally many joints, by predicted error
KEPT = tuple(k / 20 for k in range(20, 0, -1))  # shares of the views that are kept, the most certain first


def judge_without_truth(run: Run, image: Tensor, density: PoseDensity) -> dict[str, float]:
    """What a student's own answers to held-out pictures say about it; of all three, less is better.

    Args:
        run: a student.
        image: (M, N, 2) image coordinates for focal length 1.
        density: of the training pictures, the same for all runs that are compared.

    Returns:
        ``cycle``: how far the student is from itself when it lifts the picture of its own body, turned about gravity,
        units; ``bones``: standard deviation of a bone's share of the body, mean over bones; ``density``: how far the
        density wants to move the pictures of the turned bodies.
    """
    assert isinstance(run.model, DepthStudent)
    with torch.no_grad():
        pose = run.model.eval()(run.normalisation.apply(image, run.skeleton))
        turns = random_rotations(len(pose), torch.Generator().manual_seed(0), "gravity")
        turned = rotate(pose, turns)
        again = run.model(project(turned))
        priors = BodyPriors(None, density, run.skeleton, len(pose))
        # Neighbours in time are alike; the sizes of the noise must not follow their order.
        mixed = project(turned)[torch.randperm(len(pose), generator=torch.Generator().manual_seed(1))]
        return {
            "cycle": (again - turned).norm(dim=-1).mean().item(),
            "bones": relative_bones(pose, run.skeleton).std(dim=0).mean().item(),
            "density": priors.density_loss(mixed).item(),
        }


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


def fit_doubt(doubt: Tensor, error: Tensor, passes: int = 20) -> tuple[float, float]:
    """Floor and slope of the expected error: ``error^2 = floor^2 + slope^2 doubt^2`` on average.

    Squared errors scatter the more the larger they are, so each counts by one over its expected square, as for a
    normal error whose variance is wanted; the weights are found by repetition.

    Args:
        doubt: (...) disagreement of the runs.
        error: (...) their error, same shape and unit.
        passes: repetitions.

    Returns:
        (floor, slope), both at least 0; the expected error is the root of the right side.
    """
    x, y = doubt.flatten().double().square(), error.flatten().double().square()
    expected, floor, slope = y.mean().expand_as(y), y.mean(), y.new_zeros(())
    for _ in range(passes):
        w = expected.clamp(min=1e-6 * y.mean().item()).pow(-2)
        w = w / w.sum()
        x_mean, y_mean = (w * x).sum(), (w * y).sum()
        across = (w * (x - x_mean).square()).sum().clamp(min=1e-30)
        slope = ((w * (x - x_mean) * (y - y_mean)).sum() / across).clamp(min=0)
        floor = (y_mean - slope * x_mean).clamp(min=0)
        expected = floor + slope * x
    return floor.sqrt().item(), slope.sqrt().item()


def expected_error(doubt: Tensor, floor: float, slope: float) -> Tensor:
    """Root mean square error to expect of joints with some disagreement; see :func:`fit_doubt`."""
    return (floor**2 + (slope * doubt) ** 2).sqrt()


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


def doubt_about(runs: Sequence[Run], test: Filmed, floor: float, slope: float) -> Row:
    """How well disagreement tells error on one test; millimetres."""
    poses, truth = 1000 * lift_all(runs, test), 1000 * test.views.pose
    doubt, error = disagreement(poses), joint_errors(poses, truth)
    expected = expected_error(doubt, floor, slope)
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
    archive = motion_named(place.data)
    train = film(archive, "train", cameras=main[0].config.cameras)
    held_out = film(archive, "val", cameras=main[0].config.cameras)
    density = fit_density(main[0].normalisation.apply(train.views.image, main[0].skeleton), 0, density_steps)
    pick = torch.linspace(0, len(held_out.views) - 1, JUDGED).long().unique()
    candidates = []
    for name, found in stored.items():
        errors = {row["seed"]: row for row in place.rows(name)}
        for seed, run in found:
            if seed in errors:
                candidates.append(
                    {
                        "system": name,
                        "seed": seed,
                        **judge_without_truth(run, held_out.views.image[pick], density),
                        **_errors(errors[seed]),
                    }
                )
    poses, truth = 1000 * lift_all(main, held_out), 1000 * held_out.views.pose
    floor, slope = fit_doubt(disagreement(poses), joint_errors(poses, truth))
    tests = {place.data: film(archive, "test", cameras=main[0].config.cameras)}
    for name, noise in ELSEWHERE.get(place.data, {}).values():
        if noise is None:
            tests[name] = film(motion_named(name), "test", cameras=main[0].config.cameras)
    return {
        "systems": list(systems),
        "data": place.data,
        "scale": place.scale,
        "seeds": len(main),
        "candidates": candidates,
        "floor": floor,
        "slope": slope,
        "tests": {name: doubt_about(main, test, floor, slope) for name, test in tests.items()},
        "provenance": {**held_out.about, **provenance(torch.device("cpu"))},
    }


def write_seeds(study: Row, place: Place) -> Path:
    """Store a study beside the runs' results; returns the file."""
    file = place.results / place.data / f"seeds-{slug(study['systems'][0])}-{place.scale}.json"
    write_json(study, file)
    return file


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
