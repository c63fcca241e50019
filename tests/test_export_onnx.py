"""Networks as ONNX files: torch's numbers at every batch size, and metadata from which they can be used."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ites_core import cli
from ites_core.camera import Normalisation
from ites_core.checkpoint import Run, RunFolder, build_model
from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.errors import ItesError
from ites_core.export.onnx import compare, example_views, export_onnx, to_onnx
from ites_core.skeleton import H36M17

# Beside the graph student below: every other kind of layer that a run can have.
NETWORKS = [
    teacher_config("smoke", network="c3dpo"),
    student_config("smoke", network="semgcn"),
    student_config("smoke", network="mean"),
]


def made(config: TeacherConfig | StudentConfig) -> Run:
    """A run whose weights and statistics are random, so that no part of the network is idle."""
    torch.manual_seed(3)
    model = build_model(config, H36M17)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean") or name.endswith("edges") or name == "body":
                tensor.normal_(std=0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
    return Run(model.eval(), config, Normalisation(1.3, 0.61), H36M17, seed=3, step=7, provenance={"data": "sampler"})


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, bytes]:
    """A graph student, and the ONNX file that the command makes of its run folder."""
    run = made(student_config("smoke"))
    folder = tmp_path_factory.mktemp("onnx")
    RunFolder(folder / "run").write(run, None)
    out = folder / "new" / "student.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ites", "export", "onnx", str(folder / "run"), "--out", str(out)])
        cli.main()
    assert [path.name for path in out.parent.iterdir()] == ["student.onnx"]
    return run, out.read_bytes()


@pytest.mark.parametrize("config", NETWORKS, ids=lambda c: f"{type(c).__name__}-{getattr(c, 'network', '')}")
def test_every_network_gives_torchs_numbers(config: TeacherConfig | StudentConfig) -> None:
    run = made(config)
    assert compare(run, to_onnx(run)) <= 1e-5


def test_the_file_lifts_what_lift_takes(student: tuple[Run, bytes]) -> None:
    """Pixels of a real camera through its intrinsics: the file needs no factor from outside. Any batch size."""
    run, network = student
    session = onnxruntime.InferenceSession(network)
    for batch in (1, 2, 17):
        image = example_views(batch) + torch.tensor([0.3, -0.1])
        (pose,) = session.run(["pose"], {"image": image.numpy()})
        assert pose.shape == (batch, 17, 3) and pose.dtype == np.float32
        np.testing.assert_allclose(pose, run.lift(image).numpy(), atol=1e-5)
        assert not pose[:, 0].any()


def test_metadata_say_how_to_use_it(student: tuple[Run, bytes]) -> None:
    run, network = student
    model = onnx.load_model_from_string(network)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(found["joints"]) == list(H36M17.joints)
    assert json.loads(found["parents"]) == list(H36M17.parents)
    assert [tuple(pair) for pair in json.loads(found["pairs"])] == list(H36M17.pairs)
    assert float(found["normalisation_factor"]) == run.normalisation.factor
    assert float(found["metres_per_unit"]) == run.normalisation.metres_per_unit
    assert float(found["camera_distance"]) == 5.0
    assert (found["stage"], found["seed"], found["steps"], found["data"]) == ("student", "3", "7", "sampler")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_a_compact_file_has_half_the_size_and_the_same_numbers() -> None:
    run = made(student_config("smoke", network="resfc", channels=64))
    with torch.no_grad():
        for tensor in run.model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())  # as the weights of the package are
    network = to_onnx(run, compact=True)
    assert compare(run, network) <= 1e-5
    kinds = [
        tensor.data_type for tensor in onnx.load_model_from_string(network).graph.initializer if len(tensor.dims) == 2
    ]
    assert onnx.TensorProto.FLOAT16 in kinds
    run.model.depth_head.weight.data += 1e-5  # no longer what float16 can hold, and therefore kept whole
    assert compare(run, to_onnx(run, compact=True)) <= 1e-5


def test_a_file_that_differs_from_torch_is_not_written(
    student: tuple[Run, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made(student_config("smoke", network="resfc"))
    monkeypatch.setattr("ites_core.export.onnx.to_onnx", lambda run, compact: student[1])
    with pytest.raises(ItesError, match=r"differs from torch by .* expected at most 1e-05"):
        export_onnx(other, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_and_a_place_that_cannot_be_written_are_named(
    student: tuple[Run, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, network = student
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr("ites_core.export.onnx.to_onnx", lambda run, compact: network)
        with pytest.raises(ItesError, match="cannot be written"):
            export_onnx(run, tmp_path / "file" / "x.onnx")
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(__import__("sys").modules, "onnx")
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(ItesError, match=r"onnx is not installed.*ites-core\[export\]"):
        to_onnx(run)
