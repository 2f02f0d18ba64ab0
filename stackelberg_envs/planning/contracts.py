"""Contracts for an agent whose actions are hidden: optimal payments on a binary tree of outcomes, by linear programming.

At node s the agent picks a hidden action a, the outcome o falls by p(o|a), the principal gains R(o) and pays b(o), and the game goes on
in the child of that outcome.  With U and W the values of agent and principal from a node on (0 at the leaves), the payments that make
the agent choose a, and cost the principal least, are a linear programme (`_minimise_payment`)::

    min_b  sum_o p(o|a) b(o)   s.t.   u(a) + sum_o p(o|a) (b(o) + U(o))  >=  u(a') + sum_o p(o|a') (b(o) + U(o)),   low <= b <= high

`low` = 0 is limited liability; an agent that may idle at no cost then never does better by staying away.  Two notions of commitment:

* *per-step* (`subgame_perfect`): at each node the principal offers a contract for that node, and both know what will be offered later:
  backward induction, two programmes a node, W = max_a.
* *committed* (`optimal_contract`): all payments are promised at the start.  A promise after a good outcome also motivates whoever works
  for it, so this is worth at least as much: one programme for each plan of actions, with U linear in the payments that follow.

Where the agent is indifferent it does what the principal prefers (`Hard("strong")`).

Source: Grossman and Hart, "An Analysis of the Principal-Agent Problem", Econometrica 1983 (one programme an action); Ivanov et al.,
"Principal-Agent Reinforcement Learning", arXiv 2407.18074 (the game on trees, and its subgame-perfect equilibrium).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

MOST_NODES = 15
"""`optimal_contract` tries plans of actions, 2^N of them for N nodes (few in full), and no more than 2^15."""


@dataclass(frozen=True)
class Tree:
    """A complete binary tree, its N = 2^depth - 1 decision nodes numbered from the root, the children of s being 2 s + 1 and 2 s + 2."""

    chances: np.ndarray
    """p(o|a), (N, 2, 2): the outcome that leads to child 2 s + 1 + o."""
    utility: np.ndarray
    """u(s, a), (N, 2): the agent's own, beside payments; less what the action costs it."""
    reward: np.ndarray
    """R(s, o), (N, 2): the principal's, before it pays."""
    limits: tuple[float, float]
    """The least and the most that one outcome can be paid; (0, infinity) is limited liability alone."""
    agent_discount: float = 1.0
    """1; or 0 for an agent that does not look ahead (``u`` may then hold what it expects of later)."""

    @property
    def nodes(self) -> int:
        """N."""
        return len(self.reward)


@dataclass(frozen=True)
class Contracts:
    """Payments and what they come to."""

    value: float
    """The principal's, from the root."""
    payments: np.ndarray
    """b(s, o), (N, 2)."""
    actions: np.ndarray
    """What the agent does at each node, (N,)."""
    agent: np.ndarray
    """The agent's value from each node, (2 N + 1,); 0 at the leaves."""


def subgame_perfect(tree: Tree) -> Contracts:
    """The best contract at each node, given those that will be offered later.  Of two actions worth the same it asks for the cheaper."""
    principal, agent = np.zeros((2, 2 * tree.nodes + 1))
    payments, actions = np.zeros((tree.nodes, 2)), np.zeros(tree.nodes, dtype=np.int64)
    for s in reversed(range(tree.nodes)):
        children = slice(2 * s + 1, 2 * s + 3)
        later, best = tree.agent_discount * agent[children], -np.inf
        for a, p in enumerate(tree.chances[s]):
            gain = p - tree.chances[s, 1 - a]  # IC: gain . (b + U) >= u(a') - u(a)
            b = _minimise_payment(p, gain[None], [tree.utility[s, 1 - a] - tree.utility[s, a] - gain @ later], tree.limits)
            worth = -np.inf if b is None else float(p @ (tree.reward[s] - b + principal[children]))
            if b is not None and worth > best:
                best, payments[s], actions[s], agent[s] = worth, b, a, tree.utility[s, a] + p @ (b + later)
        principal[s] = best
    return Contracts(float(principal[0]), payments, actions, agent)


def optimal_contract(tree: Tree) -> Contracts:
    """The best payments that are promised for the whole tree: one programme a plan, in falling order of what the plan could be worth.

    A plan is worth its surplus less the agent's value, and that is at least what it gets by itself from the least payments.

    Raises:
        ValueError: for an agent that does not look ahead, or a tree of more than `MOST_NODES` nodes.
    """
    if tree.agent_discount != 1 or tree.nodes > MOST_NODES:
        raise ValueError(
            f"committed contracts are for an agent that looks ahead, and found by trying plans, on up to {MOST_NODES} nodes; got "
            f"agent_discount={tree.agent_discount} and {tree.nodes} nodes"
        )
    plans = np.array(list(itertools.product((0, 1), repeat=tree.nodes)))
    surplus = _plan_values(tree, plans, tree.reward)
    least = _optimal_value(tree, np.full((tree.nodes, 2), tree.limits[0]))
    found: Contracts | None = None
    for which in np.argsort(-surplus, kind="stable"):
        if found is not None and surplus[which] - least <= found.value:
            break
        slopes, base = _agent_values(tree, plans[which])
        rows, floors = [], []
        for s, a in enumerate(plans[which]):
            gain, children = tree.chances[s, a] - tree.chances[s, 1 - a], slice(2 * s + 1, 2 * s + 3)
            rows.append(gain @ (_payment_selector(tree, s) + slopes[children]))
            floors.append(tree.utility[s, 1 - a] - tree.utility[s, a] - gain @ base[children])
        b = _minimise_payment(slopes[0], np.array(rows), floors, tree.limits)
        if b is None:
            continue
        agent = slopes @ b + base
        if found is None or surplus[which] - agent[0] > found.value:
            found = Contracts(float(surplus[which] - agent[0]), b.reshape(-1, 2), plans[which], agent)
    assert found is not None, "equal payments make some plan a best response"
    return found


def first_best(tree: Tree) -> float:
    """What the principal earns if it sees the actions, and pays for what they cost and no more: the largest surplus."""
    return _optimal_value(tree, tree.reward)


def logits(payments: np.ndarray, most: float) -> np.ndarray:
    """The commitment (n,) whose payments ``most * sigmoid(x)`` are these, (n / 2, 2), strictly between 0 and ``most``."""
    b = payments.ravel()
    return np.log(b) - np.log(most - b)


def _payment_selector(tree: Tree, s: int) -> np.ndarray:
    """The payments at node s, (2, 2 N), as functions of all."""
    return np.eye(2 * tree.nodes)[2 * s : 2 * s + 2]


def _agent_values(tree: Tree, plan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The agent's values under a plan are slopes (2 N + 1, 2 N) times the payments, plus a base (2 N + 1,)."""
    slopes, base = np.zeros((2 * tree.nodes + 1, 2 * tree.nodes)), np.zeros(2 * tree.nodes + 1)
    for s in reversed(range(tree.nodes)):
        p, children = tree.chances[s, plan[s]], slice(2 * s + 1, 2 * s + 3)
        slopes[s] = p @ (_payment_selector(tree, s) + slopes[children])
        base[s] = tree.utility[s, plan[s]] + p @ base[children]
    return slopes, base


def _plan_values(tree: Tree, plans: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Expected sum of u(s, a) + gains(s, o) under each plan (K, N): (K,)."""
    values = np.zeros((len(plans), 2 * tree.nodes + 1))
    for s in reversed(range(tree.nodes)):
        p, a = tree.chances[s, plans[:, s]], plans[:, s]
        values[:, s] = tree.utility[s, a] + (p * (gains[s] + values[:, 2 * s + 1 : 2 * s + 3])).sum(-1)
    return values[:, 0]


def _optimal_value(tree: Tree, gains: np.ndarray) -> float:
    """The largest expected sum of u(s, a) + gains(s, o)."""
    values = np.zeros(2 * tree.nodes + 1)
    for s in reversed(range(tree.nodes)):
        values[s] = (tree.utility[s] + tree.chances[s] @ (gains[s] + values[2 * s + 1 : 2 * s + 3])).max()
    return float(values[0])


def _minimise_payment(cost: np.ndarray, rows: np.ndarray, floors: list[float], limits: tuple[float, float]) -> np.ndarray | None:
    """min cost . b s.t. rows b >= floors within the limits, solved by scipy's HiGHS; None if there is no such b."""
    from scipy.optimize import linprog

    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(cost, A_ub=-rows, b_ub=-np.array(floors), bounds=limits, method="highs", options=tight)
    if found.status not in (0, 2):
        raise RuntimeError(f"a programme for contracts was not solved: {found.message}")
    return None if found.status == 2 else np.clip(found.x, *limits)
