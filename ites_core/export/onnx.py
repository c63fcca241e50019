"""A trained network as an ONNX file, for programs that have no torch, such as the page that lifts (chapter 8).

The file does what :meth:`ites_core.checkpoint.Run.lift` does, normalisation included, so that nobody has to remember
a factor:

========  =============  ==================================================================================
tensor    shape          meaning
========  =============  ==================================================================================
image     (batch, N, 2)  image coordinates for focal length 1: (pixel - principal point) / focal length
pose      (batch, N, 3)  root-relative 3D pose in the camera frame (x right, y down, z away), in units
========  =============  ==================================================================================

Its metadata name the joints and hold what else a user needs, see :func:`metadata`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ites_core
from ites_core.camera import CAMERA_DISTANCE
from ites_core.checkpoint import Run, camera_pose
from ites_core.data.sampler import PoseSampler
from ites_core.data.views import make_views
from ites_core.errors import ItesError
from ites_core.files import in_place, reason

TOLERANCE = 1e-5  # units: the largest difference to torch that is taken for rounding
OPSET = 18  # old enough for every runtime of the last years
SMALL = 1024  # numbers in a tensor below which halving it is not worth an operation
FORMAT = 1  # of the metadata


class Lifter(nn.Module):
    """A run's network between its normalisation and the root: what the ONNX file computes. Chapter 8.

    Args:
        run: a teacher or a student.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.model = run.model

    def forward(self, image: Tensor) -> Tensor:
        """(B, N, 2) image coordinates for focal length 1 to (B, N, 3) root-relative pose, units."""
        return camera_pose(self.model, self.run.normalisation.apply(image, self.run.skeleton))


def metadata(run: Run) -> dict[str, str]:
    """What the file says about itself; ONNX metadata are text, so lists are JSON. Chapter 8.

    ``joint_set``, ``joints``, ``parents``, ``pairs`` (left, right); ``input``, ``output``: their meaning;
    ``normalisation_factor``: already applied inside, multiplies root-centred image coordinates;
    ``metres_per_unit``; ``camera_distance``: t of the virtual camera, units; ``missing_joints``: whether NaN may
    stand for a joint that nobody saw; ``stage``, ``network``, ``seed``, ``steps``, ``data``: what was trained, how.
    """
    body = run.skeleton
    return {
        "format": str(FORMAT),
        "joint_set": body.name,
        "joints": json.dumps(body.joints),
        "parents": json.dumps(body.parents),
        "pairs": json.dumps(body.pairs),
        "input": "image coordinates for focal length 1: (pixel - principal point) / focal length; y down",
        "output": "root-relative pose in the camera frame, x right, y down, z away, in units",
        "normalisation_factor": repr(run.normalisation.factor),
        "metres_per_unit": repr(run.normalisation.metres_per_unit),
        "camera_distance": repr(CAMERA_DISTANCE),
        "missing_joints": json.dumps(run.takes_missing_joints),
        "stage": run.stage,
        "network": run.config.network,
        "seed": str(run.seed),
        "steps": str(run.step),
        "data": str(run.provenance.get("data", "")),
        "made_by": f"ites_core {ites_core.__version__}",
    }


def export_onnx(run: Run, out: str | Path, compact: bool = False) -> float:
    """Write a run's network as one ONNX file, after comparing it with torch on sampled poses. Chapter 8.

    Args:
        run: a teacher or a student.
        out: the file, by custom ``.onnx``; its folder is made if it is missing.
        compact: see :func:`to_onnx`.

    Returns:
        The largest difference to torch that was found, units.

    Raises:
        ItesError: the packages of the extra ``export`` are missing; the file cannot be written; the exported network
            differs from torch by more than ``TOLERANCE`` (then nothing is written).
    """
    out = Path(out)
    network = to_onnx(run, compact)
    difference = compare(run, network)
    if not difference <= TOLERANCE:
        raise ItesError(
            f"{out}: not written: the exported network differs from torch by {difference:.1e} units, "
            f"expected at most {TOLERANCE:.0e}"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ItesError(f"{out}: cannot be written ({reason(error)}); choose another folder") from error
    with in_place(out) as file:
        file.write_bytes(network)
    return difference


def to_onnx(run: Run, compact: bool = False) -> bytes:
    """The network as the bytes of an ONNX file, with a free batch size and :func:`metadata`. Chapter 8.

    Args:
        run: a teacher or a student.
        compact: keep weights as float16 where that loses nothing, as for the weights that come with the package: half
            the size, the same numbers. They are widened when the file is loaded.

    Raises:
        ItesError: the packages of the extra ``export`` are missing.
    """
    onnx = _needed("onnx")
    _needed("onnxscript")
    lifter = Lifter(run).eval().cpu()
    image = example_views(2)
    with torch.no_grad(), _quiet():
        lifter(image)  # graph convolutions fold their edge weights now, so that the file holds them as constants
        program = torch.onnx.export(
            lifter,
            (image,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["pose"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            optimize=not compact,  # which merges weights, so that they would no longer fit into float16
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if compact:
        _narrow(model, onnx)
    onnx.helper.set_model_props(model, metadata(run))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _narrow(model: Any, onnx: Any) -> None:
    """Store big float32 tensors that fit into float16 exactly as such, and widen them before they are used."""
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL or not np.array_equal(values.astype(np.float16), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)


def compare(run: Run, network: bytes) -> float:
    """Largest absolute difference between torch and onnxruntime over batches of several sizes, units. Chapter 8.

    Raises:
        ItesError: onnxruntime is missing.
    """
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    images = example_views(64)
    worst = 0.0
    for batch in (1, 3, len(images)):
        (found,) = session.run(None, {"image": images[:batch].numpy()})
        worst = max(worst, float(np.abs(found - run.lift(images[:batch]).numpy()).max()))
    return worst


def example_views(n: int) -> Tensor:
    """(n, 17, 2) views of sampled people by a ring of cameras, the same every time. Chapter 8."""
    sequences = -(-n // 4)
    archive = PoseSampler.embedded().archive(sequences=sequences, frames=1, test_sequences=1, seed=0)
    return make_views(archive).image[:n]


def _needed(package: str) -> Any:
    """Import a package of the extra ``export``."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ItesError(f"{package} is not installed; install the extra: pip install 'ites-core[export]'") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter narrates and warns of its own deprecated parts; neither is the caller's business."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
