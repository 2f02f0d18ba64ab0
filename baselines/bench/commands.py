"""What several commands have in common: options, configurations read, runs made and shown."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from .printing import console, problems
from .quantities import be, quantity, share

if TYPE_CHECKING:
    from .configuration import Config
    from .jobs import Job

Results = Annotated[Path, typer.Option(help="Folder for results; finished runs in it are not repeated.")]
FirstSeed = Annotated[int | None, typer.Option(help="The first seed, instead of the configuration's.", min=0)]
Games = Annotated[list[str] | None, typer.Option("--games", metavar="PATTERN", help="Only games of this id or title; may be repeated.")]
Methods = Annotated[list[str] | None, typer.Option("--solvers", metavar="PATTERN", help="Only solvers of this label or name.")]
BudgetScale = Annotated[float, typer.Option(help="A number that all budgets are multiplied by, for a quick look.", min=0.0)]
Processes = Annotated[int, typer.Option(help="Runs at once; 0 for one a core.", min=0)]
Executor = Annotated[str, typer.Option(help="Where to run: processes, ray, or an executor of yours, my_cluster.py:MyCluster.")]


def load(
    config: str,
    seeds: int | None = None,
    first_seed: int | None = None,
    games: list[str] | None = None,
    methods: list[str] | None = None,
    budget_scale: float = 1.0,
) -> Config:
    """A configuration; whose code it runs, if others', is said before any of it is imported."""
    from . import configuration

    def announce(line: str) -> None:
        console.print(escape(line), highlight=False, soft_wrap=True)

    loaded = configuration.load(config, seeds=seeds, first_seed=first_seed, announce=announce)
    return loaded.select(games or (), methods or (), budget_scale)


def part_of(loaded: Config, shard: str, costs: list[Path], results: Path) -> tuple[list[Job], Path]:
    """The runs of one part that are not in the whole file yet, and the folder for their results."""
    from . import shards

    part = shards.parse(shard)
    for path in costs:
        if not path.exists():
            raise typer.BadParameter(f"--costs {path} does not exist")
    mine = shards.part_of(loaded, part, shards.Costs.read(*costs))
    whole = results / f"{loaded.name}.jsonl"
    there = {result["id"] for result in counted_results(mine, whole)}
    console.print(
        f"Part {part.index} of {part.count}, counted from 0: {share(len(mine), len(loaded.jobs), 'run')}"
        + (f", {len(there)} of them already in {escape(str(whole))}" if there else ""),
        highlight=False,
        soft_wrap=True,
    )
    return [job for job in mine if job.id not in there], results / str(part)


def run(
    wanted: list[Job], path: Path, workers: int, again: list[str] | None = None, executor: str = "processes", address: str = ""
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run what is not in ``path`` yet; (all results there are, what failed by job id).  Ctrl-C ends the command, saying how to go on."""
    from . import executors
    from .execution import RunStopped
    from .runner import run_all

    try:
        failed = run_all(wanted, path, console=console, again=again or (), executor=executors.load(executor, workers, address))
    except (KeyboardInterrupt, RunStopped):
        there = len(counted_results(wanted, path))
        problems.print(f"\nStopped with {share(there, len(wanted), 'run')} in {escape(str(path))}; the same command goes on from there.")
        raise typer.Exit(130) from None
    return counted_results(wanted, path), failed


def finished_runs(loaded: Config, config: str, results: Path) -> list[dict[str, Any]]:
    """The results of a configuration that count; none is a mistake of the user's, and what is wrong with those there are is said."""
    from . import results_file
    from .audit import audit

    path = results / f"{loaded.name}.jsonl"
    if not path.exists():
        raise typer.BadParameter(f"there are no results of {loaded.name}: {path} does not exist; run  stackelberg bench {config}  first")
    lines = results_file.read_lines(path)
    checked = audit(loaded.jobs, lines)
    if not checked.results:
        why = "".join(f"\n{remark}" for remark in checked.remarks)
        if lines and not why:
            there = f"its {quantity(len(lines), 'line')} {be(len(lines))}"
            why = f" ({there} of other settings: give the same --seeds, --budget-scale, ... as to bench)"
        raise typer.BadParameter(f"{path} has no results of {loaded.name}; run  stackelberg bench {config}  first{why}")
    return checked.results


def counted_results(wanted: list[Job], path: Path) -> list[dict[str, Any]]:
    """The results of these jobs that count."""
    from . import results_file
    from .audit import audit

    return audit(wanted, results_file.read_lines(path)).results


def record_best(results: list[dict[str, Any]], best_file: Path) -> None:
    """Store what beats the best known, and say so."""
    from . import best

    for new in best.improve(best_file, results, known=best.read_best(best.COMMITTED, best_file)):
        world = f"{new.world.label} {new.world.arguments or ''}".rstrip()
        said = f"New best known for {world}: {new.leader_return:.6f} ({new.found_by}); stored in {best_file}"
        console.print(escape(said))


def end(failed: dict[str, str]) -> None:
    """Name the runs that failed, if any, and end with status 1."""
    for said in failed.values():
        problems.print(f"[red]Failed:[/] {escape(said)}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def show(config: Any, path: Path, best_file: Path, output: Path | None, figures: Path | None = None) -> None:
    """Print the tables, and write the page where there is to be one."""
    from . import report

    parts = report.collect_parts(config, path, best_file)
    for part in parts:
        console.print(report.table(part, console.width))
    if output is not None:
        report.write(config, parts, output, command=["stackelberg", *sys.argv[1:]], results=path.parent, figure_folder=figures)
        console.print(f"Report: {escape(str(output.resolve()))}", soft_wrap=True)


def assignments(pairs: list[str] | None) -> dict[str, Any]:
    """``["lr=0.1", "preset=hpgd"]`` to a dictionary; values are TOML, or text if they are not."""
    assigned = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not of the form name=value")
        try:
            assigned[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            assigned[key] = None if value.lower() == "none" else value
    return assigned
