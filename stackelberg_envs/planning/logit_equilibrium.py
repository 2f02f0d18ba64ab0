"""The logit equilibrium of a Markov game between two, on the principal branch: the equilibrium to which uniform play leads.

McKelvey and Palfrey, "Quantal response equilibria for normal form games", GEB 1995.  Each plays softmax of its action values over the
temperature tau, given what the other plays; here values include the entropy, so that each is at its regularised optimum.  In units of the
temperature, at precision l = 1 / tau, with nodes n of a state s and their weights w::

    z_0(s,n,b) = sum_c g_1(c|s,n) (l r_0(s,n,b,c) + gamma sum_s' P(s'|s,n,b,c) U_0(s'))     g_0 = softmax(z_0), and likewise for the other
    U_i(s)     = sum_n w(n|s) log sum_b exp z_i(s,n,b)

At l = 0 everybody plays evenly, and that is the only solution.  As l rises, solutions follow on a path, the principal branch; for almost
all games it is the only one that leads from l = 0 to any l, and this is how one of several equilibria is selected (Turocy, "A dynamic
homotopy interpretation of the logistic quantal response equilibrium correspondence", GEB 2005).  The path is followed by Newton's method
at rising l, each from the last solution, with smaller steps where Newton takes long.

States whose tables are equal, row by row, have equal solutions there, and are solved as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import at_nodes, decision_problem
from .linear_systems import PlanningError

LARGEST_SYSTEM = 3000
"""Unknowns of a dense linear system, 72 MB: action values of both, in all states that differ."""
NEWTON_STEPS = 8
"""On the path; where so many do not do, the step in l was too long."""
STEP_TOLERANCE = 1e-10
"""Newton stops when log-probabilities change by less."""
FASTEST, SLOWEST = 4.0, 1.0005
"""Factors by which l rises in a step."""


class LogitSolution(NamedTuple):
    """An equilibrium on the principal branch, and how it was reached."""

    policies: tuple[np.ndarray, np.ndarray]
    """At the nodes, each (S, N, B_i)."""
    values: np.ndarray
    """Of both, with entropy, (2, S)."""
    step: float
    """Size of the last Newton step, in units of value."""
    evaluations: int
    """Newton steps, all along the path."""


@dataclass(frozen=True, eq=False)
class _Tables:
    """A game whose states all differ: K of them."""

    weight: np.ndarray
    """(K, N)."""
    rewards: np.ndarray
    """(2, K, N, B_0, B_1)."""
    kernel: np.ndarray
    """gamma P(k'|k,n,b,c), (K, N, B_0, B_1, K)."""
    there: tuple[np.ndarray, np.ndarray]
    """Which actions there are, each (K, N, B_i)."""


def logit_equilibrium(game: MarkovGame, temperature: float) -> LogitSolution:
    """The logit equilibrium of two followers at ``temperature`` > 0 on the principal branch.

    Args:
        game: without batch axes, NumPy.
        temperature: tau of both, in units of reward.

    Raises:
        PlanningError: if there are not two followers, too many different states, or the path turns back, which is where an equilibrium
            nearby ceases to exist.
    """
    if len(game.actions) != 2:
        raise PlanningError(f"a logit equilibrium is for two followers, and here {len(game.actions)} interact: take Nash(selection)")
    tables, classes = _different_states(game)
    size = tables.weight.size * sum(game.actions)
    if size > LARGEST_SYSTEM:
        raise PlanningError(
            f"a logit equilibrium of {tables.weight.size} different nodes has {size} unknowns, over {LARGEST_SYSTEM}: take a smaller game"
        )
    z = tuple(np.zeros(there.shape) for there in tables.there)
    scale = float(np.abs(tables.rewards).max())
    precision, target, factor, evaluations = 0.0, 1 / temperature, FASTEST, 0
    while precision < target:
        following = min(target, 0.5 / scale if precision == 0 and scale > 0 else precision * factor or target)
        corrected, step, used = _newton(tables, z, following)
        evaluations += used
        if corrected is not None:
            z, precision, last = corrected, following, step
            factor = min(FASTEST, factor**1.5) if used < NEWTON_STEPS - 2 else factor
        elif precision == 0 and scale > 0:
            scale *= 2
        else:
            factor = factor**0.5
            if factor < SLOWEST:
                raise PlanningError(
                    f"the principal branch of logit equilibria turns back at temperature {1 / precision:.4g}, before {temperature:.4g}: "
                    "take a higher temperature"
                )
    policies = tuple(_softmax(each, there)[0][classes] for each, there in zip(z, tables.there, strict=True))
    values = np.stack([_state_values(tables, each, there)[classes] for each, there in zip(z, tables.there, strict=True)])
    return LogitSolution(policies, temperature * values, temperature * last, evaluations)  # type: ignore[arg-type]


def _newton(tables: _Tables, z: tuple[np.ndarray, ...], precision: float) -> tuple[Any, float, int]:
    """(action values of both, size of the last step, steps) at ``precision``, from those nearby; None where it does not converge."""
    sizes = [each.size for each in z]
    for used in range(1, NEWTON_STEPS + 1):
        residual, jacobian = _residual(tables, z, precision)
        step = np.linalg.solve(jacobian, -residual)
        size = float(np.abs(step).max())
        if not np.isfinite(size):
            break
        parts = np.split(step, sizes[:1])
        z = tuple(each + part.reshape(each.shape) for each, part in zip(z, parts, strict=True))
        if size < STEP_TOLERANCE:
            return z, size, used
    return None, np.inf, NEWTON_STEPS


def _residual(tables: _Tables, z: tuple[np.ndarray, ...], precision: float) -> tuple[np.ndarray, np.ndarray]:
    """z less its right-hand side, (M,), and the derivative of that, (M, M); the other's values come in by its policy."""
    residuals, blocks = [], []
    policies = [_softmax(each, there)[0] for each, there in zip(z, tables.there, strict=True)]
    k, n = tables.weight.shape
    for i in range(2):
        own, other = policies[i], policies[1 - i]
        rewards, kernel = tables.rewards[i], tables.kernel
        if i == 1:
            rewards, kernel = rewards.swapaxes(-1, -2), kernel.swapaxes(-2, -3)
        payoffs = precision * rewards + kernel @ _state_values(tables, z[i], tables.there[i])  # (K, N, B_i, B_j)
        there = tables.there[i]
        residuals.append(np.where(there, z[i] - np.einsum("knbc,knc->knb", payoffs, other), 0.0).ravel())
        moved = other[..., None, :] * payoffs
        moved -= moved.sum(-1, keepdims=True) * other[..., None, :]  # derivative in the other's z, (K, N, B_i, B_j)
        arrives = np.einsum("knbcl,knc->knbl", kernel, other)
        later = np.einsum("knbl,lm,lma->knblma", arrives, tables.weight, own)
        mask = there.astype(float)
        rows, columns = own[0, 0].size, other[0, 0].size
        across = np.zeros((k * n, rows, k * n, columns))
        index = np.arange(k * n)
        across[index, :, index, :] = (mask[..., None] * moved).reshape(k * n, rows, columns)
        straight = np.eye(own.size) - (mask[..., None, None, None] * later).reshape(own.size, own.size)
        blocks.append((straight, -across.reshape(own.size, other.size)))
    (first, across_first), (second, across_second) = blocks
    return np.concatenate(residuals), np.block([[first, across_first], [across_second, second]])


def _softmax(z: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities (K, N, B), log-sum-exp (K, N)) over the actions that are there."""
    top = np.where(there, z, -np.inf).max(-1, keepdims=True)
    weights = np.where(there, np.exp(np.where(there, z - top, 0.0)), 0.0)
    total = weights.sum(-1, keepdims=True)
    return weights / total, (top + np.log(total))[..., 0]


def _state_values(tables: _Tables, z: np.ndarray, there: np.ndarray) -> np.ndarray:
    """U(k), (K,)."""
    return (tables.weight * _softmax(z, there)[1]).sum(-1)


def _different_states(game: MarkovGame) -> tuple[_Tables, np.ndarray]:
    """The game of states that differ, and which of them each state is, integers (S,)."""
    joint = game.joint
    problem = decision_problem(joint, joint.leader_reward)
    s, n = problem.weight.shape
    rewards = np.stack([at_nodes(joint, reward) for reward in game.follower_rewards])  # (2, S, N, B)
    there = np.ones(rewards.shape[1:], dtype=bool) if problem.available is None else problem.available
    successors, cumulated, _ = problem.transition.cumulative_successors()
    each: list[np.ndarray] = [problem.weight, *rewards, there, successors, cumulated]
    rows = np.concatenate([np.asarray(table, dtype=np.float64).reshape(s, -1) for table in each], axis=1)
    _, first, classes = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    classes = classes.reshape(-1)
    chosen = np.eye(len(first))[classes].T
    kernel = np.stack([np.asarray(problem.transition.expect(one))[first] for one in chosen], axis=-1)
    shape = (len(first), n, *game.actions)
    return _Tables(
        problem.weight[first],
        rewards[:, first].reshape(2, *shape),
        game.follower_discount * kernel.reshape(*shape, len(first)),
        tuple(available_to(there[first], game.actions, i) for i in range(2)),  # type: ignore[arg-type]
    ), classes
