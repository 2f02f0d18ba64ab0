"""What leaders learned in games over the periods of a day, as pictures: what the leader set, and the amounts that followers move."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

import stackelberg_envs as se
from stackelberg_envs.evaluation import Evaluation
from stackelberg_envs.optional import Profile

from .palette import COLOURS, DASHES, INK, plain_text

MOST_TICKS = 8


def profiles(game: se.StackelbergGame, shown: dict[str, np.ndarray], scored: dict[str, Evaluation]) -> Figure:
    """One picture a leader; all have the same scales."""
    drawn = {label: game.profile(x, [response.policies for response in scored[label].responses]) for label, x in shown.items()}
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.9 * columns, 3.1 * rows + 0.5), layout=ConstrainedLayoutEngine())
    amount = max(float(np.max(values)) for profile in drawn.values() for values in profile.amounts.values())
    low, high = (float(end([end(profile.instrument) for profile in drawn.values()])) for end in (np.min, np.max))
    room = 0.08 * ((high - low) or 1.0)
    for number, (label, profile) in enumerate(drawn.items()):
        axis = figure.add_subplot(rows, columns, number + 1)
        beside = _draw(axis, profile)
        axis.set_ylim(0, 1.12 * amount)
        beside.set_ylim(min(0.0, low - room) if low >= 0 else low - room, high + room)
        axis.set_title(f"{plain_text(label, 48)}\nF = {float(scored[label].leader_return):.3f}; {profile.note}", fontsize=9, loc="left")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=len(labels), fontsize=9, frameon=False)
    return figure


def _draw(axis: Axes, profile: Profile) -> Axes:
    """The amounts, and on an axis of its own the instrument, which is returned."""
    edges = np.arange(len(profile.periods) + 1)
    for i, (name, values) in enumerate(profile.amounts.items()):
        if i == 0:
            axis.bar(edges[:-1], values, width=1.0, align="edge", color=COLOURS[0], alpha=0.35, label=name)
        else:
            axis.plot(edges, _to_the_end(values), drawstyle="steps-post", color=INK, ls=DASHES[i], lw=1.4, label=name)
    beside = axis.twinx()
    beside.plot(edges, _to_the_end(profile.instrument), drawstyle="steps-post", color=COLOURS[1], lw=2.0)
    axis.plot([], [], color=COLOURS[1], lw=2.0, label=profile.instrument_name)  # for the legend, which is that of one axis
    every = max(1, -(-len(profile.periods) // MOST_TICKS))
    axis.set_xticks(edges[:-1:every], profile.periods[::every], fontsize=8)
    axis.set_ylabel(profile.amount_name, fontsize=9)
    beside.set_ylabel(profile.instrument_name, color=COLOURS[1], fontsize=9)
    axis.margins(x=0)
    for each in (axis, beside):
        each.spines["top"].set_visible(False)
        each.tick_params(labelsize=8)
    return beside


def _to_the_end(values: np.ndarray) -> np.ndarray:
    """Values of periods as those at their beginnings, and the last once more at its end."""
    return np.append(values, values[-1:])
