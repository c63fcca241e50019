"""Input that no detector gives, at every public entry: finite answers, or one line that says what was found.

``tests/campaigns/properties/extremes.py`` tries any numbers; here stand the cases that one can name, and what is said.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from ites_core.camera import Intrinsics, Normalisation, project, unproject
from ites_core.config import teacher_config
from ites_core.errors import ItesError
from ites_core.factorisation import mean_body
from ites_core.lifting import lift, plausibility
from ites_core.lifting.people import FARTHEST
from ites_core.loop import Plan
from ites_core.metrics import mpjpe, n_mpjpe, p_mpjpe, procrustes_align
from ites_core.models import C3DPO
from ites_core.priors import facing
from ites_core.skeleton import H36M17
from tests.campaigns.properties.base import bodies, largest, normal
from tests.campaigns.properties.extremes import CONFIGS, finite_or_refused, run_of
from tests.campaigns.properties.metrics import METRICS
from tests.campaigns.properties.relabelling import people

POSES = people(0, 4).float()
LINE = torch.linspace(0, 1, 17)[None, :, None]


def one(value: float, pose: Tensor = POSES) -> Tensor:
    """One coordinate of one joint of the second pose is something else."""
    spoilt = pose.clone()
    spoilt[1, 5, 0] = value
    return spoilt


# 3D poses; pictures are their first two coordinates.
CASES: dict[str, Tensor] = {
    "ordinary": POSES,
    "a million times as large": 1e6 * POSES,
    "a millionth as large": 1e-6 * POSES,
    "far from the middle": POSES + 1e6,
    "all joints coincident": torch.zeros(4, 17, 3),
    "all joints coincident elsewhere": torch.full((4, 17, 3), 0.7),
    "all joints on a line": LINE * torch.tensor([0.3, -0.5, 0.8]),
    "all joints on a level line": LINE * torch.tensor([1.0, 0.0, 0.0]) * torch.ones(4, 1, 1),
    "flat": POSES * torch.tensor([1.0, 1.0, 0.0]),
    "one joint NaN": one(torch.nan),
    "one joint infinite": one(torch.inf),
    "one joint a million away": one(1e6),
    "empty": POSES[:0],
    "one pose": POSES[:1],
    "float16": POSES.half(),
    "float64": POSES.double(),
    "bfloat16": POSES.bfloat16(),
}
REFUSED = ("one joint NaN", "one joint infinite")
cases = pytest.mark.parametrize("case", CASES)


@cases
@pytest.mark.parametrize("name", CONFIGS)
def test_networks_lift_or_say_why_not(name: str, case: str) -> None:
    image = CASES[case][..., :2]
    if case in REFUSED and name != "C3DPO":  # which takes that joint for one that nobody saw
        with pytest.raises(ItesError, match="2D input: NaN or infinite coordinate; complete or drop"):
            run_of(name).lift(image)
    else:
        lifted = run_of(name).lift(image)
        assert lifted.shape == (*image.shape[:-1], 3) and lifted.isfinite().all()


def test_pixels_in_place_of_image_coordinates_are_lifted_and_too_large_numbers_are_named() -> None:
    image = 1e6 * POSES[..., :2]
    assert run_of("student").lift(image).isfinite().all()
    with pytest.raises(ItesError, match=r"found a joint .*e\+\d\d from its root, too far for float32"):
        run_of("student").lift(1e32 * POSES[..., :2])


def test_numbers_of_any_precision_are_lifted_alike() -> None:
    image = POSES[..., :2].half()
    expected = run_of("student").lift(image.float())
    for dtype in (torch.float16, torch.float64):
        torch.testing.assert_close(run_of("student").lift(image.to(dtype)), expected)
    whole = torch.arange(34).view(1, 17, 2)
    torch.testing.assert_close(run_of("student").lift(whole), run_of("student").lift(whole.float()))
    with pytest.raises(ItesError, match=r"found torch\.complex64, expected real"):
        run_of("student").lift(image.to(torch.complex64))


def test_one_bad_pose_leaves_the_others_of_its_batch_alone() -> None:
    for name in CONFIGS:
        network = run_of(name).model.eval()
        good, bad = (network(CASES[case][..., :2]) for case in ("ordinary", "one joint NaN"))
        good, bad = (out if isinstance(out, Tensor) else out.camera for out in (good, bad))
        assert torch.equal(good[[0, 2, 3]], bad[[0, 2, 3]]), name
    assert unproject(project(one(torch.nan)), one(torch.nan)[..., 2]).isnan().sum() == 1, "nor does it leave its joint"


def test_c3dpo_needs_its_root_and_takes_an_infinite_joint_for_an_unseen_one() -> None:
    image = POSES[..., :2].clone()
    image[:, 5] = torch.inf
    hidden = image.nan_to_num(torch.nan, torch.nan)
    torch.testing.assert_close(run_of("C3DPO").lift(image), run_of("C3DPO").lift(hidden))
    model = run_of("C3DPO").model
    assert isinstance(model, C3DPO) and model(image).canonical.isfinite().all()
    image[2, 0] = torch.nan
    with pytest.raises(ItesError, match="infinite root joint"):
        run_of("C3DPO").lift(image)


@cases
@pytest.mark.parametrize("name", METRICS)
def test_metrics_score_or_say_why_not(name: str, case: str) -> None:
    pose = CASES[case]
    pairs = [(pose, POSES[: len(pose)].to(pose.dtype)), (POSES[: len(pose)].to(pose.dtype), pose), (pose, pose)]
    for prediction, target in pairs:
        if case in REFUSED:
            with pytest.raises(
                ItesError, match=r"has 1 coordinates .* NaN or infinite, the first at index \(1, 5, 0\)"
            ):
                METRICS[name](prediction, target)
        else:
            found = METRICS[name](prediction, target)
            assert found.shape == pose.shape[:1] and found.dtype == pose.dtype and found.isfinite().all()


def test_scales_neither_overflow_nor_underflow() -> None:
    prediction, target = bodies(0, 3), bodies(1, 3)
    expected = n_mpjpe(prediction, target)
    for factor in (1e-30, 1e25):
        torch.testing.assert_close(n_mpjpe((factor * prediction).float(), target.float()), expected.float())
    millimetres = (1000 * target).half()  # squares of these are beyond float16
    assert n_mpjpe(millimetres, millimetres).max() < 1
    assert largest(p_mpjpe(1e-100 * prediction, target) - p_mpjpe(prediction, target)) < 1e-12
    for far in (1e160, -1e160):
        with pytest.raises(ItesError, match="NaN or infinite"):
            p_mpjpe(prediction * far, target)


@cases
def test_procrustes_gives_a_rotation_of_anything(case: str) -> None:
    if case in REFUSED:
        return
    found = procrustes_align(CASES[case], POSES[: len(CASES[case])].to(CASES[case].dtype))
    assert all(part.isfinite().all() for part in found)
    rotation = found.rotation.double()
    assert largest(rotation @ rotation.mT - torch.eye(3)) < {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(
        CASES[case].dtype, 1e-6
    )
    assert largest(torch.linalg.det(rotation) - 1) < 2e-2


@cases
def test_plausibility_of_anything(case: str) -> None:
    pose = CASES[case]
    for ask in (
        plausibility.limb_asymmetry,
        plausibility.trunk_tilt,
        plausibility.turns_right,
        partial(facing, skeleton=H36M17),
    ):
        found = ask(pose)
        others = [k for k in range(len(pose)) if case not in REFUSED or k != 1]
        assert found.shape[0] == len(pose) and found[others].isfinite().all()
    for share in (0.5, -1.0, float("nan")):
        with pytest.raises(ItesError, match="right_in_truth: found"):
            plausibility.mirrored_share(torch.ones(3), share)


@cases
def test_normalisation_and_first_body(case: str) -> None:
    image = CASES[case][..., :2]
    assert finite_or_refused(lambda: [Normalisation.fit(image, 4.0).factor, mean_body(image, H36M17)]) == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(torch.nan, "not finite in one of 4 poses"), (torch.inf, "not finite in one of 4 poses"), (None, "found no pose")],
)
def test_normalisation_says_what_it_found(spoil: float | None, message: str) -> None:
    image = POSES[..., :2].clone() if spoil is not None else POSES[:0, :, :2]
    if spoil is not None:
        image[2, H36M17.head] = spoil
    with pytest.raises(ItesError, match=message):
        Normalisation.fit(image, 4.0)


# ---- lifting ---------------------------------------------------------------------------------------------------


def pixels(case: str) -> np.ndarray:
    return (500 + 400 * CASES[case][..., :2].double()).numpy()


@cases
def test_lift_answers_or_says_why_not(case: str) -> None:
    call = partial(lift, pixels(case), joints="h36m17", weights=run_of("student"))
    if case in ("all joints coincident", "all joints coincident elsewhere"):
        with pytest.raises(ItesError, match="nobody has a size: found joints in one point"):
            call()
    elif case == "empty":
        with pytest.raises(ItesError, match=r"array: keypoints: found float64 of shape \(0, 17, 2\)"):
            call()
    elif case in REFUSED:
        with pytest.raises(ItesError, match="person 1, keypoint LKnee: found"):
            call()
    else:
        found = call()
        assert found.done.all()
        assert np.isfinite(found.metres_per_pixel[found.done]).all()


@pytest.mark.parametrize("focal", [1e-9, 1e-3, 1.0, 1e9, 1e30])
def test_focal_lengths_tiny_and_huge_cancel(focal: float) -> None:
    camera = Intrinsics(focal, focal, 0.0, 0.0)
    x = pixels("ordinary")
    one, other = (lift(x, joints="h36m17", weights=run_of("student"), intrinsics=c) for c in (camera, None))
    torch.testing.assert_close(one.pose, other.pose, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.picture, other.picture, atol=1e-2, rtol=0)


def test_cameras_that_are_none() -> None:
    for camera, message in (
        (Intrinsics(np.inf, 1.0, 0.0, 0.0), "focal lengths inf and 1.0, expected positive"),
        (Intrinsics(1.0, np.nan, 0.0, 0.0), "focal lengths 1.0 and nan, expected positive"),
        (Intrinsics(1.0, 1.0, np.nan, 0.0), r"principal point \(nan, 0.0\), expected pixels"),
    ):
        with pytest.raises(ItesError, match=message):
            lift(pixels("ordinary"), joints="h36m17", weights=run_of("student"), intrinsics=camera)


def test_people_of_no_size_or_beyond_all_pictures() -> None:
    x = pixels("ordinary")
    for factor in (1e-160, 1e-60):
        with pytest.raises(ItesError, match="nobody has a size"):
            lift(x * factor, joints="h36m17", weights=run_of("student"))
    x[2, 3, 1] = 2 * FARTHEST
    with pytest.raises(ItesError, match=r"person 2, keypoint RAnkle: found a coordinate beyond 1e\+09 pixels"):
        lift(x, joints="h36m17", weights=run_of("student"))


# ---- training --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "poses"), [(1, 100), (64, 1)])
def test_a_batch_of_one_pose_is_refused(batch: int, poses: int) -> None:
    with pytest.raises(ItesError, match=f"batch_size: found {batch} of {poses} poses, expected at least 2"):
        Plan.of(teacher_config("smoke", batch_size=batch), poses)


def test_mpjpe_of_a_constant_is_its_distance() -> None:
    """No pose is too large for the plain metric to be exact in float64."""
    pose = normal(0, 2, 17, 3)
    assert mpjpe(pose + 1e9, pose).sub(3**0.5 * 1e9).abs().max() < 1
