"""The command line as a user meets it: the documented commands work, wrong input is one line and status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ites_core import cli
from ites_core.data import load_archive


def ites(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["ites", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def runs(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher and a student, trained by the documented commands."""
    base = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        common = ("--data", tiny_file, "--preset", "smoke", "--set", "max_steps=5")
        assert ites("train", "teacher", *common, "--out", base / "t", "--set", "atoms=6", monkeypatch=patch) == 0
        assert ites("train", "student", "--teacher", base / "t", *common, "--out", base / "s", monkeypatch=patch) == 0
    return base


def test_set_takes_several_fields_and_may_be_repeated(runs: Path) -> None:
    config = json.loads((runs / "t" / "run.json").read_text())["config"]
    assert config["max_steps"] == 5 and config["atoms"] == 6


def test_a_student_without_a_teacher_needs_a_preset_that_has_none(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("train", "student", "--data", tiny_file, "--out", tmp_path / "run")
    assert ites(*common, "--preset", "smoke", monkeypatch=monkeypatch) == 2
    assert "found no teacher" in capsys.readouterr().err and not (tmp_path / "run").exists()
    short = ("--set", "max_steps=2", "density_steps=2", "bones=student", "bones_steps=2", "channels=16")
    assert ites(*common, "--preset", "beyond", *short, monkeypatch=monkeypatch) == 0
    assert "student, 2 steps" in capsys.readouterr().out


def test_evaluate_prints_and_writes_both_columns(
    runs: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("t", "s"):
        out = tmp_path / f"{run}.json"
        assert ites("evaluate", runs / run, "--data", tiny_file, "--json", out, monkeypatch=monkeypatch) == 0
        printed = capsys.readouterr().out
        assert "no oracle" in printed and "oracle flip" in printed and "better mirrored" in printed
        report = json.loads(out.read_text())
        assert set(report["metrics"]) == {"MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC"}
        errors = report["metrics"]["P-MPJPE"]
        assert 0 < errors["oracle_flip"] <= errors["no_oracle"]
        assert report["metrics"]["PCK@150"]["oracle_flip"] >= report["metrics"]["PCK@150"]["no_oracle"]
        assert sum(a["views"] for a in report["actions"].values()) == report["views"]
        assert report["provenance"]["data_sha256"] and report["provenance"]["split"] == "test"


def test_sample_writes_an_archive_that_info_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "poses.npz"
    assert ites("data", "sample", "--n", 50, "--out", out, monkeypatch=monkeypatch) == 0
    first = load_archive(out)
    assert len(first) == 50 and first.part("val").frames > 0
    assert ites("data", "info", out, monkeypatch=monkeypatch) == 0
    assert "50 sequences, 50 frames" in capsys.readouterr().out
    assert ites("data", "sample", "--n", 50, "--out", out, monkeypatch=monkeypatch) == 0
    assert load_archive(out).checksum() == first.checksum(), "the same seed gives the same poses"


def test_presets_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ites("train", "presets", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "weight_ric" in printed and "weight_rec" in printed and "official" in printed


def bad_archive(path: Path, good: Path, **changes: object) -> Path:
    arrays = dict(np.load(good))
    arrays.update(changes)  # type: ignore[arg-type]
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("missing", "no such file"),
        ("truncated", "not a readable npz"),
        ("objects", "holds Python objects"),
        ("joints", "joints"),
        ("nan", "NaN or infinite coordinate at frame 7"),
        ("empty", "split 'train' holds no sequence"),
        ("text", "not a readable npz"),
        ("folder", "is a folder"),
    ],
)
def test_bad_data_is_one_clear_line(
    case: str,
    says: str,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"{case}.npz"
    positions = np.load(tiny_file)["positions"]
    if case == "truncated":
        path.write_bytes(tiny_file.read_bytes()[:2000])
    elif case == "objects":
        bad_archive(path, tiny_file, names=np.array([{"a": 1}], dtype=object))
    elif case == "joints":
        bad_archive(path, tiny_file, joints=np.load(tiny_file)["joints"][:16], positions=positions[:, :16])
    elif case == "nan":
        positions[7, 3, 1] = np.nan
        bad_archive(path, tiny_file, positions=positions)
    elif case == "empty":
        bad_archive(path, tiny_file, split=np.array(["test"] * len(np.load(tiny_file)["split"])))
    elif case == "text":
        path.write_text("not a zip")
    elif case == "folder":
        path.mkdir()
    out = tmp_path / "run"
    assert ites("train", "teacher", "--data", path, "--out", out, "--preset", "smoke", monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("ites: error: ") and says in error and str(path) in error and "\n" not in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "wings=2"), "unknown field 'wings'"),
        (("--set", "atoms"), "expected field=value"),
        (("--set", "atoms=none at all"), "TeacherConfig.atoms"),
        (("--device", "quantum"), "expected auto, cpu or cuda"),
        (("--resume",), "holds no run"),
    ],
)
def test_bad_options_are_one_clear_line(
    options: tuple[str, ...],
    says: str,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ("train", "teacher", "--data", tiny_file, "--out", tmp_path / "run", "--preset", "smoke")
    assert ites(*base, *options, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("ites: error: ") and says in error and "\n" not in error


def test_unknown_preset_is_refused_with_the_choices(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("train", "teacher", "--data", tiny_file, "--out", tmp_path / "run")
    assert ites(*base, "--preset", "huge", monkeypatch=monkeypatch) == 2
    assert "smoke" in capsys.readouterr().err


def test_evaluating_a_foreign_checkpoint(
    runs: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ites("evaluate", tmp_path, "--data", tiny_file, monkeypatch=monkeypatch) == 2
    assert "holds no run" in capsys.readouterr().err
    old = tmp_path / "old"
    old.mkdir()
    about = json.loads((runs / "t" / "run.json").read_text()) | {"format": 99}
    (old / "run.json").write_text(json.dumps(about))
    assert ites("evaluate", old, "--data", tiny_file, monkeypatch=monkeypatch) == 2
    assert "format version 99" in capsys.readouterr().err
    assert ites("evaluate", runs / "t", "--data", tiny_file, "--stride", 0, monkeypatch=monkeypatch) == 2
    assert "stride: found 0" in capsys.readouterr().err


def test_module_and_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ites_core", "train", "teacher", "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    for option in ("--data", "--out", "--preset", "--seed", "--device", "--resume", "--set"):
        assert option in done.stdout
