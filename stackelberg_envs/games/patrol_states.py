"""The states of a poacher who watches a ranger, and what comes of its strikes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..planning.patrols import Strikes, Walks
from ..processes.successor_lists import SuccessorLists
from ..processes.successors import Successors

DENSE = 64
"""States up to which the transition is an array."""


def watcher_states(walks: Walks, strikes: Strikes) -> np.ndarray:
    """(position, target, steps left) of each state, (S, 3): first all positions while the poacher waits, with target -1.

    During a strike the ranger is elsewhere, and 1 to d - 1 steps are left.
    """
    waiting = [(p, -1, 0) for p in range(len(walks.node))]
    busy = [
        (p, m, left)
        for m, (node, duration) in enumerate(zip(strikes.nodes.tolist(), strikes.durations.tolist(), strict=True))
        for left in range(duration - 1, 0, -1)
        for p in np.flatnonzero(walks.node != node).tolist()
    ]
    return np.array(waiting + busy)


def watcher_tables(walks: Walks, strikes: Strikes, losses: np.ndarray, catch: float) -> dict[str, Any]:
    """The tables of the world in which the poacher sees where the ranger is.

    Args:
        walks: of the ranger.
        strikes: at M targets.
        losses: of the rangers by a strike that is not caught, (M,).
        catch: what they gain by one that is.

    Returns:
        ``transition``, ``follower_reward``, ``leader_reward``, ``available`` and ``initial`` by name, over S states, A moves of the ranger
        and 1 + M actions of the poacher, and ``position`` of each state.
    """
    states = watcher_states(walks, strikes)
    position, target, left = states.T
    number = {tuple(state): s for s, state in enumerate(states.tolist())}
    count, actions = len(states), 1 + len(strikes.nodes)
    struck = np.where(target[:, None] >= 0, target[:, None], np.arange(actions) - 1)  # the target at stake, -1 for none, (S, B)
    lasts = np.where(target[:, None] >= 0, left[:, None], strikes.durations[struck])  # steps of it that are left, with the next one
    after = walks.moves[position][:, :, None]  # (S, A, 1)
    there = struck[:, None, :]  # (S, 1, B)
    caught = (there >= 0) & (walks.node[after] == strikes.nodes[there])
    done = (there >= 0) & ~caught & (lasts[:, None, :] == 1)
    following = np.zeros(caught.shape, dtype=np.int64)
    for s, a, b in np.argwhere(~caught & ~done):
        m = int(struck[s, b])
        following[s, a, b] = number[int(after[s, a, 0]), m, int(lasts[s, b]) - 1 if m >= 0 else 0]
    lists = SuccessorLists(Successors(following[..., None]), np.where(caught | done, 0.0, 1.0)[..., None])
    available = np.ones((count, walks.moves.shape[1], actions), dtype=bool)
    available[target >= 0, :, 1:] = False
    initial = np.zeros(count)
    initial[walks.start] = 1.0
    return {
        "transition": lists.dense() if count <= DENSE else lists,
        "follower_reward": np.where(caught, -strikes.penalty, np.where(done, strikes.values[there], 0.0)),
        "leader_reward": np.where(caught, catch, np.where(done, -losses[there], 0.0)),
        "available": available,
        "initial": initial,
        "position": position,
    }
