"""Writes every page, the two tables, and the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import stackelberg_envs as se
from baselines.bench import figures
from solvers import SOLVERS
from stackelberg_envs.registry import GAMES

from . import game_page, solver_page
from .markdown import table, write

GAME_SECTIONS = ("Picture", "Story and equations", "What it declares", "Spaces", "Known values", "Scores", "Solvers", "Examples", "Code")
"""What every page of a game has."""
SOLVER_SECTIONS = ("Formula and algorithm", "Access", "Assumptions", "Games", "Won and lost", "Hyperparameters", "Code")
"""What every page of a solver has."""
GAMES_HEADER = ("game", "what it is", "n", "followers", "contexts", "states", "solvers")
SOLVERS_HEADER = ("solver", "what it is", "access", "games")


def write_pages(reference: Path, *, pictures: bool = True) -> None:
    """Write the pages into ``reference/games`` and ``reference/solvers``; files that would not change are left alone.

    Args:
        reference: the folder docs/reference, or another one.
        pictures: whether to draw the games, too.
    """
    for id in GAMES:
        name = id.rpartition("-v")[0]
        write(reference / "games" / f"{name}.md", game_page.page(id))
        if pictures:
            write(reference / "games" / f"{name}.svg", picture(id))
    for name in SOLVERS:
        write(reference / "solvers" / f"{name}.md", solver_page.page(name))
    write(reference / "games" / "_table.md", table(GAMES_HEADER, map(game_page.summary, GAMES)))
    write(reference / "solvers" / "_table.md", table(SOLVERS_HEADER, map(solver_page.summary, SOLVERS)))


def picture(id: str) -> str:
    """What the leader commits to, as SVG: nothing, and the best commitment that is stored."""
    records = game_page.stored(id)
    game = records[0].world.game() if records else se.game(id)
    follower = records[0].world.answerer() if records else None
    shown = {"null commitment": np.zeros(game.commitment_shape)}
    if records:
        shown["best known"] = np.array(records[0].x)
    return figures.svg(figures.learned_figure(game, shown, follower))
