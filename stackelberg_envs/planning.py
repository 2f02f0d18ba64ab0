"""Exact dynamic programming on an `InducedMDP`: soft and hard policy iteration, values of a policy, occupancies.

Soft policy iteration is Newton's method on the soft Bellman equation ``V = T V`` (Puterman and Brumelle 1979; for the soft operator
see Geist, Scherrer and Pietquin 2019)::

    Q = r + gamma P V ;  g = softmax(Q / tau) ;  V <- V + (I - gamma P_g)^{-1} (T V - V)

T is convex and monotone, so the iteration converges from any start without damping, and its count does not grow with 1/(1-gamma).
The last factorisation of ``I - gamma P_g`` is kept: value, occupancy and adjoint of the same policy are one triangular solve each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from array_api_compat import array_namespace

from .mdp import Array, DecisionProblem, InducedMDP, chain, decision_problem, expect, joint_policy

POLICY_TOLERANCE = 1e-9
"""Newton stops when its step would change log-probabilities by less than this."""
MAX_EVALUATIONS = 100


class PlanningError(RuntimeError):
    """An exact solve did not converge or met a system without a solution."""


class Factorised(Protocol):
    """A square matrix M (..., S, S) that can be solved with, again and again."""

    def solve(self, rhs: Array) -> Array:
        """M^{-1} rhs for rhs (..., S)."""
        ...

    def solve_transposed(self, rhs: Array) -> Array:
        """M^{-T} rhs for rhs (..., S)."""
        ...


@dataclass(frozen=True)
class Dense:
    """`Factorised` by the array library's own dense solver; it factorises anew at each call, where `solvers.linear.LU` keeps it."""

    matrix: Array

    def solve(self, rhs: Array) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(self.matrix, rhs[..., None])[..., 0]

    def solve_transposed(self, rhs: Array) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(xp.matrix_transpose(self.matrix), rhs[..., None])[..., 0]


@dataclass(frozen=True)
class Plan:
    """A best response and how it was reached."""

    policy: Array
    """g(b|s,a), shape (..., S, A, B)."""
    values: Array
    """V(s), shape (..., S): soft values of a soft response, plain ones of a hard one."""
    evaluations: int
    """Policy evaluations: one factorisation and one solve each."""
    step: float
    """Size of the last Newton step, the certificate: the error left is of the order of its square over the temperature."""
    factorised: Factorised
    """I - gamma P_g at the last evaluated policy."""


def softmax_backup(q: Array, temperature: float) -> tuple[Array, Array]:
    """tau log sum_b exp(Q/tau) and its maximiser softmax_b(Q/tau), normalised explicitly; q (..., B)."""
    xp = array_namespace(q)
    top = xp.max(q, axis=-1, keepdims=True)
    weights = xp.exp((q - top) / temperature)
    total = xp.sum(weights, axis=-1, keepdims=True)
    return (top + temperature * xp.log(total))[..., 0], weights / total


def system(kernel: Array, discount: float) -> Array:
    """I - gamma P for a kernel (..., S, S).

    Raises:
        PlanningError: if the discount is 1 and some state never leads to the end, so that the matrix is singular.
    """
    xp = array_namespace(kernel)
    if discount >= 1 and not _ends(kernel):
        raise PlanningError("an infinite horizon with discount 1 has no value where some state never leads to the end")
    identity = xp.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
    return identity - discount * kernel


def _ends(kernel: Array) -> bool:
    """Whether the end is reached from every state: P^n with n = 2^20 has lost mass in every row."""
    xp = array_namespace(kernel)
    for _ in range(20):  # row sums never grow again, so the first time is enough
        kernel = xp.matmul(kernel, kernel)
        if xp.max(xp.sum(kernel, axis=-1)) < 1 - 1e-9:
            return True
    return False


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
    factorise: Callable[[Array], Factorised] = Dense,
) -> Plan:
    """The unique soft-optimal response at ``temperature`` > 0.

    Args:
        mdp: what the follower faces.
        temperature: weight tau of the entropy bonus, in units of reward.
        values: a warm start (..., S); zero if not given.
        factorise: how ``I - gamma P_g`` is solved; defaults to the array library's dense solver.

    Raises:
        PlanningError: if Newton has not converged after `MAX_EVALUATIONS` (NaN tables, discount 1 without an end).
    """
    problem = decision_problem(mdp, mdp.follower_reward)
    xp = array_namespace(problem.reward)
    gamma = mdp.follower_discount
    v = xp.zeros_like(problem.reward[..., 0, 0]) if values is None else values
    step = float("nan")
    for evaluation in range(1, MAX_EVALUATIONS + 1):
        node_values, g = softmax_backup(problem.reward + gamma * expect(problem.transition, v), temperature)
        residual = xp.sum(problem.weight * node_values, axis=-1) - v
        factorised = factorise(system(chain(problem.weight[..., None] * g, problem.transition), gamma))
        newton = factorised.solve(residual)
        v = v + newton
        step = number(xp.max(xp.abs(newton)))
        if step <= max(POLICY_TOLERANCE * temperature, rounding(v, gamma)):
            _, g = softmax_backup(problem.reward + gamma * expect(problem.transition, v), temperature)
            return Plan(widen(g, mdp), v, evaluation, step, factorised)
    raise PlanningError(
        f"soft policy iteration did not converge in {MAX_EVALUATIONS} evaluations (last step {step:.3g}); "
        "are the tables finite, and does every episode end where the discount is 1?"
    )


def number(scalar: Array) -> float:
    """A scalar array as a Python float, without its history."""
    return float(scalar.detach() if hasattr(scalar, "detach") else scalar)


def rounding(values: Array, discount: float) -> float:
    """The size of a step that is only rounding: ``eps |V| / (1 - gamma)``, the factor capped for discounts near 1."""
    xp = array_namespace(values)
    scale = max(1.0, number(xp.max(xp.abs(values))))
    return 4 * float(xp.finfo(values.dtype).eps) * scale / max(1 - discount, 1e-4)


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
    if discount >= 1:  # greedy policies of values that no policy has may never end: start from those of the uniform one
        even = problem.weight[..., None] * xp.where(barred == 0, 1.0, 0.0)
        even = even / xp.sum(even, axis=(-2, -1), keepdims=True)
        v = Dense(system(chain(even, problem.transition), discount)).solve(xp.sum(even * problem.reward, axis=(-2, -1)))
    for _ in range(MAX_EVALUATIONS):
        q = problem.reward + discount * expect(problem.transition, v)
        greedy = xp.astype(arms == xp.argmax(q + barred, axis=-1, keepdims=True), q.dtype)
        joint = problem.weight[..., None] * greedy
        reward = xp.sum(joint * problem.reward, axis=(-2, -1))
        improved = Dense(system(chain(joint, problem.transition), discount)).solve(reward)
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
        return Dense(system(chain(joint, mdp.transition), discount)).solve(mean)
    kernel = chain(joint, mdp.transition)
    v = xp.zeros_like(mean)
    for _ in range(horizon):
        v = mean + discount * xp.matmul(kernel, v[..., None])[..., 0]
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
