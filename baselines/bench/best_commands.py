"""The command ``stackelberg best``: the best commitments known, and a search for better ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from . import commands, places
from .commands import Games, Processes
from .printing import console, problems
from .quantities import quantity, share


def best(
    config: Annotated[
        str | None, typer.Argument(help="The configuration whose results to look at; with --search, whose worlds to search.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    record: Annotated[Path | None, typer.Option(help="Also store these commitments in this file, where they beat what it has.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Search for better ones: of CONFIG's worlds, or of all stored ones.")] = False,
    games: Games = None,
    budget: Annotated[int, typer.Option(help="With --search: how many commitments each world may use, about.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="With --search: the seed of all noise.", min=0)] = 0,
    jobs: Processes = 0,
    adopt: Annotated[bool, typer.Option("--adopt", help="With --search: also store what is better in the common record.")] = False,
) -> None:
    """Show the best commitment known of each game of a configuration, and store those of these runs as a record of your own.

    Example: `stackelberg best my.toml --record my_best.jsonl`, and then  `record = "my_best.jsonl"`  at the top of my.toml: gaps are to it.

    With --search, no results are needed: each world is searched for a better commitment, from what is stored and from elsewhere, and what
    is found is stored in RESULTS/best_known.jsonl.  Stop it as you like: the same command goes on with the next world.

    Example: `stackelberg best --search --games toy3-v0 --budget 3000`, or, for any worlds,  `stackelberg best patrol --search`
    """
    from . import best
    from .checks import best_of

    if search:
        _search(config, results, record, games or [], budget, seed, jobs, adopt)
        return
    if config is None:
        raise typer.BadParameter("name a configuration, or give --search to search all worlds with a stored best commitment")
    if games or adopt:
        raise typer.BadParameter("--games and --adopt are for --search")
    loaded = commands.load(config)
    if record is not None:
        places.check_file("--record", record)
    finished = commands.finished_runs(loaded, config, results)
    commands.record_best(finished, results / "best_known.jsonl")
    own = best_of(loaded, results / "best_known.jsonl")
    if record is not None:
        stored = best.keep(record, own)
        console.print(escape(f"{len(stored)} commitment{'s'[: len(stored) != 1]} stored in {record}"), soft_wrap=True)
        if loaded.record is None:
            place = os.path.relpath(record, Path(config).resolve().parent) if Path(config).is_file() else record.resolve()
            console.print(escape(f'Write  record = "{place}"  at the top of the configuration, and gaps are to it.'), soft_wrap=True)


def _search(
    config: str | None, results: Path, record: Path | None, games: list[str], budget: int, seed: int, jobs: int, adopt: bool
) -> None:
    """Search for better commitments, and say what was found."""
    from . import best, best_ledger
    from .execution import RunStopped

    loaded = None if config is None else commands.load(config, games=games)
    places.check_folder("--results", results)
    if record is not None:
        places.check_file("--record", record)
    own = None if loaded is None else loaded.record
    ledger = best_ledger.Ledger(results, best.COMMITTED, *([own] if own else []))
    try:
        wanted = ledger.plan(best_ledger.worlds_of(ledger.known, loaded, games), budget=budget, seed=seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        failed = ledger.run(wanted, jobs, console)
    except (KeyboardInterrupt, RunStopped):
        there = len(ledger.lines_of(wanted))
        problems.print(f"\nStopped with {share(there, len(wanted), 'world')} searched; the same command goes on from there.")
        raise typer.Exit(130) from None
    lines = ledger.lines_of(wanted)
    console.print(best_ledger.table(lines))
    better = best_ledger.finds(lines)
    where = f"; stored in {escape(str(ledger.best_file))}" if better else ""
    console.print(f"Better commitments in {share(len(better), len(lines), 'world')}{where}", soft_wrap=True)
    for file in [*([record] if record else []), *([best.COMMITTED] if adopt else [])]:
        stored = best.keep(file, better)
        console.print(f"{quantity(len(stored), 'commitment')} stored in {escape(str(file))}", soft_wrap=True)
    commands.end(failed)
