"""Preference: learn a reward from preferences (RLHF).

The game is small enough that every trajectory is enumerated.

The leader fits a reward model r_w to labels that say which of two trajectories is better; the follower is the policy that is optimised
for the model, and it is the follower's trajectories that are labelled.  So the leader's choice decides what it is asked about::

    r_w(s,b) = phi(s,b) . w                     R_w(T) = sum_t r_w(s_t,b_t),   R(T) the same of the true reward
    p(1 > 2) = noise + (1 - 2 noise) sigmoid((R(T_1) - R(T_2)) / label_temperature)                 labels: Bradley-Terry
    p_w(1 > 2) = sigmoid(R_w(T_1) - R_w(T_2))                                                       the model of them

    "return"      F(w) = sum_T P(T) R(T)                                                     P(T): under the response to r_w
    "likelihood"  F(w) = sum_{T_1,T_2} P(T_1) P(T_2) sum_label p(label) log p_w(label)       the pair drawn independently

The second, on-policy, is the bilevel objective of Chakraborty et al., "PARL", ICLR 2024, arXiv 2308.02585, and Shen, Yang, Chen,
"Principled penalty-based methods for bilevel reinforcement learning and RLHF", ICML 2024, arXiv 2402.06886, tabular and without sampling.
It is no sum over steps.  The instance is ours: neither paper has a tabular one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..followers.exact import Soft
from ..game import Follower, StackelbergGame, follower_of
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP

LONGEST = 10
"""Steps of an episode, at most: 2^10 trajectories make a million pairs."""


class Scores(NamedTuple):
    """What a commitment is worth in truth, and what it looks like."""

    true_return: Array
    """Expected true return of the follower's trajectories, shape (...)."""
    likelihood: Array
    """Expected log-likelihood of a label of a pair of them, under r_w, in nats, shape (...); -log 2 is a coin's."""
    label_entropy: Array
    """Expected entropy of such a label, in nats, shape (...): the likelihood is at most its negative, and attains it under the truth."""


class Preference(StackelbergGame):
    """A chain on which the leader rewards and the follower walks, scored by a true reward that the model cannot express.

    * Commitment: w, the weights of ``features`` random features phi(s,b) ~ N(0, 1); w = 0 makes every trajectory equally likely.
    * The follower starts in the middle and goes left (0) or right (1) ``horizon`` times, undiscounted; at a wall it stays.  Time is a
      part of the state: state t * ``states`` + cell.
    * The true reward of each (cell, action) is N(0, 1), independent of the features.
    * With ``objective="likelihood"`` no step pays the leader: ``leader_reward`` is 0, and only `objective` knows F.

    Args:
        objective: ``"return"`` (additive) or ``"likelihood"``, see above.
        states: cells of the chain, at least 2.
        horizon: steps of an episode, 1 to 10.
        features: components of w; 2 ``states`` of them span every reward, fewer cannot (misspecification).
        label_temperature: of the labels, in units of return, positive.
        label_noise: share of labels that are a coin's, halved: the probability of a flip, in [0, 1/2].
        seed: which instance; the true reward does not depend on ``features``.
    """

    name = "preference"

    def __init__(
        self,
        *,
        objective: Literal["return", "likelihood"] = "return",
        states: int = 8,
        horizon: int = 6,
        features: int = 3,
        label_temperature: float = 1.0,
        label_noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        states, features, horizon = whole("states", states, 2), whole("features", features, 1), whole("horizon", horizon, 1, LONGEST)
        label_temperature = real("label_temperature", label_temperature, 0, open_low=True)
        label_noise = real("label_noise", label_noise, 0, 0.5)
        check_memory("states x horizon x features", (states * horizon) ** 2 * 4 + 4 * states * features)
        self.additive = objective == "return"
        self.cells, self.max_cycles = int(states), cycles(horizon)
        self.leader_space = Box(-20.0, 20.0, (features,), np.float64)
        self.default_follower = Soft(0.3)
        rng = np.random.default_rng(whole("seed", seed, 0))
        self.true_reward, self.phi = rng.normal(size=(states, 2)), rng.normal(size=(states, 2, features))
        trajectories = _trajectories(states, horizon)
        returns = np.tile(self.true_reward, (horizon, 1)).ravel()[trajectories].sum(-1)
        better = 1 / (1 + np.exp(np.clip(-np.subtract.outer(returns, returns) / label_temperature, -700, 700)))
        preferred = label_noise + (1 - 2 * label_noise) * better
        self._constants = Constants(
            transition=_chain(states, horizon),
            true_reward=np.tile(self.true_reward, (horizon, 1))[:, None],
            phi=self.phi,
            idle=np.ones((states * horizon, 1)),
            initial=np.eye(states * horizon)[states // 2],
            trajectories=trajectories.ravel(),
            returns=returns,
            preferred=preferred,
            entropy=-np.sum([p * np.log(np.where(p > 0, p, 1.0)) for p in (preferred, 1 - preferred)], axis=0),
        )

    def instruments(self, x: Array) -> dict[str, Array]:
        """The weights w of the reward model, (..., features): reward for a unit of each feature."""
        return {"w, reward per unit of feature": x}

    def incentive(self, x: Array, context: int = 0) -> Array:
        """r_w(s,b), (..., S, 1, 2), the whole of the follower's reward."""
        xp = array_namespace(x)
        rewards = xp.sum(self._constants.like(x).phi * x[..., None, None, :], axis=-1)
        return xp.concat([rewards] * self.max_cycles, axis=-2)[..., None, :]

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=c.idle,
            transition=c.transition,
            follower_reward=self.incentive(x),
            leader_reward=c.true_reward if self.additive else 0.0 * c.true_reward,
            initial=c.initial,
            follower_discount=1.0,
            leader_discount=1.0,
        )

    def objective(
        self,
        problems: Sequence[Any],
        policies: Sequence[Array],
        *,
        horizon: int | None = None,
        discount: float | None = None,
        seed: int = 0,
    ) -> Array:
        """F, shape (...); see `StackelbergGame.objective`.

        Raises:
            ValueError: with ``objective="likelihood"``, for a horizon or discount of its own: labels compare whole trajectories.
        """
        if self.additive:
            return super().objective(problems, policies, horizon=horizon, discount=discount, seed=seed)
        if (horizon is not None and horizon < self.max_cycles) or discount not in (None, 1.0):
            raise ValueError(
                f"{self.name}: labels compare whole undiscounted trajectories; leave horizon and discount out, got {horizon} and {discount}"
            )
        return self.likelihood(problems[0].joint.follower_reward, policies[0])

    def likelihood(self, reward: Array, policy: Array) -> Array:
        """Expected log-likelihood of a label under the model ``reward``, of pairs drawn from ``policy``, both (..., S, 1, 2): (...)."""
        xp = array_namespace(policy)
        c = self._constants.like(policy)
        P = self.trajectory_probabilities(policy)
        modelled = xp.sum(self._entries_along_trajectories(reward), axis=-1)
        loss = xp.logaddexp(xp.zeros_like(modelled[..., None, :]), modelled[..., None, :] - modelled[..., :, None])  # -log p_w(1 > 2)
        # The two labels of a pair are the one label of the pair and of its mirror image, which is as likely: twice the sum over one.
        return -2 * xp.sum(P[..., :, None] * P[..., None, :] * c.preferred * loss, axis=(-2, -1))

    def trajectory_probabilities(self, policy: Array) -> Array:
        """P(T), (..., 2^horizon), under ``policy`` (..., S, 1, 2), in the order of the action sequences as binary numbers."""
        return array_namespace(policy).prod(self._entries_along_trajectories(policy), axis=-1)

    def scores(self, x: Array, *, follower: Follower | None = None) -> Scores:
        """Return and likelihood of a commitment (..., n), whichever is this game's F; ``follower`` as in `stackelberg_envs.evaluate`."""
        x = self.check_commitment(x)
        (policy,) = follower_of(self, follower).respond(self, x, 0).policies
        xp, c, P = array_namespace(policy), self._constants.like(policy), self.trajectory_probabilities(policy)
        return Scores(
            true_return=xp.sum(P * c.returns, axis=-1),
            likelihood=self.likelihood(self.incentive(x), policy),
            label_entropy=xp.sum(P[..., :, None] * P[..., None, :] * c.entropy, axis=(-2, -1)),
        )

    @property
    def best_return(self) -> float:
        """True return of the best trajectory, which no commitment exceeds."""
        return float(self._constants.like(np.zeros(1)).returns.max())

    def _entries_along_trajectories(self, table: Array) -> Array:
        """The entries of a table (..., S, 1, 2) along every trajectory, (..., 2^horizon, horizon)."""
        xp = array_namespace(table)
        flat = xp.reshape(table, (*table.shape[:-3], -1))
        entries = xp.take(flat, self._constants.like(flat).trajectories, axis=-1)
        return xp.reshape(entries, (*flat.shape[:-1], -1, self.max_cycles))


def _chain(cells: int, horizon: int) -> np.ndarray:
    """P(s'|s,b), (S, 1, 2, S): one step on the chain and on the clock; the last step ends the episode."""
    transition = np.zeros((horizon, cells, 1, 2, horizon, cells))
    for t, cell, move in product(range(horizon - 1), range(cells), (0, 1)):
        transition[t, cell, 0, move, t + 1, _next_cell(cell, move, cells)] = 1.0
    return transition.reshape(horizon * cells, 1, 2, horizon * cells)


def _trajectories(cells: int, horizon: int) -> np.ndarray:
    """Every trajectory as indices into tables (S, 2), flattened row-major: (2^horizon, horizon)."""
    trajectories = []
    for moves in product((0, 1), repeat=horizon):
        cell, entries = cells // 2, []
        for t, move in enumerate(moves):
            entries.append(2 * (t * cells + cell) + move)
            cell = _next_cell(cell, move, cells)
        trajectories.append(entries)
    return np.array(trajectories)


def _next_cell(cell: int, move: int, cells: int) -> int:
    """One step to the left or right; at a wall it stays."""
    return min(max(cell + 2 * move - 1, 0), cells - 1)
