"""How much better than the incumbent the leader's best commitment may still be, as a posterior: when to stop.

Each of M games is drawn from the posterior: next states from their Dirichlet, the leader's rewards from their normal, the follower's reward
from its Laplace approximation; where there are several contexts, all of them.  In each the leader plans by ascent from the same K starts::

    D_j = max_k J_j(x_jk) - J_j(x_inc)                    x_jk: where the ascent in game j from start k ends; the incumbent is a start

The share of draws with D_j <= eps estimates the probability that no plan beats the incumbent by more than eps.  It is that of a posterior:
it holds as far as the follower is soft-optimal, Laplace's approximation is good, and ascents from the starts find the best of a game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.processes.mdp import MDP

from .game_ascent import JointPlanning, ascend, joint_values
from .inference.joint import JointInference
from .inference.model import survival
from .inference.state import Settings
from .inference.tried import TriedCommitments, believed_tables, table_draws


class DrawnGames(JointPlanning):
    """M games drawn from the posterior, each for K commitments in a row, M K together.

    Args:
        drawn: of each part, the transition (M, S, A, B, S), and what is added to the leader's believed rewards and to the follower's,
            (M, S, A, B) each.
        count: K.
    """

    leaves = ()

    def __init__(self, drawn: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], count: int) -> None:
        self.drawn = [tuple(torch.from_numpy(np.repeat(table, count, axis=0)) for table in tables) for tables in drawn]

    def choose(self, mdp: MDP, part: int = 0) -> MDP:
        transition, leader_shift, follower_shift = self.drawn[part]
        return replace(
            mdp,
            transition=transition,
            leader_reward=mdp.leader_reward + leader_shift,
            follower_reward=mdp.follower_reward + follower_shift,
        )

    def price(self) -> torch.Tensor:
        return torch.zeros(len(self.drawn[0][0]), dtype=torch.float64)

    def project(self) -> None:
        """Nothing is chosen."""


def improvement_draws(
    inference: JointInference,
    tried: Sequence[TriedCommitments],
    oracle: Oracle,
    settings: Settings,
    starts: np.ndarray,
    rng: np.random.Generator,
    *,
    draws: int,
    steps: int,
    lr: float,
    largest: float,
) -> np.ndarray:
    """D_j of so many draws, (draws,).

    Args:
        inference: what is believed.
        tried: of each pair of context and follower, for the variance of the leader's rewards.
        oracle: of the run.
        settings: of the inference.
        starts: the incumbent, then others, (K, n).
        rng: of the draws.
        draws: M.
        steps: of ascent, by Adam.
        lr: their learning rate.
        largest: bound on the components of commitments.
    """
    known, shifts = [], []
    means = [believed_tables(state.counts, own.squares, settings.kernel_prior) for state, own in zip(inference.states, tried, strict=True)]
    every = table_draws(inference, tried, settings, rng, draws)
    for state, believed, of_pair in zip(inference.states, inference.share(means, settings), every, strict=True):
        possible = list(of_pair)
        rewards = np.stack([state.belief.draw(rng) for _ in range(draws)])
        transition, leader_reward = (np.stack([tables[name] for tables in possible]) for name in ("transition", "leader_reward"))
        known.append(believed)
        shifts.append((survival(oracle) * transition, leader_reward - believed["leader_reward"], rewards - state.belief.reward))
    game, drawn = inference.game_with(oracle, settings, known, inference.rewards), DrawnGames(shifts, len(starts))
    repeated = np.tile(starts, (draws, 1))
    planned = ascend(game, repeated, steps=steps, lr=lr, largest=largest, joint=drawn)
    before, after = (joint_values(game, xs, drawn)[1].reshape(draws, -1) for xs in (repeated, planned))
    return np.maximum(np.maximum(after, before).max(axis=1) - before[:, 0], 0.0)
