"""Equilibria of a crowd: loads at which its policy is a best response to itself.

**Soft.**  At loads y, one of the crowd has a unique soft response g(y), whose loads are Phi(y).  An equilibrium is a fixed point of Phi; of
route choice it is the Markovian traffic equilibrium (Baillon and Cominetti, Math. Program. 2008), which is unique where rewards fall as
loads rise.  Newton's method for ``y = Phi(y)`` has the step::

    (I - D Phi) d = Phi(y) - y                   D Phi v: the response to the rewards' derivative, D r_F v, in the direction v
    dV = (I - gamma P_g)^{-1} sum_b g dr          of values
    dg = g (dr + gamma P dV - dV) / tau           of the policy
    dmu = (I - gamma P_g)^{-T} gamma P^T (mu dg)  of visits

Each product D Phi v is two triangular solves with factors that are kept, and GMRES needs a few tens of them, whatever the number of states.
A step is halved until the residual falls.

**Hard.**  A crowd without entropy is at a Wardrop equilibrium.  It is the limit of soft equilibria that are each near the one before: the
entropic proximal point method (Chen and Teboulle, SIAM J. Optim. 1993), whose steps add ``tau log g_k`` to the rewards.  Its certificate
is what one of the crowd could still gain, by an ordinary best response.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..processes.mdp import MDP, decision_problem
from ..processes.mean_field import MeanField
from .hard_policy_iteration import hard_policy_iteration
from .linear_systems import Dense, Factorisation, PlanningError, SparseLU, System, gmres, system
from .policy_evaluation import regularised_reward
from .policy_iteration import soft_policy_iteration

FIXED = 1e-12
"""Newton stops where no load is further from its response than this part of the largest."""
MAX_STEPS = 60
HALVINGS = 8
GMRES_TOLERANCE = 1e-3
"""Of a Newton step; what it leaves, the next step takes."""
WARDROP_GAP = 1e-11
"""Proximal steps stop where one of the crowd could gain no more than this part of its value."""
MAX_PROXIMAL_STEPS = 60
FEW_STATES = 64
LEAST_PROBABILITY = 1e-100
"""Of an action in the prior of a proximal step, so that it can come back."""


@dataclass(frozen=True)
class CrowdPlan:
    """An equilibrium, and how it was reached."""

    policy: np.ndarray
    """g(b|s), shape (S, 1, B)."""
    loads: np.ndarray
    """Those of ``policy``, (L,)."""
    values: np.ndarray
    """V(s) at these loads, (S,)."""
    gap: float
    """What one of the crowd could gain by another policy while the crowd stays, from the initial distribution."""
    residual: float
    """The largest difference between a load and its response, as a part of the largest load."""
    evaluations: int
    """Best responses that were computed."""


class CrowdResponse:
    """The soft response of one of the crowd at loads, with its own loads, and how these move.

    Args:
        crowd: the process, of NumPy numbers.
        loads: y, (L,).
        temperature: tau > 0.
        policy: a warm start (S, 1, B), or None for the prior: values that no policy has at these rewards may lead to one that never ends.
        prior: a policy (S, 1, B), from which the entropy is measured; None for none, and then all actions alike are the first start.
    """

    def __init__(
        self, crowd: MeanField, loads: np.ndarray, temperature: float, *, policy: np.ndarray | None = None, prior: np.ndarray | None = None
    ) -> None:
        self._crowd, self.at, self._temperature = crowd, loads, temperature
        self.mdp = crowd.at(loads)
        first: Any = prior if policy is None else policy
        if first is None:
            first = decision_problem(self.mdp, self.mdp.follower_reward).uniform_policy()
        if prior is not None:
            towards = temperature * np.log(np.maximum(prior, LEAST_PROBABILITY))
            self.mdp = replace(self.mdp, follower_reward=self.mdp.follower_reward + towards)
        start = policy_values(self.mdp, first, regularised_reward(self.mdp, first, temperature))
        plan = soft_policy_iteration(self.mdp, temperature, values=start, factorise=keep_factors)
        self.policy, self.values = plan.policy, plan.values
        self._factors = evaluate_policy(self.mdp, plan.policy)
        self._visits = self._factors.solve_transposed(np.asarray(crowd.initial))[:, None, None] * plan.policy
        self.loads = crowd.loads_of_visits(self._visits)
        self.residual = float(np.abs(self.loads - loads).max() / max(np.abs(self.loads).max(), np.finfo(float).tiny))

    def move_loads(self, reward: np.ndarray) -> np.ndarray:
        """How the loads move, (L,), where the follower's rewards move by ``reward`` (S, 1, B): see the module."""
        mdp, g, gamma = self.mdp, self.policy, self.mdp.follower_discount
        dv = self._factors.solve((g * reward).sum((-2, -1)))
        dq = reward + gamma * mdp.kernel.expect(dv)
        moved = self._visits * (dq - (g * dq).sum(-1, keepdims=True)) / self._temperature
        dstates = self._factors.solve_transposed(gamma * mdp.kernel.push_forward(moved))
        return self._crowd.loads_of_visits(dstates[:, None, None] * g + moved)

    def newton_direction(self) -> np.ndarray:
        """d with ``(I - D Phi) d = Phi(y) - y``, (L,), up to `GMRES_TOLERANCE`."""
        off, size = self.loads - self.at, 1 + np.abs(self.at).max()

        def times(v: np.ndarray) -> np.ndarray:
            return v if not v.any() else v - self.move_loads(self._reward_derivative(v, 1e-6 * size / np.abs(v).max()))

        return gmres(times, off, GMRES_TOLERANCE)[0]

    def _reward_derivative(self, v: np.ndarray, step: float) -> np.ndarray:
        """D r_F v, (S, 1, B), by a central difference; Newton's method does not need its last digits."""
        ahead, behind = (self._crowd.rewards(self.at + sign * step * v)[0] for sign in (1.0, -1.0))
        return (ahead - behind) / (2 * step)


def soft_crowd(
    crowd: MeanField, temperature: float, *, loads: np.ndarray | None = None, prior: np.ndarray | None = None, tolerance: float = FIXED
) -> CrowdPlan:
    """The soft equilibrium of a crowd, by Newton's method.

    Args:
        crowd: the process, of NumPy numbers.
        temperature: tau > 0.
        loads: a warm start (L,).
        prior: a policy (S, 1, B), from which the entropy is measured; None for none.
        tolerance: of loads, as a part of the largest.

    Raises:
        PlanningError: if no fixed point is found.
    """
    start = np.zeros(crowd.resources) if loads is None else np.asarray(loads, dtype=np.float64)
    try:
        here = CrowdResponse(crowd, start, temperature, prior=prior)
    except PlanningError as error:
        if crowd.follower_discount < 1:
            raise
        raise PlanningError(
            f"one of the crowd has no best response at the first loads ({error}).  At discount 1, entropy may be worth more than a step "
            f"costs, and going round in circles for ever is then best: take a temperature below {temperature:g}, or start at larger loads"
        ) from error
    evaluations = 1
    for step in range(1, MAX_STEPS + 1):
        if here.residual <= tolerance:
            break
        direction, length = here.newton_direction(), 1.0
        for _ in range(HALVINGS):
            trial = np.maximum(here.at + length * direction, 0.0)
            there = CrowdResponse(crowd, trial, temperature, policy=here.policy, prior=prior)
            evaluations += 1
            if np.abs(there.loads - trial).max() < (1 - 1e-4 * length) * np.abs(here.loads - here.at).max():
                break
            length /= 2
        else:
            if here.residual <= 1e3 * tolerance:  # what is left is rounding
                break
            mean = here.at + (here.loads - here.at) / (1 + step)  # the method of successive averages
            there = CrowdResponse(crowd, mean, temperature, policy=here.policy, prior=prior)
        here = there
    else:
        raise PlanningError(
            f"no equilibrium of the crowd was found in {MAX_STEPS} steps (loads are {here.residual:.3g} from their response): do rewards "
            "fall as loads rise, and does every episode end where the discount is 1?"
        )
    true = CrowdResponse(crowd, here.loads, temperature, policy=here.policy, prior=prior)
    own = policy_values(true.mdp, here.policy, regularised_reward(true.mdp, here.policy, temperature))
    gap = float(np.asarray(crowd.initial) @ (true.values - own))
    return CrowdPlan(here.policy, here.loads, own, max(gap, 0.0), here.residual, evaluations)


def hard_crowd(crowd: MeanField, *, loads: np.ndarray | None = None, tolerance: float = WARDROP_GAP) -> CrowdPlan:
    """The Wardrop equilibrium of a crowd without entropy, by the entropic proximal point method.

    Args:
        crowd: the process, of NumPy numbers.
        loads: a warm start (L,).
        tolerance: of what one of the crowd could gain, as a part of its value.

    Raises:
        PlanningError: if `MAX_PROXIMAL_STEPS` are not enough for a thousandth.
    """
    rewards, _ = crowd.rewards(np.zeros(crowd.resources) if loads is None else loads)
    there = np.ones(rewards.shape, dtype=bool) if crowd.available is None else np.broadcast_to(crowd.available, rewards.shape)
    temperature = 0.1 * float(np.abs(rewards[there]).mean()) or 1.0
    prior, best, evaluations = None, None, 0
    for _ in range(MAX_PROXIMAL_STEPS):
        plan = soft_crowd(crowd, temperature, loads=loads, prior=prior, tolerance=1e-9)
        evaluations += plan.evaluations
        mdp = crowd.at(plan.loads)
        optimal = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).values
        own = policy_values(mdp, plan.policy, mdp.follower_reward)
        initial = np.asarray(crowd.initial)
        gap, size = float(initial @ (optimal - own)), float(np.abs(initial @ optimal))
        if best is None or gap < best.gap:
            best = CrowdPlan(plan.policy, plan.loads, own, max(gap, 0.0), plan.residual, evaluations)
        if gap <= tolerance * size:
            break
        loads, prior = plan.loads, plan.policy
        temperature /= 1.5
    assert best is not None
    return best


def keep_factors(matrix: np.ndarray | System) -> Factorisation:
    """A `system` of NumPy numbers, made ready for many solves; a few states are solved faster than they are factorised for it."""
    return Dense(matrix) if not isinstance(matrix, System) and len(matrix) <= FEW_STATES else SparseLU(matrix)


def evaluate_policy(mdp: MDP, policy: np.ndarray) -> Factorisation:
    """I - gamma P_g for a policy (S, 1, B), to solve with."""
    return keep_factors(system(mdp.kernel.markov_chain(policy), mdp.follower_discount, mdp.initial))


def policy_values(mdp: MDP, policy: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Expected sums of ``reward`` (S, 1, B) under ``policy`` at the follower's discount, (S,)."""
    return evaluate_policy(mdp, policy).solve((policy * reward).sum((-2, -1)))


def loads_of_policy(crowd: MeanField, policy: np.ndarray) -> np.ndarray:
    """Loads (L,) of a crowd of NumPy numbers whose policy is (S, 1, B)."""
    chain = system(crowd.kernel.markov_chain(policy), crowd.follower_discount, crowd.initial)
    return crowd.loads_of_visits(keep_factors(chain).solve_transposed(np.asarray(crowd.initial))[:, None, None] * policy)
