"""``ites export``: a trained network for programs that have no torch."""

from __future__ import annotations

from pathlib import Path

from tyro import conf
from tyro.extras import SubcommandApp

export = SubcommandApp()


@export.command(name="onnx")
def export_onnx_command(run: conf.Positional[str], out: Path, compact: bool = False) -> None:
    """Write the network of a run as one ONNX file, compared with torch before it is kept.

    Input "image": (batch, joints, 2), image coordinates for focal length 1. Output "pose": (batch, joints, 3),
    root-relative, camera frame, units. The normalisation is inside; the metadata name the joints.

    Args:
        run: run folder of a teacher or a student, or the name of weights that come with the package.
        out: the file to write, by custom .onnx.
        compact: keep weights as float16 where that loses nothing: about half the size for packaged weights.
    """
    from ites_core.export.onnx import export_onnx
    from ites_core.lifting.lift import load_run

    difference = export_onnx(load_run(run)[0], out, compact)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, at most {difference:.1e} units from torch")
