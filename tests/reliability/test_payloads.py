"""Pickles that run something, in every place where a file could hold one: nothing runs, and nothing is written outside.

tests/test_pickles.py has what the reader of pickled npz files does instruction by instruction.
"""

from __future__ import annotations

import copyreg
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ites_core.data.archive import load_archive
from ites_core.data.fetch import unpack
from ites_core.data.human36m import FILES_2D, read_human36m
from ites_core.data.pickles import load_pickled_npz
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import Place
from ites_core.export.save import SUFFIXES, save
from ites_core.lifting.lift import lift
from ites_core.lifting.onnx_run import OnnxRun
from ites_core.lifting.read import read_people
from ites_core.weights import card, pack
from tests.campaigns import fuzz_seeds as seeds
from tests.campaigns.fuzz_targets import TARGETS, target
from tests.reliability.test_fuzz import sandbox_of

EXTENSION = 201  # a number under which a name can be registered


class Call:
    """Unpickling this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def _text(mark: Path) -> bytes:
    return b"X" + struct.pack("<I", len(str(mark))) + str(mark).encode()


# Each makes the folder when it is unpickled.
TRAPS: dict[str, Callable[[Path], bytes]] = {
    **{f"__reduce__, protocol {p}": lambda mark, p=p: pickle.dumps(Call(mark), p) for p in range(6)},
    "in nested containers": lambda mark: pickle.dumps({"S1": {"Walking 1": [(1, [Call(mark)])]}}),
    "as a key": lambda mark: pickle.dumps({(Call(mark),): 1}),
    "in an array of objects": lambda mark: pickle.dumps(np.array([None, Call(mark)], dtype=object)),
    "INST": lambda mark: b"(V%b\nios\nmkdir\n." % str(mark).encode(),
    "OBJ": lambda mark: b"\x80\x02(cos\nmkdir\n" + _text(mark) + b"o.",
    "STACK_GLOBAL": lambda mark: b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + _text(mark) + b"\x85R.",
    "NEWOBJ": lambda mark: (
        b"\x80\x02cbuiltins\ntuple\ncbuiltins\nmap\ncos\nmkdir\n]" + _text(mark) + b"a\x86\x81\x85\x81."
    ),
    "NEWOBJ_EX": lambda mark: (
        b"\x80\x04cbuiltins\ntuple\ncbuiltins\nmap\ncos\nmkdir\n]" + _text(mark) + b"a\x86}\x92\x85}\x92."
    ),
    "__setstate__ by BUILD": lambda mark: (
        b"\x80\x02ctypes\nSimpleNamespace\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nmkdir\nsb" + _text(mark) + b"b."
    ),
    "EXT1": lambda mark: b"\x80\x02\x82" + bytes([EXTENSION]) + _text(mark) + b"\x85R.",
    "EXT2": lambda mark: b"\x80\x02\x83" + struct.pack("<H", EXTENSION) + _text(mark) + b"\x85R.",
    "EXT4": lambda mark: b"\x80\x02\x84" + struct.pack("<I", EXTENSION) + _text(mark) + b"\x85R.",
}
# Beginnings of these occur in the others too.
ALIKE = {
    *(f"__reduce__, protocol {p}" for p in (1, 3, 4)),
    "OBJ",
    "NEWOBJ",
    "EXT2",
    "EXT4",
    "as a key",
    "in nested containers",
}
# Without a loader of their own these do nothing; ours refuses them all the same.
IDLE = {"PERSID": b"Pos.mkdir\n.", "BINPERSID": b"\x80\x02X\x02\x00\x00\x00osQ."}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """The folder that a trap would make; an extension is registered, as a program might have done."""
    copyreg.add_extension("os", "mkdir", EXTENSION)
    yield tmp_path / "executed"
    copyreg.remove_extension("os", "mkdir", EXTENSION)


def as_npy(raw: bytes, shape: str = "()") -> bytes:
    """An npy file of objects."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + raw


def as_zip(**members: bytes) -> bytes:
    """A zip file, as npz files are and files of torch.save."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", TRAPS)
def test_the_traps_work(name: str, mark: Path) -> None:
    pickle.loads(TRAPS[name](mark))
    assert mark.is_dir()


# Parts whose content is not looked at, or damaged lines of which are left out: they may be accepted.
MAY_PASS = {
    ("run folder", "log.jsonl"), ("training state", "log.jsonl"), ("download note JSON", "a.part"),
    ("download note JSON", "a.part.json"), ("training state", "model.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_no_reader_runs_a_pickle_in_any_part_of_its_file(name: str, mark: Path, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    reader, sandbox = target(name), sandbox_of(name, tmp_path / "box")
    for trap in [make(mark) for name, make in TRAPS.items() if name not in ALIKE] + list(IDLE.values()):
        archives = (as_zip(**{"a.npy": as_npy(trap)}), as_zip(**{"a/data.pkl": trap}))
        disguises = (trap, as_npy(trap), as_npy(trap, "(1,)"), *archives)
        for index, part in enumerate(reader.parts):
            for content in disguises:
                sandbox.lay(reader, bytes([index]) + content)
                try:
                    reader.read(sandbox.folder)
                    accepted = True
                except ItesError:
                    accepted = False
                assert not mark.exists(), (part, content)
                a_zip = name == "notebook zip" and (">" in part or content[:2] == b"PK")  # its files may be anything
                assert not accepted or (name, part) in MAY_PASS or a_zip, (part, content)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box"]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    "member", ["positions_3d", "metadata", "__init__", "data.pkl", "../positions_3d", "a/data.pkl"]
)
def test_members_of_the_community_files(trap: str, member: str, mark: Path, tmp_path: Path) -> None:
    raw = as_npy(TRAPS[trap](mark))
    for name in ("data_3d_h36m.npz", FILES_2D["gt"]):
        content = as_zip(**{"positions_3d.npy": seeds.npz("a.npz", x={})["a.npz>x.npy"], f"{member}.npy": raw})
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ItesError, match=r"refused|damaged pickle"):
            load_pickled_npz(tmp_path / name)
    with pytest.raises(ItesError):
        read_human36m(tmp_path)
    with pytest.raises(ItesError, match="holds Python objects"):
        load_archive(tmp_path / "data_3d_h36m.npz")
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:.*weights_only.*")
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "state.safetensors", "run.json"])
def test_files_of_torch_in_a_run_folder(name: str, mark: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    seeds.state(folder)
    torch.save({"model": Call(mark)}, folder / name)
    people = np.stack([[300.0, 200.0]] * 17) + np.arange(34).reshape(17, 2) ** 1.5
    if name in ("model.pt", "state.safetensors"):  # not looked at
        lift(people, weights=folder, joints="h36m17")
    else:
        with pytest.raises(ItesError):
            lift(people, weights=folder, joints="h36m17")
    with pytest.raises(ItesError):
        lift(people, weights=folder / name, joints="h36m17")
    assert not mark.exists()


@pytest.mark.parametrize("trap", TRAPS)
def test_metadata_is_text(trap: str, mark: Path, tmp_path: Path) -> None:
    text = TRAPS[trap](mark).decode("latin-1")
    seeds.sampler(tmp_path)
    parts = seeds.parts_of("a.safetensors", (tmp_path / "a.safetensors").read_bytes())
    header = json.loads(parts["a.safetensors>header.json"])
    for key in ("format", "skeleton", "provenance"):
        changed = header | {"__metadata__": header["__metadata__"] | {key: text}}
        inner = {"header.json": json.dumps(changed).encode(), "numbers": parts["a.safetensors>numbers"]}
        (tmp_path / "b.safetensors").write_bytes(seeds.JOIN[".safetensors"](inner))
        with pytest.raises(ItesError):
            PoseSampler.load(tmp_path / "b.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "c.safetensors", {"step": text})
    graph = seeds.graph()
    about = dict.fromkeys(json.loads(graph["a.onnx>metadata.json"]), text)
    inner = {"graph": graph["a.onnx>graph"], "metadata.json": json.dumps(about).encode()}
    (tmp_path / "a.onnx").write_bytes(seeds.JOIN[".onnx"](inner))
    with pytest.raises(ItesError):
        OnnxRun(tmp_path / "a.onnx")
    assert not mark.exists()


# ---- paths -----------------------------------------------------------------------------------------------------

NAMES = [
    "../../escaped", "/tmp/escaped", "..\\escaped", "C:\\escaped", "a/b/c", ".", "..", "", "nul\x00l", "</script><b>",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in (".gif", ".mp4")])
def test_names_in_keypoint_files_name_no_files(name: str, suffix: str, tmp_path: Path) -> None:
    points = seeds.person(17)
    points[:, 2] = 0.9
    rows = [
        {"image_id": f"{name}{k}", "keypoints": (points + k).ravel().tolist(), "track_id": [name]} for k in range(2)
    ]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    out.mkdir()
    written = save(lift(tmp_path / "in.json", weights=seeds.run()), out / f"a{suffix}")
    assert sorted(out.iterdir()) == sorted(written) and all(p.parent == out for p in written)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.json", "out"]
    if suffix == ".html":
        assert "</script><b>" not in written[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [n for n in NAMES if n])  # zipfile writes no empty name
def test_members_of_npz_files_name_no_files(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.savez(folder / "a.npz", keypoints=seeds.person(18)[None])
    with zipfile.ZipFile(folder / "a.npz", "a") as file:
        file.writestr(name, seeds.npz("a.npz", x=np.zeros(1))["a.npz>x.npy"])
    assert len(read_people(folder / "a.npz")) == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "in"]


@pytest.mark.parametrize("name", [n for n in NAMES if n not in (".", "", "a/b/c", "</script><b>")])
def test_members_of_zip_files_stay_inside(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(as_zip(**{"good": b"1", name: b"2"}))
    try:
        for path in unpack(tmp_path / "a.zip", tmp_path / "out"):
            assert path.resolve().is_relative_to(tmp_path / "out")
    except ItesError:
        assert not (tmp_path / "out").exists(), "nothing was unpacked"
    assert {p.name for p in tmp_path.iterdir()} <= {"a.zip", "out"}


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ""])
def test_names_of_weights_and_systems_are_no_paths(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "in").mkdir()
    with pytest.raises(ItesError, match="not here"):
        card(name, tmp_path / "in")
    with pytest.raises(ItesError, match="without a path"):
        pack(seeds.run(), name, {}, about="", limits="", terms="", folder=tmp_path / "in")
    with pytest.raises(ItesError, match="without a path"):
        Place(results=tmp_path).artefact(f"{name}/..", 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.json"]
