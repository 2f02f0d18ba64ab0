"""The optimal contracts of a hidden-action tree, by linear programmes (see `stackelberg_envs.planning.contracts`).

1. read the tree off the model: p(o|a), the agent's own utility, what outcomes bring the principal, and the range of payments
2. solve it: all payments together if the agent looks ahead (`optimal_contract`), node by node if it does not (`subgame_perfect`)
3. ask the game what these payments come to; if that is another number, it was not this tree
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackelberg_envs.followers.exact import Hard
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.contracts import MOST_NODES, Tree, logits, optimal_contract, subgame_perfect

from .base import Declined, Solver, State

AGREEMENT = 1e-6


@dataclass(frozen=True)
class ContractLP(Solver):
    """The exact optimum of `contract_tree`, for either horizon of commitment (MODEL); the first iteration is all there is to do.

    Plays against ``Hard(ties="strong")``: at the optimum the agent is indifferent wherever it works.
    """

    access = Access.MODEL

    def declines(self, oracle: Oracle) -> str | None:
        if not isinstance(oracle.follower, Hard) or oracle.follower.ties != "strong":
            return f"contract_lp plays against Hard(ties='strong'), not {oracle.follower!r}"
        s, a, b = oracle.sizes[0]
        if oracle.followers > 1 or len(oracle.contexts) > 1 or not oracle.additive:
            return "contract_lp handles one agent in one context, and an additive objective"
        if oracle.leader_cost is None or (a, b) != (1, 2) or s < 3 or s & (s + 1) or oracle.commitment_shape != (s - 1,):
            return "contract_lp needs a binary tree with two actions and a payment for each outcome, as in contract_tree"
        if oracle.available[0][0] is not None:
            return "contract_lp needs an agent that has both actions in each state"
        (discount,) = oracle.follower_discounts
        if oracle.leader_discount != 1 or discount not in (0, 1):
            return "contract_lp needs discount 1, or 0 for an agent that does not look ahead"
        if discount == 1 and s // 2 > MOST_NODES:
            return f"contract_lp finds committed contracts for up to {MOST_NODES} decision nodes, and here are {s // 2}"
        return None

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        if state.iteration > 0:
            return State(state.x, state.iteration + 1, row=state.row)
        tree = self._tree(oracle)  # 1
        best = optimal_contract(tree) if tree.agent_discount == 1 else subgame_perfect(tree)  # 2
        x = np.clip(logits(best.payments, sum(tree.limits)), oracle.leader_space.low, oracle.leader_space.high)
        if not abs(oracle.returns(x) - best.value) < AGREEMENT * (1 + abs(best.value)):  # 3
            raise Declined("contract_lp: the game pays otherwise than a contract tree")
        return State(x, 1, row={"value": best.value})

    def _tree(self, oracle: Oracle) -> Tree:
        (mdp,) = oracle.commit(np.zeros(oracle.dimension))
        nodes = oracle.dimension // 2
        low, paid, high = (
            np.ravel(oracle.leader_cost(x)) for x in (oracle.leader_space.low, np.zeros(2 * nodes), oracle.leader_space.high)
        )
        if not (low[0] == paid[0] == 0 and np.ptp(low[1:]) == np.ptp(high[1:]) == 0 and 0 < low[1] < high[1]):
            raise Declined("contract_lp needs payments b_max * sigmoid(x), with one b_max")
        chances = np.stack([mdp.transition[s, 0, :, 2 * s + 1 : 2 * s + 3] for s in range(nodes)])
        earned = mdp.follower_reward[:nodes, 0]
        patience = mdp.follower_discount
        payments = paid[1:].reshape(nodes, 1, 2)
        return Tree(
            chances=chances,
            utility=earned - (paid[:nodes, None] if patience == 1 else (chances * payments).sum(-1)),
            reward=(mdp.leader_reward[1:, 0, 0] + paid[1:]).reshape(nodes, 2),
            limits=(float(low[1]), float(high[1])),
            agent_discount=patience,
        )
