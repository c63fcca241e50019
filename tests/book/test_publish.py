"""The publish workflow: valid, from the branch that the pages link to, and by commands that the Makefile has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_it_builds_what_the_readme_builds_and_uploads_that() -> None:
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    commands = [step["run"] for step in STEPS if "run" in step]
    assert commands == ["make book"] and "book" in targets
    (upload,) = [step for step in STEPS if step.get("uses", "").startswith("actions/upload-pages-artifact@")]
    assert upload["with"]["path"] == "_build/html"
    assert WORKFLOW["jobs"]["deploy"]["needs"] == "build"
    assert any(step.get("uses", "").startswith("actions/deploy-pages@") for step in STEPS)


def test_it_runs_for_the_branch_that_edit_links_name() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert WORKFLOW[True]["push"]["branches"] == [config["repository"]["branch"]]  # YAML reads "on" as true


def test_only_the_upload_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in WORKFLOW["jobs"]["build"]
    assert WORKFLOW["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}


def test_every_action_names_its_version() -> None:
    for step in STEPS:
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_publishing_is_documented() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Publishing")[1].split("\n## ")[0]
    for word in ("GitHub Pages", "Any web server", "_build/html", "repository:", "publish.yml"):
        assert word in section, word
