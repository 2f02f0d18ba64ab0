"""What followers do about a commitment, for the pictures: their paths, how often they take each action, their policy, or an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

import stackelberg_envs as se
from stackelberg_envs.evaluation import Evaluation
from stackelberg_envs.game import group_by_world
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.processes.mdp import joint_policy
from stackelberg_envs.worlds.mdp import InducedMDP
from stackelberg_envs.worlds.sampled import SampledProcess

from .palette import DASHES, INK, plain_text, style

SERIES = 4
"""How many lines or groups of bars one panel shows."""
RESTLESS = 40
"""A state that goes up and down so often that an episode would be a block of colour is shown for so many steps."""
ROWS, COLUMNS = 12, 12
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


def decides(world: Any) -> np.ndarray:
    """In which states of a world with one follower and tables its action makes a difference, to what it earns or to what comes, (S,)."""
    ahead = np.asarray(world.kernel.expect(np.random.default_rng(0).random(world.sizes[0])))  # equal by chance for no two rows that differ
    differs = [np.ptp(table, axis=-1).max(axis=-1) > 0 for table in (ahead, np.asarray(world.follower_reward))]
    return differs[0] | differs[1]


def visits(world: Any, policies: Sequence[Any], steps: int) -> np.ndarray:
    """Expected number of visits to each state of a world with tables in so many steps, (S,)."""
    mdp = world.joint
    chain = mdp.kernel.markov_chain(joint_policy(mdp, world.product([np.asarray(policy) for policy in policies])))
    weight, total = np.asarray(mdp.initial, dtype=np.float64), np.zeros(len(mdp.initial))
    for _ in range(steps):
        total += weight
        weight = np.asarray(chain.push_forward(weight))
    return total


def action_shares(game: se.StackelbergGame, x: np.ndarray, evaluation: Evaluation) -> dict[str, np.ndarray]:
    """How often each follower takes each of its actions in an episode, as shares, by follower and context.

    Where these are too many for a picture, contexts are averaged by their probabilities.
    """
    shares: dict[tuple[int, int], np.ndarray] = {}
    for context in range(len(game.contexts)):
        worlds, policies = game.problems(game.for_context(x, context), context), evaluation.responses[context].policies
        follower = 0
        for world, group in zip(worlds, group_by_world(worlds, policies), strict=True):
            weight = visits(world, group, game.max_cycles)[:, None] * np.asarray(world.leader_policy)
            for policy in group:
                count = np.einsum("sa,sab->b", weight, np.asarray(policy))
                shares[follower, context] = count / count.sum()
                follower += 1
    names = [f"follower {i}" for i in range(game.followers)] if game.followers > 1 else ["follower"]
    if len(shares) > SERIES:
        mean = {i: sum(p * shares[i, c] for c, p in enumerate(game.context_probabilities)) for i in range(game.followers)}
        return {f"{names[i]}, mean of {len(game.contexts)} contexts": np.asarray(mean[i]) for i in range(min(SERIES, game.followers))}
    several = len(game.contexts) > 1
    return {f"{names[i]}, {game.contexts[c]}" if several else names[i]: share for (i, c), share in shares.items()}


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
