"""ites_core.data.openpose_clip: calibration and detections as Pose2Sim hands them out, against cameras made here."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_cli import ites
from test_keypoints import distorted

from ites_core.data.joint_sets import BODY25B
from ites_core.data.keypoints import read_openpose_clip, undistort
from ites_core.data.openpose_clip import convert_clip, read_calibration, triangulate
from ites_core.errors import ItesError

EYES = 3


def setup() -> tuple[list[dict[str, Any]], np.ndarray]:
    """Three cameras four metres away, and one person's joints (frames, 25, 3)."""
    rng = np.random.default_rng(0)
    cameras = [
        {
            "name": f"cam0{k + 1}", "size": [1087.0, 1919.0],
            "matrix": [[1680.0, 0.0, 540.0 + k], [0.0, 1681.0, 960.0], [0.0, 0.0, 1.0]],
            "distortions": [-0.01, 0.02, 1e-4, -2e-4],
            "rotation": Rotation.from_euler("y", 60 * k, True).as_rotvec().tolist(),
            "translation": [0.1 * k, 0.0, 4.0], "fisheye": False,
        }
        for k in range(EYES)
    ]  # fmt: skip
    return cameras, rng.normal(scale=0.4, size=(6, len(BODY25B), 3))


def seen(camera: dict[str, Any], points: np.ndarray) -> np.ndarray:
    """Pixels of world points, lens included."""
    local = points @ Rotation.from_rotvec(camera["rotation"]).as_matrix().T + camera["translation"]
    image = distorted(local[..., :2] / local[..., 2:], *camera["distortions"])
    k = np.array(camera["matrix"])
    return image * k[[0, 1], [0, 1]] + k[:2, 2]


def toml(tables: list[dict[str, Any]]) -> str:
    lines = []
    for k, table in enumerate(tables, start=1):
        lines += [f"[cam_{k}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join([*lines, "[metadata]", "adjusted = false", "error = 0.0", ""])


def write(folder: Path, edit: dict[tuple[int, int], Any] | None = None, **changes: Any) -> tuple[Path, Path]:
    """Calibration and one folder of detections a camera; ``edit`` replaces the people of (camera, frame)."""
    cameras, world = setup()
    calibration = folder / "Calib_scene.toml"
    calibration.write_text(toml([camera | changes for camera in cameras]))
    for c, camera in enumerate(cameras):
        (folder / "pose" / f"cam{c + 1}_json").mkdir(parents=True, exist_ok=True)
        for f, points in enumerate(world):
            flat = np.concatenate([seen(camera, points), np.full((25, 1), 0.9)], axis=1).ravel().tolist()
            people = (edit or {}).get((c, f), [{"pose_keypoints_2d": flat}])
            (folder / "pose" / f"cam{c + 1}_json" / f"cam0{c + 1}.{f:04d}.json").write_text(
                json.dumps({"people": people})
            )
    return calibration, folder / "pose"


def test_exact_detections_give_back_the_person(tmp_path: Path) -> None:
    out = tmp_path / "clip.npz"
    assert convert_clip(*write(tmp_path), out) == (EYES, 6)
    cameras, world = setup()
    with np.load(out) as file:
        np.testing.assert_allclose(file["joints3d_body25b"], world, atol=1e-4)
        np.testing.assert_allclose(file["keypoints2d"][1, 2, :, :2], seen(cameras[1], world[2]), atol=1e-2)
    archive = read_openpose_clip(out)
    assert archive.frames == EYES * 6 and archive.camera.unique().tolist() == [0, 1, 2]


def test_the_best_person_counts_and_frames_without_two_views_go(tmp_path: Path) -> None:
    stranger = [{"pose_keypoints_2d": [5.0, 5.0, 0.1] * 25}]
    cameras, world = setup()
    right = np.concatenate([seen(cameras[0], world[0]), np.full((25, 1), 0.9)], axis=1).ravel().tolist()
    two_people = [*stranger, {"pose_keypoints_2d": right}]
    calibration, folder = write(tmp_path, {(0, 0): two_people, (1, 3): [], (2, 3): [], (2, 4): []})
    out = tmp_path / "clip.npz"
    assert convert_clip(calibration, folder, out) == (EYES, 5), "frame 3 is seen by one camera alone"
    with np.load(out) as file:
        np.testing.assert_allclose(file["joints3d_body25b"], np.delete(world, 3, axis=0), atol=1e-4)
    next((folder / "cam2_json").glob("*.0005.json")).unlink()
    assert convert_clip(calibration, folder, out) == (EYES, 4), "frames that a camera lacks go too"


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calibration, folder = write(tmp_path)
    out = tmp_path / "c.npz"
    assert ites("data", "convert-clip", calibration, folder, "--out", out, monkeypatch=monkeypatch) == 0
    assert "3 cameras, 6 frames" in capsys.readouterr().out
    assert ites("data", "convert-clip", folder, folder, "--out", out, monkeypatch=monkeypatch) == 2


@given(st.floats(0.2, 1.0), st.integers(0, 2**31))
def test_a_poor_detection_counts_by_its_score(weight: float, seed: int) -> None:
    cameras, world = setup()
    rotation = np.stack([Rotation.from_rotvec(c["rotation"]).as_matrix() for c in cameras])
    translation = np.array([c["translation"] for c in cameras])
    local = np.einsum("cij,fnj->cfni", rotation, world) + translation[:, None, None]
    image = local[..., :2] / local[..., 2:]
    image[0] += np.random.default_rng(seed).normal(scale=0.01, size=image[0].shape)
    score = np.ones(image.shape[:-1])
    score[0] = 1e-6
    np.testing.assert_allclose(triangulate(image, score, rotation, translation), world, atol=1e-3)
    score[0] = weight
    off = np.linalg.norm(triangulate(image, score, rotation, translation) - world, axis=-1).mean()
    score[0] = 1.0
    assert off <= 1.05 * np.linalg.norm(triangulate(image, score, rotation, translation) - world, axis=-1).mean()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"matrix": [[1.0]]}, "matrix: expected 3 x 3"),
        ({"matrix": [[0.0, 0.0, 0.0]] * 3}, "positive focal lengths"),
        ({"distortions": [0.0] * 5}, "distortions: expected 4"),
        ({"rotation": ["a", "b", "c"]}, "rotation: expected 3"),
        ({"translation": [0.0, 0.0]}, "translation: expected 3"),
        ({"size": 3}, "size: expected 2"),
        ({"fisheye": True}, "fisheye"),
    ],
)
def test_bad_calibrations(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    calibration, _ = write(tmp_path, **changes)
    with pytest.raises(ItesError, match=says) as caught:
        read_calibration(calibration)
    assert "cam_1" in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files(tmp_path: Path) -> None:
    calibration, folder = write(tmp_path)
    out = tmp_path / "out.npz"
    with pytest.raises(ItesError, match="not a readable TOML"):
        read_calibration(tmp_path / "none.toml")
    (tmp_path / "empty.toml").write_text("[metadata]\n")
    with pytest.raises(ItesError, match="found no camera"):
        read_calibration(tmp_path / "empty.toml")
    with pytest.raises(ItesError, match="found 0 folders"):
        convert_clip(calibration, tmp_path / "none", out)
    with pytest.raises(ItesError, match="cannot be written"):
        convert_clip(calibration, folder, tmp_path / "no" / "out.npz")
    file = next((folder / "cam1_json").glob("*.json"))
    for text, says in (
        ("{", "not a file of OpenPose"),
        ('{"people": 3}', "not a file of OpenPose"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "expected 75 numbers"),
        ('{"people": [{"pose_keypoints_2d": "x"}]}', "not a file of OpenPose"),
    ):
        file.write_text(text)
        with pytest.raises(ItesError, match=says):
            convert_clip(calibration, folder, out)
    file.rename(file.with_name("frame.json"))
    with pytest.raises(ItesError, match="frame number"):
        convert_clip(calibration, folder, out)
    for other in (folder / "cam2_json").glob("*.json"):
        other.unlink()
    with pytest.raises(ItesError, match="found 2 folders"):
        convert_clip(calibration, folder, out)
    assert not out.exists()


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_cameras_or_one_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(raw)
    with contextlib.suppress(ItesError):
        read_calibration(file)


@pytest.mark.data
def test_the_recorded_clip_is_triangulated_alike(data_dir: Path) -> None:
    """The stored 3D was triangulated by somebody else's program from the same detections."""
    with np.load(data_dir / "pose2sim_balancing_4view.npz") as file:
        fields = {
            name: file[name].astype(np.float64) for name in ("keypoints2d", "K", "dist", "R", "t", "joints3d_body25b")
        }
    focal, centre = fields["K"][:, [0, 1], [0, 1]], fields["K"][:, :2, 2]
    flat = (fields["keypoints2d"][..., :2] - centre[:, None, None]) / focal[:, None, None]
    image = np.stack([undistort(f, d) for f, d in zip(flat, fields["dist"], strict=True)])
    points = triangulate(image, fields["keypoints2d"][..., 2], fields["R"], fields["t"])
    off = np.linalg.norm(points - fields["joints3d_body25b"], axis=-1)
    assert np.median(off) < 2e-3 and np.quantile(off, 0.95) < 2e-2
