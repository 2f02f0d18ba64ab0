"""Figures of the report, as inline SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

import stackelberg_envs as se
from solvers import Score
from stackelberg_envs.game import group_by_world
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.worlds.mdp import InducedMDP
from stackelberg_envs.worlds.sampled import SampledProcess

from .stats import curve

COLOURS = ("#1f6ebe", "#c8452c", "#148c50", "#9650b4", "#d28c14", "#3aa6a6", "#7a7a7a")
AXES = {"commitments": "commitments", "outcome_steps": "outcome steps", "seconds": "solver seconds"}


def style(i: int) -> dict[str, str]:
    """Colour and dashes of the i-th line of a figure; as many are told apart as anybody will want to see."""
    return {"color": COLOURS[i % len(COLOURS)], "ls": ("-", "--", ":")[i // len(COLOURS) % 3]}


def plain_text(label: str) -> str:
    """A label that matplotlib draws as it is: a dollar begins no formula, and one that begins with "_" is in the legend too."""
    return f"{' ' if label.startswith('_') else ''}{label}".replace("$", r"\$")


def svg(figure: Figure) -> str:
    """The figure as SVG text, the same for the same figure."""
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "stackelberg-envs"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


def data_uri(text: str) -> str:
    """SVG text as the source of an ``<img>``."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def curves(
    groups: dict[str, list[dict[str, Any]]], best: float | None, published: list[dict[str, Any]], best_name: str = "best known"
) -> Figure:
    """F against commitments, outcome steps (where anybody used some) and wall time: interquartile mean and bootstrap band over seeds."""
    sampled = any(result["cost"]["outcome_steps"] for results in groups.values() for result in results)
    quantities = [quantity for quantity in AXES if quantity != "outcome_steps" or sampled]
    figure = Figure(figsize=(5.5 * len(quantities), 3.8))
    panels = figure.subplots(1, len(quantities), sharey=True)
    for axis, quantity in zip(panels, quantities, strict=True):
        for i, (label, results) in enumerate(groups.items()):
            line = style(i)
            if quantity == "outcome_steps" and not all(result["cost"][quantity] for result in results):
                continue
            grid, middle, low, high = curve([_axis_values(result, quantity) for result in results], [_scores(result) for result in results])
            axis.plot(grid, middle, **line, label=plain_text(label), lw=1.8)
            axis.fill_between(grid, low, high, color=line["color"], alpha=0.18, lw=0)
        if best is not None:
            axis.axhline(best, color="black", lw=1, ls="--", label=f"{best_name}, {best:.3f}")
        for i, entry in enumerate(published):
            label = plain_text(f"published {entry['label']}, {entry['value']:.2f}")
            axis.axhline(entry["value"], color="#888888", lw=0.9, ls=(0, (1, 1 + i)), label=label)
        axis.set_xlabel(AXES[quantity])
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("F(x), scored by the referee")
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8)
    return figure


def _axis_values(result: dict[str, Any], quantity: str) -> np.ndarray:
    return np.array(result["timing"]["history"] if quantity == "seconds" else [row[quantity] for row in result["history"]], dtype=float)


def _scores(result: dict[str, Any]) -> np.ndarray:
    return np.array([row["leader_return"] for row in result["history"]])


def learned_figure(
    game: se.StackelbergGame, shown: dict[str, np.ndarray], follower: se.Follower | None, score: Score | None = None
) -> Figure:
    """What each solver's leader learned: a map with penalties and likeliest paths, its instruments, or its policy as a table."""
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    on_map = game.layout is not None
    figure = Figure(figsize=(3.7 * columns, (3.9 if on_map else 1.9) * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axis in panels.flat[len(shown) :]:
        axis.axis("off")
    image: Any = None
    top = max((float(np.abs(np.asarray(game.shading(x))).max()) for x in shown.values()), default=0.0) if on_map else 1.0
    top = 0.15 if top <= 0.2 else top  # penalties of Four Rooms, whose budget is 0.2, have one scale in all figures
    for axis, (label, x) in zip(panels.flat, shown.items(), strict=False):
        if on_map:
            image = _map(axis, game, x, follower, score or Score(), top)
        elif shows_policy(game):
            image = _policy(axis, game, x)
        else:
            _instruments(axis, game, x)
        axis.set_title(plain_text(label), fontsize=9)
    figure.tight_layout()
    if image is not None:
        figure.colorbar(
            image,
            ax=panels.ravel().tolist(),
            shrink=0.6,
            label=("penalty" if top == 0.15 else "bonus") if on_map else "P(leader's action)",
            pad=0.02,
        )
    return figure


def shows_policy(game: se.StackelbergGame) -> bool:
    """Whether what the leader learned is drawn as its policy: it acts, and neither a map nor instruments say more."""
    acts = any(spaces.lead is not None for spaces in game.spaces)
    return game.layout is None and game.tabular and game.instruments is None and acts


def _map(axis: Axes, game: se.StackelbergGame, x: np.ndarray, follower: se.Follower | None, score: Score, top: float) -> Any:
    layout = game.layout
    assert layout is not None
    assert game.shading is not None
    height, width = len(layout.map), len(layout.map[0])
    shade = np.full((height, width), np.nan)
    for cell, value in zip(layout.cells, np.abs(np.asarray(game.shading(x))), strict=True):
        shade[cell] = value
    axis.set_facecolor("#2b2f36")
    image = axis.imshow(np.ma.masked_invalid(shade), cmap="Reds", vmin=0, vmax=top)
    evaluation = score.of(game, x, follower)
    for context, name in enumerate(game.contexts):
        for i, path in enumerate(likeliest_paths(game.problems(x, context), evaluation.responses[context].policies)):
            cells = np.array([layout.place(i, s) for s in path], dtype=float) + (0.12 * (context - (len(game.contexts) - 1) / 2))
            axis.plot(
                cells[:, 1],
                cells[:, 0],
                color=COLOURS[(0, 2)[context % 2]],
                lw=1.8,
                label=plain_text(f"likeliest path to {name}") if i == 0 else None,
            )
        for (row, col), mark in (game.marks(context) if game.marks else {}).items():
            axis.text(col, row, plain_text(mark if mark != "G" else name), ha="center", va="center", fontsize=7, weight="bold")
    axis.set_xticks([])
    axis.set_yticks([])
    per_context = "  ".join(f"{name} {value:.2f}" for name, value in zip(game.contexts, evaluation.per_context, strict=True))
    axis.set_xlabel(plain_text(f"F = {float(evaluation.leader_return):.3f}   ({per_context})"), fontsize=8)
    return image


def likeliest_paths(problems: Sequence[Any], policies: Sequence[Any], steps: int = 100) -> list[list[Any]]:
    """Of each follower, the states visited when everybody always does the likeliest thing; those who interact share them.

    Where states are vectors, it is the course of one episode of so many ``steps``, always with the same noise.
    """
    paths = []
    for process, group in zip(problems, group_by_world(problems, policies), strict=True):
        if isinstance(process, SampledProcess):
            rng = np.random.default_rng(0)
            played = play_sampled(process, group[0], process.start(rng.random((1, process.noise.start))), rng, steps)
            paths.append([played.states[0, 0], *played.states[0, 1:][played.alive[0]]])
            continue
        path = _likeliest_path(process.joint, process.product([np.asarray(policy) for policy in group]))
        paths += [path] * len(group)
    return paths


def _likeliest_path(mdp: InducedMDP, policy: np.ndarray, limit: int = 80) -> list[int]:
    """One path, until the end or the first repetition."""
    s = int(np.argmax(mdp.initial))
    path = [s]
    for _ in range(limit):
        a = int(np.argmax(mdp.leader_policy[s]))
        row = mdp.transition[s, a, int(np.argmax(policy[s, a]))]
        s = int(np.argmax(row))
        if row.sum() < 0.5 or s in path:
            break
        path.append(s)
    return path


def _instruments(axis: Axes, game: se.StackelbergGame, x: np.ndarray) -> None:
    """What the leader chose, as bars: its instruments in their units or, where the game names none, the components of the commitment."""
    chosen = {"x": x} if game.instruments is None else game.instruments(x)
    start = 0
    for i, (name, values) in enumerate(chosen.items()):
        heights = np.atleast_1d(values)
        axis.bar(np.arange(start, start + len(heights)), heights, color=COLOURS[i % len(COLOURS)], label=plain_text(name))
        start += len(heights) + 1
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, frameon=False)


def _policy(axis: Axes, game: se.StackelbergGame, x: np.ndarray) -> Any:
    policy = np.asarray(game.problems(x)[0].leader_policy)
    image = axis.imshow(policy, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if policy.size <= 30:
        for (s, a), p in np.ndenumerate(policy):
            axis.text(a, s, f"{p:.2f}", ha="center", va="center", fontsize=8, color="white" if p > 0.6 else "black")
    axis.set_xticks(range(policy.shape[1]))
    axis.set_yticks(range(policy.shape[0]))
    axis.set_ylabel("state", fontsize=8)
    axis.set_xlabel("leader's action", fontsize=8)
    return image
