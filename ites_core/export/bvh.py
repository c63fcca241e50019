"""BVH out of a rig: a hierarchy and Euler angles, in centimetres, as animation programs read it (chapter 7)."""

from __future__ import annotations

import io
import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from ites_core.export.rig import REST, Rig

CENTIMETRES = 100.0
TIP = 5.0  # centimetres: length of what is drawn beyond a hand, a foot and the head


def bvh_text(rig: Rig) -> str:
    """The BVH file of one person; :func:`ites_core.data.bvh.read_bvh` reads it back.

    Rotations are listed ``Zrotation Xrotation Yrotation``, so that a joint's turn is Rz Rx Ry. Frames that lack are
    interpolated: BVH has a fixed frame time.
    """
    rig = rig.without_gaps()
    lines = ["HIERARCHY"]
    order: list[int] = []
    _joint(rig, 0, 0, lines, order)
    lines += ["MOTION", f"Frames: {len(rig.frame)}", f"Frame Time: {1 / rig.fps:.9g}"]
    columns = [rig.root * CENTIMETRES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # at a quarter turn about x, z and y are one axis: either will do
        for joint in order:
            angles = Rotation.from_quat(rig.turns[:, joint]).as_euler("ZXY", degrees=True)
            columns.append(np.rad2deg(np.unwrap(np.deg2rad(angles), axis=0)))
    numbers = io.StringIO()
    np.savetxt(numbers, np.concatenate(columns, axis=1), fmt="%.6f")
    return "\n".join(lines) + "\n" + numbers.getvalue()


def _joint(rig: Rig, joint: int, depth: int, lines: list[str], order: list[int]) -> None:
    order.append(joint)
    pad = "\t" * depth
    place = "{:.6f} {:.6f} {:.6f}".format(*(rig.offsets[joint] * CENTIMETRES))
    moves = "6 Xposition Yposition Zposition" if depth == 0 else "3"
    lines += [
        f"{pad}{'JOINT' if depth else 'ROOT'} {rig.skeleton.joints[joint]}",
        f"{pad}{{",
        f"{pad}\tOFFSET {place}",
        f"{pad}\tCHANNELS {moves} Zrotation Xrotation Yrotation",
    ]
    children = [c for c, parent in enumerate(rig.skeleton.parents) if parent == joint]
    for child in children:
        _joint(rig, child, depth + 1, lines, order)
    if not children:
        tip = "{:.6f} {:.6f} {:.6f}".format(*(REST[joint] * TIP))
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {tip}", f"{pad}\t}}"]
    lines.append(f"{pad}}}")
