"""The campaigns of killing and of faults, in short."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.campaigns.fault_tools import NotHereError
from tests.campaigns.faults import FAULTS
from tests.campaigns.kill import Job, data_file, download, experiment, kill, slow_server, training


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the child processes: another number of threads rounds differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Slow, and near to others that are here: the quota, the stopped experiment.
CAMPAIGN_ALONE = {"outputs on a full disk", "killed with its workers"}


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in CAMPAIGN_ALONE])
def test_a_fault_costs_nothing_that_was_there(name: str, tmp_path: Path) -> None:
    try:
        FAULTS[name](tmp_path)
    except NotHereError as why:
        pytest.skip(str(why))


def survives(job: Job, kills: int, work: Path) -> None:
    tally = kill(job, kills, work, random.Random(1))
    assert not tally.wrong, tally.wrong
    assert tally.survived == tally.tried == kills and tally.equal == tally.chains


def test_training_survives_kill_9(tmp_path: Path) -> None:
    survives(training(data_file(tmp_path), steps=75), 2, tmp_path)


def test_an_experiment_survives_kill_9(tmp_path: Path) -> None:
    survives(experiment(), 1, tmp_path)


def test_a_download_survives_kill_9(tmp_path: Path) -> None:
    with slow_server(seconds=0.3) as (url, body, _):
        survives(download(url, body), 3, tmp_path)
