"""The leader's model of the game: one whose dynamics and leader rewards are counted, for each follower in each context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from stackelberg_envs.followers.exact import Soft
from stackelberg_envs.game import StackelbergGame, as_tuple
from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.arrays import Array
from stackelberg_envs.processes.constants import Constants
from stackelberg_envs.worlds.mdp import InducedMDP


@dataclass(frozen=True)
class Counts:
    """Counts of all outcomes, pooled over commitments, as neither the dynamics nor the leader's reward depend on them."""

    moves: np.ndarray
    """Arrivals from each (s, a, b), the last column the end, (S, A, B, S + 1)."""
    paid: np.ndarray
    """Sum of the leader's rewards at each (s, a, b), what it pays for its instrument added back, (S, A, B)."""
    firsts: np.ndarray
    """First states of episodes, (S,)."""

    @staticmethod
    def zeros(sizes: tuple[int, int, int]) -> Counts:
        """Counts before the first outcome."""
        return Counts(np.zeros((*sizes, sizes[0] + 1)), np.zeros(sizes), np.zeros(sizes[0]))

    @property
    def visits(self) -> np.ndarray:
        """How often each (s, a, b) was played, (S, A, B)."""
        return self.moves.sum(-1)

    def add_outcome(self, seen: Outcome, costs: np.ndarray | float) -> tuple[Counts, np.ndarray]:
        """The counts with one more outcome, and its own visits (S, A, B); ``costs`` is what the leader paid there for its instrument."""
        s_count = len(self.firsts)
        alive, states = seen.alive[:, 0], seen.states[:, 0]
        s, a, b = states[:, :-1][alive], seen.leader_actions[:, 0][alive], seen.follower_actions[:, 0][alive]
        now = np.zeros_like(self.moves)
        np.add.at(now, (s, a, b, states[:, 1:][alive]), 1.0)
        paid = np.zeros_like(self.paid)
        np.add.at(paid, (s, a, b), seen.leader_rewards[alive])
        visits = now.sum(-1)
        firsts = np.bincount(states[:, 0], minlength=s_count)[:s_count]
        return Counts(self.moves + now, self.paid + paid + visits * costs, self.firsts + firsts), visits

    def transition(self, prior: float, rng: np.random.Generator | None = None) -> np.ndarray:
        """``P(s'|s,a,b)``, (S, A, B, S): the mean of a Dirichlet posterior whose prior has mass ``prior`` a row, or a draw from it."""
        weights = self.moves + prior / self.moves.shape[-1]
        if rng is not None:
            weights = rng.standard_gamma(weights) + 1e-300
        return (weights / weights.sum(-1, keepdims=True))[..., :-1]

    def leader_reward(self, bonus: float = 0.0) -> np.ndarray:
        """Mean reward of the leader at each (s, a, b), (S, A, B); ``bonus`` where it has never been."""
        return np.where(self.visits > 0, self.paid / np.maximum(self.visits, 1), bonus)

    def initial(self) -> np.ndarray:
        """Shares of first states, (S,); before the first episode all are alike."""
        return self.firsts / self.firsts.sum() if self.firsts.any() else np.full(len(self.firsts), 1 / len(self.firsts))


UNDISCOUNTED_END = 0.001
"""Of the length of an episode: how much sooner it ends in an estimated game whose discount is 1."""


def survival(oracle: Oracle) -> float:
    """How probable it is that an estimated game goes on after a step that does not end it.

    It is 1 below discount 1.  At discount 1 values are finite because every episode ends, and that is not so in every game that counts
    allow: where the leader has hardly been, a draw from the posterior may go in circles for ever.  There a step ends the episode with
    probability 0.001 / ``max_cycles``, which costs a true episode at most a thousandth.
    """
    undiscounted = max(oracle.leader_discount, *oracle.follower_discounts) >= 1
    return 1.0 - UNDISCOUNTED_END / oracle.max_cycles if undiscounted else 1.0


class EstimatedGame(StackelbergGame):
    """The game with one follower in one context, as the leader believes it to be.

    Planning in it is planning with the exact hypergradient of the suite.  What the leader knows of the true game enters as it is: its
    policy as a function of x, or its instrument and what that costs.  Where the discount is 1 every episode ends: `survival`.
    """

    name = "estimated"

    def __init__(
        self,
        oracle: Oracle,
        temperature: float,
        tables: dict[str, np.ndarray],
        follower_reward: np.ndarray,
        follower_discount: float | None = None,
        *,
        context: int = 0,
        follower: int = 0,
    ) -> None:
        self.leader_space, self.max_cycles, self.contexts = oracle.leader_space, oracle.max_cycles, (oracle.contexts[context],)
        self.default_follower = self.soft = Soft(temperature)
        self.context, self.follower = context, follower
        self._oracle = oracle
        self._follower_discount = oracle.follower_discounts[follower] if follower_discount is None else follower_discount
        mask = oracle.available[context][follower]
        masks = {} if mask is None else {"available": mask}
        if (goes_on := survival(oracle)) < 1:
            tables = {**tables, "transition": goes_on * tables["transition"]}
        self._constants = Constants(**tables, follower_reward=follower_reward, **masks)

    @property
    def parts(self) -> tuple[tuple[float, EstimatedGame], ...]:
        """As `EstimatedGames.parts`: itself."""
        return ((1.0, self),)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c, oracle, follower = self._constants.like(x), self._oracle, self.follower
        designs = oracle.sizes[follower][1] == 1
        mdp = InducedMDP(
            leader_policy=c.leader_policy if designs else oracle.log_leader_policy(x).exp(),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=self._follower_discount,
            leader_discount=oracle.leader_discount,
            follower_sees=oracle.follower_sees[follower],
            available=getattr(c, "available", None),
        )
        if not designs:
            return mdp
        paid = 0.0 if oracle.leader_cost is None else as_tuple(oracle.leader_cost(x, self.context))[follower]
        return replace(
            mdp,
            follower_reward=c.follower_reward + as_tuple(oracle.incentive(x, self.context))[follower],
            leader_reward=c.leader_reward - paid,
        )


class EstimatedGames(NamedTuple):
    """The games of all followers in all contexts: the leader's return is the weighted sum of what it earns in them.

    Followers with processes of their own do not interact, and contexts are drawn by nature: F(x) = sum_c p_c sum_i J_ci(x).
    """

    parts: tuple[tuple[float, EstimatedGame], ...]
    """(the probability of its context, the game) of each pair of context and follower."""


def induced_mdp(game: EstimatedGame, x: np.ndarray) -> InducedMDP:
    """The MDP that one commitment (n,) or several (K, n) induce in an estimated game, in NumPy."""
    with torch.no_grad():
        (process,) = game.problems(in_torch(x))
        return process.joint.map(lambda table: table.numpy())


def tables(counts: Counts, prior: float, *, bonus: float = 0.0, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """Tables of an `EstimatedGame` but for the follower's reward."""
    s, a, _ = counts.paid.shape
    return {
        "transition": counts.transition(prior, rng),
        "leader_reward": counts.leader_reward(bonus),
        "initial": counts.initial(),
        "leader_policy": np.full((s, a), 1.0 / a),
    }


def in_torch(x: np.ndarray) -> torch.Tensor:
    """One commitment or several as a float64 tensor."""
    return torch.as_tensor(x, dtype=torch.float64)


def instrument_cost(oracle: Oracle, x: np.ndarray, context: int = 0, follower: int = 0) -> Any:
    """What the leader pays for its instrument at each (s, a, b) under ``x``; 0 for a leader that acts in the game."""
    if oracle.sizes[follower][1] > 1 or oracle.leader_cost is None:
        return 0.0
    return np.asarray(as_tuple(oracle.leader_cost(in_torch(x), context))[follower])
