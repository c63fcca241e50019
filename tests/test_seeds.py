"""What several seeds are good for without truth: choosing, averaging, doubting."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ites_core.camera import Normalisation, project
from ites_core.checkpoint import Run
from ites_core.config import student_config
from ites_core.density import fit_density
from ites_core.errors import ItesError
from ites_core.experiments import runs, seeds
from ites_core.experiments.artefacts import Place
from ites_core.models import ZeroDepth
from ites_core.models.student import DepthStudent
from ites_core.priors import BodyPriors, pictured_bones
from ites_core.skeleton import H36M17


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_disagreement_is_the_spread_of_a_joint_over_runs() -> None:
    poses = torch.zeros(2, 3, 17, 3)
    poses[1, 2, 4] = torch.tensor([0.0, 3.0, 4.0])
    doubt = seeds.disagreement(poses)
    assert doubt.shape == (3, 17)
    assert doubt[2, 4] == pytest.approx(5 / math.sqrt(2)) and doubt.count_nonzero() == 1


def test_joint_errors_forgive_rotation_and_size() -> None:
    truth = noise(4, 17, 3)
    turned = 2 * truth[..., [1, 2, 0]]  # a rotation by a third of a turn
    assert seeds.joint_errors(torch.stack([turned, turned]), truth).max() < 1e-4


def test_doubt_is_fitted_and_calibrated() -> None:
    doubt = noise(20_000, 2, seed=1).abs() + 0.1
    error = (0.5**2 + (2 * doubt) ** 2).sqrt() * noise(20_000, 2, seed=2)
    curves = seeds.fit_doubt(doubt, error)
    assert curves.shape == (2, 2, seeds.KNOTS)
    bins = seeds.reliability(seeds.expected_error(doubt, curves), error)
    assert len(bins) == seeds.BINS
    for b in bins:
        assert b["actual"] == pytest.approx(b["expected"], rel=0.1)
    assert bins[0]["expected"] < bins[-1]["expected"]
    for d in (0.5, 1.0, 2.0):
        law = math.sqrt(0.25 + 4 * d * d)
        assert seeds.expected_error(torch.full((1, 2), d), curves)[0].tolist() == pytest.approx([law, law], rel=0.15)
    falling = 3 - 0.1 * doubt
    level = seeds.expected_error(doubt, seeds.fit_doubt(doubt, falling))
    assert level.std(dim=0).max() < 1e-6, "where more doubt means less error, every error is the mean"
    assert level.mean() == pytest.approx(falling.square().mean().sqrt().item(), rel=0.01)
    none = torch.zeros(20_000, 2)
    assert seeds.expected_error(none, seeds.fit_doubt(none, falling)).isfinite().all(), "the root never disagrees"


def test_rank_correlation_sees_order_alone() -> None:
    a = noise(50)
    assert seeds.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert seeds.rank_correlation(a, -(a**3)) == pytest.approx(-1)


class Bowed(DepthStudent):
    """Depth from the picture by a fixed rule that no turn respects."""

    def offsets(self, image: torch.Tensor) -> torch.Tensor:
        return 20 * image[..., 0] * image[..., 1] + image[..., 0]


def test_judged_without_truth_a_consistent_body_is_better() -> None:
    body = 0.4 * noise(17, 3)
    body = body - body[0]
    image = project(body).expand(64, 17, 2).contiguous()
    priors = BodyPriors(pictured_bones(image, H36M17), fit_density(image, 0, 20), H36M17, len(image))

    def judged(model: DepthStudent) -> dict[str, float]:
        run = Run(model, student_config("smoke"), Normalisation(1.0, 1.0), H36M17, 0)
        return seeds.judge_without_truth(run, image, priors)

    flat, bowed = judged(ZeroDepth(H36M17)), judged(Bowed(H36M17))
    assert bowed["cycle"] > 0 and flat["cycle"] > 0 and flat["knees"] >= 0
    assert flat["bones"] < bowed["bones"], "the flat body has the proportions of the only picture"
    for found in (flat, bowed):
        parts = 3 * found["cycle"] + found["bones"] + found["knees"] + found["density"]
        assert found["total"] == pytest.approx(parts), "weights of the preset"
    assert judged(Bowed(H36M17)) == bowed, "the same answer every time"


def test_a_study_of_stored_runs(tmp_path: Path) -> None:
    place = Place("sampler", "smoke", tmp_path / "results")
    with pytest.raises(ItesError, match="no system"):
        seeds.study_seeds([], place, tmp_path / "runs")
    with pytest.raises(ItesError, match="expected at least 2"):
        seeds.study_seeds(["student"], place, tmp_path / "runs")
    runs.run_systems(["student", "student ResFC"], place, range(2), tmp_path / "runs", device="cpu")
    study = seeds.study_seeds(["student", "student ResFC"], place, tmp_path / "runs", density_steps=5)
    assert study["seeds"] == 2 and len(study["candidates"]) == 4
    for candidate in study["candidates"]:
        assert set(candidate["judged"]) == {"held out", "sampler"} and candidate["error"] > 0
    assert len(study["curves"]) == len(study["joints"]) == 17
    test = study["tests"]["sampler"]
    assert test["mean_pose"] > 0 and len(test["single"]) == 2
    assert test["error_of_kept"][0] == pytest.approx(test["mean_pose"], rel=1e-4)
    assert all(o <= e + 1e-3 for o, e in zip(test["error_of_kept_by_oracle"], test["error_of_kept"], strict=True))
    assert seeds.write_seeds(study, place).name == "seeds-student-smoke.json"
