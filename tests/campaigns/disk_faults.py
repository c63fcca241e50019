"""Full disks, quotas and folders that cannot be written to: what was there stays, and one line says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ites_core.checkpoint import RunFolder
from ites_core.config import teacher_config
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import read_row
from tests.campaigns.children import ends_well, start
from tests.campaigns.fault_tools import (
    EXPERIMENT,
    SETTINGS,
    files_at_most,
    fill,
    has_step,
    is_clear,
    ites,
    leftovers,
    resize,
    same_weights,
    small_disk,
    trained,
    undisturbed,
    wait_for,
)
from tests.campaigns.kill import data_file, slow_server, unreadable

# ---- full disk ---------------------------------------------------------------------------------------------


def training_on_a_full_disk(work: Path) -> None:
    """The run stops with one line, its last checkpoint loads, and with room it resumes to the same weights."""
    with small_disk(work, 4 << 20) as disk:
        out = disk / "run"
        command = ("train", "teacher", "--data", data_file(work), "--out", out, *SETTINGS)
        child = start(command, work / "says")
        wait_for(lambda: has_step(out, 100) or not child.is_alive(), "no checkpoint")
        child.kill()
        child.join()
        ballast = fill(disk)
        code, says = ites(*command, "--resume")
        assert code == 2, (code, says)
        is_clear(says, out, "No space left on device", "last checkpoint is kept", "--resume")
        kept = RunFolder(out).read().step
        assert 0 < kept < 200 and not unreadable(out) and not leftovers(out), (kept, unreadable(out), leftovers(out))
        ballast.unlink()
        assert same_weights(trained(out, resume=True), undisturbed())


def training_beyond_a_quota(work: Path) -> None:
    """As a full disk, by the limit on the size of one file: the second checkpoint has the optimiser's tensors, too."""
    out = work / "run"
    trained(work / "short", config=teacher_config("smoke", max_steps=1))
    with files_at_most((work / "short" / "model.safetensors").stat().st_size + 20_000):
        try:
            trained(out)
        except ItesError as error:
            says = str(error)
        else:
            raise AssertionError("nothing was refused")
    is_clear(says, out / "state.safetensors", "File too large", "last checkpoint is kept")
    assert RunFolder(out).read().step == 0 and not unreadable(out) and not leftovers(out)
    assert same_weights(trained(out, resume=True), undisturbed())


def experiment_on_a_full_disk(work: Path) -> None:
    """Its artefact cannot be written: one line; with room, the same command ends with the same numbers."""
    with small_disk(work, 1 << 20) as disk:
        command = (*EXPERIMENT, "--runs", work / "runs", "--device", "cpu")
        assert ites(*command, "--results", work / "whole")[0] == 0
        (disk / "sampler" / "smoke").mkdir(parents=True)
        ballast = fill(disk)
        code, says = ites(*command, "--results", disk)
        assert code == 2, (code, says)
        file = Path("sampler") / "smoke" / "all-depths-zero-0.json"
        is_clear(says, disk / file, "No space left on device", "run the same command again")
        assert not (disk / file).exists() and not leftovers(disk)
        ballast.unlink()
        assert ites(*command, "--results", disk)[0] == 0
        assert read_row(disk / file)["metrics"] == read_row(work / "whole" / file)["metrics"]


def outputs_on_a_full_disk(work: Path) -> None:
    """Whatever is written over an older file: the older one stays, and one line names it."""
    with small_disk(work, 8 << 20) as disk:
        written = []
        for name, write in writers(work).items():
            file = disk / name
            file.write_bytes(b"what was here before")
            ballast = fill(disk)
            code, says = write(file)
            assert code == 2, (name, code, says)
            is_clear(says, file, "No space left on device")
            assert file.read_bytes() == b"what was here before" and not leftovers(disk), (name, leftovers(disk))
            ballast.unlink()
            code, says = write(file)
            assert code == 0 and file.read_bytes() != b"what was here before", (name, code, says)
            file.unlink()
            written.append(name)
        assert len(written) > 10


def outputs_beyond_a_quota(work: Path) -> None:
    """The same by the limit on the size of one file."""
    for name, write in writers(work).items():
        file = work / name
        file.write_bytes(b"what was here before")
        with files_at_most(500):
            code, says = write(file)
        assert code == 2, (name, code, says)
        is_clear(says, file)
        assert file.read_bytes() == b"what was here before" and not leftovers(work), (name, leftovers(work))
        file.unlink()


def writers(work: Path) -> dict[str, Callable[[Path], tuple[int, str]]]:
    """Commands that write one file, by the name of that file."""
    keypoints, data, run = work / "people.npy", data_file(work), work / "writers"
    if not run.exists():
        trained(run, config=teacher_config("smoke", max_steps=25))
        seen = torch.randn(30, 17, 3, generator=torch.Generator().manual_seed(0)).numpy()
        np.save(keypoints, np.concatenate([200 + 50 * seen[..., :2], np.ones((30, 17, 1))], axis=-1))

    def lift(file: Path) -> tuple[int, str]:
        return ites("lift", keypoints, "--out", file, "--joints", "coco17", "--film", "yes")

    found: dict[str, Callable[[Path], tuple[int, str]]] = {
        f"lifted.{suffix}": lift for suffix in ("npz", "json", "csv", "bvh", "glb", "gltf", "html", "gif")
    }
    found["sampled.npz"] = lambda file: ites("data", "sample", "--n", 1000, "--out", file)
    found["unpacked.npz"] = lambda file: ites("data", "unpack", data, "--out", file)
    found["report.json"] = lambda file: ites("evaluate", run, "--data", data, "--json", file)
    found["network.onnx"] = lambda file: ites("export", "onnx", run, "--out", file)
    return found


def download_to_a_full_disk(work: Path) -> None:
    """What has arrived stays, and with room the same command fetches the rest and unpacks."""
    with slow_server(seconds=0.0) as (url, body, sent), small_disk(work, 2 * len(body) + (1 << 20)) as disk:
        command = ("data", "fetch", "walks", "--folder", disk)
        ballast = fill(disk, leave=len(body) // 2)
        child = start(command, work / "says", url)
        assert not ends_well(child) and child.exitcode == 2
        says = (work / "says").read_text().splitlines()[-1]
        is_clear(says, disk / "walks" / "walks.zip", "No space left on device", "the same command continues it")
        ballast.unlink()
        ballast = fill(disk, leave=len(body) + (1 << 19))  # enough for the zip file, not for what is in it
        child = start(command, work / "says", url)
        assert not ends_well(child) and child.exitcode == 2
        says = (work / "says").read_text().splitlines()[-1]
        is_clear(says, "walk", "No space left on device", "run the same command again")
        ballast.unlink()
        before = sent["bytes"]
        assert ends_well(start(command, work / "says", url)) and sent["bytes"] == before
        assert (disk / "walks" / "walks.zip").read_bytes() == body and not leftovers(disk)
        assert len(list((disk / "walks").glob("*.amc"))) == 30


# ---- read-only folder --------------------------------------------------------------------------------------


def read_only_folder(work: Path) -> None:
    """Every command that writes says so in one line; a finished run there can still be used."""
    with small_disk(work, 16 << 20) as disk:
        data = data_file(work)
        trained(disk / "run", config=teacher_config("smoke", max_steps=25))
        resize(disk, "ro")
        for command in (
            ("train", "teacher", "--data", data, "--out", disk / "other", *SETTINGS),
            ("train", "teacher", "--data", data, "--out", disk / "run", *SETTINGS, "--resume"),
            (*EXPERIMENT, "--results", disk / "results", "--runs", work / "runs"),
            ("data", "fetch", "cmu-sample", "--folder", disk),
            *(_command(writers(work)[name], disk / name) for name in ("lifted.json", "unpacked.npz", "report.json")),
        ):
            code, says = command() if callable(command) else ites(*command)
            assert code == 2, (command, code, says)
            is_clear(says, disk, "Read-only file system")
        assert ites("evaluate", disk / "run", "--data", data)[0] == 0


def _command(write: Callable[[Path], tuple[int, str]], file: Path) -> Callable[[], tuple[int, str]]:
    return lambda: write(file)


def path_below_a_file(work: Path) -> None:
    """What root, too, cannot write to."""
    (work / "file").write_text("not a folder")
    below, data = work / "file" / "below", data_file(work)
    for command in (
        ("train", "teacher", "--data", data, "--out", below, *SETTINGS),
        (*EXPERIMENT, "--results", below, "--runs", work / "runs"),
        ("data", "sample", "--n", 5, "--out", below / "x.npz"),
        ("data", "fetch", "cmu-sample", "--folder", below),
        ("evaluate", _run(work), "--data", data, "--json", below / "x.json"),
    ):
        code, says = ites(*command)
        assert code == 2, (command, code, says)
        is_clear(says, below)


def _run(work: Path) -> Path:
    if not (work / "short").exists():
        trained(work / "short", config=teacher_config("smoke", max_steps=25))
    return work / "short"
