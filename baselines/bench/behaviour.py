"""Pictures of what followers do about a commitment: how often they take each action, their policy, or an episode."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

import stackelberg_envs as se
from stackelberg_envs.evaluation import Evaluation
from stackelberg_envs.game import group_by_world
from stackelberg_envs.processes.mdp import joint_policy

from .palette import DASHES, INK, plain_text, style
from .visits import SERIES, action_shares, decides, likeliest_paths, visits

RESTLESS = 40
"""A state that goes up and down so often that an episode would be a block of colour is shown for so many steps."""
ROWS, COLUMNS = 12, 15
"""The largest table, and the most bars, that one panel shows."""


def draw_behaviour(axis: Axes, game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation) -> None:
    """What the followers do: states of one episode where states are vectors, else a policy, shares of actions, or visits to states."""
    if not game.tabular:
        _episode(axis, game, x, evaluation)
    elif len(game.contexts) == game.followers == 1 and 1 < game.sizes[0][0] <= ROWS and game.sizes[0][2] <= ROWS:
        (world,), (policy,) = game.problems(game.for_context(x, 0)), evaluation.responses[0].policies
        table = joint_policy(world, np.asarray(policy)).sum(axis=-2)
        draw_table(axis, np.where(decides(world)[:, None], table, np.nan), "follower's action")
    elif max(b for _, _, b in game.sizes) <= COLUMNS:
        _bars(axis, game, x, evaluation)
    else:
        _visits(axis, game, x, evaluation)


def draw_table(axis: Axes, policy: np.ndarray, columns: str) -> None:
    """P(action | state), (S, B), as a table: with numbers if they are few, else with a scale of colours; NaN is left empty."""
    image = axis.imshow(policy, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if policy.size <= 40:
        for (s, b), p in np.ndenumerate(policy):
            said = "-" if np.isnan(p) else f"{p:.2f}"
            axis.text(b, s, said, ha="center", va="center", fontsize=9, color="#fefefe" if p > 0.6 else INK)
    elif axis.figure is not None:
        axis.figure.colorbar(image, ax=axis, label="probability")
    label_table(axis, policy.shape, columns)


def label_table(axis: Axes, shape: tuple[int, ...], columns: str) -> None:
    """Names and integer ticks of a table of states and ``columns``, at most ten each way."""
    rows, count = shape
    axis.set_yticks(range(0, rows, -(-rows // 10)))
    axis.set_xticks(range(0, count, -(-count // 10)))
    axis.set_xlabel(columns)
    axis.set_ylabel("state")


def _bars(axis: Axes, game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation) -> None:
    """Shares of actions, a group of bars an action."""
    shares = action_shares(game, x, evaluation)
    width = 0.8 / len(shares)
    for i, (name, share) in enumerate(shares.items()):
        place = np.arange(len(share)) + (i - (len(shares) - 1) / 2) * width
        axis.bar(
            place, share, width, color=style(i)["color"], label=plain_text(name), hatch=("", "///", "...", "xxx")[i], ec="#fefefe", lw=0
        )
    axis.set_ylim(0, 1)
    axis.xaxis.set_major_locator(MaxNLocator(COLUMNS, integer=True))
    axis.set_xlabel("follower's action")
    axis.set_ylabel("share of steps")
    if len(shares) > 1 or len(game.contexts) > 1:
        legend_above(axis)


def _visits(axis: Axes, game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation) -> None:
    """Share of steps in each state, a line a context, of the first follower's world; for followers with too many actions for bars."""
    for context, name in list(enumerate(game.contexts))[:SERIES]:
        worlds, policies = game.problems(game.for_context(x, context), context), evaluation.responses[context].policies
        count = visits(worlds[0], group_by_world(worlds, policies)[0], game.max_cycles)
        axis.plot(count / count.sum(), color=style(context)["color"], ls=DASHES[context % len(DASHES)], label=plain_text(name))
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_xlabel("state")
    axis.set_ylabel("share of steps")
    if len(game.contexts) > 1:
        legend_above(axis)


def _episode(axis: Axes, game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation) -> None:
    """The states of one episode, a line a component, or of one component a line a context."""
    courses: dict[str, np.ndarray] = {}
    for context, name in enumerate(game.contexts):
        worlds, policies = game.problems(game.for_context(x, context), context), evaluation.responses[context].policies
        path = np.array(likeliest_paths(worlds, policies, game.max_cycles)[0])
        for i, course in enumerate(path.T):
            courses[f"{name}, state[{i}]" if len(game.contexts) > 1 else f"state[{i}]"] = course
    drawn = dict(list(courses.items())[: 2 * SERIES])
    restless = any(np.abs(np.diff(course)).sum() > RESTLESS * np.ptp(course) for course in drawn.values())
    for i, (name, course) in enumerate(drawn.items()):
        line = {"color": style(i)["color"], "ls": DASHES[i % len(DASHES)], "lw": max(1.2, 2.4 - 0.4 * i)}  # one on another shows both
        axis.plot(course[: RESTLESS + 1] if restless else course, **line, label=plain_text(name))
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_xlabel("step of one episode")
    axis.set_ylabel("state")
    legend_above(axis)


def legend_above(axis: Axes) -> None:
    """A legend that lies on nothing: above the panel, in one or two rows."""
    columns = min(4, len(axis.get_legend_handles_labels()[1]))
    narrow = {"frameon": False, "borderpad": 0, "handlelength": 1.6, "columnspacing": 1}
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncol=columns, fontsize=8, **narrow)
