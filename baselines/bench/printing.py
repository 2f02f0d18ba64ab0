"""What the command line prints: the two consoles, tables of what there is, and a solution."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import stackelberg_envs as se
from stackelberg_envs.leader.access import access_words
from stackelberg_envs.references import ReferenceNotFoundError
from stackelberg_envs.registry import REGISTRY

from .details import bringer, listing, story

# Labels, names and paths are text: where markup is read they go through `rich.markup.escape`, and ``:name:`` is no picture.
WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 130  # a file or a log has no width of its own
console = Console(width=WIDTH, emoji=False)
problems = Console(stderr=True, emoji=False)


def bar() -> Progress:
    """One progress bar, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=problems, transient=True)


def fitting_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    stacks: Sequence[Sequence[int]],
    *,
    width: int,
    left: Sequence[int] = (0, 1),
    title: str = "",
    caption: str = "",
    units: Mapping[int, str] = {},
) -> Table:
    """A table that cuts nothing: a column each where that fits, else columns in stacks, the cells of a stack one below the other.

    Args:
        header: names of the columns, as markup.
        rows: cells, as markup.
        stacks: which columns share one where the terminal is narrow, in their order.
        width: of the terminal, in characters.
        left: the columns that hold words, which may be folded; the others are numbers on the right, which are not.
        title: above the table, as markup.
        caption: below it, as markup.
        units: what is written behind the cells of a column where it is in a stack and not the first, so that each line says what it is.
    """
    table = _table(header, rows, [(i,) for i in range(len(header))], left, title, caption)
    if Measurement.get(console, console.options.update(max_width=1000), table).maximum <= width:
        return table
    named = {i: units[i] for stack in stacks for i in stack[1:] if i in units}
    rows = [[f"{cell} [dim]{named[i]}[/]" if i in named and cell not in ("", "-") else cell for i, cell in enumerate(row)] for row in rows]
    return _table(header, rows, stacks, left, title, caption)


def _table(header: Any, rows: Any, stacks: Any, left: Any, title: str, caption: str) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        caption=caption or None,
        caption_justify="left",
        show_lines=len(stacks) < len(header),
        box=SIMPLE_HEAD if len(stacks) == len(header) else SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for stack in stacks:
        words = stack[0] in left
        name = "\n".join(header[i] for i in stack)
        table.add_column(name, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for row in rows:
        table.add_row(*("\n".join(row[i] for i in stack) for stack in stacks))
    return table


def games() -> Table:
    """All games: id and one sentence."""
    rows = []
    for id in se.games():
        try:
            rows.append((id, story(_class_of(id))[0] + bringer(REGISTRY, id)))
        except (ReferenceNotFoundError, TypeError) as error:  # a TypeError from a function whose arguments have no defaults
            rows.append((id, f"cannot be listed: {error}"))
    return listing("Games", rows)


def _class_of(id: str) -> type[se.StackelbergGame]:
    """The class of a game; builds the game only where a function does, for some take long."""
    found = REGISTRY.load(id)
    return REGISTRY.check_class(found, id) if inspect.isclass(found) else type(se.game(id))


def methods() -> Table:
    """All solvers, those that may know most first: name, access and what it does."""
    import solvers
    from solvers.registry import REGISTRY

    rows = []
    for name in solvers.names():
        try:
            solver = solvers.build(name)
            access = (solver.access, access_words(solver.access, solver.permissions))
            about = (solvers.solver_class(name).__doc__ or "").partition("\n")[0]
        except (ReferenceNotFoundError, TypeError) as error:
            access, about = (-1, ""), f"cannot be listed: {error}"
        brief = re.sub(r" \([^)]*\b[A-Z]{4,}\b.*", ".", about.partition(";")[0]).rstrip(".") + "."  # the access stands beside it
        rows.append((access, name, brief + bringer(REGISTRY, name)))
    rows = sorted(rows, key=lambda row: -row[0][0])
    return listing("Solvers", [(name, words, about) for (_, words), name, about in rows])


def history(rows: tuple[dict[str, Any], ...]) -> Table:
    """At most ten of a solution's history rows, evenly spread."""
    claimed = any("optimism_gap" in row for row in rows)  # by solvers with followers of their own
    header = ("iteration", "commitments", "F(x)", "per context", "follower gap", "|gradient|", *(("optimism",) if claimed else ()))
    cells = []
    for row in [rows[i] for i in sorted({round(i * (len(rows) - 1) / 9) for i in range(10)})]:
        contexts = "  ".join(f"{value:.4f}" for value in row["per_context"])
        gradient = f"{row['gradient_norm']:.2e}" if "gradient_norm" in row else "-"
        gap = "-" if row["follower_gap"] is None else f"{row['follower_gap']:.1e}"  # not known where commitments are scored by playing
        optimism = (f"{row['optimism_gap']:+.4f}" if "optimism_gap" in row else "-",) if claimed else ()
        cells.append((str(row["iteration"]), str(row["commitments"]), f"{row['leader_return']:.5f}", contexts, gap, gradient, *optimism))
    last = (4, 5, 6) if claimed else (4, 5)
    return fitting_table(header, cells, ((0, 1), (2,), (3,), last), width=console.width, left=(3,))


def draw(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower) -> None:
    """What the leader learned: its instruments, or where it has none its commitment, and frames with the followers' likeliest paths.

    There is a frame a context, if there is something to draw: a map, or a leader that acts.
    """
    from stackelberg_envs.drawing import Frame, ansi

    from .visits import likeliest_paths

    evaluation = se.evaluate(game, x, follower=follower)
    drawn = game.layout is not None or any(lead is not None for _, lead, _ in game.spaces)
    chosen = game.instruments(x) if game.instruments is not None else {} if drawn else {"x": x}
    for name, values in chosen.items():
        said = np.array2string(np.asarray(values), precision=3, max_line_width=max(20, console.width - len(name) - 2))
        console.print(f"{name}: {said}", markup=False, highlight=False, soft_wrap=True)
    if not drawn and game.tabular:
        _print_actions(game, x, evaluation)
        return
    for context in range(len(game.contexts)):
        here = game.for_context(x, context)
        problems, policies = game.problems(here, context), evaluation.responses[context].policies
        paths = tuple(tuple(path) for path in likeliest_paths(problems, policies, game.max_cycles))
        console.print(ansi(Frame(game, here, context, paths, len(paths[0]) - 1)), markup=False, highlight=False)


def _print_actions(game: se.StackelbergGame, x: np.ndarray, evaluation: se.Evaluation) -> None:
    """How often followers take each of their actions, or, if these are many, the ones that they take most often."""
    from .visits import action_shares

    for name, share in action_shares(game, x, evaluation).items():
        often = sorted(range(len(share)), key=lambda b: -share[b])[:6]
        said = ", ".join(f"{b}: {share[b]:.1%}" for b in (often if len(share) > 6 else range(len(share))))
        console.print(f"{name}, share of steps by action: {said}", markup=False, highlight=False)
