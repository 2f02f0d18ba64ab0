"""What no commitment can beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from .game import StackelbergGame, as_tuple, check_game
from .planning.hard_policy_iteration import hard_policy_iteration
from .planning.linear_systems import PlanningError
from .processes.mdp import DecisionProblem
from .processes.transitions import equal_tables


class BoundError(ValueError):
    """Why a game has no `cooperative_value`."""


def upper_bound(game: StackelbergGame) -> float | None:
    """The smaller of `cooperative_value` and the bound that the game itself proves, its piece ``upper_bound``; None without either.

    It holds against every follower; `stackelberg_envs.upper_bounds` adds those that are proved against one.
    """
    check_game(game)
    bounds = (None if game.upper_bound is None else game.upper_bound(), cooperative_value(game))
    return min((bound for bound in bounds if bound is not None), default=None)


def cooperative_value(game: StackelbergGame, *, strict: bool = False) -> float | None:
    """The leader's best return if it chose the followers' actions too: an upper bound on F, whatever the followers want.

    What the leader pays for its instrument (`StackelbergGame.leader_cost`) is left out, which keeps it a bound as long as no instrument
    pays the leader.  Whether anything else moves with the commitment is probed at a few commitments, and not proved.

    Args:
        game: the game.
        strict: raise an error that says why there is no bound, where there is none.

    Returns:
        None where there is no such bound to compute this way: dynamics or rewards that move with the commitment, a negative cost, an
        objective that is not a sum over steps, a world without tables, or a value that is infinite.

    Raises:
        BoundError: if ``strict`` and there is no such bound.
    """
    try:
        return _cooperative_value(game)
    except BoundError:
        if strict:
            raise
        return None


def _cooperative_value(game: StackelbergGame) -> float:
    check_game(game)
    if not game.additive:
        raise BoundError(f"{game.name} has no cooperative value: its objective is not a sum of rewards over steps")
    if game.crowd:
        raise BoundError(f"{game.name} has no cooperative value: its rewards move with what a crowd does")
    if not game.tabular:
        raise BoundError(f"{game.name} has no cooperative value: its worlds have no tables")
    probes = probe_commitments(game)
    total = 0.0
    for context, probability in enumerate(game.context_probabilities):
        (problems, free), *others = (_rewards_before_cost(game, x, context) for x in probes)
        if any(not _same_dynamics_and_rewards(problems, free, *other) for other in others):
            raise BoundError(
                f"{game.name} has no cooperative value: its dynamics, or the leader's rewards before leader_cost, move with the commitment"
            )
        for mdp, reward in zip(problems, free, strict=True):
            s, a, b = mdp.sizes  # of interacting followers, their joint actions
            available = None if mdp.available is None else mdp.available.reshape(s, 1, a * b)
            joint = DecisionProblem(np.ones((s, 1)), reward.reshape(s, 1, a * b), mdp.kernel.join_actions(), available, mdp.initial)
            try:
                values = hard_policy_iteration(joint, mdp.leader_discount).values
            except PlanningError as error:
                raise BoundError(f"{game.name} has no cooperative value: {error}") from error
            total += float(probability) * float(np.asarray(mdp.initial) @ values)
    return total


def probe_commitments(game: StackelbergGame) -> tuple[np.ndarray, ...]:
    """Commitments (n,) at which bounds look whether anything moves that must not: the null one, the corners of the box, and a wave."""
    wave = np.cos(np.arange(game.dimension))
    return np.zeros(game.dimension), wave, -wave, game.leader_space.low, game.leader_space.high


def same_tables(mdp: Any, other: Any, names: tuple[str, ...], tolerance: float) -> bool:
    """Whether two processes have the same dynamics, and tables of these ``names`` that differ by ``tolerance`` at most."""
    same = all(np.allclose(getattr(mdp, name), getattr(other, name), rtol=0, atol=tolerance) for name in names)
    return same and equal_tables(mdp.transition, other.transition)


def _same_dynamics_and_rewards(
    problems: tuple[Any, ...], free: list[np.ndarray], others: tuple[Any, ...], rewards: list[np.ndarray]
) -> bool:
    """Whether two commitments leave dynamics and uncosted rewards alone."""
    return all(
        equal_tables(mdp.transition, other.transition) and np.allclose(reward, other_reward, rtol=0, atol=1e-12)
        for mdp, other, reward, other_reward in zip(problems, others, free, rewards, strict=True)
    )


def _rewards_before_cost(game: StackelbergGame, x: np.ndarray, context: int) -> tuple[tuple[Any, ...], list[np.ndarray]]:
    """What the followers face, and what the leader is paid before it pays for its instrument.

    Raises:
        BoundError: if the instrument pays the leader.
    """
    problems = game.problems(x, context)
    costs = (0.0,) * len(problems) if game.leader_cost is None else as_tuple(game.leader_cost(x, context))
    if any((np.asarray(cost) < 0).any() for cost in costs):
        raise BoundError(
            f"{game.name} has no cooperative value: leader_cost is below 0, so that the leader earns by its instrument; a bound is that of "
            "the same game with the highest earnings at every commitment (docs/how-to/add-a-game.md, How good is it?)"
        )
    free = [np.asarray(mdp.leader_reward) + cost for mdp, cost in zip(problems, costs, strict=True)]
    masks = [True if mdp.available is None else np.asarray(mdp.available) for mdp in problems]
    return problems, [np.where(mask, reward, 0.0) for mask, reward in zip(masks, free, strict=True)]
