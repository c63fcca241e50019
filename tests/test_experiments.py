"""ites_core.experiments: what is declared can be trained, scored, stored, resumed and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from test_cli import ites
from test_human36m import write as write_human36m

from ites_core.checkpoint import build_model
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.data.sources import NAMED
from ites_core.errors import ItesError
from ites_core.experiments import runs, scoring
from ites_core.experiments.artefacts import Place, read_row, slug, write_row
from ites_core.experiments.cost import NETWORKS, judge_cost, measure, stored_costs, write_cost
from ites_core.experiments.declared import EXPERIMENTS, experiment_named, experiments_of
from ites_core.experiments.report import command
from ites_core.experiments.scoring import ELSEWHERE, filmed, motion_named, score_run, setting, write_examples
from ites_core.experiments.systems import ATOMS, SYSTEMS, WEIGHTS_KD, WEIGHTS_REP, Scale, system_named
from ites_core.experiments.tables import PLACES, paper
from ites_core.skeleton import H36M17
from ites_core.training import untrained


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Data are read once a process; a test that changes ITES_DATA must not see another one's."""
    motion_named.cache_clear()
    filmed.cache_clear()


# ---- what is declared --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", get_args(Scale))
def test_every_system_has_settings_and_a_network_at_every_scale(scale: Scale) -> None:
    for system in SYSTEMS.values():
        config = system.config(scale)
        assert isinstance(config, TeacherConfig if system.stage in ("teacher", "on the rays") else StudentConfig)
        if scale != "paper":
            build_model(config, H36M17)
    steps = [SYSTEMS[name].config(scale).max_steps for name in ("teacher", "student")]
    assert steps == {"paper": [None, None], "small": [4000, 1200], "brief": [1500, 400], "smoke": [20, 20]}[scale]


def test_systems_differ_from_the_preset_by_what_their_name_says() -> None:
    plain = SYSTEMS["teacher"].config("small")
    for k in ATOMS:
        assert SYSTEMS[f"teacher K={k}"].config("small") == replace(plain, atoms=k)
    for w in WEIGHTS_REP:
        assert SYSTEMS[f"teacher REP={w}"].config("small") == replace(plain, weight_rep=float(w))
    student = SYSTEMS["student"].config("small")
    for w in WEIGHTS_KD:
        assert SYSTEMS[f"student KD={w}"].config("small") == replace(student, weight_kd=float(w))
    assert SYSTEMS["student KD only"].config("small") == replace(student, weight_rec=0.0)
    assert {SYSTEMS[f"{name} IMG"].config("paper").noise for name in ("teacher", "student", "C3DPO")} == {"detector"}
    released = SYSTEMS["student as released"].config("paper")
    assert isinstance(released, StudentConfig) and released.loss == "norm" and released.network == "semgcn"


def test_every_system_belongs_to_an_experiment_and_every_teacher_is_one() -> None:
    assert all(experiments_of(name) for name in SYSTEMS)
    for system in SYSTEMS.values():
        if system.labels_from is not None:
            assert SYSTEMS[system.labels_from].stage == "teacher"
    assert len({slug(name) for name in SYSTEMS}) == len(SYSTEMS), "two systems would share a file"
    for name in ("teacher K=3", "table-10"):
        with pytest.raises(ItesError, match="unknown"):
            system_named(name)
        with pytest.raises(ItesError, match="unknown"):
            experiment_named(name)


def test_tables_are_the_papers() -> None:
    numbers = paper()
    assert [f"table-{k}" in numbers for k in range(1, 10)] == [True] * 9
    for name, experiment in EXPERIMENTS.items():
        if name in numbers:
            printed = numbers[name]["rows"]
            assert {line.printed for line in experiment.lines} - {None} == set(printed), name
            assert all(c.title in numbers[name]["columns"] for c in experiment.columns)
            assert all(len(row) == len(numbers[name]["columns"]) for row in printed.values())
    by_loss = numbers["table-3"]["rows"]
    assert by_loss["ITES-T: REP"] == [153.5, 120.4] and by_loss["ITES-TS: KD + REC"] == [77.2, 51.9]
    assert numbers["table-9"]["rows"] == {"C3DPO": [0.53, 0.17], "ITES-TS": [7.27, 0.28]}, "as printed, exchanged"
    shared = {"table-3": "ITES-TS: KD + REC", "table-4": "Pose-dictionary, AGCN", "table-6": "KD 5, REC 1"}
    assert {tuple(numbers[t]["rows"][row]) for t, row in shared.items()} == {(77.2, 51.9)}, "one network, many tables"


@pytest.mark.data
def test_tables_agree_with_a_second_copy(data_dir: Path) -> None:
    """Typed twice, by different people: every number of the paper's tables is in the other copy too."""
    file = data_dir.parent / "paper" / "tables.json"
    if not file.is_file():
        pytest.skip("no second copy of the paper's tables")
    other = json.loads(file.read_text(encoding="utf-8"))
    theirs = {
        k: [[c for c in row if isinstance(c, float)] for row in t["rows"]] for k, t in other.items() if "table" in k
    }
    for k in (2, 3, 4, 7, 8):
        [name] = [n for n in theirs if n.startswith(f"table{k}_")]
        assert sorted(theirs[name]) == sorted(list(row) for row in paper()[f"table-{k}"]["rows"].values())


def test_claims_name_systems_and_places_that_exist() -> None:
    for experiment in EXPERIMENTS.values():
        for claim in experiment.claims:
            for side in (side for pair in claim.orders for side in pair):
                system, _, where = side.partition(" @ ")
                assert system in SYSTEMS and (where in PLACES or not where), side
    for data, tests in ELSEWHERE.items():
        assert {labels[data] for labels in PLACES.values()} <= set(tests)
        assert all(name in NAMED for name, _ in tests.values())


# ---- training and scoring ----------------------------------------------------------------------------------


def run_smoke(*systems: str, at: Path, seeds: int = 1, workers: int = 1) -> Place:
    place = Place("sampler", "smoke", at / "results")
    runs.run_systems(systems, place, range(seeds), at / "runs", workers, "cpu")
    return place


def test_a_student_brings_its_teacher_and_a_second_call_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = run_smoke("student", "teacher on the rays", at=tmp_path)
    printed = capsys.readouterr().out
    assert printed.startswith("teacher, seed 0: P-MPJPE")
    assert sorted(path.name for path in place.folder.iterdir()) == [
        "student-0.json", "teacher-0.json", "teacher-on-the-rays-0.json",
    ]  # fmt: skip
    times = {path: path.stat().st_mtime_ns for path in place.folder.iterdir()}
    run_smoke("student", "teacher on the rays", at=tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in place.folder.iterdir()}
    assert capsys.readouterr().out == ""


def test_without_its_weights_a_teacher_is_trained_again_to_the_same_numbers(tmp_path: Path) -> None:
    place = run_smoke("teacher", at=tmp_path)
    first = place.rows("teacher")[0]
    for file in (tmp_path / "runs" / "sampler" / "smoke" / "teacher-0").iterdir():
        file.unlink()
    (tmp_path / "runs" / "sampler" / "smoke" / "teacher-0").rmdir()
    run_smoke("student KD only", at=tmp_path)
    assert place.rows("teacher")[0]["metrics"] == first["metrics"] and len(place.rows("student KD only")) == 1


def test_rows_say_everything(tmp_path: Path) -> None:
    [row] = run_smoke("teacher", at=tmp_path).rows("teacher")
    assert row["config"]["max_steps"] == 20 and row["parameters"] > 0 and row["views"] > 0
    assert set(row["metrics"]) == {"MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC"}
    about = row["provenance"]
    assert all(about[k] for k in ("commit", "data_sha256", "device", "torch", "python", "seconds", "steps"))
    assert about["trained_on"] == "sampler" and about["split"] == "test"
    assert command(row) == ("ites experiment run teacher --data sampler --scale smoke --seed 0 --results again")


def test_scoring_knows_nothing_of_training(tmp_path: Path) -> None:
    place = Place("sampler", "smoke", tmp_path)
    system = SYSTEMS["all depths zero"]
    run = untrained(motion_named("sampler"), system.config("smoke"))  # type: ignore[arg-type]
    rows = [score_run(run, system, place, seed) for seed in (0, 1)]
    assert rows[0]["metrics"] == rows[1]["metrics"] and [row["seed"] for row in rows] == [0, 1]
    write_row(rows[1], place)
    assert place.rows("all depths zero") == [json.loads(json.dumps(rows[1]))], "seed 1 is found without seed 0"


def test_the_same_row_from_the_printed_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = run_smoke("mean pose", at=tmp_path).rows("mean pose")
    monkeypatch.chdir(tmp_path)
    words = command(row).split()
    assert ites(*words[1:3], "mean pose", *words[words.index("--data") :], monkeypatch=monkeypatch) == 0
    again = read_row(tmp_path / "again" / "sampler" / "smoke" / "mean-pose-0.json")
    assert again["metrics"] == row["metrics"]


def test_examples_are_spread_and_drawable(tmp_path: Path) -> None:
    place = run_smoke("teacher", at=tmp_path)
    write_examples(place)
    about = json.loads((tmp_path / "results" / "sampler" / "examples-sampler.json").read_text())
    lifted = place.rows("teacher")[0]["examples"]["sampler"]
    shapes = [torch.tensor(x).shape for x in (about["image"], about["truth"], lifted)]
    assert shapes == [(4, 17, 2), (4, 17, 3), (4, 17, 3)] and len(about["actions"]) == 4


def test_damaged_artefacts_are_named(tmp_path: Path) -> None:
    place = Place("sampler", "smoke", tmp_path)
    assert place.rows() == []
    place.folder.mkdir(parents=True)
    for content, says in (
        ("{", "not readable"),
        ("[1]", "holds no"),
        ('{"system": "teacher"}', "holds no data"),
        ("3", "not readable"),
    ):
        place.artefact("teacher", 0).write_text(content)
        with pytest.raises(ItesError, match=says) as caught:
            place.rows("teacher")
        assert "teacher-0.json" in str(caught.value) and "\n" not in str(caught.value)


# ---- other people's data -----------------------------------------------------------------------------------


def test_human36m_runs_by_one_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files as the community's, made small: detections replace the noise model, MPI-INF-3DHP is not here."""
    folder = tmp_path / "data" / "human36m"
    folder.mkdir(parents=True)
    write_human36m(folder)
    write_human36m(folder, detections="cpn", noise=3.0)
    monkeypatch.setenv("ITES_DATA", str(folder.parent))
    monkeypatch.chdir(tmp_path)
    place = Place("h36m", "smoke", tmp_path / "results")
    assert setting(SYSTEMS["teacher IMG"], place).motion == "h36m-cpn"
    assert setting(SYSTEMS["teacher IMG"], place).config.noise == "none"
    assert setting(SYSTEMS["teacher"], place).motion == "h36m"
    options = ("--data", "h36m", "--scale", "smoke", "--seed", 0, "--results", "results", "--device", "cpu")
    for name in ("teacher", "teacher IMG"):
        assert ites("experiment", "run", name, *options, monkeypatch=monkeypatch) == 0
        [row] = place.rows(name)
        assert set(row["elsewhere"]) == {"detected"} and row["views"] == 4 * (5 + 3), "test subjects 9 and 11"
    gt, img = place.rows("teacher", "teacher IMG")
    assert gt["provenance"]["trained_on_sha256"] != img["provenance"]["trained_on_sha256"]
    assert img["metrics"] == img["elsewhere"]["detected"]["metrics"]
    assert ites("experiment", "run", "teacher from COCO", *options, monkeypatch=monkeypatch) == 2
    assert "needs the data set coco" in capsys.readouterr().err


def test_a_data_set_that_is_not_here_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITES_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for options, says in (
        (("table-3", "--data", "h36m"), "needs the data set h36m; `ites data list`"),
        (("table-3", "--data", "nowhere"), "--data: found 'nowhere', expected one of cmu17"),
        (("table-99", "--data", "sampler"), "unknown experiment 'table-99': expected one of table-1"),
        (("teacher", "--data", "sampler", "--seeds", 0), "--seeds: found 0"),
        (("teacher", "--data", "sampler", "--seed", -1), "--seed: found -1"),
        (("teacher", "--data", "sampler", "--workers", 0), "--workers: found 0"),
        (("teacher", "--data", "sampler", "--scale", "smoke", "--device", "quantum"), "device: found 'quantum'"),
    ):
        assert ites("experiment", "run", *options, "--results", "results", monkeypatch=monkeypatch) == 2, options
        error = capsys.readouterr().err.strip()
        assert error.startswith("ites: error: ") and says in error and "\n" not in error
    assert not (tmp_path / "results").exists()


# ---- command line ------------------------------------------------------------------------------------------


def test_list_run_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    where = ("--data", "sampler", "--scale", "smoke", "--results", "results")
    assert ites("experiment", "run", "table-7", "--seeds", 2, *where, monkeypatch=monkeypatch) == 0
    assert "next: ites experiment report table-7" in capsys.readouterr().out
    assert ites("experiment", "list", *where, monkeypatch=monkeypatch) == 0
    assert "teacher AGCN (2), teacher (2)" in capsys.readouterr().out
    assert ites("experiment", "report", "table-7", *where, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "68.6" in printed and "±" in printed, "paper and measurement with its spread"
    assert "A fully connected trunk makes a better teacher" in printed and "not measured" not in printed
    assert ites("experiment", "report", *where, monkeypatch=monkeypatch) == 0
    assert "Not measured there" in capsys.readouterr().out


def test_two_workers_give_what_one_gives(tmp_path: Path) -> None:
    one, two = (run_smoke("teacher", at=tmp_path / str(workers), seeds=2, workers=workers).rows() for workers in (1, 2))
    assert [(r["seed"], r["views"]) for r in one] == [(r["seed"], r["views"]) for r in two]
    for a, b in zip(one, two, strict=True):  # other numbers of threads round differently
        assert a["metrics"]["P-MPJPE"]["no_oracle"] == pytest.approx(b["metrics"]["P-MPJPE"]["no_oracle"], rel=0.02)


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artefact is what counts: half a run folder is resumed, not trusted."""
    place = run_smoke("teacher", at=tmp_path)
    whole = place.rows("teacher")[0]
    place.artefact("teacher", 0).unlink()  # killed between training and scoring
    run_smoke("teacher", at=tmp_path)
    assert place.rows("teacher")[0]["metrics"] == whole["metrics"]


# ---- Table 9 -----------------------------------------------------------------------------------------------


def test_cost_is_measured_stored_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = measure("cpu", repeats=1)
    assert set(cost.networks) == set(NETWORKS) and cost.device.endswith("one thread")
    assert all(row["ms_single"] > 0 and row["us_batch"] > 0 for row in cost.networks.values())
    assert cost.networks["ITES-TS as released"]["parameters"] == pytest.approx(0.53e6, rel=0.01)
    assert cost.networks["C3DPO"]["parameters"] == pytest.approx(7.27e6, rel=0.01)
    assert dict(judge_cost(cost))["The released student is lighter than C3DPO."] == "holds"
    file = write_cost(cost, tmp_path)
    assert file.parent == tmp_path / "cost" and stored_costs(tmp_path) == [cost]
    file.write_text("{")
    with pytest.raises(ItesError, match="not readable"):
        stored_costs(tmp_path)


@pytest.mark.data
@pytest.mark.timing
def test_scoring_a_run_is_cheap(data_dir: Path) -> None:
    """Views are filmed once a process; then a run costs its lifting and its metrics."""
    import time

    system: Any = SYSTEMS["all depths zero"]
    place = Place("cmu17", "small")
    run = untrained(motion_named("cmu17"), system.config("small"))
    scoring.score_run(run, system, place, 0)
    start = time.process_time()
    scoring.score_run(run, system, place, 0)
    assert time.process_time() - start < 5
