"""What the command line prints: the two consoles, tables of what there is, and a solution."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import stackelberg_envs as se

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 130)  # a file or a log has no width of its own
problems = Console(stderr=True)


def bar() -> Progress:
    """One progress bar, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=problems, transient=True)


def games() -> Table:
    """All games, by id."""
    known = Table(title="Games", title_justify="left")
    for column in ("id", "commitment", "(S, A, B) or state", "contexts", "followers", "default follower", "about"):
        known.add_column(column, no_wrap=column in ("id", "default follower"))
    for id in se.games():
        game = se.game(id)
        story = (sys.modules[type(game).__module__].__doc__ or "").splitlines()[0]
        sizes = str(game.sizes[0]) if game.tabular else f"R^{gymnasium.spaces.flatdim(game.spaces[0].state)}"
        cells = (sizes, ", ".join(game.contexts), str(game.followers), repr(game.default_follower), story.partition(": ")[2])
        known.add_row(id, f"R^{game.dimension}", *cells)
    return known


def methods() -> Table:
    """All solvers, those that may know most first."""
    import solvers

    known = Table("name", "access", "about", title="Solvers", title_justify="left")
    for name in sorted(solvers.SOLVERS, key=lambda name: -solvers.build(name).access):
        cls = solvers.solver_class(name)
        known.add_row(name, solvers.build(name).access.name, (cls.__doc__ or "").splitlines()[0])
    return known


def history(rows: tuple[dict[str, Any], ...]) -> Table:
    """At most ten of a solution's history rows, evenly spread."""
    shown = Table()
    claimed = any("optimism_gap" in row for row in rows)  # by solvers with followers of their own
    for column in ("iteration", "commitments", "F(x)", "per context", "follower gap", "|gradient|", *(("optimism",) if claimed else ())):
        shown.add_column(column, justify="right")
    for row in [rows[round(i * (len(rows) - 1) / 9)] for i in range(min(10, len(rows)))] if len(rows) > 1 else rows:
        contexts = "  ".join(f"{value:.4f}" for value in row["per_context"])
        gradient = f"{row['gradient_norm']:.2e}" if "gradient_norm" in row else "-"
        gap = "-" if row["follower_gap"] is None else f"{row['follower_gap']:.1e}"  # not known where commitments are scored by playing
        cells = (f"{row['leader_return']:.5f}", contexts, gap, gradient)
        optimism = (f"{row['optimism_gap']:+.4f}" if "optimism_gap" in row else "-",) if claimed else ()
        shown.add_row(str(row["iteration"]), str(row["commitments"]), *cells, *optimism)
    return shown


def draw(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower) -> None:
    """What the leader learned: its instruments, and a frame a context, with the likeliest paths of the followers.

    Frames need something to draw: a map, or a leader that acts, or, where there are no instruments to say it, whatever there is.
    """
    from stackelberg_envs.drawing import Frame, ansi

    from .figures import likeliest_paths

    evaluation = se.evaluate(game, x, follower=follower)
    for name, values in {} if game.instruments is None else game.instruments(x).items():
        console.print(f"{name}: {np.array2string(np.asarray(values), precision=3)}", markup=False, highlight=False)
    if game.instruments is not None and game.tabular and game.layout is None and all(lead is None for _, lead, _ in game.spaces):
        return
    for context in range(len(game.contexts)):
        problems, policies = game.problems(x, context), evaluation.responses[context].policies
        paths = tuple(tuple(path) for path in likeliest_paths(problems, policies, game.max_cycles))
        console.print(ansi(Frame(game, x, context, paths, len(paths[0]) - 1)), markup=False, highlight=False)
