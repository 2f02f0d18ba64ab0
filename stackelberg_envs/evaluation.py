"""The referee's score of a commitment.

Scores are exact (linear solves, no sampling) and use a best response that the referee computes itself.  A solver's own follower is
never used: with their own follower, penalty methods once reported 8.3, but the true value was 6.15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral

from .game import Follower, StackelbergGame, follower_of, group_by_world, same_worlds
from .processes.arrays import Array, array_namespace
from .response import Response


@dataclass(frozen=True)
class Evaluation:
    """The exact score of a commitment; ``...`` are the batch axes of x, C contexts, n followers."""

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
    """The followers' responses, one entry per context."""
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
        x: shape (..., n); (..., contexts, n) where the leader sees the context first.  It is scored in double
            precision, or, with ``responses``, in its own.
        follower: the follower that responds; the game's default follower if not given.
        horizon: score this many steps; None for infinitely many or, in a world without tables, the game's ``max_cycles``.  Followers
            plan for the infinite horizon, or to their own deadline, either way.
        leader_discount: discount of the leader's return; None for the game's own.
        responses: score these responses, one per context, instead of those of ``follower``.

    Raises:
        CommitmentError: if ``x`` has the wrong shape or is not finite.
        WorldError: if the game's tables hold no probabilities; see `stackelberg_envs.game.StackelbergGame.commit`.
        ValueError: for a horizon or discount that is none, and ``responses`` that are no policies.
        PlanningError: if there is no solution, e.g. discount 1 over an infinite horizon where episodes do not end.
    """
    if horizon is not None and (not isinstance(horizon, Integral) or isinstance(horizon, bool) or horizon < 0):
        raise ValueError(f"horizon is a number of steps, or None for infinitely many; got {horizon!r}")
    if leader_discount is not None and not 0 <= leader_discount <= 1:
        raise ValueError(f"leader_discount is in [0, 1], got {leader_discount}")
    if responses is not None and len(responses) != len(game.contexts):
        raise ValueError(f"responses are one for each of the {len(game.contexts)} contexts, got {len(responses)}")
    steps = None if horizon is None else int(horizon)
    follower = follower_of(game, follower)
    x = game.check_commitment(x)
    xp = array_namespace(x)
    if responses is None:  # answers that are handed in have a precision of their own
        x = xp.astype(x, xp.float64, copy=False)
    responded, leader, scores, errors = [], [], [], []
    for context in range(len(game.contexts)):
        committed = game.for_context(x, context)
        batch = committed.shape[:-1]  # tables that do not depend on x have no batch axes
        problems = game.problems(committed, context)
        if responses is None:
            with same_worlds(game, committed, context, problems):
                response = follower.respond(game, committed, context)
        else:
            response = responses[context]
        responded.append(response)
        groups = group_by_world(problems, response.policies)
        scoring = {"horizon": steps, "max_cycles": game.max_cycles}
        if problems[0].uses_monte_carlo(groups[0]):
            if batch:
                raise ValueError(f"{game.name} is scored by playing: one commitment at a time, got {tuple(x.shape)}")
            estimated = problems[0].monte_carlo_scores(groups[0], follower.temperature, discount=leader_discount, **scoring)
            leader.append(xp.asarray(estimated.leader_return, dtype=x.dtype, device=x.device))
            errors.append(estimated.standard_error)
            scores.append([[xp.asarray(number, dtype=x.dtype, device=x.device) for number in estimated.follower]])
            continue
        leader.append(xp.broadcast_to(game.objective(problems, response.policies, horizon=steps, discount=leader_discount), batch))
        scores.append(
            [
                [xp.broadcast_to(score, batch) for score in world.score_follower(i, policies, follower.temperature, **scoring)]
                for world, policies in zip(problems, groups, strict=True)
                for i in range(len(policies))
            ]
        )
    per_context = xp.stack(leader, axis=-1)
    weights = xp.asarray(game.context_probabilities, dtype=per_context.dtype, device=per_context.device)

    def stack_scores(which: int) -> Array:
        """One of the followers' scores, (..., C, n)."""
        return xp.stack([xp.stack([scored[which] for scored in context], axis=-1) for context in scores], axis=-2)

    return Evaluation(
        leader_return=xp.sum(per_context * weights, axis=-1),
        per_context=per_context,
        follower_returns=xp.sum(stack_scores(0) * weights[:, None], axis=-2),
        follower_gap=xp.max(stack_scores(2), axis=(-2, -1)),
        duality_gap=xp.max(xp.sum(stack_scores(2), axis=-1), axis=-1),
        follower_values=stack_scores(1),
        responses=tuple(responded),
        standard_error=math.hypot(*(p * error for p, error in zip(game.context_probabilities, errors, strict=True))) if errors else 0.0,
    )
