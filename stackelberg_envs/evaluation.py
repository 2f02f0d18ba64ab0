"""The referee's yardstick: what a commitment is truly worth.

Scores are exact (linear solves, no sampling) and use a best response that the referee computes itself.  A solver's own follower is
never asked: scored at their own follower, penalty methods once reported 8.3 where the true value was 6.15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from array_api_compat import array_namespace

from .followers.exact import Follower, Response
from .game import StackelbergGame, grouped
from .planning.linear_systems import number
from .planning.policy_iteration import hard_policy_iteration, policy_value, regularised_reward, soft_policy_iteration
from .play.monte_carlo import by_playing
from .processes.mdp import Array, decision_problem
from .processes.sampled import SampledProcess


@dataclass(frozen=True)
class Evaluation:
    """The exact worth of a commitment; ``...`` are the batch axes of x, C contexts, n followers."""

    leader_return: Array
    """F(x), the mean of ``per_context`` under the context probabilities, shape (...)."""
    per_context: Array
    """F_c(x), shape (..., C)."""
    follower_returns: Array
    """Each follower's expected sum of discounted rewards, without entropy, mean over contexts, shape (..., n)."""
    follower_gap: Array
    """How much the worst-off follower could still gain by deviating alone, the largest over followers and contexts, shape (...).

    Measured in the follower's own objective (with its entropy bonus, if it has one) over the infinite horizon; never negative, and 0
    up to rounding for an exact response, or an equilibrium of followers who interact.
    """
    duality_gap: Array
    """The sum over followers of what each could gain by deviating alone, the largest over contexts, shape (...).

    Of two followers in a zero-sum game this is the duality gap; in general the Nikaido-Isoda function of their policies.
    """
    follower_values: Array
    """Each follower's own objective (with entropy bonus) from the start, shape (..., C, n)."""
    responses: tuple[Response, ...] = field(repr=False)
    """What the followers answered, one entry a context."""
    standard_error: Array | float = 0.0
    """Of ``leader_return``, where it is a mean over the referee's episodes: in worlds without tables, of policies without closed forms.
    There the gap is an estimate too, or NaN, like ``follower_values``, where the optimum is not known."""


def evaluate(
    game: StackelbergGame,
    x: Array,
    *,
    follower: Follower | None = None,
    horizon: int | None = None,
    leader_discount: float | None = None,
    responses: tuple[Response, ...] | None = None,
) -> Evaluation:
    """Score commitment ``x``: exactly, or, in a world without tables or closed forms, over the referee's episodes.

    Args:
        game: the world in which the commitment is scored.
        x: shape (..., n); (..., contexts, n) where the leader sees the context first.
        follower: who answers; the game's default follower if not given.
        horizon: score this many steps; None for infinitely many or, in a world without tables, the game's ``max_cycles``.  Followers
            plan for the infinite horizon either way.
        leader_discount: discount of the leader's return; None for the game's own.
        responses: score these answers, one a context, instead of asking ``follower``.

    Raises:
        CommitmentError: if ``x`` has the wrong shape or is not finite.
        ValueError: for a horizon or discount that is none.
        PlanningError: if there is no solution, e.g. discount 1 over an infinite horizon where episodes do not end.
    """
    if horizon is not None and (not isinstance(horizon, Integral) or isinstance(horizon, bool) or horizon < 0):
        raise ValueError(f"horizon is a number of steps, or None for infinitely many; got {horizon!r}")
    if leader_discount is not None and not 0 <= leader_discount <= 1:
        raise ValueError(f"leader_discount is in [0, 1], got {leader_discount}")
    if responses is not None and len(responses) != len(game.contexts):
        raise ValueError(f"responses are one for each of the {len(game.contexts)} contexts, got {len(responses)}")
    steps = None if horizon is None else int(horizon)
    follower = game.default_follower if follower is None else follower
    x = game.checked(x)
    xp = array_namespace(x)
    answered, leader, scores, spreads = [], [], [], []
    for context in range(len(game.contexts)):
        committed = game.for_context(x, context)
        batch = committed.shape[:-1]  # tables that do not depend on x have no batch axes
        problems = game.problems(committed, context)
        response = responses[context] if responses is not None else follower.respond(game, committed, context)
        answered.append(response)
        if isinstance(problems[0], SampledProcess) and not problems[0].solves(response.policies[0]):
            if batch:
                raise ValueError(f"{game.name} is scored by playing: one commitment at a time, got {tuple(x.shape)}")
            length = game.max_cycles if steps is None else steps
            paid, spread, *own = by_playing(problems[0], response.policy, follower.temperature, length, leader_discount)
            paid, *own = (xp.asarray(number, dtype=x.dtype, device=x.device) for number in (paid, *own))
            leader.append(paid)
            spreads.append(spread)
            scores.append([own])
            continue
        leader.append(xp.broadcast_to(game.objective(problems, response.policies, horizon=steps, discount=leader_discount), batch))
        scores.append(
            [
                [xp.broadcast_to(score, batch) for score in _follower_score(game, process, i, policies, follower.temperature, steps)]
                for process, policies in zip(problems, grouped(problems, response.policies), strict=True)
                for i in range(len(policies))
            ]
        )
    per_context = xp.stack(leader, axis=-1)
    weights = xp.asarray(game.context_probabilities, dtype=per_context.dtype, device=per_context.device)

    def gathered(which: int) -> Array:
        """One of the followers' scores, (..., C, n)."""
        return xp.stack([xp.stack([scored[which] for scored in context], axis=-1) for context in scores], axis=-2)

    return Evaluation(
        leader_return=xp.sum(per_context * weights, axis=-1),
        per_context=per_context,
        follower_returns=xp.sum(gathered(0) * weights[:, None], axis=-2),
        follower_gap=xp.max(gathered(2), axis=(-2, -1)),
        duality_gap=xp.max(xp.sum(gathered(2), axis=-1), axis=-1),
        follower_values=gathered(1),
        responses=tuple(answered),
        standard_error=math.hypot(*(p * spread for p, spread in zip(game.context_probabilities, spreads, strict=True))) if spreads else 0.0,
    )


def _follower_score(
    game: StackelbergGame, process: Any, i: int, policies: tuple[Array, ...], temperature: float, horizon: int | None
) -> tuple[Array, Array, Array]:
    """(plain return, own objective, gap to its optimum while the others stay), each from the initial distribution, shape (...)."""
    if isinstance(process, SampledProcess):
        return process.follower_score(policies[0], temperature, game.max_cycles if horizon is None else horizon)
    policy, mdp = policies[i], process.facing(i, policies, temperature)
    xp = array_namespace(policy)
    gamma = mdp.follower_discount

    def start(values: Array) -> Array:
        return xp.sum(mdp.initial * values, axis=-1)

    paid = process.follower_rewards[..., i, :, :, :]
    plain = policy_value(process.joint, process.product(policies), paid, gamma, horizon=horizon)
    attained = policy_value(mdp, policy, regularised_reward(mdp, policy, temperature), gamma)
    if temperature > 0:
        best = soft_policy_iteration(mdp, temperature, values=attained).values
    else:
        best, _ = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), gamma)
    gap = start(best) - start(attained)
    if number(xp.min(gap)) < -1e-6 * (1 + number(xp.max(xp.abs(start(best))))):
        raise ValueError("this response beats the best one: it is not a policy that the follower of this game could have")
    return start(plain), start(attained), xp.where(gap > 0, gap, xp.zeros_like(gap))  # what is left below 0 is rounding
