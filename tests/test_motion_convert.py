"""Motion-capture files of whole people: both formats against each other, CMU's own files, and folders of files."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ites_core import cli
from ites_core.data import load_archive, save_archive
from ites_core.data.asf_amc import load_amc, read_asf
from ites_core.data.bvh import bvh_positions, bvh_to_h36m17, read_bvh
from ites_core.data.convert import convert_folder
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

# A person of H36M17's joints: each bone's parent and its vector in metres.
BODY = {
    **{f"{s}hipjoint": ("root", (x * 0.1, -0.1, 0)) for s, x in (("l", 1), ("r", -1))},
    **{f"{s}femur": (f"{s}hipjoint", (0, -0.45, 0)) for s in "lr"},
    **{f"{s}tibia": (f"{s}femur", (0, -0.42, 0)) for s in "lr"},
    "lowerback": ("root", (0, 0.12, 0)),
    "thorax": ("lowerback", (0, 0.25, 0)),
    "lowerneck": ("thorax", (0, 0.1, 0)),
    "upperneck": ("lowerneck", (0, 0.1, 0)),
    "head": ("upperneck", (0, 0.1, 0)),
    **{f"{s}clavicle": ("thorax", (x * 0.2, 0, 0)) for s, x in (("l", 1), ("r", -1))},
    **{f"{s}humerus": (f"{s}clavicle", (x * 0.3, 0, 0)) for s, x in (("l", 1), ("r", -1))},
    **{f"{s}wrist": (f"{s}humerus", (x * 0.25, 0, 0)) for s, x in (("l", 1), ("r", -1))},
}
# The same in a BVH: each joint starts the bone of that name.
BVH_NAMES = {"thorax": "Spine", "lowerneck": "Neck", "upperneck": "Neck1", "head": "Head"} | {
    f"{s}{bone}": f"{side}{joint}"
    for s, side in (("l", "Left"), ("r", "Right"))
    for bone, joint in (("femur", "UpLeg"), ("tibia", "Leg"), ("humerus", "Arm"), ("wrist", "ForeArm"))
}


def asf_body() -> str:
    bones = "".join(
        f"begin\nname {name}\ndirection {x} {y} {z}\nlength 1\naxis 0 0 0 XYZ\ndof rx ry rz\nend\n"
        for name, (_, (x, y, z)) in BODY.items()
    )
    tree = "".join(f"{parent} {name}\n" for name, (parent, _) in BODY.items())
    return f":units\nlength 0.0254\n:root\norder TX TY TZ RX RY RZ\n:bonedata\n{bones}:hierarchy\nbegin\n{tree}end\n"


def amc_body(frames: Tensor) -> str:
    """Angles in degrees (F, 1 + bones, 3) as an AMC file."""
    lines = [":DEGREES"]
    for t, frame in enumerate(frames.tolist()):
        lines += [str(t + 1), " ".join(map(str, ["root", 0, 1, 0, *frame[0]]))]
        lines += [" ".join(map(str, [name, *angles])) for name, angles in zip(BODY, frame[1:], strict=True)]
    return "\n".join(lines)


def bvh_body(frames: Tensor) -> str:
    """The same motion as a BVH file, in centimetres; the joint at a bone's start turns it."""
    order: list[int] = []
    children = {p: [n for n, (q, _) in BODY.items() if q == p] for p in ("root", *BODY)}

    def joint(name: str) -> str:
        order.append([*BODY].index(name))
        parent = BODY[name][0]
        offset = BODY[parent][1] if parent in BODY else (0, 0, 0)
        end = {"lwrist": "LeftHand", "rwrist": "RightHand", "ltibia": "LeftFoot", "rtibia": "RightFoot"}.get(name)
        tip = f"OFFSET {' '.join(str(100 * x) for x in BODY[name][1])}"
        inner = "".join(joint(child) for child in children[name])
        if not inner:
            inner = f"JOINT {end} {{\n{tip}\nCHANNELS 0\n}}\n" if end else f"End Site\n{{\n{tip}\n}}\n"
        return (
            f"JOINT {BVH_NAMES.get(name, name)}\n{{\nOFFSET {' '.join(str(100 * x) for x in offset)}\n"
            f"CHANNELS 3 Zrotation Yrotation Xrotation\n{inner}}}\n"
        )

    tree = "".join(joint(child) for child in children["root"])
    root = "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"
    rows = "".join(
        " ".join(map(str, [0, 100, 0, *(v for j in [0, *(k + 1 for k in order)] for v in frame[j][::-1])])) + "\n"
        for frame in frames.tolist()
    )
    head = f"HIERARCHY\nROOT Hips\n{{\nOFFSET 0 0 0\n{root}\n{tree}}}\n"
    return f"{head}MOTION\nFrames: {len(frames)}\nFrame Time: 0.0083333\n{rows}"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1", errors="replace"))
    return path


def test_both_formats_give_the_same_person(tmp_path: Path) -> None:
    frames = 60 * torch.randn(7, 1 + len(BODY), 3, dtype=torch.float64)
    skeleton = read_asf(write(tmp_path / "p.asf", asf_body()))
    amc = load_amc(write(tmp_path / "p_1.amc", amc_body(frames)), skeleton)
    motion = read_bvh(write(tmp_path / "p.bvh", bvh_body(frames)))
    bvh = bvh_to_h36m17(motion, bvh_positions(motion))
    assert amc.shape == (7, 17, 3) and amc.dtype == torch.float32
    torch.testing.assert_close(amc, bvh, atol=2e-5, rtol=0)


def test_a_person_at_rest_stands_upright(tmp_path: Path) -> None:
    skeleton = read_asf(write(tmp_path / "p.asf", asf_body()))
    (pose,) = load_amc(write(tmp_path / "p_1.amc", amc_body(torch.zeros(1, 1 + len(BODY), 3))), skeleton)
    at = dict(zip(H36M17.joints, pose, strict=True))
    torch.testing.assert_close(at["Hip"], torch.tensor([0, 0.9, 0]))
    torch.testing.assert_close(at["Thorax"], torch.tensor([0, 1.42, 0]))
    assert at["LWrist"][0] > at["RWrist"][0] and at["Head"][1] > at["Neck"][1] > at["Spine"][1] > at["LAnkle"][1]


# ---- the real files ---------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["35_05", "39_01"])
def test_cmu_amc_is_the_archive(data_dir: Path, name: str) -> None:
    raw, cmu = data_dir / "raw" / "cmu", load_archive(data_dir / "cmu17.npz")
    mine = load_amc(raw / f"{name}.amc", read_asf(raw / f"{name[:2]}.asf"), every=5)
    kept = cmu.sequence(cmu.names.index(f"cmu_{name}"))
    assert mine.shape == kept.shape and (mine - kept).norm(dim=-1).max() < 1e-5  # metres


@pytest.mark.data
def test_cmu_bvh_is_a_person(data_dir: Path) -> None:
    motion = read_bvh(data_dir / "raw" / "cmu" / "10_03.bvh")
    positions = bvh_positions(motion)
    assert motion.reference_frames == 6 and positions.shape == (363, 57, 3)
    assert 1.5 < positions[0, :, 1].max() - positions[0, :, 1].min() < 1.9  # the T-pose, to the eyes
    body = bvh_to_h36m17(motion, positions)[motion.reference_frames :]
    steps = (body[1:] - body[:-1]).norm(dim=-1)
    assert H36M17.bone_lengths(body).std(dim=0).max() < 0.01 and steps.max() * 120 < 12  # metres a second


@pytest.mark.data
def test_cmu_folder(data_dir: Path) -> None:
    archive, failures = convert_folder(data_dir / "raw" / "cmu", test_subjects=["10"], progress=False)
    assert not failures and archive.names == ("10_03", "35_05", "39_01") and archive.lengths == (72, 86, 76)
    assert archive.split == ("test", "train", "train") and archive.kind == ("bvh", "amc", "amc")
    assert archive.fps == pytest.approx((24.0,) * 3)


# ---- folders ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CMU's layout, HDM05's, a BVH, actions, and files that are broken."""
    base, frames = tmp_path / "mocap", 10 * torch.randn(11, 1 + len(BODY), 3)
    write(base / "07" / "07.asf", asf_body())
    write(base / "07" / "07_01.amc", amc_body(frames))
    write(base / "07" / "07_02.AMC", amc_body(frames)[:-400])
    write(base / "HDM_bd.asf", asf_body())
    write(base / "HDM_bd_walk_001_120.amc", amc_body(frames))
    write(base / "12_03.bvh", bvh_body(frames))
    write(base / "13_03.bvh", bvh_body(frames).replace("Leg", "Limb"))
    write(base / "99_01.amc", amc_body(frames))
    write(base / "actions.csv", "\ufeffname,action\n07_01,walk\n12_03,\n".encode().decode("latin-1"))
    return base


def test_folder(folder: Path, tmp_path: Path) -> None:
    archive, failures = convert_folder(folder, test_subjects=("07",), progress=False)
    assert archive.names == ("07_01", "12_03", "HDM_bd_walk_001_120") and archive.subject == ("07", "12", "bd")
    assert archive.lengths == (3, 3, 3) and archive.action == ("walk", "unknown", "unknown")
    assert archive.split == ("test", "train", "train") and archive.kind == ("amc", "bvh", "amc")
    reasons = {path.name: reason for path, reason in failures}
    assert "is missing" in reasons["07_02.AMC"] and "no skeleton" in reasons["99_01.amc"]
    assert "expected also LeftLeg, LeftUpLeg, RightLeg, RightUpLeg" in reasons["13_03.bvh"] and len(reasons) == 3
    save_archive(archive, tmp_path / "a.npz")
    assert load_archive(tmp_path / "a.npz").checksum() == archive.checksum()


def test_folder_keeps_every_nth_frame(folder: Path) -> None:
    skeleton = read_asf(folder / "07" / "07.asf")
    every = load_amc(folder / "07" / "07_01.amc", skeleton)
    archive, _ = convert_folder(folder, fps=50, progress=False)
    assert torch.equal(archive.sequence(0), every[::2]) and set(archive.fps) == {60.0}
    assert convert_folder(folder, fps=999, progress=False)[0].fps[0] == 120.0


def test_folder_refuses(folder: Path, tmp_path: Path) -> None:
    def refused(match: str, where: Path = folder, **options: object) -> None:
        with pytest.raises(ItesError, match=match):
            convert_folder(where, progress=False, **options)  # type: ignore[arg-type]

    refused("no such folder", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    refused(r"found 0 \.amc and \.bvh files", tmp_path / "empty")
    refused("none of which can be read; the first: .*found a leg of 87 m", metres_per_unit=100.0)
    refused("test subject '8': found no readable file", test_subjects=["8"])
    refused("fps: found 0", fps=0)
    refused("amc_fps: found nan", amc_fps=math.nan)
    for text in ("name;action\n", "\xff\xfe"):
        write(folder / "actions.csv", text)
        refused(r"actions\.csv")


def test_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.npz"
    arguments = ["data", "convert", folder, "--out", out, "--fps", 30, "--test-subjects", "07", "12"]
    monkeypatch.setattr(sys, "argv", ["ites", *map(str, arguments)])
    cli.main()
    assert "3 files left out" in capsys.readouterr().out
    assert load_archive(out).split == ("test", "test", "train") and set(load_archive(out).fps) == {30.0}
