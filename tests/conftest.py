"""What every test shares: where real data is, and which tests cannot run here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ites_core.data import MocapArchive, save_archive
from ites_core.data.sampler import PoseSampler

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# A busy machine is no failure, hence no deadline. The same examples every time, so that a red run repeats.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def data_folder() -> Path | None:
    """The folder of real recordings: ITES_DATA, else ../shared/data; None where there is none."""
    named = os.environ.get("ITES_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if (folder / "cmu17.npz").is_file() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    missing = {
        "data": None if data_folder() else "no real recordings (ITES_DATA, ../shared/data)",
        "gpu": None if torch.cuda.is_available() else "no CUDA device",
        "browser": None if CHROMIUM else "no Chromium",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """The same random numbers every time, so that a red run repeats; also where a test draws without a generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; mark tests that use it with ``data``."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no real recordings (ITES_DATA, ../shared/data)")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; mark tests that use it with ``browser``."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    return CHROMIUM


@pytest.fixture(scope="session")
def tiny_archive() -> MocapArchive:
    """A few sampled sequences with train, val and test parts: enough to train a smoke-sized network."""
    sampler = PoseSampler.embedded()
    return sampler.archive(sequences=12, frames=20, test_sequences=3, subjects=6, test_subjects=2, seed=5)


@pytest.fixture(scope="session")
def tiny_file(tiny_archive: MocapArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive as a file."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    save_archive(tiny_archive, path)
    return path
