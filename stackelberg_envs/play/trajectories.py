"""Batches of episodes, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..processes.arrays import Array
from ..processes.markov_game import MarkovGame
from ..processes.mdp import MDP


@dataclass(frozen=True)
class Trajectories:
    """N episodes of one process, padded to the T steps of the longest; behind an episode's end ``alive`` is False, and the state S."""

    states: Array
    """State at which step t is taken, integers (N, T + 1); after the last step, where the episode stood when it was cut, or S."""
    leader_actions: Array
    """(N, T) integers."""
    follower_actions: Array
    """(N, T) integers."""
    leader_rewards: Array
    """(N, T)."""
    follower_rewards: Array
    """(N, T)."""
    alive: Array
    """(N, T) booleans: step t was played."""

    def by_follower(self, process: MDP | MarkovGame) -> tuple[Trajectories, ...]:
        """Of joint actions in ``process`` (NumPy tables), what each follower did and earned; the leader is paid once, with the first."""
        if len(process.actions) == 1:
            return (self,)
        each = np.unravel_index(self.follower_actions, process.actions)
        s = np.where(self.alive, self.states[:, :-1], 0)
        earned = np.where(self.alive, process.follower_rewards[:, s, self.leader_actions, self.follower_actions], 0.0)
        none = np.zeros_like(self.leader_rewards)
        return tuple(
            replace(self, follower_actions=own, follower_rewards=earned[i], leader_rewards=self.leader_rewards if i == 0 else none)
            for i, own in enumerate(each)
        )
