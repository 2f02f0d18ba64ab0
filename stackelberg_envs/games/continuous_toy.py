"""Continuous toy: Toy3 with an announced probability.

The leader announces P(it plays 1) in each step of `stackelberg_envs.games.toy3`, and a coin decides.

ContinuousToy of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, by its public code.  The follower sees the probability a before
it acts, and not the coin, which falls after its action::

    a = sigmoid(x_s + sd z),  z ~ N(0, 1)             s' = T(s, coin, b),  P(coin = 1) = a
    r(s,a,b) = (1 - a) r(s,0,b) + a r(s,1,b)          for both: what is paid is the mean over the coin, which changes no expected return

With sd = 0, as published, this is Toy3 with ``follower_sees="policy"``: a world of a few numbers in the clothes of a continuous one, with
an exact answer to compare with.  With sd > 0 the leader explores, and its policy has a density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from ..arguments import cycles, nearest, real
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..planning.policy_iteration import soft_policy_iteration
from ..planning.value_iteration import softmax_backup
from ..processes.arrays import Array, array_namespace, clip
from ..processes.constants import Constants
from ..processes.gaussian import rows
from ..processes.inverse_cdf import cumulative, inverse_cdf
from ..processes.sampled import Noise, normal
from ..worlds.mdp import InducedMDP
from ..worlds.sampled import SampledProcess
from .toy3 import DISCOUNT, VARIANTS, Toy3

PUBLISHED = ("1_1a", "1_2c", "1_2d", "1_2e", "1_2f", "1_2g", "4_1a", "4")
"""Variants of the source; its 4_1b is our 4."""
NODES = 36
"""Of the Gauss-Hermite rule for the leader's noise in the soft answer; action values are those of 96 nodes to 1e-10, up to sd = 1."""


@dataclass(frozen=True)
class SoftToy:
    """g(b|s,a) = softmax_b of the logits' mean over the coin, for any probability a that the leader may announce.

    They are Q(s,coin,b) / tau with Q = r(s,a,b) + gamma E V(s'), less their mean over b, which says nothing of the policy.
    """

    logits: Array
    """(..., 3, 2, 3)."""
    noise: int = 1

    def probabilities(self, states: Array, leads: Array) -> Array:
        """g(b|s,a), (..., 3), for one-hot states (..., 3) and probabilities (..., 1)."""
        return softmax_backup(mixture(self.logits, states, leads), 1.0)[1]

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        xp = array_namespace(states)
        return xp.astype(inverse_cdf(cumulative(self.probabilities(states, leads)), u[..., 0]), xp.int64)

    def log_density(self, states: Array, leads: Array, actions: Array) -> Array:
        """log g(b|s,a), (...)."""
        xp = array_namespace(states)
        return xp.log(xp.sum(self.probabilities(states, leads) * _one_hot(states, actions), axis=-1))


@dataclass(frozen=True)
class ToyValue:
    """V(s,a) = tau log sum_b exp(Q(s,a,b) / tau)."""

    action_values: Array
    """Q(s,coin,b), (..., 3, 2, 3)."""
    temperature: float

    def __call__(self, states: Array, leads: Array) -> Array:
        """V(s,a), (...), for one-hot states (..., 3) and probabilities (..., 1)."""
        return softmax_backup(mixture(self.action_values, states, leads), self.temperature)[0]


def mixture(table: Array, states: Array, leads: Array) -> Array:
    """A table (..., 3, 2, 3) at one-hot states (..., N, 3), averaged over the coin: (..., N, 3)."""
    xp = array_namespace(states, leads)
    flat = xp.reshape(table, (*table.shape[:-3], 3, 6))
    row = rows(states, xp.matrix_transpose(flat))
    return (1 - leads) * row[..., :3] + leads * row[..., 3:]


@dataclass(frozen=True)
class ToyProcess(SampledProcess):
    """States S, A, B as one-hot vectors."""

    x: Array
    leader_sd: float
    transition: Array
    """(3, 2, 3, 3)."""
    follower_reward: Array
    """(3, 2, 3), like ``leader_reward``."""
    leader_reward: Array
    initial: Array
    follower_discount: float = DISCOUNT
    leader_discount: float = DISCOUNT
    state_space = Box(0.0, 1.0, (3,), np.float64)
    leader_actions = Box(0.0, 1.0, (1,), np.float64)
    follower_action = Discrete(3)
    tables: ClassVar[tuple[str, ...]] = ("x",)

    @property
    def noise(self) -> Noise:  # type: ignore[override]
        return Noise(0, 1 if self.leader_sd > 0 else 0, 1)

    def start(self, u: Array) -> Array:
        xp = array_namespace(u)
        first = xp.asarray(self.initial, dtype=u.dtype, device=u.device)
        return xp.broadcast_to(first, (*u.shape[:-1], 3)) + xp.zeros((*u.shape[:-1], 3), dtype=u.dtype, device=u.device)

    def lead(self, states: Array, u: Array) -> Array:
        logits = rows(states, self.x[..., None, :])
        return sigmoid(logits + self.leader_sd * normal(u) if self.leader_sd > 0 else logits)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        xp = array_namespace(states)
        chosen = _one_hot(states, actions)
        kernel = xp.reshape(xp.matmul(states, xp.reshape(self.transition, (3, 18))), (*states.shape[:-1], 2, 3, 3))
        tails, heads = (xp.sum(kernel[..., side, :, :] * chosen[..., None], axis=-2) for side in (0, 1))
        arrived = xp.where(u < leads, heads, tails)
        return arrived, xp.zeros(arrived.shape[:-1], dtype=xp.bool, device=arrived.device)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        del arrived
        xp, chosen = array_namespace(states), _one_hot(states, actions)
        earned, paid = (xp.sum(mixture(table, states, leads) * chosen, axis=-1) for table in (self.follower_reward, self.leader_reward))
        return earned, paid

    def soft_response(self, temperature: float) -> tuple[SoftToy, ToyValue, float]:  # type: ignore[override]
        """(policy, V(s,a), last Newton step), from the table whose leader has one action for each node of its noise."""
        xp = array_namespace(self.x)
        nodes, shares = np.polynomial.hermite_e.hermegauss(NODES if self.leader_sd > 0 else 1)
        shares = shares / math.sqrt(2 * math.pi)
        nodes, shares = (xp.asarray(values, dtype=self.x.dtype, device=self.x.device) for values in (nodes, shares))
        a = sigmoid(self.x[..., None] + self.leader_sd * nodes)  # (..., 3, K)
        heads = a[..., None, None]
        mdp = InducedMDP(
            leader_policy=0 * a + shares,
            transition=(1 - heads) * self.transition[:, :1] + heads * self.transition[:, 1:],
            follower_reward=(1 - heads[..., 0]) * self.follower_reward[:, :1] + heads[..., 0] * self.follower_reward[:, 1:],
            leader_reward=(1 - heads[..., 0]) * self.leader_reward[:, :1] + heads[..., 0] * self.leader_reward[:, 1:],
            initial=self.initial,
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
            follower_sees="action",
        )
        plan = soft_policy_iteration(mdp, temperature)
        later = xp.sum(self.transition * plan.values[..., None, None, None, :], axis=-1)
        q = self.follower_reward + self.follower_discount * later
        policy = SoftToy((q - xp.mean(q, axis=-1, keepdims=True)) / temperature)
        return policy, ToyValue(q, temperature), plan.step


def _one_hot(states: Array, actions: Array) -> Array:
    """Actions 0 to 2, (...), as one-hot rows (..., 3)."""
    xp = array_namespace(states)
    arms = xp.arange(3, device=states.device)
    return xp.astype(xp.asarray(actions, device=states.device)[..., None] == arms, states.dtype)


class ContinuousToy(StackelbergGame):
    """Toy3 with announced probabilities; the commitment is the logit of P(the leader plays 1) in S, A and B, x in R^3.

    Args:
        variant: one of `PUBLISHED`; see `stackelberg_envs.games.toy3`.
        R: as there, of variants 4 and 4_1a.
        leader_sd: standard deviation of the leader's noise on the logit, at most 1; published: 0.
        max_cycles: steps after which an episode is cut; None for the source's.
    """

    name = "continuous_toy"

    def __init__(
        self,
        *,
        variant: str = "4",
        R: float | None = None,  # noqa: N803 - the paper's symbol
        leader_sd: float = 0.0,
        max_cycles: int | None = None,
    ) -> None:
        if variant not in PUBLISHED:
            raise ValueError(f"continuous_toy has no variant {variant!r}; {nearest(str(variant), PUBLISHED)}")
        self.variant, self.leader_sd = variant, real("leader_sd", leader_sd, 0.0, 1.0)
        self.max_cycles = VARIANTS[variant].steps if max_cycles is None else cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (3,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Soft(0.05)
        (table,) = Toy3(variant=variant, R=R).problems(np.zeros(6))
        names = ("transition", "follower_reward", "leader_reward", "initial")
        self._constants = Constants(**{name: np.asarray(getattr(table, name)) for name in names})
        if self.leader_sd > 0:
            self.log_leader_density = self._log_density

    def induced(self, x: Array, context: int) -> ToyProcess:
        del context
        return ToyProcess(x, self.leader_sd, **vars(self._constants.like(x)))

    def instruments(self, x: Array) -> dict[str, Array]:
        """The probability that the leader plays 1 in S, A and B, without its noise, (..., 3)."""
        return {"P(leader plays 1) in S, A, B": sigmoid(x)}

    def _log_density(self, x: Array, states: Array, leads: Array) -> Array:
        """log pi(a|s) of the leader's probability, logit-normal, (...), for one-hot states (..., 3) and probabilities (..., 1)."""
        xp = array_namespace(x)
        tiny = float(xp.finfo(leads.dtype).tiny)
        a = clip(leads[..., 0], tiny, 1 - float(xp.finfo(leads.dtype).eps))
        logit = xp.log(a) - xp.log1p(-a)
        z = (logit - xp.sum(x * states, axis=-1)) / self.leader_sd
        return -0.5 * z**2 - xp.log(a) - xp.log1p(-a) - math.log(self.leader_sd * math.sqrt(2 * math.pi))
