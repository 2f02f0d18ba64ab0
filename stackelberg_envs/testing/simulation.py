"""Do the operations and episodes of a world follow its tables?  Planners read the ones, players the others.

Worlds and transitions may be an author's own, with operations of their own.  Two published implementations of Four Rooms step with
another slip than they plan with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..game import StackelbergGame
from ..play.trajectories import Trajectories
from ..processes.transitions import DenseTransition
from .report import require

EPISODES, STEPS = 64, 20
"""How many episodes of how many steps are played in a world."""
DRAWS = 1000
"""Steps at most whose next states are compared with their rows, and single steps that are taken; fewer where rows are long."""
LARGEST = 10**6
"""Numbers of a dense transition with which another layout is compared."""
TOLERANCE = 1e-9
IMPOSSIBLE = 1e-12
UNLIKELY = math.log(2e7)
"""Minus the logarithm of a chance of 1e-7, for a deviation to either side."""


def check_layouts(game: StackelbergGame, points: np.ndarray) -> str | None:
    """Each operation of a transition that is no array gives what its dense rows give."""
    rng, compared, large = np.random.default_rng(0), 0, 0
    for context in game.contexts:
        for world in game.problems(points[-1], context):
            if type(world.kernel) is DenseTransition:
                continue
            if np.prod(world.kernel.shape, dtype=np.float64) > LARGEST:
                large += 1
                continue
            compared += 1
            _compare_operations(world, rng)
    if compared:
        return None
    return "transitions are too large to be written as arrays" if large else "transitions are arrays"


def _compare_operations(world: Any, rng: np.random.Generator) -> None:
    kernel, dense = world.kernel, DenseTransition(np.asarray(world.kernel.dense()))
    s, a, b = world.sizes
    values, weights, joint = rng.normal(size=s), rng.random((s, a, b)), rng.dirichlet(np.ones(a * b), size=s).reshape(s, a, b)
    for name, operate in (
        ("expect", lambda one: one.expect(values)),
        ("push_forward", lambda one: one.push_forward(weights)),
        ("markov_chain", lambda one: one.markov_chain(joint).expect(values)),
        ("mean_over_leader", lambda one: one.mean_over_leader(np.asarray(world.leader_policy)).expect(values)),
        ("average_actions", lambda one: one.average_actions().expect(values)),
        ("row_sums", lambda one: np.unique(np.round(one.row_sums(), 9))),  # as many as are stored
    ):
        got, due = np.asarray(operate(kernel)), np.asarray(operate(dense))
        same = got.shape == due.shape and np.allclose(got, due, atol=TOLERANCE, rtol=TOLERANCE)
        require(same, f"{type(kernel).__name__}.{name} is not that of its own rows, dense()")
    for node in zip(*(rng.integers(size, size=20).tolist() for size in (s, a, b)), strict=True):
        same = np.allclose(np.asarray(kernel[node]), dense.table[node], atol=TOLERANCE, rtol=0)
        require(same, f"row {node} of {type(kernel).__name__} is not that of dense()")


def check_episodes(game: StackelbergGame, points: np.ndarray) -> None:
    """Batches of episodes and single steps start, move, pay and end as the tables say, and nobody does what is not available."""
    rng = np.random.default_rng(0)
    for context in game.contexts[:2]:
        for world in game.problems(points[-1], context):
            policies = [_uniform_policy(world, player) for player in range(len(world.actions))]
            trajectories = world.play(policies, np.full(EPISODES, STEPS), rng)
            _compare_single_steps(world, _compare_batch(world.with_crowd(policies), trajectories, rng), rng)


def _uniform_policy(world: Any, player: int) -> np.ndarray:
    """The policy of a follower that is uniform over what it has, (S, A, B_i); for K signals (S, K, B_i)."""
    s, a, _ = world.sizes
    shape, there = (s, world.signals or a, world.actions[player]), world.available_actions(player)
    even = np.ones(shape) if there is None else np.broadcast_to(np.asarray(there, dtype=np.float64), shape)
    return even / even.sum(axis=-1, keepdims=True)


def _compare_batch(world: Any, played: Sequence[Trajectories], rng: np.random.Generator) -> np.ndarray:
    """Compare a batch of episodes with the tables; returns its (state, leader action, joint action), integers (3, number of steps)."""
    first = played[0]
    alive, states = np.asarray(first.alive), np.asarray(first.states)
    over = states >= world.sizes[0]
    require(not (alive & over[:, :-1]).any(), "an episode goes on after its end")
    require(not (alive[:, 1:] & ~alive[:, :-1]).any(), "an episode goes on after a step that was not played")
    joint = np.ravel_multi_index(tuple(each.follower_actions[alive] for each in played), world.actions)
    taken = np.stack([states[:, :-1][alive], first.leader_actions[alive], joint])
    _require_available(world, taken)
    for i, each in enumerate(played):
        _require_paid(f"follower {i}", each.follower_rewards[alive], world.follower_rewards[i], taken)
        _require_paid("the leader", each.leader_rewards[alive], world.leader_reward if i == 0 else np.zeros(world.sizes), taken)
    _require_fit("first states of episodes", rng, world.initial, np.zeros(len(states), dtype=np.int64)[None], states[:, 0])
    some = slice(0, _draws(world))
    _require_fit("leader actions of episodes", rng, world.leader_policy, taken[:1, some], taken[1, some])
    _require_fit("next states of episodes", rng, world.kernel, taken[:, some], states[:, 1:][alive][some])
    return taken


def _compare_single_steps(world: Any, taken: np.ndarray, rng: np.random.Generator) -> None:
    """The same of the world's single steps, from some of the states and actions of a batch."""
    stepper, nodes = world.stepper(), taken[:, rng.permutation(taken.shape[1])[: _draws(world)]]
    each = np.stack(np.unravel_index(nodes[2], world.actions), axis=-1)
    steps = [stepper.step(int(s), int(a), own.tolist(), rng) for (s, a, _), own in zip(nodes.T, each, strict=True)]
    earned = np.array([paid for _, paid, _ in steps]).reshape(len(steps), len(world.actions))
    for i in range(len(world.actions)):
        _require_paid(f"follower {i}, in single steps,", earned[:, i], world.follower_rewards[i], nodes)
    _require_paid("the leader, in single steps,", np.array([paid for *_, paid in steps]), world.leader_reward, nodes)
    _require_fit("next states of single steps", rng, world.kernel, nodes, np.array([arrived for arrived, *_ in steps]))
    starts = np.array([stepper.initial(rng) for _ in range(EPISODES)])
    _require_fit("first states of single steps", rng, world.initial, np.zeros((1, EPISODES), dtype=np.int64), starts)


def _draws(world: Any) -> int:
    return min(DRAWS, 1 + LARGEST // world.sizes[0])


def _require_available(world: Any, taken: np.ndarray) -> None:
    if world.available is None:
        return
    missing = ~np.asarray(world.available)[tuple(taken)]
    s, _, b = taken[:, missing.argmax()]
    require(not missing.any(), f"in an episode action {b} was played in state {s}, where it is not available")


def _require_paid(who: str, paid: Any, table: Any, taken: np.ndarray) -> None:
    due = np.asarray(table)[tuple(taken)]
    wrong = ~np.isclose(np.asarray(paid), due, atol=TOLERANCE, rtol=TOLERANCE)
    at = int(wrong.argmax())
    require(
        not wrong.any(), f"{who} is not paid by the tables: {np.asarray(paid)[at]:.6g} and not {due[at]:.6g} at {taken[:, at].tolist()}"
    )


def _require_fit(what: str, rng: np.random.Generator, table: Any, nodes: np.ndarray, drawn: np.ndarray) -> None:
    """Draws (N,) follow the rows of ``table`` at ``nodes``, integers (axes, N); what a row lacks is the end, the last index.

    Their log-likelihood is within Bernstein's inequality of its mean, which holds for few draws and small probabilities, too, and their
    randomised probability transform is uniform by the test of Kolmogorov and Smirnov; each fails by chance once in ten million times.
    """
    from scipy.stats import kstest

    index = (lambda node: table) if np.ndim(table) == 1 else (lambda node: table[node if len(node) > 1 else node[0]])
    rows = np.stack([np.asarray(index(node)) for node in zip(*nodes, strict=True)])
    rows = np.concatenate([rows, np.maximum(1 - rows.sum(-1, keepdims=True), 0.0)], axis=-1)
    at = np.arange(len(drawn)), drawn
    p, below = rows[at], np.cumsum(rows, axis=-1)[at]
    never = p <= IMPOSSIBLE
    require(not never.any(), f"{what}: the tables make index {drawn[never.argmax()]} impossible at {nodes[:, never.argmax()].tolist()}")
    surprise = -np.log(np.where(rows > IMPOSSIBLE, rows, 1.0))
    mean = (rows * surprise).sum(-1)
    variance, largest = float((rows * surprise**2).sum() - (mean**2).sum()), float((surprise - mean[:, None]).max())
    off = abs(float((surprise[at] - mean).sum()))
    bound = largest * UNLIKELY / 3
    limit = bound + math.sqrt(bound**2 + 2 * max(variance, 0.0) * UNLIKELY) + TOLERANCE
    require(
        off <= limit, f"{what} do not follow the tables: log-likelihood off by {off:.3g} in {len(drawn)} draws, and {limit:.3g} are a lot"
    )
    chance = float(kstest(np.clip(below - rng.random(len(drawn)) * p, 0, 1), "uniform").pvalue)
    require(chance > 1e-7, f"{what} do not follow the tables: the probability transform is not uniform (p = {chance:.1e})")
