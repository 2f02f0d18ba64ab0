"""Exact dynamic programming on an `InducedMDP`: soft and hard policy iteration, values of a policy, occupancies.

Soft policy iteration is Newton's method on the soft Bellman equation ``V = T V`` (Puterman and Brumelle 1979; for the soft operator
see Geist, Scherrer and Pietquin 2019)::

    Q = r + gamma P V ;  g = softmax(Q / tau) ;  V <- V + (I - gamma P_g)^{-1} (T V - V)

T is convex and monotone, so the iteration converges from any start without damping, and its count does not grow with 1/(1-gamma).
The last factorisation of ``I - gamma P_g`` is kept: value, occupancy and adjoint of the same policy are one triangular solve each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from ..processes.mdp import Array, DecisionProblem, InducedMDP, chain, decision_problem, expect, joint_policy, through
from ..processes.successor_lists import SuccessorLists
from . import linear_systems as linear
from .linear_systems import Factorised, PlanningError, factorised, number, system
from .value_iteration import certified, finest, largest_deficit, rounding, soft_backup

POLICY_TOLERANCE = 1e-9
"""Newton stops when its step would change log-probabilities by less than this."""
MAX_EVALUATIONS = 100
PATIENCE = 60
"""Where the last sweep shows that so many more would do, they are cheaper than a Newton step of lists."""


@dataclass(frozen=True)
class Plan:
    """A best response and how it was reached."""

    policy: Array
    """g(b|s,a), shape (..., S, A, B)."""
    values: Array
    """V(s), shape (..., S): soft values of a soft response, plain ones of a hard one."""
    evaluations: int
    """Policy evaluations: one factorisation and one solve each; of lists, Newton steps and sweeps."""
    step: float
    """Size of the last Newton step (of lists, the bound): the error left is of the order of its square over the temperature."""
    factorised: Factorised
    """I - gamma P_g at the last evaluated policy."""
    bound: float = float("inf")
    """Certified: no value is further than this from the soft optimum, rounding in the last sweep included; infinite where the discount is
    1."""
    products: int = 0
    """Products with P_g in iterative solves, 0 where systems are factorised."""


def widen(policy: Array, mdp: InducedMDP) -> Array:
    """A policy over decision nodes (..., S, N, B) as g(b|s,a) (..., S, A, B): where N = 1 it does not depend on a."""
    a = mdp.leader_policy.shape[-1]
    if policy.shape[-2] == a:
        return policy
    xp = array_namespace(policy)
    return xp.broadcast_to(policy, (*policy.shape[:-2], a, policy.shape[-1]))


def soft_policy_iteration(
    mdp: InducedMDP,
    temperature: float,
    *,
    values: Array | None = None,
    factorise: Callable[[Any], Factorised] = factorised,
    tolerance: float = POLICY_TOLERANCE,
) -> Plan:
    """The unique soft-optimal response at ``temperature`` > 0.

    Args:
        mdp: what the follower faces.
        temperature: weight tau of the entropy bonus, in units of reward.
        values: a warm start (..., S); zero if not given.
        factorise: how ``I - gamma P_g`` is solved; defaults to the array library's dense solver, and for lists to BiCGSTAB.
        tolerance: of log-probabilities; what rounding leaves of it.

    Raises:
        PlanningError: if Newton has not converged after `MAX_EVALUATIONS` (NaN tables, discount 1 without an end).
    """
    problem = decision_problem(mdp, mdp.follower_reward)
    xp = array_namespace(problem.reward)
    gamma = mdp.follower_discount
    if isinstance(problem.transition, SuccessorLists) and mdp.sizes[0] > linear.DIRECT:
        return _inexact(mdp, problem, temperature, values, factorise, tolerance * temperature)
    v = xp.zeros_like(problem.reward[..., 0, 0]) if values is None else values
    step = float("nan")
    for evaluation in range(1, MAX_EVALUATIONS + 1):
        swept, g = soft_backup(problem, gamma, temperature, v)
        kept = factorise(system(chain(problem.weight[..., None] * g, problem.transition), gamma))
        newton = kept.solve(swept - v)
        v = v + newton
        step = number(xp.max(xp.abs(newton)))
        if step <= max(tolerance * temperature, rounding(v, gamma)):
            swept, g = soft_backup(problem, gamma, temperature, v)
            bound = number(xp.max(xp.abs(swept - v))) / (1 - gamma) + rounding(v, gamma) if gamma < 1 else float("inf")
            return Plan(widen(g, mdp), v, evaluation, step, kept, bound)
    raise _unfinished(MAX_EVALUATIONS, step)


def _inexact(
    mdp: InducedMDP,
    problem: DecisionProblem,
    temperature: float,
    values: Array | None,
    factorise: Callable[[Any], Factorised],
    tolerance: float,
) -> Plan:
    """Soft policy iteration of lists, whose Newton steps are solved as well as they deserve (Eisenstat and Walker 1996).

    Where the chain forgets quickly, sweeps with the certified middle need no Newton step at all: the first two show which it is.
    """
    xp, gamma = array_namespace(problem.reward), mdp.follower_discount
    v = values
    if v is None:
        v = xp.zeros_like(problem.reward[..., 0, 0]) if gamma < 1 else _even(problem, gamma)
    deficit, products, evaluation = largest_deficit(problem), 0, 0
    rate, swept_before, size_before, width, step = float("nan"), False, float("inf"), float("inf"), float("inf")
    for evaluation in range(1, 10 * MAX_EVALUATIONS + 1):
        swept, g = soft_backup(problem, gamma, temperature, v)
        r = swept - v
        size, width_before = number(xp.max(xp.abs(r))), width
        middle, half = certified(swept, xp.min(r, axis=-1), xp.max(r, axis=-1), gamma, deficit)
        width = number(xp.max(half))
        goal = max(tolerance, finest(swept, gamma) if gamma < 1 else rounding(swept, gamma))
        if width <= goal or (gamma >= 1 and (step <= goal or size == 0)):
            v = middle
            _, g = soft_backup(problem, gamma, temperature, v)
            kept = factorise(system(chain(problem.weight[..., None] * g, problem.transition), gamma))
            return Plan(widen(g, mdp), v, evaluation, min(width, step), kept, width + rounding(v, gamma), products)
        if not size < float("inf"):
            break
        if swept_before:
            rate = width / width_before
        left = math.log(goal / width) / math.log(rate) if 0 < rate < 1 else float("inf")
        swept_before = gamma < 1 and (evaluation < 3 or left <= PATIENCE)
        if swept_before:
            v = swept
            continue
        kept = factorise(system(chain(problem.weight[..., None] * g, problem.transition), gamma))
        forcing = min(0.1, 0.9 * (size / size_before) ** 2) if size_before < float("inf") else 0.1
        if gamma >= 1:  # values that no policy has may lead to one that never ends
            forcing = 0.0
        newton = kept.solve(r, max(forcing, 0.1 * goal * max(1 - gamma, 1e-4) / size))
        v, size_before, step = v + newton, size, number(xp.max(xp.abs(newton)))
        products += getattr(kept, "products", 0)
    raise _unfinished(evaluation, width)


def _unfinished(evaluations: int, step: float) -> PlanningError:
    return PlanningError(
        f"soft policy iteration did not converge in {evaluations} evaluations (last step {step:.3g}); "
        "are the tables finite, and does every episode end where the discount is 1?"
    )


def _even(problem: DecisionProblem, discount: float, allowed: Array | float = 1.0) -> Array:
    """Values of the policy that is uniform over ``allowed`` actions, (..., S): where to start if the discount is 1.

    The greedy policy of values that no policy has may never end; from values that one has, each policy is better than the one before.
    """
    xp = array_namespace(problem.reward)
    even = problem.weight[..., None] * (xp.ones_like(problem.reward) * allowed)
    even = even / xp.sum(even, axis=(-2, -1), keepdims=True)
    return factorised(system(chain(even, problem.transition), discount)).solve(xp.sum(even * problem.reward, axis=(-2, -1)))


def hard_policy_iteration(problem: DecisionProblem, discount: float, *, allowed: Array | None = None) -> tuple[Array, Array]:
    """Howard's policy iteration: (values (..., S), action values (..., S, N, B)) of the best policy among ``allowed`` actions.

    Args:
        problem: nodes, rewards and transitions; use the leader's reward to break the follower's ties.
        discount: in [0, 1].
        allowed: boolean (..., S, N, B), at least one True per node; all if not given.
    """
    xp = array_namespace(problem.reward)
    barred = xp.zeros_like(problem.reward) if allowed is None else xp.where(allowed, 0.0, -xp.inf)
    arms = xp.arange(problem.reward.shape[-1], device=problem.reward.device)
    v = xp.zeros_like(problem.reward[..., 0, 0])
    if discount >= 1:
        v = _even(problem, discount, xp.where(barred == 0, 1.0, 0.0))
    for _ in range(MAX_EVALUATIONS):
        q = problem.reward + discount * expect(problem.transition, v)
        greedy = xp.astype(arms == xp.argmax(q + barred, axis=-1, keepdims=True), q.dtype)
        joint = problem.weight[..., None] * greedy
        reward = xp.sum(joint * problem.reward, axis=(-2, -1))
        improved = factorised(system(chain(joint, problem.transition), discount)).solve(reward)
        if number(xp.max(xp.abs(improved - v))) <= 10 * rounding(improved, discount):
            return improved, problem.reward + discount * expect(problem.transition, improved)
        v = improved
    raise PlanningError(f"policy iteration did not converge in {MAX_EVALUATIONS} evaluations")


def policy_value(mdp: InducedMDP, policy: Array, reward: Array, discount: float, *, horizon: int | None = None) -> Array:
    """Expected discounted sum of ``reward`` (..., S, A, B) from each state under ``policy`` (..., S, A, B): (..., S).

    Args:
        mdp: the process.
        policy: g(b|s,a).
        reward: what is summed.
        discount: in [0, 1].
        horizon: number of steps; None for infinitely many.
    """
    xp = array_namespace(policy)
    joint = joint_policy(mdp, policy)
    mean = xp.sum(joint * reward, axis=(-2, -1))
    if horizon is None:
        return factorised(system(chain(joint, mdp.transition), discount)).solve(mean)
    kernel = chain(joint, mdp.transition)
    v = xp.zeros_like(mean)
    for _ in range(horizon):
        v = mean + discount * through(kernel, v)
    return v


def entropy(policy: Array) -> Array:
    """-sum_b g log g, shape (..., S, A); 0 log 0 = 0."""
    xp = array_namespace(policy)
    return -xp.sum(policy * xp.log(xp.where(policy > 0, policy, 1.0)), axis=-1)


def regularised_reward(mdp: InducedMDP, policy: Array, temperature: float) -> Array:
    """r_F plus the entropy bonus that ``policy`` earns, (..., S, A, B).

    Where the follower sees only the leader's policy, its own does not depend on a, so the bonus counts once.
    """
    return mdp.follower_reward + temperature * entropy(policy)[..., None]


def regret(mdp: InducedMDP, policy: Array, temperature: float) -> Array:
    """V*(s) - V^g(s), (..., S): what the follower loses by ``policy`` (..., S, A, B), in its objective at ``temperature`` > 0."""
    xp = array_namespace(policy)
    attained = policy_value(mdp, policy, regularised_reward(mdp, policy, temperature), mdp.follower_discount)
    gap = soft_policy_iteration(mdp, temperature, values=attained).values - attained
    return xp.where(gap > 0, gap, xp.zeros_like(gap))  # what is left below 0 is rounding
