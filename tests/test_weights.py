"""Packaged weights: they load, lift, agree with their cards, and notice damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import ites_core
from ites_core import weights
from ites_core.config import teacher_config
from ites_core.data import MocapArchive, load_motion
from ites_core.data.sources import is_here
from ites_core.errors import ItesError
from ites_core.evaluation import evaluate
from ites_core.training import train_teacher
from ites_core.weights import card, load, names, pack

ABOUT = {"about": "A test.", "limits": "All.", "terms": "None."}


@pytest.fixture(scope="module")
def packed(tiny_archive: MocapArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    run = train_teacher(tiny_archive, teacher_config("smoke"), progress=False)
    pack(run, "mini", {"sampled": tiny_archive}, folder=folder, **ABOUT)
    return folder


def test_the_two_networks_of_the_paper_are_here() -> None:
    assert {"ites-t", "ites-ts"} <= set(names())
    assert ites_core.load("ites-t").stage == "teacher" and ites_core.load("ites-ts").stage == "student"


@pytest.mark.parametrize("name", names())
def test_a_card_is_complete(name: str) -> None:
    about = card(name)
    assert all((about.about, about.limits, about.terms, about.log))
    made = about.run["provenance"]
    assert all(made[k] for k in ("commit", "data", "data_sha256", "device", "torch", "seconds", "steps"))
    assert {"cmu17", "hdm05_17"} <= about.scores.keys()
    for score in about.scores.values():
        assert {"MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC"} == score["metrics"].keys()
    assert f"{about.scores['cmu17']['metrics']['P-MPJPE']['no_oracle']:.1f} mm" in about.markdown()


@pytest.mark.parametrize("name", names())
def test_packaged_weights_lift(name: str) -> None:
    run = load(name)
    pose = run.lift(0.1 * torch.randn(3, 17, 2, generator=torch.Generator().manual_seed(0)))
    assert pose.shape == (3, 17, 3) and torch.isfinite(pose).all()
    assert all(p.dtype == torch.float32 for p in run.model.parameters())


@pytest.mark.data
@pytest.mark.parametrize("name", names())
def test_scores_on_the_card_are_those_of_the_weights(name: str) -> None:
    """On every tenth frame: all of them, filmed by 34 cameras, take minutes and gigabytes."""
    for data, stored in card(name).scores.items():
        if is_here(data):
            found = evaluate(load(name), load_motion(data), stride=10).metrics["P-MPJPE"]
            assert found == pytest.approx(stored["metrics"]["P-MPJPE"], rel=0.06)


def test_packed_and_loaded_again(packed: Path, tiny_archive: MocapArchive) -> None:
    run, about = load("mini", folder=packed), card("mini", packed)
    report = evaluate(run, tiny_archive)
    assert report.metrics == about.scores["sampled"]["metrics"]
    assert run.step == about.run["provenance"]["steps"] and run.log == about.log


def test_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ItesError, match=r"weights .ites.: not here; expected one of .*ites-ts"):
        load("ites")


@pytest.mark.parametrize("damage", ["weights", "card", "missing", "exchanged"])
def test_damage_is_noticed(damage: str, packed: Path, tmp_path: Path) -> None:
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors, text = tmp_path / "mini.safetensors", tmp_path / "mini.json"
    if damage == "weights":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(bytes(content))
    elif damage == "card":
        text.write_text(text.read_text()[:-40])
    elif damage == "missing":
        tensors.unlink()
    else:
        about = json.loads(text.read_text())
        about["run"]["config"]["width"] = 8
        text.write_text(json.dumps(about))
    weights._bytes.cache_clear()
    with pytest.raises(ItesError, match="install the package again"):
        load("mini", folder=tmp_path)
