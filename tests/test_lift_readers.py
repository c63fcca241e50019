"""ites_core.lifting: every reader gives back what was written, and answers anything else in one line."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ites_core.data.joint_sets import (
    COMPLETED,
    KEYPOINT_SETS,
    SEEN,
    SUBSTITUTED,
    KeypointSet,
    find_keypoint_set,
)
from ites_core.errors import ItesError
from ites_core.lifting.people import People
from ites_core.lifting.read import find_format, read_people
from ites_core.lifting.read_tables import people_of_array
from ites_core.skeleton import H36M17

SIZE = (640.0, 480.0)


class Sample:
    """People to write: pixels (M, K, 2), scores (M, K), frame and person numbers."""

    def __init__(self, xy: np.ndarray, score: np.ndarray, frame: list[int], person: list[int]) -> None:
        self.xy, self.score, self.frame, self.person = xy, score, frame, person

    def __len__(self) -> int:
        return len(self.xy)

    def flat(self, k: int) -> list[float]:
        return np.concatenate([self.xy[k], self.score[k][:, None]], axis=1).ravel().tolist()


@st.composite
def samples(draw: Any, keypoints: int) -> Sample:
    """One to five people in frames that rise, in pixels of a 640 x 480 picture, at positive scores."""
    m = draw(st.integers(1, 5))
    unit = st.floats(0.01, 0.99).map(lambda v: round(v, 4))
    xy = draw(hnp.arrays(np.float64, (m, keypoints, 2), elements=unit)) * np.array(SIZE)
    score = draw(hnp.arrays(np.float64, (m, keypoints), elements=unit))
    frame = sorted(draw(st.lists(st.integers(0, 50), min_size=m, max_size=m, unique=True)))
    return Sample(np.round(xy, 2), score, frame, list(range(m)))


# ---- writers: one a format, as its program writes it -------------------------------------------------------


def coco_results(s: Sample, to: Path) -> Path:
    rows = [{"image_id": s.frame[k], "category_id": 1, "score": 0.9, "keypoints": s.flat(k)} for k in range(len(s))]
    return dump(rows, to / "a.json")


def coco_annotations(s: Sample, to: Path) -> Path:
    flags = np.where(s.score > 0.5, 2, 1)
    rows = []
    for k in range(len(s)):
        points = np.concatenate([s.xy[k], flags[k][:, None]], axis=1).ravel().tolist()
        rows.append({"image_id": s.frame[k], "keypoints": points, "num_keypoints": 17})
    images = [{"id": f, "width": 640, "height": 480, "file_name": f"{f}.jpg"} for f in s.frame]
    return dump({"images": images, "annotations": rows, "categories": [{"id": 1}]}, to / "a.json")


def mmpose_film(s: Sample, to: Path) -> Path:
    frames = [
        {"frame_id": s.frame[k], "instances": [{"keypoints": s.xy[k].tolist(), "keypoint_scores": s.score[k].tolist()}]}
        for k in range(len(s))
    ]
    return dump({"meta_info": {}, "instance_info": frames}, to / "a.json")


def mmpose_image(s: Sample, to: Path) -> Path:
    people = [{"keypoints": s.xy[k].tolist(), "keypoint_scores": s.score[k].tolist()} for k in range(len(s))]
    return dump(people, to / "a.json")


def ultralytics(s: Sample, to: Path) -> Path:
    people = [
        {
            "name": "person", "class": 0, "confidence": 0.8, "box": {},
            "keypoints": {"x": s.xy[k, :, 0].tolist(), "y": s.xy[k, :, 1].tolist(), "visible": s.score[k].tolist()},
        }
        for k in range(len(s))
    ]  # fmt: skip
    return dump([[p] for p in people], to / "a.json")


def yolo(s: Sample, to: Path) -> Path:
    folder = to / "labels"
    folder.mkdir()
    for k in range(len(s)):
        points = np.concatenate([s.xy[k] / SIZE, s.score[k][:, None]], axis=1).ravel()
        line = " ".join(map(repr, ["0", *points.tolist()])).replace("'", "")
        (folder / f"{k:03d}.txt").write_text(line.replace("0 ", "0 0.5 0.5 0.5 0.5 ", 1) + "\n")
    return folder


def openpose(s: Sample, to: Path) -> Path:
    folder = to / "openpose"
    folder.mkdir()
    for k in range(len(s)):
        people = [{"person_id": [-1], "pose_keypoints_2d": s.flat(k), "face_keypoints_2d": []}]
        dump({"version": 1.3, "people": people}, folder / f"clip_{s.frame[k]:012d}_keypoints.json")
    return folder


def mediapipe(s: Sample, to: Path) -> Path:
    frames = []
    for k in range(len(s)):
        points = zip((s.xy[k] / SIZE).tolist(), s.score[k].tolist(), strict=True)
        pose = [{"x": x, "y": y, "z": 0.1, "visibility": v} for (x, y), v in points]
        frames.append({"frame": s.frame[k], "poses": [pose]})
    return dump({"image_size": SIZE, "fps": 30, "frames": frames}, to / "a.json")


def csv_long(s: Sample, to: Path, names: tuple[str, ...] = KEYPOINT_SETS["coco17"].joints) -> Path:
    with (to / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "person", "joint", "x", "y", "score"])
        for k in range(len(s)):
            for j, name in enumerate(names):
                writer.writerow([s.frame[k], s.person[k], name, *s.xy[k, j], s.score[k, j]])
    return to / "a.csv"


def csv_wide(s: Sample, to: Path, names: tuple[str, ...] = KEYPOINT_SETS["coco17"].joints) -> Path:
    with (to / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["frame", "person", *(f"{n}_{c}" for n in names for c in ("x", "y", "score"))])
        for k in range(len(s)):
            writer.writerow([s.frame[k], s.person[k], *s.flat(k)])
    return to / "a.csv"


def npz(s: Sample, to: Path, names: tuple[str, ...] = KEYPOINT_SETS["coco17"].joints) -> Path:
    points = np.concatenate([s.xy, s.score[..., None]], axis=-1)
    frame, person = np.array(s.frame), np.array(s.person)
    np.savez(to / "a.npz", keypoints=points, joint_names=np.array(names), frame=frame, person=person)
    return to / "a.npz"


def npy(s: Sample, to: Path) -> Path:
    np.save(to / "a.npy", np.concatenate([s.xy, s.score[..., None]], axis=-1))
    return to / "a.npy"


def dump(data: Any, path: Path) -> Path:
    path.write_text(json.dumps(data))
    return path


# name: (writer, keypoint set, options of the reader, format that is found, whether frame numbers are kept)
FORMATS: dict[str, tuple[Callable[[Sample, Path], Path], str, dict[str, Any], str, bool]] = {
    "COCO results": (coco_results, "coco17", {}, "coco", True),
    "COCO annotations": (coco_annotations, "coco17", {}, "coco", True),
    "MMPose film": (mmpose_film, "coco17", {}, "coco", True),
    "MMPose picture": (mmpose_image, "coco17", {}, "coco", False),
    "Ultralytics": (ultralytics, "coco17", {}, "coco", False),
    "YOLO labels": (yolo, "coco17", {"size": SIZE}, "yolo", False),
    "OpenPose BODY_25": (openpose, "body25", {"joints": "body25"}, "openpose", True),
    "OpenPose BODY_25B": (openpose, "body25b", {"joints": "body25b"}, "openpose", True),
    "OpenPose COCO": (openpose, "coco18", {}, "openpose", True),
    "MediaPipe": (mediapipe, "mediapipe33", {}, "mediapipe", True),
    "CSV, a row a keypoint": (csv_long, "coco17", {}, "csv", True),
    "CSV, a row a person": (csv_wide, "coco17", {}, "csv", True),
    "npz": (npz, "coco17", {}, "numpy", True),
    "npz, H36M17": (lambda s, to: npz(s, to, H36M17.joints), "h36m17", {}, "numpy", True),
    "npy": (npy, "h36m17", {"joints": "h36m17"}, "numpy", False),
}
each_format = pytest.mark.parametrize("name", FORMATS)


@each_format
@settings(max_examples=30)
@given(data=st.data())
def test_what_is_written_is_read(name: str, data: st.DataObject) -> None:
    write, kind, options, found, keeps_frames = FORMATS[name]
    sample = data.draw(samples(len(KEYPOINT_SETS[kind])))
    with tempfile.TemporaryDirectory() as folder:
        path = write(sample, Path(folder))
        assert find_format(path) == found
        people = read_people(path, **options)
    assert people.joints.name == kind
    np.testing.assert_allclose(people.keypoints, sample.xy, atol=1e-6)
    score = np.ones_like(sample.score) if name == "COCO annotations" else sample.score
    np.testing.assert_allclose(people.score, score, atol=1e-9)
    if keeps_frames:
        assert people.frame.tolist() == sample.frame
    assert set(people.images) == set(people.frame.tolist())


@each_format
@settings(max_examples=30)
@given(data=st.data())
def test_a_truncated_file_is_refused_in_one_line_or_read_as_far_as_it_is_whole(name: str, data: st.DataObject) -> None:
    write, kind, options, _, _ = FORMATS[name]
    sample = data.draw(samples(len(KEYPOINT_SETS[kind])))
    with tempfile.TemporaryDirectory() as folder:
        path = write(sample, Path(folder))
        file = max(path.iterdir()) if path.is_dir() else path
        whole = file.read_bytes()
        file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
        refused_or_read(path, options)


def refused_or_read(path: Path, options: dict[str, Any]) -> People | None:
    """Nothing but People or an ItesError of one line that names the file may come out."""
    try:
        return read_people(path, **options)
    except ItesError as error:
        message = str(error)
    assert "\n" not in message and str(path) in message, message
    return None


WORDS = (
    "keypoints", "annotations", "images", "image_id", "id", "people", "pose_keypoints_2d", "instances", "x", "y",
    "frames", "instance_info", "keypoint_scores", "visible", "track_id", "frame_id", "poses", "landmark", "image_size",
    "fps", "box", "width", "height", "visibility", "frame", "pose_landmarks",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3) | st.just(10**30)
NUMBERS = st.integers(0, 60).flatmap(lambda n: st.just([1.5] * n))
TREES = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)


@given(tree=TREES, kind=st.sampled_from(["auto", "coco", "openpose", "mediapipe"]))
def test_any_json_is_people_or_one_line(tree: Any, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        refused_or_read(dump(tree, Path(folder) / "a.json"), {"format": kind})


@given(text=st.text(alphabet='frame,person;joint xy_score\n\t0123456789.-"e', max_size=200))
def test_any_csv_is_people_or_one_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text(text)
        refused_or_read(path, {})


@given(text=st.text(alphabet="0123456789. -\nabc", max_size=300))
def test_any_label_file_is_people_or_one_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_text(text)
        refused_or_read(path, {"size": SIZE})


SHAPES = st.lists(st.integers(0, 4) | st.just(17) | st.just(25), max_size=4).map(tuple)
ARRAYS = st.tuples(st.sampled_from(["f8", "f4", "i4", "u1", "b1", "U3"]), SHAPES).map(
    lambda pair: np.zeros(pair[1], dtype=pair[0])
)


FIELDS = ("keypoints", "score", "joints", "joint_names", "joint_set", "frame", "person", "fps", "image_wh")


@given(arrays=st.dictionaries(st.sampled_from(FIELDS), ARRAYS, max_size=6))
def test_any_npz_is_people_or_one_line(arrays: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        np.savez(path, **arrays)
        refused_or_read(path, {})


# ---- what is refused, and how ------------------------------------------------------------------------------

FLAT = [1.0] * 51


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no valid JSON.*may be truncated"),
        ("[" * 100_000, "JSON"),
        ("[]", "no person"),
        ("{}", "no 'keypoints'"),
        ('{"people": []}', "no person"),
        ('{"annotations": []}', "no person"),
        ("3", "found int"),
        (json.dumps([{"keypoints": FLAT[:-1]}]), r"shape \(50,\)"),
        (json.dumps([{"keypoints": [1.0] * 30}]), "found 10 keypoints a person, expected a known set.*--joints"),
        (json.dumps([{"keypoints": ["a"] * 51}]), "person 0: found .* expected numbers"),
        (json.dumps([{"keypoints": FLAT}, {"keypoints": FLAT + [1.0] * 3}]), "the same number for everybody"),
        ('[{"keypoints": [Infinity' + ", 1" * 50 + "]}]", "person 0, keypoint nose: found an infinite coordinate"),
        ('[{"keypoints": [NaN' + ", 1" * 50 + "]}]", "NaN in one coordinate of two"),
        (json.dumps([{"keypoints": [1.0, 1.0, -0.5] * 17}]), "negative or infinite score"),
        (json.dumps([{"keypoints": [[1, 2]] * 17, "keypoint_scores": [1.0] * 16}]), "found 16 scores"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 74}]}), "pose_keypoints_2d"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 45}]}), "found 15 keypoints"),
        (json.dumps({"frames": [{"poses": [[{"x": 0.1, "y": 0.2}] * 33]}]}), "give --image-size"),
        (json.dumps({"image_size": [0, 5], "frames": []}), "image_size: found"),
        (json.dumps({"frames": [{"poses": [[{"x": 0.1, "y": "b"}] * 33]}]}), "numbers"),
    ],
)  # fmt: skip
def test_bad_json(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ItesError, match=match) as caught:
        read_people(path)
    assert "\n" not in str(caught.value) and "a.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "found 0 rows"),
        ("joint,x,y\n", "found 1 rows"),
        ("a,b\n1,2\n", "columns joint, x, y or NAME_x, NAME_y"),
        ("joint,x,y\nnose,1,b\n", "row 2, column y: found 'b'"),
        ("joint,x,y\nnose,1\n", "row 2: found 2 cells, expected the 3"),
        ("joint,x,y\nknee,1,2\n", "found keypoints knee, expected different names, all from one set"),
        ("joint,x,y\nnose,1,2\nnose,1,2\n", "one keypoint of one person twice"),
        ("nose_x,nose_y\n1,inf\n", "infinite coordinate"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ItesError, match=match):
        read_people(path)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({}, "expected an array 'keypoints'"),
        ({"keypoints": np.zeros((3, 17, 3))}, "17 keypoints without names.*--joints coco17"),
        ({"keypoints": np.zeros((3, 17))}, r"shape \(3, 17\)"),
        ({"keypoints": np.zeros((0, 25, 3))}, r"shape \(0, 25, 3\)"),
        ({"keypoints": np.full((2, 25, 2), np.inf)}, "infinite"),
        ({"keypoints": np.ones((2, 25, 2)), "score": np.ones((2, 24))}, "score: found shape"),
        ({"keypoints": np.ones((2, 25, 2)), "frame": np.ones(3, dtype=int)}, "frame: found int64"),
        ({"keypoints": np.ones((2, 3, 2)), "joints": np.array(["a", "b", "c"])}, "found keypoints a, b, c"),
        ({"keypoints": np.ones((2, 25, 2)), "joint_set": np.array("toes")}, "unknown keypoint set 'toes'"),
        ({"keypoints": np.array([{"a": 1}], dtype=object)}, "pickle"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, Any], match: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ItesError, match=match):
        read_people(tmp_path / "a.npz")


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="no such file or folder"):
        read_people(tmp_path / "none.json")
    with pytest.raises(ItesError, match=r"without \.json or \.txt"):
        read_people(tmp_path)
    (tmp_path / "a.xyz").write_text("a")
    with pytest.raises(ItesError, match=r"found suffix '\.xyz'"):
        read_people(tmp_path / "a.xyz")
    with pytest.raises(ItesError, match="a folder, to be read as csv"):
        read_people(tmp_path, "csv")
    with pytest.raises(ItesError, match="format: found 'word'"):
        read_people(tmp_path, "word")  # type: ignore[arg-type]
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ItesError, match="holds Python objects"):
        read_people(tmp_path / "o.npy")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ItesError, match="no UTF-8"):
        read_people(tmp_path / "b.json")
    (tmp_path / "c.txt").write_text("0 1 2 3\n")
    with pytest.raises(ItesError, match="give it with --image-size"):
        read_people(tmp_path / "c.txt")
    with pytest.raises(ItesError, match="line 1: found 4 numbers"):
        read_people(tmp_path / "c.txt", size=SIZE)


# ---- what is read beyond the rule --------------------------------------------------------------------------


def test_missing_keypoints_are_missing_however_they_are_marked(tmp_path: Path) -> None:
    zero = [*FLAT[:-3], 0.0, 0.0, 0.0]
    people = read_people(dump([{"keypoints": zero}], tmp_path / "a.json"))
    assert people.score[0, -1] == 0 and people.score[0, :-1].min() == 1
    unscored = [[5.0, 6.0]] * 16 + [[0.0, 0.0]]
    people = read_people(dump([{"keypoints": unscored}], tmp_path / "b.json"))
    assert people.score[0].tolist() == [1.0] * 16 + [0.0]
    null = [*FLAT[:-3], None, None, 1.0]
    people = read_people(dump([{"keypoints": null}], tmp_path / "c.json"))
    assert people.score[0, -1] == 0 and np.isnan(people.keypoints[0, -1]).all()
    (tmp_path / "d.csv").write_text("nose_x,nose_y,left_hip_x,left_hip_y\n1,2,,\n")
    people = read_people(tmp_path / "d.csv")
    assert people.joints.name == "coco17" and people.score[0].sum() == 1
    film = np.full((2, 3, 25, 2), 4.0)
    film[1, 2] = np.nan
    people = people_of_array(film)
    assert len(people) == 5 and people.film and people.frame.tolist() == [0, 0, 0, 1, 1]


def test_annotations_without_keypoints_are_left_out(tmp_path: Path) -> None:
    rows = [{"image_id": 3, "keypoints": [0] * 51}, {"image_id": 4, "keypoints": [7, 8, 2] * 17}, {"image_id": 4}]
    people = read_people(dump({"annotations": rows}, tmp_path / "a.json"))
    assert people.frame.tolist() == [4] and people.score.max() == 1


def test_wholebody_and_halpe_are_read_by_their_first_17(tmp_path: Path) -> None:
    for count in (26, 133):
        points = np.arange(count * 3, dtype=float).tolist()
        people = read_people(dump([{"keypoints": points}], tmp_path / "a.json"))
        assert people.joints.name == "coco17" and people.keypoints[0, 16].tolist() == [48.0, 49.0]


def test_body_25_and_25b_are_told_apart(tmp_path: Path) -> None:
    body = KEYPOINT_SETS["body25b"]
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(5, 25, 2)) * 4
    for name, (x, y) in {"Neck": (0, 0), "RHip": (-9, 60), "LHip": (9, 60), "MidHip": (0, 60)}.items():
        xy[:, KEYPOINT_SETS["body25"].joints.index(name)] += (x, y)
    s = Sample(xy + 300, np.ones((5, 25)), list(range(5)), [0] * 5)
    assert read_people(openpose(s, tmp_path)).joints.name == "body25"
    (tmp_path / "b").mkdir()
    for name, (x, y) in {"RElbow": (-80, 20), "LElbow": (80, 20), "LHip": (9, 60), "RHip": (-9, 60)}.items():
        xy[:, body.joints.index(name)] = (x, y)
    assert (
        read_people(openpose(Sample(xy + 300, np.ones((5, 25)), list(range(5)), [0] * 5), tmp_path / "b")).joints
        == body
    )


@pytest.mark.parametrize(
    "frame",
    [
        [{"x": 0.1, "y": 0.2}] * 33,
        [[0.1, 0.2]] * 33,
        [[0.1, 0.2, 0.0, 0.9]] * 33,
        {"pose_landmarks": [[{"x": 0.1, "y": 0.2}] * 33]},
        {"pose_landmarks": {"landmark": [{"x": 0.1, "y": 0.2}] * 33}},
        {"landmarks": [{"landmark": [{"x": 0.1, "y": 0.2}] * 33}]},
    ],
)
def test_mediapipes_own_namings(tmp_path: Path, frame: Any) -> None:
    for content in (frame, [frame], {"frames": [frame]}, [frame, {"pose_landmarks": []}]):
        people = read_people(dump(content, tmp_path / "a.json"), "mediapipe", size=SIZE)
        assert len(people) == 1 and people.joints.name == "mediapipe33"
        np.testing.assert_allclose(people.keypoints[0, 5], [64.0, 96.0])


# ---- joint sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYPOINT_SETS.values(), ids=lambda kind: kind.name)
def test_rules_keep_left_and_right_and_are_means(kind: KeypointSet) -> None:
    side = np.array([_side(name) for name in kind.joints])
    for joint, rows in enumerate(kind.matrices):
        for order, row in enumerate(rows):
            assert row.sum() == pytest.approx(1) and (row >= 0).all()
            lateral = row @ side
            if joint in H36M17.left or joint in H36M17.right:
                assert lateral == (1 if joint in H36M17.left else -1)
            elif order == 0:
                assert lateral == pytest.approx(0)


def _side(name: str) -> int:
    word = name.replace("mouth_", "")
    return 1 if word.startswith(("left", "L")) else -1 if word.startswith(("right", "R")) else 0


def test_a_missing_nose_is_replaced_by_the_ears_and_flagged() -> None:
    kind = KEYPOINT_SETS["coco17"]
    xy = np.random.default_rng(0).normal(size=(1, 17, 2))
    score = np.ones((1, 17))
    score[0, 3] = 0.8
    head, neck = H36M17.joints.index("Head"), H36M17.joints.index("Neck")
    whole, _, origin = kind.apply(xy, score, 0.3)
    assert (origin == SEEN).all()
    np.testing.assert_allclose(whole[0, head], xy[0, 0])
    score[0, 0] = 0.2  # the nose
    joints, scores, origin = kind.apply(xy, score, 0.3)
    assert origin[0, [head, neck]].tolist() == [SUBSTITUTED] * 2 and (np.delete(origin[0], [head, neck]) == SEEN).all()
    np.testing.assert_allclose(joints[0, head], xy[0, 3:5].mean(axis=0))
    assert scores[0, head] == pytest.approx(0.8)
    score[0, 1:5] = 0  # eyes and ears
    joints, scores, origin = kind.apply(xy, score, 0.3)
    assert origin[0, head] == COMPLETED and np.isnan(joints[0, head]).all() and scores[0, head] == 0


def test_names_are_found_in_any_spelling_and_order() -> None:
    found = find_keypoint_set(["RightKnee", "left_hip", "NOSE"])
    assert found is not None and found[0].name == "coco17" and found[1] == [14, 11, 0]
    found = find_keypoint_set(H36M17.joints)
    assert found is not None and found[0].name == "h36m17"
    assert find_keypoint_set(["nose", "Nose"]) is None and find_keypoint_set(["tail"]) is None
    assert find_keypoint_set([]) is None
    with pytest.raises(ItesError, match="no rule for Hip"):
        KeypointSet("none", ("a",), {})


@pytest.mark.data
def test_the_recorded_people_are_read_as_they_are(data_dir: Path) -> None:
    people = read_people(data_dir / "coco2017_fullbody.npz")
    assert len(people) == 33927 and people.joints.name == "coco17" and not people.film
