"""Every reader under fire for a second or two, 60 in all; tests.campaigns.fuzz does the same for an hour."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from ites_core.errors import ItesError
from ites_core.experiments.artefacts import RESULTS
from tests.campaigns.bombs import npy
from tests.campaigns.fuzz_targets import TARGETS, Sandbox, target
from tests.campaigns.fuzz_worker import Found, by_property, judge

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1.2  # of processor time for each reader
FEWEST = 50  # inputs, however slow the machine
GUIDED = 4000  # inputs that follow the branches, for all readers together


def with_value(name: str, part: str, value: Any, *keys: Any) -> tuple[str, str, bytes]:
    """A reader's valid JSON with another value at one place."""
    tree = json.loads(target(name).parts[part])
    at = tree
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return name, part, json.dumps(tree).encode()


def with_array(name: str, part: str, array: np.ndarray) -> tuple[str, str, bytes]:
    """Another array in place of one."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return name, part, buffer.getvalue()


def numbers(count: int, code: int) -> bytes:
    """An npy file of one-letter texts that are all the same number."""
    return npy(f"({count},)", "<U1", code.to_bytes(4, "little") * count)


def not_utf8(file: str) -> bytes:
    """A zip file whose member has a name that is no UTF-8, though it is said to be."""
    named = target(file).parts["a.zip"].replace(b"README", b"READM\xff")
    return named.replace(b"\x14\x00\x00\x00", b"\x14\x00\x00\x08")


POINTS = [1e308, -1e308, 0.9] * 25
DEEP = b'{"step": ' + b"[" * 90_000 + b"]" * 90_000 + b"}\n"
BRACKETS = b"\x93NUMPY\x01\x00\x0a\x00((((((((((" + bytes(9)
HALF = "\ud800"  # half of a character, which JSON can hold and no file


def once_failed() -> dict[str, tuple[str, str, bytes]]:
    """What once made a reader fail otherwise than in one line, found by the campaign and by looking for it."""
    coco, mediapipe = ("keypoints JSON, COCO", "a.json"), ("keypoints JSON, MediaPipe", "a.json")
    lifted, run = ("lifted JSON", "a.json"), ("run folder", "run.json")
    clip = ("clip TOML and JSON", "pose/cam0/f.0000.json")
    return {
        "text beyond Unicode": ("archive npz", "a.npz>names.npy", numbers(3, 0xFFFFFFFF)),
        "seventy axes": ("archive npz", "a.npz>fps.npy", npy(f"{(1,) * 70}", "<f4", bytes(4))),
        "no number times too many": ("archive npz", "a.npz>fps.npy", npy(f"(0, {2**64})")),
        "open brackets in a header": ("archive npz", "a.npz>fps.npy", BRACKETS),
        "the same, npy": ("keypoints npy", "a.npy", BRACKETS),
        "name that is no UTF-8": ("notebook zip", "a.zip", not_utf8("notebook zip")),
        "name that is no UTF-8, npz": ("archive npz", "a.npz", not_utf8("notebook zip")),
        "images that are a number": with_value(*coco, -1, "images"),
        "x and y that are lists": with_value(
            *mediapipe, {"x": [1, 2], "y": [1, 2], "visibility": [1, 2]}, "frames", 0, "poses", 0, 0
        ),
        "joint of 5000 digits": ("keypoints CSV", "a.csv", b"joint,x,y\n" + b"9" * 5000 + b",1,2\n"),
        "picture number beyond 64 bits": with_value(
            "COCO annotations JSON", "annotations/person_keypoints_val2017.json", 10**30, "annotations", 0, "image_id"
        ),
        "action of half a character": with_value("C3DPO JSON", "a.json", HALF, "data", 0, "h36m_info", "action_name"),
        "detections at the end of the numbers": with_value(*clip, POINTS, "people", 0, "pose_keypoints_2d"),
        "picture named by half a character, at export": with_value(*coco, HALF, "images", 0, "file_name"),
        "pixels that are one number": with_array("MPI-INF-3DHP mat", "TS1/annot_data.mat>annot2", np.array(3.0)),
        "frame beyond 64 bits": with_value(*lifted, 10**30, "people", 0, "frame"),
        "frame that is text": with_value(*lifted, "1", "people", 0, "frame"),
        "coordinate beyond floats": with_value(*lifted, 10**400, "people", 0, "pose_m", 0, 0),
        "rate that is text": with_value(*lifted, "x", "fps"),
        "unknown origin": with_array("lifted npz", "a.npz>origin.npy", np.full((2, 17), 200, np.uint8)),
        "frame without a picture": with_array("lifted npz", "a.npz>frame.npy", np.array([7, 8])),
        "endless seed": (*run, target("run folder").parts["run.json"].replace(b'"seed": 0', b'"seed": 1e999')),
        "endless width": with_value(*run, 10**12, "config", "channels"),
        "log that is no UTF-8": ("run folder", "log.jsonl", b"\xff\n"),
        "log nested deep": ("run folder", "log.jsonl", DEEP),
        "provenance that is a list": with_value("packaged weights", "x.json", [], "run", "provenance"),
        "checksum that is a number": with_value("packaged weights", "x.json", 1, "sha256"),
        "log that is a number": with_value("packaged weights", "x.json", 1, "log"),
        "prior without numbers": (
            "shape prior safetensors", "a.safetensors",
            save({k: np.zeros(0) for k in ("mean", "covariance", "lengths", "size")}),
        ),
        "provenance nested deep": (
            "pose sampler safetensors", "a.safetensors>header.json",
            target("pose sampler safetensors").parts["a.safetensors>header.json"].replace(
                b'{\\"data\\": \\"cmu\\"}', b"[" * 90_000 + b"]" * 90_000
            ),
        ),
        "metadata that are no UTF-8": (
            "ONNX network", "a.onnx", target("ONNX network").parts["a.onnx"].replace(b"student", b"\xfftudent"),
        ),
        "metrics that are nothing": with_value("artefact JSON", "row.json", None, "metrics"),
        "cost nested deep": ("artefact JSON", "cost/a.json", DEEP),
        "length without end": (
            "download note JSON", "a.part.json", b'{"url": "http://a/b", "version": "\\"x", "total": 1e999}',
        ),
    }  # fmt: skip


def sandbox_of(name: str, folder: Path) -> Sandbox:
    """A folder in which the valid input of a reader lies."""
    (folder / "out").mkdir()
    sandbox = Sandbox(folder)
    sandbox.lay(target(name), target(name).seeds[0])
    return sandbox


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    sandbox, found = sandbox_of(name, tmp_path), Found()
    target(name).read(tmp_path)  # the valid input
    end = time.process_time() + SECONDS
    by_property(target(name), sandbox, found, lambda: found.tried < FEWEST or time.process_time() < end)
    assert not found.failures, json.dumps(found.failures, indent=1)
    assert found.tried >= FEWEST


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed (Linux only)")
def test_inputs_that_follow_the_branches(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.campaigns.fuzz_worker", "coverage", "all", str(GUIDED), "0", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["tried"] == GUIDED, done.stderr[-2000:]
    assert not found["failures"], json.dumps(found["failures"], indent=1)


def test_what_once_failed(tmp_path: Path) -> None:
    failures = {}
    for k, (what, (name, part, content)) in enumerate(once_failed().items()):
        reader, found, folder = target(name), Found(), tmp_path / str(k)
        folder.mkdir()
        judge(reader, sandbox_of(name, folder), bytes([list(reader.parts).index(part)]) + content, found)
        if found.failures:
            failures[what] = list(found.failures)
    assert not failures, json.dumps(failures, indent=1)


def test_a_message_is_one_printable_line_of_bearable_length() -> None:
    message = str(ItesError("a\x1b[2J\nb\ud800 \N{RIGHT-TO-LEFT OVERRIDE}" + "c" * 100_000))
    assert message.startswith("a\\x1b[2J b\\ud800 \\u202ec") and len(message) < 2100 and message.isprintable()


def test_what_the_campaign_recorded() -> None:
    row = json.loads((RESULTS / "reliability" / "fuzz.json").read_text(encoding="utf-8"))
    assert {case["name"] for case in row["cases"]} == set(TARGETS)
    for case in row["cases"]:
        assert case["tried"] >= 100_000 and case["survived"] == case["tried"], case["name"]
