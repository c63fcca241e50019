"""A network that ``ites export onnx`` wrote, in place of a run: the same answers, several times as fast (chapter 7)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ites_core.camera import Normalisation
from ites_core.errors import ItesError
from ites_core.skeleton import skeleton_named

BATCH = 64  # poses a call: onnxruntime is quickest where its tensors stay in a processor's cache


class OnnxRun:
    """What lifting needs of a run, from an ONNX file; runs on the processor (chapter 7).

    Attributes:
        skeleton, normalisation, stage: as of :class:`ites_core.checkpoint.Run`, from the file's metadata.

    Raises:
        ItesError: onnxruntime is not installed; no file, damaged, or not one of ours.
    """

    def __init__(self, path: str | Path) -> None:
        if find_spec("onnxruntime") is None:
            raise ItesError(f"{path}: reading ONNX needs onnxruntime; install it by `pip install 'ites-core[export]'`")
        if not Path(path).is_file():
            raise ItesError(f"{path}: no such file; write one by `ites export onnx NAME --out {path}`")
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common class
            reason = " ".join(str(error).split())[:100]
            raise ItesError(f"{path}: found no readable ONNX file ({reason}); export it again") from None
        about = self._session.get_modelmeta().custom_metadata_map
        try:
            self.skeleton = skeleton_named(about["joint_set"])
            factor, metres = float(about["normalisation_factor"]), float(about["metres_per_unit"])
            self.normalisation = Normalisation(factor, metres)
            self.stage = str(about["stage"])
        except (KeyError, ValueError) as error:
            raise ItesError(f"{path}: metadata lack or spoil {error}; expected a file of `ites export onnx`") from None

    def lift(self, image: Tensor, batch: int = BATCH) -> Tensor:
        """Image coordinates (M, N, 2) to poses (M, N, 3), as :meth:`ites_core.checkpoint.Run.lift`."""
        parts = [
            torch.from_numpy(self._session.run(None, {"image": x.float().contiguous().numpy()})[0])
            for x in image.split(min(batch, BATCH))
        ]
        return torch.cat(parts) if parts else image.new_zeros(0, len(self.skeleton), 3)
