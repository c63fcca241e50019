"""``ites data``: what data there is, look into it, convert it, sample poses, fit the sampler."""

from __future__ import annotations

from pathlib import Path

from tyro import conf
from tyro.extras import SubcommandApp

from ites_core.errors import Interrupted, ItesError

data = SubcommandApp()


@data.command(name="list")
def list_sets() -> None:
    """List the known data sets: what for, size, terms, whether they are here, and how to get those that are not."""
    from rich.console import Console
    from rich.table import Column, Table

    from ites_core.data.catalogue import CATALOGUE, fetch_folder, locate

    console = Console()
    table = Table(
        Column("name", no_wrap=True), "what", "size", "terms", Column("here", overflow="fold"), show_lines=True
    )
    here = {known.name: locate(known) for known in CATALOGUE}
    for known in CATALOGUE:
        what = f"{known.title}; {known.purpose}"
        table.add_row(known.name, what, known.size, known.terms, str(here[known.name] or "no"))
    console.print(table)
    for known in CATALOGUE:
        if here[known.name] is None:
            print(f"\n{known.name}: official page {known.page}")
            if known.files:
                print(f"  ites data fetch {known.name}")
            for number, step in enumerate(known.steps, 1):
                print(f"  {number}. {step.format(home=fetch_folder())}")
    _say_where(fetch_folder())


def _say_where(home: Path) -> None:
    """What to set where data sets are fetched to another folder than the one in which they are found by name."""
    from ites_core.data.sources import data_home

    if home.resolve() != data_home().resolve():
        print(f"\nData sets are found by name in {data_home()}; to use {home} set ITES_DATA={home.resolve()}")


@data.command
def fetch(name: conf.Positional[str], folder: Path | None = None) -> None:
    """Fetch a data set from its makers, or continue a fetch that was interrupted; zip files are unpacked.

    Args:
        name: of the data set, see `ites data list`.
        folder: where to, in a folder of the set's name; by default ITES_DATA if that is set, else data in the current
            folder.
    """
    from ites_core.data.catalogue import data_set, fetch_folder
    from ites_core.data.fetch import fetch as download
    from ites_core.data.fetch import unpack

    known = data_set(name)
    home = fetch_folder() if folder is None else folder
    if not known.files:
        for number, step in enumerate(known.steps, 1):
            print(f"{number}. {step.format(home=home)}")
        raise ItesError(f"{name}: {known.terms}: it may not be fetched directly; do the steps above by hand")
    print(f"{known.title}\nTerms: {known.terms}")
    to = home / name
    try:
        for file in known.files:
            download(file.url, to / file.name, sha256=file.sha256, size=file.size)
            if file.name.endswith(".zip"):
                print(f"{to}: {len(unpack(to / file.name, to))} files unpacked")
    except KeyboardInterrupt:
        raise Interrupted(f"what has arrived is kept, and `ites data fetch {name}` continues") from None
    print(f"{to}: complete\nNext: {known.next.format(folder=to, home=home)}")
    _say_where(home)


@data.command
def info(file: conf.Positional[str]) -> None:
    """Show what data hold: sequences, frames or views, subjects and actions of each split.

    Args:
        file: a mocap archive (.npz), a data set of `ites data list` that is here, or "sampler".
    """
    from rich.console import Console
    from rich.table import Table

    from ites_core.data import ViewArchive, load_motion

    archive = load_motion(file)
    console = Console()
    recorded = isinstance(archive, ViewArchive)
    what = "views" if recorded else "frames"
    console.print(
        f"{archive.source}: joint set {archive.skeleton.name}, {len(archive)} sequences, {archive.frames} {what}",
        soft_wrap=True,
    )
    if isinstance(archive, ViewArchive):
        truth = "2D only" if archive.pose is None else "2D with 3D truth"
        console.print(f"{truth}; cameras {archive.mean_distance:.2f} m from the people on average")
    table = Table("split", "sequences", what, *([] if recorded else ["minutes"]), "subjects", "actions")
    for split in sorted(set(archive.split)):
        part = archive.take([i for i in range(len(archive)) if archive.split[i] == split])
        minutes = []
        if not isinstance(part, ViewArchive):
            minutes = [f"{sum(n / f for n, f in zip(part.lengths, part.fps, strict=True)) / 60:.1f}"]
        counts = [len(part), part.frames, *minutes, len(set(part.subject)), len(set(part.action))]
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


@data.command(name="unpack")
def unpack_command(file: conf.Positional[Path], out: Path) -> None:
    """Copy an archive into one without compression, which `ites train ... --stream` can leave in its file.

    Args:
        file: a mocap archive (.npz).
        out: the archive to write (.npz); 204 bytes a frame of 17 joints.
    """
    from ites_core.data.mapped import unpack

    sequences, frames = unpack(file, out)
    print(f"{out}: {sequences} sequences, {frames} frames, {out.stat().st_size / 1e6:.1f} MB")


@data.command
def convert(
    folder: conf.Positional[Path],
    out: Path,
    fps: float = 24.0,
    test_subjects: tuple[str, ...] = (),
    metres_per_unit: float | None = None,
    amc_fps: float = 120.0,
) -> None:
    """Convert a folder of motion-capture files (ASF with AMC, or BVH) to a mocap archive.

    Args:
        folder: where the files are, in one place or one folder a subject; actions.csv in it names actions.
        out: the archive to write (.npz).
        fps: frames a second to come near to, by keeping every n-th frame.
        test_subjects: subjects of the split "test", for example 02 07.
        metres_per_unit: overrides what ASF files say, and centimetres for BVH files.
        amc_fps: frames a second of AMC files, which do not say it.
    """
    from ites_core.data import save_archive
    from ites_core.data.convert import convert_folder

    archive, failures = convert_folder(
        folder, fps=fps, test_subjects=test_subjects, metres_per_unit=metres_per_unit, amc_fps=amc_fps
    )
    save_archive(archive, out)
    for _, reason in failures:
        print(f"left out: {reason}")
    print(f"{out}: {len(archive)} sequences, {archive.frames} frames; {len(failures)} files left out")


@data.command(name="convert-coco")
def convert_coco_command(folder: conf.Positional[Path], out: Path) -> None:
    """Convert COCO's annotations of people to the archive that the data set "coco" is read from.

    Args:
        folder: where the zip of annotations was unpacked; it holds the folder annotations.
        out: the archive to write; coco2017_fullbody.npz in the data folder is found by name.
    """
    from ites_core.data.coco_annotations import convert_coco

    print(f"{out}: {convert_coco(folder, out)} people")


@data.command(name="convert-clip")
def convert_clip_command(calibration: conf.Positional[Path], folder: conf.Positional[Path], out: Path) -> None:
    """Convert a clip of calibrated cameras (Pose2Sim's calibration, OpenPose's BODY_25B) to one archive.

    Args:
        calibration: Calib_*.toml.
        folder: holds one folder of OpenPose's JSON files a camera.
        out: the archive to write; pose2sim_balancing_4view.npz in the data folder is found by name.
    """
    from ites_core.data.openpose_clip import convert_clip

    cameras, frames = convert_clip(calibration, folder, out)
    print(f"{out}: {cameras} cameras, {frames} frames")


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
