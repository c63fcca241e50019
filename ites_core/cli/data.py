"""``ites data``: what data there is, look into it, convert it, sample poses, fit the sampler."""

from __future__ import annotations

from pathlib import Path

from tyro import conf
from tyro.extras import SubcommandApp

from ites_core.errors import ItesError

data = SubcommandApp()


@data.command
def info(file: conf.Positional[str]) -> None:
    """Show what a mocap archive holds: sequences, frames, subjects and actions of each split.

    Args:
        file: a mocap archive (.npz), or "sampler".
    """
    from rich.console import Console
    from rich.table import Table

    from ites_core.data import load_motion

    archive = load_motion(file)
    console = Console()
    console.print(
        f"{archive.source}: joint set {archive.skeleton.name}, {len(archive)} sequences, {archive.frames} frames"
    )
    table = Table("split", "sequences", "frames", "minutes", "subjects", "actions")
    for split in sorted(set(archive.split)):
        part = archive.take([i for i in range(len(archive)) if archive.split[i] == split])
        minutes = sum(n / f for n, f in zip(part.lengths, part.fps, strict=True)) / 60
        counts = (len(part), part.frames, f"{minutes:.1f}", len(set(part.subject)), len(set(part.action)))
        table.add_row(split, *map(str, counts))
    console.print(table)


@data.command
def sample(n: int, out: Path, seed: int = 0) -> None:
    """Draw independent poses from the embedded sampler into a mocap archive.

    Args:
        n: number of poses.
        out: the archive to write (.npz).
        seed: the same seed gives the same poses.
    """
    import torch

    from ites_core.data import MocapArchive, save_archive
    from ites_core.data.sampler import PoseSampler

    if n < 1:
        raise ItesError(f"--n: found {n}, expected at least 1")
    poses = PoseSampler.embedded().poses(n, torch.Generator().manual_seed(seed))
    one = ("sampled",) * n
    archive = MocapArchive(
        positions=poses.float(),
        starts=tuple(range(n)),
        lengths=(1,) * n,
        names=tuple(f"sampled_{seed}_{i:06d}" for i in range(n)),
        subject=tuple(f"sampled_{i % 20:02d}" for i in range(n)),
        action=one,
        kind=one,
        split=("train",) * n,
        fps=(24.0,) * n,
        source=str(out),
    )
    save_archive(archive, out)
    print(f"{out}: {n} poses")


@data.command(name="fit-sampler")
def fit_sampler(data: str, out: Path, seed: int = 0) -> None:
    """Fit the pose sampler to the training subjects of an archive (needs scikit-learn).

    Args:
        data: a mocap archive (.npz).
        out: the parameter file to write (.safetensors).
        seed: of the fit.
    """
    from ites_core.data.fit import fit_sampler_file

    fit_sampler_file(data, out, seed)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")
