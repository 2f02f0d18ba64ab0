"""What followers do about a commitment, in numbers: visits to states, how often they take each action, and their likeliest paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import stackelberg_envs as se
from stackelberg_envs.evaluation import Evaluation
from stackelberg_envs.game import group_by_world
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.processes.mdp import joint_policy
from stackelberg_envs.worlds.mdp import InducedMDP
from stackelberg_envs.worlds.sampled import SampledProcess

SERIES = 4
"""How many followers and contexts are told apart."""


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
