"""ites_core.lifting: size, completion, tracks and lifting, on arrays and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ites_core
from ites_core import cli
from ites_core.camera import Intrinsics, Normalisation, project
from ites_core.checkpoint import Run, RunFolder, build_model
from ites_core.config import student_config
from ites_core.data.joint_sets import COMPLETED, KEYPOINT_SETS, SEEN
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.export.onnx import export_onnx
from ites_core.lifting import Lifted, lift, measure, plausibility
from ites_core.lifting.fit import fit
from ites_core.lifting.lift import FEWEST_JOINTS, FOCAL
from ites_core.lifting.people import People, follow
from ites_core.lifting.prior import ANYWHERE, NOISE, SEGMENTS, ShapePrior, fit_prior, segment_lengths
from ites_core.lifting.read_tables import people_of_array
from ites_core.metrics import depth_mirror
from ites_core.priors import facing
from ites_core.skeleton import H36M17

J = {name: j for j, name in enumerate(H36M17.joints)}
PRIOR = ShapePrior.packaged()


@pytest.fixture(scope="session")
def run() -> Run:
    """A small student with random weights: what lifting does around the network needs no training."""
    torch.manual_seed(3)
    config = student_config("smoke")
    model = build_model(config, H36M17)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return Run(model.eval(), config, Normalisation(factor=1.8, metres_per_unit=0.6), H36M17, seed=0)


def bodies(count: int, seed: int = 0) -> torch.Tensor:
    """Sampled poses (M, 17, 3) as a camera sees them, root-relative, metres."""
    poses = PoseSampler.embedded().poses(count, torch.Generator().manual_seed(seed)).float()
    return (poses - poses[:, :1]) * torch.tensor([1.0, -1.0, -1.0])


def pixels(count: int = 6, seed: int = 0) -> np.ndarray:
    """The same as pixels (M, 17, 2)."""
    return (project(bodies(count, seed) * 2) * 1000 + 400).double().numpy()


# ---- the size ------------------------------------------------------------------------------------------------


@given(factor=st.floats(0.01, 100), seed=st.integers(0, 50))
@settings(max_examples=25)
def test_a_person_becomes_one_size_wherever_and_however_large(factor: float, seed: int) -> None:
    x = pixels(3, seed)
    moved = (x + np.array([30.0, -70.0])) * factor
    np.testing.assert_allclose(PRIOR.measure(moved), PRIOR.measure(x) * factor, rtol=1e-9)
    np.testing.assert_allclose(PRIOR.measure(x * PRIOR.scale(x)[:, None, None]), PRIOR.size, rtol=1e-9)


def test_the_size_is_the_mean_of_the_second_to_fifth_longest_segment() -> None:
    x = pixels(1)
    quotient = sorted(segment_lengths(x)[0] / PRIOR.lengths, reverse=True)
    assert PRIOR.measure(x)[0] == pytest.approx(np.mean(quotient[1:5]))
    stray = x.copy()
    stray[0, J["RAnkle"]] += [4000.0, 0.0]  # makes one segment very long, which is dropped
    assert PRIOR.measure(stray)[0] == pytest.approx(PRIOR.measure(x)[0], rel=0.1)


def test_a_size_needs_three_segments() -> None:
    x = pixels(1)
    for kept, known in ((("Hip", "RHip", "LHip"), False), (("RHip", "LHip", "RKnee", "LKnee"), True)):
        few = np.full_like(x, np.nan)
        for name in kept:
            few[:, J[name]] = x[:, J[name]]
        assert bool(np.isfinite(PRIOR.measure(few)[0])) is known
    assert np.isnan(PRIOR.measure(np.zeros((1, 17, 2)))[0])
    names = {H36M17.joints[j] for segment in SEGMENTS for j in segment}
    assert names == set(H36M17.joints) - {"Spine", "Neck"}


# ---- completion ----------------------------------------------------------------------------------------------


@given(hidden=hnp.arrays(np.bool_, (4, 17)), seed=st.integers(0, 20))
@settings(max_examples=40)
def test_completion_keeps_what_is_seen_and_moves_along(hidden: np.ndarray, seed: int) -> None:
    hidden[:, :2] &= ~hidden.all(axis=1, keepdims=True)  # somebody shows at least one joint
    x = pixels(4, seed)
    x = x * PRIOR.scale(x)[:, None, None]
    partial = np.where(hidden[..., None], np.nan, x)
    whole = PRIOR.complete(partial)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[~hidden], x[~hidden])
    shift = np.array([2.0, -1.0])
    np.testing.assert_allclose(PRIOR.complete(partial + shift), whole + shift, atol=1e-6)


def test_completion_is_the_conditional_mean() -> None:
    x = pixels(1)[0]
    x = x * PRIOR.scale(x[None])[0]
    x -= x[0]
    gone = [J["RWrist"], J["LKnee"]]
    columns = [2 * j + c for j in gone for c in (0, 1)]
    kept = [k for k in range(34) if k not in columns]
    shift = np.zeros((34, 34))
    for a in range(34):
        for b in range(34):
            shift[a, b] = ANYWHERE**2 if a % 2 == b % 2 else 0.0
    s = PRIOR.covariance + shift
    flat = x.reshape(34)
    known = np.linalg.inv(s[np.ix_(kept, kept)] + NOISE**2 * np.eye(len(kept)))
    by_hand = PRIOR.mean[columns] + s[np.ix_(columns, kept)] @ known @ (flat[kept] - PRIOR.mean[kept])
    partial = x.copy()
    partial[gone] = np.nan
    np.testing.assert_allclose(PRIOR.complete(partial[None])[0, gone].ravel(), by_hand, atol=1e-4)


def test_completion_of_a_mirrored_person_is_the_mirrored_completion() -> None:
    x = pixels(5)
    x = x * PRIOR.scale(x)[:, None, None]
    x[:, [J["RWrist"], J["RHip"], J["Hip"]]] = np.nan
    flip = np.array([-1.0, 1.0])
    mirror = list(H36M17.mirror)
    np.testing.assert_allclose(PRIOR.complete(x[:, mirror] * flip), PRIOR.complete(x)[:, mirror] * flip, atol=1e-6)


def test_a_prior_is_fitted_written_and_read(tmp_path: Path) -> None:
    poses = bodies(300)
    fitted = fit_prior(project(poses * 2).double().numpy(), poses.double().numpy())
    np.testing.assert_allclose(fitted.mean.reshape(17, 2)[0], 0, atol=1e-12)
    assert fitted.size == pytest.approx(fitted.measure(project(poses * 2).double().numpy()).mean())
    fitted.write(tmp_path / "p.safetensors")
    again = ShapePrior.read(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(again.covariance, fitted.covariance)
    (tmp_path / "p.safetensors").write_bytes(b"no")
    with pytest.raises(ItesError, match="not a readable shape prior"):
        ShapePrior.read(tmp_path / "p.safetensors")


@pytest.mark.data
def test_the_packaged_prior_is_what_the_command_fits(tmp_path: Path, data_dir: Path) -> None:
    again = fit(str(data_dir / "cmu17.npz"), tmp_path / "p.safetensors")
    for name in ("mean", "covariance", "lengths", "size"):
        np.testing.assert_allclose(getattr(again, name), getattr(PRIOR, name), atol=1e-6)


# ---- tracks --------------------------------------------------------------------------------------------------


def film(tracks: list[np.ndarray], order: list[list[int]]) -> People:
    """People of a film: track t in frame f at tracks[t][f]; order says in which order a frame lists them."""
    body = KEYPOINT_SETS["coco17"]
    shape = np.random.default_rng(0).normal(size=(17, 2)) * 20
    rows = [(frame, who) for frame, whom in enumerate(order) for who in whom]
    return People(
        keypoints=np.stack([shape + tracks[who][frame] for frame, who in rows]),
        score=np.ones((len(rows), 17)),
        joints=body,
        frame=np.array([frame for frame, _ in rows]),
        person=np.full(len(rows), -1),
        images={frame: str(frame) for frame, _ in rows},
        film=True,
    )


def test_people_keep_their_numbers_though_the_detector_shuffles_them() -> None:
    walk = np.linspace([0, 0], [300, 0], 20)
    people = film([walk, walk + np.array([0, 200])], [[0, 1] if f % 2 else [1, 0] for f in range(20)])
    number = follow(people)
    lower = people.keypoints[:, :, 1].mean(axis=1) > 100
    assert set(number) == {0, 1} and len(set(number[lower])) == len(set(number[~lower])) == 1


def test_who_vanishes_is_remembered_for_a_while_and_who_jumps_is_new() -> None:
    still = np.zeros((40, 2))
    assert follow(film([still], [[0] if f not in (5, 6, 7) else [] for f in range(12)])).max() == 0
    assert follow(film([still], [[0] if not 5 < f < 30 else [] for f in range(40)])).max() == 1
    jump = still.copy()
    jump[6:] = 900
    assert follow(film([jump], [[0]] * 12)).tolist() == [0] * 6 + [1] * 6


# ---- lifting -------------------------------------------------------------------------------------------------


def test_pose_does_not_depend_on_place_size_or_units_of_the_picture(run: Run) -> None:
    x = pixels()
    first = lift(x, joints="h36m17", weights=run)
    moved = lift(x * 3.7 + [100.0, 5.0], joints="h36m17", weights=run)
    torch.testing.assert_close(first.pose, moved.pose, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(moved.metres_per_pixel * 3.7, first.metres_per_pixel, rtol=1e-5)
    camera = Intrinsics(fx=900.0, fy=1800.0, cx=320.0, cy=240.0)
    tall = lift(x * [1.0, 2.0] + 7.0, joints="h36m17", weights=run, intrinsics=camera)
    torch.testing.assert_close(first.pose, tall.pose, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(tall.picture.numpy(), x * [1.0, 2.0] + 7.0, atol=1e-2)


def test_the_cameras_size_is_the_training_factor(run: Run) -> None:
    x = pixels()
    camera = Intrinsics(fx=1100.0, fy=1150.0, cx=320.0, cy=240.0)
    by_hand = run.lift(camera.to_image(torch.from_numpy(x).float())) * run.normalisation.metres_per_unit
    lifted = lift(x, joints="h36m17", weights=run, size="camera", intrinsics=camera)
    torch.testing.assert_close(lifted.pose, by_hand, atol=1e-5, rtol=1e-4)
    assumed = Intrinsics(FOCAL * 800, FOCAL * 800, 300.0, 400.0)
    lifted = lift(x, joints="h36m17", weights=run, size="camera", image_size=(600, 800))
    exact = lift(x, joints="h36m17", weights=run, size="camera", intrinsics=assumed)
    torch.testing.assert_close(lifted.pose, exact.pose)
    with pytest.raises(ItesError, match="needs a focal length or the picture's size"):
        lift(x, joints="h36m17", weights=run, size="camera")


def test_pictures_of_lifted_people_are_what_came_in(run: Run) -> None:
    x = pixels()
    lifted = lift(x, joints="h36m17", weights=run)
    again = project(lifted.pose / run.normalisation.metres_per_unit)  # the student answers on the rays
    metres = torch.from_numpy((x - x[:, :1]) * lifted.metres_per_pixel[:, None, None]).float()
    torch.testing.assert_close(again * 5 * run.normalisation.metres_per_unit, metres, atol=1e-5, rtol=1e-4)


def test_unseen_joints_are_flagged_and_completed_ones_are_where_the_prior_says(run: Run) -> None:
    x = np.concatenate([pixels(), np.ones((6, 17, 1))], axis=-1)
    x[1, J["RWrist"], 2] = 0.2  # below the threshold
    x[2, J["LKnee"]] = np.nan
    x[3, J["LKnee"]] = [0, 0, 0]
    lifted = lift(x, joints="h36m17", weights=run)
    gone = np.zeros((6, 17), dtype=bool)
    gone[1, J["RWrist"]] = gone[2, J["LKnee"]] = gone[3, J["LKnee"]] = True
    np.testing.assert_array_equal(lifted.completed, gone)
    np.testing.assert_array_equal(lifted.origin, np.where(gone, COMPLETED, SEEN))
    assert lifted.done.all() and (lifted.score[gone] == 0).all()
    np.testing.assert_allclose(lifted.picture.numpy()[~gone], x[..., :2][~gone], atol=1e-2)
    assert "3 joints of 3 poses completed" in lifted.summary()
    other = x.copy()
    other[1, J["RWrist"], :2] += 500  # nobody believed that anyway
    torch.testing.assert_close(lift(other, joints="h36m17", weights=run).pose, lifted.pose)
    believed = lift(x, joints="h36m17", weights=run, min_score=0.1)
    assert not believed.completed[1].any()


def test_who_shows_too_little_is_kept_without_a_pose(run: Run) -> None:
    x = pixels()
    x[2, FEWEST_JOINTS - 1 :] = np.nan
    lifted = lift(x, joints="h36m17", weights=run)
    assert len(lifted) == 6 and lifted.done.tolist() == [True, True, False, True, True, True]
    assert torch.isnan(lifted.pose[2]).all() and np.isnan(lifted.metres_per_pixel[2])
    assert "1 left out" in lifted.summary()
    with pytest.raises(ItesError, match=r"nobody shows 8 of 17 joints.*the best has 7"):
        lift(x[2:3], joints="h36m17", weights=run)


def test_joints_in_one_point_are_nobody(run: Run) -> None:
    x = pixels(3)
    x[1] = 7.0
    x[1, :4] += np.array([1e-200, 0.0]) * np.arange(4)[:, None]
    x[1, J["Head"]] = [1e4, 0]
    x[2] = 7.0
    assert lift(x, joints="h36m17", weights=run).done.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"min_score": 2}, "min_score: found 2"),
        ({"size": "tall"}, "size: found 'tall'"),
        ({"fps": 0}, "fps: found 0"),
        ({"image_size": (0, 4)}, "image_size: found"),
        ({"joints": "toes"}, "unknown keypoint set 'toes'"),
        ({"intrinsics": Intrinsics(0, 1, 2, 3)}, "focal lengths 0 and 1, expected positive"),
    ],
)
def test_bad_options(run: Run, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ItesError, match=match):
        lift(pixels(), **({"joints": "h36m17", "weights": run} | options))


def test_the_package_finds_lift_when_asked_and_not_before() -> None:
    code = "import sys, ites_core; assert 'torch' not in sys.modules; print(ites_core.lift.__module__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "ites_core.lifting.lift"
    with pytest.raises(AttributeError, match="no attribute 'lower'"):
        ites_core.lower  # noqa: B018


@given(data=st.data())
@settings(max_examples=25)
def test_any_set_of_keypoints_is_lifted(run: Run, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(KEYPOINT_SETS.values())))
    coordinate = st.floats(-1e4, 1e4) | st.just(0.0)
    x = data.draw(hnp.arrays(np.float64, (2, len(kind), 3), elements=coordinate))
    x[..., 2] = data.draw(hnp.arrays(np.float64, (2, len(kind)), elements=st.floats(0, 1)))
    try:
        lifted = lift(x, joints=kind.name, weights=run)
    except ItesError as error:
        assert "nobody" in str(error)  # noqa: PT017
    else:
        assert torch.isfinite(lifted.pose[torch.from_numpy(lifted.done)]).all()


@pytest.fixture(scope="session")
def onnx_file(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random student as an ONNX file."""
    file = tmp_path_factory.mktemp("onnx") / "run.onnx"
    export_onnx(run, file)
    return file


def test_an_onnx_file_lifts_as_its_run_does(run: Run, onnx_file: Path) -> None:
    x = np.concatenate([pixels(150), np.ones((150, 17, 1))], axis=-1)  # more than one call
    x[3, J["RWrist"]] = np.nan
    one, other = (lift(x, joints="h36m17", weights=w) for w in (run, onnx_file))
    torch.testing.assert_close(one.pose, other.pose, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(one.metres_per_pixel, other.metres_per_pixel)
    assert other.weights == str(onnx_file)


def test_what_is_no_onnx_file_of_ours_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="no such file; write one by `ites export onnx"):
        lift(pixels(), joints="h36m17", weights=tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(onnx_file.read_bytes()[:500])
    with pytest.raises(ItesError, match=r"bad\.onnx: found no readable ONNX file") as caught:
        lift(pixels(), joints="h36m17", weights=tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)
    import onnx

    bare = onnx.load(onnx_file)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    with pytest.raises(ItesError, match="metadata lack or spoil 'joint_set'"):
        lift(pixels(), joints="h36m17", weights=tmp_path / "bare.onnx")


# ---- plausibility --------------------------------------------------------------------------------------------


def test_a_mirrored_body_bends_the_wrong_way_and_the_share_is_recovered() -> None:
    poses = bodies(400)
    sign = plausibility.turns_right(poses)
    np.testing.assert_array_equal(plausibility.turns_right(depth_mirror(poses)), -sign)
    told = sign[sign != 0]
    right = float(told.gt(0).float().mean())
    assert len(told) > 200 and right > 0.85
    part = torch.cat([poses[:300], depth_mirror(poses[300:])])
    mixed = plausibility.turns_right(part)
    assert plausibility.mirrored_share(mixed, right) == pytest.approx(0.25, abs=0.06)
    assert plausibility.mirrored_share(torch.zeros(3), right) == 0


def test_symmetry_posture_and_facing() -> None:
    poses = bodies(50)
    assert plausibility.limb_asymmetry(poses).max() < 0.1
    uneven = poses.clone()
    uneven[:, J["LWrist"]] += 3 * (uneven[:, J["LWrist"]] - uneven[:, J["LElbow"]])
    assert plausibility.limb_asymmetry(uneven).min() > 0.2
    front = torch.zeros(1, 17, 3)
    for name, place in {"Thorax": (0, -1, 0), "RHip": (-1, 0, 0), "LHip": (1, 0, 0)}.items():
        front[0, J[name]] = torch.tensor(place, dtype=torch.float32)
    assert facing(front, H36M17)[0].tolist() == [0, 0, -1] and not plausibility.facing_away(front)
    assert plausibility.trunk_tilt(front).item() == 0
    assert plausibility.trunk_tilt(front * torch.tensor([1.0, -1.0, 1.0])).item() == pytest.approx(180)


# ---- the command ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def weights(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random student as a run folder."""
    folder = tmp_path_factory.mktemp("weights") / "run"
    RunFolder(folder).write(run, None)
    return folder


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """A film of one person in MMPose's layout."""
    frames = [
        {"frame_id": f, "instances": [{"keypoints": x.tolist(), "keypoint_scores": [0.9] * 17}]}
        for f, x in enumerate(pixels(4))
    ]
    path = tmp_path / "film.json"
    path.write_text(json.dumps(frames))
    return path


def ites(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["ites", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_writes_what_the_suffix_says(
    detections: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".npz", ".json", ".csv", ".bvh", ".glb", ".gltf"):
        out = detections.with_suffix(f".out{suffix}")
        status = ites("lift", detections, "--weights", weights, "--out", out, "--fps", 24, monkeypatch=monkeypatch)
        printed = capsys.readouterr()
        assert status == 0, printed.err
        assert "in 4 frames: 4 of 4 poses lifted" in printed.out
        assert f"{out}: written" in printed.out and out.stat().st_size > 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "a.txt"), "found suffix '.txt', expected one of .npz"),
        (("--out", "none/a.json"), "there is no folder none"),
        (("--out", "a.json", "--joints", "body25"), "found 17 keypoints a person, expected the 25 of body25"),
        (("--out", "a.json", "--min-score", "0.95"), "nobody shows 8 of 17 joints"),
        (("--out", "a.json", "--focal", "900"), "give --image-size too"),
        (("--out", "a.gif", "--film", "no"), "a film needs frames that follow one another"),
        (("--out", "a.bvh", "--person", "7"), "person 7: not among those lifted"),
    ],
)
def test_faults_are_one_line_and_status_2(
    detections: Path,
    weights: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(detections.parent)
    assert ites("lift", detections, "--weights", weights, *arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert {p.name for p in detections.parent.iterdir()} == {"film.json"}, "nothing half-written is left"


# ---- real people, and speed ----------------------------------------------------------------------------------


@pytest.mark.data
def test_all_people_of_coco_are_lifted(run: Run, data_dir: Path) -> None:
    lifted = lift(data_dir / "coco2017_fullbody.npz", weights=run)
    assert len(lifted) == 33927 and lifted.done.all() and torch.isfinite(lifted.pose).all()
    assert 0 < lifted.completed.mean() < 0.02


@pytest.mark.data
@pytest.mark.parametrize("which", ["size", "completion", "joints", "clip", "coco"])
def test_a_measurement_writes_what_the_chapter_reads(
    which: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure.Views
    monkeypatch.setattr(measure, "Views", lambda run: whole(run, 200))
    measure.measure(str(weights), (which,), tmp_path)
    found = json.loads((tmp_path / f"{which}.json").read_text())
    about = found["provenance"]
    assert about["weights"] == str(weights) and about["data_sha256"] and about["torch"]
    stored = Path(measure.FOLDER) / f"{which}.json"
    if stored.is_file():
        kept = json.loads(stored.read_text())
        assert found.keys() == kept.keys(), "measure again: the stored artefact has other fields"


@pytest.mark.timing
def test_poses_a_second_from_array_to_array() -> None:
    """Counted in processor time of one thread, so that a busy machine fails nothing: two cores do twice that."""
    config = student_config("small")
    small = Run(build_model(config, H36M17).eval(), config, Normalisation(1.8, 0.6), H36M17, seed=0)
    x = np.concatenate([np.tile(pixels(100), (40, 1, 1)), np.ones((4000, 17, 1))], axis=-1)
    people = people_of_array(x, joints="h36m17")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        for _ in range(3):
            start = time.process_time()
            result: Lifted = lift(people, weights=small)
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert result.done.all()
    assert 2 * len(people) / min(spent) > 8000


@pytest.mark.timing
def test_the_command_starts_within_three_seconds() -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "ites_core", "lift", "--help"], capture_output=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 3
