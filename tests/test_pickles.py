"""ites_core.data.pickles: what numpy pickles comes back, and nothing else is built, run or believed."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ites_core.data import archive, pickles
from ites_core.data.pickles import load_pickled_npz
from ites_core.errors import ItesError

P = b"\x80\x04"  # protocol 4


def boxed(value: Any) -> np.ndarray:
    """An object array without axes, which is how numpy.savez stores a dictionary."""
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def member(pickled: bytes, shape: str = "()", descr: str = "|O") -> bytes:
    """An npy file of objects with any pickle in it."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + pickled


def npz(path: Path, npy: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.npy", npy)
    return path


@pytest.fixture
def nested() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    track = rng.normal(size=(3, 2)).astype(np.float32)
    return {
        "S1": {"Walking 1": track, "Eating": [track, np.asfortranarray(rng.normal(size=(4, 3)))]},
        "metadata": {"num_joints": 17, "keypoints_symmetry": [[4, 5], [1, 2]], "layout_name": "h36m"},
        "others": (None, True, 1.5, 10**30, -3, "é", b"ab\xff", b"", np.float32(2), np.int64(5)),
        "arrays": [np.array(["a", "bb"]), np.arange(3, dtype=">i4"), np.zeros((0, 3)), np.array([True]), np.array(7)],
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("numpy_1", [False, True])
def test_plain_data_comes_back(tmp_path: Path, nested: dict[str, Any], protocol: int, numpy_1: bool) -> None:
    raw = pickle.dumps(boxed(nested), protocol=protocol)
    if numpy_1:  # its modules had no underscore; names with a length before them get the new length
        for name in (b"multiarray", b"numeric"):
            new, old = b"numpy._core." + name, b"numpy.core." + name
            raw = raw.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old).replace(new, old)
        raw = raw if protocol < 4 else b"".join(unframed(raw))
    found = load_pickled_npz(npz(tmp_path / "a.npz", member(raw)))["data"]
    np.testing.assert_equal(found, nested)
    assert found["S1"]["Eating"][0] is found["S1"]["Walking 1"]  # one array in the file, one here


def unframed(raw: bytes) -> list[bytes]:
    """The pickle without its frames, whose lengths no longer hold."""
    steps = [(op, pos) for op, _, pos in pickletools.genops(raw) if pos is not None]
    ends = [pos for _, pos in steps[1:]] + [len(raw)]
    return [raw[pos:end] for (op, pos), end in zip(steps, ends, strict=True) if op.name != "FRAME"]


def test_files_as_numpy_writes_them(tmp_path: Path, nested: dict[str, Any]) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, positions_3d=nested, plain=np.eye(2), ragged=np.array([[1], None], dtype=object))  # type: ignore[arg-type]
    found = load_pickled_npz(path)
    np.testing.assert_equal(found["positions_3d"], nested)
    np.testing.assert_equal(found["plain"], np.eye(2))
    assert found["ragged"].tolist() == [[1], None]
    with np.load(path, allow_pickle=True) as file:
        np.testing.assert_equal(file["positions_3d"].item(), found["positions_3d"])


def test_byte_strings_of_python_2(tmp_path: Path) -> None:
    text = b"U\x03S1\xe9"  # SHORT_BINSTRING
    inner = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = inner + b"(K\x01K\x02\x85" + dtype + b"\x89U\x04\x01\x00\xff\xfftb"
    box = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    raw = b"\x80\x02" + inner + b"(K\x01)" + box + b"\x89]}" + text + array + b"sa" + b"tb."
    found = load_pickled_npz(npz(tmp_path / "a.npz", member(raw)))["data"]
    assert list(found) == ["S1é"] and found["S1é"].tolist() == [1, -1]


# ---- what is refused --------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    """One line that names the file, soon and without much memory."""
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ItesError, match=match) as caught:
        load_pickled_npz(path)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert seconds < 20 and peak < 100 << 20


class Call:
    """Unpickling this calls a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("place", ["bare", "item", "list", "key", "array"])
def test_nothing_is_run(tmp_path: Path, protocol: int, place: str) -> None:
    mark = tmp_path / "executed"
    trap = Call(os.mkdir, str(mark))
    value: Any = {
        "bare": trap,
        "item": boxed({"S1": {"Walking": trap}}),
        "list": boxed([[trap]]),
        "key": boxed({(trap,): 1}),
        "array": np.array([1, trap, None], dtype=object),
    }[place]
    raw = pickle.dumps(value, protocol=protocol)
    refused(npz(tmp_path / "a.npz", member(raw, "(3,)" if place == "array" else "()")), r"asks for '(posix|nt)\.mkdir'")
    assert not mark.exists()
    pickle.loads(raw)
    assert mark.exists()  # the trap does work where it is sprung


@pytest.mark.parametrize(
    "trap, name",
    [
        (Call(os.system, "true"), r"posix\.system"),
        (Call(eval, "1"), r"builtins\.eval"),
        (Call(getattr, "text", "upper"), r"builtins\.getattr"),
        (Call(np.load, "/etc/hostname"), r"numpy\.load"),
        (Call(np.fromfile, "/etc/hostname"), r"numpy.*fromfile"),
        (functools.partial(os.system, "true"), r"functools\.partial"),
        (np.testing.assert_equal, r"numpy\.testing.*"),
        (Call(__import__, "os"), r"builtins\.__import__"),
        (Call(bytearray, 1 << 40), r"builtins\.bytearray"),
        (1j, r"builtins\.complex"),
    ],
)
def test_other_names_are_refused_by_name(tmp_path: Path, trap: Any, name: str) -> None:
    refused(npz(tmp_path / "a.npz", member(pickle.dumps(boxed([trap])))), f"asks for '{name}'")


def test_a_header_is_not_run_either(tmp_path: Path) -> None:
    for header in ("__import__('os').mkdir('x')", "(" * 3000, "{'descr': '|O'", "'''"):
        raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
        refused(npz(tmp_path / "a.npz", raw), "not a readable array")
    refused(npz(tmp_path / "a.npz", pickle.dumps(Call(os.mkdir, "x"))), "not a readable array")


ARRAY = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
BYTES = b"cnumpy\ndtype\n\x8c\x02u1\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
OBJECT = BYTES.replace(b"u1", b"O8")
HUGE = b"\x8a\x08" + struct.pack("<q", 1 << 60)


@pytest.mark.parametrize(
    "raw, match",
    [
        (P + b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "damaged pickle"),  # bytes of a terabyte
        (P + b"\x8d" + struct.pack("<Q", 1 << 62) + b"x.", "damaged pickle"),  # text of even more
        (P + b"\x96" + struct.pack("<Q", 1 << 40) + b"x.", "damaged pickle"),  # a bytearray
        (P + b"\x8b" + struct.pack("<i", 1 << 30) + b"x.", "damaged pickle"),  # a whole number
        (P + b"\x95" + struct.pack("<Q", 1 << 60) + b"N.", "something else than its header"),  # a frame
        (P + b"Nr" + struct.pack("<I", 0xFFFFFFFF) + b".", "something else"),  # a memo of that many places
        (P + ARRAY + b"(K\x01" + HUGE + b"\x85" + BYTES + b"\x89C\x00tb.", "other contents"),
        (P + ARRAY + b"(K\x01" + HUGE + b"\x85" + OBJECT + b"\x89]tb.", "another number of objects"),
        (P + ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + BYTES + b"\x89C\x00tb.", "impossible shape"),
        (P + ARRAY + b"(K\x01K\x01\x85" + OBJECT + b"\x89C\x08AAAAAAAAtb.", "number of objects"),  # bytes as pointers
        (P + ARRAY + b"(K\x01K\x01\x85\x8c\x01O\x89]Natb.", "without a type"),
        (P + ARRAY + b".", "ends before"),
        (P + BYTES.replace(b"u1", b"V8") + b".", "structured type"),
        (P + BYTES.replace(b"|NNN", b"|]NN") + b".", "structured type"),
        (P + b"cnumpy\ndtype\n}b.", "sets the state of"),
        (P + b"cnumpy\nndarray\n)R.", "calls what is no function"),
        (P + b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (P + b"c_codecs\nencode\n\x8c\x01a\x8c\x03zip\x86R.", "calls what is no function"),
        (P + b"\x8c\x01aQ.", "BINPERSID"),
        (P + b"\x82\x01.", "EXT1"),
        (P + b"]\x94h\x00a.", "changes after|something else"),  # a list that holds itself
        (P + b"}]NNNs.", "appends|keys are neither"),
        (P + b"}]Ns.", "keys are neither"),
        (P + b"(a.", "more than it has put down"),
        (P + b"a.", "more than it has put down"),
        (P + b"N", "damaged pickle"),
        (b"", "damaged pickle"),
        (P + b"N.", "something else than its header"),
    ],
)
def test_claims_and_crooked_pickles(tmp_path: Path, raw: bytes, match: str) -> None:
    refused(npz(tmp_path / "a.npz", member(raw)), match)


@pytest.mark.parametrize("opening, closing", [(b"]" * 100_000, b"a" * 99_999), (b")", b"\x85" * 100_000)])
def test_deep_recursion(tmp_path: Path, opening: bytes, closing: bytes) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:  # not compressed, for so monotonous a pickle would look like a bomb
        file.writestr("data.npy", member(P + opening + closing + b"."))
    refused(path, "nested more than 64 deep")


def test_lists_filled_from_outside_in(tmp_path: Path) -> None:
    raw = P + b"]\x94" + b"]\x94a" + b"h\x01]a."  # appends to the inner list when it already stands in the outer
    refused(npz(tmp_path / "a.npz", member(raw)), "changes after it was put")


def test_many_copies_of_one_value(tmp_path: Path) -> None:
    text = os.urandom(1 << 19).hex().encode()
    raw = P + b"X" + struct.pack("<I", len(text)) + text + b"\x94" + b"c_codecs\nencode\n\x94\x8c\x06latin1\x94"
    refused(
        npz(tmp_path / "a.npz", member(raw + b"h\x01h\x00h\x02\x86R" * 50_000 + b".")), "far more than the file holds"
    )


def test_endless_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_STEPS", 1000)
    refused(npz(tmp_path / "a.npz", member(P + b"N0" * 500 + b".")), "POP")
    refused(npz(tmp_path / "a.npz", member(P + b"N" * 1000 + b".")), "more than 1000 instructions")


def test_shapes_in_the_header(tmp_path: Path) -> None:
    raw = pickle.dumps(boxed({}))
    refused(npz(tmp_path / "a.npz", member(raw, "(1000000000000,)")), "something else than its header")
    refused(npz(tmp_path / "a.npz", member(raw, "(1000000000000,)", "<f8")), "header claims shape")


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "absent.npz", "no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "text.npz").write_text("a,b\n")
    refused(tmp_path / "text.npz", "not a readable npz file")
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    refused(npz(tmp_path / "a.npz", member(pickle.dumps(boxed({})))), "unpacks to more than")


GOOD = pickle.dumps(boxed({"S1": {"Walking 1": np.arange(6.0).reshape(2, 3), "x": [1, (2, "b")]}}))


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_changed_bytes_give_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: bool
) -> None:
    raw = bytearray(GOOD)
    for place, value in changes:
        raw[place] = value
    path = npz(tmp_path_factory.getbasetemp() / "mutated.npz", member(bytes(raw[: changes[0][0]] if cut else raw)))
    with contextlib.suppress(ItesError):
        found = load_pickled_npz(path)["data"]
        assert isinstance(found, dict | list | tuple | str | int | float | bytes | np.ndarray | np.generic | None)


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_one_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = npz(tmp_path_factory.getbasetemp() / "random.npz", member(P + raw + b"."))
    with pytest.raises(ItesError):
        load_pickled_npz(path)


@given(st.integers(0, 127), st.integers(0, 255))
def test_changed_headers_give_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    raw = bytearray(member(GOOD))
    raw[place] = value
    with contextlib.suppress(ItesError):
        load_pickled_npz(npz(tmp_path_factory.getbasetemp() / "header.npz", bytes(raw)))
