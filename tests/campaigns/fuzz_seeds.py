"""A small valid input for each reader that the fuzzing campaign attacks, by the package's own writer if it has one."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ites_core import weights
from ites_core.camera import Normalisation
from ites_core.checkpoint import Run, RunFolder, build_model, describe
from ites_core.config import student_config
from ites_core.data import human36m
from ites_core.data.archive import fields_of
from ites_core.data.joint_sets import BODY25B
from ites_core.data.mapped import write_frames
from ites_core.data.mixture import Mixture
from ites_core.data.sampler import PoseSampler
from ites_core.lifting.lift import Lifted, lift
from ites_core.skeleton import H36M17

RNG = np.random.default_rng(0)


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _safetensors(inner: dict[str, bytes]) -> bytes:
    return struct.pack("<Q", len(inner["header.json"])) + inner["header.json"] + inner["numbers"]


def _onnx(inner: dict[str, bytes]) -> bytes:
    """A graph with metadata: protocol buffers are joined by writing one after the other."""
    import onnx

    try:
        pairs = {str(k): str(v) for k, v in json.loads(inner["metadata.json"]).items()}
        more = onnx.ModelProto(metadata_props=[onnx.StringStringEntryProto(key=k, value=v) for k, v in pairs.items()])
        return inner["graph"] + more.SerializeToString()
    except (ValueError, AttributeError, RecursionError):
        return inner["graph"] + inner["metadata.json"]


def _mat(inner: dict[str, bytes]) -> bytes:
    """A data set for each npy file, whatever it holds."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, content in inner.items():
            try:
                file[name] = np.load(io.BytesIO(content))
            except Exception:  # no array, or one that HDF5 does not know
                file[name] = np.frombuffer(content, np.uint8)
    return buffer.getvalue()


JOIN = {".npz": _zip, ".zip": _zip, ".safetensors": _safetensors, ".onnx": _onnx, ".mat": _mat}


def parts_of(file: str, content: bytes) -> dict[str, bytes]:
    """A file as a whole, and its parts."""
    parts = {file: content}
    if file.endswith((".npz", ".zip")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts |= {f"{file}>{name}": archive.read(name) for name in archive.namelist()}
    elif file.endswith(".safetensors"):
        end = 8 + struct.unpack("<Q", content[:8])[0]
        parts |= {f"{file}>header.json": content[8:end], f"{file}>numbers": content[end:]}
    return parts


def written(write: Callable[[Path], object], *files: str) -> dict[str, bytes]:
    """The parts of files that a function writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return {k: v for file in files for k, v in parts_of(file, (Path(folder) / file).read_bytes()).items()}


def npz(file: str, **arrays: Any) -> dict[str, bytes]:
    """The parts of an npz file."""
    return written(lambda folder: np.savez(folder / file, **arrays), file)


def text(data: Any) -> bytes:
    """JSON."""
    return json.dumps(data).encode()


# ---- small valid data ---------------------------------------------------------------------------------------


def recordings() -> Any:
    return PoseSampler.embedded().archive(sequences=3, frames=2, test_sequences=1, subjects=3, test_subjects=1, seed=0)


def stored(folder: Path) -> None:
    """Recordings in an archive that is not compressed."""
    archive = recordings()
    write_frames(folder / "a.npz", tuple(archive.positions.shape), [archive.positions.numpy()], fields_of(archive))


def person(keypoints: int) -> np.ndarray:
    """(keypoints, 3) pixels and scores of one person."""
    return np.round(np.column_stack([RNG.uniform(10, 400, (keypoints, 2)), RNG.uniform(0.5, 0.9, keypoints)]), 1)


def run() -> Run:
    torch.manual_seed(0)
    config = student_config("smoke", network="resfc", channels=8, blocks=1)
    return Run(build_model(config, H36M17), config, Normalisation(0.5, 1.0), H36M17, 0, 3, {"seconds": 1.0, "steps": 3})


def lifted() -> Lifted:
    body = PoseSampler.embedded().poses(1, torch.Generator().manual_seed(0))[0].numpy()
    return lift(np.stack([300 + 100 * body[:, :2] * [1, -1]] * 2), weights=run(), joints="h36m17", film=True)


def human36m_files() -> dict[str, bytes]:
    """One recording of two frames, seen by four cameras as Human3.6M's own formulae have it."""
    lenses, eyes = human36m._cameras(Path("/nowhere"))
    points, tracks = RNG.normal(scale=0.3, size=(2, 32, 3)).astype(np.float32), []
    for lens, eye in zip(lenses, eyes["S1"], strict=True):
        local = (points[:, human36m.JOINTS] - eye["centre"]) @ eye["axes"]
        tracks.append((local[..., :2] / local[..., 2:] * lens["focal"] + lens["centre"]).astype(np.float32))
    solid, flat = {"S1": {"Walking 1": points}}, {"S1": {"Walking 1": tracks}}
    cameras = (Path(human36m.__file__).with_name(human36m.CAMERA_FILE)).read_bytes()
    return {
        **npz("data_3d_h36m.npz", positions_3d=solid), **npz(human36m.FILES_2D["gt"], positions_2d=flat),
        human36m.CAMERA_FILE: cameras,
    }  # fmt: skip


def cameras(count: int = 2) -> tuple[str, np.ndarray, dict[str, np.ndarray]]:
    """A calibration as TOML, two frames of detections (C, F, 25, 3), and the same as arrays."""
    world = RNG.normal(scale=0.4, size=(2, 25, 3))
    lines, seen = [], []
    matrix = np.array([[1680.0, 0, 540], [0, 1681, 960], [0, 0, 1]])
    turns = Rotation.from_euler("y", [[60.0 * k] for k in range(count)], degrees=True)
    for k, turn in enumerate(turns):
        local = world @ turn.as_matrix().T + [0, 0, 4]
        pixels = local[..., :2] / local[..., 2:] * [1680, 1681] + [540, 960]
        seen.append(np.concatenate([pixels, np.full((2, 25, 1), 0.9)], axis=-1))
        lines.append(
            f"[cam_{k}]\nsize = [1087.0, 1919.0]\nmatrix = {matrix.tolist()}\ndistortions = [0.0, 0.0, 0.0, 0.0]\n"
            f"rotation = {turn.as_rotvec().tolist()}\ntranslation = [0.0, 0.0, 4.0]\nfisheye = false\n"
        )
    arrays = {
        "K": np.stack([matrix] * count), "dist": np.zeros((count, 4)), "R": turns.as_matrix(),
        "t": np.array([[0.0, 0, 4]] * count), "image_size": np.array([[1087.0, 1919]] * count),
        "keypoints2d": np.stack(seen).astype(np.float32), "joints3d_body25b": world.astype(np.float32),
        "body25b_names": np.array(BODY25B),
    }  # fmt: skip
    return "".join(lines), np.stack(seen), arrays


def mpi_inf_3dhp() -> dict[str, np.ndarray]:
    """A sequence of MPI-INF-3DHP."""
    points = RNG.normal(scale=400, size=(3, 1, 17, 3)) + np.array([200, -100, 3500])
    pixels = points[..., :2] / points[..., 2:] * 1500 + 1000
    valid, activity = np.ones((3, 1)), np.array([[1.0], [1], [3]])
    return {"annot2": pixels, "annot3": points, "valid_frame": valid, "activity_annotation": activity}


def matlab(folder: Path) -> None:
    """Its file; compressed, as MATLAB writes it."""
    import h5py

    with h5py.File(folder / "a.mat", "w") as file:
        for name, data in mpi_inf_3dhp().items():
            file.create_dataset(name, data=data, compression="gzip")


def graph() -> dict[str, bytes]:
    """A network of one matrix product with the inputs, outputs and metadata of ``ites export onnx``."""
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 17, width])
        for name, width in (("image", 2), ("pose", 3))
    ]
    matrix = helper.make_tensor("w", TensorProto.FLOAT, (2, 3), [1.0, 0, 0, 0, 1, 0])
    node = helper.make_node("MatMul", ["image", "w"], ["pose"])
    model = helper.make_model(
        helper.make_graph([node], "lifter", ends[:1], ends[1:], [matrix]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    about = {"joint_set": "h36m17", "normalisation_factor": "0.5", "metres_per_unit": "1.0", "stage": "student"}
    inner = {"graph": model.SerializeToString(), "metadata.json": text(about)}
    return {"a.onnx": _onnx(inner), **{f"a.onnx>{k}": v for k, v in inner.items()}}


def sampler(folder: Path) -> None:
    """The package's sampler, thinned out."""
    whole = PoseSampler.embedded()
    mixture = Mixture(whole.mixture.weights[:2], whole.mixture.centres[:2, :2], whole.mixture.factors[:2, :2, :2])
    fields = {k: getattr(whole, k) for k in ("rest", "limits", "joint_limits", "mean", "noise", "body_mean")}
    PoseSampler(
        **fields, basis=whole.basis[:, :2], body_factor=whole.body_factor, mixture=mixture, provenance={"data": "cmu"}
    ).save(folder / "a.safetensors")


def card() -> dict[str, bytes]:
    trained = run()
    parts = written(lambda folder: RunFolder(folder).write(trained, None), "model.safetensors")
    numbers = parts["model.safetensors"]
    about = weights.Card(
        "x", "about", "limits", "terms", hashlib.sha256(numbers).hexdigest(), describe(trained), 1, {}, [{"step": 1}]
    )
    return {"x.json": text(about._asdict()), "x.safetensors": numbers}


def state(folder: Path) -> None:
    trained = run()
    optimiser = torch.optim.Adam(trained.model.parameters())
    trained.model(torch.randn(2, 17, 2)).sum().backward()
    optimiser.step()
    trained.log = [{"step": 1, "loss": 0.5}, {"step": 3, "loss": 0.25}]
    RunFolder(folder).write(trained, optimiser)


ROW = {
    "system": "student", "data": "cmu17", "scale": "small", "seed": 0, "config": asdict(student_config("smoke")),
    "parameters": 10, "metrics": {"P-MPJPE": {"no_oracle": 50.0, "oracle_flip": 40.0}}, "views": 10,
    "better_mirrored": 1, "provenance": {"seconds": 3.0},
}  # fmt: skip
COST = {"device": "cpu", "networks": {"C3DPO": {"parameters": 1, "ms_single": 1.0, "us_batch": 1.0}}, "provenance": {}}
