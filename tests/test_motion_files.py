"""Readers of ASF, AMC and BVH: results worked out by hand, and every way in which a file can be wrong."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from ites_core.data import motion_file
from ites_core.data.asf_amc import asf_positions, read_amc, read_asf
from ites_core.data.bvh import bvh_positions, read_bvh
from ites_core.errors import ItesError

# One unit is one metre. Bone a rests upwards and turns about its own x, which its axes make the world's y.
ASF = """# a comment
:version 1.10
:units
  mass 1.0
  length 0.0254
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name a
    direction 0 1 0
    length 2
    axis 0 0 90 XYZ
    dof rx
    limits (-160.0 20.0)
           (-70.0 70.0)
  end
  begin
    name b
    direction 1 0 0
    length 1
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root a
    a b
  end
"""
AMC = """#!OML:ASF D:\\B\xfccher\\x.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
a 90
2
root 0 0 0 90 0 90
a 0
"""
BVH = """HIERARCHY
ROOT r
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT a
  {
    OFFSET 1 0 0
    CHANNELS 1 Yrotation
    End Site
    {
      OFFSET 0 0 2
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
0 0 0 0 0 0 0
5 6 7 90 90 0 90
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1", errors="replace"))
    return path


def read_pair(folder: Path, asf: str = ASF, amc: str = AMC) -> Tensor:
    """Positions (F, J, 3) of an ASF and an AMC text."""
    skeleton = read_asf(write(folder / "x.asf", asf))
    return asf_positions(skeleton, read_amc(write(folder / "x_1.amc", amc), skeleton))


def read_one(folder: Path, text: str = BVH) -> Tensor:
    """Positions (F, J, 3) of a BVH text, in its own unit."""
    return bvh_positions(read_bvh(write(folder / "x.bvh", text)), 1.0)


# ---- worked out by hand -----------------------------------------------------------------------------------


def test_asf_amc_by_hand(tmp_path: Path) -> None:
    wanted = torch.tensor([[[1.0, 2, 3], [1, 4, 3], [1, 4, 2]], [[0, 0, 0], [0, 0, 2], [0, 1, 2]]])
    torch.testing.assert_close(read_pair(tmp_path), wanted)
    radians = AMC.replace(":DEGREES", ":RADIANS").replace("90", str(math.pi / 2))
    torch.testing.assert_close(read_pair(tmp_path, amc=radians), wanted)
    torch.testing.assert_close(read_pair(tmp_path, amc=AMC.replace("\n", "\r\n")), wanted)


def test_asf_root_order_position_and_units(tmp_path: Path) -> None:
    asf = ASF.replace("TX TY TZ RX RY RZ", "RZ RY RX TX TY TZ").replace("position 0 0 0", "position 1 0 0")
    moved = read_pair(tmp_path, asf=asf.replace("axis XYZ\n  pos", "axis ZYX\n  pos"))
    # frame 2: angles z 0, y 0, x 0, at (90 0 90) + (1 0 0)
    torch.testing.assert_close(moved[1, 0], torch.tensor([91.0, 0, 90]))
    inches = read_pair(tmp_path, asf=ASF.replace("length 0.0254", "length 0.45"))
    torch.testing.assert_close(inches, read_pair(tmp_path) * 0.0254 / 0.45)
    skeleton = read_asf(write(tmp_path / "x.asf", ASF))
    channels = read_amc(tmp_path / "x_1.amc", skeleton)
    torch.testing.assert_close(asf_positions(skeleton, channels, 0.5), read_pair(tmp_path) / 2)


def test_bvh_by_hand(tmp_path: Path) -> None:
    wanted = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 0, 2]], [[5, 6, 7], [5, 7, 7], [5, 9, 7]]])
    torch.testing.assert_close(read_one(tmp_path), wanted)
    mixed = BVH.replace("Xposition Yposition Zposition Zrotation", "Zrotation Zposition Yposition Xposition")
    mixed = mixed.replace("5 6 7 90 90 0 90", "90 7 6 5 90 0 90").replace("JOINT a\n  {", "joint a {")
    torch.testing.assert_close(read_one(tmp_path, mixed), wanted)
    motion = read_bvh(tmp_path / "x.bvh")
    assert motion.joints == ("r", "a", "a End") and motion.reference_frames == 1


@pytest.mark.parametrize("axes", ["xyz", "zxy", "yzx", "x", "zy"])
def test_rotations_agree_with_scipy(axes: str) -> None:
    angles = torch.randn(20, len(axes), dtype=torch.float64)
    mine = motion_file.rotation_matrices(axes, angles)
    torch.testing.assert_close(mine, torch.from_numpy(Rotation.from_euler(axes, angles.numpy()).as_matrix()))


# ---- what is refused --------------------------------------------------------------------------------------


def refused(read: Callable[..., object], match: str, *arguments: object, **texts: object) -> None:
    with pytest.raises(ItesError, match=match) as caught:
        read(*arguments, **texts)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


BAD_ASF = [
    ("", "", "no section :root"),
    (ASF, "", "no section :root"),
    (":hierarchy", ":tree", "no section :hierarchy"),
    ("length 0.0254", "length -1", "line 5: found 'length -1', expected a positive"),
    ("length 0.0254", "length 1e400", "line 5: .*finite"),
    ("order TX TY TZ", "order TX TX TZ", "at most once"),
    ("  order TX", "  ordre TX", "found no line 'order'"),
    ("direction 0 1 0", "direction 0 nan 0", "line 16: .*finite numbers"),
    ("direction 0 1 0", "direction 0 1", r"3 numbers \(direction\), not 2"),
    ("    length 2\n", "", "a bone with the field 'length'"),
    ("axis 0 0 90 XYZ", "axis 0 0 90 XYX", "an order of turns"),
    ("axis 0 0 90 XYZ", "axis", "an order of turns"),
    ("dof rx", "dof rx l", "stretching"),
    ("name b", "name a", "a name that no other bone has"),
    ("    name b\n", "", "a bone that has a name"),
    ("    a b\n", "    a c\n", "bones of section :bonedata, not 'c'"),
    ("    a b\n", "    a b\n    b a\n", "one parent for each bone"),
    ("root a\n    a b", "a b\n    b a", "no way from the root to .*without a cycle"),
    ("root a\n", "root\n", "no way from the root to"),
    ("    a b\n", "    a root b\n", "none for the root"),
]


@pytest.mark.parametrize("old, new, match", BAD_ASF)
def test_bad_asf(tmp_path: Path, old: str, new: str, match: str) -> None:
    refused(read_pair, match, tmp_path, asf=ASF.replace(old, new) if old else "")


@pytest.mark.parametrize(
    "old, new, match",
    [
        (AMC, "", "found no frame"),
        ("2\nroot 0 0 0 90 0 90\na 0\n", "2\nroot 0 0 0 90 0 90\n", "line 7: .*here 'a' is missing"),
        ("a 0\n", "a\n", r"line 9: .*1 numbers \(a\), not 0"),
        ("a 0\n", "a nan\n", "line 9: .*finite"),
        ("a 0\n", "a -1.#IND\n", "line 9: .*expected numbers"),
        ("a 90\n", "a 90\na 90\n", "line 7: .*one line for each bone"),
        ("a 90\n", "a 90\nc 1\n", r"line 7: found 'c 1'.*\(x.asf\)"),
        ("1\nroot", "root", "a frame number"),
        ("2\nroot", "3\nroot", "go up by one"),
        ("2\nroot", "9" * 5000 + "\nroot", "go up by one"),
        ("root 1 2 3", "root 1e308 2 3", "frame 1: a joint is infinitely far"),
    ],
)
def test_bad_amc(tmp_path: Path, old: str, new: str, match: str) -> None:
    refused(read_pair, match, tmp_path, amc=AMC.replace(old, new))


@pytest.mark.parametrize(
    "old, new, match",
    [
        (BVH, "", "no complete section HIERARCHY"),
        ("MOTION", "", "expected a joint, OFFSET"),
        ("Frames: 2", "Frames: 3", "found 2 frames, expected 3"),
        ("Frames: 2", "Frames: 1", "the end of the file after 1 frames"),
        ("Frames: 2", "Frames: 1.5", "a whole number of frames"),
        ("Frames: 2", "Frames: 1e300", "a whole number of frames"),
        ("Frame Time: 0.01", "Frame Time: 0", "a positive number of seconds"),
        ("Frame Time: 0.01", "Zeit: 0", "expected 'Frame Time"),
        ("90 90 0 90", "90 90 0", r"line 20: .*7 numbers \(the channels of frame 2\), not 6"),
        ("90 90 0 90", "90 90 0 inf", "line 20: .*finite"),
        ("CHANNELS 1 Yrotation", "CHANNELS 2 Yrotation", "'CHANNELS n' and n names"),
        ("CHANNELS 1 Yrotation", "CHANNELS 1 Wrotation", "'CHANNELS n' and n names"),
        ("CHANNELS 1 Yrotation", "CHANNELS", "'CHANNELS n' and n names"),
        ("    OFFSET 1 0 0\n", "", "found 'a' without an OFFSET"),
        ("JOINT a", "JOINT r", "a name of its own"),
        ("JOINT a", "JOINT", "each with a name"),
        ("JOINT a", "ROOT a", "one ROOT"),
        ("JOINT a\n  {", "JOINT a", "expected an opening brace"),
        ("}\nMOTION", "MOTION", "no complete section HIERARCHY"),
        ("}\nMOTION", "}\n}\nMOTION", "a brace that matches"),
        (BVH[BVH.index("MOTION") :], "MOTION\n", "found no motion"),
    ],
)
def test_bad_bvh(tmp_path: Path, old: str, new: str, match: str) -> None:
    refused(read_one, match, tmp_path, BVH.replace(old, new))


# ---- whatever else a file may hold ------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["", "0", "-1", "1e999", "nan", "99999999999999999999", "{", "}", "begin", "end", "root", "a", "b", "ROOT", "JOINT",
     "MOTION", "Frames:", "CHANNELS", "OFFSET", ":hierarchy", ":bonedata", ":root", "dof", "rx", "XYZ", "#", "\x1b[2J"]
)  # fmt: skip
KINDS = st.sampled_from(["word", "drop", "double", "swap", "cut"])
EDITS = st.lists(st.tuples(KINDS, st.floats(0, 0.999), WORDS), min_size=1, max_size=4)


def mutated(text: str, edits: list[tuple[str, float, str]]) -> str:
    """A text with words replaced, and lines dropped, doubled, swapped with the next, or all cut off from there."""
    lines = text.split("\n")
    for what, where, word in edits:
        lines = lines or [""]
        i = int(where * len(lines))
        line = lines[i].split(" ")
        if what == "word":
            line[int(where * 997) % len(line)] = word
            lines[i] = " ".join(line)
        elif what == "swap":
            lines[i : i + 2] = lines[i : i + 2][::-1]
        else:
            lines[i:] = {"drop": lines[i + 1 :], "double": lines[i : i + 1] + lines[i:], "cut": [lines[i][:3]]}[what]
    return "\n".join(lines)


def read_or_refuse(read: Callable[..., Tensor], *arguments: object) -> None:
    """The file is read to finite positions or refused with one line that is safe to print."""
    try:
        positions, reason = read(*arguments), ""
    except ItesError as error:
        positions, reason = torch.zeros(1, 1, 3), str(error)
    assert positions.shape[2] == 3 and torch.isfinite(positions).all() and reason.isprintable()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(EDITS)
def test_mutated_asf(scratch: Path, edits: list[tuple[str, float, str]]) -> None:
    read_or_refuse(read_pair, scratch, mutated(ASF, edits), AMC)


@given(EDITS)
def test_mutated_amc(scratch: Path, edits: list[tuple[str, float, str]]) -> None:
    read_or_refuse(read_pair, scratch, ASF, mutated(AMC, edits))


@given(EDITS)
def test_mutated_bvh(scratch: Path, edits: list[tuple[str, float, str]]) -> None:
    read_or_refuse(read_one, scratch, mutated(BVH, edits))


@given(st.one_of(st.binary().map(lambda raw: raw.decode("latin-1")), st.text(), st.lists(WORDS).map("\n".join)))
def test_any_text(scratch: Path, text: str) -> None:
    read_or_refuse(read_pair, scratch, text, AMC)
    read_or_refuse(read_pair, scratch, ASF, text)
    read_or_refuse(read_one, scratch, text)
    read_or_refuse(read_one, scratch, BVH[: BVH.index("Frames")] + text)


def test_not_a_readable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(read_bvh, "absent.*No such file", tmp_path / "absent")
    refused(read_asf, "cannot be read", tmp_path)
    refused(read_one, "binary data", tmp_path, "HIERARCHY\0")
    monkeypatch.setattr(motion_file, "MAX_LINE", 1000)
    refused(read_one, "line 21: found binary data or an endless line", tmp_path, f"{BVH}{'0 ' * 600}")
    refused(read_asf, "found 2 MiB, expected at most 1", write(tmp_path / "x.asf", ASF + "#\n" * (1 << 20)))


def test_large_claims_cost_nothing(tmp_path: Path) -> None:
    tracemalloc.start()
    refused(read_one, "found 2 frames, expected 999999999", tmp_path, BVH.replace("Frames: 2", "Frames: 999999999"))
    deep = "".join(f"JOINT j{i} {{\nOFFSET 0 0 0\n" for i in range(100_000))
    refused(read_one, "at most 500 joints", tmp_path, BVH.replace("JOINT a\n  {", f"{deep}JOINT a {{"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20  # the text that is written here itself is the most


def test_too_many_positions_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_file, "MAX_POINTS", 5)
    refused(read_one, "found 2 frames of 3 joints, expected at most 5", tmp_path)
    refused(read_pair, "found 2 frames of 3 joints, expected at most 5", tmp_path)
