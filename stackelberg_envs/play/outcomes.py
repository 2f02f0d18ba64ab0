"""What a leader sees of its followers: batches of episodes, and the streams that they are laid into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .trajectories import Trajectories


@dataclass(frozen=True)
class Outcome:
    """What the leader saw of N episodes with n followers, padded to the T steps of the longest; behind an end ``alive`` is False."""

    contexts: np.ndarray
    """(N,) indices; -1 where the leader never sees the context."""
    states: np.ndarray
    """(N, n, T + 1) integers; S once the episode is over.  Without tables (N, 1, T + 1, d), and the last state stays."""
    leader_actions: np.ndarray
    """(N, n, T) integers; 0 in design games.  Without tables (N, 1, T, k)."""
    follower_actions: np.ndarray
    """(N, n, T) integers, or (N, 1, T, m) without tables; all -1 in games that hide them, unless a trainer steered the followers
    (`Rounds.play_as`)."""
    leader_rewards: np.ndarray
    """(N, T), summed over followers."""
    alive: np.ndarray
    """(N, n, T) booleans."""
    streams: np.ndarray
    """(N,) integers: which stream an episode belongs to; each is its own where episodes were played apart."""
    ended: np.ndarray
    """(N,) booleans: False where the end of its stream cut an episode; one that its horizon cut counts as ended."""

    @property
    def steps(self) -> int:
        """How many steps were seen; several followers act at once."""
        return int(self.alive.any(axis=1).sum())

    def pairs(self, follower: int, actions: int) -> np.ndarray:
        """s * B + b at each step of one follower with B = ``actions``, (N, T); 0 where its episode is over.

        Raises:
            ValueError: if the game hides the follower's actions.
        """
        if self.follower_actions.size and self.follower_actions.flat[0] < 0:
            raise ValueError("this game hides the follower's actions; ask oracle.follower_actions_public first")
        numbered = self.states[:, follower, :-1] * actions + self.follower_actions[:, follower]
        return np.where(self.alive[:, follower], numbered, 0)

    def take(self, episodes: np.ndarray | slice) -> Outcome:
        """Some of the episodes."""
        return Outcome(**{field.name: getattr(self, field.name)[episodes] for field in fields(self)})

    def split(self, at: int) -> tuple[Outcome, Outcome]:
        """The first ``at`` streams (episodes, where they were played apart), and the rest; each is numbered from 0 again."""
        first, rest = self.take(self.streams < at), self.take(self.streams >= at)
        return first, replace(rest, streams=rest.streams - at)

    def leader_returns(self, discount: float) -> np.ndarray:
        """Discounted return of each episode, (N,)."""
        return self.leader_rewards @ discount ** np.arange(self.leader_rewards.shape[-1])


def outcome_of_indices(contexts: np.ndarray, ends: Sequence[int], pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
    """One outcome from the trajectories of (rows, follower): the episodes ``rows`` of one context, of one follower.

    Args:
        contexts: (N,).
        ends: S of each follower.
        pieces: every episode of every follower once.
    """
    apart = np.arange(len(contexts)), np.ones(len(contexts), dtype=bool)
    if len(pieces) == 1:  # one follower in one context: nothing to put together, and batches are large enough for copies to matter
        (_, _, played) = pieces[0]
        states, leads, follows = played.states[:, None], played.leader_actions[:, None], played.follower_actions[:, None]
        return Outcome(contexts, states, leads, follows, played.leader_rewards, played.alive[:, None], *apart)
    shape = len(contexts), len(ends), max(played.alive.shape[1] for _, _, played in pieces)
    states = np.broadcast_to(np.array(ends)[:, None], (*shape[:2], shape[2] + 1)).copy()
    leads, follows, alive = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
    rewards = np.zeros((shape[0], shape[2]))
    for rows, i, played in pieces:
        horizon = played.alive.shape[1]
        states[rows, i, : horizon + 1], alive[rows, i, :horizon] = played.states, played.alive
        leads[rows, i, :horizon], follows[rows, i, :horizon] = played.leader_actions, played.follower_actions
        rewards[rows, :horizon] += played.leader_rewards
    return Outcome(contexts, states, leads, follows, rewards, alive, *apart)


def outcome_of_vectors(contexts: np.ndarray, pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
    """The same for one follower whose states are vectors: behind an episode's end its last state stays, and nobody acts."""
    longest = max(played.alive.shape[1] for _, _, played in pieces)
    order = np.argsort(np.concatenate([rows for rows, _, _ in pieces]), kind="stable")

    def pad_and_concatenate(table: str, mode: Any = "constant") -> np.ndarray:
        padded = []
        for _, _, played in pieces:
            values, missing = getattr(played, table), longest - played.alive.shape[1]
            padded.append(np.pad(values, [(0, missing if axis == 1 else 0) for axis in range(values.ndim)], mode=mode))
        return np.concatenate(padded)[order]

    leads, follows, alive = (pad_and_concatenate(table)[:, None] for table in ("leader_actions", "follower_actions", "alive"))
    apart = np.arange(len(contexts)), np.ones(len(contexts), dtype=bool)
    return Outcome(
        contexts, pad_and_concatenate("states", "edge")[:, None], leads, follows, pad_and_concatenate("leader_rewards"), alive, *apart
    )


def concatenate_episodes(outcome: Outcome, streams: int, steps: int, ends: Sequence[int]) -> Outcome | None:
    """Lay episodes one after the other into ``streams`` streams of ``steps`` steps each; what does not fit is cut.

    This is what followers see who are set back to the start whenever an episode ends.  None if the episodes do not fill the streams.
    """
    lengths = outcome.alive.any(axis=1).sum(axis=1)
    total = np.concatenate([[0], np.cumsum(lengths)])
    of, limits, at = [], [], 0
    for stream in range(streams):
        stop = int(np.searchsorted(total, total[at] + steps))  # the first episode that begins after the stream's end
        if stop >= len(total):
            return None
        of.append(np.full(stop - at, stream))
        limits.append(np.minimum(lengths[at:stop], total[at] + steps - total[at:stop]))
        at = stop
    limit, laid = np.concatenate(limits), outcome.take(slice(at))
    ended = limit == lengths[:at]
    (cut,) = np.nonzero(~ended)
    late = np.arange(laid.alive.shape[2]) >= limit[cut, None]
    behind = np.arange(laid.states.shape[2]) > limit[cut, None]
    return replace(
        laid,
        states=_fill(laid.states, cut, behind[:, None], np.array(ends)[:, None]),
        leader_actions=_fill(laid.leader_actions, cut, late[:, None], 0),
        follower_actions=_fill(laid.follower_actions, cut, late[:, None], 0),
        leader_rewards=_fill(laid.leader_rewards, cut, late, 0.0),
        alive=_fill(laid.alive, cut, late[:, None], False),
        streams=np.concatenate(of),
        ended=ended,
    )


def _fill(table: np.ndarray, rows: np.ndarray, where: np.ndarray, value: Any) -> np.ndarray:
    """``table`` with ``value`` at the places ``where`` of some ``rows``."""
    filled = table.copy()
    filled[rows] = np.where(where, value, table[rows])
    return filled
