"""ites_core.export: what is written of lifted poses is what independent readers find in the files."""

from __future__ import annotations

import base64
import csv
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.animation import FFMpegWriter
from PIL import Image
from scipy.spatial.transform import Rotation

from ites_core.data.bvh import bvh_positions, read_bvh
from ites_core.data.joint_sets import COMPLETED, ORIGINS
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.export.gltf import gltf_bytes
from ites_core.export.rig import REST, UPRIGHT, Rig, make_rig, rigs
from ites_core.export.save import save
from ites_core.export.tables import read_lifted
from ites_core.lifting import Lifted
from ites_core.skeleton import H36M17

SINGLE = [  # bones to the only child of a joint: their directions are exact
    j for j, parent in enumerate(H36M17.parents) if parent >= 0 and H36M17.parents.count(parent) == 1
]  # fmt: skip


def motion(frames: int, seed: int = 0) -> torch.Tensor:
    """A sampled movement (F, 17, 3), root-relative, camera frame, metres."""
    archive = PoseSampler.embedded().archive(sequences=4, frames=max(frames, 2), test_sequences=1, seed=seed)
    poses = archive.sequence(0)[:frames]
    return (poses - poses[:, :1]) * torch.tensor([1.0, -1.0, -1.0])


def made(people: int = 2, frames: int = 6, film: bool = True, lost: tuple[int, ...] = (3,)) -> Lifted:
    """Lifted people as lifting gives them; the rows in ``lost`` were not lifted."""
    m = people * frames
    pose = torch.cat([motion(frames, seed) for seed in range(people)]).float()
    origin = np.zeros((m, 17), dtype=np.uint8)
    origin[1, 16] = COMPLETED
    picture = pose[..., :2] * 200 + torch.tensor([320.0, 240.0])
    picture[..., 0] += torch.arange(m)[:, None] * 3.0
    metres = np.full(m, 1 / 200, dtype=np.float32)
    for k in lost:
        pose[k], picture[k], metres[k], origin[k] = torch.nan, torch.nan, np.nan, COMPLETED
    frame = np.tile(np.arange(frames, dtype=np.int64) + 10, people) if film else np.arange(m, dtype=np.int64)
    return Lifted(
        pose=pose,
        picture=picture,
        score=np.where(origin == COMPLETED, 0, 0.5).astype(np.float32),
        origin=origin,
        metres_per_pixel=metres,
        frame=frame,
        person=np.repeat(np.arange(people, dtype=np.int64), frames),
        images={int(f): f"{f}.jpg" for f in np.unique(frame)},
        film=film,
        fps=24.0 if film else None,
        skeleton=H36M17,
        source="made.json",
        weights="none",
    )


# ---- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "metres", "pixel"), [(".npz", 0.0, 0.0), (".json", 1e-4, 1e-2)])
@pytest.mark.parametrize("film", [True, False])
def test_npz_and_json_come_back(tmp_path: Path, suffix: str, metres: float, pixel: float, film: bool) -> None:
    lifted = made(film=film)
    [path] = save(lifted, tmp_path / f"a{suffix}")
    again = read_lifted(path)
    np.testing.assert_allclose(again.pose.numpy(), lifted.pose.numpy(), atol=metres)
    np.testing.assert_allclose(again.picture.numpy(), lifted.picture.numpy(), atol=pixel)
    np.testing.assert_allclose(again.metres_per_pixel, lifted.metres_per_pixel, rtol=1e-5)
    for name in ("score", "origin", "frame", "person"):
        np.testing.assert_array_equal(getattr(again, name), getattr(lifted, name))
    for name in ("images", "film", "fps", "skeleton", "source", "weights"):
        assert getattr(again, name) == getattr(lifted, name)
    np.testing.assert_array_equal(again.done, lifted.done)


def test_json_is_json_and_csv_is_csv(tmp_path: Path) -> None:
    lifted = made()
    text = save(lifted, tmp_path / "a.json")[0].read_text()
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert data["joints"] == list(H36M17.joints) and data["people"][3]["pose_m"] is None
    assert data["people"][1]["origin"][16] == "completed"
    with save(lifted, tmp_path / "a.csv")[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(lifted) * 17
    for k, j in ((0, 5), (1, 16), (3, 2), (7, 10)):
        row = rows[17 * k + j]
        assert (row["frame"], row["person"], row["joint"]) == (
            str(lifted.frame[k]), str(lifted.person[k]), H36M17.joints[j],
        )  # fmt: skip
        assert row["origin"] == ORIGINS[lifted.origin[k, j]]
        found = [float(row[c]) if row[c] else np.nan for c in ("x_m", "y_m", "z_m")]
        np.testing.assert_allclose(found, lifted.pose[k, j].numpy(), atol=1e-4)


def test_what_is_no_lifted_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pose=np.zeros(3))
    with pytest.raises(ItesError, match="format: found None"):
        read_lifted(tmp_path / "a.npz")
    lifted = made()
    whole = json.loads(save(lifted, tmp_path / "b.json")[0].read_text())
    for change in ({"people": [{}]}, {"joint_set": "toes"}, {"people": 3}, {"format": "other"}):
        (tmp_path / "b.json").write_text(json.dumps(whole | change))
        with pytest.raises(ItesError, match=r"is missing or of the wrong kind|unknown joint set|format: found"):
            read_lifted(tmp_path / "b.json")
    [path] = save(lifted, tmp_path / "c.npz")
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(tmp_path / "c.npz", **(kept | {"score": kept["score"][:, :3]}))
    with pytest.raises(ItesError, match="score: found shape"):
        read_lifted(path)
    np.savez(tmp_path / "c.npz", **(kept | {"pose": kept["pose"].astype(">f8")}))  # of another machine
    assert torch.equal(read_lifted(path).pose.nan_to_num(), lifted.pose.nan_to_num())
    for field in ("score", "pose", "picture", "metres_per_pixel"):
        np.savez(tmp_path / "c.npz", **(kept | {field: np.full_like(kept[field], -np.inf)}))
        with pytest.raises(ItesError, match=f"{field}: found another kind or number"):
            read_lifted(path)
    for field in ("score", "picture", "metres_per_pixel"):  # of somebody who was lifted
        np.savez(tmp_path / "c.npz", **(kept | {field: np.full_like(kept[field], np.nan)}))
        with pytest.raises(ItesError, match=f"{field}: found another kind or number"):
            read_lifted(path)


# ---- the rig -------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_rig_points_its_bones_where_the_pose_does(seed: int) -> None:
    pose = motion(4, seed % 7).double().numpy() * UPRIGHT
    pose = Rotation.random(random_state=seed).apply(pose.reshape(-1, 3)).reshape(pose.shape)
    rig = make_rig("a", pose, np.zeros((4, 3)), np.arange(4), 24.0)
    found = rig.positions()
    parents = np.array(H36M17.parents)
    bone = found[:, 1:] - found[:, parents[1:]]
    lengths = np.linalg.norm(bone, axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-9)
    wanted = pose[:, 1:] - pose[:, parents[1:]]
    direction, target = bone / lengths[..., None], wanted / np.linalg.norm(wanted, axis=-1, keepdims=True)
    exact = np.array(SINGLE) - 1
    np.testing.assert_allclose(direction[:, exact], target[:, exact], atol=1e-6)
    assert found[:, [3, 6], 1].min() == pytest.approx(0)
    assert ((rig.turns[1:] * rig.turns[:-1]).sum(-1) >= 0).all(), "quaternions stay on one side"
    np.testing.assert_allclose(np.linalg.norm(rig.turns, axis=-1), 1)


def test_a_pose_at_rest_needs_no_turn_and_a_folded_one_is_no_exception() -> None:
    rest = np.zeros((1, 17, 3))
    for j in range(1, 17):
        rest[0, j] = rest[0, H36M17.parents[j]] + REST[j] * 0.3
    rig = make_rig("a", rest, np.zeros((1, 3)), np.arange(1), 25.0)
    np.testing.assert_allclose(np.abs(rig.turns[..., 3]), 1, atol=1e-9)
    for strange in (-rest, rest * 0.0, rest * [1.0, 0.0, 0.0]):  # every bone turned round; no body; a flat one
        rig = make_rig("a", strange, np.zeros((1, 3)), np.arange(1), 25.0)
        assert np.isfinite(rig.positions()).all() and np.isfinite(rig.turns).all()
    np.testing.assert_allclose(
        np.diff(make_rig("a", -rest, np.zeros((1, 3)), np.arange(1), 25.0).positions()[0, [1, 2]], axis=0),
        [[0, 0.3, 0]], atol=1e-9,
    )  # fmt: skip


def test_rigs_of_a_film_walk_as_their_pictures_do() -> None:
    lifted = made()
    first, second = rigs(lifted)
    assert first.frame.tolist() == [10, 11, 12, 14, 15] and first.fps == 24.0
    assert first.root[:, 0] == pytest.approx(np.array([0, 3, 6, 12, 15]) / 200, abs=1e-6)
    assert second.root[0, 0] == pytest.approx(18 / 200, abs=1e-6)
    whole = first.without_gaps()
    assert whole.frame.tolist() == list(range(10, 16))
    assert whole.root[3] == pytest.approx((first.root[2] + first.root[3]) / 2)
    assert second.without_gaps() is second
    far = Rig("a", first.offsets, first.turns[:2], first.root[:2], np.array([0, 10**15]), 24.0)
    with pytest.raises(ItesError, match="expected at most 500000; split the film"):
        far.without_gaps()
    [only] = rigs(lifted, person=1)
    np.testing.assert_array_equal(only.turns, second.turns)
    with pytest.raises(ItesError, match=r"person 5: not among those lifted \(0 to 1\)"):
        rigs(lifted, person=5)
    with pytest.raises(ItesError, match="found 2 people, expected at most 1; choose one with --person"):
        rigs(lifted, most=1)


def test_rigs_of_photographs_stand_in_a_row() -> None:
    stood = rigs(made(film=False))
    assert len(stood) == 11 and all(len(rig.frame) == 1 for rig in stood)
    assert [round(float(rig.root[0, 0]), 6) for rig in stood] == [round(1.2 * k, 6) for k in range(11)]


# ---- BVH and glTF --------------------------------------------------------------------------------------------


def test_bvh_is_read_back_by_our_reader(tmp_path: Path) -> None:
    lifted = made()
    files = save(lifted, tmp_path / "a.bvh")
    assert [f.name for f in files] == ["a-0.bvh", "a-1.bvh"]
    for file, rig in zip(files, rigs(lifted), strict=True):
        read = read_bvh(file)
        assert read.frame_time == pytest.approx(1 / 24) and len(read.values) == 6
        columns = [read.joints.index(name) for name in H36M17.joints]
        found = bvh_positions(read)[:, columns].numpy()
        np.testing.assert_allclose(found, rig.without_gaps().positions(), atol=1e-5)
    assert save(lifted, tmp_path / "b.bvh", person=1) == [tmp_path / "b.bvh"]


class Gltf:
    """The least reader of glTF: nodes, accessors, and one animation evaluated at a key frame."""

    def __init__(self, content: bytes) -> None:
        if content[:4] == b"glTF":
            _, version, total = struct.unpack("<4sII", content[:12])
            assert version == 2 and total == len(content)
            size, kind = struct.unpack("<I4s", content[12:20])
            assert kind == b"JSON" and size % 4 == 0
            self.json: dict[str, Any] = json.loads(content[20 : 20 + size])
            length, kind = struct.unpack("<I4s", content[20 + size : 28 + size])
            assert kind == b"BIN\0" and length % 4 == 0
            self.data = content[28 + size : 28 + size + length]
        else:
            self.json = json.loads(content)
            self.data = base64.b64decode(self.json["buffers"][0]["uri"].split(",")[1])
        assert self.json["buffers"][0]["byteLength"] <= len(self.data)

    def array(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind = {5126: np.float32, 5123: np.uint16, 5121: np.uint8}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        raw = self.data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        found = np.frombuffer(raw, dtype=kind).reshape(accessor["count"], width)
        if "min" in accessor:
            np.testing.assert_array_equal(found.min(axis=0), np.array(accessor["min"], dtype=kind))
            np.testing.assert_array_equal(found.max(axis=0), np.array(accessor["max"], dtype=kind))
        return found

    def places(self, animation: int | None, key: int) -> dict[int, np.ndarray]:
        """World matrices (4, 4) of all nodes."""
        moved: dict[tuple[int, str], np.ndarray] = {}
        if animation is not None:
            one = self.json["animations"][animation]
            for channel in one["channels"]:
                sampler = one["samplers"][channel["sampler"]]
                target = channel["target"]["node"], channel["target"]["path"]
                moved[target] = self.array(sampler["output"])[key]
        world: dict[int, np.ndarray] = {}

        def walk(node: int, above: np.ndarray) -> None:
            about = self.json["nodes"][node]
            local = np.eye(4)
            turn = moved.get((node, "rotation"), np.array(about.get("rotation", [0, 0, 0, 1])))
            local[:3, :3] = Rotation.from_quat(turn).as_matrix()
            local[:3, 3] = moved.get((node, "translation"), np.array(about.get("translation", [0, 0, 0])))
            world[node] = above @ local
            for child in about.get("children", []):
                walk(child, world[node])

        for node in self.json["scenes"][0]["nodes"]:
            walk(node, np.eye(4))
        return world


@pytest.mark.parametrize("binary", [True, False])
def test_gltf_moves_its_joints_and_its_mesh_as_the_rig_does(binary: bool) -> None:
    made_rigs = rigs(made())
    gltf = Gltf(gltf_bytes(made_rigs, binary))
    assert gltf.json["asset"]["version"] == "2.0" and len(gltf.json["animations"]) == 2
    for number, rig in enumerate(made_rigs):
        skin = gltf.json["skins"][number]
        assert [gltf.json["nodes"][n]["name"] for n in skin["joints"]] == list(H36M17.joints)
        time = gltf.array(gltf.json["animations"][number]["samplers"][0]["input"])[:, 0]
        np.testing.assert_allclose(time, (rig.frame - rig.frame[0]) / 24.0, atol=1e-6)
        inverse = gltf.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        for key in (0, 3):
            world = gltf.places(number, key)
            found = np.stack([world[n][:3, 3] for n in skin["joints"]])
            np.testing.assert_allclose(found, rig.positions()[key], atol=1e-5)
            for primitive in gltf.json["meshes"][number]["primitives"]:
                held = {name: gltf.array(index) for name, index in primitive["attributes"].items()}
                assert (held["WEIGHTS_0"].sum(axis=1) == 1).all()
                joint = held["JOINTS_0"][:, 0]
                bind = np.stack([world[n] for n in skin["joints"]]) @ inverse
                points = np.concatenate([held["POSITION"], np.ones((len(joint), 1))], axis=1)
                skinned = np.einsum("vij,vj->vi", bind[joint], points)[:, :3]
                # Every stick begins at a joint: its tips are vertices.
                for name in np.unique(joint):
                    nearest = np.linalg.norm(skinned[joint == name] - found[name], axis=1).min()
                    assert nearest < 1e-5
                assert gltf.array(primitive["indices"]).max() == len(joint) - 1
                np.testing.assert_allclose(np.linalg.norm(held["NORMAL"], axis=1), 1, atol=1e-5)


def test_sticks_face_outwards() -> None:
    [rig] = rigs(made(people=1, lost=()))
    gltf = Gltf(gltf_bytes([rig]))
    for primitive in gltf.json["meshes"][0]["primitives"]:
        points = gltf.array(primitive["attributes"]["POSITION"]).reshape(-1, 8, 3, 3)
        normals = gltf.array(primitive["attributes"]["NORMAL"]).reshape(-1, 8, 3, 3)[:, :, 0]
        middle = points.mean(axis=(1, 2))[:, None]
        assert ((points.mean(axis=2) - middle) * normals).sum(-1).min() > 0


def test_a_still_person_has_no_animation() -> None:
    rig = rigs(made(film=False))[0]
    still: Rig = rig
    gltf = Gltf(gltf_bytes([still]))
    assert "animations" not in gltf.json
    world = gltf.places(None, 0)
    found = np.stack([world[n][:3, 3] for n in gltf.json["skins"][0]["joints"]])
    np.testing.assert_allclose(found, still.positions()[0], atol=1e-5)


# ---- pages and films -----------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_page_opens_without_a_network(tmp_path: Path, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    [path] = save(made(), tmp_path / "a.html")
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-gl=swiftshader"],
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)  # a busy machine is no failure
        faults: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".js-plotly-plot .slider-label")
        assert page.title() == "Lifted poses: made.json"
        assert "11 of 12 poses lifted" in page.inner_text("p") and "1 joint of 1 pose completed" in page.inner_text("p")
        assert "frame 10, person 0" in (page.text_content(".slider-label") or "")
        plot = "document.querySelector('.js-plotly-plot')"
        before = page.evaluate(f"Array.from({plot}.data[0].x)")
        page.evaluate(f"Plotly.animate({plot}, ['4'], {{mode: 'immediate', frame: {{duration: 0}}}})")
        page.wait_for_timeout(300)
        assert page.evaluate(f"Array.from({plot}.data[0].x)") != before
        assert not faults and {u.split(":")[0] for u in asked} <= {"file", "data", "blob"}, (faults, asked)
        browser.close()


def test_a_page_of_many_shows_some_and_says_so(tmp_path: Path) -> None:
    text = save(made(people=4, frames=60, lost=()), tmp_path / "a.html")[0].read_text()
    assert "150 poses of 240 are shown, evenly spaced" in text
    assert "<script src=" not in text and "<link" not in text


def test_a_gif_has_a_picture_a_frame(tmp_path: Path) -> None:
    [path] = save(made(frames=4, lost=(1,)), tmp_path / "a.gif")
    with Image.open(path) as film:
        assert film.n_frames == 4 and film.size[0] > 500
        assert film.info["duration"] == pytest.approx(1000 / 24, abs=10)
        first = np.asarray(film.convert("RGB"), dtype=float)
        film.seek(2)
        assert np.abs(np.asarray(film.convert("RGB"), dtype=float) - first).mean() > 0.3, "nothing moves"


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="no ffmpeg")
def test_an_mp4_is_an_mp4(tmp_path: Path) -> None:
    [path] = save(made(frames=4), tmp_path / "a.mp4")
    assert path.read_bytes()[4:8] == b"ftyp" and path.stat().st_size > 2000


def test_without_ffmpeg_an_mp4_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(ItesError, match=r"needs the program ffmpeg.*or write \.gif"):
        save(made(frames=4), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_a_film_of_photographs_or_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="frames that follow one another"):
        save(made(film=False), tmp_path / "a.gif")
    with pytest.raises(ItesError, match=r"person 9: not among those lifted \(0, 1\)"):
        save(made(), tmp_path / "a.gif", person=9)
    (tmp_path / "b.npz").mkdir()
    with pytest.raises(ItesError, match="cannot be written"):
        save(made(), tmp_path / "b.npz")
