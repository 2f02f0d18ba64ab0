"""The optimal subsidies of a leader who may pay for every pair of state and action (see `stackelberg_envs.planning.subsidies`).

1. read the world without payments off the model, and what a unit of payment costs
2. solve two decision processes, the follower's own and that of both: they say whom to pay how much
3. find the commitment with these payments, by bisection of the instrument in all pairs at once
4. ask the game what that earns; if it is another number, payments were not of this kind
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stackelberg_envs.followers.exact import Hard
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.subsidies import SubsidyPlan, optimal_subsidies

from .base import Declined, Solver, State

AGREEMENT = 1e-6
BISECTIONS = 60


@dataclass(frozen=True)
class SubsidyPlanner(Solver):
    """The exact optimum of `subsidy` and of any world with `Subsidies("pairs")` (MODEL); the first iteration is all there is to do.

    Plays against ``Hard(ties="strong")``: at the optimum the follower is indifferent wherever it is paid.
    """

    access = Access.MODEL

    def declines(self, oracle: Oracle) -> str | None:
        if not isinstance(oracle.follower, Hard) or oracle.follower.ties != "strong":
            return f"subsidy_planner plays against Hard(ties='strong'), not {oracle.follower!r}"
        s, a, b = oracle.sizes[0]
        if oracle.followers > 1 or len(oracle.contexts) > 1 or not oracle.additive:
            return "subsidy_planner handles one follower in one context, and an additive objective"
        pairs = s * b if oracle.available[0][0] is None else int(np.asarray(oracle.available[0][0]).sum())
        if oracle.incentive is None or oracle.leader_cost is None or a != 1 or oracle.commitment_shape != (pairs,):
            return "subsidy_planner needs a payment for each pair of state and action, without a budget, and what it costs"
        if oracle.follower_discounts != (oracle.leader_discount,):
            return "subsidy_planner needs a leader and a follower who discount alike"
        return None

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        if state.iteration > 0:
            return State(state.x, state.iteration + 1, row=state.row)
        plan = self._plan(oracle)  # 1, 2
        x = _invert(oracle, plan.payments)  # 3
        if not abs(oracle.returns(x) - plan.value) < AGREEMENT * (1 + abs(plan.value)):  # 4
            raise Declined("subsidy_planner: the game pays otherwise than for each pair alone")
        return State(x, 1, row={"value": plan.value})

    def _plan(self, oracle: Oracle) -> SubsidyPlan:
        null = np.zeros(oracle.dimension)
        (mdp,) = oracle.commit(null)
        payment, cost = (np.broadcast_to(table, mdp.follower_reward.shape) for table in (oracle.incentive(null), oracle.leader_cost(null)))
        price = float((cost * payment).sum() / (payment**2).sum())
        if not price > 0 or not np.allclose(cost, price * payment):
            raise Declined("subsidy_planner needs payments that cost the leader in proportion")
        return optimal_subsidies(replace(mdp, follower_reward=mdp.follower_reward - payment, leader_reward=mdp.leader_reward + cost), price)


def _invert(oracle: Oracle, payments: np.ndarray) -> np.ndarray:
    """The commitment whose payments are ``payments`` (S, B), where component and payment grow together, each pair with its own."""
    low, high = oracle.leader_space.low, oracle.leader_space.high
    ranked = low + (high - low) * np.linspace(0.4, 0.6, oracle.dimension)
    paid = np.broadcast_to(oracle.incentive(ranked)[:, 0], payments.shape)
    at = np.argwhere(paid > 0)  # pairs that are payable, and in the order of their components:
    rows, columns = at[np.argsort(paid[paid > 0])].T
    if len(rows) != oracle.dimension:
        raise Declined("subsidy_planner needs a payment above 0 for each pair of state and action")
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = np.broadcast_to(oracle.incentive(middle)[:, 0], payments.shape)[rows, columns] >= payments[rows, columns]
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return (low + high) / 2
