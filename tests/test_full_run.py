"""The full run, its learning rates and its attention: what is recorded, at a size for tests, and what is stored."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

import ites_core
from ites_core.bench import attention, full_run, rates
from ites_core.config import teacher_config
from ites_core.data import MocapArchive
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import RESULTS
from ites_core.training import train_teacher


@pytest.mark.slow
def test_the_full_run_records_every_command_and_score(tiny_file: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "full.json", tmp_path / "other.npz"
    elsewhere.write_bytes(tiny_file.read_bytes())
    full_run.main(out, tmp_path / "runs", str(tiny_file), str(elsewhere), "smoke", "plain", "cpu")
    record = json.loads(out.read_text())
    assert [c["command"].split()[1] for c in record["commands"]] == ["train", "train", *["evaluate"] * 4]
    assert sum(c["seconds"] for c in record["commands"]) <= record["seconds"] + 0.5
    assert len(record["scores"]) == 4 and all(score["P-MPJPE"]["no_oracle"] > 0 for score in record["scores"].values())
    assert (record["teacher"]["steps"], record["student"]["steps"]) == (40, 30)
    assert record["student"]["log"][-1]["step"] == 30 and record["provenance"]["torch"]


def test_the_full_run_stops_where_a_command_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ItesError, match=r"ites train teacher --data nowhere .*failed, see above"):
        full_run.main(tmp_path / "full.json", tmp_path / "runs", "nowhere", preset="smoke", device="cpu")
    assert "nowhere" in capfd.readouterr().err and not (tmp_path / "full.json").exists()


def test_power_is_read_where_a_card_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 123.5\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(full_run, "PAUSE", 0.01)
    with full_run.Power() as power:
        deadline = time.monotonic() + 30
        while len(power.watts) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(power.watts) >= 2 and set(power.watts) == {123.5}
    program.write_text("#!/bin/sh\necho '[N/A]'\n")
    with full_run.Power() as silent:
        silent.reader.join(timeout=10)
    assert not silent.watts


def test_rates_are_tried_for_both_stages(tiny_file: Path, tiny_archive: MocapArchive, tmp_path: Path) -> None:
    train_teacher(
        tiny_archive, teacher_config("smoke", max_steps=2), tmp_path / "teacher", device="cpu", progress=False
    )
    out = tmp_path / "rates.json"
    rates.main(tmp_path / "teacher", out, str(tiny_file), "smoke", (0.001, 0.01), 32, 1, 1, "cpu")
    tried = [(row["stage"], row["batch"], row["rate"]) for row in json.loads(out.read_text())["runs"]]
    assert tried == [
        *((stage, 64, rate) for rate in (0.001, 0.01) for stage in ("teacher", "student")),
        ("teacher", 32, 0.002),
        ("student", 32, 0.002),
    ]


def test_the_spread_of_logits_is_that_of_the_products(tiny_file: Path, tmp_path: Path) -> None:
    network = ites_core.load("ites-ts").model
    image = 0.1 * torch.randn(64, 17, 2)
    spreads = attention.logit_spread(network, image)
    layer = network.trunk.embed.nonphysical
    logits = torch.einsum("bid,bjd->bij", image @ layer.w2.weight.mT, image @ layer.w1.weight.mT)
    assert len(spreads) == 9 and spreads[0] == pytest.approx(logits.std().item(), rel=1e-4)
    with pytest.raises(ItesError, match="found no attention, expected a graph student"):
        attention.logit_spread(ites_core.load("ites-beyond").model, image)
    attention.main(("ites-ts",), tmp_path / "attention.json", str(tiny_file))
    (row,) = json.loads((tmp_path / "attention.json").read_text())["runs"]
    assert row["run"] == "ites-ts" and len(row["logits"]) == 9 and row["P-MPJPE"]["no_oracle"] > 0 and row["log"]


@pytest.mark.parametrize("name", ["full_run", "attention", "rates"])
def test_what_is_stored_says_where_it_was_made(name: str) -> None:
    about = json.loads((RESULTS / "bench" / f"{name}.json").read_text())["provenance"]
    assert about["commit"] and about["torch"] and about["device"] and about["date"]
