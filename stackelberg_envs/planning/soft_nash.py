"""The entropy-regularised Markov-perfect equilibrium of a Markov game, and which one where there are several.

Each of n followers maximises its own rewards and entropy bonus while the others keep to their policies.  With nodes n of the followers
(see `stackelberg_envs.processes.mdp.decision_problem`), the equilibrium solves::

    q_i(n,b_i) = sum_{b_-i} prod_{j != i} g_j(b_j|n) (r_i + gamma P V_i)(n,b)
    g_i = softmax(q_i / tau)          V_i(s) = sum_n w(n|s) tau LSE(q_i(n,.) / tau)

In a game of one step it is the logit equilibrium of McKelvey and Palfrey (Games and Economic Behavior 1995).  At a high temperature it is
unique and nearly uniform.  The one that is found is on the **principal branch**: it is followed from there as the temperature falls, by
Newton's method (Eibelshaeuser and Poensgen, "Markov quantal response equilibrium and a homotopy method", 2019, select so; there, values have
no entropy bonus).  The choice does not depend on earlier questions, and it is symmetric where the game is.

The certificate follows from the residual R of the equations for q: the best response and the equilibrium policy move V_i by at most
max |R| in one Bellman step, so nobody gains more than ``2 max |R| / (1 - gamma)`` in any state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase

import numpy as np

from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import DecisionProblem, decision_problem
from .linear_systems import PlanningError
from .value_iteration import softmax_backup

MAX_NEWTON_STEPS = 30
CLOSE = 8
"""Newton's steps from one temperature to the next: where they do not suffice, the next is nearer."""
COOLING = 3.0
"""The temperature falls by this factor at a time, and by less where Newton's method does not follow."""
LEAST_COOLING = 1.01
MAX_FOLD_STEPS = 500
TOLERANCE = 1e-12
"""Of the residual, as a part of the largest action value."""


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
    """The equations for the action values q of all followers, one flat vector, with their derivatives; NumPy numbers, no batch axes.

    Args:
        game: n followers, discount below 1.
    """

    def __init__(self, game: MarkovGame) -> None:
        self.game, self.gamma = game, game.follower_discount
        problems: list[DecisionProblem] = [decision_problem(game.of(i), game.of(i).follower_reward) for i in range(len(game.actions))]
        self.weight = np.asarray(problems[0].weight)
        self.nodes = self.weight.shape
        self.transition = problems[0].transition
        self.rewards = [np.broadcast_to(problem.reward, (*self.nodes, game.sizes[2])) for problem in problems]
        there = problems[0].available
        self.available = [None if there is None else np.asarray(available_to(there, game.actions, i)) for i in range(len(game.actions))]
        counts = [int(np.prod(self.nodes)) * b for b in game.actions]
        self._parts = [slice(end - count, end) for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True)]
        self.dimension = sum(counts)

    def split(self, q: np.ndarray) -> list[np.ndarray]:
        """q as one table a follower, (S, N, B_i)."""
        return [q[part].reshape(*self.nodes, b) for part, b in zip(self._parts, self.game.actions, strict=True)]

    def join(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """The inverse of `split`."""
        return np.concatenate([table.ravel() for table in tables])

    def policies_and_values(self, q: np.ndarray, temperature: float) -> tuple[list[np.ndarray], np.ndarray]:
        """g_i, (S, N, B_i) each, and V_i, (n, S), at action values q."""
        policies, values = [], []
        for table, there in zip(self.split(q), self.available, strict=True):
            best, policy = softmax_backup(table if there is None else np.where(there, table, -np.inf), temperature)
            policies.append(policy)
            values.append((self.weight * best).sum(-1))
        return policies, np.stack(values)

    def at(self, q: np.ndarray, temperature: float) -> Linearisation:
        """The equations at q."""
        return Linearisation(self, q, temperature)

    def mean_over(self, table: np.ndarray, policies: Sequence[np.ndarray], kept: Sequence[int]) -> np.ndarray:
        """The mean of a table over joint actions (S, N, B, ...) over all followers but those ``kept``: (S, N, B_i, B_j, ..., ...)."""
        actions, more = self.game.actions, table.shape[3:]
        letters = ascii_lowercase[: len(actions)]
        others = [i for i in range(len(actions)) if i not in kept]
        formula = ",".join([f"YZ{letters}...", *(f"YZ{letters[i]}" for i in others)]) + "->YZ" + "".join(letters[i] for i in kept) + "..."
        return np.einsum(formula, table.reshape(*self.nodes, *actions, *more), *(policies[i] for i in others), optimize=len(actions) > 2)


class Linearisation:
    """The residual of the equations at q, and its Jacobian."""

    def __init__(self, equations: StageEquations, q: np.ndarray, temperature: float) -> None:
        self.equations, self.q, self.temperature = equations, q, temperature
        self.policies, self.values = equations.policies_and_values(q, temperature)
        gamma, expect = equations.gamma, equations.transition.expect
        self._payoffs = [reward + gamma * np.asarray(expect(v)) for reward, v in zip(equations.rewards, self.values, strict=True)]
        answered = [equations.mean_over(table, self.policies, [i]) for i, table in enumerate(self._payoffs)]
        self.residual = q - equations.join(answered)
        self.size = float(np.abs(self.residual).max())
        self.scale = 1 + float(np.abs(q).max())

    @cached_property
    def jacobian(self) -> np.ndarray:
        """d residual / d q, (D, D)."""
        e, tau, players = self.equations, self.temperature, range(len(self.equations.game.actions))
        (s, n), kernel = e.nodes, np.asarray(e.transition.dense())
        matrix = np.eye(e.dimension)
        at_node = np.arange(s * n)
        for i in players:
            rows, b = matrix[e._parts[i]], e.game.actions[i]
            moved = e.gamma * e.mean_over(kernel, self.policies, [i]).reshape(s * n * b, s)
            own = (e.weight[..., None] * self.policies[i]).reshape(s, -1)
            rows[:, e._parts[i]] -= (moved[:, :, None] * own).reshape(s * n * b, -1)
            for j in players:
                if j == i:
                    continue
                g = self.policies[j].reshape(s * n, -1)
                pair = e.mean_over(self._payoffs[i], self.policies, sorted((i, j))).reshape(s * n, *(e.game.actions[k] for k in sorted((i, j))))
                pair = pair if i < j else pair.swapaxes(-1, -2)
                reaction = (pair - (pair @ g[..., None])) * g[:, None, :] / tau
                blocks = rows[:, e._parts[j]].reshape(s * n, b, s * n, -1)
                blocks[at_node, :, at_node, :] -= reaction
                rows[:, e._parts[j]] = blocks.reshape(s * n * b, -1)
        return matrix


def soft_nash(game: MarkovGame, temperature: float) -> SoftNashPlan:
    """The entropy-regularised Markov-perfect equilibrium on the principal branch.

    Args:
        game: n followers whose interests are not declared opposite, of NumPy numbers, without batch axes.
        temperature: tau > 0, of all.

    Raises:
        PlanningError: if the discount is 1, or the branch cannot be followed down to the temperature.
    """
    if game.zero_sum:
        raise PlanningError("opponents have a saddle point, and it is unique: take Saddle(temperature)")
    if not game.follower_discount < 1:
        raise PlanningError("SoftNash needs a discount below 1; where episodes end, Nash(selection) goes backwards from their end")
    equations = StageEquations(game)
    spread = max(float(np.ptp(reward)) for reward in equations.rewards)
    warm = max(temperature, spread)
    here, evaluations = _newton(equations.at(np.zeros(equations.dimension), warm), MAX_NEWTON_STEPS)
    factor, tau = COOLING, warm
    while here is not None and tau > temperature:
        found, steps = _newton(equations.at(here.q, max(temperature, tau / factor)), CLOSE)
        evaluations += steps
        if found is not None:
            here, factor = found, min(factor**1.5, COOLING)
        elif factor > LEAST_COOLING:
            factor **= 0.5
        else:
            here, steps = _around_fold(here, spread)
            evaluations += steps
            factor = COOLING
        tau = temperature if here is None else here.temperature
    if here is None:
        raise PlanningError(
            "the branch of equilibria could not be followed to this temperature: are the tables finite?  Or take a higher temperature"
        )
    bound = 2 * here.size / (1 - game.follower_discount)
    return SoftNashPlan(tuple(here.policies), here.values, bound, evaluations)


def _newton(start: Linearisation, most: int) -> tuple[Linearisation | None, int]:
    """Where at most so many of Newton's steps lead from ``start``, None where the residual does not fall at each; and how many there were."""
    here = start
    for step in range(most):
        if here.size <= TOLERANCE * here.scale:
            return here, step
        try:
            there = here.equations.at(here.q - np.linalg.solve(here.jacobian, here.residual), here.temperature)
        except np.linalg.LinAlgError:
            return None, step
        if not there.size < here.size:
            return (here if here.size <= 1e3 * TOLERANCE * here.scale else None), step  # what is left is rounding
        here = there
    return None, most


def _around_fold(start: Linearisation, unit: float) -> tuple[Linearisation | None, int]:
    """The branch goes on from ``start`` through higher temperatures: where it is colder again, by pseudo-arclength steps (Keller 1977)."""
    e, here, evaluations = start.equations, start, 0
    unit = unit * np.sqrt(e.dimension)  # of q in the length of the curve; log tau has unit 1
    tangent, length = np.append(np.zeros(e.dimension), -1.0), 0.05
    for _ in range(MAX_FOLD_STEPS):
        if here.temperature < start.temperature and here is not start:
            return here, evaluations
        extended = _extended(here, tangent, unit)
        ahead = np.linalg.solve(extended, np.append(np.zeros(e.dimension), 1.0))
        ahead /= np.linalg.norm(np.append(ahead[:-1] / unit, ahead[-1]))
        while True:
            q, log_tau = here.q + length * ahead[:-1], np.log(here.temperature) + length * ahead[-1]
            there, before = e.at(q, np.exp(log_tau)), np.inf
            for _ in range(CLOSE):
                if there.size <= TOLERANCE * there.scale or not there.size < before:
                    break
                before = there.size
                off = np.append(there.q - q, np.log(there.temperature) - log_tau)
                on_plane = ahead[:-1] @ off[:-1] / unit**2 + ahead[-1] * off[-1]
                step = np.linalg.solve(_extended(there, ahead, unit), np.append(there.residual, on_plane))
                there = e.at(there.q - step[:-1], there.temperature * np.exp(-step[-1]))
                evaluations += 1
            if there.size <= 1e3 * TOLERANCE * there.scale:
                break
            length /= 2
            if length < 1e-7:
                return None, evaluations
        here, tangent, length = there, ahead, min(1.5 * length, 0.3)
    return None, evaluations


def _extended(here: Linearisation, tangent: np.ndarray, unit: float) -> np.ndarray:
    """The Jacobian in (q, log tau), and below it the row that says how far along ``tangent`` a step goes."""
    ahead, behind = (here.equations.at(here.q, here.temperature * np.exp(sign * 1e-6)).residual for sign in (1, -1))
    matrix = np.empty((len(tangent), len(tangent)))
    matrix[:-1, :-1], matrix[:-1, -1] = here.jacobian, (ahead - behind) / 2e-6
    matrix[-1] = np.append(tangent[:-1] / unit**2, tangent[-1])
    return matrix
