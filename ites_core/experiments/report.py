"""Paper against measurement: tables in the terminal, the same rows for the chapter Results, and the README's block."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console
from rich.table import Column, Table

from ites_core.errors import ItesError
from ites_core.evaluation import COLUMNS
from ites_core.experiments.artefacts import Place, Row, summary
from ites_core.experiments.cost import Cost, judge_cost, stored_costs
from ites_core.experiments.declared import EXPERIMENTS
from ites_core.experiments.systems import Scale
from ites_core.experiments.tables import Experiment, paper
from ites_core.experiments.verdict import Judgement, Verdict, judge, value
from ites_core.files import in_place

HEADLINE = (  # what the README shows
    "all depths zero", "C3DPO", "teacher without RIC", "teacher", "teacher on the rays", "student", "student ResFC",
    "beyond with bones of its own", "supervised", "teacher from sampler", "student from COCO", "beyond from COCO",
)  # fmt: skip
BEGIN, END = "<!-- results: written by `ites experiment report --into README.md` -->", "<!-- results: end -->"


@dataclass(frozen=True)
class Cell:
    """A metric over the seeds of a system.

    Attributes:
        mean: mm, or % for PCK and AUC.
        spread: standard deviation over seeds; None for one seed.
        values: one a seed, in the order of the seeds.
    """

    mean: float
    spread: float | None
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.spread is None else f"{self.mean:.1f} ± {self.spread:.1f}"


@dataclass(frozen=True)
class TableRow:
    """One row of a table: what was printed and what was measured.

    Attributes:
        label: of the row.
        kind: of the method, where the paper gives it.
        system: ours, None for other people's numbers.
        printed: the paper's number of each column, None where there is none.
        measured: of each column, without the oracle flip and with it; None where it was not measured.
        runs: the stored runs behind it.
    """

    label: str
    kind: str
    system: str | None
    printed: tuple[float | None, ...]
    measured: tuple[tuple[Cell | None, Cell | None], ...]
    runs: tuple[Row, ...]


def cell(rows: Sequence[Row], metric: str, column: str, where: str | None = None) -> Cell | None:
    """Mean and spread of a metric over stored runs; None if it was not measured."""
    found = [v for row in rows if (v := value(row, metric, column, where)) is not None]
    return Cell(fmean(found), stdev(found) if len(found) > 1 else None, tuple(found)) if found else None


def table(experiment: Experiment, place: Place) -> list[TableRow]:
    """Rows of a table as measured at a place, in the paper's order; rows that nobody has measured stay, without cells.

    Chapter Results.
    """
    printed = paper().get(experiment.name, {"columns": [], "rows": {}})
    order = [printed["columns"].index(c.title) if c.title in printed["columns"] else None for c in experiment.columns]
    rows = []
    for line in experiment.lines:
        numbers = printed["rows"].get(line.printed, []) if line.printed else []
        runs = place.rows(line.system) if line.system else []
        pairs = []
        for column in experiment.columns:
            plain, oracle = (cell(runs, column.metric, flip, column.where) for flip in COLUMNS)
            pairs.append((plain, oracle))
        rows.append(
            TableRow(
                line.label,
                printed.get("kinds", {}).get(line.label.partition(", ")[0], ""),
                line.system,
                tuple(numbers[k] if k is not None and numbers else None for k in order),
                tuple(pairs),
                tuple(runs),
            )
        )
    return rows


def best_place(experiment: Experiment, data: str = "cmu17", results: Path | None = None) -> Place:
    """Where most of an experiment's systems were measured: at ``small``, or at ``brief`` if that has more of them."""
    scales: tuple[Scale, ...] = ("small", "brief")
    places = [Place(data, scale, results) if results else Place(data, scale) for scale in scales]
    return max(places, key=lambda place: len({row["system"] for row in place.rows(*experiment.systems)}))


def command(row: Row, results: str = "again") -> str:
    """The command that runs one stored row anew, into another folder of results."""
    words = ["ites", "experiment", "run", row["system"], "--data", row["data"], "--scale", row["scale"]]
    return shlex.join([*words, "--seed", str(row["seed"]), "--results", results])


def judgements(place: Place, names: Iterable[str] | None = None) -> list[tuple[Experiment, Judgement]]:
    """Every claim of the experiments of these names, of all if None, held against the runs at a place."""
    wanted = EXPERIMENTS.values() if names is None else [EXPERIMENTS[name] for name in names]
    return [(e, judge(claim, place)) for e in wanted for claim in e.claims]


def show(place: Place, names: Sequence[str], console: Console) -> None:
    """Print experiments: each table, its claims with verdicts, and where the artefacts are."""
    missing = set()
    for name in names:
        experiment = EXPERIMENTS[name]
        console.print(_rich_table(experiment, place))
        if experiment.note:
            console.print(experiment.note, style="dim")
        for claim in experiment.claims:
            console.print(_in_words(judge(claim, place)))
        console.print()
        missing |= {system for system in experiment.systems if not place.rows(system)}
    console.print(f"Artefacts: {place.folder}", soft_wrap=True)
    if missing:
        console.print(f"Not measured there: {', '.join(sorted(missing))}")


def show_costs(console: Console, results: Path) -> None:
    """Print Table 9: parameters and time a pose, of each machine that was measured."""
    costs = stored_costs(results)
    if not costs:
        console.print("table-9: not measured yet: `ites experiment run table-9`")
    for cost in costs:
        console.print(_rich_cost(cost))
        for says, verdict in judge_cost(cost):
            console.print(f"  {verdict}: {says}")


def _rich_table(experiment: Experiment, place: Place) -> Table:
    lines = table(experiment, place)
    title = f"{experiment.name}: {experiment.title} ({place.data}, {place.scale})"
    shown = Table(Column("", no_wrap=True), title=title, title_justify="left")
    has_paper = any(n is not None for line in lines for n in line.printed)
    for column in experiment.columns:
        for title in (["paper"] if has_paper else []) + ["no oracle", "oracle flip"]:
            shown.add_column(f"{column.title}\n{title}", justify="right")
    shown.add_column("seeds", justify="right")
    for line in lines:
        cells = []
        for printed, (plain, oracle) in zip(line.printed, line.measured, strict=True):
            cells += ([_text(printed)] if has_paper else []) + [_text(plain), _text(oracle)]
        shown.add_row(line.label, *cells, str(len(line.runs) or ""))
    return shown


def _rich_cost(cost: Cost) -> Table:
    shown = Table("", title=f"table-9: size and time ({cost.device})", title_justify="left")
    for title in ("paper\nparameters", "measured\nparameters", "paper\nms", "ms, one pose", "µs a pose, in a batch"):
        shown.add_column(title, justify="right")
    printed = paper()["table-9"]["rows"]
    for label, row in cost.networks.items():
        size, time = printed.get(label, (None, None))
        size_text = "" if size is None else f"{size:.2f}M"
        shown.add_row(
            label, size_text, f"{row['parameters']:,}", "" if time is None else f"{time:.2f}",
            f"{row['ms_single']:.2f}", f"{row['us_batch']:.1f}",
        )  # fmt: skip
    return shown


def _text(found: float | Cell | None) -> str:
    return "" if found is None else f"{found:.1f}" if isinstance(found, float | int) else str(found)


def _in_words(judgement: Judgement) -> str:
    parts = []
    for e in judgement.effects:
        flip = "with the oracle flip" if e.column == "oracle_flip" else "without"
        parts.append(f"{e.gain:+.1f} [{e.low:+.1f}, {e.high:+.1f}] {flip}")
    source = "" if judgement.claim.source == "paper" else " (ours)"
    detail = f" ({judgement.claim.metric}, better by {'; '.join(parts)})" if parts else ""
    return f"  {judgement.verdict}: {judgement.claim.says}{source}{detail}"


def readme_block(place: Place) -> str:
    """The README's part between :data:`BEGIN` and :data:`END`: medians of the main systems, and how the claims fare."""
    found = judgements(place)
    counts: Counter[Verdict] = Counter(
        j.verdict for _, j in found if j.claim.source == "paper" and j.verdict != "not measured"
    )
    order: tuple[Verdict, ...] = ("holds", "depends on the flip oracle", "within the spread", "does not hold")
    verdicts = ", ".join(f"{v} {counts[v]}" for v in order if counts[v])
    rows = place.rows(*HEADLINE)
    lines = [BEGIN, "", "```", summary(rows), "```", ""]
    if counts:
        lines += [f"The paper's claims that these runs can check, by verdict: {verdicts}.", ""]
    return "\n".join([*lines, END])


def write_readme(file: Path, place: Place) -> None:
    """Put :func:`readme_block` between its marks in a file.

    Raises:
        ItesError: the file cannot be read or written, or lacks the marks.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ItesError(f"{file}: cannot be read ({error.strerror or error})") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ItesError(f"{file}: found no lines {BEGIN!r} and {END!r}; put them where the results shall stand")
    with in_place(file) as beside:
        beside.write_text(before + readme_block(place) + after, encoding="utf-8")
