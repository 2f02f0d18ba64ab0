"""The saddle point of a regularised zero-sum Markov game, to machine precision.

The stage games of `stackelberg_envs.planning.stage_games` have payoffs q = ``r + gamma P V``, and the value V of the Markov game solves
Shapley's equation V = T V (Shapley, PNAS 1953), T V the stage values, a gamma-contraction.  Newton's method on it, which is policy
iteration of both players: ``V <- V + t (I - gamma P_uw)^{-1} (T V - V)`` (Pollatschek and Avi-Itzhak, Management Science 1969), with t
halved until the residual falls (Filar and Tolwinski 1991), and value iteration where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..processes.arrays import Array, array_namespace, sup_norm
from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import broadcast_over_leader_actions, decision_problem
from .linear_systems import Factorisation, PlanningError, factorise, system
from .policy_iteration import MAX_EVALUATIONS, POLICY_TOLERANCE
from .stage_games import Stage, stage_saddle
from .value_iteration import rounding_error


class SaddlePoint(NamedTuple):
    """The equilibrium, and how it was reached."""

    policies: tuple[Array, Array]
    """g_i(b_i|s,a), (..., S, A, B_i)."""
    values: Array
    """V(s) of player 0, (..., S)."""
    stage: Stage
    """The stage games at the follower's decision nodes, (..., S, N)."""
    step: float
    """Size of the last Newton step."""
    evaluations: int
    """Newton steps: one factorisation and one solve each."""
    factorised: Factorisation
    """I - gamma P_uw at the last evaluated policies."""

    @property
    def warm_start(self) -> tuple[Array, Array]:
        """What the next call starts from, when the game has changed a little."""
        return self.values, self.stage.logits


def saddle_point(
    game: MarkovGame,
    temperature: float,
    *,
    warm: tuple[Array, Array] | None = None,
    factorise: Callable[[Any], Factorisation] = factorise,
) -> SaddlePoint:
    """The unique equilibrium of a regularised zero-sum Markov game.

    Args:
        game: two followers with opposite rewards.
        temperature: tau > 0, of both.
        warm: a warm start, `SaddlePoint.warm` of a game like this one.
        factorise: how ``I - gamma P`` is solved; see `stackelberg_envs.planning.policy_iteration`.

    Raises:
        PlanningError: if the game is not zero-sum, or the iteration has not converged after `MAX_EVALUATIONS`.
    """
    if not game.zero_sum:
        raise PlanningError(f"{len(game.actions)} followers whose interests are not opposed have no saddle point; take Nash(selection)")
    problem = decision_problem(game.joint, game.of(0).follower_reward)
    xp = array_namespace(problem.reward)
    total, size = xp.sum(game.follower_rewards, axis=-4), xp.max(xp.abs(game.follower_rewards), axis=-4)
    if bool(xp.any(xp.abs(total) > 1e-6 * (1 + size))):  # of each payoff by itself: a large one excuses no other
        raise PlanningError("the two rewards of this game do not sum to 0, though it says zero_sum=True")
    gamma, shape = game.follower_discount, (*problem.reward.shape[:-1], *game.actions)
    available = None
    if problem.available is not None:
        available = available_to(problem.available, game.actions, 0), available_to(problem.available, game.actions, 1)
    batch = xp.sum(problem.reward[..., 0], axis=-1) + 0 * problem.transition.row_sums()[..., 0, 0]  # reward or kernel may have batch axes

    def backup(v: Array, warm: Array | None) -> tuple[Stage, Array]:
        q = problem.reward + gamma * problem.transition.expect(v)
        stage = stage_saddle(xp.reshape(q, (*q.shape[:-1], *shape[-2:])), temperature, warm, available=available)
        return stage, xp.sum(problem.weight * stage.values, axis=-1) - v

    v, logits = (xp.zeros_like(batch), None) if warm is None else warm
    stage, residual = backup(v, logits)
    step = float("nan")
    for evaluation in range(1, MAX_EVALUATIONS + 1):
        together = stage.first[..., :, None] * stage.second[..., None, :]
        joint = problem.weight[..., None] * xp.reshape(together, (*together.shape[:-2], -1))
        kept = factorise(system(problem.transition.markov_chain(joint), gamma))
        newton = kept.solve(residual)
        step = sup_norm(newton)
        done = step <= max(POLICY_TOLERANCE * temperature, rounding_error(v, gamma))
        t, size = 1.0, sup_norm(residual)
        stage, following = backup(v + newton, stage.logits)
        while not done and sup_norm(following) > (1 - 1e-4 * t) * size and t > 1 / 64:
            t /= 2
            stage, following = backup(v + t * newton, stage.logits)
        if not done and t <= 1 / 64:  # a step of value iteration always contracts
            newton, t = residual, 1.0
            stage, following = backup(v + residual, stage.logits)
        v, residual = v + t * newton, following
        if done:
            policies = broadcast_over_leader_actions(stage.first, game.joint), broadcast_over_leader_actions(stage.second, game.joint)
            return SaddlePoint(policies, v, stage, step, evaluation, kept)
    raise PlanningError(f"the saddle point was not found in {MAX_EVALUATIONS} evaluations (last step {step:.3g}); are the tables finite?")
