"""Leader critics for sampled hypergradients: Q_L(s,b) and the benefit of an action of the follower.

The benefit is what an action of the follower is worth to the leader beyond its habits: at the follower's decision nodes n,
``B_L(n,b) = Q_L(n,b) - sum_b' g(b'|n) Q_L(n,b')``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import MDP, decision_problem

from .visits import fastest_loop


class LeaderKnowledge(NamedTuple):
    """What the critics use of the game and of its follower: known, counted or inferred."""

    policy: np.ndarray
    """g(b|s,a), (S, A, B)."""
    mdp: MDP | None
    """The counted game under x, if the critic needs it; its follower reward is only meaningful at OUTCOME."""
    follower_q: np.ndarray | None
    """q_F(s,a,b), (S, A, B); None in design games, which do without."""


def action_values(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """The leader's Q_L(s,a,b) of a (counted) model under both policies, (S, A, B): the fixed point of expected SARSA on replayed data."""
    values = policy_value(mdp, policy, mdp.leader_reward, mdp.leader_discount)
    return mdp.leader_reward + mdp.leader_discount * mdp.kernel.expect(values)


def benefit(mdp: MDP, policy: np.ndarray, leader_q: np.ndarray) -> np.ndarray:
    """B_L at the follower's nodes, (S, N, B)."""
    node_q = decision_problem(mdp, leader_q).reward
    g = policy[:, : node_q.shape[1]]
    return node_q - (g * node_q).sum(-1, keepdims=True)


def sarsa(table: np.ndarray, seen: Outcome, policy: np.ndarray, *, rate: float, discount: float, rng: np.random.Generator) -> np.ndarray:
    """One pass of expected SARSA over the steps of a design game, in random order: the table Q_L(s,b), (S, B), after it."""
    alive, (s_count, b_count) = seen.alive[:, 0], table.shape
    pairs, after = seen.pairs(0, b_count)[alive], seen.states[:, 0, 1:][alive]
    order = rng.permutation(len(pairs))
    padded = np.concatenate([policy, np.zeros((1, b_count))])  # the end is worth nothing
    flat = np.concatenate([table, np.zeros((1, b_count))]).ravel()
    fastest_loop("sarsa_pass")(flat, pairs[order], after[order], seen.leader_rewards[alive][order], padded, rate, discount)
    return flat.reshape(-1, b_count)[:s_count]
