"""``ites experiment``: the paper's tables and figures, what is stored of them, run them, report them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro import conf
from tyro.extras import SubcommandApp

from ites_core.errors import Interrupted, ItesError

experiment = SubcommandApp()
ScaleName = Literal["small", "paper", "brief", "smoke"]


def _results(folder: Path | None) -> Path:
    """The repository's folder of artefacts, or, where the package was installed without it, ``results`` here."""
    from ites_core.experiments.artefacts import RESULTS

    return folder or (RESULTS if RESULTS.is_dir() else Path("results"))


@experiment.command(name="list")
def list_experiments(data: str = "cmu17", scale: ScaleName = "small", results: Path | None = None) -> None:
    """List the experiments, their systems, and how many seeds of each are stored.

    Args:
        data: data set, see `ites data list`.
        scale: size and length of the runs.
        results: folder of artefacts; by default the repository's.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from ites_core.experiments.artefacts import Place
    from ites_core.experiments.cost import stored_costs
    from ites_core.experiments.declared import COST, EXPERIMENTS

    place = Place(data, scale, _results(results))
    shown = Table(Column("experiment", no_wrap=True), "what", "systems, and seeds stored", show_lines=True)
    for e in EXPERIMENTS.values():
        shown.add_row(e.name, e.title, ", ".join(f"{name} ({len(place.rows(name))})" for name in e.systems))
    machines = ", ".join(cost.device for cost in stored_costs(place.results))
    shown.add_row(COST, "Size of the networks and time a pose", f"measured on: {machines or 'no machine yet'}")
    Console().print(shown)


@experiment.command
def run(
    name: conf.Positional[str],
    data: str = "cmu17",
    seeds: int = 5,
    seed: int | None = None,
    scale: ScaleName = "small",
    device: str = "auto",
    workers: int = 1,
    together: bool = False,
    runs: Path = Path("runs"),
    results: Path | None = None,
) -> None:
    """Train and score what an experiment needs and is not stored yet; a killed run goes on where it stopped.

    Args:
        name: an experiment of `ites experiment list`, a system of one, or "all".
        data: data set to learn from and to be tested on, see `ites data list`.
        seeds: seeds 0 to seeds - 1.
        seed: this one seed alone.
        scale: small (minutes a run on two cores), paper (the full schedule, for a GPU), brief (a third of small), smoke
            (seconds, to see that it works).
        device: auto, cpu or cuda.
        workers: runs at a time.
        together: train all seeds of a system in one pass, as suits a GPU; the workers then score.
        runs: folder for weights and logs.
        results: folder of artefacts; by default the repository's. Name another one to run anew what is stored.
    """
    from ites_core.data.sources import NAMED, SAMPLER
    from ites_core.experiments.artefacts import Place
    from ites_core.experiments.cost import measure, write_cost
    from ites_core.experiments.declared import COST, EXPERIMENTS, experiment_named
    from ites_core.experiments.runs import run_systems
    from ites_core.experiments.scoring import missing_data, write_examples
    from ites_core.experiments.systems import SYSTEMS
    from ites_core.experiments.together import run_together

    for option, number in (("--seeds", seeds), ("--workers", workers)):
        if number < 1:
            raise ItesError(f"{option}: found {number}, expected at least 1")
    if seed is not None and seed < 0:
        raise ItesError(f"--seed: found {seed}, expected at least 0")
    if data not in (*NAMED, SAMPLER):
        raise ItesError(f"--data: found {data!r}, expected one of {', '.join([*NAMED, SAMPLER])}")
    place = Place(data, scale, _results(results))
    if name == COST:
        print(f"{write_cost(measure(device), place.results)}: written")
        return
    if name in SYSTEMS:
        systems = [name]
    elif name == "all":
        systems = list(SYSTEMS)
    else:
        systems = experiment_named(name).systems
    chosen = []
    for system in systems:
        needed = missing_data(SYSTEMS[system], place)
        if needed is None or needed == data or system == name:  # then nothing could be left to do: let it be an error
            chosen.append(system)
        else:
            print(f"{system}: left out, it needs the data set {needed}; `ites data list` says how to get it")
    train_and_score = run_together if together else run_systems
    try:
        train_and_score(chosen, place, range(seeds) if seed is None else [seed], runs, workers, device)
        write_examples(place)
    except KeyboardInterrupt:
        raise Interrupted("what is finished is stored; the same command goes on where it stopped") from None
    follow = name if name in EXPERIMENTS else "all"
    print(f"next: ites experiment report {follow} --data {data} --scale {scale}")


@experiment.command
def seeds(
    systems: conf.Positional[tuple[str, ...]],
    data: str = "cmu17",
    scale: ScaleName = "small",
    runs: Path = Path("runs"),
    results: Path | None = None,
) -> None:
    """Choose among stored networks without truth, average the seeds of the first system, and tell where they doubt.

    Args:
        systems: students whose networks are in --runs.
        data: data set that they learnt from.
        scale: size and length of the runs.
        runs: folder for weights and logs.
        results: folder of artefacts; by default the repository's.
    """
    from ites_core.experiments.artefacts import Place
    from ites_core.experiments.seeds import study_seeds, write_seeds

    place = Place(data, scale, _results(results))
    study = study_seeds(systems, place, runs)
    for name, test in study["tests"].items():
        print(
            f"{name}: one network {sorted(test['single'])[len(test['single']) // 2]:.1f} mm (median of "
            f"{study['seeds']}), mean pose {test['mean_pose']:.1f} mm"
        )
    print(f"{write_seeds(study, place)}: written")


@experiment.command
def report(
    name: conf.Positional[str] = "all",
    data: str = "cmu17",
    scale: ScaleName = "small",
    results: Path | None = None,
    into: Path | None = None,
) -> None:
    """Show paper against measurement: mean and spread over seeds, and a verdict for each claim.

    Args:
        name: an experiment of `ites experiment list`, or "all".
        data: data set, see `ites data list`.
        scale: size and length of the runs.
        results: folder of artefacts; by default the repository's.
        into: write the short summary between its marks in this file, for example README.md, instead.
    """
    from rich.console import Console

    from ites_core.experiments.artefacts import Place
    from ites_core.experiments.declared import COST, EXPERIMENTS, experiment_named
    from ites_core.experiments.report import show, show_costs, write_readme

    place = Place(data, scale, _results(results))
    if into is not None:
        write_readme(into, place)
        print(f"{into}: summary written")
        return
    console = Console()
    if name != COST:
        show(place, list(EXPERIMENTS) if name == "all" else [experiment_named(name).name], console)
    if name in ("all", COST):
        show_costs(console, place.results)
