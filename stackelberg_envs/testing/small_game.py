"""A small random game with everything that a game with tables may have: for tests that hold for all games."""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..commitments import sigmoid, softmax_policy
from ..followers.equilibria import Saddle
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.shared_rows import SharedRows
from ..processes.successor_lists import SuccessorLists
from ..worlds.markov_game import InducedMarkovGame
from ..worlds.mdp import InducedMDP


def random_mask(rng: np.random.Generator, states: int, leader_actions: int, actions: tuple[int, ...], *, together: bool) -> np.ndarray:
    """Which joint actions there are, booleans (S, A, B): each follower has about half of its own, and at least one.

    Args:
        rng: what is drawn from.
        states: S.
        leader_actions: A.
        actions: of each follower; the mask is a product of one for each.
        together: whether one action of each is there whatever the leader does, as for followers that do not see its action.
    """
    joint = np.ones((states, leader_actions, 1), dtype=bool)
    for count in actions:
        own = rng.random((states, leader_actions, count)) < 0.5
        sure = rng.integers(count, size=(states, 1 if together else leader_actions, 1))
        np.put_along_axis(own, np.broadcast_to(sure, (states, leader_actions, 1)), True, axis=-1)
        joint = (joint[..., None] & own[..., None, :]).reshape(states, leader_actions, -1)
    return joint


class SmallGame(StackelbergGame):
    """Random tables; the leader's commitment is the logits of its policy (if it acts), and a subsidy of each action of each follower.

    Its ``repr`` is the call that makes it again.

    Args:
        states: S.
        leader_actions: A; 1 where the leader only pays.
        actions: of each follower.
        interact: whether several followers share a world; unless they are opponents, no default follower answers for them.
        zero_sum: whether they are two opponents, whose rewards sum to 0; then they interact.
        rows: how transitions are laid out: ``"dense"``, ``"lists"`` or ``"shared"``.
        lacking: whether followers lack some actions in some states.
        ends: whether an episode may end after each step.
        circumstances: C, how many contexts there are.
        follower_sees: ``"action"`` or ``"policy"``.
        discount: the followers'; below 1 unless ``ends``.
        leader_discount: the leader's; likewise.
        temperature: of the default follower.
        seed: of the tables.
    """

    name = "small"
    max_cycles = 20

    def __init__(
        self,
        *,
        states: int = 3,
        leader_actions: int = 2,
        actions: tuple[int, ...] = (2,),
        interact: bool = False,
        zero_sum: bool = False,
        rows: Literal["dense", "lists", "shared"] = "dense",
        lacking: bool = False,
        ends: bool = False,
        circumstances: int = 1,
        follower_sees: Literal["action", "policy"] = "action",
        discount: float = 0.9,
        leader_discount: float = 0.9,
        temperature: float = 0.5,
        seed: int = 0,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.followers = len(actions)
        self.groups_of_actions = [actions] if interact or zero_sum else [(count,) for count in actions]
        self.logits = states * leader_actions if leader_actions > 1 else 0
        self.leader_space = Box(-10.0, 10.0, (self.logits + sum(actions),), np.float64)
        self.contexts = tuple(f"context {i}" for i in range(circumstances))
        weights = np.arange(1.0, circumstances + 1)
        self.context_probabilities = weights / weights.sum()
        self.default_follower = Saddle(temperature) if zero_sum else Soft(temperature)
        self.states, self.leader_actions, self.zero_sum, self.rows, self.ends = states, leader_actions, zero_sum, rows, ends
        self.sees, self.discounts = follower_sees, (discount, leader_discount)
        rng = np.random.default_rng(seed)
        self.worlds = [[self._tables(rng, own, lacking=lacking) for own in self.groups_of_actions] for _ in self.contexts]
        if self.logits:
            self.log_leader_policy = self._log_leader_policy

    def _tables(self, rng: np.random.Generator, actions: tuple[int, ...], *, lacking: bool) -> dict[str, Any]:
        s, a, b = self.states, self.leader_actions, prod(actions)
        kernel = rng.dirichlet(np.ones(s), size=(s, a, b)) * (rng.choice([0.5, 0.9], size=(s, a, b, 1)) if self.ends else 1.0)
        kernel *= rng.random(kernel.shape) < 0.7 if self.ends else 1.0  # some states do not follow
        rewards = rng.normal(size=(len(actions), s, a, b))
        mask = random_mask(rng, s, a, actions, together=self.sees == "policy")
        return {
            "kernel": kernel,
            "rewards": np.stack([rewards[0], -rewards[0]]) if self.zero_sum else rewards,
            "leader": rng.normal(size=(s, a, b)),
            "initial": rng.dirichlet(np.ones(s)),
            "available": mask if lacking else None,
        }

    def _log_leader_policy(self, x: Array) -> Array:
        return softmax_policy(x[..., : self.logits], self.states, self.leader_actions)

    @cached_property
    def _places(self) -> list[list[tuple[int, tuple[int, ...]]]]:
        """For each world and follower: where its subsidies begin in x, and the shape (B_0, .., B_i, ..) in which they are paid."""
        places, begins = [], self.logits
        for own in self.groups_of_actions:
            places.append([])
            for i, count in enumerate(own):
                places[-1].append((begins, tuple(count if j == i else 1 for j in range(len(own)))))
                begins += count
        return places

    def _subsidies(self, x: Array) -> list[list[Array]]:
        """What each follower is paid for each joint action of its world, (..., 1, 1, B)."""
        xp, paid = array_namespace(x), []
        for own, places in zip(self.groups_of_actions, self._places, strict=True):
            paid.append([])
            for begins, shape in places:
                alone = sigmoid(xp.reshape(x[..., begins : begins + max(shape)], (*x.shape[:-1], *shape)))
                together = xp.broadcast_to(alone, (*x.shape[:-1], *own))
                paid[-1].append(xp.reshape(together, (*x.shape[:-1], 1, 1, prod(own))))
            if self.zero_sum:
                paid[-1] = [paid[-1][0] - paid[-1][1], paid[-1][1] - paid[-1][0]]
        return paid

    def incentive(self, x: Array, context: int | str = 0) -> Any:
        """The subsidies; of opponents, what each gets less what the other does."""
        del context
        paid = [one for world in self._subsidies(x) for one in world]
        return tuple(paid) if len(paid) > 1 else paid[0]

    def leader_cost(self, x: Array, context: int | str = 0) -> Any:
        """The sum of the subsidies of each world; opponents pay one another, and the leader half of the first one's gain."""
        del context
        costs = [0.5 * world[0] if self.zero_sum else sum(world[1:], world[0]) for world in self._subsidies(x)]
        return tuple(costs) if len(costs) > 1 else costs[0]

    def induced(self, x: Array, context: int) -> Any:
        xp = array_namespace(x)
        leader_policy = xp.exp(self._log_leader_policy(x)) if self.logits else xp.ones((self.states, 1), dtype=x.dtype)
        costs = self.leader_cost(x)
        worlds = []
        for number, (own, tables) in enumerate(zip(self.groups_of_actions, self.worlds[context], strict=True)):
            kernel, rewards, leader, initial = (xp.asarray(tables[n], dtype=x.dtype) for n in ("kernel", "rewards", "leader", "initial"))
            paid = [rewards[i] + one for i, one in enumerate(self._subsidies(x)[number])]
            shared: dict[str, Any] = {
                "leader_policy": leader_policy,
                "transition": self._lay_out(kernel, tables["kernel"]),
                "leader_reward": leader - (costs[number] if isinstance(costs, tuple) else costs),
                "initial": initial,
                "follower_discount": self.discounts[0],
                "leader_discount": self.discounts[1],
                "follower_sees": self.sees,
                "available": None if tables["available"] is None else xp.asarray(tables["available"]),
            }
            if len(own) == 1:
                worlds.append(InducedMDP(follower_reward=paid[0], **shared))
            else:
                worlds.append(InducedMarkovGame(follower_rewards=xp.stack(paid, axis=-4), actions=own, zero_sum=self.zero_sum, **shared))
        return tuple(worlds) if len(worlds) > 1 else worlds[0]

    def _lay_out(self, kernel: Array, numbers: np.ndarray) -> Any:
        if self.rows == "lists":
            return SuccessorLists.of(kernel)
        if self.rows == "shared":
            return SharedRows(kernel[..., :1, :], np.zeros(numbers.shape[-2], dtype=np.int64))
        return kernel

    def __repr__(self) -> str:
        return f"SmallGame({', '.join(f'{name}={value!r}' for name, value in self._arguments.items())})"
