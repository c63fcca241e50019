"""Both stages: they learn, they are deterministic, and a killed run resumes to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from ites_core.checkpoint import Run, RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import MocapArchive
from ites_core.errors import ItesError
from ites_core.models import Student, Teacher
from ites_core.objectives import draw_rotations, frozen_statistics, student_losses, teacher_losses
from ites_core.step import make_optimiser
from ites_core.training import pick_device, train_student, train_teacher

SMOKE = teacher_config("smoke")


def same_weights(a: Run, b: Run) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture(scope="module")
def teacher(tiny_archive: MocapArchive) -> Run:
    return train_teacher(tiny_archive, SMOKE, progress=False)


def test_losses_fall(teacher: Run, tiny_archive: MocapArchive) -> None:
    assert teacher.step == SMOKE.max_steps
    longer = train_teacher(tiny_archive, teacher_config("smoke", max_steps=300), progress=False)
    assert longer.log[-1]["rep"] < 0.8 * longer.log[0]["rep"]
    assert {"val_p_mpjpe", "val_p_mpjpe_oracle_flip", "seconds", "ric", "total"} <= teacher.log[-1].keys()
    student = train_student(tiny_archive, teacher, student_config("smoke", max_steps=100), progress=False)
    assert student.log[-1]["kd"] < 0.8 * student.log[0]["kd"]
    assert student.normalisation == teacher.normalisation
    with pytest.raises(ItesError, match="expected one that `ites train teacher` made"):
        train_student(tiny_archive, student, student_config("smoke"), progress=False)


def test_same_seed_same_weights_and_other_seed_other_weights(teacher: Run, tiny_archive: MocapArchive) -> None:
    torch.manual_seed(123)  # the global generator must not matter
    assert same_weights(teacher, train_teacher(tiny_archive, SMOKE, progress=False))
    assert not same_weights(teacher, train_teacher(tiny_archive, SMOKE, seed=1, progress=False))


def test_training_never_sees_held_out_or_test_subjects(tiny_archive: MocapArchive) -> None:
    parts = {s: set(tiny_archive.part(s).subject) for s in ("train", "val", "test")}  # type: ignore[arg-type]
    assert not parts["train"] & parts["val"] and not (parts["train"] | parts["val"]) & parts["test"]


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_full_size_presets_take_a_step(preset: str, tiny_archive: MocapArchive) -> None:
    teacher = train_teacher(tiny_archive, teacher_config(preset, max_steps=2, batch_size=16), progress=False)
    student = train_student(
        tiny_archive, teacher, student_config(preset, max_steps=1, batch_size=8, channels=16), progress=False
    )
    assert teacher.step == 2 and student.step == 1


def test_autocast_keeps_geometry_in_float32(tiny_archive: MocapArchive) -> None:
    run = train_teacher(tiny_archive, teacher_config("smoke", autocast=True), progress=False)
    assert run.log[-1]["rep"] < run.log[0]["rep"]
    assert all(p.dtype == torch.float32 for p in run.model.parameters())


def test_weight_zero_leaves_a_loss_out() -> None:
    x = 0.1 * torch.randn(8, 17, 2)
    rotations = draw_rotations(teacher_config("smoke"), len(x), torch.Generator().manual_seed(0))
    net = Teacher(width=16, bottleneck=8, blocks=1)
    assert "ric" not in teacher_losses(net, x, rotations, teacher_config("smoke", weight_ric=0))
    student, label = Student(channels=4, blocks=2), torch.zeros(8, 17)
    assert "rec" not in student_losses(student, x, label, rotations, student_config("smoke", weight_rec=0))
    assert "kd" not in student_losses(student, x, label, rotations, student_config("smoke", weight_kd=0))


def test_cycle_leaves_running_statistics_alone() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = net[1].running_mean.clone()
    with frozen_statistics(net):
        net(torch.randn(8, 3) + 5)
    assert torch.equal(before, net[1].running_mean)
    net(torch.randn(8, 3) + 5)
    assert not torch.equal(before, net[1].running_mean)


def test_reading_a_run_gives_the_same_lift(teacher: Run, tiny_archive: MocapArchive, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write(teacher, None)
    again = folder.read()
    x = 0.1 * torch.randn(3, 17, 2)
    together = teacher.lift(x)
    assert torch.equal(together, again.lift(x))
    # One pose at a time takes other matrix kernels: equal to float32's accuracy, relative to the size of the pose.
    assert torch.allclose(teacher.lift(x[0]), together[0], atol=1e-3 * together[0].abs().max().item())
    assert again.config == teacher.config and again.normalisation == teacher.normalisation and again.log == teacher.log
    with pytest.raises(ItesError, match="NaN"):
        again.lift(torch.full((17, 2), torch.nan))
    with pytest.raises(ItesError, match="expected"):
        again.lift(torch.zeros(16, 2))


CHILD = """
import sys, torch
from ites_core.cli import main
torch.set_num_threads(1)
sys.argv = ["ites", *sys.argv[1:]]
main()
"""


def train_in_child(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, "train", "teacher", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_checkpoints_have_the_modes_and_temporaries_of_our_own_writing(teacher: Run, tmp_path: Path) -> None:
    """A library that writes by itself leaves other temporaries after a kill, and files for one user only."""
    folder, seen, replace = RunFolder(tmp_path / "run"), list[str](), Path.replace

    def look_and_replace(source: Path, target: Path) -> Path:
        seen.extend(p.name for p in source.parent.glob(".*"))
        return replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", look_and_replace)
        folder.write(teacher, make_optimiser(SMOKE, list(teacher.model.parameters()), torch.device("cpu")))
    assert len(seen) == 4 and all(name.startswith(f".{os.getpid()}.") for name in seen)
    assert len({p.stat().st_mode for p in (tmp_path / "run").iterdir()}) == 1


def test_killed_run_resumes_to_bitwise_the_same_weights(tiny_file: Path, tmp_path: Path) -> None:
    settings = ["--preset", "smoke", "--set", "max_steps=600", "validations=24"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train_in_child("--data", str(tiny_file), "--out", str(whole), *settings).wait(timeout=120) == 0
    child = train_in_child("--data", str(tiny_file), "--out", str(killed), *settings)
    give_up = time.monotonic() + 120
    log = killed / "log.jsonl"  # written after the state, so there is a moment without it
    while not log.exists() or '"step": 100' not in log.read_text():
        assert time.monotonic() < give_up and child.poll() is None, "the child ended before it was killed"
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=30)
    assert RunFolder(killed).read().step < 600
    assert train_in_child("--data", str(tiny_file), "--out", str(killed), "--resume", *settings).wait(timeout=120) == 0
    first, second = RunFolder(whole).read(), RunFolder(killed).read()
    assert second.step == 600 and same_weights(first, second)
    assert [r["step"] for r in first.log] == [r["step"] for r in second.log]


def test_a_kill_between_state_and_weights_is_made_good(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    config = teacher_config("smoke", max_steps=50, validations=10)
    whole = train_teacher(tiny_archive, config, tmp_path / "run", progress=False)
    early = train_teacher(tiny_archive, teacher_config("smoke", max_steps=25), progress=False)
    RunFolder(tmp_path / "early").write(early, None)
    for older in ((tmp_path / "early" / "model.safetensors").read_bytes(), None):
        (tmp_path / "run" / "model.safetensors").unlink()
        if older is not None:
            (tmp_path / "run" / "model.safetensors").write_bytes(older)
        train_teacher(tiny_archive, config, tmp_path / "run", resume=True, progress=False)
        assert same_weights(RunFolder(tmp_path / "run").read(), whole)


def test_non_finite_loss_stops_and_keeps_the_last_checkpoint(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    config = teacher_config("smoke", optimiser="sgd", learning_rate=1e12, max_steps=100)
    with pytest.raises(ItesError, match=r"not finite at step .* last good checkpoint is kept"):
        train_teacher(tiny_archive, config, tmp_path / "run", progress=False)
    kept = RunFolder(tmp_path / "run").read()
    assert all(torch.isfinite(v).all() for v in kept.model.state_dict().values() if v.is_floating_point())


def test_folder_in_use_other_settings_and_missing_runs_are_refused(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    out = tmp_path / "run"
    short = teacher_config("smoke", max_steps=3)
    train_teacher(tiny_archive, short, out, progress=False)
    with pytest.raises(ItesError, match="already holds a run"):
        train_teacher(tiny_archive, short, out, progress=False)
    with pytest.raises(ItesError, match=r"other settings .*batch_size: 64 there, 32 now"):
        train_teacher(
            tiny_archive, teacher_config("smoke", max_steps=3, batch_size=32), out, resume=True, progress=False
        )
    with pytest.raises(ItesError, match="other seed"):
        train_teacher(tiny_archive, short, out, seed=1, resume=True, progress=False)
    other = tiny_archive.take(range(1, len(tiny_archive)))
    with pytest.raises(ItesError, match="other data"):
        train_teacher(other, short, out, resume=True, progress=False)
    with pytest.raises(ItesError, match="holds no run"):
        train_teacher(tiny_archive, short, tmp_path / "nowhere", resume=True, progress=False)
    assert train_teacher(tiny_archive, short, out, resume=True, progress=False).step == 3  # done: nothing to do


def test_damaged_and_foreign_run_folders(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_teacher(tiny_archive, teacher_config("smoke", max_steps=2), out, progress=False)
    about = json.loads((out / "run.json").read_text())

    def broken(**changes: object) -> None:
        (out / "run.json").write_text(json.dumps(about | changes))

    broken(format=0)
    with pytest.raises(ItesError, match="format version 0, this ites_core reads version 1"):
        RunFolder(out).read()
    broken(config=about["config"] | {"wings": 2})
    with pytest.raises(ItesError, match="unknown field 'wings'"):
        RunFolder(out).read()
    broken(config=about["config"] | {"width": 64})
    with pytest.raises(ItesError, match="weights do not fit"):
        RunFolder(out).read()
    broken(skeleton="octopus")
    with pytest.raises(ItesError, match="unknown joint set 'octopus'"):
        RunFolder(out).read()
    (out / "run.json").write_text("{")
    with pytest.raises(ItesError, match=r"run\.json: not readable"):
        RunFolder(out).read()
    broken()
    weights = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(ItesError, match=r"model\.safetensors: damaged"):
        RunFolder(out).read()
    (out / "model.safetensors").unlink()
    with pytest.raises(ItesError, match=r"model\.safetensors: is missing"):
        RunFolder(out).read()


def test_a_full_disk_is_one_clear_error(teacher: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write(teacher, None)
    before = folder.model_file.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ItesError, match=r"run\.json: cannot be written \(No space left.* last checkpoint is kept"):
        folder.write(teacher, None)
    assert folder.model_file.read_bytes() == before
    assert not list(folder.path.glob(".*"))


def test_config_errors_are_one_line() -> None:
    for make, message in (
        (lambda: teacher_config("huge"), "unknown preset 'huge': expected one of paper, official, small, full"),
        (lambda: teacher_config("small", wings=2), "unknown field 'wings' for TeacherConfig: expected one of epochs"),
        (lambda: teacher_config("small", atoms=0), "TeacherConfig.atoms: found 0"),
        (lambda: teacher_config("small", atoms="many"), "TeacherConfig.atoms: found 'many'"),
        (lambda: teacher_config("small", learning_rate=float("nan")), "TeacherConfig.learning_rate: found nan"),
        (lambda: student_config("small", graph="none at all"), "StudentConfig.graph"),
        (lambda: pick_device("quantum"), "expected auto, cpu or cuda"),
    ):
        with pytest.raises(ItesError) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert teacher_config("small", max_steps="none", atoms="24").max_steps is None
