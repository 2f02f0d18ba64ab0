"""Penalty-based bilevel reinforcement learning (PBRL): the leader and a copy of its follower ascend one penalised objective.

Shen, Yang, Chen, ICML 2024 and JMLR 26(114), 2025, arXiv 2402.06886.  The paper was not at hand: this is the method as specified by our
notes, and no official code was found.  In place of ``max_x F(x, g*(x))`` it climbs, in x and in the copy's logits y at once::

    F(x, y) - lambda p(x, y)                        F: the leader's return if its follower were the copy

with a penalty p of `solvers.penalties`, whose gradients need no second derivative.  As lambda grows the bias of the gradient in x (at the
best y) falls as 1/lambda.  lambda is stated for the value penalty; ``"bellman"`` multiplies by lambda / (1 - gamma), equal strength
where the process mixes.  Algorithm (one iteration; ``solvers.copies`` has steps 1 and 5):

1. Adam moves x and y along the last gradients
2. a policy g^ that tracks the best response to x: ``sweeps`` steps of mirror descent from where it was (`MirrorDescent`)
3. lambda: linear in the number of updates from ``ramp[0]`` to ``ramp[1]``, reached after ``ramp_steps``, and then held
4. gradients of ``(F - lambda p) / max(lambda, 1)`` with g^ held fixed
5. steps 2 and 4 (y only) come ``copy_steps`` - 1 times before, as in the inner loop of PANDA (Zheng, King, Lu, ICML 2026)

The ramp and the scaling are those of the same authors' released code for supervised problems; their theory has a constant lambda, which is
``ramp = (lambda, lambda)``.  A stiff penalty from the start holds x where it is, and a weak one lets the copy drift to what the leader
likes: always score x against a real follower.

``form="sampled"`` estimates the same gradients from episodes: see `solvers.penalty_sampled`.  Two opponents (`Saddle`) have two copies and
the Nikaido-Isoda function for a penalty: see `solvers.penalty_general`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from stackelberg_envs.followers.equilibria import Saddle
from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.leader.access import Access, Oracle

from .copies import Copies, copy_policy, induced_processes, node_shape
from .needs import needs_a_regularised_follower, needs_derivatives, needs_paid_steps, needs_sampled_leader
from .penalties import bellman_penalty, expected_return, value_penalty, visits
from .penalty_general import general_gradients
from .penalty_sampled import sampled_gradients, table_shapes
from .penalty_settings import PenaltySettings


@dataclass(frozen=True)
class Penalty(PenaltySettings):
    """Joint ascent of leader and follower copy under a penalty (MODEL + TRAINING; sampled: VALUE + TRAINING).

    `solvers.penalty_settings.PenaltySettings` has the arguments.
    """

    @property
    def access(self) -> Access:  # type: ignore[override]
        return Access.MODEL if self.form == "exact" else Access.VALUE

    def declines(self, oracle: Oracle) -> str | None:
        if (reason := needs_derivatives("penalty", oracle)) is not None:
            return reason
        if self.penalty == "bellman" and not max(oracle.follower_discounts) < 1:
            return "penalty='bellman' needs followers with discounts below 1; take penalty='value'"
        if isinstance(oracle.follower, Saddle) if self.form == "exact" else any(len(group) > 1 for group in oracle.groups):
            known = "penalty='value', form='exact': the value penalties add up to the Nikaido-Isoda function"
            if self.form == "sampled" or self.penalty == "bellman":
                return f"followers who interact need {known}"
            return needs_paid_steps("penalty", oracle)
        return needs_a_regularised_follower("penalty", oracle) if self.form == "exact" else needs_sampled_leader("penalty", oracle)

    def weight(self, updates: int) -> float:
        """lambda after so many updates."""
        first, last = self.ramp
        return first + (last - first) * min(1.0, updates / self.ramp_steps)

    def shapes(self, oracle: Oracle, x: torch.Tensor) -> list[tuple[int, ...]]:
        return [node_shape(mdp) for _, mdp in induced_processes(oracle, x)] if self._solves_in_batch(oracle) else table_shapes(oracle)

    def compute_gradients(self, oracle: Oracle, copies: Copies) -> dict[str, float]:
        weight = self.weight(copies.updates)  # 3
        for _ in range(self.copy_steps - 1):  # 5
            gradients, _ = self._gradients(oracle, copies, weight, x=copies.x.detach())
            copies.update([None, *gradients[1:]])
        copies.gradients, row = self._gradients(oracle, copies, weight, x=copies.x)
        return {**row, "penalty_weight": weight}

    def _gradients(self, oracle: Oracle, copies: Copies, weight: float, *, x: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, float]]:
        if self.form == "sampled":
            return sampled_gradients(self, oracle, copies, weight)
        if not self._solves_in_batch(oracle):
            return general_gradients(self, oracle, copies, weight, x=x)
        problems, objective = induced_processes(oracle, x), torch.zeros((), dtype=x.dtype)
        paid = objective
        claimed, slack, tracked = 0.0, 0.0, copies.memory or [None] * len(problems)
        copies.memory = []
        for (weights, mdp), logits, memory in zip(problems, copies.logits, tracked, strict=True):
            best, memory = self._tracking(oracle, mdp, memory)  # 2
            copies.memory.append(memory)
            copy, gamma = copy_policy(logits, mdp), mdp.follower_discount
            visited = visits(mdp, copy, gamma)
            same = mdp.leader_discount == gamma
            earned = expected_return(mdp, copy, mdp.leader_reward, visited if same else visits(mdp, copy, mdp.leader_discount))
            if self.penalty == "value":  # 4
                missed = lost = value_penalty(mdp, copy, best, oracle.temperature, visited=visited)
            else:
                lost = bellman_penalty(mdp, copy, best, oracle.temperature) / (1 - gamma)
                with torch.no_grad():
                    missed = value_penalty(mdp, copy, best, oracle.temperature, visited=visited)
            objective = objective + (weights * (earned - weight * lost)).sum() / max(weight, 1.0)
            paid = paid + (weights * earned).sum() / max(weight, 1.0)
            claimed += float((weights * earned.detach()).sum())
            slack += float((weights * missed.detach()).sum())
            self._charge(oracle, len(weights), same)
        return copies.differentiate(oracle, objective, paid, x), {"penalty": slack, "claimed_return": claimed}

    def _solves_in_batch(self, oracle: Oracle) -> bool:
        """Whether contexts and followers of equal sizes are solved together."""
        return self.form == "exact" and oracle.additive and all(len(group) == 1 for group in oracle.groups)

    def _tracking(self, oracle: Oracle, mdp: Any, memory: Any) -> tuple[torch.Tensor, Any]:
        with torch.no_grad():
            answer = MirrorDescent(oracle.temperature, self.sweeps, self.rate).answer(mdp.map(torch.Tensor.detach), memory)
        return answer.policy, answer.memory

    def _charge(self, oracle: Oracle, count: int, same: bool) -> None:
        """Each factorised system is solved forth and, for the gradient, back; a Bellman penalty reports p_V by one more of g^'s."""
        systems = 2 + (not same) + (self.penalty == "bellman")
        oracle.charge(
            newton_evaluations=self.sweeps * count,
            factorisations=(self.sweeps + systems) * count,
            linear_solves=(2 * systems - (self.penalty == "bellman")) * count,
        )
