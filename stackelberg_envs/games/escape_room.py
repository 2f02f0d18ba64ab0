"""Escape room: pay for holding the lever that lets others out.

* **Followers**: each stands at the lever, at the start or at the door, and goes to one of them in each step.  If at least M are at the
  lever, those who go to the door get out and earn 10; moving anywhere else costs 1, and staying nothing.  The episode ends for
  everybody when somebody is out, or after ``steps``.
* **Leader**: announces what it pays a follower for going to (or staying at) each place, in [0, 2], whoever it is.  It earns the sum of
  what the followers earn without its payments, less ``cost`` times what it pays.

The Escape Room of Yang, Li, Farajtabar, Sunehag, Hughes, Zha, "Learning to incentivize other learning agents" (LIO), NeurIPS 2020, whose
reward rule this is, with a leader in place of incentives among the agents.  Who goes to the lever, and whether anybody does, are
different equilibria: the follower, `stackelberg_envs.followers.equilibria.Nash`, says which one is played.  Played once (``steps = 1``) and
unpaid, all stay: the only pure equilibrium.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.equilibria import Nash
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.markov_game import InducedMarkovGame

PLACES = ("lever", "start", "door")
LEVER, START, DOOR = range(3)
ESCAPE, MOVE, LARGEST = 10.0, -1.0, 2.0


class EscapeRoom(StackelbergGame):
    """N followers, M of whom are needed at the lever.

    * Commitment: a number z for each place (``payments="places"``), or for each state and place, row-major (``"states"``); what is paid
      is ``2 * sigmoid(z)``.
    * State: time, and where everybody stands; at time 0 all are at the start.

    Args:
        agents: N, 2 to 5.
        needed: M, 1 to N - 1.
        steps: after which the episode ends; at most 5.
        payments: ``"places"`` or ``"states"``.
        cost: what a unit of payment costs the leader.
        discount: of everybody, in [0, 1].
        max_cycles: steps after which a played episode is cut; ``steps`` if not given.
    """

    name = "escape_room"

    def __init__(
        self,
        *,
        agents: int = 2,
        needed: int = 1,
        steps: int = 5,
        payments: Literal["places", "states"] = "places",
        cost: float = 1.0,
        discount: float = 0.99,
        max_cycles: int | None = None,
    ) -> None:
        agents, steps = whole("agents", agents, 2, 5), whole("steps", steps, 1, 5)
        needed = whole("needed", needed, 1, agents - 1)
        if agents > 3 and steps > 1:
            raise ValueError(f"dense tables hold 4 or 5 agents for steps=1 alone; got {agents=}, {steps=}")
        self.followers = agents
        self.payments, self.cost, self.discount = payments, real("cost", cost, 0), real("discount", discount, 0, 1)
        self.max_cycles = cycles(steps if max_cycles is None else max_cycles)
        everywhere = list(product(range(3), repeat=agents))
        self.state_names = [(0, (START,) * agents), *((t, where) for t in range(1, steps) for where in everywhere)]
        index = {name: s for s, name in enumerate(self.state_names)}
        shape = (len(self.state_names), 1, len(everywhere))
        transition, rewards = np.zeros((*shape, shape[0])), np.zeros((agents, *shape))
        for s, (t, where) in enumerate(self.state_names):
            for b, goes in enumerate(everywhere):
                opened = goes.count(LEVER) >= needed
                out = [opened and to == DOOR for to in goes]
                rewards[:, s, 0, b] = [ESCAPE if free else 0.0 if to == at else MOVE for free, to, at in zip(out, goes, where, strict=True)]
                if not any(out) and t + 1 < steps:
                    transition[s, 0, b, index[t + 1, goes]] = 1.0
        self.leader_space = Box(-20.0, 20.0, (3 * (shape[0] if payments == "states" else 1),), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Nash("payoff")
        self._constants = Constants(
            leader_policy=np.ones(shape[:2]),
            transition=transition,
            rewards=rewards,
            initial=np.eye(shape[0])[0],
            goes=np.array(everywhere).T,
        )

    def payment_table(self, x: Array) -> Array:
        """What a follower is paid in each state for each place, (..., S, 3); S = 1 where it is the same in all."""
        xp = array_namespace(x)
        return LARGEST * sigmoid(xp.reshape(x, (*x.shape[:-1], -1, 3)))

    def instruments(self, x: Array) -> dict[str, Array]:
        """The payment for each place, (..., S), in units of the followers' reward; S = 1 where it is the same in all states."""
        paid = self.payment_table(x)
        return {name: paid[..., place] for place, name in ((LEVER, "pay, lever"), (START, "pay, start"), (DOOR, "pay, door"))}

    def incentive(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """What each follower is paid, (..., S, 1, B)."""
        paid, c = self.payment_table(x), self._constants.like(x)
        return tuple(paid[..., c.goes[i]][..., None, :] for i in range(self.followers))

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the leader pays, (..., S, 1, B)."""
        return self.cost * sum(self.incentive(x))

    def induced(self, x: Array, context: int) -> InducedMarkovGame:
        xp = array_namespace(x)
        c = self._constants.like(x)
        return InducedMarkovGame(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_rewards=c.rewards + xp.stack(list(self.incentive(x)), axis=-4),
            leader_reward=xp.sum(c.rewards, axis=0) - self.leader_cost(x),
            initial=c.initial,
            actions=(3,) * self.followers,
            follower_discount=self.discount,
            leader_discount=self.discount,
        )
