"""What the command line prints: the two consoles, tables of what there is, and a solution."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import stackelberg_envs as se
from stackelberg_envs.plugins import Registry
from stackelberg_envs.references import ReferenceNotFoundError
from stackelberg_envs.registry import REGISTRY

# Labels, names and paths are text: where markup is read they go through `rich.markup.escape`, and ``:name:`` is no picture.
WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 130  # a file or a log has no width of its own
console = Console(width=WIDTH, emoji=False)
problems = Console(stderr=True, emoji=False)


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
        try:
            game = se.game(id)
        except (ReferenceNotFoundError, TypeError) as error:  # a TypeError from one whose arguments have no defaults
            known.add_row(escape(id), *[""] * 5, f"[red]{escape(str(error))}[/]")
            continue
        story = (sys.modules[type(game).__module__].__doc__ or f"{type(game).__name__}: {type(game).__doc__ or ''}").partition("\n")[0]
        sizes = str(game.sizes[0]) if game.tabular else f"R^{gymnasium.spaces.flatdim(game.spaces[0].state)}"
        cells = (sizes, ", ".join(game.contexts), str(game.followers), repr(game.default_follower))
        about = (story.partition(": ")[2] or story) + _bringer(REGISTRY, id)
        known.add_row(escape(id), f"R^{game.dimension}", *map(escape, (*cells, about)))
    return known


def methods() -> Table:
    """All solvers, those that may know most first."""
    import solvers
    from solvers.registry import REGISTRY

    rows = []
    for name in solvers.names():
        try:
            access, about = solvers.build(name).access, (solvers.solver_class(name).__doc__ or "").partition("\n")[0]
        except (ReferenceNotFoundError, TypeError) as error:
            access, about = None, f"cannot be listed: {error}"
        rows.append((access, name, about + _bringer(REGISTRY, name)))
    known = Table("name", "access", "about", title="Solvers", title_justify="left")
    for access, name, about in sorted(rows, key=lambda row: -(row[0] or 0)):
        known.add_row(escape(name), "" if access is None else access.name, escape(about))
    return known


def _bringer(registry: Registry, name: str) -> str:
    """Which distribution brings a game or solver, if it is not the suite."""
    distribution = registry.find(name).distribution
    return f" (from {distribution})" if distribution else ""


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
