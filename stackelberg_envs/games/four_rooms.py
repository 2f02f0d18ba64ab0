"""Four Rooms: tax the floor, so that walkers pass a cell.

The follower walks from its start to its goal in a slippery 13 x 13 map of four rooms.  Which goal it wants is the context.  The leader
spreads a fixed budget of penalties over the cells before the goal is known, hoping that the walker passes the leader's target cell on
its way; penalties that it uses up are charged to it when the walker arrives.

Source: Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive Alignment", NeurIPS 2024,
arXiv 2406.01575 (preset ``"hpgd"``); Kudo, Tanabe, Wachi, Akimoto, "Sample-Efficient Hypergradient Estimation for Decentralized
Bi-Level RL", ICAPS 2026, arXiv 2603.14867 (preset ``"bchg"``).  Specified from their public code.  That code steps with an intended
move of probability 0.67 and plans with 0.56; here there is one kernel, and ``slip`` says which: 0.33 or 0.44.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, real, whole
from ..commitments import Saturation
from ..followers.exact import Hard, Soft
from ..game import Layout, StackelbergGame, as_tuple
from ..planning.budget_bound import Penalised, budget_bound
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP

MAP = (
    "#############",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#     #     #",
    "## ####     #",
    "#     ### ###",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#############",
)
CELLS = tuple((row, col) for row, line in enumerate(MAP) for col, char in enumerate(line) if char != "#")
INDEX = {cell: state for state, cell in enumerate(CELLS)}
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
TARGET = (8, 4)
BUDGET = 0.2
DISCOUNT = 0.99
Cell = tuple[int, int]


@dataclass(frozen=True)
class Walker:
    """One follower: where it starts and where it wants to go in each context, as (row, col)."""

    start: Cell
    goals: tuple[Cell, ...]


WALKERS = (
    Walker((4, 1), ((1, 9), (11, 11))),
    Walker((1, 9), ((11, 1), (4, 1))),
    Walker((11, 11), ((4, 1), (1, 9))),
    Walker((11, 1), ((11, 11), (1, 11))),
)
"""The paper's follower and three more; ``walkers=n`` takes the first n."""

PRESETS = {
    "default": {"contexts": ("G1", "G2"), "beta": 3.0, "slip": 0.33},
    "hpgd": {"contexts": ("G1", "G2"), "beta": 3.0, "slip": 0.44},
    "bchg": {"contexts": ("G1",), "beta": 5.0, "slip": 0.44},
}


class FourRooms(StackelbergGame):
    """The incentive design game on the four-rooms map.

    * Commitment: 105 logits; ``penalty(cell) = -0.2 softmax(x)[cell]`` for the 104 free cells, and the last component is budget that
      stays unused.
    * Follower reward: 1 for acting in its goal (no penalty there), which ends the episode; the penalty of its cell otherwise.
    * Leader reward: 1 for each step spent on the target cell (8, 4), less ``beta`` times the used budget when the goal is reached.
    * Both discount by 0.99; published values are for the infinite horizon.

    Args:
        preset: ``"default"`` (one kernel, slip 0.33), ``"hpgd"`` (slip 0.44, the kernel of the published score) or ``"bchg"`` (goal G1
            only, beta 5, slip 0.44).
        beta: the leader's price of penalties, in reward per unit of budget; None for the preset's.
        slip: probability of not making the intended move, split evenly over the other three; None for the preset's.
        walkers: how many followers, or which; each walks alone and the leader is paid for all.
        max_cycles: steps after which a played episode is cut.
    """

    name = "four_rooms"
    context_visibility = "after"

    def __init__(
        self,
        *,
        preset: Literal["default", "hpgd", "bchg"] = "default",
        beta: float | None = None,
        slip: float | None = None,
        walkers: int | Sequence[Walker] = 1,
        max_cycles: int = 200,
    ) -> None:
        chosen = PRESETS[preset]
        self.beta = real("beta", chosen["beta"] if beta is None else beta, -np.inf)
        self.slip = real("slip", chosen["slip"] if slip is None else slip, 0, 1, open_high=True)
        if isinstance(walkers, Sequence):
            self.walkers = tuple(walkers)
        else:
            self.walkers = WALKERS[: whole("walkers", walkers, 1, len(WALKERS))]
        self.contexts = chosen["contexts"]
        if not self.walkers or any(len(walker.goals) < len(self.contexts) for walker in self.walkers):
            raise ValueError(f"walkers need at least one Walker, each with a goal for every context ({', '.join(self.contexts)})")
        self.context_probabilities = np.full(len(self.contexts), 1 / len(self.contexts))
        self.followers = len(self.walkers)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (len(CELLS) + 1,), np.float64)
        self.saturation = Saturation.softmax(len(CELLS) + 1)
        self.default_follower = Soft(0.003)
        self.layout = Layout(MAP, CELLS)
        self._constants = Constants(
            target=_indicator(TARGET),
            leader_policy=np.ones((len(CELLS), 1)),
            **{
                f"{what}_{i}_{c}": table
                for i, walker in enumerate(self.walkers)
                for c in range(len(self.contexts))
                for what, table in (
                    ("goal", _indicator(walker.goals[c])),
                    ("initial", _indicator(walker.start)),
                    ("transition", transition(self.slip, walker.goals[c])),
                )
            },
        )

    def penalties(self, x: Array) -> Array:
        """The penalty of each cell, in [-0.2, 0], shape (..., 104)."""
        xp = array_namespace(x)
        weights = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return -BUDGET * weights[..., :-1] / xp.sum(weights, axis=-1, keepdims=True)

    shading = penalties

    def incentive(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """What the leader sets of a walker's reward: penalties everywhere but at its goal, (..., S, 1, 1); one for each walker."""
        penalties = self.penalties(x)
        return self._for_each_walker(lambda goal: _penalty_reward(penalties, goal), x, self.context_index(context))

    def leader_cost(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """What the leader pays: ``beta`` times the used budget, at the walker's goal, (..., S, 1, 1); one for each walker."""
        penalties = self.penalties(x)
        return self._for_each_walker(lambda goal: self._leader_payment(penalties, goal), x, self.context_index(context))

    def induced(self, x: Array, context: int) -> InducedMDP | tuple[InducedMDP, ...]:
        penalties = self.penalties(x)
        problems = tuple(self._problem(x, f"{i}_{context}", penalties) for i in range(self.followers))
        return problems if self.followers > 1 else problems[0]

    def _problem(self, x: Array, which: str, penalties: Array) -> InducedMDP:
        xp, c = array_namespace(x), self._constants.like(x)
        goal = getattr(c, f"goal_{which}")
        incentive, cost = _penalty_reward(penalties, goal), self._leader_payment(penalties, goal)
        shape = (*x.shape[:-1], len(CELLS), 1, len(MOVES))
        return InducedMDP(
            leader_policy=c.leader_policy,
            transition=getattr(c, f"transition_{which}"),
            follower_reward=xp.broadcast_to(goal[:, None, None] + incentive, shape),
            leader_reward=xp.broadcast_to(c.target[:, None, None] - cost, shape),
            initial=getattr(c, f"initial_{which}"),
            follower_discount=DISCOUNT,
            leader_discount=DISCOUNT,
        )

    def _leader_payment(self, penalties: Array, goal: Array) -> Array:
        """What the leader pays at a goal, (..., S, 1, 1)."""
        used = -array_namespace(penalties).sum(penalties, axis=-1, keepdims=True)
        return (self.beta * used * goal)[..., None, None]

    def _for_each_walker(self, table: Callable[[Array], Array], x: Array, context: int) -> Array | tuple[Array, ...]:
        """``table(goal)`` for each walker: bare for one, a tuple for several."""
        c = self._constants.like(x)
        tables = tuple(table(getattr(c, f"goal_{i}_{context}")) for i in range(self.followers))
        return tables if self.followers > 1 else tables[0]

    def upper_bound_against(self, follower: Any) -> float | None:
        """By how far a budget of 0.2 can draw a `Soft` or `Hard` walker from its way, less what that costs the leader."""
        if not isinstance(follower, Soft | Hard) or self.beta < 0:
            return None
        unused = np.where(np.arange(len(CELLS) + 1) < len(CELLS), self.leader_space.low, self.leader_space.high)
        c, processes = self._constants.like(unused), []
        for context, probability in enumerate(self.context_probabilities):
            for i, mdp in enumerate(as_tuple(self.induced(unused, context))):
                goal = getattr(c, f"goal_{i}_{context}")
                free, target, cost = (some[:, None, None] + 0 * mdp.follower_reward for some in (goal, c.target, self.beta * goal))
                processes.append(Penalised(replace(mdp, follower_reward=free), target, goal == 0, cost, float(probability)))
        return budget_bound(processes, BUDGET, follower.temperature)

    def marks(self, context: int) -> dict[Cell, str]:
        """What to print on the map: T for the target, S for starts, G for goals."""
        marks: dict[Cell, str] = {TARGET: "T"}
        for walker in self.walkers:
            marks[walker.start] = "S"
        for walker in self.walkers:
            marks[walker.goals[context]] = "G"
        return marks


def _penalty_reward(penalties: Array, goal: Array) -> Array:
    """Penalties everywhere but at a goal, (..., S, 1, 1)."""
    return (penalties * (1 - goal))[..., None, None]


def transition(slip: float, goal: Cell) -> np.ndarray:
    """``P(s'|s,b)``, (S, 1, 4, S): the intended move with probability 1 - slip, each other with slip/3; walls stop; the goal ends."""
    kernel = np.zeros((len(CELLS), 1, len(MOVES), len(CELLS)))
    for state, (row, col) in enumerate(CELLS):
        if (row, col) == goal:
            continue
        reached = [INDEX.get((row + down, col + right), state) for down, right in MOVES]
        for action in range(len(MOVES)):
            for move, successor in enumerate(reached):
                kernel[state, 0, action, successor] += 1 - slip if move == action else slip / 3
    return kernel


def _indicator(cell: Cell) -> np.ndarray:
    if cell not in INDEX:
        raise ValueError(f"{cell} is not a free cell of the map; cells are (row, col) from (1, 1), and '#' is wall")
    table = np.zeros(len(CELLS))
    table[INDEX[cell]] = 1.0
    return table
