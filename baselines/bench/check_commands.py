"""Commands that check: games, environments and solvers of anybody, stored best commitments, committed lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import stackelberg_envs as se

from . import commands
from .printing import problems


def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHAT", help="Games, environments or solvers, by id, name or place; all games if none is given."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Only re-score the stored best commitments.")] = False,
    results: Annotated[Path, typer.Option(help="Folder with results, for its own best commitments.")] = Path("results"),
    worlds: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the tables under stored best commitments there, for tests/verify.py.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--game", help="An argument of what is checked, e.g. --game preset=hpgd")] = None,
    leader: Annotated[str | None, typer.Option(help="The agent that leads in an environment of others; guessed by name.")] = None,
    followers: Annotated[str | None, typer.Option(help="The agents that follow, separated by commas; all others.")] = None,
    private: Annotated[str | None, typer.Option(help="Attributes of an environment that only followers know, by commas.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Attributes that the leader must not know before it acts, by commas.")] = None,
    endless: Annotated[bool, typer.Option("--endless", help="No episode of a game ends by itself: lost probability is an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also name the checks that do not apply, and why.")] = False,
) -> None:
    """Check that games, environments and solvers are what they claim, and that stored best commitments score what they say.

    Example: `stackelberg check toy3-v0 my_game.py:MyGame my_solver.py:MySolver my_package:my_env`

    A place leads to a game, to an AECEnv, ParallelEnv or gymnasium.Env of anybody, to a solver, to a class of these, or to a function that
    returns one.  The exit status is 1 if a check failed.

    Example: `stackelberg check stackelberg_envs.deadlines:WithDeadline --game game=toy3-v0 --game steps=5`

    Example: `stackelberg check --best --worlds tables && python tests/verify.py tables`, which scores them by a program of its own

    Example: `stackelberg check my_package:my_env --leader government --followers worker_0,worker_1`
    """
    from . import checks

    arguments = commands.assignments(set_)
    if arguments and (best or not what):
        raise typer.BadParameter("--game is for what is named, and not for stored best commitments")
    given = checks.Given(leader, *(None if names is None else tuple(names.split(",")) for names in (followers, private, hidden)))
    if given != checks.Given() and (best or not what):
        raise typer.BadParameter("--leader, --followers, --private and --hidden are for environments that are named")
    if endless and (best or not what):
        raise typer.BadParameter("--endless is for games that are named")
    failed, of_games = (
        (0, what or []) if best else checks.everything(what or list(se.games()), arguments, given, endless=endless, verbose=verbose)
    )
    if (of_games and not arguments) or not what:
        failed += checks.best_known(results / "best_known.jsonl", of_games if what else None, worlds)
    elif worlds is not None:
        raise typer.BadParameter("--worlds is for stored best commitments: name games without --game, or none")
    if failed:
        problems.print(f"[red]{failed} check{'s'[: failed != 1]} failed[/]")
        raise typer.Exit(1)


def instances(
    check: Annotated[bool, typer.Option("--check", help="Measure the committed lists again, and write nothing.")] = False,
    output: Annotated[Path, typer.Option(help="The file to write; baselines/instances.json is committed.")] = Path("instances.json"),
) -> None:
    """Make the lists of conflict games to tune on, to report and to hold out, without those that a naive leader solves."""
    from . import checks

    if checks.instances(None if check else output):
        raise typer.Exit(1)
