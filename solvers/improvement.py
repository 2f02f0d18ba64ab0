"""How much better than the incumbent the leader's best commitment may still be, as a posterior: when to stop.

Each of M games is drawn from the posterior: next states from their Dirichlet, the leader's rewards from their normal, the follower's reward
from its Laplace approximation.  In each the leader plans by ascent from the same K starts::

    D_j = max_k J_j(x_jk) - J_j(x_inc)                    x_jk: where the ascent in game j from start k ends; the incumbent is a start

The share of draws with D_j <= eps estimates the probability that no plan beats the incumbent by more than eps.  It is that of a posterior:
it holds as far as the follower is soft-optimal, Laplace's approximation is good, and ascents from the starts find the best of a game.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.processes.mdp import MDP

from .game_ascent import JointPlanning, ascend, joint_values
from .inference.state import InferenceState, Settings
from .inference.tried import TriedCommitments, believed_tables


class DrawnGames(JointPlanning):
    """M games drawn from the posterior, each for K commitments in a row, M K together.

    Args:
        transition: (M, S, A, B, S).
        leader_shift: what is added to the leader's believed rewards, (M, S, A, B).
        follower_shift: the same of the follower's.
        count: K.
    """

    leaves = ()

    def __init__(self, transition: np.ndarray, leader_shift: np.ndarray, follower_shift: np.ndarray, count: int) -> None:
        self.transition, self.leader_shift, self.follower_shift = (
            torch.from_numpy(np.repeat(tables, count, axis=0)) for tables in (transition, leader_shift, follower_shift)
        )

    def choose(self, mdp: MDP) -> MDP:
        return replace(
            mdp,
            transition=self.transition,
            leader_reward=mdp.leader_reward + self.leader_shift,
            follower_reward=mdp.follower_reward + self.follower_shift,
        )

    def price(self) -> torch.Tensor:
        return torch.zeros(len(self.transition), dtype=torch.float64)

    def project(self) -> None:
        """Nothing is chosen."""


def improvement_draws(
    inference: InferenceState,
    tried: TriedCommitments,
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
        tried: for the variance of the leader's rewards.
        oracle: of the run.
        settings: of the inference.
        starts: the incumbent, then others, (K, n).
        rng: of the draws.
        draws: M.
        steps: of ascent, by Adam.
        lr: their learning rate.
        largest: bound on the components of commitments.
    """
    known = believed_tables(inference.counts, tried.squares, settings.kernel_prior)
    game = inference.game_with(oracle, settings, known, inference.belief.reward)
    possible = [believed_tables(inference.counts, tried.squares, settings.kernel_prior, rng) for _ in range(draws)]
    rewards = np.stack([inference.belief.draw(rng) for _ in range(draws)])
    drawn = DrawnGames(
        np.stack([tables["transition"] for tables in possible]),
        np.stack([tables["leader_reward"] for tables in possible]) - known["leader_reward"],
        rewards - inference.belief.reward,
        len(starts),
    )
    repeated = np.tile(starts, (draws, 1))
    planned = ascend(game, repeated, steps=steps, lr=lr, largest=largest, joint=drawn)
    before, after = (joint_values(game, xs, drawn)[1].reshape(draws, -1) for xs in (repeated, planned))
    return np.maximum(np.maximum(after, before).max(axis=1) - before[:, 0], 0.0)
