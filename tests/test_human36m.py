"""ites_core.data.human36m: small files made as the community's are, checked by other formulas than the reader's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ites_core.data import human36m
from ites_core.data.human36m import CAMERA_FILE, read_human36m
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

PUBLISHED = json.loads(Path(human36m.__file__).with_name(CAMERA_FILE).read_text(encoding="utf-8"))
MOVING = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# A person 1.7 m tall who faces along +y: right is +x. Metres, z up.
PERSON = np.array(
    [
        [0, 0, 0.9], [0.13, 0, 0.9], [0.13, 0, 0.48], [0.13, -0.03, 0.05], [-0.13, 0, 0.9], [-0.13, 0, 0.48],
        [-0.13, -0.03, 0.05], [0, -0.03, 1.15], [0, 0, 1.4], [0, 0.03, 1.5], [0, 0, 1.62], [-0.15, 0, 1.4],
        [-0.2, 0, 1.12], [-0.2, 0.08, 0.87], [0.15, 0, 1.4], [0.2, 0, 1.12], [0.2, 0.08, 0.87],
    ]
)  # fmt: skip


def motion(frames: int, seed: int) -> np.ndarray:
    """(frames, 32, 3) metres in the world: a person who wanders and turns; unused joints are far off."""
    rng = np.random.default_rng(seed)
    joints = np.full((frames, 32, 3), 99.0)
    turn = Rotation.from_rotvec(np.outer(np.linspace(0, 2, frames) + rng.normal(), [0, 0, 1])).as_matrix()
    where = np.concatenate([rng.uniform(-0.8, 0.8, (1, 2)), [[0.0]]], axis=1)
    moving = PERSON + rng.normal(scale=0.02, size=(frames, 17, 3))
    joints[:, MOVING] = np.einsum("fij,fnj->fni", turn, moving) + where
    return joints.astype(np.float32)


def seen(joints: np.ndarray, subject: str, index: int, published: dict[str, Any] = PUBLISHED) -> tuple[Any, Any]:
    """Camera-frame joints and pixels, by scipy's rotations and Human3.6M's own distortion formula."""
    eye, lens = published["subjects"][subject][index], published["cameras"][index]
    w, x, y, z = eye["orientation"]
    to_camera = Rotation.from_quat([x, y, z, w]).inv()
    points = joints[:, MOVING].astype(np.float64) - np.array(eye["translation"]) / 1000
    points = to_camera.apply(points.reshape(-1, 3)).reshape(points.shape)
    image = points[..., :2] / points[..., 2:]
    r2 = (image**2).sum(-1)
    radial = 1 + sum(k * r2 ** (i + 1) for i, k in enumerate(lens["radial"]))
    tangential = (image * lens["tangential"]).sum(-1)
    image = image * (radial + tangential)[..., None] + np.array(lens["tangential"]) * r2[..., None]
    return points, (image * lens["focal"] + lens["centre"]).astype(np.float32)


World = dict[str, dict[str, np.ndarray]]
Edit = Callable[[dict[str, dict[str, Any]], dict[str, dict[str, Any]]], None]


def write(folder: Path, edit: Edit | None = None, detections: str = "gt", noise: float = 0.0) -> World:
    """Both files, as VideoPose3D writes them; ``edit`` may spoil them first."""
    world: dict[str, dict[str, Any]] = {
        "S1": {"Walking 1": motion(6, 1), "Eating": motion(4, 2)},
        "S9": {"Walking 1": motion(5, 3)},
        "S11": {"SittingDown 2": motion(3, 4)},
    }
    rng = np.random.default_rng(0)
    pixels: dict[str, dict[str, Any]] = {
        s: {
            a: [seen(p, s, c)[1] + rng.normal(scale=noise, size=(len(p), 17, 2)).astype(np.float32) for c in range(4)]
            for a, p in actions.items()
        }
        for s, actions in world.items()
    }
    if edit:
        edit(world, pixels)
    metadata = {"num_joints": 17, "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=world)  # type: ignore[arg-type]
    name = human36m.FILES_2D[detections]
    np.savez_compressed(folder / name, positions_2d=pixels, metadata=metadata)  # type: ignore[arg-type]
    return world


def test_protocol_names_and_order(tmp_path: Path) -> None:
    write(tmp_path)
    a = read_human36m(tmp_path)
    assert a.names == ("S1/Walking 1", "S1/Eating", "S9/Walking 1", "S11/SittingDown 2")
    assert a.action == ("Walking", "Eating", "Walking", "SittingDown")
    assert a.subject == ("S1", "S1", "S9", "S11") and a.split == ("train", "train", "test", "test")
    assert a.skeleton == H36M17 and a.source == str(tmp_path)
    assert torch.bincount(a.sequence).tolist() == [24, 16, 20, 12] and torch.bincount(a.camera).tolist() == [18] * 4
    assert a.camera[:24].tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6


def test_values(tmp_path: Path) -> None:
    world = write(tmp_path)
    a = read_human36m(tmp_path)
    assert a.pose is not None
    depths, start = [], 0
    for name in a.names:
        subject, action = name.split("/")
        for index in range(4):
            points, pixels = seen(world[subject][action], subject, index)
            own = slice(start, start + len(points))
            start += len(points)
            np.testing.assert_allclose(a.pose[own].numpy(), points - points[:, :1], atol=2e-6)
            lens = PUBLISHED["cameras"][index]
            np.testing.assert_allclose(
                a.image[own].numpy(), (pixels - np.array(lens["centre"])) / np.array(lens["focal"]), atol=1e-6
            )
            depths.append(points[:, 0, 2])
    assert start == a.frames and a.mean_distance == pytest.approx(np.concatenate(depths).mean())
    assert 3 < a.mean_distance < 7


def test_stride(tmp_path: Path) -> None:
    write(tmp_path)
    a, b = read_human36m(tmp_path), read_human36m(tmp_path, stride=3)
    assert torch.bincount(b.sequence).tolist() == [8, 8, 8, 4]
    assert torch.equal(b.image[:2], a.image[[0, 3]]) and a.pose is not None and b.pose is not None
    assert torch.equal(b.pose[2:4], a.pose[[6, 9]])


def test_the_shorter_of_both_counts(tmp_path: Path) -> None:
    def cut(world: World, pixels: dict[str, dict[str, Any]]) -> None:
        world["S9"]["Walking 1"] = world["S9"]["Walking 1"][:4]
        pixels["S1"]["Eating"][2] = pixels["S1"]["Eating"][2][:3]

    write(tmp_path, cut)
    assert torch.bincount(read_human36m(tmp_path).sequence).tolist() == [24, 15, 16, 12]


def test_detected_joints(tmp_path: Path) -> None:
    write(tmp_path, detections="cpn", noise=8.0)
    a = read_human36m(tmp_path, "cpn")
    assert a.frames == 72
    os.rename(tmp_path / human36m.FILES_2D["cpn"], tmp_path / human36m.FILES_2D["gt"])
    with pytest.raises(ItesError, match="10 pixels from the projected 3D joints, expected at most 5"):
        read_human36m(tmp_path)


@pytest.mark.parametrize("subject", list(PUBLISHED["subjects"]))
def test_published_cameras_stand_around_the_room_and_are_upright(subject: str) -> None:
    joints = np.zeros((1, 32, 3), dtype=np.float32)
    joints[:, MOVING] = PERSON
    for index in range(4):
        points, pixels = seen(joints, subject, index)
        lens = PUBLISHED["cameras"][index]
        assert (points[..., 2] > 3).all() and (points[..., 2] < 7).all()
        assert (pixels > 0).all() and (pixels < [lens["width"], lens["height"]]).all()
        assert pixels[0, H36M17.head, 1] < pixels[0, 0, 1] - 50 < pixels[0, 3, 1] - 100  # y is down
    assert len(PUBLISHED["subjects"]) == 7 and "VideoPose3D" in PUBLISHED["source"]


def test_cameras_in_the_folder_come_first(tmp_path: Path) -> None:
    turned = json.loads(json.dumps(PUBLISHED))
    for eyes in turned["subjects"].values():
        eyes.reverse()
    write(tmp_path)
    (tmp_path / CAMERA_FILE).write_text(json.dumps(turned))
    with pytest.raises(ItesError, match=r"S1/Walking 1, camera 0: 2D joints lie .* do not fit together"):
        read_human36m(tmp_path)
    (tmp_path / CAMERA_FILE).write_text(json.dumps(PUBLISHED))
    assert read_human36m(tmp_path).frames == 72


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"cameras": [], "subjects": {"S1": [1]}}', "[" * 100_000, '{"cameras": [{"focal": [1e999, 1]}]}']
    + [json.dumps(PUBLISHED).replace("1145.0494384765625", v) for v in ('"x"', "NaN", "1" + "0" * 400)]
    + [json.dumps(PUBLISHED).replace("0.1407056450843811", "3.0")],
)
def test_camera_files_that_are_none(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (tmp_path / CAMERA_FILE).write_text(text)
    with pytest.raises(ItesError, match=r"human36m_cameras\.json: not a camera file"):
        read_human36m(tmp_path)


def spoil(subject: str, action: str, value: Any, where: str = "3d", camera: int | None = None) -> Edit:
    """An edit that replaces one recording, or one camera's track."""

    def edit(world: dict[str, dict[str, Any]], pixels: dict[str, dict[str, Any]]) -> None:
        place = world if where == "3d" else pixels
        if camera is None:
            place[subject][action] = value(place[subject][action])
        else:
            place[subject][action][camera] = value(place[subject][action][camera])

    return edit


def with_nan(track: np.ndarray) -> np.ndarray:
    track[2, 7, 1] = np.nan
    return track


@pytest.mark.parametrize(
    "edit, match",
    [
        (
            spoil("S1", "Eating", lambda p: p[:, :17]),
            r"S1/Eating: found float32 \(4, 17, 3\), expected \(frames, 32, 3\)",
        ),
        (spoil("S1", "Eating", lambda p: p[..., :2]), "expected .frames, 32, 3"),
        (spoil("S1", "Eating", lambda p: p.astype(int)), "found int64"),
        (spoil("S1", "Eating", lambda p: p[:0]), "no frame"),
        (spoil("S1", "Eating", lambda p: "x"), "found str"),
        (spoil("S1", "Eating", with_nan), "NaN or infinite coordinate at frame 2"),
        (spoil("S9", "Walking 1", with_nan, "2d", 3), "S9/Walking 1, camera 3: NaN"),
        (spoil("S9", "Walking 1", lambda p: p[:, :16], "2d", 3), r"camera 3: found float32 \(5, 16, 2\)"),
        (spoil("S9", "Walking 1", lambda p: p[:3], "2d"), "expected one track for each of 4 cameras"),
        (spoil("S9", "Walking 1", lambda p: np.array(7.0), "2d"), "expected one track for each"),
        (spoil("S9", "Walking 1", lambda p: p[::-1], "2d"), "do not fit together"),
        (spoil("S9", "Walking 1", lambda p: p[:, list(H36M17.mirror)], "2d", 0), "do not fit together"),
        (spoil("S9", "Walking 1", lambda p: p * 1000), "do not fit together"),
        (lambda w, p: p["S9"].clear(), "S9/Walking 1: expected one track"),
        (lambda w, p: w.update(S2=w.pop("S9")), "subject 'S2' has no cameras"),
        (lambda w, p: w.clear(), "holds no recording"),
        (lambda w, p: w.update(S9=[1]), "positions_3d: expected a dictionary"),
        (lambda w, p: w.update(S9={3: 1}), "positions_3d: expected a dictionary"),
        (lambda w, p: p.update(S9=None), "positions_2d: expected a dictionary"),
    ],
)
def test_bad_files(tmp_path: Path, edit: Edit, match: str) -> None:
    write(tmp_path, edit)
    with pytest.raises(ItesError, match=match) as caught:
        read_human36m(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_keys_and_options(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match=r"data_3d_h36m\.npz: no such file"):
        read_human36m(tmp_path)
    write(tmp_path)
    with pytest.raises(ItesError, match=r"cpn_ft_h36m_dbb\.npz: no such file"):
        read_human36m(tmp_path, "cpn")
    with pytest.raises(ItesError, match="detections: found 'hourglass', expected one of gt, cpn"):
        read_human36m(tmp_path, "hourglass")  # type: ignore[arg-type]
    with pytest.raises(ItesError, match="stride: found 0"):
        read_human36m(tmp_path, stride=0)
    np.savez(tmp_path / "data_3d_h36m.npz", poses=np.zeros(3))
    with pytest.raises(ItesError, match="positions_3d: expected a dictionary, subject to action; found poses"):
        read_human36m(tmp_path)


class Trap:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_malicious_files(tmp_path: Path) -> None:
    write(tmp_path, spoil("S1", "Eating", lambda p: Trap()))
    with pytest.raises(ItesError, match=r"asks for 'posix\.system'"):
        read_human36m(tmp_path)


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3), st.booleans()
)
def test_changed_bytes_give_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "h36m"
    folder.mkdir(exist_ok=True)
    if not (folder / "good").exists():
        write(folder)
        (folder / "good").write_bytes((folder / "data_3d_h36m.npz").read_bytes())
    raw = bytearray((folder / "good").read_bytes())
    for place, value in changes:
        raw[int(place * len(raw))] = value
    (folder / "data_3d_h36m.npz").write_bytes(raw[: int(changes[0][0] * len(raw))] if cut else raw)
    with contextlib.suppress(ItesError):  # unless no byte changed
        assert read_human36m(folder).frames == 72
