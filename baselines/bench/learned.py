"""What leaders learned, as pictures: the commitment, and beside it or on it what the followers do."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

import stackelberg_envs as se
from solvers import Score
from stackelberg_envs.drawing import MARK_NAMES
from stackelberg_envs.evaluation import Evaluation

from .behaviour import ROWS, draw_behaviour, draw_table, label_table, legend_above
from .graphs import graphs, uniform_policies
from .palette import COLOURS, DASHES, INK, plain_text
from .profiles import profiles
from .visits import likeliest_paths

FOUR_ROOMS_TOP = 0.15
"""The end of the colour scale where no shading exceeds the budget of Four Rooms, 0.2: all figures of it then have one scale."""
PATHS = (COLOURS[0], COLOURS[1], COLOURS[5], COLOURS[4])
"""Colours of paths, which are seen on white and on red."""


def learned_figure(
    game: se.StackelbergGame, shown: dict[str, np.ndarray], follower: se.Follower | None, score: Score | None = None
) -> Figure:
    """What each leader learned, and what the followers do about it.

    With a map it is one map a leader, shaded by the commitment, with the likeliest paths of the followers.  Without one it is a row a
    leader: its policy as a table, its instruments, or the components of its commitment on the left, and the followers on the right.  A
    game with a graph is drawn as the graph, and one with a profile over periods as that, one a leader.

    Args:
        game: in which commitments are shown and scored.
        shown: commitments, by the title of their picture.
        follower: who answers; the game's own if None.
        score: what the score in a title counts; infinitely many steps if None.
    """
    scored = {label: (score or Score()).of(game, x, follower) for label, x in shown.items()}
    if game.graph is not None:
        return graphs(game, shown, scored)
    if game.profile is not None:
        return profiles(game, shown, scored)
    return _maps(game, shown, scored) if game.layout is not None and game.shading is not None else _rows(game, shown, scored)


def shows_policy(game: se.StackelbergGame) -> bool:
    """Whether what the leader learned is drawn as its policy: it acts, and neither a map nor instruments say more."""
    acts = any(spaces.lead is not None for spaces in game.spaces)
    return game.layout is None and game.tabular and game.instruments is None and acts and game.sizes[0][0] <= 5 * ROWS


def caption(game: se.StackelbergGame) -> str:
    """What `learned_figure` shows of a game, in a sentence or two."""
    if game.layout is not None and game.shading is not None:
        marks = {mark for context in range(len(game.contexts)) for mark in (game.marks(context) if game.marks else {}).values()}
        meanings = [f"{mark} is {said}" for mark, said in MARK_NAMES.items() if mark in marks]
        legend = f" {', '.join(meanings)}." if meanings else ""
        return f"Shades of red: {shading_name(game)}. Lines are the likeliest paths of the followers' response.{legend}"
    if game.graph is not None:
        graph = game.graph(np.zeros(game.commitment_shape), 0, uniform_policies(game))
        return f"Colours: {graph.load_name}. Numbers: {graph.label_name}. Traffic keeps to the right of the line between two places."
    if game.profile is not None:
        return "Lines in steps: what the leader set in each period. Areas: what the followers then do."
    left = "the leader's policy" if shows_policy(game) else "what the leader set"
    return f"On the left {left}, on the right what the followers do about it; a dash is a state in which they have nothing to decide."


def result_line(game: se.StackelbergGame, evaluation: Evaluation) -> str:
    """The score, and what it is in each context, if these are few."""
    said = f"F = {float(evaluation.leader_return):.3f}"
    if len(game.contexts) == 1:
        return said
    each = [f"{name} {value:.2f}" for name, value in zip(game.contexts, evaluation.per_context, strict=True)]
    if sum(map(len, each)) > 28:
        return f"{said}, {float(min(evaluation.per_context)):.2f} to {float(max(evaluation.per_context)):.2f} in {len(each)} contexts"
    return f"{said} ({', '.join(each)})"


def _rows(game: se.StackelbergGame, shown: dict[str, np.ndarray], scored: dict[str, Evaluation]) -> Figure:
    figure = Figure(figsize=(8.6, 2.6 * len(shown)))
    panels = figure.subplots(len(shown), 2, squeeze=False)
    for row, (label, x) in zip(panels, shown.items(), strict=True):
        _commitment(row[0], game, x)
        draw_behaviour(row[1], game, x, scored[label])
        for axis, title in zip(row, (plain_text(label, 40), plain_text(result_line(game, scored[label]), 48)), strict=True):
            axis.set_title(title, fontsize=10, loc="left", pad=6 if axis.get_legend() is None else 20)
            axis.tick_params(labelsize=9)
    if game.instruments is not None:
        low, high = zip(*(axis.get_ylim() for axis in panels[:, 0]), strict=True)
        for axis in panels[:, 0]:
            axis.set_ylim(min(low), max(high))
    figure.tight_layout(h_pad=1.2, w_pad=2.0)
    return figure


def _commitment(axis: Axes, game: se.StackelbergGame, x: np.ndarray) -> None:
    """The leader's policy, its incentives as a table of states and actions, its instruments, or the components of its commitment."""
    if shows_policy(game):
        draw_table(axis, np.asarray(game.problems(game.for_context(x, 0))[0].leader_policy), "leader's action")
        return
    table = None if game.instruments is not None or game.incentive is None or x.ndim > 1 else game.incentive(x)
    table = np.asarray(table[0] if isinstance(table, tuple) else table)
    if table.ndim == 3 and table.shape[1] == 1 and table.shape[0] <= ROWS and table.shape[2] <= ROWS and len(table) > 1:
        _incentives(axis, table[:, 0])
    else:
        _bars(axis, {"commitment x": x} if game.instruments is None else game.instruments(x))


def _incentives(axis: Axes, table: np.ndarray) -> None:
    """What the first follower is paid in each state for each joint action, (S, B)."""
    image = axis.imshow(table, cmap="Reds", vmin=min(0.0, float(table.min())), aspect="auto")
    assert axis.figure is not None
    axis.figure.colorbar(image, ax=axis, label="paid to follower 0")
    label_table(axis, table.shape, "followers' joint action")


def _bars(axis: Axes, chosen: Any) -> None:
    """What the leader chose, as bars: under their names where each is one number, else numbered, a colour a name."""
    values = {name: np.asarray(value, dtype=np.float64).ravel() for name, value in chosen.items()}
    ticks, labels, start = [], [], 0
    for i, (name, heights) in enumerate(values.items()):
        places = np.arange(start, start + len(heights))
        drawn = axis.bar(places, heights, color=COLOURS[i % len(COLOURS)], label=plain_text(name))
        if sum(map(len, values.values())) <= 8:
            axis.bar_label(drawn, _short(heights), fontsize=8, padding=1)
        every = max(1, -(-len(heights) // 10))
        ticks += list(places[::every])
        labels += [plain_text(name, 12)] if len(heights) == 1 and len(values) > 1 else [str(k) for k in range(0, len(heights), every)]
        start += len(heights) + (1 if len(heights) > 1 else 0)
    axis.set_xticks(ticks, labels)
    axis.axhline(0, color="black", lw=0.8)
    axis.margins(y=0.15)
    axis.spines[["top", "right"]].set_visible(False)
    if len(values) == 1:
        axis.set_ylabel(plain_text(next(iter(values)), 24))
    elif any(len(heights) > 1 for heights in values.values()):
        legend_above(axis)


def _short(values: np.ndarray) -> list[str]:
    """Numbers with three digits of the largest of them."""
    largest = float(np.abs(values).max())
    digits = 3 if largest == 0 else 2 - int(np.floor(np.log10(largest)))
    return [f"{np.round(value, digits) + 0.0:.6g}" for value in values]


def shading_name(game: se.StackelbergGame) -> str:
    """What the shading of the map is: the first sentence of its docstring, without shapes."""
    said = (inspect.getdoc(game.shading) or "The leader's shading.").partition("\n")[0]
    return said.partition(", in [")[0].partition(", shape")[0].partition(", (...")[0].removeprefix("The ").rstrip(".")


def _maps(game: se.StackelbergGame, shown: dict[str, np.ndarray], scored: dict[str, Evaluation]) -> Figure:
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.3 * columns + 0.9, 4.0 * rows), layout=ConstrainedLayoutEngine(h_pad=0.12))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axis in panels.flat[len(shown) :]:
        axis.axis("off")
    top = max(float(np.abs(np.asarray(game.shading(game.for_context(x, 0)))).max()) for x in shown.values())
    top = FOUR_ROOMS_TOP if top <= 0.2 else top
    image: Any = None
    for axis, (label, x) in zip(panels.flat, shown.items(), strict=False):
        image = _map(axis, game, x, scored[label], top)
        axis.set_title(plain_text(label, 34), fontsize=10)
        axis.set_xlabel(plain_text(result_line(game, scored[label]), 44), fontsize=9)
    figure.colorbar(image, ax=panels.ravel().tolist(), shrink=0.6, label=plain_text(shading_name(game), 36), pad=0.02)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncol=2 if max(map(len, labels)) < 40 else 1, fontsize=10, frameon=False)
    return figure


def _map(axis: Axes, game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation, top: float) -> Any:
    layout, contexts = game.layout, game.contexts
    assert layout is not None
    shade = np.full((len(layout.map), len(layout.map[0])), np.nan)
    for cell, value in zip(layout.cells, np.abs(np.asarray(game.shading(game.for_context(x, 0)))), strict=True):
        shade[cell] = value
    axis.set_facecolor("#2b2f36")
    image = axis.imshow(np.ma.masked_invalid(shade), cmap="Reds", vmin=0, vmax=top)
    few = len(contexts) * game.followers <= len(PATHS)
    for context, name in enumerate(contexts):
        paths = likeliest_paths(game.problems(game.for_context(x, context), context), evaluation.responses[context].policies)
        for i, path in enumerate(paths):
            number = context * len(paths) + i
            aside = 0.4 * ((number + 0.5) / (len(contexts) * len(paths)) - 0.5)  # so that paths lie beside each other
            cells = np.array([layout.place(i, s) for s in path], dtype=float) + aside
            whose = ([f"follower {i}"] if len(paths) > 1 else []) + ([name] if len(contexts) > 1 else [])
            one, many = f"likeliest path: {', '.join(whose) or 'follower'}", f"likeliest paths in {len(contexts)} contexts"
            axis.plot(
                cells[:, 1],
                cells[:, 0],
                color=PATHS[number if few else 0],
                ls=DASHES[number if few else 0],
                lw=1.8 if few else 1.0,
                path_effects=[withStroke(linewidth=3.6 if few else 2.0, foreground="#fefefe")],
                label=plain_text(one if few else many) if few or number == 0 else None,
            )
        for (row, column), mark in (game.marks(context) if game.marks else {}).items():
            said = name if mark == "G" and len(name) <= 4 else mark
            halo = [withStroke(linewidth=2.5, foreground="#fefefe")]
            axis.text(column, row, plain_text(said), ha="center", va="center", fontsize=9, weight="bold", color=INK, path_effects=halo)
    axis.set_xticks([])
    axis.set_yticks([])
    return image
