"""A network that ``ites export onnx`` wrote, in place of a run: the same answers, several times as fast (chapter 7)."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ites_core.camera import Normalisation
from ites_core.errors import ItesError
from ites_core.models.resfc import check_image
from ites_core.skeleton import skeleton_named

BATCH = 64  # poses a call: onnxruntime is quickest where its tensors stay in a processor's cache
MEMORY = 512 << 20  # bytes for the tensors of all networks; our largest takes a few MB


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
        options.log_severity_level = 4  # what it says in errors is in ours
        _lend_memory(runtime)
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self._session = runtime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["ConstantFolding"],  # it computes while it reads, beside the memory that is lent
            )
        except Exception as error:  # onnxruntime's exceptions have no common class
            reason = " ".join(str(error).split())[:100]
            raise ItesError(f"{path}: found no readable ONNX file ({reason}); export it again") from None
        try:
            about = self._session.get_modelmeta().custom_metadata_map
            self.skeleton = skeleton_named(about["joint_set"])
            factor, metres = float(about["normalisation_factor"]), float(about["metres_per_unit"])
            self.normalisation = Normalisation(factor, metres)
            self.stage = str(about["stage"])
            takes = [(i.name, i.type, i.shape[1:]) for i in self._session.get_inputs()]
            if takes != [("image", "tensor(float)", [len(self.skeleton), 2])]:
                raise ValueError(f"the input: found {takes}")
        except (KeyError, ValueError) as error:
            raise ItesError(f"{path}: metadata lack or spoil {error}; expected a file of `ites export onnx`") from None

    def lift(self, image: Tensor, batch: int = BATCH) -> Tensor:
        """Image coordinates (M, N, 2) to poses (M, N, 3), as :meth:`ites_core.checkpoint.Run.lift`.

        Raises:
            ItesError: wrong shape, NaN or infinite coordinates, or a network that fails or wants more than MEMORY.
        """
        check_image(image, self.skeleton)
        try:
            parts = [
                torch.from_numpy(self._session.run(None, {"image": x.float().contiguous().numpy()})[0])
                for x in image.split(min(batch, BATCH))
            ]
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:200]
            raise ItesError(f"the ONNX network failed ({reason}); export it again") from None
        joints = (len(self.skeleton), 3)
        if any(part.shape[1:] != joints for part in parts):
            raise ItesError(f"the ONNX network gives {tuple(parts[0].shape)}, expected (poses, {joints[0]}, 3)")
        return torch.cat(parts) if parts else image.new_zeros(0, len(self.skeleton), 3)


@cache
def _lend_memory(runtime: Any) -> None:
    """Set the bound on memory, once: a graph of a few bytes may ask for any amount."""
    where = runtime.OrtMemoryInfo("Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT)
    usual = {"arena_extend_strategy": -1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    runtime.create_and_register_allocator(where, runtime.OrtArenaCfg({"max_mem": MEMORY, **usual}))
