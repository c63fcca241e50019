"""pyproject.toml, requirements.txt, constraints.txt, environment.yml and what is installed all agree."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DIRECT = [Requirement(line) for line in [*PROJECT["dependencies"], *(r for rs in EXTRAS.values() for r in rs)]]


def lines(name: str) -> list[str]:
    """A requirement file's lines without comments."""
    text = (ROOT / name).read_text().splitlines()
    return [line.split("#")[0].strip() for line in text if line.split("#")[0].strip()]


def pins() -> dict[str, Version]:
    """Canonical name to version of constraints.txt."""
    return {canonicalize_name(n): Version(v) for n, v in (line.split("==") for line in lines("constraints.txt"))}


def test_every_constraint_is_one_exact_version_without_a_local_label() -> None:
    names = []
    for line in lines("constraints.txt"):
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
        assert match, f"constraints.txt: {line!r} is not NAME==VERSION"
        names.append(canonicalize_name(match[1]))
    assert len(names) == len(set(names)), "constraints.txt names a package twice"


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_direct_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name}: in pyproject.toml, not in constraints.txt; run make constraints"
    assert requirement.specifier, f"{requirement.name}: pyproject.toml gives no lower bound"
    assert pin in requirement.specifier, f"{requirement.name}=={pin} is outside pyproject.toml's {requirement}"


def test_constraints_are_what_is_installed() -> None:
    wrong = []
    for name, pin in pins().items():
        try:
            found = Version(version(name))
        except PackageNotFoundError:
            continue  # needed on another platform only
        if found.public != pin.public:
            wrong.append(f"{name}: {found} installed, {pin} in constraints.txt")
    assert not wrong, "\n".join(wrong)


def test_the_lock_has_the_constraints_and_a_hash_for_every_file() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = {canonicalize_name(n): Version(v) for n, v in re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)", text)}
    wrong = [f"{n}: {locked.get(n)} in requirements.lock, {pin} in constraints.txt" for n, pin in pins().items()
             if n not in ("setuptools", "wheel") and locked.get(n) != pin]  # fmt: skip
    assert not wrong, "run make lock\n" + "\n".join(wrong)
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_requirements_install_the_package_and_every_extra_under_the_constraints() -> None:
    options = dict(line.split(maxsplit=1) for line in lines("requirements.txt"))
    assert set(options) == {"-c", "-e"}
    assert options["-c"] == "constraints.txt"
    assert set(Requirement(f"ites-core{options['-e'].removeprefix('.')}").extras) == set(EXTRAS)


def test_conda_environment_adds_only_python_and_make_to_requirements() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == [{"pip": ["-r requirements.txt"]}]
    named = {entry.split("=")[0]: entry.partition("=")[2] for entry in conda}
    assert set(named) == {"python", "pip", "make"}
    assert f"{named['python']}.0" in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_this_python_is_one_that_the_project_names() -> None:
    allowed = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert f"{sys.version_info.major}.{sys.version_info.minor}.0" in allowed
    for minor in (11, 12, 13):
        assert f"3.{minor}.0" in allowed
        assert f"Programming Language :: Python :: 3.{minor}" in PROJECT["classifiers"]


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_contributing_gives_a_reason_for_each_direct_dependency() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    missing = [r.name for r in DIRECT if not re.search(rf"`{re.escape(r.name)}`", text)]
    assert not missing, f"CONTRIBUTING.md does not say why: {', '.join(missing)}"


def test_no_recording_is_tracked_by_accident() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for pattern in ("*.npz", "*.amc", "*.bvh", "/_build/", "/.venv/"):
        assert pattern in ignored
