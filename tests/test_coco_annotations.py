"""ites_core.data.coco_annotations: files as COCO publishes them become the archive that training reads."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import ites

from ites_core.data.coco_annotations import convert_coco
from ites_core.data.joint_sets import COCO17
from ites_core.data.keypoints import read_coco_keypoints
from ites_core.errors import ItesError


def person(image: int, seed: int = 0, **changes: Any) -> dict[str, Any]:
    points = np.random.default_rng(seed).integers(1, 400, size=(17, 3))
    points[:, 2] = 2
    keypoints = points.ravel().tolist()
    about = {"image_id": image, "keypoints": keypoints, "num_keypoints": 17, "iscrowd": 0, "category_id": 1, "id": seed}
    return about | changes


def write(folder: Path, split: str, people: Any) -> Path:
    file = folder / "annotations" / f"person_keypoints_{split}2017.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"info": {}, "images": [], "annotations": people, "categories": []}))
    return file


def without(keypoint: str, image: int, seed: int) -> dict[str, Any]:
    about = person(image, seed)
    about["keypoints"][3 * COCO17.index(keypoint) + 2] = 0
    return about


def test_whole_people_are_kept_with_their_pixels(tmp_path: Path) -> None:
    crowd, nobody = person(4, 4, iscrowd=1), person(4, 5, num_keypoints=0, keypoints=[0] * 51)
    write(tmp_path, "train", [person(7, 1), without("left_ear", 7, 2), without("left_knee", 9, 3), crowd, nobody])
    write(tmp_path, "val", [person(3, 6)])
    out = tmp_path / "coco.npz"
    assert convert_coco(tmp_path, out) == 3
    with np.load(out) as file:
        assert file["image_id"].tolist() == [7, 7, 3] and file["is_val"].tolist() == [False, False, True]
        assert file["keypoints"][0].ravel().tolist() == person(7, 1)["keypoints"]
    archive = read_coco_keypoints(out)
    assert archive.names == ("3", "7") and archive.split == ("test", "train") and archive.frames == 3


def test_one_file_is_enough_and_the_command_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "val", [person(3)])
    assert ites("data", "convert-coco", tmp_path, "--out", tmp_path / "a.npz", monkeypatch=monkeypatch) == 0
    assert "1 people" in capsys.readouterr().out
    assert ites("data", "info", tmp_path / "nothing.npz", monkeypatch=monkeypatch) == 2


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ([], "nobody has all needed keypoints"),
        ([without("left_hip", 1, 0)], "nobody has all needed keypoints"),
        ([3], "annotation 0: expected an object with image_id"),
        ([person(1), {"keypoints": []}], "annotation 1: expected an object"),
        ([person(1, keypoints=[1, 2, 3])], "expected 51 numbers"),
        ([person(1, keypoints=None)], "expected 51 numbers"),
        ([person(1, keypoints=["x"] * 51)], "expected 51 numbers"),
        ([person(1, keypoints=[float("nan")] * 51)], "expected 51 numbers"),
        ([person(1, keypoints=[1e300] * 51)], "expected 51 numbers"),
        ("people", "no list 'annotations'"),
    ],
)
def test_bad_annotations_are_one_line(people: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path, "train", people)
    with pytest.raises(ItesError, match=says) as caught:
        convert_coco(tmp_path, tmp_path / "out.npz")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.npz").exists()


def test_files_that_are_missing_damaged_or_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="found neither"):
        convert_coco(tmp_path, tmp_path / "out.npz")
    file = write(tmp_path, "train", [person(1)])
    with pytest.raises(ItesError, match="cannot be written"):
        convert_coco(tmp_path, tmp_path / "no" / "folder.npz")
    for text in ("{", "[1]", "\x00", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(ItesError, match=r"person_keypoints_train2017\.json"):
            convert_coco(tmp_path, tmp_path / "out.npz")


FIELDS = st.sampled_from(["image_id", "keypoints", "iscrowd", "num_keypoints"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_any_annotation_gives_data_or_one_error(tmp_path_factory: pytest.TempPathFactory, thing: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "anything"
    write(folder, "train", [person(1), thing])
    with contextlib.suppress(ItesError):
        convert_coco(folder, folder / "out.npz")
