"""The entropy-regularised Markov-perfect equilibrium of a Markov game, and which one where there are several.

Each of n followers maximises its own rewards and entropy bonus while the others keep to their policies.  With nodes n of the followers
(see `stackelberg_envs.processes.mdp.decision_problem`), the equilibrium solves::

    q_i(n,b_i) = sum_{b_-i} prod_{j != i} g_j(b_j|n) (r_i + gamma P V_i)(n,b)
    g_i = softmax(q_i / tau)          V_i(s) = sum_n w(n|s) tau LSE(q_i(n,.) / tau)

In a game of one step it is the logit equilibrium of McKelvey and Palfrey (Games and Economic Behavior 1995).  At a high temperature it is
unique and nearly uniform.  The one that is found is on the **principal branch**: it is followed from there as the temperature falls, by
Newton's method, and around folds by pseudo-arclength steps (Keller 1977; Eibelshaeuser and Poensgen, "Markov quantal response equilibrium
and a homotopy method", 2019, select so; there, values have no entropy bonus).  The choice does not depend on earlier questions, and it is
symmetric where the game is: then one follower stands for all.

The certificate follows from the residual R of the equations for q: the best response and the equilibrium policy move V_i by at most
max |R| in one Bellman step, so nobody gains more than ``2 max |R| / (1 - gamma)`` in any state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import DecisionProblem, decision_problem
from .equal_states import merge_equal_states
from .linear_systems import PlanningError
from .value_iteration import softmax_backup

LARGEST_SYSTEM = 3000
"""Unknowns of a dense linear system, 72 MB: action values of all followers, in all states that differ."""
MAX_NEWTON_STEPS = 30
CLOSE = 5
"""Newton's steps from one temperature to the next: where they do not suffice, the next is nearer."""
TOLERANCE = 1e-12
"""Of the residual, as a part of the largest action value."""
ON_THE_WAY = 1e-6
"""Likewise, at higher temperatures than the one that was asked for."""
ROUNDING = 1e-9
"""What is left of it where it falls no more, at most."""
FIRST_COOLING, COOLING = 30.0, 3.0
"""The temperature falls by these factors at a time, the first until Newton's method does not follow; and then by less where it does not."""
LEAST_COOLING = 1.01
BEYOND = 1.1
"""A fold of the branch is behind where the temperature has fallen by this factor."""
LEAP = 0.05
"""Of a probability, from where the branch is expected at the next temperature to where it is found."""
MAX_FOLD_STEPS = 500
LONGEST, LEAST_LENGTH = 0.3, 1e-7
"""Of steps along the branch."""


@dataclass(frozen=True)
class SoftNashPlan:
    """An equilibrium, and how it was reached."""

    policies: tuple[np.ndarray, ...]
    """g_i(b_i|n), shape (S, N, B_i) each."""
    values: np.ndarray
    """V_i(s), shape (n, S)."""
    certificate: float
    """What anybody could gain by deviating alone, in any state, at most."""
    evaluations: int
    """Newton steps."""


class StageEquations:
    """The equations for the action values q of the followers, one flat vector, with their derivatives; NumPy numbers, no batch axes.

    Args:
        game: n followers, discount below 1.  Where it is symmetric, q is that of one follower, whose policy all play.
    """

    def __init__(self, game: MarkovGame) -> None:
        self.game, self.gamma, self.everybody = game, game.follower_discount, range(len(game.actions))
        problems: list[DecisionProblem] = [decision_problem(game.of(i), game.of(i).follower_reward) for i in self.everybody]
        self.weight = np.asarray(problems[0].weight)
        self.nodes = self.weight.shape
        self.transition = problems[0].transition
        self.kernel = np.asarray(self.transition.dense())
        self.rewards = [np.broadcast_to(problem.reward, (*self.nodes, game.sizes[2])) for problem in problems]
        there = problems[0].available
        self.available = [None if there is None else np.asarray(available_to(there, game.actions, i)) for i in self.everybody]
        self.solved = self.everybody[:1] if self._symmetric() else self.everybody
        """The followers whose action values q has."""
        counts = [int(np.prod(self.nodes)) * game.actions[i] for i in self.solved]
        self._parts = [slice(end - count, end) for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True)]
        self.dimension = sum(counts)

    def part(self, player: int) -> slice:
        """Where in q the action values are by which a follower plays."""
        return self._parts[min(player, len(self._parts) - 1)]

    def own(self, q: np.ndarray, player: int) -> np.ndarray:
        """The part of q, or of other numbers laid out like it, that is a follower's: (S, N, B_i)."""
        return q[self.part(player)].reshape(*self.nodes, self.game.actions[player])

    def soft_values(self, q: np.ndarray, player: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """A follower's ``tau LSE(q_i / tau)`` at its nodes, (S, N), and g_i, (S, N, B_i)."""
        table, there = self.own(q, player), self.available[player]
        return softmax_backup(table if there is None else np.where(there, table, -np.inf), temperature)

    def rivals(self, player: int) -> list[tuple[int, int]]:
        """The other followers, each with the number of those whose policy it stands for."""
        return [(j, 1) for j in self.everybody if j != player] if len(self.solved) > 1 else [(1, len(self.everybody) - 1)]

    def policies_and_values(self, q: np.ndarray, temperature: float) -> tuple[list[np.ndarray], np.ndarray]:
        """g_i, (S, N, B_i) each, and V_i, (n, S), of all followers, at action values q."""
        policies, values = [], []
        for i in self.solved:
            best, policy = self.soft_values(q, i, temperature)
            policies.append(policy)
            values.append((self.weight * best).sum(-1))
        copies = len(self.everybody) - len(self.solved)
        return policies + policies[:1] * copies, np.stack(values + values[:1] * copies)

    def at(self, q: np.ndarray, temperature: float) -> Linearisation:
        """The equations at q."""
        return Linearisation(self, q, temperature)

    def mean_over(self, table: np.ndarray, policies: Sequence[np.ndarray], kept: Sequence[int]) -> np.ndarray:
        """The mean of a table over joint actions (S, N, B, ...) over all followers but those ``kept``: (S, N, B_i, B_j, ..., ...)."""
        mean = table.reshape(*self.nodes, *self.game.actions, -1)
        for i in reversed(self.everybody):
            if i not in kept:
                mean = _contract(mean, policies[i], 2 + i)
        return mean.reshape(*self.nodes, *(self.game.actions[i] for i in kept), *table.shape[3:])

    def _symmetric(self) -> bool:
        """Whether the game stays the same when the first follower and another change places."""
        if len(set(self.game.actions)) > 1 or any(there is not None for there in self.available):
            return False
        shape = (*self.nodes, *self.game.actions, -1)
        kernel, rewards = self.kernel.reshape(shape), [reward.reshape(shape) for reward in self.rewards]
        for other in self.everybody[1:]:
            exchanged = [rewards[other], *rewards[1:other], rewards[0], *rewards[other + 1 :]]
            pairs = [(kernel, kernel), *zip(rewards, exchanged, strict=True)]
            if not all(np.allclose(a.swapaxes(2, 2 + other), b, rtol=1e-12, atol=1e-12) for a, b in pairs):
                return False
        return True


def _contract(table: np.ndarray, policy: np.ndarray, axis: int) -> np.ndarray:
    """The mean over one axis of a table (S, N, ...) under a policy (S, N, B)."""
    moved = np.moveaxis(table, axis, -1)
    return (moved * policy.reshape(*policy.shape[:2], *[1] * (moved.ndim - 3), -1)).sum(-1)


class Linearisation:
    """The residual of the equations at q, and its Jacobian."""

    def __init__(self, equations: StageEquations, q: np.ndarray, temperature: float) -> None:
        self.equations, self.q, self.temperature = equations, q, temperature
        self.policies, self.values = equations.policies_and_values(q, temperature)
        gamma, expect = equations.gamma, equations.transition.expect
        self._payoffs = [equations.rewards[i] + gamma * np.asarray(expect(self.values[i])) for i in equations.solved]
        answered = [equations.mean_over(self._payoffs[i], self.policies, [i]).ravel() for i in equations.solved]
        self.residual = q - np.concatenate(answered)
        self.size = float(np.abs(self.residual).max())
        self.scale = 1 + float(np.abs(q).max())

    @cached_property
    def jacobian(self) -> np.ndarray:
        """d residual / d q, (D, D)."""
        e, tau, matrix = self.equations, self.temperature, np.eye(self.equations.dimension)
        (s, n), at_node = e.nodes, np.arange(e.weight.size)
        for i in e.solved:
            rows, b = matrix[e.part(i)], e.game.actions[i]
            moved = e.gamma * e.mean_over(e.kernel, self.policies, [i]).reshape(s * n * b, s)
            own = (e.weight[..., None] * self.policies[i]).reshape(s, -1)
            rows[:, e.part(i)] -= (moved[:, :, None] * own).reshape(s * n * b, -1)
            for j, times in e.rivals(i):
                g = self.policies[j].reshape(s * n, -1)
                pair = e.mean_over(self._payoffs[i], self.policies, sorted((i, j)))
                pair = (pair if i < j else pair.swapaxes(-1, -2)).reshape(s * n, b, -1)
                blocks = rows[:, e.part(j)].reshape(s * n, b, s * n, -1)
                blocks[at_node, :, at_node, :] -= times * (pair - pair @ g[..., None]) * g[:, None, :] / tau
                rows[:, e.part(j)] = blocks.reshape(s * n * b, -1)
        return matrix

    @cached_property
    def temperature_derivative(self) -> np.ndarray:
        """d residual / d log tau, (D,), by a central difference; Newton's method does not need its last digits."""
        ahead, behind = (self.equations.at(self.q, self.temperature * np.exp(sign * 1e-6)).residual for sign in (1, -1))
        return (ahead - behind) / 2e-6

    @cached_property
    def tangent(self) -> np.ndarray:
        """d q / d log tau along the branch, (D,)."""
        return np.linalg.solve(self.jacobian, -self.temperature_derivative)


def soft_nash(game: MarkovGame, temperature: float) -> SoftNashPlan:
    """The entropy-regularised Markov-perfect equilibrium on the principal branch.

    Args:
        game: n followers whose interests are not declared opposite, of NumPy numbers, without batch axes.
        temperature: tau > 0, of all.

    Raises:
        PlanningError: if the discount is 1, too many states differ, or the branch cannot be followed down to the temperature.
    """
    if game.zero_sum:
        raise PlanningError("opponents have a saddle point, and it is unique: take Saddle(temperature)")
    if not game.follower_discount < 1:
        raise PlanningError("SoftNash needs a discount below 1; where episodes end, Nash(selection) goes backwards from their end")
    merged, classes = merge_equal_states(game)
    equations = StageEquations(merged)
    if equations.dimension > LARGEST_SYSTEM:
        raise PlanningError(f"SoftNash has {equations.dimension} action values to solve for, over {LARGEST_SYSTEM}: take a smaller game")
    unit = max(float(np.ptp(reward)) for reward in equations.rewards)
    warm = max(temperature, 4 * unit / (1 - game.follower_discount))
    here, evaluations = _newton(equations.at(np.zeros(equations.dimension), warm), MAX_NEWTON_STEPS)
    factor = FIRST_COOLING
    while here is not None and here.temperature > temperature:
        cooler = max(temperature, here.temperature / factor)
        predicted = equations.at(here.q + np.log(cooler / here.temperature) * here.tangent, cooler)
        found, steps = _newton(predicted, CLOSE, ON_THE_WAY if cooler > temperature else TOLERANCE)
        evaluations += steps
        if found is not None and _is_near(predicted, found):
            here, factor = found, max(factor, min(factor**1.5, COOLING))
        elif factor > LEAST_COOLING:
            factor **= 0.5
        else:
            here, steps = _around_fold(here, unit, max(temperature, here.temperature / BEYOND))
            evaluations, factor = evaluations + steps, COOLING
    if here is None:
        raise PlanningError(
            "the branch of equilibria could not be followed to this temperature: are the tables finite?  Or take a higher temperature"
        )
    bound = 2 * here.size / (1 - game.follower_discount)
    return SoftNashPlan(tuple(policy[classes] for policy in here.policies), here.values[:, classes], bound, evaluations)


def _is_near(one: Linearisation, other: Linearisation) -> bool:
    """Whether no probability differs by more than `LEAP`: else it may be a point of another branch."""
    return all(np.abs(p - g).max() <= LEAP for p, g in zip(one.policies, other.policies, strict=True))


def _newton(start: Linearisation, most: int, tolerance: float = TOLERANCE) -> tuple[Linearisation | None, int]:
    """Where at most so many of Newton's steps lead, None where the residual does not fall at each; and how many there were."""
    here = start
    for step in range(most):
        if here.size <= tolerance * here.scale:
            return here, step
        try:
            there = here.equations.at(here.q - np.linalg.solve(here.jacobian, here.residual), here.temperature)
        except np.linalg.LinAlgError:
            return None, step
        if not there.size < here.size:
            return (here if here.size <= ROUNDING * here.scale else None), step
        here = there
    return None, most


def _around_fold(start: Linearisation, unit: float, goal: float) -> tuple[Linearisation | None, int]:
    """Where the branch is at temperature ``goal``, by pseudo-arclength steps (Keller 1977): it may turn to higher ones first."""
    here, evaluations, length = start, 0, 0.05
    scales = np.append(np.full(len(start.q), unit * np.sqrt(len(start.q))), 1.0)  # of q and log tau, in the length of the curve
    tangent = np.append(np.zeros(len(start.q)), -1.0)
    for _ in range(MAX_FOLD_STEPS):
        tangent = _solve_extended(here, tangent / scales**2, np.append(np.zeros(len(here.q)), 1.0))
        tangent /= np.linalg.norm(tangent / scales)
        while True:
            there, steps = _correct(here, length * tangent, scales)
            evaluations += steps
            if there is not None and there.temperature <= goal:
                part = np.log(here.temperature / goal) / np.log(here.temperature / there.temperature)
                there, steps = _newton(here.equations.at(here.q + part * (there.q - here.q), goal), CLOSE)
                if there is not None:
                    return there, evaluations + steps
            if there is not None:
                break
            length /= 2
            if length < LEAST_LENGTH:
                return None, evaluations
        here, length = there, min(1.5 * length, LONGEST)
    return None, evaluations


def _correct(here: Linearisation, ahead: np.ndarray, scales: np.ndarray) -> tuple[Linearisation | None, int]:
    """The point of the branch in the plane through ``here + ahead`` normal to ``ahead``, None if it is not found; and Newton's steps."""
    normal = ahead / scales**2
    start = np.append(here.q, np.log(here.temperature)) + ahead
    there, before = here.equations.at(start[:-1], np.exp(start[-1])), np.inf
    for step in range(CLOSE):
        if there.size <= TOLERANCE * there.scale or not there.size < before:
            return (there if there.size <= ROUNDING * there.scale else None), step
        before, at = there.size, np.append(there.q, np.log(there.temperature))
        at = at - _solve_extended(there, normal, np.append(there.residual, normal @ (at - start)))
        there = here.equations.at(at[:-1], np.exp(at[-1]))
    return None, CLOSE


def _solve_extended(here: Linearisation, row: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """The solution (D + 1,) of a system whose matrix is the Jacobian in (q, log tau), and ``row`` below it."""
    matrix = np.empty((len(row), len(row)))
    matrix[:-1, :-1], matrix[:-1, -1], matrix[-1] = here.jacobian, here.temperature_derivative, row
    return np.linalg.solve(matrix, rhs)
