"""ites_core.data.c3dpo_json: files in C3DPO's layout, with units that the reader has to find."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ites_core.data.c3dpo_json import DISTANCE, read_c3dpo_json
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError

Entries = list[dict[str, Any]]


@functools.cache
def poses(count: int = 8) -> np.ndarray:
    """Root-relative metres, y down."""
    joints = PoseSampler.embedded().archive(sequences=2, frames=count, test_sequences=1, seed=0).positions[:count]
    points = joints.double().numpy() * [1, -1, -1]
    return points - points[:, :1]


def entries(unit: float = 0.25, millimetres: float = 1000.0) -> Entries:
    """Entries whose 2D unit is so many metres, with a principal point somewhere."""
    return [
        {
            "kp_loc": (p[:, :2] / unit + [300, 200]).T.tolist(),
            "kp_vis": [1] * 17,
            "kp_loc_3d": (p * 1000 / millimetres).T.tolist(),
            "image_path": f"S9/{i}.jpg",
            "h36m_info": {"scale": millimetres, "action_name": ("Walking", "Eating")[i % 2]},
        }
        for i, p in enumerate(poses())
    ]


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("unit, scale", [(0.25, 1000.0), (0.004, 1.0), (1.0, 350.0)])
def test_values_in_any_unit(tmp_path: Path, unit: float, scale: float) -> None:
    path = write(tmp_path / "h36m_val.json", {"dataset": "h36m_val", "data": entries(unit, scale)})
    a = read_c3dpo_json(path, "test")
    assert a.pose is not None and a.mean_distance == DISTANCE == 5
    np.testing.assert_allclose(a.pose.numpy(), poses(), atol=1e-6)
    np.testing.assert_allclose(a.image.numpy(), poses()[..., :2] / 5, atol=1e-6)
    assert a.names == ("h36m_val/Eating", "h36m_val/Walking") and a.action == ("Eating", "Walking")
    assert a.sequence.tolist() == [1, 0] * 4 and a.split == ("test", "test")


def test_perspective_pictures_give_one_factor(tmp_path: Path) -> None:
    data = entries()
    for entry, p in zip(data, poses(), strict=True):
        entry["kp_loc"] = (1145 * p[:, :2] / (p[:, 2:] + 4.5)).T.tolist()
    a = read_c3dpo_json(write(tmp_path / "a.json", {"data": data}), "train")
    ratio = a.image.numpy()[:, 10, 1] / np.array([e["kp_loc"][1][10] for e in data])
    assert np.allclose(ratio, ratio[0], rtol=1e-5) and ratio[0] == pytest.approx(4.5 / 1145 / 5, rel=0.05)


def test_layouts_and_what_is_left_out(tmp_path: Path) -> None:
    data = entries()
    data[3]["kp_vis"][5] = 0
    data[4]["kp_vis"] = [data[4]["kp_vis"]]
    for entry in data:
        entry.pop("h36m_info")
    for layout in (data, {"dataset": data}, {"data": data}):
        a = read_c3dpo_json(write(tmp_path / "a.json", layout), "train")
        assert a.frames == 7 and a.action == ("unknown",)


def edited(edit: Callable[[Entries], Any]) -> Any:
    data = entries()
    changed = edit(data)
    return data if changed is None else changed


def each(**changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Entries], None]:
    def edit(data: Entries) -> None:
        for entry in data:
            for field, change in changes.items():
                entry[field] = change(np.array(entry[field])).tolist()

    return edit


@pytest.mark.parametrize(
    "edit, match",
    [
        (lambda d: d[1].pop("kp_loc"), "expected a list of entries"),
        (
            lambda d: [d[1].pop("kp_loc"), *d[1:]] and d,
            "entry 1: field 'kp_loc' is missing; found h36m_info, image_path",
        ),
        (lambda d: d[2].pop("kp_vis") and d, "entry 2: field 'kp_vis' is missing"),
        (each(kp_loc=lambda x: x[:, :16]), r"entry 0: kp_loc: found shape \(2, 16\), expected \(2, 17\)"),
        (each(kp_loc_3d=lambda x: x.T), r"kp_loc_3d: found shape \(17, 3\)"),
        (each(kp_loc_3d=lambda x: x * np.nan), "expected .3, 17. of finite numbers"),
        (each(kp_vis=lambda x: x * 0), "no entry with all 17 joints visible, of 8"),
        (each(kp_loc_3d=lambda x: x * 1000), "the unit is unknown"),
        (each(kp_loc=lambda x: x[:, ::-1]), "other axes or another joint order"),
        (each(kp_loc=lambda x: -x), "other axes or another joint order"),
        (each(kp_loc=lambda x: x[::-1]), "other axes or another joint order"),
        (each(kp_loc=lambda x: x * 0), "other axes or another joint order"),
        (each(kp_loc=lambda x: x * [[1], [-1]], kp_loc_3d=lambda x: x * [[1], [-1], [1]]), "expected y down"),
        (lambda d: d[0]["h36m_info"].update(scale="x"), "entry 0: scale: expected a positive number"),
        (lambda d: d[0]["h36m_info"].update(scale=-1), "entry 0: scale"),
        (lambda d: d[0].update(kp_loc=[[1, 2], [3]]), "not a readable JSON file"),
        (lambda d: d[0].update(kp_loc=["x"]), "not a readable JSON file"),
        (lambda d: d[0].update(kp_loc=10**400), "not a readable JSON file"),
        (lambda d: [1, 2], "expected a list of entries"),
        (lambda d: {"dataset": "h36m_val"}, "expected a list of entries"),
        (lambda d: [], "no entry with all"),
    ],
)
def test_bad_files(tmp_path: Path, edit: Callable[[Entries], Any], match: str) -> None:
    path = write(tmp_path / "a.json", edited(edit))
    with pytest.raises(ItesError, match=match) as caught:
        read_c3dpo_json(path, "train")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", '{"data": [{"kp_loc": {"a": 1}}]}'])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ItesError, match="not a readable JSON file"):
        read_c3dpo_json(tmp_path / "a.json", "train")
    with pytest.raises(ItesError, match="no such file"):
        read_c3dpo_json(tmp_path / "b.json", "train")
    with pytest.raises(ItesError, match="not a readable JSON file"):
        read_c3dpo_json(tmp_path, "train")


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3), st.booleans()
)
def test_changed_bytes_give_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: bool
) -> None:
    raw = bytearray(json.dumps(entries()[:2]).encode())
    for place, value in changes:
        raw[int(place * len(raw))] = value
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_bytes(raw[: int(changes[0][0] * len(raw))] if cut else raw)
    with contextlib.suppress(ItesError):
        read_c3dpo_json(path, "train")
