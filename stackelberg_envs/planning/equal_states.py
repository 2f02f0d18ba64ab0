"""States whose tables are equal, row by row, have equal solutions, and are solved as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..processes.markov_game import MarkovGame


def merge_equal_states(game: MarkovGame) -> tuple[MarkovGame, np.ndarray]:
    """The game of states that differ for followers, with dense rows, and which of them each state is, integers (S,).

    Args:
        game: NumPy numbers, without batch axes; what the leader earns does not count, and is that of the first of equal states.
    """
    s, a, b = game.sizes
    successors, cumulated, row_of = game.kernel.cumulative_successors()
    rows = np.arange(s)[:, None] * (len(successors) // s) + np.unique(row_of)
    tables = [game.leader_policy, *game.follower_rewards, successors[rows], cumulated[rows]]
    tables += [] if game.available is None else [game.available]
    flat = np.concatenate([np.asarray(table, dtype=np.float64).reshape(s, -1) for table in tables], axis=1)
    found: dict[bytes, int] = {}
    classes = np.array([found.setdefault(row.tobytes(), len(found)) for row in flat])
    if len(found) == s:
        return replace(game, transition=game.kernel.dense()), classes
    first = np.unique(classes, return_index=True)[1]
    chosen = np.eye(len(first))[classes].T  # (K, S)
    kernel = np.stack([np.asarray(game.kernel.expect(one)).reshape(s, -1, b)[first] for one in chosen], axis=-1)
    return replace(
        game,
        leader_policy=game.leader_policy[first],
        transition=np.broadcast_to(kernel, (len(first), a, *kernel.shape[2:])),
        follower_rewards=game.follower_rewards[:, first],
        leader_reward=game.leader_reward[first],
        initial=chosen @ game.initial,
        available=None if game.available is None else game.available[first],
    ), classes
