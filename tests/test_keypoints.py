"""ites_core.data.keypoints: joint maps, COCO people and the OpenPose clip, made here and as recorded."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ites_core.camera import Normalisation
from ites_core.data.joint_sets import BODY25B, BODY25B_TO_H36M17, COCO17, COCO17_TO_H36M17, joint_map
from ites_core.data.keypoints import (
    COCO_DISTANCE,
    COCO_SIZE,
    read_coco_keypoints,
    read_openpose_clip,
    undistort,
)
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

J = {name: i for i, name in enumerate(H36M17.joints)}


def save(path: Path, arrays: dict[str, Any], drop: tuple[str, ...] = (), **changes: Any) -> Path:
    np.savez_compressed(path, **{k: v for k, v in (arrays | changes).items() if k not in drop})
    return path


# ---- joint maps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix, count", [(COCO17_TO_H36M17, 17), (BODY25B_TO_H36M17, 25)])
def test_maps_are_means_and_keep_left_and_right(matrix: np.ndarray, count: int) -> None:
    assert matrix.shape == (17, count) and (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    names = COCO17 if count == 17 else BODY25B
    side = [1 if n.startswith(("left", "L")) else -1 if n.startswith(("right", "R")) else 0 for n in names]
    lateral = matrix @ side
    assert all(lateral[j] == 1 for j in H36M17.left) and all(lateral[j] == -1 for j in H36M17.right)
    assert all(abs(lateral[j]) < 1e-12 for j in range(17) if j not in H36M17.left | H36M17.right)


def test_maps_joint_by_joint() -> None:
    points = np.random.default_rng(0).normal(size=(17, 2))
    by_name = dict(zip(COCO17, points, strict=True))
    joints = COCO17_TO_H36M17 @ points
    for joint, keypoint in {"LWrist": "left_wrist", "RKnee": "right_knee", "LHip": "left_hip", "Head": "nose"}.items():
        np.testing.assert_allclose(joints[J[joint]], by_name[keypoint])
    hip = (by_name["left_hip"] + by_name["right_hip"]) / 2
    thorax = (by_name["left_shoulder"] + by_name["right_shoulder"]) / 2
    np.testing.assert_allclose(joints[J["Hip"]], hip)
    np.testing.assert_allclose(joints[J["Thorax"]], thorax)
    np.testing.assert_allclose(joints[J["Spine"]], (hip + thorax) / 2)
    np.testing.assert_allclose(joints[J["Neck"]], 0.4 * thorax + 0.6 * by_name["nose"])


def test_maps_that_are_none() -> None:
    good = {joint: {"a": 1.0} for joint in H36M17.joints}
    assert joint_map(("b", "a"), good).tolist() == [[0.0, 1.0]] * 17
    with pytest.raises(ItesError, match="Spine: keypoint 'c' is not among the 2 given"):
        joint_map(("b", "a"), good | {"Spine": {"c": 1.0}})
    with pytest.raises(ItesError, match=r"Spine: weights sum to 0\.9, expected 1"):
        joint_map(("b", "a"), good | {"Spine": {"a": 0.9}})
    with pytest.raises(ItesError, match="Spine: weights sum to 0"):
        joint_map(("b", "a"), {k: v for k, v in good.items() if k != "Spine"})


# ---- COCO -------------------------------------------------------------------------------------------------


def coco(people: int = 6) -> dict[str, Any]:
    keypoints = np.random.default_rng(0).integers(0, 500, size=(people, 17, 3)).astype(np.int16)
    keypoints[..., 2] = 2
    return {
        "keypoints": keypoints, "image_id": np.array([30, 10, 10, 20, 40, 50][:people], dtype=np.int32),
        "is_val": np.array([False, True, True, False, False, False][:people]),
        "size_ambiguous": np.zeros(people, dtype=bool), "joint_names": np.array(COCO17),
    }  # fmt: skip


def test_people_become_one_size(tmp_path: Path) -> None:
    data = coco()
    a = read_coco_keypoints(save(tmp_path / "a.npz", data))
    assert a.pose is None and a.mean_distance == COCO_DISTANCE and a.frames == 6
    assert a.names == a.subject == ("10", "20", "30", "40", "50") and a.sequence.tolist() == [2, 0, 0, 1, 3, 4]
    assert a.split == ("test", "train", "train", "train", "train")
    np.testing.assert_allclose(a.image.square().sum(-1).mean(-1).sqrt().numpy(), COCO_SIZE / COCO_DISTANCE, rtol=1e-5)
    x = data["keypoints"].astype(float)[3]
    ratio = (a.image[3, J["LAnkle"]].numpy()) / (x[15, :2] - (x[11, :2] + x[12, :2]) / 2)
    assert ratio[0] == pytest.approx(ratio[1]) and ratio[0] > 0


def test_incomplete_and_ambiguous_people_are_left_out(tmp_path: Path) -> None:
    data = coco()
    data["keypoints"][0, COCO17.index("left_ear"), 2] = 0  # ears are not needed
    data["keypoints"][1, COCO17.index("left_wrist"), 2] = 0
    data["keypoints"][2, COCO17.index("nose"), 2] = 1  # marked though hidden
    data["size_ambiguous"][3] = True
    data["keypoints"][4, :, :2] = 7  # one point
    a = read_coco_keypoints(save(tmp_path / "a.npz", data))
    assert a.names == ("10", "30", "50") and a.sequence.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "drop, changes, match",
    [
        (("keypoints",), {}, "field 'keypoints' is missing"),
        (("is_val",), {}, "field 'is_val' is missing"),
        ((), {"joint_names": np.array(COCO17[::-1])}, "joint_names: found right_ankle, .* expected nose"),
        ((), {"keypoints": coco()["keypoints"][:, :16]}, r"found keypoints \(6, 16, 3\)"),
        ((), {"image_id": np.zeros(5, dtype=int)}, "5 images"),
        ((), {"is_val": np.zeros(6)}, "is_val: found float64"),
        ((), {"keypoints": coco()["keypoints"] * np.inf}, "keypoints: NaN or infinite"),
        ((), {"keypoints": coco()["keypoints"] * 0}, "found 0 complete people of 6, none"),
        ((), {"keypoints": np.array([{}], dtype=object)}, "holds Python objects"),
    ],
)
def test_bad_coco_files(tmp_path: Path, drop: tuple[str, ...], changes: dict[str, Any], match: str) -> None:
    path = save(tmp_path / "a.npz", coco(), drop, **changes)
    with pytest.raises(ItesError, match=match) as caught:
        read_coco_keypoints(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


# ---- the OpenPose clip ------------------------------------------------------------------------------------


def distorted(image: np.ndarray, k1: float, k2: float, p1: float, p2: float) -> np.ndarray:
    """OpenCV's lens model, written out for one coordinate at a time."""
    x, y = image[..., 0], image[..., 1]
    r = np.hypot(x, y)
    bend = 1 + k1 * r**2 + k2 * r**4
    u = x * bend + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)
    v = y * bend + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y
    return np.stack([u, v], axis=-1)


def clip(frames: int = 5) -> dict[str, Any]:
    """Two cameras with a lens that bends visibly, seeing exactly the 3D joints."""
    rng = np.random.default_rng(0)
    world = rng.normal(scale=0.4, size=(frames, 25, 3))
    rotation = Rotation.random(2, random_state=1).as_matrix()
    t, dist = np.array([[0.1, 0.2, 4.0], [0.0, -0.1, 5.0]]), np.array([[-0.2, 0.1, 1e-3, -2e-3], [0.1, 0.0, 0.0, 1e-3]])
    k = np.array([[[1600.0, 0, 540], [0, 1610, 960], [0, 0, 1]], [[1500.0, 0, 500], [0, 1490, 900], [0, 0, 1]]])
    keypoints = np.ones((2, frames, 25, 3))
    for c in range(2):
        points = Rotation.from_matrix(rotation[c]).apply(world.reshape(-1, 3)).reshape(world.shape) + t[c]
        seen = distorted(points[..., :2] / points[..., 2:], *dist[c])
        keypoints[c, ..., :2] = seen * k[c][[0, 1], [0, 1]] + k[c][:2, 2]
    return {
        "keypoints2d": keypoints, "joints3d_body25b": world, "K": k, "dist": dist, "R": rotation, "t": t,
        "body25b_names": np.array(BODY25B),
    }  # fmt: skip


def test_clip_agrees_with_its_projection(tmp_path: Path) -> None:
    data = clip()
    data["keypoints2d"][1, 2, BODY25B.index("LKnee"), 2] = 0.2
    data["keypoints2d"][0, 1, BODY25B.index("LEar"), 2] = 0.0  # not needed
    a = read_openpose_clip(save(tmp_path / "clip.npz", data))
    assert a.names == ("clip",) and a.split == ("test",) and a.camera.tolist() == [0] * 5 + [1] * 4
    assert a.pose is not None and read_openpose_clip(tmp_path / "clip.npz", min_score=0.1).frames == 10
    joint, point = J["RWrist"], BODY25B.index("RWrist")
    for view, (c, f) in enumerate([(0, f) for f in range(5)] + [(1, f) for f in (0, 1, 3, 4)]):
        seen = data["R"][c] @ data["joints3d_body25b"][f, point] + data["t"][c]
        np.testing.assert_allclose(a.image[view, joint].numpy(), seen[:2] / seen[2], atol=1e-5)
        left, right = (data["joints3d_body25b"][f, BODY25B.index(n)] for n in ("LHip", "RHip"))
        want = data["R"][c] @ (data["joints3d_body25b"][f, point] - (left + right) / 2)
        np.testing.assert_allclose(a.pose[view, joint].numpy(), want, atol=1e-6)


@given(*[st.floats(-0.6, 0.6)] * 2, st.floats(-0.25, 0.25), st.floats(-0.1, 0.1), *[st.floats(-3e-3, 3e-3)] * 2)
def test_distortion_is_undone(x: float, y: float, k1: float, k2: float, p1: float, p2: float) -> None:
    ideal = np.array([[x, y]])
    found = undistort(distorted(ideal, k1, k2, p1, p2), np.array([k1, k2, p1, p2]), steps=40)
    np.testing.assert_allclose(found, ideal, atol=1e-5)


@pytest.mark.parametrize(
    "drop, changes, match",
    [
        (("K",), {}, "field 'K' is missing"),
        (("joints3d_body25b",), {}, "field 'joints3d_body25b' is missing"),
        ((), {"body25b_names": np.array(BODY25B[::-1])}, "body25b_names: found RHeel"),
        ((), {"R": clip()["R"][:1]}, r"R: found shape \(1, 3, 3\), expected \(2, 3, 3\)"),
        ((), {"dist": clip()["dist"][:, :3]}, "dist: found shape"),
        ((), {"joints3d_body25b": clip()["joints3d_body25b"][:4]}, "joints3d_body25b: found shape"),
        ((), {"joints3d_body25b": clip()["joints3d_body25b"] * np.nan}, "of finite numbers"),
        ((), {"keypoints2d": clip()["keypoints2d"][0]}, "keypoints2d: found float64 with 3 axes"),
        ((), {"keypoints2d": clip()["keypoints2d"][:, :, :17]}, "keypoints2d: found shape"),
        (
            (),
            {k: v[:0] for k, v in clip().items() if k in ("keypoints2d", "K", "dist", "R", "t")},
            "keypoints2d: found",
        ),
        ((), {"K": clip()["K"] * 0}, "found focal lengths 0 and 0"),
        ((), {"t": -clip()["t"]}, "a joint lies behind a camera"),
        ((), {"keypoints2d": clip()["keypoints2d"] * 0}, "no view has all joints"),
    ],
)
def test_bad_clips(tmp_path: Path, drop: tuple[str, ...], changes: dict[str, Any], match: str) -> None:
    path = save(tmp_path / "clip.npz", clip(), drop, **changes)
    with pytest.raises(ItesError, match=match) as caught:
        read_openpose_clip(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3), st.booleans()
)
def test_changed_bytes_give_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for arrays, read in ((coco(), read_coco_keypoints), (clip(), read_openpose_clip)):
        path = save(folder / "mutated.npz", arrays)
        raw = bytearray(path.read_bytes())
        for place, value in changes:
            raw[int(place * len(raw))] = value
        path.write_bytes(raw[: int(changes[0][0] * len(raw))] if cut else raw)
        with contextlib.suppress(ItesError):
            read(path)


# ---- real files -------------------------------------------------------------------------------------------


@pytest.mark.data
def test_recorded_coco(data_dir: Path) -> None:
    a = read_coco_keypoints(data_dir / "coco2017_fullbody.npz")
    assert a.frames == 28195 and len(a) == 20004
    assert [a.part(s).frames for s in ("train", "val", "test")] == [24414, 2712, 1069]
    assert (a.image[:, J["Head"], 1] < a.image[:, J["Hip"], 1]).float().mean() > 0.97  # y is down
    assert 0.6 < Normalisation.fit(a.image, a.mean_distance).metres_per_unit < 0.75  # hip to head, metres


@pytest.mark.data
def test_recorded_clip(data_dir: Path) -> None:
    path = data_dir / "pose2sim_balancing_4view.npz"
    a = read_openpose_clip(path)
    assert torch.bincount(a.camera).tolist() == [93, 95, 78, 100] and a.pose is not None
    with np.load(path) as file:
        mapped = BODY25B_TO_H36M17 @ file["joints3d_body25b"].astype(np.float64)
        np.testing.assert_allclose(mapped, file["joints3d_h36m17"], atol=1e-6)  # the file's own 17 joints
        limbs = [j for j in range(17) if BODY25B_TO_H36M17[j].max() == 1]
        for view in (0, 100, 200, 300):  # 3D in front of its camera projects to about where it was detected
            c = int(a.camera[view])
            frame = view - int((a.camera < c).sum())
            kept = np.flatnonzero((file["keypoints2d"][c][:, BODY25B_TO_H36M17.any(axis=0), 2] >= 0.3).all(axis=1))[
                frame
            ]
            points = mapped[kept] @ file["R"][c].T + file["t"][c]
            np.testing.assert_allclose(a.pose[view].numpy(), points - points[0], atol=1e-5)
            off = np.linalg.norm(points[:, :2] / points[:, 2:] - a.image[view].numpy(), axis=1)[limbs]
            assert np.median(off) * file["K"][c, 0, 0] < 40
