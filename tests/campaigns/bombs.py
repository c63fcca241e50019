"""Small files that claim, or unpack to, very much: each must be refused soon and without taking memory.

python -m tests.campaigns.bombs        prints what each of them took, as JSON
"""

from __future__ import annotations

import bz2
import json
import lzma
import pickle
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ites_core.checkpoint import RunFolder, describe
from ites_core.data.archive import load_archive
from ites_core.data.asf_amc import read_amc, read_asf
from ites_core.data.bvh import read_bvh
from ites_core.data.c3dpo_json import read_c3dpo_json
from ites_core.data.coco_annotations import convert_coco
from ites_core.data.fetch import unpack
from ites_core.data.mapped import map_archive
from ites_core.data.mpi_inf_3dhp import read_mpi_inf_3dhp
from ites_core.data.openpose_clip import read_calibration
from ites_core.data.pickles import load_pickled_npz
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.export.tables import read_lifted
from ites_core.lifting.onnx_run import OnnxRun
from ites_core.lifting.read import read_people
from tests.campaigns import fuzz_seeds as seeds
from tests.campaigns.fuzz_worker import peak
from tests.test_motion_files import AMC, ASF

ZEROS = 160 << 20  # bytes that the packed ones unpack to: more than may be taken


def npy(
    shape: str, descr: str = "<f4", data: bytes = b"", version: bytes = b"\x01\x00", length: int | None = None
) -> bytes:
    """An npy file with any header."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    size = len(header) if length is None else length
    return b"\x93NUMPY" + version + size.to_bytes(2 if version == b"\x01\x00" else 4, "little") + header + data


def zip_of(name: str, content: bytes, method: int, size: int, times: int = 1) -> bytes:
    """A zip file of one member packed by any method, which its directory lists any number of times."""
    checksum = zlib.crc32(content) if method == zipfile.ZIP_STORED else 0  # nobody gets so far as to compare the others
    fixed = struct.pack("<HHHHHIII", 20, 0, method, 0, 0x21, checksum, len(content), size)
    local = b"PK\x03\x04" + fixed + struct.pack("<HH", len(name), 0) + name.encode() + content
    listed = b"".join(
        b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHHHII", len(n), 0, 0, 0, 0, 0, 0) + n.encode()
        for n in [name] * times
    )
    return local + listed + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, times, times, len(listed), len(local), 0)


def packed(packer: Any, head: bytes, zeros: int) -> bytes:
    """A head and many zeros, packed piece by piece so that making them takes no memory."""
    pieces = [packer.compress(head), *(packer.compress(bytes(1 << 20)) for _ in range(zeros >> 20)), packer.flush()]
    return b"".join(pieces)


def lzma_member(stream: bytes) -> bytes:
    """An lzma stream as zip files hold it: version and properties before it, no length."""
    return b"\x09\x04\x05\x00" + stream[:5] + stream[13:]


def hdf5(make: Callable[[Any], object]) -> Callable[[Path], object]:
    """Read a folder with a MATLAB file in which a function has made the data set ``annot2``."""

    def read(folder: Path) -> object:
        import h5py

        (folder / "TS1").mkdir()
        seeds.matlab(folder)
        path = (folder / "a.mat").rename(folder / "TS1" / "annot_data.mat")
        with h5py.File(path, "r+") as file:
            del file["annot2"]
            make(file)
        return read_mpi_inf_3dhp(folder)

    return read


def with_config(**changes: Any) -> Callable[[Path], object]:
    """Read a run whose settings ask for another network."""

    def read(folder: Path) -> object:
        about = describe(seeds.run())
        (folder / "run.json").write_text(json.dumps(about | {"config": about["config"] | changes}))
        return RunFolder(folder).read()

    return read


def of(name: str, content: bytes | str, reader: Callable[[Path], object]) -> Callable[[Path], object]:
    """Write a file and read it."""

    def read(folder: Path) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return reader(folder / name)

    return read


def boxed(value: bytes) -> bytes:
    """A pickle in an npy file in an npz file."""
    raw = npy("()", "|O", value)
    return zip_of("data.npy", raw, zipfile.ZIP_STORED, len(raw))


def colliding() -> bytes:
    """A dictionary whose keys all have the same hash."""
    box = np.empty((), dtype=object)
    box[()] = {}
    keys = b"".join(b"\x8a\x0a" + ((2**61 - 1) * k).to_bytes(10, "little") + b"N" for k in range(1, 200_000))
    return pickle.dumps(box, 4).replace(b"}", b"}(" + keys + b"u")


def onnx_zeros(folder: Path) -> object:
    """Lift with a network that adds the sum of 2^28 zeros, which its file gives as a number."""
    from onnx import ModelProto, TensorProto, helper

    model = ModelProto.FromString(seeds.graph()["a.onnx"])
    model.graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, (1,), [1 << 28]))
    model.graph.node[0].output[0] = "small"
    for name, takes, gives in (
        ("ConstantOfShape", ["size"], "many"), ("ReduceSum", ["many"], "sum"), ("Add", ["small", "sum"], "pose"),
    ):  # fmt: skip
        model.graph.node.append(helper.make_node(name, takes, [gives], **({"keepdims": 0} if gives == "sum" else {})))
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    return OnnxRun(folder / "a.onnx").lift(torch.zeros(1, 17, 2))


DEEP = "[" * 100_000 + "]" * 100_000
HUGE = npy(f"({1 << 40},)")
HEADER = struct.pack("<Q", 1 << 62) + b"{}"
CLAIM = json.dumps({"rest": {"dtype": "F16", "shape": [1 << 30, 1 << 29], "data_offsets": [0, 1 << 60]}}).encode()
BVH = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n}\nMOTION\nFrames: 999999999\n"


def bombs() -> dict[str, Callable[[Path], object]]:
    """Each with the call that writes and reads it."""
    head = npy(f"({ZEROS >> 2},)")
    plain = lzma.LZMACompressor(lzma.FORMAT_ALONE)
    streams = {
        "bzip2": (packed(bz2.BZ2Compressor(), head, ZEROS), zipfile.ZIP_BZIP2),
        "lzma": (lzma_member(packed(plain, head, ZEROS)), zipfile.ZIP_LZMA),
    }
    found: dict[str, Callable[[Path], object]] = {}
    for way, (content, method) in streams.items():
        for label, reader in (("npz", load_archive), ("pickled npz", load_pickled_npz), ("keypoints npz", read_people)):
            found[f"{way} in {label}"] = of(
                "a.npz", zip_of("positions.npy", content, method, len(head) + ZEROS), reader
            )
        found[f"{way} in a zip, at its size"] = of(
            "a.zip", zip_of("a", content, method, 10), lambda path: unpack(path, path.parent)
        )
    once = packed(zlib.compressobj(9, zlib.DEFLATED, -15), head, (8 << 20) - len(head))
    for label, reader in (("npz", load_archive), ("pickled npz", load_pickled_npz), ("mapped npz", map_archive)):
        found[f"members that share bytes, {label}"] = of(
            "a.npz", zip_of("a.npy", once, 8, len(head) + (7 << 20), 400), reader
        )
        found[f"impossible size, {label}"] = of("a.npz", zip_of("a.npy", once, 8, 0xF0000000), reader)
        found[f"shape of a terabyte, {label}"] = of("a.npz", zip_of("positions.npy", HUGE, 0, len(HUGE)), reader)
    found["zip of deflated zeros"] = of(
        "a.zip", zip_of("a", once, 8, len(head) + (7 << 20)), lambda path: unpack(path, path.parent)
    )
    found["npy, shape of a terabyte"] = of("a.npy", HUGE, read_people)
    found["npy, header of gigabytes"] = of("a.npy", npy("()", version=b"\x02\x00", length=0xFFFFFFF0), read_people)
    found["pickle, keys with one hash"] = of("a.npz", boxed(colliding()), load_pickled_npz)
    coco = "annotations/person_keypoints_val2017.json"
    for label, name, reader in (
        ("keypoints", "a.json", read_people), ("lifted", "a.json", read_lifted),
        ("C3DPO", "a.json", lambda p: read_c3dpo_json(p, "train")),
        ("COCO", coco, lambda p: convert_coco(p.parent.parent, p.parent / "b.npz")),
        ("run", "run.json", lambda p: RunFolder(p.parent).read()),
    ):  # fmt: skip
        found[f"JSON nested 100,000 deep, {label}"] = of(name, DEEP, reader)
        found[f"JSON number of a million digits, {label}"] = of(name, "9" * 1_000_000, reader)
    found["TOML nested 100,000 deep"] = of("a.toml", f"a = {DEEP}", read_calibration)
    found["BVH, a billion frames"] = of("a.bvh", BVH + "Frame Time: 0.01\n1 2 3\n", read_bvh)
    found["BVH, 100,000 channels"] = of("a.bvh", BVH.replace("S 3 ", "S 100000 " + "Xposition " * 99_997), read_bvh)
    joints = "".join(f"JOINT {k}\n{{\n" for k in range(100_000))
    found["BVH, 100,000 joints"] = of("a.bvh", BVH[: BVH.index("}")] + joints, read_bvh)
    found["BVH, one line of 4 MB"] = of("a.bvh", "HIERARCHY " + "x " * (2 << 20), read_bvh)
    many = "".join(f"begin\nname x{k}\nend\n" for k in range(40_000))
    found["ASF, 40,000 bones"] = of("a.asf", ASF.replace(":hierarchy", f"{many}:hierarchy"), read_asf)
    found["ASF, hierarchy without end"] = of("a.asf", ASF.replace("a b", "a b" + " b" * 300_000), read_asf)

    def amc(folder: Path) -> object:
        (folder / "a.asf").write_text(ASF)
        (folder / "a.amc").write_text(AMC.replace("a 90", "a " + "90 " * 200_000))
        return read_amc(folder / "a.amc", read_asf(folder / "a.asf"))

    found["AMC, 200,000 channels"] = amc
    for label, options in {
        "in pieces": {"chunks": (1000, 1, 17, 2), "compression": "gzip"}, "in one piece": {},
        "in one huge piece": {"chunks": (1_000_000, 1, 17, 2), "compression": "gzip"},
    }.items():  # fmt: skip
        found[f"HDF5, a million frames that are not there, {label}"] = hdf5(
            lambda file, o=options: file.create_dataset("annot2", (1_000_000, 1, 17, 2), "f8", **o)
        )
    found["HDF5, a petabyte"] = hdf5(
        lambda file: file.create_dataset("annot2", (1 << 40, 1, 17, 2), "f8", chunks=(1, 1, 17, 2))
    )
    found["HDF5, packed to no bits"] = hdf5(
        lambda file: file.create_dataset("annot2", data=np.zeros((20_000, 1, 17, 2), "i4"), scaleoffset=0)
    )
    found["safetensors, header of gigabytes"] = of("a.safetensors", HEADER, PoseSampler.load)
    found["safetensors, header of 90 MB"] = of("a.safetensors", struct.pack("<Q", 90 << 20) + b"{", PoseSampler.load)
    found["safetensors, tensor of an exabyte"] = of(
        "a.safetensors", struct.pack("<Q", len(CLAIM)) + CLAIM, PoseSampler.load
    )
    found["ONNX, a gigabyte of zeros"] = onnx_zeros
    found["run, network of 10^12 numbers"] = with_config(channels=1_000_000)
    found["run, network of 10^9 blocks"] = with_config(blocks=1_000_000_000)
    found["run, network of 10^30 channels"] = with_config(channels=10**30)
    return found


def measure(name: str, read: Callable[[Path], object]) -> dict[str, Any]:
    """What reading one takes: seconds, growth of the process in MB, and the message."""
    with tempfile.TemporaryDirectory() as folder:
        before, start, message = peak(), time.perf_counter(), "accepted"
        try:
            read(Path(folder))
        except ItesError as error:
            message = f"ItesError: {error}"
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
    return {"name": name, "seconds": time.perf_counter() - start, "MB": (peak() - before) / 2**20, "message": message}


if __name__ == "__main__":
    json.dump([measure(name, read) for name, read in bombs().items()], sys.stdout)
