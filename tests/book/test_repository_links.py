"""Edit links and launch buttons: there when _config.yml names the repository, absent when it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/example/lifting"
CONTENTS = "format: jb-book\nroot: intro\nchapters:\n  - file: 1_poses\n  - file: 2_text\n"
TEXT_NOTEBOOK = """---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---

# A page with code, as text
"""


def settings(address: str) -> dict[str, Any]:
    """The book's own settings with a repository's address; nothing is executed and no asset is needed."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = address
    config["execute"]["execute_notebooks"] = "off"
    config["bibtex_bibfiles"] = [str(ROOT / "book" / "references.bib")]
    sphinx = config["sphinx"]
    sphinx["local_extensions"] = {name: str(ROOT / folder) for name, folder in sphinx["local_extensions"].items()}
    for name in ("html_favicon", "html_static_path", "html_css_files"):
        del sphinx["config"][name]
    return config


@pytest.mark.parametrize("address", ["", ADDRESS], ids=["no address", "an address"])
def test_links_follow_the_address(tmp_path: Path, address: str) -> None:
    book = tmp_path / "book"
    book.mkdir()
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(settings(address)), encoding="utf-8")
    (book / "_toc.yml").write_text(CONTENTS, encoding="utf-8")
    (book / "intro.md").write_text("# A book\n\nText.\n", encoding="utf-8")
    (book / "2_text.md").write_text(TEXT_NOTEBOOK, encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Poses")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, book / "1_poses.ipynb")
    program = Path(sys.executable).parent / "jupyter-book"
    command = [program, "build", book, "-W", "-n", "--config", tmp_path / "_config.yml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]

    built = tmp_path / "_build" / "html"
    pages = {name: (built / f"{name}.html").read_text(encoding="utf-8") for name in ("intro", "1_poses", "2_text")}
    expected = {
        "edit": (f"{ADDRESS}/edit/main/book/1_poses.ipynb", "1_poses"),
        "edit text": (f"{ADDRESS}/edit/main/book/intro.md", "intro"),
        "Colab": ("https://colab.research.google.com/github/example/lifting/blob/main/book/1_poses.ipynb", "1_poses"),
        "Binder": ("https://mybinder.org/v2/gh/example/lifting/main?urlpath=lab/tree/book/1_poses.ipynb", "1_poses"),
    }
    for what, (link, page) in expected.items():
        assert (f'href="{link}"' in pages[page]) is bool(address), what
    assert "colab" not in pages["2_text"], "Colab opens notebooks only"
    if not address:
        for page in pages.values():
            assert not any(word in page for word in ("colab", "mybinder", "Suggest edit", "source-buttons"))


def test_the_repositorys_own_settings_are_complete() -> None:
    """With an address there is nothing else to fill in; an address stands there only if it is a real one."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["url"] == "" or config["repository"]["url"].startswith("https://")
    assert config["repository"]["path_to_book"] == "book"
    assert (ROOT / "environment.yml").is_file()  # what Binder installs
