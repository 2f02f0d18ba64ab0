"""What no leader who pays can beat: the welfare that there is, less what the follower has without it.

A leader pays b(x) >= 0 on top of the follower's reward r_F, and a unit costs it c > 0: its reward is r_L - c b.  Both discount alike.
With V^g(r) the discounted sum of rewards r under policy g, H(g) the discounted entropy of g, and tau the follower's temperature, 0 for a
hard one, let::

    V*(r) = max_g V^g(r) + tau H(g)        what the follower can have by itself
    W     = max_g V^g(r_L + c r_F) + c tau H(g)

Then F(x) <= W - c V*(r_F) for every x.  Proof: let g answer x.  Payments are not below 0, so what g attains is not below what the follower
has unpaid: V^g(r_F) + V^g(b) + tau H(g) = V*(r_F + b) >= V*(r_F).  Hence V^g(b) >= V*(r_F) - V^g(r_F) - tau H(g), and

    F(x) = V^g(r_L) - c V^g(b) <= V^g(r_L + c r_F) + c tau H(g) - c V*(r_F) <= W - c V*(r_F).

A soft follower has a tighter bound: it has to be paid for the actions that it would still like (`stackelberg_envs.planning.paid_answers`).
A follower that gives up to epsilon away for the leader attains at least V*(r_F + b) - epsilon, which adds c epsilon; one that does so
against the leader leaves it no more than a best response does, which is bounded already.  For c = 1, a hard follower with ties for the
leader and payments for every pair, the bound is attained (`stackelberg_envs.planning.subsidies`): the welfare-optimal policy is also
that of the baseline of Hu and Tao, "Optimal robust subsidy policies for irrational agent in principal-agent MDPs", ICLR 2026 (their
abstract; the proof here is ours).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .bounds import BoundError, probe_commitments, same_tables
from .followers.epsilon_optimal import EpsilonOptimal
from .followers.exact import Hard, Soft
from .game import Follower, StackelbergGame, as_tuple, follower_of
from .planning.hard_policy_iteration import hard_policy_iteration
from .planning.linear_systems import PlanningError
from .planning.paid_answers import bounds_answers, paid_welfare
from .planning.policy_iteration import soft_policy_iteration
from .processes.mdp import MDP, decision_problem

TABLES = ("leader_policy", "follower_reward", "leader_reward")
TOLERANCE = 1e-9
"""Tables that differ by less are the same."""


def transfer_bound(game: StackelbergGame, follower: Follower | None = None, *, strict: bool = False) -> float | None:
    """The welfare optimum less what followers have unpaid: an upper bound on F for leaders who pay them.

    It needs payments that are not below 0 and cost the leader in proportion, one rate for all, and followers who plan alone, exactly
    and with the leader's discount.  That nothing else moves with the commitment is probed at a few commitments, and not proved.

    Args:
        game: the game, with the pieces ``incentive`` and ``leader_cost``.
        follower: `Hard`, `Soft` or `EpsilonOptimal`; None for the game's own.
        strict: raise an error that says why there is no bound, where there is none.

    Returns:
        The bound, in units of the leader's return, or None where there is none.

    Raises:
        BoundError: if ``strict`` and there is no such bound.
    """
    try:
        return _transfer_bound(game, follower_of(game, follower))
    except BoundError:
        if strict:
            raise
        return None


def _transfer_bound(game: StackelbergGame, follower: Follower) -> float:
    _require(isinstance(follower, Hard | Soft | EpsilonOptimal), game, f"{follower!r} is not Hard, Soft or EpsilonOptimal")
    _require(game.additive and game.tabular and not game.crowd, game, "its objective is not a sum of rewards over steps in tables")
    _require(game.incentive is not None and game.leader_cost is not None, game, "it does not say incentive and leader_cost")
    rate = _rate(game)
    given_away = getattr(follower, "epsilon", 0.0) if getattr(follower, "side", "") == "cooperative" else 0.0
    total = 0.0
    for context, probability in enumerate(game.context_probabilities):
        unpaid, *others = (_without_payments(game, x, context) for x in probe_commitments(game))
        same = all(same_tables(mdp, moved, TABLES, TOLERANCE) for other in others for mdp, moved in zip(unpaid, other, strict=True))
        _require(same, game, "more than payments moves with the commitment")
        for mdp in unpaid:
            _require(mdp.follower_discount == mdp.leader_discount, game, "leader and follower discount differently")
            welfare = replace(mdp, follower_reward=mdp.leader_reward + rate * mdp.follower_reward)
            try:
                most, least = _best_value(welfare, rate * follower.temperature), _best_value(mdp, follower.temperature)
                if follower.temperature > 0 and bounds_answers(mdp):
                    most = min(most, paid_welfare(mdp, welfare, follower.temperature, rate))
            except PlanningError as error:
                raise BoundError(f"{game.name} has no transfer bound: {error}") from error
            total += float(probability) * (most - rate * (least - given_away))
    return total


def _require(holds: bool, game: StackelbergGame, otherwise: str) -> None:
    if not holds:
        raise BoundError(f"{game.name} has no transfer bound: {otherwise}")


def _rate(game: StackelbergGame) -> float:
    """c, what a unit of payment costs the leader.

    Raises:
        BoundError: if payments are below 0 somewhere, or cost nothing, or not in proportion.
    """
    payments, costs = [], []
    for context in range(len(game.contexts)):
        for x in probe_commitments(game):
            for mdp, payment, cost in zip(game.problems(x, context), *_pieces(game, x, context), strict=True):
                mask = True if mdp.available is None else mdp.available
                payments.append(np.where(mask, np.broadcast_to(payment, mdp.follower_reward.shape), 0.0).ravel())
                costs.append(np.where(mask, np.broadcast_to(cost, mdp.follower_reward.shape), 0.0).ravel())
    paid, charged = np.concatenate(payments), np.concatenate(costs)
    _require(bool((paid >= 0).all()) and bool(paid.any()), game, "its leader takes from followers, or pays nothing")
    rate = float(charged @ paid / (paid @ paid))
    _require(rate > 0 and np.allclose(charged, rate * paid, rtol=0, atol=TOLERANCE), game, "its cost is not in proportion to payments")
    return rate


def _pieces(game: StackelbergGame, x: np.ndarray, context: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Payments and their costs, one table for each follower."""
    payments, costs = as_tuple(game.incentive(x, context)), as_tuple(game.leader_cost(x, context))
    alone = len(payments) == len(costs) == len(game.problems(x, context)) == game.followers
    _require(alone and not any(game.signals), game, "its followers interact, or see signals")
    return payments, costs


def _without_payments(game: StackelbergGame, x: np.ndarray, context: int) -> list[MDP]:
    """What followers face and the leader earns under ``x``, without what is paid."""
    return [
        replace(mdp, follower_reward=mdp.follower_reward - payment, leader_reward=mdp.leader_reward + cost)
        for mdp, payment, cost in zip(game.problems(x, context), *_pieces(game, x, context), strict=True)
    ]


def _best_value(mdp: MDP, temperature: float) -> float:
    """The follower's optimum from the start, its entropy bonus included."""
    if temperature > 0:
        values = soft_policy_iteration(mdp, temperature).values
    else:
        values = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).values
    return float(np.asarray(mdp.initial) @ values)
