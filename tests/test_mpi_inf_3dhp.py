"""ites_core.data.mpi_inf_3dhp: HDF5 files as MATLAB 7.3 writes the test set's, checked joint by joint."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ites_core.data.mpi_inf_3dhp import fit_camera, read_mpi_inf_3dhp
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

ORDER = [
    "head top", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "pelvis", "spine", "head",
]  # fmt: skip
SAME = {
    "Hip": "pelvis", "RHip": "right hip", "RKnee": "right knee", "RAnkle": "right ankle", "LHip": "left hip",
    "LKnee": "left knee", "LAnkle": "left ankle", "Spine": "spine", "Thorax": "neck", "Neck": "head",
    "Head": "head top", "LShoulder": "left shoulder", "LElbow": "left elbow", "LWrist": "left wrist",
    "RShoulder": "right shoulder", "RElbow": "right elbow", "RWrist": "right wrist",
}  # fmt: skip
FOCAL, CENTRE = np.array([1500.1, 1499.2]), np.array([1017.4, 1043.1])


def fields(frames: int = 12, seed: int = 0, noise: float = 0.5) -> dict[str, Any]:
    """One sequence's fields in MATLAB's order of axes as HDF5 shows it."""
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=400, size=(frames, 1, 17, 3)) + np.array([200, -100, 3500])
    pixels = points[..., :2] / points[..., 2:] * FOCAL + CENTRE + rng.normal(scale=noise, size=(frames, 1, 17, 2))
    valid = np.ones((frames, 1))
    valid[[1, 5]] = 0
    pixels[1] = np.nan  # what is not valid need not be a number
    activity = np.repeat([1, 3, 7], frames // 3)[:, None]
    return {
        "annot2": pixels, "annot3": points, "univ_annot3": points * 0.9, "valid_frame": valid,
        "activity_annotation": activity.astype(float), "bb_crop": np.zeros((frames, 34)),
    }  # fmt: skip


def write(folder: Path, name: str = "TS1", drop: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    data = {k: v for k, v in (fields() | changes).items() if k not in drop}
    (folder / name).mkdir(exist_ok=True)
    with h5py.File(folder / name / "annot_data.mat", "w", userblock_size=512) as file:  # MATLAB's text goes before
        for key, value in data.items():
            file[key] = value
    with (folder / name / "annot_data.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512))
    return data


def test_joints_frames_and_activities(tmp_path: Path) -> None:
    data = write(tmp_path)
    a = read_mpi_inf_3dhp(tmp_path)
    assert a.names == ("TS1/standing or walking", "TS1/sitting", "TS1/other") and set(a.split) == {"test"}
    assert a.action == ("standing or walking", "sitting", "other") and a.subject == ("TS1",) * 3
    kept = [0, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert a.frames == 10 and a.sequence.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2] and a.pose is not None
    for j, joint in enumerate(H36M17.joints):
        place = ORDER.index(SAME[joint])
        want = (data["annot3"][kept, 0, place] - data["annot3"][kept, 0, ORDER.index("pelvis")]) / 1000
        np.testing.assert_allclose(a.pose[:, j].numpy(), want, atol=1e-6)
        pixels = data["annot2"][kept, 0, place]
        np.testing.assert_allclose(a.image[:, j].numpy(), (pixels - CENTRE) / FOCAL, atol=2e-3)
    assert a.mean_distance == pytest.approx(data["annot3"][kept, 0, 14, 2].mean() / 1000)


def test_several_people_each_with_his_own_camera(tmp_path: Path) -> None:
    write(tmp_path, "TS1")
    other = fields(seed=1)
    other["annot2"] = (other["annot2"] - CENTRE) * 1.2 + [900, 500]
    write(tmp_path, "TS6", **other)
    a = read_mpi_inf_3dhp(tmp_path)
    assert a.frames == 20 and set(a.subject) == {"TS1", "TS6"} and len(a) == 6
    np.testing.assert_allclose(
        a.image[a.sequence >= 3][:, 0].numpy(),
        (other["annot2"][[0, 2, 3, 4, 6, 7, 8, 9, 10, 11], 0, 14] - [900, 500]) / FOCAL / 1.2,
        atol=2e-3,
    )


def test_without_activities(tmp_path: Path) -> None:
    write(tmp_path, drop=("activity_annotation",))
    assert read_mpi_inf_3dhp(tmp_path).names == ("TS1/unknown",)
    write(tmp_path, activity_annotation=np.full((12, 1), 99.0))
    assert read_mpi_inf_3dhp(tmp_path).names == ("TS1/unknown",)


@given(st.tuples(*[st.floats(200, 5000)] * 2), st.tuples(*[st.floats(-500, 3000)] * 2), st.floats(0.1, 1000))
def test_the_fit_finds_the_camera(focal: tuple[float, float], centre: tuple[float, float], unit: float) -> None:
    points = np.random.default_rng(0).normal(size=(5, 17, 3)) * unit + [0, 0, 6 * unit]
    camera = fit_camera(points[..., :2] / points[..., 2:] * focal + centre, points, "x")
    np.testing.assert_allclose((camera.fx, camera.fy, camera.cx, camera.cy), (*focal, *centre), rtol=1e-6, atol=1e-5)
    seen = camera.to_image(camera.to_pixels(torch.from_numpy(points))).numpy()
    np.testing.assert_allclose(seen, points[..., :2] / points[..., 2:], atol=1e-9)


@pytest.mark.parametrize(
    "drop, changes, match",
    [
        (("annot2",), {}, "field 'annot2': found nothing, expected data; the file has activity_annotation, annot3"),
        (("annot3",), {}, "field 'annot3'"),
        (("valid_frame",), {}, "field 'valid_frame'"),
        ((), {"annot3": fields()["annot3"][:, :, :16]}, r"annot3: found shape \(12, 1, 16, 3\), expected"),
        ((), {"annot2": fields()["annot2"][:, 0]}, r"annot2: found shape \(12, 17, 2\), expected"),
        ((), {"annot3": fields()["annot3"][:7]}, r"annot3: found shape \(7, 1, 17, 3\)"),
        ((), {"annot2": np.array(b"text")}, "annot2: expected numbers"),
        ((), {"valid_frame": np.ones(7)}, "valid_frame: found 7 numbers, expected one for each of 12"),
        ((), {"activity_annotation": np.ones(7)}, "activity_annotation: found 7 numbers"),
        ((), {"valid_frame": np.zeros(12)}, "no valid frame among 12"),
        ((), {"annot2": fields()["annot2"] * np.nan}, "a valid frame has a NaN"),
        ((), {"annot3": fields()["annot3"] * [1, 1, -1]}, "behind the camera"),
        ((), {"annot3": fields()["annot3"] * [1, -1, 1]}, "determine no camera"),
        ((), {"annot3": fields()["annot3"] * [1, 1, 1e-320]}, "lies in the camera"),
        ((), {"annot3": fields()["annot3"] * [0, 1, 1]}, "determine no camera"),
        ((), {"annot2": fields()["annot2"][:, :, ::-1]}, "pixels from the best projection|determine no camera"),
    ],
)
def test_bad_files(tmp_path: Path, drop: tuple[str, ...], changes: dict[str, Any], match: str) -> None:
    write(tmp_path, drop=drop, **changes)
    with pytest.raises(ItesError, match=match) as caught:
        read_mpi_inf_3dhp(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_residual_is_told(tmp_path: Path) -> None:
    write(tmp_path, **fields(noise=30))
    with pytest.raises(ItesError, match=r"annot2 lies 4\d\.\d pixels from the best projection of annot3"):
        read_mpi_inf_3dhp(tmp_path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match=r"no TS1/annot_data\.mat"):
        read_mpi_inf_3dhp(tmp_path)
    (tmp_path / "TS2").mkdir()
    (tmp_path / "TS2" / "annot_data.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(ItesError, match=r"not a readable MATLAB 7\.3 file"):
        read_mpi_inf_3dhp(tmp_path)


def test_data_in_other_files_is_not_followed(tmp_path: Path) -> None:
    data = write(tmp_path)
    path = tmp_path / "TS1" / "annot_data.mat"
    (tmp_path / "secret").write_bytes(data["annot2"].tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["annot2"] = data["annot2"]
    layout = h5py.VirtualLayout(shape=data["annot2"].shape, dtype=float)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "annot2", shape=data["annot2"].shape)
    makers = [
        lambda f: f.__setitem__("annot2", h5py.ExternalLink(str(tmp_path / "other.h5"), "annot2")),
        lambda f: f.__setitem__("annot2", h5py.SoftLink("/annot3")),
        lambda f: f.create_virtual_dataset("annot2", layout),
        lambda f: f.create_dataset(
            "annot2", data["annot2"].shape, float, external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        ),
        lambda f: f.create_group("annot2"),
        lambda f: f.__setitem__("annot2", np.dtype("f8")),  # a stored type
        lambda f: f.create_dataset("annot2", (1 << 40, 1, 17, 2), float, chunks=(1, 1, 17, 2)),  # claims 300 TB
    ]
    for make in makers:
        with h5py.File(path, "r+") as file:
            del file["annot2"]
            make(file)
        with pytest.raises(ItesError, match=r"annot2.*(expected data|expected numbers|claims shape)"):
            read_mpi_inf_3dhp(tmp_path)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ItesError, match=r"pip install ites-core\[data\]"):
        read_mpi_inf_3dhp(tmp_path)


@given(st.floats(0, 1, exclude_max=True))
def test_truncated_files_give_one_error(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.getbasetemp() / "mpi"
    path = folder / "TS1" / "annot_data.mat"
    if not (folder / "good").exists():
        folder.mkdir(exist_ok=True)
        write(folder)
        (folder / "good").write_bytes(path.read_bytes())
    raw = (folder / "good").read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with contextlib.suppress(ItesError):
        read_mpi_inf_3dhp(folder)
