"""A crowd of followers whose rewards depend on what all of them do: a mean-field world with tables.

A response is the policy of everybody in the crowd.  It is scored where the crowd plays it: the referee freezes its loads, and the gap is
what one follower could gain by another policy.  Mean-field games: Lasry and Lions, Jpn. J. Math. 2007; Huang, Malhame and Caines, Commun.
Inf. Syst. 2006.  With road links as resources: the Markovian traffic equilibrium of Baillon and Cominetti, Math. Program. 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..planning.linear_systems import PlanningError
from ..planning.mean_field import CrowdPlan, hard_crowd, loads_of_policy, soft_crowd
from ..play.trajectories import Trajectories
from ..processes.arrays import Array, array_namespace, as_numpy
from ..processes.mdp import MDP
from ..processes.mean_field import MeanField
from ..response import Answer
from .base import FollowerScore
from .mdp import InducedMDP
from .tabular import TabularWorld


@dataclass(frozen=True)
class ScaledRewards:
    """Rewards at loads, those of the follower times a factor; picklable."""

    rewards: Callable[[Array], tuple[Array, Array]]
    factor: float

    def __call__(self, loads: Array) -> tuple[Array, Array]:
        follower, leader = self.rewards(loads)
        return self.factor * follower, leader


class InducedMeanField(MeanField, TabularWorld):  # type: ignore[misc]
    """The process that a commitment induces for each of a crowd of followers.

    Where one follower is played by an agent, as in the views, the crowd is at its soft equilibrium at ``temperature``, and what the agent
    does moves no load.

    Args:
        transition: ``P(s'|s,b)`` as (S, 1, B, S), in any layout, as in `stackelberg_envs.InducedMDP`; it does not depend on the crowd.
        resource: which resource action b uses in state s, integers (S, B), 0 to L - 1, or -1 for none.
        rewards: gives (r_F, r_L), each (..., S, 1, B), at loads (..., L).  It is array-API code, and what the leader sets is in it.
        resources: L.
        initial: rho(s), shape (S,).
        follower_discount: in [0, 1]; 1 only where every episode ends.  Loads count visits at this discount.
        leader_discount: likewise.
        mass: how many followers the crowd stands for; loads are in this unit.
        temperature: of the crowd that a single follower meets, above 0.
        available: which actions there are, booleans (S, 1, B); None where all are.

    Raises:
        ValueError: if shapes do not fit, a discount is outside [0, 1], or mass or temperature are not above 0.
    """

    crowd: ClassVar[bool] = True
    process: ClassVar[type[MDP]] = InducedMDP
    follower_sees: ClassVar[str] = "action"  # type: ignore[misc]

    # -- the tables that one of the crowd faces, while the crowd is at equilibrium

    @cached_property
    def joint(self) -> InducedMDP:  # type: ignore[override]
        """What one follower faces while the crowd is at its soft equilibrium at ``temperature``."""
        plan = soft_crowd(self.in_numpy(), self.temperature)
        return self.at(self._like(plan.loads))

    @property
    def follower_rewards(self) -> Array:  # type: ignore[override]
        """r_F where the crowd is at equilibrium, (..., 1, S, 1, B)."""
        return self.joint.follower_rewards

    @property
    def follower_reward(self) -> Array:
        """r_F where the crowd is at equilibrium, (..., S, 1, B)."""
        return self.joint.follower_reward

    @property
    def leader_reward(self) -> Array:  # type: ignore[override]
        """r_L where the crowd is at equilibrium, (..., S, 1, B)."""
        return self.joint.leader_reward

    @property
    def actions(self) -> tuple[int, ...]:  # type: ignore[override]
        """(B,)."""
        return (self.sizes[2],)

    def unloaded(self) -> InducedMDP:
        """What the first of the crowd would face alone: the rewards at no loads."""
        return self.at(self._like(np.zeros(self.resources)))

    def _like(self, loads: np.ndarray) -> Array:
        xp = array_namespace(self.initial)
        return xp.asarray(loads, dtype=self.initial.dtype, device=self.initial.device)

    # -- the crowd's policies

    def loads_of(self, policy: Array) -> Array:
        """Loads (..., L) of a crowd whose policy is (..., S, 1, B); without derivatives."""
        crowd, tables = self.in_numpy(), as_numpy(policy)
        each = [loads_of_policy(crowd, table) for table in tables.reshape(-1, *tables.shape[-3:])]
        return self._like(np.stack(each).reshape(*tables.shape[:-3], self.resources))

    def product(self, policies: Sequence[Array]) -> Array:
        (policy,) = policies
        return policy

    def with_crowd(self, policies: Sequence[Array]) -> InducedMDP:
        (policy,) = policies
        return self.at(self.loads_of(policy))

    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> InducedMDP:
        """What one follower faces while the crowd keeps to the policy, which is that of all."""
        del player, temperature
        return self.with_crowd(policies)

    def check_policies(self, policies: Sequence[Any]) -> None:
        self.unloaded().check_policies(policies)

    def expected_return(
        self, policies: Sequence[Any], *, horizon: int | None, max_cycles: int, discount: float | None, seed: int = 0
    ) -> Array:
        """The leader's expected return from one of the crowd, (...), while all of it plays the policy."""
        self.check_policies(policies)
        world = self.with_crowd(policies)
        return world.expected_return(policies, horizon=horizon, max_cycles=max_cycles, discount=discount, seed=seed)

    def score_follower(
        self, player: int, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int
    ) -> FollowerScore:
        self.check_policies(policies)
        world = self.with_crowd(policies)
        return world.score_follower(player, policies, temperature, horizon=horizon, max_cycles=max_cycles)

    def play(
        self,
        policies: Sequence[Any],
        limits: np.ndarray,
        rng: np.random.Generator,
        *,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> tuple[Trajectories, ...]:
        """Episodes of N of the crowd, while all of it plays the policy."""
        return self.with_crowd(policies).play(policies, limits, rng, states=states, actions=actions)

    # -- how it is answered

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        """The soft equilibrium; ``values`` are the loads of the previous answer."""
        return self._answer(lambda crowd, loads: soft_crowd(crowd, temperature, loads=loads), values)

    def hard_answer(self, follower: Any, memory: Any) -> Answer:
        """The Wardrop equilibrium.

        Where rewards fall strictly as loads rise its loads are unique, and the rule for ties does not matter.
        """
        del follower
        return self._answer(lambda crowd, loads: hard_crowd(crowd, loads=loads), memory)

    def _answer(self, plan_for: Any, memory: Any) -> Answer:
        """One equilibrium for each element of a batch, with its loads as memory."""
        crowd = self.in_numpy()
        batch = crowd.rewards(np.zeros(self.resources))[0].shape[:-3]
        before = np.broadcast_to(np.full(self.resources, np.nan) if memory is None else as_numpy(memory), (*batch, self.resources))
        plans: list[CrowdPlan] = []
        for at in np.ndindex(*batch):
            warm = None if np.isnan(before[at]).any() else before[at]
            plans.append(plan_for(self._element(crowd, batch, at), warm))

        def stack(tables: list[np.ndarray]) -> Array:
            return self._like(np.stack(tables).reshape(*batch, *tables[0].shape))

        return Answer(
            stack([plan.policy for plan in plans]),
            stack([plan.values for plan in plans]),
            max(plan.gap for plan in plans),
            sum(plan.evaluations for plan in plans),
            memory=stack([plan.loads for plan in plans]),
        )

    @staticmethod
    def _element(crowd: InducedMeanField, batch: tuple[int, ...], at: tuple[int, ...]) -> InducedMeanField:
        """One element of a batch of crowds."""
        if not batch:
            return crowd
        rewards = crowd.rewards

        def own(loads: np.ndarray) -> tuple[np.ndarray, ...]:
            return tuple(
                np.broadcast_to(table, (*batch, *table.shape[-3:]))[at] for table in rewards(np.broadcast_to(loads, (*batch, len(loads))))
            )

        return replace(crowd, rewards=own)

    def tables_for(self, follower: Any) -> MDP:
        raise PlanningError(
            f"{follower!r} plans for one follower, and here a crowd responds to itself: take Soft(temperature), or Hard() for its "
            "Wardrop equilibrium"
        )

    # -- how it looks with other rewards, and what may be wrong with it

    def with_rewards(self, factor: float, constant: float) -> InducedMeanField:
        del constant  # a constant for each step makes long ways worse
        return replace(self, rewards=ScaledRewards(self.rewards, factor), temperature=factor * self.temperature)

    def fingerprint(self) -> list[np.ndarray]:
        """The tables, and rewards at two loads."""
        rewards = [np.asarray(table) for share in (0.0, 1.0) for table in self.rewards(np.full(self.resources, share * self.mass))]
        mask = [] if self.available is None else [np.asarray(self.available)]
        return [np.asarray(self.initial), *rewards, self.resource, *mask, np.asarray(self.kernel.numbers), *self.kernel.structure()]

    def invalid_numbers(self) -> list[str]:
        return self.unloaded().invalid_numbers()

    def violations(self) -> list[str]:
        return self.unloaded().violations()
