"""Worlds with tables: scored by linear solves, played by drawing from their rows."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Discrete

from ..planning.hard_policy_iteration import hard_policy_iteration
from ..planning.policy_evaluation import policy_value, regularised_reward
from ..planning.policy_iteration import soft_policy_iteration
from ..play.outcomes import Outcome, outcome_of_indices
from ..play.rollouts import simulate
from ..play.steps import TabularPolicyStepper, TabularStepper
from ..play.trajectories import Trajectories
from ..processes.arrays import Array, array_namespace, as_float, as_numpy
from ..processes.availability import check_product, check_some_action
from ..processes.inverse_cdf import cumulative, inverse_cdf
from ..processes.mdp import MDP, available_actions, decision_problem
from .base import FollowerScore, Spaces, World
from .invalid_tables import check_policy, distribution_errors, reward_errors, shape_errors, transition_errors


class TabularWorld(World):
    """A world with tables; subclasses are processes of one follower, or of several whose joint action is one index."""

    kind: ClassVar[str] = "tables"
    initial: Array
    leader_policy: Array
    leader_reward: Array
    sizes: Any
    """(S, A, B), B the number of joint actions."""
    follower_rewards: Any
    """r_i(s,a,b), with an axis for followers, (..., n, S, A, B)."""
    joint: Any
    """The process with all followers' actions as one."""
    numbers: Any
    """The arrays that hold the tables, by name."""
    kernel: Any
    """``transition`` with the operations of every layout."""
    available: Any
    """Which joint actions there are, booleans (..., S, A, B); all if None."""

    @abc.abstractmethod
    def product(self, policies: Sequence[Array]) -> Array:
        """The policy over joint actions of which each follower plays its part, (..., S, A, B)."""

    @abc.abstractmethod
    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> MDP:
        """What one follower faces while the others keep to ``policies``."""

    @property
    def spaces(self) -> tuple[Spaces, ...]:
        s, a, _ = self.sizes
        return tuple(Spaces(Discrete(s), Discrete(a) if a > 1 else None, Discrete(b)) for b in self.actions)

    def available_actions(self, player: int) -> Any:
        return available_actions(self, player)

    def check_policies(self, policies: Sequence[Any]) -> None:
        """Refuse policies of other shapes, and those that play what is not available.

        Raises:
            ValueError: naming the first of them.
        """
        s, a, _ = self.sizes
        for player, policy in enumerate(policies):
            b = self.actions[player]
            nodes = tuple(policy.shape[-3:])
            if nodes not in ((s, a, b), (s, 1, b)) and not (self.joint.follower_sees == "signal" and nodes[::2] == (s, b)):
                raise ValueError(
                    f"follower {player}'s policy has the shape {tuple(policy.shape)}: it is (S, A, B) = {(s, a, b)}, "
                    f"or {(s, 1, b)} where it does not depend on the leader's action"
                )
            there = self.available_actions(player)
            if there is None or not bool((forbidden := (policy > 0) & ~there).any()):
                continue
            *_, s, n, b = (int(at[0]) for at in as_numpy(forbidden).nonzero())
            probability = float(as_numpy(policy)[..., s, n, b].max())
            raise ValueError(
                f"follower {player} plays action {b} in state {s} with probability {probability:.3g}, and it is not available there"
            )

    def expected_return(
        self, policies: Sequence[Any], *, horizon: int | None, max_cycles: int, discount: float | None, seed: int = 0
    ) -> Array:
        del max_cycles, seed
        self.check_policies(policies)
        mdp = self.joint
        gamma = mdp.leader_discount if discount is None else discount
        values = policy_value(mdp, self.product(policies), mdp.leader_reward, gamma, horizon=horizon)
        return array_namespace(values).sum(mdp.initial * values, axis=-1)

    def score_follower(
        self, player: int, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int
    ) -> FollowerScore:
        del max_cycles
        check_policy(policies[player])
        self.check_policies(policies)
        policy, mdp = policies[player], self.facing(player, policies, temperature)
        xp = array_namespace(policy)
        if self.joint.follower_sees == "policy" and as_float(xp.max(xp.abs(policy - policy[..., :1, :]))) > 1e-6:
            raise ValueError(
                f"follower {player} sees the leader's policy and not its action, and its policy depends on the action: give the same row "
                "for each of them, or (S, 1, B)"
            )
        gamma = mdp.follower_discount

        def start(values: Array) -> Array:
            return xp.sum(mdp.initial * values, axis=-1)

        own = self.follower_rewards[..., player, :, :, :]
        plain = policy_value(self.joint, self.product(policies), own, gamma, horizon=horizon)
        attained = policy_value(mdp, policy, regularised_reward(mdp, policy, temperature), gamma)
        if temperature > 0:
            best = soft_policy_iteration(mdp, temperature, values=attained).values
        else:
            best = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), gamma).values
        gap = start(best) - start(attained)
        rounding = max(1e-6, 1e4 * xp.finfo(gap.dtype).eps)  # of fewer digits, solves at discount 0.99 leave a ten thousandth part
        if as_float(xp.min(gap)) < -rounding * (1 + as_float(xp.max(xp.abs(start(best))))):
            raise ValueError("this response beats the best one: it is not a policy that the follower of this game could have")
        return FollowerScore(start(plain), start(attained), xp.where(gap > 0, gap, xp.zeros_like(gap)))  # what is left below 0 is rounding

    def stepper(self) -> TabularStepper:
        return TabularStepper(self)  # type: ignore[arg-type]

    def policy_stepper(self, policy: Any) -> TabularPolicyStepper:
        return TabularPolicyStepper(cumulative(np.asarray(policy)))

    def play(
        self,
        policies: Sequence[Any],
        limits: np.ndarray,
        rng: np.random.Generator,
        *,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> tuple[Trajectories, ...]:
        self.check_policies(policies)
        first = inverse_cdf(cumulative(self.initial), rng.random(len(limits))) if states is None else states
        chosen: Any = None if actions is None else np.ravel_multi_index(tuple(actions.T), self.actions)
        if chosen is not None and self.available is not None:
            self._check_first_actions(first, chosen)
        return simulate(self.joint, self.product(policies), first, rng, limits, actions=chosen).by_follower(self)  # type: ignore[arg-type]

    def _check_first_actions(self, states: np.ndarray, actions: np.ndarray) -> None:
        """Refuse first (joint) actions (N,) in states (N,), S for the end, that are not available whatever the leader does."""
        (running,) = np.nonzero(states < self.sizes[0])
        there = self.available[states[running], :, actions[running]].all(axis=-1)
        if not there.all():
            s, b = states[running][~there][0], actions[running][~there][0]
            raise ValueError(f"a first action is available whatever the leader does, and action {b} in state {s} is not")

    @staticmethod
    def outcome(contexts: np.ndarray, ends: Sequence[int], pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
        return outcome_of_indices(contexts, ends, pieces)

    def fingerprint(self) -> list[np.ndarray]:
        """The tables, and what else tells layouts with equal numbers apart."""
        mask = [] if self.available is None else [np.asarray(self.available)]
        return [*(np.asarray(table) for table in self.numbers.values()), *mask, *self.kernel.structure()]

    def invalid_numbers(self) -> list[str]:
        s, a, b = self.sizes
        wrong = super().invalid_numbers()
        wrong += shape_errors("leader_policy", self.leader_policy, (s, a)) or distribution_errors("leader_policy", self.leader_policy)
        wrong += shape_errors("transition", self.kernel, (s, a, b, s)) or transition_errors(self.kernel)
        wrong += shape_errors("initial", self.initial, (s,)) or distribution_errors("initial", self.initial)
        for name in ("follower_rewards", "leader_reward"):
            wrong += reward_errors(name, getattr(self, name))
        return wrong

    def violations(self) -> list[str]:
        s, a, b = self.sizes
        wrong = self.invalid_numbers()
        wrong += shape_errors("follower_rewards", self.follower_rewards, (len(self.actions), s, a, b))
        wrong += shape_errors("leader_reward", self.leader_reward, (s, a, b))
        if (layout := self.kernel.check()) is not None:
            wrong.append(layout)
        ends = bool((np.asarray(self.kernel.row_sums())[self._rows_taken()] < 1).any())
        for who, gamma in (("follower", self.follower_discount), ("leader", self.leader_discount)):
            if gamma == 1 and not ends:
                wrong.append(f"{who}_discount is 1, and no episode ends")
        return wrong + self._mask_violations()

    def _rows_taken(self) -> Any:
        """Which rows of the transition some available action takes."""
        if self.available is None:
            return ...
        return np.asarray(self.kernel.sum_by_row(np.asarray(self.available, dtype=np.float64))) > 0

    def _mask_violations(self) -> list[str]:
        """What is wrong with ``available``."""
        if self.available is None:
            return []
        mask, sizes = np.asarray(self.available), self.sizes
        if mask.dtype != bool or mask.shape != sizes:
            return [f"available is booleans of shape {sizes}, and here it is {mask.dtype} of shape {mask.shape}"]
        try:
            check_some_action(mask, together=self.follower_sees == "policy")
            check_product(mask, self.actions)
        except ValueError as error:
            return [str(error)]
        return []
