"""The gradients of `solvers.penalty` estimated from episodes, for leaders who act (by their score) or set rewards (by what they set).

Our notes derive what the paper, analysed with exact gradients, leaves open.  In each context, with G^L, G^F the discounted rewards from
step t on (the follower's with its entropy bonus), V the values read from the real follower, b a table of the leader's from earlier batches:

1. batch A: the leader plays x, followers act by their copies g_y.  Batch B: they act by the real follower's answer g^ to x
2. credit of step t in A: ``gamma_L^t (G^L_t - b(s_t)) + lambda gamma_F^t (G^F_t - V(s_t))``, which multiplies the scores
   ``d log pi_x(a_t|s_t)`` and ``d log g_y(b_t|s_t, a_t)``: the gradient of F + lambda V^{g_y}, beside
   ``lambda gamma_F^t (d incentive + tau dH(g_y)) - gamma_L^t d cost``, where rewards themselves move
3. value penalty: in B, credit ``- lambda gamma_F^t (G^F_t - V(s_t))`` for pi_x and ``- lambda gamma_F^t`` for the incentive
4. Bellman penalty, instead of 3 and of the terms with lambda in 2: a first action by g_y and the rest by g^ is B, weighted by the ratio
   ``g_y/g^`` of its first action; p_B is the mean of ``(1 - ratio) G^F_0``, and of ``tau (H(g^) - H(g_y))`` at the start.  Its gradient in
   y is that of ``<g_y, Q^> + tau H(g_y)`` at the states where episodes start, with the follower's action values read

Credits of two batches are independent of what is subtracted from them, so the means are those of the exact gradients, but for the rewards
behind a cut (of relative size gamma^horizon) and, with a follower other than `Soft`, for how far it is from its best response.
Charged are ``training_steps``, and two ``queries`` (policies, values) a context; with ``"bellman"`` also one (action values) a follower.
Games that hide what followers do are declined, as by every method that learns from actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import entropy

from .copies import Copies, mask_logits
from .estimators.visits import discounted_sums, powers
from .penalty_settings import PenaltySettings


def table_shapes(oracle: Oracle) -> list[tuple[int, ...]]:
    """(S, N, B) of each follower, context by context."""
    pairs = zip(oracle.sizes, oracle.follower_sees, strict=True)
    return [(s, a if sees == "action" else 1, b) for (s, a, b), sees in pairs] * len(oracle.contexts)


def sampled_gradients(
    settings: PenaltySettings, oracle: Oracle, copies: Copies, weight: float
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Estimated gradients of ``(F - lambda p) / max(lambda, 1)`` in x and in each of `Copies.logits`, and a history row."""
    here, n = copies.x.detach().numpy(), oracle.followers
    if copies.memory is None:
        copies.memory = [np.zeros(shape[0]) for shape in table_shapes(oracle)]
    surrogate = paid = torch.zeros((), dtype=torch.float64)
    claimed, slack = 0.0, 0.0
    for c, probability in enumerate(oracle.context_probabilities):
        own = slice(c * n, (c + 1) * n)
        term, held, row = _context_surrogate(settings, oracle, here, c, copies.x, copies.logits[own], copies.memory[own], weight)
        surrogate = surrogate + float(probability) * term / max(weight, 1.0)
        paid = paid + float(probability) * held / max(weight, 1.0)
        claimed, slack = claimed + probability * row[0], slack + probability * row[1]
    return copies.differentiate(oracle, surrogate, paid, copies.x), {"penalty": float(slack), "claimed_return": float(claimed)}


def _context_surrogate(
    settings: PenaltySettings,
    oracle: Oracle,
    here: np.ndarray,
    context: int,
    x: torch.Tensor,
    logits: list[torch.Tensor],
    baselines: list[np.ndarray],
    weight: float,
) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float]]:
    """The surrogate of one context, its part for what the leader earns in x, and (return claimed, penalty) of its episodes."""
    x = x[context] if oracle.context_visibility == "before" else x
    there = oracle.available[context]
    copies = [policy_and_log(y, mask, size) for y, mask, size in zip(logits, there, oracle.sizes, strict=True)]
    acting = [policy.detach().numpy() for policy, _ in copies]
    best, values = oracle.policies(here, context), oracle.values(here, context)
    how: dict[str, Any] = {"episodes": settings.episodes, "horizon": settings.horizon or None}
    (seen, earned), (after, gained) = (oracle.play_as(here, policies, context, **how) for policies in (acting, best))  # 1
    leads = discounted_sums(seen.leader_rewards, oracle.leader_discount, ahead=True)
    tau, gamma_leader, bellman = oracle.temperature, oracle.leader_discount, settings.penalty == "bellman"
    surrogate = held = torch.zeros((), dtype=torch.float64)
    slack = 0.0
    for i, ((policy, log), gamma) in enumerate(zip(copies, oracle.follower_discounts, strict=True)):
        lam = 0.0 if bellman else weight
        own = discounted_sums(earned[:, i] + tau * entries_along(entropy(acting[i]), seen, i), gamma, ahead=True)
        hat = discounted_sums(gained[:, i] + tau * entries_along(entropy(best[i]), after, i), gamma, ahead=True)
        V = np.append(values[i], 0.0)
        states, arrived = seen.states[:, i, :-1], after.states[:, i, :-1]
        t_L, t_F, t_hat = powers(gamma_leader, leads), powers(gamma, own), powers(gamma, hat)
        earns = t_L * (leads - np.append(baselines[i], 0.0)[states])
        credit = earns + lam * t_F * (own - V[states])  # 2
        credited, visited = (weights_by_action(seen, i, oracle, weights) for weights in (credit, t_F))
        paid = weights_by_action(seen, i, oracle, np.broadcast_to(t_L, leads.shape))
        scored, rewarded = credited, lam * visited
        surrogate = surrogate + (credited * log).sum() - lam * tau * (visited * (policy * log).sum(-1, keepdim=True)).sum()
        if not bellman:  # 3
            scored = scored - weight * weights_by_action(after, i, oracle, t_hat * (hat - V[arrived]))
            rewarded = rewarded - weight * weights_by_action(after, i, oracle, t_hat)
        else:  # 4
            stiff = weight / (1 - gamma)
            spread = (entropy(best[i]) - entropy(acting[i]))[arrived[:, 0], after.leader_actions[:, i, 0]]
            took = arrived[:, 0], after.leader_actions[:, i, 0], after.follower_actions[:, i, 0]
            odds = 1 - acting[i][took] / best[i][took]
            pushed = odds[:, None] * t_hat * (hat - V[arrived])
            pushed[:, 0] += tau * spread - odds * tau * entropy(best[i])[took[:2]]
            scored = scored - stiff * weights_by_action(after, i, oracle, pushed)
            rewarded = rewarded - stiff * weights_by_action(after, i, oracle, odds[:, None] * t_hat)
            surrogate = surrogate + stiff * _initial_action_values(oracle, here, context, x, i, after, (policy, log))
        surrogate = surrogate + direct_surrogate(oracle, x, context, i, scored, rewarded, paid)
        if oracle.measured:
            of_leader = weights_by_action(seen, i, oracle, earns)
            held = held + direct_surrogate(oracle, x, context, i, of_leader, torch.zeros_like(paid), paid)
        slack += float(hat[:, 0].mean() - own[:, 0].mean())
        move_baseline(baselines[i], leads, seen, i, settings.baseline_rate)
    return surrogate, held, (float(leads[:, 0].mean()), slack)


def policy_and_log(logits: torch.Tensor, available: np.ndarray | None, size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """A copy's policy and its logarithm, (S, A, B); both are 0 where an action is not available."""
    log = torch.broadcast_to(torch.log_softmax(logits, -1), size)
    if available is None:
        return log.exp(), log
    mask = torch.broadcast_to(torch.as_tensor(available), size)
    log = torch.log_softmax(mask_logits(torch.broadcast_to(logits, size), mask), -1)
    return log.exp(), torch.where(mask, log, 0.0)


def direct_surrogate(oracle: Oracle, x: torch.Tensor, context: int, follower: int, scored: Any, rewarded: Any, paid: Any) -> torch.Tensor:
    """The direct part of the gradient: the scores of the leader's policy, its incentives and their cost; multipliers (S, A, B)."""
    surrogate = torch.zeros((), dtype=x.dtype)
    if oracle.log_leader_policy is not None:
        surrogate = surrogate + (scored.sum(-1) * oracle.log_leader_policy(x)).sum()
    for function, multipliers in ((oracle.incentive, rewarded), (oracle.leader_cost, -paid)):
        if function is not None:
            moved = function(x, context)
            moved = moved[follower] if isinstance(moved, tuple) else moved
            surrogate = surrogate + (multipliers * moved).sum()
    return surrogate


def _initial_action_values(
    oracle: Oracle, here: np.ndarray, context: int, x: torch.Tensor, follower: int, after: Outcome, copy: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Mean over first states of ``<g_y, Q^> + tau H(g_y)``, differentiable in y alone; nature draws the leader's action from pi_x."""
    q = torch.as_tensor(oracle.action_values(here, context)[follower])
    starts = np.bincount(after.states[:, follower, 0], minlength=len(q)) / len(after.states)
    leader = torch.ones(q.shape[:2], dtype=q.dtype)
    if oracle.log_leader_policy is not None and q.shape[1] > 1:
        leader = oracle.log_leader_policy(x.detach()).exp()
    policy, log = copy
    worth = (policy * (torch.where(torch.isfinite(q), q, 0.0) - oracle.temperature * log)).sum(-1)
    return (torch.as_tensor(starts) * (leader * worth).sum(-1)).sum()


def entries_along(table: np.ndarray, seen: Outcome, follower: int) -> np.ndarray:
    """Entries of a table (S, A) along the steps of one follower, (N, T); 0 where its episode is over."""
    padded = np.concatenate([table, np.zeros_like(table[:1])])
    alive = seen.alive[:, follower]
    return np.where(alive, padded[np.where(alive, seen.states[:, follower, :-1], len(table)), seen.leader_actions[:, follower]], 0.0)


def weights_by_action(seen: Outcome, follower: int, oracle: Oracle, weights: np.ndarray) -> torch.Tensor:
    """Mean over episodes of the weights (N, T) of the steps at each (s, a, b), (S, A, B)."""
    (s, a, b), alive = oracle.sizes[follower], seen.alive[:, follower]
    node = (seen.states[:, follower, :-1] * a + seen.leader_actions[:, follower]) * b + seen.follower_actions[:, follower]
    return torch.as_tensor(np.bincount(node[alive], weights[alive], s * a * b).reshape(s, a, b) / len(alive))


def move_baseline(table: np.ndarray, leads: np.ndarray, seen: Outcome, follower: int, rate: float) -> None:
    """Move the table of the leader's values, in place, towards the means of this batch, which has been used by now."""
    alive = seen.alive[:, follower]
    at = seen.states[:, follower, :-1][alive]
    counts = np.bincount(at, minlength=len(table))
    means = np.bincount(at, leads[alive], len(table)) / np.maximum(counts, 1)
    table += np.where(counts > 0, rate * (means - table), 0.0)
