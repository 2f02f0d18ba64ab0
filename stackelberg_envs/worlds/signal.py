"""One follower that sees a noisy signal of the leader's action: a Markov decision process with tables, and a table of signals.

Of the leader's action a the follower sees k with probability P(k|s,a).  It knows the policy pi to which the leader has committed, which is
its prior, and decides by Bayes' rule::

    P(k|s) = sum_a pi(a|s) P(k|s,a)          belief(a|s,k) = pi(a|s) P(k|s,a) / P(k|s)

Each action is drawn anew from pi(.|s), and states are seen, so what was seen before says nothing of the present action: the follower faces
an ordinary process in which the signal stands where the leader's action was, with rewards and transitions that are means under the belief.
Every exact answer there is exact here, over one step or many; see `InducedSignalMDP.perceived`.

Bagwell, "Commitment and observability in games", GEB 1995, asks another question: there the commitment is an action, and nothing but its
signal is seen, so that the prior is what the follower expects in an equilibrium, and not what the leader announced.  That is simultaneous
play of a leader's action against a follower's plan (k to b); `stackelberg_envs.planning.normal_form` has its equilibria.  Here pi is the
commitment, and it is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from ..processes.arrays import Array, array_namespace
from ..processes.inverse_cdf import draw
from ..response import Answer
from .invalid_tables import distribution_errors
from .mdp import InducedMDP


@dataclass(frozen=True, kw_only=True)
class InducedSignalMDP(InducedMDP):
    """An `stackelberg_envs.InducedMDP` whose follower sees a signal of the leader's action.

    Its policies are g(b|s,k), (..., S, K, B).  With a signal that says the action it is the game ``follower_sees="action"``, with one that
    says nothing the game ``follower_sees="policy"``.  Solvers that know only these two decline; those that read exact returns, and
    ``implicit``, do not.  Of a mask ``available`` it has, at a signal, what is available after each action that may send it.

    Args:
        signal: P(k|s,a), shape (..., S, A, K); rows sum to 1.
        follower_sees: always ``"signal"``.
    """

    signal: Array
    follower_sees: Literal["signal"] = field(default="signal", init=False)  # type: ignore[assignment]

    tables: ClassVar[tuple[str, ...]] = (*InducedMDP.tables, "signal")
    """The array fields."""
    visibilities: ClassVar[tuple[str, ...]] = ("signal",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if tuple(self.signal.shape[-3:-1]) != self.sizes[:2]:
            raise ValueError(f"signal has shape (..., S, A, K) with S, A = {self.sizes[:2]}, got {tuple(self.signal.shape)}")

    @property
    def signals(self) -> int:  # type: ignore[override]
        """K."""
        return int(self.signal.shape[-1])

    @cached_property
    def perceived(self) -> InducedMDP:
        """The process as the follower sees it: K signals for the leader's A actions, the rest in the mean under the belief.

        What a policy of the follower is worth there, to it and to the leader, it is worth here.  A signal that never comes leaves the
        prior as it is.
        """
        xp = array_namespace(self.leader_policy)
        prior = self.leader_policy[..., None]
        together = prior * self.signal
        weight = xp.sum(together, axis=-2)
        comes = (weight > 0)[..., None, :]
        likely = xp.where(comes, together / xp.where(comes, weight[..., None, :], 1.0), prior)
        belief = xp.matrix_transpose(likely)  # (..., S, K, A)
        dense = self.kernel.dense()
        rows = xp.reshape(dense, (*dense.shape[:-2], -1))
        arrives = xp.matmul(belief, rows)
        available = self.available
        if available is not None:  # what is available whatever the leader may have done where this signal comes
            available = xp.all(available[..., None, :] | (self.signal == 0)[..., None], axis=-3)
        return InducedMDP(
            leader_policy=weight,
            transition=xp.reshape(arrives, (*arrives.shape[:-1], *dense.shape[-2:])),
            follower_reward=xp.matmul(belief, self.follower_reward),
            leader_reward=xp.matmul(belief, self.leader_reward),
            initial=self.initial,
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
            available=available,
        )

    def product(self, policies: Sequence[Array]) -> Array:
        """What the follower does where the leader does a, ``sum_k P(k|s,a) g(b|s,k)``, (..., S, A, B)."""
        (policy,) = policies
        return array_namespace(policy).matmul(self.signal, policy)

    def available_actions(self, player: int) -> Any:
        del player
        return self.perceived.available

    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> InducedMDP:
        del player, policies, temperature
        return self.perceived

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        return self.perceived.soft_answer(temperature, values)

    def tables_for(self, follower: Any) -> InducedMDP:
        return self.perceived

    def draw_signal(self, s: Any, a: Any, rng: np.random.Generator) -> int:
        return int(draw(np.asarray(self.signal)[s, a], np.asarray(rng.random())))

    def invalid_numbers(self) -> list[str]:
        return super().invalid_numbers() + distribution_errors("signal", self.signal)
