"""Data that stay in their file: the same poses, views, batches and networks as from memory."""

from __future__ import annotations

import dataclasses
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ites_core import cli, training
from ites_core.camera import Normalisation
from ites_core.checkpoint import Run, RunFolder
from ites_core.config import student_config, teacher_config
from ites_core.data import CameraRing, MocapArchive, load_archive, make_views, mapped
from ites_core.data.archive import fields_of
from ites_core.data.mapped import MappedArchive, map_archive, unpack, write_frames
from ites_core.data.permutation import Permutation
from ites_core.data.streamed import StreamedViews
from ites_core.errors import Interrupted, ItesError
from ites_core.loop import TensorData, fit
from ites_core.training import (
    student_task,
    supervised_task,
    teacher_task,
    train_student,
    train_teacher,
    untrained,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def unpacked(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unpacked") / "tiny.npz"
    assert unpack(tiny_file, path) == (15, 300)
    return path


def same_weights(a: Run, b: Run) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def write(path: Path, positions: np.ndarray, archive: MocapArchive) -> Path:
    """An archive file that is not compressed, whatever its positions are."""
    np.savez(path, positions=positions, **fields_of(archive))
    return path


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 100, 1000, 1023, 4097])
def test_an_order_has_every_number_once(count: int) -> None:
    order = Permutation(count, 3, 1)
    assert len(order) == count and order[0:count].sort().values.tolist() == list(range(count))
    pieces = torch.cat([order[i : i + 7] for i in range(0, count, 7)])
    assert torch.equal(pieces, order[0:count]) and order[count : count + 5].numel() == 0


def test_an_order_differs_by_seed_and_epoch_and_repeats() -> None:
    first = Permutation(500, 0, 0)[0:500]
    assert torch.equal(first, Permutation(500, 0, 0)[0:500])
    for other in (Permutation(500, 0, 1), Permutation(500, 1, 0)):
        assert (other[0:500] == first).float().mean() < 0.02


def test_an_order_looks_random() -> None:
    """Over many keys every number comes everywhere as often; neighbours in one order are strangers."""
    count, keys = 12, 6000
    seen = np.zeros((count, count))
    for key in range(keys):
        seen[np.arange(count), Permutation(count, key, 0)[0:count].numpy()] += 1
    expected = keys / count
    chi_square = ((seen - expected) ** 2 / expected).sum()
    freedom = (count - 1) ** 2
    assert abs(chi_square - freedom) < 5 * (2 * freedom) ** 0.5
    large = Permutation(100_000, 0, 0)[0:100_000].double()
    pairs = torch.corrcoef(torch.stack([large[:-1], large[1:]]))[0, 1]
    places = torch.corrcoef(torch.stack([large, torch.arange(100_000).double()]))[0, 1]
    assert abs(pairs) < 0.015 and abs(places) < 0.015


def test_an_order_of_more_than_memory_holds() -> None:
    order = Permutation(10**13, 0, 0)
    found = order[10**12 : 10**12 + 1000]
    assert found.unique().numel() == 1000 and found.min() >= 0 and found.max() < 10**13


# ---------------------------------------------------------------- archive


def test_a_mapped_archive_is_the_archive(unpacked: Path, tiny_file: Path) -> None:
    ours, theirs = map_archive(unpacked), load_archive(tiny_file)
    for field in dataclasses.fields(MocapArchive):
        if field.name not in ("positions", "source"):
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    assert ours.checksum() == theirs.checksum()
    for split in ("train", "val", "test"):
        assert ours.part(split).names == theirs.part(split).names
        assert isinstance(ours.part(split), MappedArchive)
    frames = np.array([299, 0, 17, 17])
    assert torch.equal(ours.frames_at(frames), theirs.positions[frames])
    ours.sequence(0).zero_()  # a copy
    assert torch.equal(ours.sequence(0), theirs.sequence(0))


def test_pages_are_given_back(unpacked: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "LENT", 1000)
    monkeypatch.setattr(mapped, "CLUSTER", 500)
    archive, asked = map_archive(unpacked), []

    class Watched:
        def madvise(self, option: int) -> None:
            asked.append(option)
            archive.pages.map.madvise(option)

    given = dataclasses.replace(archive, pages=mapped.Pages(unpacked))
    given.pages.map = Watched()  # type: ignore[union-attr, assignment]
    theirs = load_archive(tiny_file)
    for index in range(len(theirs)):
        assert torch.equal(given.sequence(index), theirs.sequence(index))
    assert asked.count(mapped.mmap.MADV_DONTNEED) == len(theirs)
    given.frames_at(np.array([1, 2]))
    assert mapped.mmap.MADV_RANDOM in asked


def test_what_cannot_be_mapped(tiny_file: Path, tiny_archive: MocapArchive, unpacked: Path, tmp_path: Path) -> None:
    positions = tiny_archive.positions.numpy()
    with pytest.raises(ItesError, match=r"tiny\.npz: is compressed .* `ites data unpack .* --out FILE`"):
        map_archive(tiny_file)
    with pytest.raises(ItesError, match="no such file"):
        map_archive(tmp_path / "nothing.npz")
    for name, wrong, message in (
        ("double", positions.astype(np.float64), "found float64, expected float32"),
        ("fortran", np.asfortranarray(positions), "in Fortran order"),
        ("flat", positions.reshape(300, -1), r"found shape \(300, 51\)"),
        ("short", positions[:-1], "frames 280 to 300 are not within the 299 stored"),
    ):
        with pytest.raises(ItesError, match=message):
            map_archive(write(tmp_path / f"{name}.npz", wrong, tiny_archive))
    np.savez(tmp_path / "empty.npz", **fields_of(tiny_archive))
    with pytest.raises(ItesError, match="field 'positions' is missing; found starts"):
        map_archive(tmp_path / "empty.npz")
    whole = unpacked.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:5000])
    with pytest.raises(ItesError, match="not a readable npz file"):
        map_archive(tmp_path / "cut.npz")
    at = whole.index(b"'shape': (300,")
    (tmp_path / "lies.npz").write_bytes(whole.replace(b"(300, 17, 3), }  ", b"(30000, 17, 3), }", 1))
    assert at
    with pytest.raises(ItesError, match="header claims shape"):
        map_archive(tmp_path / "lies.npz")


def test_unpack_takes_doubles_and_refuses_what_is_broken(
    tiny_archive: MocapArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "CHUNK", 64)
    positions = tiny_archive.positions.numpy()
    unpack(write(tmp_path / "double.npz", positions.astype(np.float64), tiny_archive), tmp_path / "float.npz")
    assert map_archive(tmp_path / "float.npz").checksum() == tiny_archive.checksum()
    broken = positions.copy()
    broken[123, 4, 1] = np.nan
    write(tmp_path / "nan.npz", broken, tiny_archive)
    with pytest.raises(ItesError, match="NaN or infinite coordinate at frame 123"):
        unpack(tmp_path / "nan.npz", tmp_path / "out.npz")
    with pytest.raises(ItesError, match="in order F, expected floats in C"):
        unpack(write(tmp_path / "f.npz", np.asfortranarray(positions), tiny_archive), tmp_path / "out.npz")
    with pytest.raises(ItesError, match="cannot be written"):
        unpack(tmp_path / "double.npz", tmp_path / "nowhere" / "out.npz")
    assert not (tmp_path / "out.npz").exists() and not list(tmp_path.glob(".*.tmp"))


def test_frames_are_checked_when_they_are_read(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    broken = tiny_archive.positions.numpy().copy()
    broken[123, 4, 1] = np.inf
    archive = map_archive(write(tmp_path / "nan.npz", broken, tiny_archive))  # opened all the same
    archive.sequence(0)
    for read in (lambda: archive.sequence(6), lambda: archive.frames_at(np.array([7, 123, 8]))):
        with pytest.raises(ItesError, match=r"nan\.npz: positions: NaN or infinite coordinate at frame 123"):
            read()


# ---------------------------------------------------------------- views


def test_streamed_views_are_those_in_memory(unpacked: Path, tiny_archive: MocapArchive) -> None:
    ring = CameraRing(cameras=3)
    part = tiny_archive.part("train")
    views = make_views(part, ring, 7)
    normalisation = Normalisation.fit(views.image, views.mean_distance)
    stream = StreamedViews.film(map_archive(unpacked).part("train"), ring, 7, CPU).normalised(normalisation)
    memory = TensorData((normalisation.apply(views.image),))
    assert len(stream) == len(memory) and stream.mean_distance == pytest.approx(views.mean_distance, rel=1e-6)
    for index in (torch.arange(len(memory)), stream.order(0, 3)[5:69], torch.tensor([len(memory) - 1, 0])):
        (ours,), (theirs,) = stream.batch(index), memory.batch(index)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    whole = stream.sample(10**6)
    for name in ("image", "pose", "sequence", "camera"):
        assert torch.allclose(getattr(whole, name), getattr(views, name), rtol=0, atol=2e-6), name
    few = stream.sample(50)
    assert len(few) == 50 and len(few.sequence.unique()) == len(part)  # spread over all


def test_sequences_of_different_lengths(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    lengths = (1, 19, 20, 5, 15)
    uneven = dataclasses.replace(
        tiny_archive.take(range(5)), starts=(280, 1, 40, 100, 25), lengths=lengths, split=("train",) * 5
    )
    fields = fields_of(uneven) | {"starts": np.array(uneven.starts)}
    write_frames(tmp_path / "u.npz", (300, 17, 3), [tiny_archive.positions.numpy()], fields)
    views = make_views(uneven)
    ours = StreamedViews.film(map_archive(tmp_path / "u.npz"), CameraRing(), 0, CPU).sample(10**6)
    assert torch.equal(ours.sequence, views.sequence) and torch.equal(ours.camera, views.camera)
    assert torch.allclose(ours.image, views.image, rtol=0, atol=1e-6)


def test_a_body_behind_its_camera_is_refused(tiny_archive: MocapArchive, tmp_path: Path) -> None:
    far = tiny_archive.positions.numpy().copy()
    far[3, 5] += 100
    with pytest.raises(ItesError, match="a joint is at or behind the camera"):
        StreamedViews.film(map_archive(write(tmp_path / "far.npz", far, tiny_archive)), CameraRing(), 0, CPU)
    with pytest.raises(ItesError, match="cameras: found 0"):
        StreamedViews.film(map_archive(tmp_path / "far.npz"), CameraRing(cameras=0), 0, CPU)


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def streamed(unpacked: Path) -> Run:
    config = teacher_config("smoke", dictionary_start="mean_body")
    return train_teacher(map_archive(unpacked), config, progress=False)


def test_training_starts_from_the_same_run(unpacked: Path, tiny_archive: MocapArchive, streamed: Run) -> None:
    config = teacher_config("smoke", dictionary_start="mean_body")
    ours, theirs = (teacher_task(a, config) for a in (map_archive(unpacked), tiny_archive))
    assert ours.run.normalisation.factor == pytest.approx(theirs.run.normalisation.factor, rel=1e-6)
    assert ours.run.normalisation.metres_per_unit == pytest.approx(theirs.run.normalisation.metres_per_unit, rel=1e-6)
    for a, b in zip(ours.objective.parameters(), theirs.objective.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.equal(ours.validation.image, theirs.validation.image)
    about = streamed.provenance
    assert about["streamed"] and about["data_sha256"] == theirs.run.provenance["data_sha256"]
    assert about["sample"] == len(theirs.data) and "streamed" not in theirs.run.provenance


def test_losses_fall_and_a_student_learns_from_live_labels(
    streamed: Run, unpacked: Path, tiny_archive: MocapArchive
) -> None:
    assert streamed.log[-1]["rep"] < streamed.log[0]["rep"]
    for changes in ({}, {"mirror_pictures": True, "network": "resfc", "weight_bones": 1.0, "weight_density": 1.0}):
        config = student_config("smoke", **changes)
        ours, theirs = (student_task(a, streamed, config) for a in (map_archive(unpacked), tiny_archive))
        assert len(ours.data) == len(theirs.data)
        index = ours.data.order(0, 0)[0:300]
        for a, b in zip(ours.data.batch(index), theirs.data.batch(index), strict=True):
            assert torch.allclose(a, b, atol=1e-5)
    student = train_student(map_archive(unpacked), streamed, student_config("smoke", max_steps=100), progress=False)
    assert student.log[-1]["kd"] < 0.8 * student.log[0]["kd"]


def test_a_streamed_run_resumes_to_bitwise_the_same_weights(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = teacher_config("smoke", max_steps=60)
    whole = train_teacher(map_archive(unpacked), config, tmp_path / "whole", progress=False)
    task = teacher_task(map_archive(unpacked), config)
    make, asked = StreamedViews.batch, []

    def until_fifty(self: StreamedViews, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        asked.append(index)
        if len(asked) > 55:
            raise KeyboardInterrupt
        return make(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(StreamedViews, "batch", until_fifty)
        with pytest.raises(Interrupted, match=r"teacher at step 55 of 60; .* continue with --resume"):
            fit(task, tmp_path / "cut", progress=False)
    assert RunFolder(tmp_path / "cut").read().step == 50
    resumed = train_teacher(map_archive(unpacked), config, tmp_path / "cut", resume=True, progress=False)
    assert same_weights(whole, resumed)
    with pytest.raises(ItesError, match=r"was started with other --stream \('True' there, 'False' now\)"):
        train_teacher(load_archive(unpacked), config, tmp_path / "cut", resume=True, progress=False)


def test_what_cannot_be_streamed(unpacked: Path, tiny_archive: MocapArchive) -> None:
    archive = map_archive(unpacked)
    with pytest.raises(ItesError, match=r"noise=detector is drawn for all views at once; train without --stream"):
        teacher_task(archive, teacher_config("smoke", noise="detector"))
    with pytest.raises(ItesError, match="needs its data in memory"):
        supervised_task(archive, student_config("smoke"))
    ours, theirs = (untrained(a, student_config("smoke", network="mean")) for a in (archive, tiny_archive))
    assert torch.allclose(*(next(iter(r.model.state_dict().values())) for r in (ours, theirs)), atol=1e-5)


def test_command_line(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ites(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["ites", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    train = ("train", "teacher", "--preset", "smoke", "--stream", "--set", "max_steps=3")
    assert ites(*train, "--data", tiny_file, "--out", tmp_path / "t") == 2
    assert "is compressed and cannot be read in place; `ites data unpack" in capsys.readouterr().err
    assert ites("data", "unpack", tiny_file, "--out", tmp_path / "u.npz") == 0
    assert "15 sequences, 300 frames, 0.1 MB" in capsys.readouterr().out
    assert zipfile.ZipFile(tmp_path / "u.npz").testzip() is None
    assert load_archive(tmp_path / "u.npz").checksum() == load_archive(tiny_file).checksum()
    assert ites(*train, "--data", tmp_path / "u.npz", "--out", tmp_path / "t") == 0
    assert RunFolder(tmp_path / "t").read().provenance["streamed"]
    train = ("train", "student", "--teacher", tmp_path / "t", *train[2:])
    assert ites(*train, "--data", tmp_path / "u.npz", "--out", tmp_path / "s") == 0


def test_sample_is_bounded(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAMPLE", 64)
    task = teacher_task(map_archive(unpacked), teacher_config("smoke", dictionary_start="mean_body"))
    assert task.run.provenance["sample"] == 64
    whole = teacher_task(load_archive(unpacked), teacher_config("smoke"))
    assert task.run.normalisation.factor == pytest.approx(whole.run.normalisation.factor, rel=0.05)
