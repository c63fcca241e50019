"""Commands that the documents show are commands that the program and the Makefile have; what is quick is run."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest

import ites_core
from ites_core import cli
from ites_core.cli.data import data
from ites_core.cli.experiment import experiment
from ites_core.cli.export import export
from ites_core.cli.train import train
from ites_core.cli.weights import weights
from ites_core.data import MocapArchive
from ites_core.data.joint_sets import COCO17
from ites_core.skeleton import H36M17

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"data": data, "train": train, "experiment": experiment, "weights": weights, "export": export}
ALONE = {"lift", "bench", "evaluate"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = (
    "ites data list",
    "ites weights list",
    "ites weights show ites-beyond",
    "ites experiment list",
    "ites experiment report table-3",
    "ites train presets",
)


def documents() -> dict[str, str]:
    """Every text that readers see: name to Markdown."""
    names = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "results/README.md")]
    texts = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in [*names, *(ROOT / "book").glob("*.md")]}
    for path in (ROOT / "book").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    return texts


def commands(text: str) -> list[str]:
    """What stands in code spans and code blocks and begins with ``ites``, or with ``python -m ites_core``."""
    blocks = re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", text)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    found = [re.search(r"(?:^|\s)(?:ites|-m ites_core) (.+)", line) for line in [*lines, *spans]]
    return [match[1] for match in found if match and re.match(r"[a-z]", match[1])]


def path_of(command: str) -> list[str]:
    """Which command of the program that is: one word or two."""
    words = command.split()
    return words[:2] if words[0] in GROUPS and len(words) > 1 and re.match(r"[a-z]", words[1]) else words[:1]


@cache
def help_of(*path: str) -> str:
    """What ``--help`` prints."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["ites", *path, "--help"])
        with pytest.raises(SystemExit):
            cli.main()
    return out.getvalue()


@pytest.mark.parametrize("name", documents())
def test_a_shown_command_exists_and_has_the_shown_options(name: str) -> None:
    for command in commands(documents()[name]):
        path = path_of(command)
        # "list|show NAME" are two commands in one line.
        for last in path[-1].split("|") if len(path) == 2 else path:
            whole = [path[0], last] if len(path) == 2 else [last]
            known = whole[0] in ALONE | GROUPS.keys() and (len(whole) == 1 or last in GROUPS[whole[0]]._subcommands)
            assert known, f"{name}: `ites {command}`: there is no `ites {' '.join(whole)}`"
            described = help_of(*whole)
            for option in re.findall(r"--[a-z][a-z-]*", command.split("#")[0]):
                assert option == "--help" or re.search(rf"{option}\b", described), f"{name}: `ites {command}`: {option}"


def test_readme_lists_every_command() -> None:
    assert {path_of(command)[0] for command in commands(README)} >= ALONE
    for group, app in GROUPS.items():
        for sub in app._subcommands:
            assert re.search(rf"\b{sub}\b", README), f"ites {group} {sub}"


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_of_the_readme_runs(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert path_of(command.removeprefix("ites "))[-1] in README
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    cli.main()
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", documents())
def test_a_shown_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+(?: [a-z]+)*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    known = {word for line in targets for word in line.split()}
    text = documents()[name]
    blocks = "\n".join(re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", text))
    shown = re.findall(r"(?m)^(?:[A-Z_]+=\S+ )*make ([a-z]+)", blocks) + re.findall(r"`make ([a-z]+)", text)
    assert set(shown) <= known, f"{name}: {sorted(set(shown) - known)}"


def test_python_of_the_readme_runs(tiny_archive: MocapArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets as they stand, with a file of the name that they use."""
    body = tiny_archive.positions[0]  # metres, y up
    keypoints = [[0.0, 0.0, 0.0]] * len(COCO17)
    for k, (side, joint) in ((k, name.split("_")) for k, name in enumerate(COCO17) if "_" in name):
        if (found := side[0].upper() + joint.title()) in H36M17.joints:
            x, y, _ = body[H36M17.joints.index(found)].tolist()
            keypoints[k] = [500 + 300 * x, 500 - 300 * y, 1.0]
    person = {"image_id": 1, "category_id": 1, "score": 1.0, "keypoints": [c for joint in keypoints for c in joint]}
    (tmp_path / "keypoints.json").write_text(json.dumps([person]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {"ites_core": ites_core}
    for snippet in re.findall(r"(?ms)^```python\n(.*?)^```", README):
        exec(snippet, names)
    assert names["lifted"].pose.shape == (1, 17, 3) and names["run"].stage == "student"
