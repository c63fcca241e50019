"""Memory does not grow with the data: how it is measured, and what is stored."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ites_core.bench import streaming
from ites_core.data.mapped import map_archive
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import RESULTS


def test_further_sequences_are_drawn_ones_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FRAMES", 20)
    monkeypatch.setattr(streaming, "DRAWN", 3)
    streaming.write_sampled(tmp_path / "s.npz", 160)
    archive = map_archive(tmp_path / "s.npz")
    assert archive.frames == 160 and len(set(archive.names)) == 8
    for i in range(3, 8):
        ours, drawn = archive.sequence(i), archive.sequence(i % 3)
        assert torch.equal(ours[..., 1], drawn[..., 1])  # as high as before
        assert torch.allclose(ours.norm(dim=-1), drawn.norm(dim=-1), atol=1e-5)
        assert (ours - drawn).abs().max() > 0.01
        assert archive.subject[i] == archive.subject[i % 3]
    assert not torch.equal(archive.sequence(3), archive.sequence(6))
    with pytest.raises(ItesError, match="poses: found 50, expected a multiple of 20"):
        streaming.write_sampled(tmp_path / "s.npz", 50)


def test_peak_memory_sees_an_allocation() -> None:
    before = streaming.peak_memory()
    block = np.ones(300 << 17)  # 300 MiB, and touched
    assert streaming.peak_memory() - before > 0.5 * block.nbytes or before > 2 * block.nbytes


@pytest.mark.slow
def test_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(streaming, "FRAMES", 20)
    out = tmp_path / "bench" / "streaming.json"
    streaming.main(poses=20_000, out=out, steps=5, folder=tmp_path)
    assert "peak" in capsys.readouterr().out and not list(tmp_path.glob("tmp*"))
    rows = json.loads(out.read_text())["rows"]
    assert [(row["poses"], row["read"]) for row in rows] == [
        (200, "from the file"), (200, "in memory"), (2000, "from the file"), (2000, "in memory"),
        (20_000, "from the file"),
    ]  # fmt: skip
    for row in rows:
        assert row["views"] < 4 * row["poses"] and row["peak_memory_mb"] > row["memory_before_mb"] > 50
        assert math.isfinite(row["last_loss"])


def test_stored_memory_does_not_grow() -> None:
    stored = json.loads((RESULTS / "bench" / "streaming.json").read_text())
    streamed = [row for row in stored["rows"] if row["read"] == "from the file"]
    in_memory = [row for row in stored["rows"] if row["read"] == "in memory"]
    first, last = streamed[0], streamed[-1]
    assert last["poses"] == 10_000_000 and last["poses"] == 100 * first["poses"]
    assert last["peak_memory_mb"] - first["peak_memory_mb"] < 0.05 * last["file_mb"]
    assert in_memory[1]["peak_memory_mb"] > 5 * in_memory[0]["peak_memory_mb"]
    assert stored["steps"] >= 300 and all(row["last_loss"] < row["first_loss"] for row in stored["rows"])
    assert {"commit", "device", "torch"} <= set(stored["provenance"])
