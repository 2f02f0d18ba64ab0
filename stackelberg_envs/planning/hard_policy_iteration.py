"""Best responses without entropy: modified policy iteration, finished by exact policy evaluations.

Howard's policy iteration evaluates each policy exactly, and on a long road it settles one more layer of states at each evaluation.
Value iteration settles a layer at each sweep, which costs far less, but takes 1/(1 - gamma) sweeps and more to find values.  So rounds of
sweeps take turns with evaluations (Puterman and Shin, Management Science 1978).  A round ends early when a sweep no longer changes the
greedy policy.  It is twice as long as the last where an evaluation still changed the policy in more than half as many states as before.
The bounds of `stackelberg_envs.planning.value_iteration`, with the plain maximum as operator, say how far values are from the optimum,
and stop the iteration.

Where the discount is 1 there are no such bounds, and a greedy policy may never end.  There Howard's iteration starts from the policy that
is uniform over all actions, which ends if any does, and leaves an action only for one that is strictly better: then no policy is endless
unless values are infinite (a recurrent class of the new policy would gain on average what it strictly improves on the old one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..processes.arrays import Array, array_namespace, as_float, max_over_actions
from ..processes.chains import MarkovChain
from ..processes.mdp import DecisionProblem
from .backward_induction import backward_induction
from .linear_systems import PlanningError, factorise, states_that_end, system
from .value_iteration import attainable_bound, largest_deficit, rounding_error, value_interval

TIE_TOLERANCE = 1e-9
"""Actions whose value is within this (relative to 1 + the largest of the best values) of the best are ties."""
FIRST_SWEEPS = 5
"""Sweeps of the first round.  The next has twice as many, if an evaluation left the policy changing layer by layer."""
MAX_EVALUATIONS = 200
"""After so many the tables are at fault: long roads take some twenty, because rounds of sweeps become longer."""
PATIENCE = 60
"""So many sweeps of one policy cost less than a solve of its linear system by products."""
BLOCK = 4
"""Sweeps of one policy between two looks at how far they have come."""
ROUNDINGS = 16
"""An action is better than another if it is so by this many units of rounding, times the length of an episode."""
FORCING = 0.001
"""A policy that the next sweep may change is evaluated until the bound has fallen by this factor."""


@dataclass(frozen=True)
class HardPlan:
    """The values of the best policy, and what was certified about them."""

    problem: DecisionProblem
    discount: float
    values: Array
    """V*, (..., S)."""
    bound: float
    """Certified: no value is further than this from V*, rounding included; infinite where the discount is 1."""
    sweeps: int
    """Bellman backups over all actions."""
    evaluations: int
    """Policy evaluations."""
    ending: Array | None = None
    """Where the discount is 1: a best policy that ends episodes, (..., S, N, B)."""

    @cached_property
    def action_values(self) -> Array:
        """Q*, (..., S, N, B), and -inf where an action is not available."""
        return self.problem.action_values(self.values, self.discount)


def hard_policy_iteration(problem: DecisionProblem, discount: float, *, allowed: Array | None = None, tolerance: float = 0.0) -> HardPlan:
    """The best policy among ``allowed`` actions.

    Args:
        problem: nodes, rewards and transitions; use the leader's reward to break the follower's ties.
        discount: in [0, 1].
        allowed: booleans (..., S, N, B), at least one True per node; all that are available if not given.
        tolerance: accuracy of values; what rounding leaves of it.

    Raises:
        PlanningError: if there is no optimum: tables that are not finite, or discount 1 and endless episodes.
    """
    problem = problem if allowed is None else problem.allow(allowed)
    if problem.transition.stages is not None:
        return _up_to_deadline(problem, discount)
    return _discounted(problem, discount, tolerance) if discount < 1 else _undiscounted(problem, discount)


def _up_to_deadline(problem: DecisionProblem, discount: float) -> HardPlan:
    def backup(stage: DecisionProblem, ahead: Array) -> tuple[Array, Array]:
        q = stage.action_values(ahead, discount)
        return stage.mean_over_nodes(max_over_actions(q)), q

    values, _ = backward_induction(problem, backup)
    stages: Any = problem.transition.stages
    return HardPlan(problem, discount, values, stages * rounding_error(values, 0.0), stages, 0)


def _discounted(problem: DecisionProblem, discount: float, tolerance: float) -> HardPlan:
    xp = array_namespace(problem.reward)
    v, deficit = xp.zeros_like(problem.reward[..., 0, 0]), largest_deficit(problem)
    sweeps, evaluations, changes = 0, 0, math.inf
    budget = left = FIRST_SWEEPS  # of the round, and what is left of it
    evaluated = previous = None  # greedy policies: the one that v is the value of, and that of the last look
    while evaluations < MAX_EVALUATIONS:
        block = min(left, FIRST_SWEEPS) if evaluated is None else 1
        before = q = v
        for _ in range(block):
            before, q = v, problem.action_values(v, discount)
            v = problem.mean_over_nodes(max_over_actions(q))
        sweeps, left = sweeps + block, left - block
        middle, width = _middle(v, before, discount, deficit)
        if not width < math.inf:
            raise PlanningError("policy iteration met values that are not finite: are the tables finite?")
        goal = max(tolerance, attainable_bound(v, discount))
        greedy = xp.argmax(q, axis=-1)
        settled = changes == 0 and evaluated is not None and bool(xp.all(greedy == evaluated))  # twice: the rest is rounding
        if width <= goal or settled:
            return HardPlan(problem, discount, middle, width + rounding_error(v, discount), sweeps, evaluations)
        if evaluated is not None:
            changes_before, changes = changes, int(xp.count_nonzero(greedy != evaluated))
            if changes > changes_before / 2:  # layer by layer: sweeps are cheaper
                budget *= 2
                left = budget
        elif previous is not None and bool(xp.all(greedy == previous)):
            left = 0
        previous, evaluated = greedy, None
        if left > 0:
            continue
        rewards = xp.broadcast_to(problem.reward, q.shape)
        reward = problem.mean_over_nodes(xp.take_along_axis(rewards, greedy[..., None], axis=-1)[..., 0])
        chain = problem.transition.pure_chain(problem.weight, greedy)
        v = _evaluate(chain, reward, v, discount, deficit, goal if changes == 0 else max(goal, FORCING * width))
        evaluations, evaluated, left = evaluations + 1, greedy, 0
    raise PlanningError(f"policy iteration did not converge in {sweeps} sweeps and {evaluations} evaluations: are the tables finite?")


def _middle(backed_up: Array, v: Array, discount: float, deficit: float) -> tuple[Array, float]:
    """The middle of the interval in which the fixed point lies, (..., S), and half its width, the largest of a batch."""
    xp = array_namespace(v)
    residual = backed_up - v
    middle, half = value_interval(backed_up, xp.min(residual, axis=-1), xp.max(residual, axis=-1), discount, deficit)
    return middle, as_float(xp.max(half))


def _evaluate(chain: MarkovChain, reward: Array, v: Array, discount: float, deficit: float, goal: float) -> Array:
    """The values of one policy up to ``goal``: by sweeps, where the first few show that not many more are needed, or else by a solve."""
    if deficit > 0:  # then the middle of an interval is no shift of all values alike, and leaves a residual as large as the shift
        goal = goal * (1 - discount)
    patience = PATIENCE if chain.iterative else max(2 * BLOCK, chain.states // 4)
    width = float("inf")
    for done in range(0, patience, BLOCK):
        for _ in range(BLOCK - 1):
            v = reward + discount * chain.expect(v)
        backed_up = reward + discount * chain.expect(v)
        before, (middle, width) = width, _middle(backed_up, v, discount, deficit)
        if width <= goal:
            return middle
        v = backed_up
        if done and (width >= before or math.log(goal / width) / math.log(width / before) * BLOCK > patience - done):
            break
    residual = reward + discount * chain.expect(v) - v
    size = as_float(array_namespace(v).max(abs(residual)))
    return v + factorise(system(chain, discount)).solve(residual, max(1e-12, 0.1 * goal * (1 - discount) / size) if size > 0 else None)


def _undiscounted(problem: DecisionProblem, discount: float) -> HardPlan:
    problem = end_unreached_states(problem)
    xp = array_namespace(problem.reward)
    policy, v = problem.uniform_policy(), None
    for evaluation in range(1, MAX_EVALUATIONS + 1):
        joint = problem.weight[..., None] * policy
        chain = problem.transition.markov_chain(joint)
        if v is not None and not chain.reaches_end():
            state = int(chain.endless_states().nonzero()[-1][0])
            raise PlanningError(f"no policy is best at discount 1: from state {state} on loops pay for ever")
        kept = factorise(system(chain, discount))
        improved = kept.solve(xp.sum(joint * problem.reward, axis=(-2, -1)))
        lengths = kept.solve(xp.ones_like(improved))  # of episodes, by which rounding grows
        scale = max(1.0, as_float(xp.max(xp.abs(improved)))) * max(1.0, as_float(xp.max(lengths)))
        slack = ROUNDINGS * float(xp.finfo(improved.dtype).eps) * scale
        q = problem.action_values(improved, discount)
        current = xp.sum(xp.where(policy > 0, policy * xp.where(policy > 0, q, 0.0), 0.0), axis=-1, keepdims=True)
        best = xp.max(q, axis=-1, keepdims=True)
        if not as_float(xp.max(xp.abs(improved))) < float("inf"):
            break
        better = best > current + slack
        settled = v is not None and as_float(xp.max(improved - v)) <= slack
        if settled or not bool(xp.any(better)):
            return HardPlan(problem, discount, improved, math.inf, evaluation, evaluation, policy)
        pure = xp.astype(xp.argmax(q, axis=-1)[..., None] == xp.arange(q.shape[-1], device=q.device), q.dtype)
        policy, v = xp.where(better, pure, policy), improved
    raise PlanningError("policy iteration found no best policy at discount 1: are the tables finite?")


def end_unreached_states(problem: DecisionProblem) -> DecisionProblem:
    """The same problem, where states that no policy brings to the end and that are never reached end at once.

    Raises:
        PlanningError: if such a state may be reached; the message names it.
    """
    even = problem.transition.markov_chain(problem.weight[..., None] * problem.uniform_policy())
    if even.reaches_end():
        return problem
    xp = array_namespace(problem.weight)
    return replace(problem, weight=xp.where(states_that_end(even, problem.initial)[..., None], problem.weight, 0.0))
