"""What the fuzzing campaign reads: for each reader a small valid input in parts, and a call that reads and uses it.

An input of a target is one byte that picks a part, and what stands in that part's place. A part ``a.npz>starts.npy``
is a member of a zip file, which gets its right checksum, so that a change reaches the reader behind it; the part
``a.npz`` is the file as a whole. The same holds for the header and the numbers of a safetensors file.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ites_core import weights
from ites_core.checkpoint import RunFolder
from ites_core.data import fetch
from ites_core.data.archive import load_archive, save_archive
from ites_core.data.asf_amc import asf_positions, read_amc, read_asf
from ites_core.data.bvh import bvh_positions, bvh_to_h36m17, read_bvh
from ites_core.data.c3dpo_json import read_c3dpo_json
from ites_core.data.coco_annotations import convert_coco
from ites_core.data.convert import convert_folder
from ites_core.data.human36m import read_human36m
from ites_core.data.joint_sets import COCO17
from ites_core.data.keypoints import read_coco_keypoints, read_openpose_clip
from ites_core.data.mapped import map_archive, unpack
from ites_core.data.mpi_inf_3dhp import read_mpi_inf_3dhp
from ites_core.data.openpose_clip import convert_clip
from ites_core.data.pickles import load_pickled_npz
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import in_words, read_row
from ites_core.experiments.cost import stored_costs
from ites_core.export.bvh import bvh_text
from ites_core.export.rig import rigs
from ites_core.export.tables import csv_text, json_text, npz_bytes, read_lifted
from ites_core.lifting.onnx_run import OnnxRun
from ites_core.lifting.people import follow
from ites_core.lifting.prior import FILE, ShapePrior
from ites_core.lifting.read import read_people
from tests.campaigns import fuzz_seeds as seeds
from tests.test_motion_files import AMC, ASF

Parts = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: of the reader.
        parts: a valid input.
        read: reads the folder in which the parts lie, and uses what it got.
    """

    name: str
    parts: dict[str, bytes]
    read: Callable[[Path], object]

    @property
    def seeds(self) -> list[bytes]:
        """The valid input, once for each part that can be changed."""
        return [bytes([k]) + content for k, content in enumerate(self.parts.values())]


@dataclass
class Sandbox:
    """A folder in which inputs are laid out, one after the other."""

    folder: Path
    there: dict[str, bytes] = field(default_factory=dict)

    def lay(self, target: Target, data: bytes) -> None:
        """Write the files of one input; those that have not changed stay."""
        names = list(target.parts)
        changed = names[data[0] % len(names)] if data else names[0]
        parts = target.parts | {changed: bytes(data[1:])}
        for file in dict.fromkeys(name.partition(">")[0] for name in names):
            inner = {k.partition(">")[2]: parts[k] for k in names if k.startswith(f"{file}>")}
            content = parts[file] if file == changed or not inner else seeds.JOIN[Path(file).suffix](inner)
            if self.there.get(file) != content:
                if file not in self.there:
                    (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / file).write_bytes(content)
                self.there[file] = content


# ---- how each reader is called, and what is done with what it returns ------------------------------------------


def use_archive(folder: Path) -> None:
    archive = load_archive(folder / "a.npz")
    archive.checksum()
    archive.part("train")


def use_mapped(folder: Path) -> None:
    unpack(folder / "a.npz", folder / "out" / "b.npz")
    map_archive(folder / "a.npz").checksum()


def use_people(folder: Path, name: str, **options: Any) -> None:
    people = read_people(folder / name, **options)
    people.joints.apply(people.keypoints, people.score, 0.3)
    follow(people)


def use_lifted(folder: Path, name: str) -> None:
    found = read_lifted(folder / name)
    found.summary()
    json_text(found), csv_text(found), npz_bytes(found)
    if found.done.any():
        [bvh_text(rig) for rig in rigs(found)]


def use_bvh(folder: Path) -> None:
    motion = read_bvh(folder / "a.bvh")
    bvh_to_h36m17(motion, bvh_positions(motion.every(1, start=motion.reference_frames)))


def use_asf(folder: Path) -> None:
    skeleton = read_asf(folder / "a.asf")
    asf_positions(skeleton, torch.zeros(1, sum(map(len, skeleton.dof)), dtype=torch.float64))


def use_amc(folder: Path) -> None:
    skeleton = read_asf(folder / "a.asf")
    asf_positions(skeleton, read_amc(folder / "a.amc", skeleton))


def use_run(folder: Path) -> None:
    RunFolder(folder).read().lift(torch.zeros(1, 17, 2))


def use_state(folder: Path) -> None:
    """Continue a run; it has no file that describes it but its own."""
    fresh = seeds.run()
    RunFolder(folder).resume(fresh, torch.optim.Adam(fresh.model.parameters()))


def use_card(folder: Path) -> None:
    weights._bytes.cache_clear()
    weights.load("x", folder=folder)
    weights.card("x", folder)


def use_coco_annotations(folder: Path) -> None:
    convert_coco(folder, folder / "out" / "a.npz")
    read_coco_keypoints(folder / "out" / "a.npz").checksum()


def use_clip_files(folder: Path) -> None:
    convert_clip(folder / "a.toml", folder / "pose", folder / "out" / "a.npz")
    read_openpose_clip(folder / "out" / "a.npz").checksum()


def use_zip(folder: Path) -> None:
    shutil.rmtree(folder / "out")
    (folder / "out").mkdir()
    for path in fetch.unpack(folder / "a.zip", folder / "out"):
        assert path.resolve().is_relative_to((folder / "out").resolve())


# ---- the table -------------------------------------------------------------------------------------------------


def clip_files() -> Parts:
    calibration, seen, _ = seeds.cameras()
    people = {
        f"pose/cam{c}/f.{f:04d}.json": seeds.text({"people": [{"pose_keypoints_2d": points.round(2).ravel().tolist()}]})
        for c, frames in enumerate(seen)
        for f, points in enumerate(frames[:1])
    }
    return {"a.toml": calibration.encode(), **people}


def coco(k: int = 17) -> dict[str, Any]:
    flat = np.column_stack([seeds.person(k)[:, :2], np.full(k, 2)]).ravel().tolist()
    image = {"id": 5, "file_name": "5.jpg", "width": 640, "height": 480}
    return {"images": [image], "annotations": [{"image_id": 5, "iscrowd": 0, "num_keypoints": k, "keypoints": flat}]}


def mmpose() -> dict[str, Any]:
    xy, score = seeds.person(17)[:, :2].tolist(), [0.9] * 17
    instance = {"keypoints": xy, "keypoint_scores": score, "track_id": 1}
    return {"instance_info": [{"frame_id": 3, "instances": [instance]}]}


def ultralytics() -> list[Any]:
    xy = seeds.person(17)
    return [{"box": {}, "keypoints": {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "visible": xy[:, 2].tolist()}}]


def openpose() -> dict[str, Any]:
    return {"people": [{"person_id": [-1], "pose_keypoints_2d": seeds.person(25).ravel().tolist()}]}


def mediapipe() -> dict[str, Any]:
    pose = [{"x": 0.5, "y": 0.25, "z": 0.0, "visibility": 0.9}, *[[0.1, 0.2, 0.0, 0.9]] * 32]
    return {"image_size": [640, 480], "fps": 30, "frames": [{"frame": 0, "poses": [pose]}]}


def c3dpo() -> dict[str, Any]:
    body = PoseSampler.embedded().poses(1, torch.Generator().manual_seed(0))[0].numpy() * [1, -1, -1]
    body = (body - body[:1]).round(3)
    info = {"scale": 1000.0, "action_name": "Walking"}
    entry = {"kp_loc": body[:, :2].T.tolist(), "kp_vis": [1] * 17, "kp_loc_3d": body.T.tolist(), "h36m_info": info}
    return {"dataset": "h36m", "data": [entry]}


def tables() -> Parts:
    names = COCO17[:9]
    long = "frame,person,joint,x,y,score\n" + "".join(f"1,0,{name},{k},2.5,0.9\n" for k, name in enumerate(names))
    wide = "frame;" + ";".join(f"{n}_{c}" for n in names for c in ("x", "y", "score"))
    return {"a.csv": long.encode(), "b.csv": f"{wide}\n1;{';'.join(['5.5'] * 27)}\n".encode()}


def one_of(*reads: Callable[[Path], object]) -> Callable[[Path], None]:
    """Several readers of one folder, whatever becomes of the others."""

    def read(folder: Path) -> None:
        refused = None
        for each in reads:
            try:
                each(folder)
            except ItesError as error:
                refused = error
        if refused:
            raise refused

    return read


def people(name: str, content: bytes, **options: Any) -> tuple[Parts, Callable[[Path], object]]:
    return {name: content}, lambda folder: use_people(folder, name, **options)


def written(write: Callable[[Path], object], *files: str) -> Parts:
    return seeds.written(write, *files)


def mat() -> Parts:
    path, fields = "TS1/annot_data.mat", seeds.npz("a.npz", **seeds.mpi_inf_3dhp())
    inner = {k.removeprefix("a.npz>").removesuffix(".npy"): v for k, v in fields.items() if ">" in k}
    return {path: written(seeds.matlab, "a.mat")["a.mat"], **{f"{path}>{k}": v for k, v in inner.items()}}


def prior() -> Parts:
    return seeds.parts_of("a.safetensors", FILE.read_bytes())


def keypoints_npz() -> Parts:
    names = np.array(COCO17)
    return seeds.npz(
        "a.npz", keypoints=seeds.person(17)[None], joint_names=names, frame=np.array([3]), fps=np.array(25)
    )


def coco_npz() -> Parts:
    flat = seeds.person(17)[None]
    flat[..., 2] = 2
    flags = {"is_val": np.array([True]), "size_ambiguous": np.array([False])}
    return seeds.npz("a.npz", keypoints=flat, joint_names=np.array(COCO17), image_id=np.array([7]), **flags)


def bvh(name: str = "a.bvh") -> Parts:
    """Our own export under the names of CMU's recordings."""
    text = bvh_text(rigs(seeds.lifted())[0])
    for ours, theirs in (
        ("Neck", "Neck1"), ("Thorax", "Neck"), ("Shoulder", "Arm"), ("Elbow", "ForeArm"), ("Wrist", "Hand"),
        ("RHip", "RUpLeg"), ("LHip", "LUpLeg"), ("Knee", "Leg"), ("Ankle", "Foot"), (" R", " Right"), (" L", " Left"),
        ("RightOOT", "ROOT"),
    ):  # fmt: skip
        text = text.replace(ours, theirs)
    return {name: text.encode()}


def student_zip() -> Parts:
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    members = {"student_notebooks/README.txt": b"read me", "student_notebooks/0_start.ipynb": seeds.text(notebook)}
    return seeds.parts_of("a.zip", seeds.JOIN[".zip"](members))


Make = Callable[[], tuple[Parts, Callable[[Path], object]]]
TARGETS: dict[str, Make] = {
    "archive npz": lambda: (written(lambda f: save_archive(seeds.recordings(), f / "a.npz"), "a.npz"), use_archive),
    "archive npz, mapped": lambda: (written(seeds.stored, "a.npz"), use_mapped),
    "pickled npz": lambda: (
        seeds.npz("a.npz", positions={"S1": {"Walking": [np.eye(2, dtype=np.float32), 1, "a", None]}}, plain=np.eye(2)),
        lambda f: load_pickled_npz(f / "a.npz"),
    ),
    "Human3.6M npz": lambda: (seeds.human36m_files(), lambda f: read_human36m(f).checksum()),
    "C3DPO JSON": lambda: (
        {"a.json": seeds.text(c3dpo())}, lambda f: read_c3dpo_json(f / "a.json", "train").checksum()
    ),
    "COCO annotations JSON": lambda: (
        {"annotations/person_keypoints_val2017.json": seeds.text(coco())}, use_coco_annotations
    ),
    "COCO keypoints npz": lambda: (coco_npz(), lambda f: read_coco_keypoints(f / "a.npz").checksum()),
    "OpenPose clip npz": lambda: (
        seeds.npz("a.npz", **seeds.cameras()[2]), lambda f: read_openpose_clip(f / "a.npz").checksum()
    ),
    "clip TOML and JSON": lambda: (clip_files(), use_clip_files),
    "MPI-INF-3DHP mat": lambda: (mat(), lambda f: read_mpi_inf_3dhp(f).checksum()),
    "ASF": lambda: ({"a.asf": ASF.encode()}, use_asf),
    "AMC": lambda: ({"a.amc": AMC.encode(), "a.asf": ASF.encode()}, use_amc),
    "BVH": lambda: (bvh(), use_bvh),
    "actions CSV": lambda: (
        {"actions.csv": b"name,action\n35_01,walking\n", **bvh("35_01.bvh")},
        lambda f: convert_folder(f, progress=False),
    ),
    "keypoints JSON, COCO": lambda: people("a.json", seeds.text(coco())),
    "keypoints JSON, MMPose": lambda: people("a.json", seeds.text(mmpose())),
    "keypoints JSON, Ultralytics": lambda: people("a.json", seeds.text(ultralytics())),
    "keypoints JSON, OpenPose": lambda: people("a_12_keypoints.json", seeds.text(openpose())),
    "keypoints JSON, MediaPipe": lambda: people("a.json", seeds.text(mediapipe())),
    "keypoints CSV": lambda: (tables(), one_of(lambda f: use_people(f, "a.csv"), lambda f: use_people(f, "b.csv"))),
    "keypoints TXT, YOLO": lambda: people(
        "a.txt", b"0 0.5 0.5 0.5 0.5 " + b"0.25 0.75 0.9 " * 17, size=(640.0, 480.0)
    ),
    "keypoints npz": lambda: (keypoints_npz(), lambda f: use_people(f, "a.npz")),
    "keypoints npy": lambda: (
        written(lambda f: np.save(f / "a.npy", seeds.person(17)[None]), "a.npy"),
        lambda f: use_people(f, "a.npy", joints="coco17"),
    ),
    "lifted JSON": lambda: ({"a.json": json_text(seeds.lifted()).encode()}, lambda f: use_lifted(f, "a.json")),
    "lifted npz": lambda: (seeds.parts_of("a.npz", npz_bytes(seeds.lifted())), lambda f: use_lifted(f, "a.npz")),
    "run folder": lambda: (written(seeds.state, "run.json", "model.safetensors", "log.jsonl"), use_run),
    "training state": lambda: (written(seeds.state, "run.json", "state.safetensors", "log.jsonl"), use_state),
    "packaged weights": lambda: (seeds.card(), use_card),
    "pose sampler safetensors": lambda: (
        written(seeds.sampler, "a.safetensors"), lambda f: PoseSampler.load(f / "a.safetensors")
    ),
    "shape prior safetensors": lambda: (prior(), lambda f: ShapePrior.read(f / "a.safetensors")),
    "ONNX network": lambda: (seeds.graph(), lambda f: OnnxRun(f / "a.onnx").lift(torch.zeros(1, 17, 2))),
    "artefact JSON": lambda: (
        {"row.json": seeds.text(seeds.ROW), "cost/a.json": seeds.text(seeds.COST)},
        one_of(lambda f: in_words(read_row(f / "row.json")), stored_costs),
    ),
    "download note JSON": lambda: (
        {"a.part": b"12", "a.part.json": seeds.text({"url": "http://a/b", "version": '"x"', "total": 5})},
        lambda f: fetch._state("http://a/b", f / "a.part"),
    ),
    "notebook zip": lambda: (student_zip(), use_zip),
}  # fmt: skip


@functools.cache
def target(name: str) -> Target:
    """One of the readers."""
    parts, read = TARGETS[name]()
    return Target(name, parts, read)
