"""ites_core.data.archive and sources: round trips, splits, and every way in which a file can be wrong."""

from __future__ import annotations

import contextlib
import pickle
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ites_core.data import MocapArchive, archive, find_data, load_archive, load_motion, save_archive
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17


def make(lengths: tuple[int, ...] = (5, 3, 4, 6), **changes: Any) -> MocapArchive:
    """A small archive of random poses; three training subjects and one test subject."""
    n = len(lengths)
    g = torch.Generator().manual_seed(0)
    fields: dict[str, Any] = {
        "positions": torch.randn(sum(lengths), 17, 3, generator=g),
        "starts": tuple(int(sum(lengths[:i])) for i in range(n)),
        "lengths": lengths,
        "names": tuple(f"take{i}" for i in range(n)),
        "subject": tuple(f"s{i}" for i in range(n)),
        "action": ("walk",) * n,
        "kind": ("amc",) * n,
        "split": ("train",) * (n - 1) + ("test",),
        "fps": (24.0,) * n,
    }
    return MocapArchive(**(fields | changes))


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.npz"
    save_archive(make(), path)
    return path


def rewritten(path: Path, drop: tuple[str, ...] = (), **changes: Any) -> Path:
    """A copy of an archive file with some fields changed or left out."""
    fields = {k: v for k, v in (arrays(path) | changes).items() if k not in drop}
    out = path.with_name("changed.npz")
    np.savez_compressed(out, **fields)
    return out


def with_member(path: Path, name: str, data: bytes) -> Path:
    """A copy of an archive file in which one member has other bytes."""
    out = path.with_name("member.npz")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, data if member == f"{name}.npy" else old.read(member))
    return out


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    """An npy file, on request with a header that claims another shape."""
    stream = BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0))
    raw = stream.getvalue()
    if shape is None:
        return raw
    (size,) = struct.unpack("<H", raw[8:10])
    header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}".ljust(size - 1) + "\n"
    return raw[:8] + struct.pack("<H", len(header)) + header.encode() + raw[10 + size :]


# ---- what works -------------------------------------------------------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    before, path = make(), tmp_path / "a.npz"
    save_archive(before, path)
    after = load_archive(path)
    assert torch.equal(before.positions, after.positions)
    for field in ("starts", "lengths", "fps", *archive.TEXT_FIELDS, "skeleton"):
        assert getattr(before, field) == getattr(after, field), field
    assert after.source == str(path) and before.checksum() == after.checksum()
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]  # no temporary file is left


def test_a_part_is_saved_alone(tmp_path: Path) -> None:
    part = make().take([2, 0])
    save_archive(part, tmp_path / "part.npz")
    after = load_archive(tmp_path / "part.npz")
    assert after.names == ("take2", "take0") and after.frames == 9 and len(after.positions) == 9
    assert torch.equal(after.sequence(1), part.sequence(1)) and part.checksum() == after.checksum()


def test_checksum_sees_names_and_coordinates() -> None:
    a = make()
    moved = a.positions.clone()
    moved[0, 0, 0] += 1e-3
    assert len({x.checksum() for x in (a, make(positions=moved), make(names=("x", "take1", "take2", "take3")))}) == 3


def test_fields_may_come_in_any_precision_and_order(good: Path) -> None:
    fields = arrays(good)
    path = rewritten(good, positions=np.asfortranarray(fields["positions"].astype(np.float64)))
    assert torch.equal(load_archive(path).positions, load_archive(good).positions)


@pytest.mark.parametrize("subjects", [("a", "b", "c", "d"), ("a", "a", "a", "b")])
def test_splits_share_no_frame(subjects: tuple[str, ...]) -> None:
    a = make(lengths=(5, 3, 4, 6), subject=subjects)
    names = {s: set(a.part(s).names) for s in ("train", "val", "test")}
    assert names["train"] | names["val"] | names["test"] == set(a.names)
    assert sum(len(n) for n in names.values()) == len(a)
    assert a.part("all") is a


def test_validation_holds_out_whole_subjects_and_does_not_depend_on_test() -> None:
    g = torch.Generator().manual_seed(1)
    lengths = tuple(torch.randint(5, 30, (60,), generator=g).tolist())
    subjects = tuple(f"p{i % 12}" for i in range(60))
    split = tuple("test" if i % 12 == 3 else "train" for i in range(60))
    a = make(lengths, subject=subjects, split=split)
    train, val, test = (set(a.part(s).subject) for s in ("train", "val", "test"))
    assert not (train & val or train & test or val & test) and test == {"p3"}
    assert 0 < a.part("val").frames <= 0.1 * (a.part("train").frames + a.part("val").frames)
    alone = a.take([i for i in range(60) if split[i] == "train"])
    assert set(alone.part("val").names) == set(a.part("val").names)


def test_one_sequence_cannot_be_split() -> None:
    one = make((8,), split=("train",))
    assert one.part("train").frames == 8
    with pytest.raises(ItesError, match="split 'val' holds no sequence"):
        one.part("val")


def test_empty_split_names_what_there_is() -> None:
    with pytest.raises(ItesError, match=r"memory: split 'test' holds no sequence \(splits in the file: train\)"):
        make(split=("train",) * 4).part("test")


# ---- what is refused --------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    """The file is refused with one line that names it."""
    with pytest.raises(ItesError, match=match) as caught:
        load_archive(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_not_a_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.npz", "no such file")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_truncated(good: Path, keep: float) -> None:
    raw = good.read_bytes()
    good.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    refused(good, "not a readable npz file")


def test_damaged_in_the_middle(good: Path) -> None:
    raw = bytearray(good.read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 + 40] = bytes(40)
    good.write_bytes(raw)
    refused(good, "not a readable")


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("name,x,y\n")
    refused(tmp_path / "a.npz", "not a readable npz file")
    np.save(tmp_path / "b.npy", np.zeros(3))
    refused(tmp_path / "b.npy", "not a readable npz file")


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.mark), "w")


def test_no_pickle_is_executed(good: Path) -> None:
    mark = good.with_name("executed")
    trap = np.empty(4, dtype=object)
    trap[:] = [Trap(mark)] * 4
    refused(rewritten(good, names=trap), "names: holds Python objects")
    refused(with_member(good, "names", pickle.dumps(Trap(mark))), "names: not a readable array")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark))).close()
    assert mark.exists()  # the trap does work where it is sprung


@pytest.mark.parametrize("shape", ["(1000000000, 17, 3)", "(18, 17, 30)", "(99999999999999999999, 17, 3)"])
def test_header_that_claims_more_than_there_is(good: Path, shape: str) -> None:
    refused(with_member(good, "positions", npy(arrays(good)["positions"], shape)), "positions: header claims")


@pytest.mark.parametrize("shape", ["(-1, 17, 3)", "(-5, 17, 3)", "(-2, -459)"])
def test_header_with_negative_axes(good: Path, shape: str) -> None:
    refused(with_member(good, "positions", npy(arrays(good)["positions"], shape)), "positions: header claims")


def test_header_that_is_no_header(good: Path) -> None:
    refused(with_member(good, "positions", b"\x93NUMPY\x01\x00\xff\xff{"), "positions: not a readable array")
    refused(with_member(good, "positions", npy(np.zeros(4), "__import__('os')")), "positions: not a readable array")
    refused(with_member(good, "positions", b""), "positions: not a readable array")


def test_zip_bomb_that_is_honest_about_its_size(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = good.with_name("bomb.npz")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("positions.npy", bytes(2 << 20))
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    refused(out, "unpacks to more than")


def lie_about_size(path: Path, claimed: int) -> None:
    """Make the zip directory claim an unpacked size for its first member."""
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", claimed)
    path.write_bytes(raw)


def test_zip_directory_that_claims_too_much(good: Path) -> None:
    lie_about_size(good, 3 << 30)
    refused(good, "declares an impossible size")


def test_zip_directory_that_claims_too_little(good: Path) -> None:
    lie_about_size(good, 700)
    refused(good, "not a readable npz file|header claims")


@pytest.mark.parametrize("field", ["positions", "starts", "lengths", "joints", "fps", "units", "up_axis", "split"])
def test_missing_field(good: Path, field: str) -> None:
    refused(rewritten(good, drop=(field,)), f"field '{field}' is missing")


def test_wrong_joints(good: Path) -> None:
    fields = arrays(good)
    refused(rewritten(good, joints=fields["joints"][:16]), "joints: found 16 joints")
    refused(rewritten(good, positions=fields["positions"][:, :16]), r"positions: found shape \(18, 16, 3\)")
    refused(rewritten(good, positions=fields["positions"][..., :2]), r"positions: found shape \(18, 17, 2\)")
    refused(rewritten(good, parents=np.roll(fields["parents"], 1)), "parents: differ")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_coordinates_that_are_no_numbers(good: Path, value: float) -> None:
    positions = arrays(good)["positions"]
    positions[7, 3, 1] = value
    refused(rewritten(good, positions=positions), "NaN or infinite coordinate at frame 7")


def test_coordinates_too_large_for_single_precision(good: Path) -> None:
    positions = arrays(good)["positions"].astype(np.float64)
    positions[2, 0, 0] = 1e300
    refused(rewritten(good, positions=positions), "NaN or infinite coordinate at frame 2")


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"lengths": np.array([5, 3, 4])}, "different lengths"),
        ({"fps": np.full(5, 24.0)}, "different lengths"),
        ({"names": np.array(["a"])}, "different lengths"),
        ({"lengths": np.array([5, 3, 4, 7])}, "sequence 3: frames 12 to 19 are not within the 18"),
        ({"lengths": np.array([5, 0, 4, 6])}, "sequence 1"),
        ({"lengths": np.array([5, -3, 4, 6])}, "sequence 1"),
        ({"starts": np.array([0, -5, 8, 12])}, "sequence 1"),
        ({"starts": np.array([0, 5, 2**62, 12]), "lengths": np.array([5, 3, 2**62, 6])}, "sequence 2"),
        ({"starts": np.array([0, 5, 2**64 - 1, 12], dtype=np.uint64)}, "sequence 2"),
        ({"fps": np.array([24.0, 0.0, 24.0, 24.0])}, "fps: expected positive"),
        ({"fps": np.array([24.0, np.nan, 24.0, 24.0])}, "fps: expected positive"),
        ({"fps": np.array(["24"] * 4)}, "fps: found <U2"),
        ({"starts": np.array([0.0, 5, 8, 12])}, "starts: found float64"),
        ({"positions": np.zeros((18, 17, 3), dtype=np.int64)}, "positions: found int64"),
        ({"units": np.array("mm")}, "units: found 'mm', expected 'm'"),
        ({"up_axis": np.array("z")}, "up_axis: found 'z', expected 'y'"),
    ],
)
def test_inconsistent_fields(good: Path, changes: dict[str, np.ndarray], match: str) -> None:
    refused(rewritten(good, **changes), match)


def test_no_sequence(good: Path) -> None:
    empty = {f: arrays(good)[f][:0] for f in ("starts", "lengths", "fps", *archive.TEXT_FIELDS)}
    refused(rewritten(good, **empty), "holds no sequence")


def test_writing_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match=r"nowhere.*cannot be written"):
        save_archive(make(), tmp_path / "nowhere" / "a.npz")


# ---- finding data -----------------------------------------------------------------------------------------


def test_find_data_follows_the_environment(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITES_DATA", str(good.parent))
    assert find_data("good.npz") == good and find_data("absent.npz") is None


def test_load_motion(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_motion(str(good)).names == make().names
    monkeypatch.setenv("ITES_DATA", str(tmp_path))  # holds no cmu17.npz
    assert load_motion().source == "sampler"
    good.rename(tmp_path / "cmu17.npz")
    assert load_motion().source == str(tmp_path / "cmu17.npz")
    assert load_motion("sampler").source == "sampler"


@pytest.mark.data
def test_recorded_data(data_dir: Path) -> None:
    cmu = load_archive(data_dir / "cmu17.npz")
    parts = {s: cmu.part(s) for s in ("train", "val", "test")}
    assert cmu.skeleton == H36M17 and sum(len(p) for p in parts.values()) == len(cmu)
    subjects = [set(p.subject) for p in parts.values()]
    assert not (subjects[0] & subjects[1] or subjects[0] & subjects[2] or subjects[1] & subjects[2])
    assert parts["test"].frames == 7239 and parts["val"].frames <= 4808
    hdm = load_archive(data_dir / "hdm05_17.npz")
    assert len(hdm) == 189 and hdm.frames == 9033


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4), st.booleans()
)
def test_changed_bytes_give_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    save_archive(make(), path)
    raw = bytearray(path.read_bytes())
    for place, value in changes:
        raw[int(place * len(raw))] = value
    path.write_bytes(raw[: int(changes[0][0] * len(raw))] if cut else raw)
    with contextlib.suppress(ItesError):
        load_archive(path)
