"""Commands on results that are there: report, results, compare, verify, polish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from . import commands, places
from .commands import BudgetScale, FirstSeed, Games, Methods, Processes
from .export import Format
from .printing import console
from .quantities import quantity, share


def polish(
    configs: Annotated[list[str], typer.Argument(help="Configurations whose results to start from.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    jobs: Processes = 0,
) -> None:
    """Ascend exactly from every end point, and store what beats the best commitment known of its world."""
    from .polish import polishing

    places.check_folder("--results", results)
    ends = []
    for config in configs:
        loaded = commands.load(config)
        ends += commands.counted_results(loaded.jobs, results / f"{loaded.name}.jsonl")
    searches = polishing(ends)
    if not searches:
        raise typer.BadParameter(f"{results} has no finished runs of {', '.join(configs)} in worlds with gradients; run them first")
    polished, failed = commands.run(searches, results / "polished.jsonl", jobs)
    commands.record_best(ends + polished, results / "best_known.jsonl")
    console.print(f"{len(polished)} end points polished")
    commands.end(failed)


def verify(
    config: Annotated[str, typer.Argument(help="The configuration whose results to score again, or the folder of a leaderboard's entry.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
) -> None:
    """Have the referee score the last commitment of each finished run again, and name the lines that say something else.

    The exit status is 1 if there are any, or lines that are not shown as results.
    """
    from . import entries, results_file
    from .checks import score_again

    if Path(config).is_dir():
        raise typer.Exit(bool(entries.print_check(Path(config)).complaints))
    loaded = commands.load(config)
    path = results / f"{loaded.name}.jsonl"
    if not results_file.read_lines(path):
        raise typer.BadParameter(f"{path} has no results of {loaded.name}; run  stackelberg bench {config}  first")
    if score_again(loaded.jobs, path):
        raise typer.Exit(1)


def report(
    config: Annotated[str, typer.Argument(help="The configuration whose results are drawn.")] = "default",
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    first_seed: FirstSeed = None,
    games: Games = None,
    methods: Methods = None,
    budget_scale: BudgetScale = 1.0,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    figures: Annotated[Path | None, typer.Option(help="Also write the figures into this folder, as SVG.")] = None,
) -> None:
    """Draw what is there of a configuration's results: a table, and a self-contained HTML page."""
    loaded = commands.load(config, seeds, first_seed, games, methods, budget_scale)
    path = results / f"{loaded.name}.jsonl"
    places.check_file("--output", output)
    if figures is not None:
        places.check_folder("--figures", figures)
    commands.finished_runs(loaded, config, results)
    commands.show(loaded, path, results / "best_known.jsonl", output, figures)


def compare(
    config: Annotated[str, typer.Argument(help="A configuration with published values.")],
    results: Annotated[Path, typer.Option(help="Folder with the results; docs/reproductions/recorded has ours.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    first_seed: FirstSeed = None,
    games: Games = None,
    methods: Methods = None,
    budget_scale: BudgetScale = 1.0,
    output: Annotated[Path, typer.Option(help="Folder for NAME.md and its figures.")] = Path("compared"),
    maps: Annotated[
        list[int] | None, typer.Option(help="Draw maps of this game of the configuration, counted from 0; may be repeated.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Also store a slim copy of the results in this folder, to be committed.")] = None,
) -> None:
    """Set results beside what was published: a table with intervals and verdicts, and curves.

    Example: `stackelberg compare hpgd-table --results docs/reproductions/recorded --maps 4`
    """
    from . import compare as comparison
    from . import report, results_file

    loaded = commands.load(config, seeds, first_seed, games, methods, budget_scale)
    path = results / f"{loaded.name}.jsonl"
    if record is not None and record.resolve() == results.resolve():
        raise typer.BadParameter("--record stores a slim copy; give it another folder than --results")
    finished = commands.finished_runs(loaded, config, results)
    gathered = report.collect_parts(loaded, path, results / "best_known.jsonl")
    there = sum(len(group) for part in gathered for group in part.groups.values())
    for i in maps or []:
        if not 0 <= i < len(gathered) or not gathered[i].groups:
            raise typer.BadParameter(f"--maps {i}: games are counted from 0 to {len(gathered) - 1}, and this one needs results")
    comparison.write(loaded.name, gathered, output, mapped=maps or [])
    if record is not None:
        results_file.record(record / path.name, finished)
    console.print(comparison.table(gathered, f"{loaded.name}: {share(there, len(loaded.jobs), 'run')}", console.width))
    console.print(f"Table and figures: {escape(str(output.resolve()))}", soft_wrap=True)


def results_table(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="A configuration, a file or a folder; all of --results if none is given."),
    ] = None,
    to: Annotated[Format | None, typer.Option(help="The kind of file; if not given, what --output ends in, or CSV.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The file, or the folder for tensorboard; results.csv or the like, if not given."),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="A row a report of a run, instead of a row a run.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Also runs of code that has changed since.")] = False,
    results: Annotated[Path, typer.Option(help="Folder with the results; docs/reproductions/recorded has ours.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write finished runs as one table, a row a run, for pandas, R or a spreadsheet.

    Example: `stackelberg results default heldout --to csv --output runs.csv`, and then in Python `pandas.read_csv("runs.csv")`.

    With --to tensorboard, the reports of each run are event files in the folder tensorboard: `tensorboard --logdir tensorboard`.

    What the columns are is in docs/reference/results.md.  `baselines.read_results` gives the same table without a file.
    """
    from . import export
    from .results_table import files, read_results

    kind = to or (Format.PARQUET if output and output.suffix == ".parquet" else Format.CSV)
    history = history or kind is Format.TENSORBOARD
    target = output or Path("tensorboard" if kind is Format.TENSORBOARD else f"{'history' if history else 'results'}.{kind}")
    read = files([export.find_results_file(name, results) for name in names or []] or [results])
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} exists; give another --output, or --force to replace it")
    if target.resolve() in [file.resolve() for file in read]:
        raise typer.BadParameter(f"{target} is read, and cannot be the output")
    table = read_results(read, history=history, every=every)
    if not len(table["id"]):
        raise typer.BadParameter(f"there are no finished runs in {', '.join(names or [str(results)])}; run  stackelberg bench  first")
    export.write(table, target, kind)
    console.print(f"Table: {escape(str(target.resolve()))} ({quantity(len(table['id']), 'row')})", soft_wrap=True)
