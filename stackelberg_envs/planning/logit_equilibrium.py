"""The logit equilibrium of a Markov game between two, on the principal branch: the equilibrium to which uniform play leads.

McKelvey and Palfrey, "Quantal response equilibria for normal form games", GEB 1995.  Each plays softmax of its action values over the
temperature tau, given what the other plays; here values include the entropy, so that each is at its regularised optimum.  In units of the
temperature, at precision l = 1 / tau, with nodes n of a state s and their weights w::

    z_0(s,n,b) = sum_c g_1(c|s,n) (l r_0(s,n,b,c) + gamma sum_s' P(s'|s,n,b,c) U_0(s'))     g_0 = softmax(z_0), and likewise for the other
    U_i(s)     = sum_n w(n|s) log sum_b exp z_i(s,n,b)

At l = 0 everybody plays evenly, and that is the only solution.  From there solutions lie on a path, the principal branch, which for almost
all games leads to every l, and this is how one of several equilibria is selected (Turocy, "A dynamic homotopy interpretation of the
logistic quantal response equilibrium correspondence", GEB 2005).  It may turn back on the way, and then forth again: it is followed by its
length, and not by l (pseudo-arclength continuation, Keller 1977), with Newton's method after each step.  Of the points at which it passes
the wanted l, the first is taken.

States whose tables are equal, row by row, have equal solutions there, and are solved as one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import at_nodes, decision_problem
from .linear_systems import PlanningError

LARGEST_SYSTEM = 3000
"""Unknowns of a dense linear system, 72 MB: action values of both, in all states that differ."""
NEWTON_STEPS = 7
"""After a step along the path; where so many do not do, it was too long."""
LONGEST_PATH = 2000
"""Steps along the path, those in vain included."""
STEP_TOLERANCE, NEAR_ENOUGH = 1e-11, 1e-5
"""Newton stops when action values, in units of the temperature, change by less in relation to the largest: at the end, and on the way."""
LARGEST_STEP = 1e6
"""A Newton step in vain, in the same units."""
LEAST_COSINE = 0.7
"""Between the path's directions before and after a step; where it turns more, the step was too long."""
LARGEST_CHANGE = 0.05
"""Of any probability in a step along the path; steps that change more may jump to another path."""
LARGEST_RISES = (0.3, 0.2, 0.13, 0.07)
"""Of the logarithm of the precision in a step, likewise; where paths cross, steps of some lengths meet the crossing and are lost there, and
the next is tried."""
SHORTEST = 1e-9
"""A step along the path."""


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
        PlanningError: if there are not two followers, too many different states, or the path is lost.
    """
    if len(game.actions) != 2:
        raise PlanningError(f"a logit equilibrium is for two followers, and here {len(game.actions)} interact: take Nash(selection)")
    tables, classes = _different_states(game)
    size = tables.weight.size * sum(game.actions)
    if size > LARGEST_SYSTEM:
        raise PlanningError(
            f"a logit equilibrium of {tables.weight.size} different nodes has {size} unknowns, over {LARGEST_SYSTEM}: take a smaller game"
        )
    z, step, evaluations = _first_found(tables, 1 / temperature)
    parts = list(zip(_split(tables, z), tables.there, strict=True))
    policies = tuple(_softmax(each, there)[0][classes] for each, there in parts)
    values = np.stack([_state_values(tables, each, there)[classes] for each, there in parts])
    return LogitSolution(policies, temperature * values, temperature * step, evaluations)  # type: ignore[arg-type]


def _first_found(tables: _Tables, target: float) -> tuple[np.ndarray, float, int]:
    """`_follow_path` with the first of `LARGEST_RISES` by which it is not lost."""
    *tried, shortest = LARGEST_RISES
    for rise in tried:
        with suppress(PlanningError):
            return _follow_path(tables, target, rise)
    return _follow_path(tables, target, shortest)


def _follow_path(tables: _Tables, target: float, rise: float) -> tuple[np.ndarray, float, int]:
    """(action values of both (M,), size of the last Newton step, Newton steps) where the principal branch first comes to ``target``."""
    size = sum(there.size for there in tables.there)
    largest = float(np.abs(tables.rewards).max())
    precision, end, evaluations = (min(target, 0.5 / largest) if largest > 0 else target), np.log(target), NEWTON_STEPS
    upwards = np.eye(size + 1)[-1]
    while (found := _newton(tables, np.append(np.zeros(size), np.log(precision)), upwards, STEP_TOLERANCE)) is None:
        precision /= 2
    point, length, tangent = found.point, 1.0, _tangent(found, upwards)
    for _ in range(LONGEST_PATH):
        if point[-1] >= end:
            return point[:-1], found.step, evaluations
        length = min(length, rise / abs(tangent[-1]))
        last = point[-1] + length * tangent[-1] >= end
        reach = (end - point[-1]) / tangent[-1] if last else length
        corrected = _newton(tables, point + reach * tangent, upwards if last else tangent, STEP_TOLERANCE if last else NEAR_ENOUGH)
        evaluations += NEWTON_STEPS if corrected is None else corrected.evaluations
        following = tangent if corrected is None else _tangent(corrected, tangent)
        if (
            corrected is None
            or following @ (tangent * _metric(tangent)) < LEAST_COSINE
            or _largest_change(tables, point, corrected.point) > LARGEST_CHANGE
        ):
            length = reach / 2
            if length < SHORTEST:
                break
            continue
        found, point, tangent = corrected, corrected.point, following
        length = reach * (2.0 if found.evaluations < NEWTON_STEPS - 1 else 1.0)
    raise PlanningError(f"the principal branch of logit equilibria was lost at temperature {np.exp(-point[-1]):.4g}")


class _Corrected(NamedTuple):
    """What Newton's method made of a guess."""

    point: np.ndarray
    """On the path, (M + 1,): action values of both, and the logarithm of the precision."""
    jacobian: np.ndarray
    """Of what is 0 on the path, (M, M + 1), before the last step."""
    step: float
    """Size of the last step."""
    evaluations: int


def _newton(tables: _Tables, guess: np.ndarray, direction: np.ndarray, tolerance: float) -> _Corrected | None:
    """The point of the path whose difference from ``guess`` has no part along ``direction``, both (M + 1,); None if it is not found."""
    point, row = guess, (direction * _metric(direction))[None]
    for used in range(1, NEWTON_STEPS + 1):
        residual, jacobian = _residual(tables, point)
        step = np.linalg.solve(np.concatenate([jacobian, row]), -np.append(residual, row @ (point - guess)))
        size = float(np.abs(step).max())
        if not (size < LARGEST_STEP and abs(step[-1]) < 1):
            return None
        point = point + step
        if size < tolerance * max(1.0, float(np.abs(point).max())):
            return _Corrected(point, jacobian, size, used)
    return None


def _tangent(found: _Corrected, before: np.ndarray) -> np.ndarray:
    """The direction of the path, of length 1 and onwards from ``before``; (M + 1,)."""
    weight = _metric(before)
    along = np.linalg.solve(np.concatenate([found.jacobian, (before * weight)[None]]), np.eye(len(before))[-1])
    return along / np.sqrt(along @ (weight * along))


def _metric(point: np.ndarray) -> np.ndarray:
    """Weights of squares in lengths along the path, (M + 1,): the mean over action values, and the logarithm of the precision."""
    return np.append(np.full(len(point) - 1, 1 / (len(point) - 1)), 1.0)


def _largest_change(tables: _Tables, before: np.ndarray, after: np.ndarray) -> float:
    """Of any probability, between two points of the path."""
    played = [
        [_softmax(z, there)[0] for z, there in zip(_split(tables, point[:-1]), tables.there, strict=True)] for point in (before, after)
    ]
    return max(float(np.abs(one - other).max()) for one, other in zip(*played, strict=True))


def _split(tables: _Tables, z: np.ndarray) -> list[np.ndarray]:
    """Action values of each (K, N, B_i), from those of both (M,)."""
    first, second = tables.there
    return [z[: first.size].reshape(first.shape), z[first.size :].reshape(second.shape)]


def _residual(tables: _Tables, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z less its right-hand side, (M,), and the derivative of that in z and in the logarithm of the precision, (M, M + 1)."""
    z, precision = _split(tables, point[:-1]), np.exp(point[-1])
    residuals, derivative, starts = [], np.zeros((len(point) - 1, len(point))), (0, z[0].size, len(point) - 1)
    played = [_softmax(each, there) for each, there in zip(z, tables.there, strict=True)]
    k, n = tables.weight.shape
    for i in range(2):
        own, other, there = played[i][0], played[1 - i][0][..., None], tables.there[i]
        rewards, kernel = tables.rewards[i], tables.kernel
        if i == 1:
            rewards, kernel = rewards.swapaxes(-1, -2), kernel.swapaxes(-2, -3)
        payoffs = precision * rewards + kernel @ (tables.weight * played[i][1]).sum(-1)  # (K, N, B_i, B_j)
        worth = payoffs @ other
        residuals.append(np.where(there, z[i] - worth[..., 0], 0.0).ravel())
        moved = there[..., None] * other[..., None, :, 0] * (payoffs - worth)  # derivative in the other's z, (K, N, B_i, B_j)
        across, index = np.zeros((k * n, own.shape[-1], k * n, other.shape[-2])), np.arange(k * n)
        across[index, :, index, :] = moved.reshape(k * n, *moved.shape[-2:])
        arrives = there[..., None] * (kernel.swapaxes(-1, -2) @ other[..., None, :, :])[..., 0]  # (K, N, B_i, K)
        later = arrives[..., None, None] * tables.weight[:, :, None] * own
        mine, its = slice(starts[i], starts[i + 1]), slice(starts[1 - i], starts[2 - i])
        derivative[mine, mine] = np.eye(own.size) - later.reshape(own.size, own.size)
        derivative[mine, its] = -across.reshape(own.size, -1)
        derivative[mine, -1] = np.where(there, -precision * (rewards @ other)[..., 0], 0.0).ravel()
    return np.concatenate(residuals), derivative


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
    found: dict[bytes, int] = {}
    classes = np.array([found.setdefault(row.tobytes(), len(found)) for row in rows])
    first = np.unique(classes, return_index=True)[1]
    chosen = np.eye(len(first))[classes].T
    kernel = np.stack([np.asarray(problem.transition.expect(one))[first] for one in chosen], axis=-1)
    shape = (len(first), n, *game.actions)
    return _Tables(
        problem.weight[first],
        rewards[:, first].reshape(2, *shape),
        game.follower_discount * kernel.reshape(*shape, len(first)),
        tuple(available_to(there[first], game.actions, i) for i in range(2)),  # type: ignore[arg-type]
    ), classes
