"""Exact dynamic programming on an `MDP`, with entropy; without, see `stackelberg_envs.planning.hard_policy_iteration`.

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

from ..processes.arrays import Array, array_namespace, as_float, sup_norm
from ..processes.mdp import MDP, DecisionProblem, broadcast_over_leader_actions, decision_problem
from .backward_induction import backward_induction
from .hard_policy_iteration import end_unreached_states
from .linear_systems import Factorisation, PlanningError, factorise, system
from .policy_evaluation import policy_value, regularised_reward
from .value_iteration import attainable_bound, largest_deficit, rounding_error, soft_backup, value_interval

POLICY_TOLERANCE = 1e-9
"""Newton stops when its step would change log-probabilities by less than this."""
MAX_EVALUATIONS = 100
STALLED = 1e-6
"""Where the discount is 1: a step that is this small, in relation to the largest value, and half as large as the one before or larger, is
rounding, since Newton's steps shrink quadratically in the end."""
STALLS = 10
"""Where the discount is below 1 and rounding is larger than its estimate, so many steps in a row that are no smaller than the smallest say
so, up to a factor of 2."""
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
    factorised: Factorisation
    """I - gamma P_g at the last evaluated policy."""
    bound: float = float("inf")
    """Certified: no value is further than this from the soft optimum, rounding in the last sweep included; infinite where the discount is
    1.  The policy loses at most twice as much."""
    products: int = 0
    """Products with P_g in iterative solves, 0 where systems are factorised."""


def soft_policy_iteration(
    mdp: MDP,
    temperature: float,
    *,
    values: Array | None = None,
    factorise: Callable[[Any], Factorisation] = factorise,
    tolerance: float = POLICY_TOLERANCE,
) -> Plan:
    """The unique soft-optimal response at ``temperature`` > 0.

    Args:
        mdp: what the follower faces.
        temperature: weight tau of the entropy bonus, in units of reward.
        values: a warm start (..., S); zero if not given.
        factorise: how ``I - gamma P_g`` is solved; defaults to the array library's dense solver, and for lists to BiCGSTAB.
        tolerance: of log-probabilities; what rounding leaves of it.

    Where systems are badly conditioned, as with long episodes, rounding may leave more than ``tolerance``: the iteration stops when steps
    no longer shrink, and ``step`` says how large the last one was.

    Raises:
        PlanningError: if Newton has not converged after `MAX_EVALUATIONS` (NaN tables, discount 1 without an end).
    """
    problem = decision_problem(mdp, mdp.follower_reward)
    xp = array_namespace(problem.reward)
    gamma = mdp.follower_discount
    if problem.transition.stages is not None:
        return _backward_plan(mdp, problem, temperature, factorise)
    if gamma >= 1:
        problem = end_unreached_states(problem)
    if problem.transition.iterative:
        return _inexact_newton(mdp, problem, temperature, values, factorise, tolerance * temperature)
    v = xp.zeros_like(problem.reward[..., 0, 0]) if values is None else values
    step, smallest, stalls = float("nan"), float("inf"), 0
    for evaluation in range(1, MAX_EVALUATIONS + 1):
        backed_up, g = soft_backup(problem, gamma, temperature, v)
        kept = factorise(system(problem.transition.markov_chain(problem.weight[..., None] * g), gamma))
        newton = kept.solve(backed_up - v)
        v, before = v + newton, step
        step = sup_norm(newton)
        stalls = stalls + 1 if _at_rounding(step, smallest if gamma < 1 else before, v) else 0
        smallest = min(smallest, step)
        if step <= max(tolerance * temperature, rounding_error(v, gamma)) or stalls >= (STALLS if gamma < 1 else 1):
            backed_up, g = soft_backup(problem, gamma, temperature, v)
            bound = sup_norm(backed_up - v) / (1 - gamma) + rounding_error(v, gamma) if gamma < 1 else float("inf")
            return Plan(broadcast_over_leader_actions(g, mdp), v, evaluation, step, kept, bound)
    raise _convergence_error(MAX_EVALUATIONS, step)


def _backward_plan(mdp: MDP, problem: DecisionProblem, temperature: float, factorise: Callable[[Any], Factorisation]) -> Plan:
    """The soft answer in a world with a deadline, exact after one backup a stage; rounding adds up over stages."""
    gamma = mdp.follower_discount
    v, g = backward_induction(problem, lambda stage, ahead: soft_backup(stage, gamma, temperature, ahead))
    kept = factorise(system(problem.transition.markov_chain(problem.weight[..., None] * g), gamma))
    bound = rounding_error(v, 0.0) * problem.transition.stages
    return Plan(broadcast_over_leader_actions(g, mdp), v, 1, 0.0, kept, bound)


def _inexact_newton(
    mdp: MDP,
    problem: DecisionProblem,
    temperature: float,
    values: Array | None,
    factorise: Callable[[Any], Factorisation],
    tolerance: float,
) -> Plan:
    """Soft policy iteration of lists, whose Newton steps are solved as well as they deserve (Eisenstat and Walker 1996).

    Where the chain forgets quickly, sweeps with the certified middle need no Newton step at all: the first two show which it is.
    """
    xp, gamma = array_namespace(problem.reward), mdp.follower_discount
    v = values
    if v is None:
        v = xp.zeros_like(problem.reward[..., 0, 0]) if gamma < 1 else _uniform_policy_values(problem)
    deficit, products, evaluation = largest_deficit(problem), 0, 0
    rate, after_sweep, size_before, width = float("nan"), False, float("inf"), float("inf")
    step = step_before = float("inf")
    for evaluation in range(1, 10 * MAX_EVALUATIONS + 1):
        backed_up, g = soft_backup(problem, gamma, temperature, v)
        r = backed_up - v
        size, width_before = sup_norm(r), width
        middle, half = value_interval(backed_up, xp.min(r, axis=-1), xp.max(r, axis=-1), gamma, deficit)
        width = as_float(xp.max(half))
        goal = max(tolerance, attainable_bound(backed_up, gamma) if gamma < 1 else rounding_error(backed_up, gamma))
        if width <= goal or (gamma >= 1 and (step <= goal or size == 0 or _at_rounding(step, step_before, v))):
            v = middle
            _, g = soft_backup(problem, gamma, temperature, v)
            kept = factorise(system(problem.transition.markov_chain(problem.weight[..., None] * g), gamma))
            return Plan(
                broadcast_over_leader_actions(g, mdp), v, evaluation, min(width, step), kept, width + rounding_error(v, gamma), products
            )
        if not size < float("inf"):
            break
        if after_sweep:
            rate = width / width_before
        left = math.log(goal / width) / math.log(rate) if 0 < rate < 1 else float("inf")
        after_sweep = gamma < 1 and (evaluation < 3 or left <= PATIENCE)
        if after_sweep:
            v = backed_up
            continue
        kept = factorise(system(problem.transition.markov_chain(problem.weight[..., None] * g), gamma))
        forcing = min(0.1, 0.9 * (size / size_before) ** 2) if size_before < float("inf") else 0.1
        if gamma >= 1:  # values that no policy has may lead to one that never ends
            forcing = 0.0
        newton = kept.solve(r, max(forcing, 0.1 * goal * max(1 - gamma, 1e-4) / size))
        step_before = step
        v, size_before, step = v + newton, size, sup_norm(newton)
        products += getattr(kept, "products", 0)
    raise _convergence_error(evaluation, width)


def _at_rounding(step: float, before: float, values: Array) -> bool:
    """Whether a Newton step is small, and no smaller than one before, up to a factor of 2: `STALLED`."""
    return before / 2 <= step <= STALLED * sup_norm(values)


def _convergence_error(evaluations: int, step: float) -> PlanningError:
    return PlanningError(
        f"soft policy iteration did not converge in {evaluations} evaluations (last step {step:.3g}); "
        "are the tables finite, and does every episode end where the discount is 1?"
    )


def _uniform_policy_values(problem: DecisionProblem) -> Array:
    """Undiscounted values of the policy that is uniform over available actions, (..., S).

    The greedy policy of values that no policy has may never end; from values that one has, each policy is better than the one before.
    """
    even = problem.weight[..., None] * problem.uniform_policy()
    reward = array_namespace(even).sum(even * problem.reward, axis=(-2, -1))
    return factorise(system(problem.transition.markov_chain(even), 1.0)).solve(reward)


def regret(mdp: MDP, policy: Array, temperature: float) -> Array:
    """V*(s) - V^g(s), (..., S): what the follower loses by ``policy`` (..., S, A, B), in its objective at ``temperature`` > 0."""
    xp = array_namespace(policy)
    attained = policy_value(mdp, policy, regularised_reward(mdp, policy, temperature), mdp.follower_discount)
    gap = soft_policy_iteration(mdp, temperature, values=attained).values - attained
    return xp.where(gap > 0, gap, xp.zeros_like(gap))  # what is left below 0 is rounding
