"""Several processes make what one makes: two of them, on the processor, started by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ites_core import cli, training
from ites_core.checkpoint import Run, RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive, load_archive
from ites_core.data.mapped import map_archive, unpack
from ites_core.distributed import Team, join_team, leave_team, own_device
from ites_core.errors import ItesError
from ites_core.loop import Task, TensorData, fit
from ites_core.training import student_task, teacher_task, train_student, train_teacher

# Plain gradient descent in small steps. Adam divides by gradients of size zero, and so makes steps out of rounding; and
# at ten times these rates, a change of 1e-6 in the weights becomes one of 0.1 within a few dozen steps.
SETTINGS = {"optimiser": "sgd", "learning_rate": 1e-3, "max_steps": 6, "validations": 2, "batch_size": 64}
LONGER = SETTINGS | {"learning_rate": 1e-4, "max_steps": 40}
TOLERANCE = 1e-4  # of the largest weight of a tensor: the same sums in another order
# Its attention is nearly constant to begin with; batch normalisation then divides rounding by a small number.
LOOSER = {"semgcn": 2e-3}

STUDENTS = {
    "agcn": {},
    "resfc with priors": {"network": "resfc", "mirror_pictures": True, "weight_bones": 1.0, "weight_density": 1.0},
    "semgcn": {"network": "semgcn"},
}
TEACHERS = {
    "dictionary": {},
    "c3dpo with missing joints": {"network": "c3dpo", "noise": "detector", "clip": 1.0},
    "only reprojection": {"weight_ric": 0.0},
    "from its file": {},
}


def train_all(data: Path, folder: Path) -> None:
    """One run of each kind."""
    archive = load_archive(data)
    uncompressed = folder.with_name(f"{os.getpid()}.npz")
    unpack(data, uncompressed)
    for name, changes in TEACHERS.items():
        config = teacher_config("smoke", **SETTINGS | changes)
        motion = map_archive(uncompressed) if name == "from its file" else archive
        teacher = train_teacher(motion, config, folder / name, device="cpu", progress=False)
        if name == "dictionary":
            guide = teacher
    for name, changes in STUDENTS.items():
        config = student_config("smoke", **SETTINGS | changes)
        train_student(archive, guide, config, folder / name, device="cpu", progress=False)


class Failing(TensorData):
    """Data that fail in the last process after 30 steps, which lies between two checkpoints."""

    asked = 0

    def batch(self, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        Failing.asked += 1
        if Failing.asked > 30 and int(os.environ.get("RANK", 0)) == int(os.environ.get("WORLD_SIZE", 1)) - 1:
            raise ItesError("cut off here")
        return super().batch(index)


def train_and_fail(data: Path, out: Path) -> None:
    """A run that is cut off."""
    task = teacher_task(load_archive(data), teacher_config("smoke", **LONGER), device="cpu")
    assert isinstance(task.data, TensorData)
    failing = Task(task.run, task.objective, Failing(task.data.tensors), task.validation, task.device)
    Failing.asked = 0
    fit(failing, out, progress=False, team=join_team(task.device))


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes of a script, or of a module after ``-m``."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made (``two``), ending with a run that one of them cut off, and what one made (``one``)."""
    base = tmp_path_factory.mktemp("team")
    done = torchrun(__file__, tiny_file, base / "two")
    assert done.returncode != 0 and "cut off here" in done.stderr, done.stderr
    assert done.stdout.count("all trained") == 1, "one process prints"  # torch 2.8 prints lines of its own
    train_all(tiny_file, base / "one")
    return base


def difference(a: Run, b: Run) -> float:
    """The largest of weights and batch statistics, relative to the largest value of its tensor."""
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    assert ours.keys() == theirs.keys()
    scale = {name: max(value.abs().max().item(), 1e-2) for name, value in theirs.items()}
    return max(((ours[k].double() - theirs[k].double()).abs().max() / scale[k]).item() for k in ours)


def assert_close(a: Run, b: Run, tolerance: float = TOLERANCE) -> None:
    """The same run up to rounding, in weights and losses."""
    assert a.step == b.step
    assert difference(a, b) < tolerance
    for row, other in zip(a.log, b.log, strict=True):
        assert row.keys() == other.keys()
        assert row["total"] == pytest.approx(other["total"], rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEACHERS, *STUDENTS])
def test_two_processes_make_what_one_makes(name: str, folder: Path, tiny_archive: MocapArchive) -> None:
    two, one = (RunFolder(folder / number / name).read() for number in ("two", "one"))
    tolerance = LOOSER.get(name, TOLERANCE)
    assert_close(two, one, tolerance)
    assert two.provenance["processes"] == 2 and "processes" not in one.provenance
    if name in TEACHERS:
        start = teacher_task(tiny_archive, one.config, device="cpu").run  # type: ignore[arg-type]
    else:
        guide = RunFolder(folder / "one" / "dictionary").read()
        start = student_task(tiny_archive, guide, one.config, device="cpu").run  # type: ignore[arg-type]
    assert difference(start, one) > 50 * tolerance  # they have learnt


@pytest.mark.slow
def test_what_two_processes_began_one_ends(folder: Path, tiny_archive: MocapArchive, tmp_path: Path) -> None:
    config = teacher_config("smoke", **LONGER)
    assert RunFolder(folder / "two" / "cut").read().step == 25
    resumed = train_teacher(tiny_archive, config, folder / "two" / "cut", resume=True, device="cpu", progress=False)
    assert_close(resumed, train_teacher(tiny_archive, config, device="cpu", progress=False))


@pytest.mark.slow
def test_what_one_process_began_two_end(tiny_file: Path, tiny_archive: MocapArchive, tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="cut off here"):
        train_and_fail(tiny_file, tmp_path / "cut")
    assert RunFolder(tmp_path / "cut").read().step == 25
    options = ("--preset", "smoke", "--device", "cpu", "--set", *(f"{k}={v}" for k, v in LONGER.items()))
    command = ("-m", "ites_core", "train", "teacher", "--data", tiny_file, "--out", tmp_path / "cut", "--resume")
    done = torchrun(*command, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("teacher, 40 steps") == 1 and done.stdout.count("next: ites evaluate") == 1
    whole = train_teacher(tiny_archive, teacher_config("smoke", **LONGER), device="cpu", progress=False)
    assert_close(RunFolder(tmp_path / "cut").read(), whole)


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_one_clear_error(tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="batch_size: found 65, which 2 processes cannot share evenly"):
        Team(1, 2).share_of(65)
    assert Team(1, 2).share_of(64) == slice(32, 64)
    command = ("-m", "ites_core", "train", "teacher", "--data", tiny_file, "--out", tmp_path / "run")
    done = torchrun(*command, "--preset", "smoke", "--device", "cpu", "--set", "batch_size=65")
    assert done.returncode != 0 and "ites: error: batch_size: found 65, which 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_only_the_first_process_writes_and_its_failure_ends_all(tiny_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    command = ("-m", "ites_core", "train", "teacher", "--data", tiny_file, "--out", tmp_path / "file" / "run")
    done = torchrun(*command, "--preset", "smoke", "--device", "cpu")
    assert done.returncode != 0 and done.stderr.count("cannot be made") == 1, done.stderr


def test_speed_reaches_the_step(
    tiny_archive: MocapArchive, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(training, "fit", lambda task, out, **options: given.append(options["speed"]) or task.run)
    for speed in ("auto", "plain", "compiled"):
        command = ["ites", "train", "teacher", "--data", str(tiny_file), "--out", str(tmp_path / speed)]
        monkeypatch.setattr(sys, "argv", [*command, "--preset", "smoke", "--speed", speed])
        cli.main()
    assert given == ["auto", "plain", "compiled"]
    monkeypatch.undo()
    task = teacher_task(tiny_archive, teacher_config("smoke"))
    with pytest.raises(ItesError, match="compiled steps are for one process"):
        fit(task, speed="compiled", team=Team(0, 2), progress=False)


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device(torch.device("cuda")) == torch.device("cuda")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device(torch.device("cuda")) == torch.device("cuda:1")
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ItesError, match=r"found cuda:0, and several processes"):
        own_device(torch.device("cuda:0"))
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ItesError, match=r"process 2 on this machine, but 2 GPUs.*or use --device cpu"):
        own_device(torch.device("cuda"))


if __name__ == "__main__":  # what each of the two processes does
    tiny, results = Path(sys.argv[1]), Path(sys.argv[2])
    train_all(tiny, results)
    if os.environ["RANK"] == "0":
        print("all trained", flush=True)
    train_and_fail(tiny, results / "cut")
    leave_team()
