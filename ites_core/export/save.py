"""Write lifted poses in the format that the file's suffix names (chapter 7)."""

from __future__ import annotations

from pathlib import Path

from ites_core.errors import ItesError
from ites_core.files import in_place
from ites_core.lifting.lift import Lifted

SUFFIXES = (".npz", ".json", ".csv", ".bvh", ".glb", ".gltf", ".html", ".gif", ".mp4")


def check_suffix(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        ItesError: an unknown suffix, or no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ItesError(f"{path}: found suffix {path.suffix!r}, expected one of {', '.join(SUFFIXES)}; rename the file")
    if not path.parent.is_dir():
        raise ItesError(f"{path}: there is no folder {path.parent}; make it first")


def save(lifted: Lifted, path: str | Path, person: int | None = None) -> list[Path]:
    """Write lifted poses.

    Args:
        lifted: poses.
        path: the file. BVH holds one person; several go to ``NAME-0.bvh``, ``NAME-1.bvh`` and so on.
        person: for animations, only this one: a person's number in a film, a row of photographs.

    Returns:
        The files that were written.

    Raises:
        ItesError: unknown suffix, what the format cannot hold, or a file that cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix in (".gif", ".mp4"):
        from ites_core.export.film import write_film

        write_film(lifted, path, person)
        return [path]
    if suffix == ".bvh":
        from ites_core.export.bvh import bvh_text
        from ites_core.export.rig import rigs

        made = rigs(lifted, person)
        several = [path.with_stem(f"{path.stem}-{rig.name.removeprefix('person ')}") for rig in made]
        files = [path] if len(made) == 1 else several
        for file, rig in zip(files, made, strict=True):
            _write(file, bvh_text(rig).encode())
        return files
    _write(path, _content(lifted, suffix, person))
    return [path]


def _content(lifted: Lifted, suffix: str, person: int | None) -> bytes:
    if suffix in (".glb", ".gltf"):
        from ites_core.export.gltf import gltf_bytes
        from ites_core.export.rig import rigs

        return gltf_bytes(rigs(lifted, person), binary=suffix == ".glb")
    if suffix == ".html":
        from ites_core.export.page import html_text

        return html_text(lifted, person).encode()
    from ites_core.export import tables

    if suffix == ".npz":
        return tables.npz_bytes(lifted)
    return (tables.json_text(lifted) if suffix == ".json" else tables.csv_text(lifted)).encode()


def _write(path: Path, content: bytes) -> None:
    with in_place(path) as beside:
        beside.write_bytes(content)
