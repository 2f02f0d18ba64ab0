"""Leader critics for sampled hypergradients: Q_L(s,b) and the benefit of an action of the follower.

The benefit is what an action of the follower is worth to the leader beyond its habits: at the follower's decision nodes n,
``B_L(n,b) = Q_L(n,b) - sum_b' g(b'|n) Q_L(n,b')``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

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


def sarsa(
    table: np.ndarray,
    seen: Outcome,
    policy: np.ndarray,
    *,
    rate: float,
    discount: float,
    rng: np.random.Generator,
    target: Literal["expected", "sampled"] = "expected",
) -> np.ndarray:
    """One pass of SARSA over the steps of a design game, in random order: the table Q_L(s,b), (S, B), after it.

    With ``target="expected"`` what comes next is worth ``sum_b g(b|s') Q_L(s',b)``; with ``"sampled"`` Q_L of the pair that was watched
    next, and nothing behind the last step of a batch, as published.
    """
    alive, (s_count, b_count) = seen.alive[:, 0], table.shape
    all_pairs, rewards = seen.pairs(0, b_count), seen.leader_rewards[alive]
    pairs, order = all_pairs[alive], rng.permutation(int(alive.sum()))
    flat = np.concatenate([table, np.zeros((1, b_count))]).ravel()  # the end is worth nothing
    if target == "expected":
        after, weights = seen.states[:, 0, 1:][alive], np.concatenate([policy, np.zeros((1, b_count))])
    else:  # the same pass, over pairs instead of states
        end = s_count * b_count
        follows = np.pad(np.where(alive, all_pairs, end)[:, 1:], [(0, 0), (0, 1)], constant_values=end)
        after, weights = follows[alive], np.append(np.ones(end), 0.0)[:, None]
    fastest_loop("sarsa_pass")(flat, pairs[order], after[order], rewards[order], weights, rate, discount)
    return flat.reshape(-1, b_count)[:s_count]
