"""How much a policy may lose against the best one: an upper bound, from one Bellman backup of any values."""

from __future__ import annotations

from ..processes.arrays import Array, array_namespace, as_float, max_over_actions
from ..processes.mdp import DecisionProblem, entropy
from .linear_systems import factorise, system
from .value_iteration import rounding_error, softmax_backup


def loss_bound(problem: DecisionProblem, discount: float, policy: Array, values: Array, temperature: float = 0.0) -> float:
    """An upper bound of ``max_s V*(s) - V^g(s)``, rounding included.

    With T the Bellman operator, T_g that of the policy, and any V (Puterman 1994, theorem 6.3.1)::

        V* <= V + max(T V - V, 0) / (1 - gamma) ,    V^g >= V - max(V - T_g V, 0) / (1 - gamma)

    Where the discount is 1, V must be V*, and what the policy gives away at each state is summed up over the states that it visits::

        V* - V^g = (I - P_g)^{-1} (V* - T_g V*)

    Args:
        problem: what the follower faces at its decision nodes.
        discount: gamma, in [0, 1].
        policy: g, (..., S, N, B).
        values: V, (..., S).
        temperature: weight of the entropy bonus; 0 for none.
    """
    xp = array_namespace(values)
    q = problem.action_values(values, discount)
    best = softmax_backup(q, temperature)[0] if temperature > 0 else max_over_actions(q)
    attained = xp.sum(policy * xp.where(policy > 0, q, 0.0), axis=-1)
    if temperature > 0:
        attained = attained + temperature * entropy(policy)
    rounding = rounding_error(values, discount)
    if discount < 1:
        up = as_float(xp.max(problem.mean_over_nodes(best) - values))
        down = as_float(xp.max(values - problem.mean_over_nodes(attained)))
        return (max(up, 0.0) + max(down, 0.0)) / (1 - discount) + rounding
    given_away = problem.mean_over_nodes(best - attained)
    if as_float(xp.max(given_away)) <= 0:
        return rounding
    chain = problem.transition.markov_chain(problem.weight[..., None] * policy)
    return as_float(xp.max(factorise(system(chain, discount, problem.initial)).solve(given_away))) + rounding
