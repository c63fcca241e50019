"""glTF 2.0 out of rigs: joints, a body of sticks, and the motion, for Blender, three.js and others (chapter 7).

Every person is a tree of 17 nodes, named after the joints, and a mesh of one slim octahedron a bone that follows them.
Colours are the book's: right orange, left blue, middle grey.

Source: Khronos Group, glTF 2.0 specification.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

import ites_core
from ites_core.export.rig import Rig
from ites_core.plot import COLOURS, SIDES, side_of

FLOAT, SHORT, BYTE = 5126, 5123, 5121  # the specification's numbers for component types
VERTICES, INDICES = 34962, 34963  # and for what a buffer is used as
THICKNESS = 0.09  # of a bone, by its length
THINNEST = 0.012  # metres


def gltf_bytes(rigs: Sequence[Rig], binary: bool = True) -> bytes:
    """The file: ``.glb`` if binary, else ``.gltf`` with the numbers within it.

    Args:
        rigs: one a person. A rig of one frame stands still.
        binary: which of the two.
    """
    document = _Document()
    for rig in rigs:
        document.add(rig)
    return document.glb() if binary else document.gltf()


class _Document:
    def __init__(self) -> None:
        self.data = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"ites-core {ites_core.__version__}"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "skins": [],
            "materials": [_material(side) for side in SIDES],
            "animations": [],
            "accessors": [],
            "bufferViews": [],
        }

    def add(self, rig: Rig) -> None:
        """One person: nodes, skin, mesh, motion."""
        first = len(self.json["nodes"])
        still = rig.root[0], rig.turns[0]
        for joint, name in enumerate(rig.skeleton.joints):
            node: dict[str, Any] = {
                "name": name,
                "translation": _list(still[0] if joint == 0 else rig.offsets[joint]),
                "rotation": _list(still[1][joint]),
            }
            children = [first + c for c, parent in enumerate(rig.skeleton.parents) if parent == joint]
            self.json["nodes"].append(node | ({"children": children} if children else {}))
        rest = np.zeros((len(rig.skeleton), 3))
        for joint, parent in enumerate(rig.skeleton.parents):
            rest[joint] = rest[parent] + rig.offsets[joint] if parent >= 0 else 0.0
        inverse = np.tile(np.eye(4, dtype=np.float32), (len(rest), 1, 1))
        inverse[:, 3, :3] = -rest  # glTF stores columns
        self.json["skins"].append(
            {
                "joints": list(range(first, first + len(rest))),
                "skeleton": first,
                "inverseBindMatrices": self._accessor(inverse.reshape(-1, 16), "MAT4"),
            }
        )
        self.json["meshes"].append({"name": rig.name, "primitives": self._sticks(rig, rest)})
        number = len(self.json["skins"]) - 1
        self.json["nodes"].append({"name": rig.name, "mesh": number, "skin": number})
        self.json["scenes"][0]["nodes"] += [first, first + len(rest)]
        if len(rig.frame) > 1:
            self._animate(rig, first)

    def _sticks(self, rig: Rig, rest: np.ndarray) -> list[dict[str, Any]]:
        """One primitive a side: an octahedron a bone, fixed to the joint that the bone hangs on."""
        primitives = []
        for side in SIDES:
            bones = [bone for bone in rig.skeleton.bones if side_of(bone, rig.skeleton) == side]
            triangles = [_octahedron(rest[parent], rest[child]) for parent, child in bones]  # (8, 3, 3) each
            normals = []
            for t in triangles:
                across = np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
                length = np.linalg.norm(across, axis=-1, keepdims=True)
                across = np.where(length > 1e-12, across / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
                normals.append(np.repeat(across, 3, axis=0))
            points = np.concatenate(triangles).reshape(-1, 3).astype(np.float32)
            held = np.zeros((len(points), 4), dtype=np.uint8)
            held[:, 0] = np.repeat([parent for parent, _ in bones], 24)
            weight = np.zeros((len(points), 4), dtype=np.float32)
            weight[:, 0] = 1.0
            attributes = {
                "POSITION": self._accessor(points, "VEC3", VERTICES, bounds=True),
                "NORMAL": self._accessor(np.concatenate(normals).astype(np.float32), "VEC3", VERTICES),
                "JOINTS_0": self._accessor(held, "VEC4", VERTICES),
                "WEIGHTS_0": self._accessor(weight, "VEC4", VERTICES),
            }
            order = self._accessor(np.arange(len(points), dtype=np.uint16), "SCALAR", INDICES)
            primitives.append({"attributes": attributes, "indices": order, "material": SIDES.index(side)})
        return primitives

    def _animate(self, rig: Rig, first: int) -> None:
        time = self._accessor(rig.seconds.astype(np.float32), "SCALAR", bounds=True)
        outputs = [(0, "translation", self._accessor(rig.root.astype(np.float32), "VEC3"))]
        for joint in range(len(rig.skeleton)):
            turns = rig.turns[:, joint].astype(np.float32)
            outputs.append((joint, "rotation", self._accessor(turns, "VEC4")))
        self.json["animations"].append(
            {
                "name": rig.name,
                "samplers": [{"input": time, "output": out, "interpolation": "LINEAR"} for _, _, out in outputs],
                "channels": [
                    {"sampler": k, "target": {"node": first + joint, "path": path}}
                    for k, (joint, path, _) in enumerate(outputs)
                ],
            }
        )

    def _accessor(self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        while len(self.data) % 4:
            self.data.append(0)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        self.json["bufferViews"].append(view | ({"target": target} if target else {}))
        self.data += values.tobytes()
        component = {"f": FLOAT, "u": BYTE if values.itemsize == 1 else SHORT}[values.dtype.kind]
        accessor = {
            "bufferView": len(self.json["bufferViews"]) - 1,
            "componentType": component,
            "count": len(values),
            "type": kind,
        }
        if bounds:
            flat = values.reshape(len(values), -1)
            accessor |= {"min": _list(flat.min(axis=0)), "max": _list(flat.max(axis=0))}
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def _described(self, buffer: dict[str, Any]) -> bytes:
        whole = {key: value for key, value in self.json.items() if value != []}
        return json.dumps(whole | {"buffers": [buffer]}, separators=(",", ":"), allow_nan=False).encode()

    def gltf(self) -> bytes:
        """JSON with the numbers within it."""
        packed = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        return self._described({"byteLength": len(self.data), "uri": packed})

    def glb(self) -> bytes:
        """A header and two chunks, each padded to four bytes."""
        text = self._described({"byteLength": len(self.data)})
        text += b" " * (-len(text) % 4)
        data = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data))
        return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data


def _octahedron(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Eight triangles (8, 3, 3) around a bone: tips at its ends, four corners a fifth of the way, facing outwards."""
    along = end - start
    length = float(np.linalg.norm(along))
    axis = along / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    radius = max(THICKNESS * length, THINNEST)
    corners = [start + 0.2 * along + radius * (c * side + s * np.cross(axis, side)) for c, s in _QUARTERS]
    faces = []
    for k in range(4):
        a, b = corners[k], corners[(k + 1) % 4]
        faces += [(start, b, a), (end, a, b)]
    return np.array(faces)


_QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def _material(side: str) -> dict[str, Any]:
    """The book's colour of a side; glTF wants linear light."""
    code = COLOURS[side].lstrip("#")
    colour = [(int(code[k : k + 2], 16) / 255) ** 2.2 for k in (0, 2, 4)]
    surface = {"baseColorFactor": [*_list(colour), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"name": side, "pbrMetallicRoughness": surface}


def _list(values: Any) -> list[float]:
    return [float(v) for v in values]
