"""Patrol: a ranger walks by chance, and poachers wait.

* **Leader**, the rangers: commit to a walk at random on the graph of a park, how likely each move is at each node.
* **Follower**, a poacher: knows these probabilities, sees where the ranger is, and waits or strikes at a node.  A strike takes some steps.
  If the ranger comes there meanwhile, the poacher is caught; if not, it gets what is there, and the rangers lose that.

A poacher who waits loses by the discount alone, and strikes when the ranger is far and unlikely to be back in time; so the best walk is
neither a tour (which says when the ranger comes) nor one that treats all nodes alike.  In the twin ``watches=False`` the poacher knows the
walk and does not see the ranger: it picks node and time in advance.

Source: Basilico, Gatti, Amigoni, "Patrolling security games: Definition and algorithms for solving large instances with single patroller
and single intruder", Artificial Intelligence 184-185 (2012), with discounting in place of endless waiting; parks are ours.  Bounds, and
the exact value where strikes take one step: `stackelberg_envs.planning.patrols`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, nearest, real, whole
from ..commitments import LOG_ZERO, Saturation
from ..followers.exact import Hard, Soft
from ..game import StackelbergGame
from ..optional import Graph
from ..planning.blind_patrols import blind_commitment, blind_value
from ..planning.patrols import Strikes, Walks, best_outcomes, farthest_lookahead, strike_values, watcher_value
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP
from .patrol_picture import patrol_graph
from .patrol_presets import GRAPHS, Park, random_park
from .patrol_states import watcher_tables

BOUND = 20.0
"""Of the leader's box."""
FAST = 5_000
"""Walks from a position of which a bound is computed in seconds."""


class Patrol(StackelbergGame):
    """A ranger on a graph of up to some 25 nodes, and a poacher.

    * Commitment: one logit for each position and possible move, position by position; softmax over the moves of a position.  The leader's
      action a is the a-th move: to the a-th of the node and its neighbours, in the order of their numbers.  Actions beyond are to stay,
      and the leader's policy never takes them.
    * State, if the poacher watches: the ranger's position while the poacher waits; or that, the target and the steps that are left of a
      strike.  The poacher's actions are to wait and to strike at the first, second, ... node with a value above 0; during a strike it has
      one action, 0.  Strike and next move of the ranger take place at once, and a ranger who leaves a node is not there.
    * State, if it does not: how many steps it has waited, up to ``horizon``.  A strike ends the episode and pays what is expected of it.

    Args:
        park: ``"grid"``, ``"ring"``, ``"complete"``, or a `stackelberg_envs.games.patrol_presets.Park`.
        size: cells in a row of a grid, or nodes; 3 if not given.
        durations: least and most steps of a strike, drawn for each node; (2, 4) if not given.
        equal: whether all nodes are worth the same; else values are drawn.
        zero_sum: whether rangers lose what the poacher gains; else what they lose is drawn apart.
        seed: of what is drawn; 0 if not given.
        penalty: what a poacher pays who is caught.
        catch: what the rangers gain by that; None for the penalty if ``zero_sum``, else 0.
        discount: of both, below 1.
        memory: 1 if the ranger chooses its move by its node, 2 if by the node before, too.
        watches: whether the poacher sees where the ranger is.
        horizon: steps after which a poacher goes home who does not watch.
        base: node where the ranger starts; the middle one if not given.
        temperature: of the default follower, 0 for a hard one, with ties for the leader.
        max_cycles: steps after which a played episode is cut.
    """

    name = "patrol"

    def __init__(
        self,
        *,
        park: Any = "grid",
        size: int | None = None,
        durations: tuple[int, int] | None = None,
        equal: bool = False,
        zero_sum: bool = True,
        seed: int | None = None,
        penalty: float = 0.5,
        catch: float | None = None,
        discount: float = 0.9,
        memory: int = 1,
        watches: bool = True,
        horizon: int = 20,
        base: int | None = None,
        temperature: float = 0.005,
        max_cycles: int = 50,
    ) -> None:
        self.park = _park(park, size, durations, zero_sum, equal, seed)
        base = self.park.middle if base is None else whole("base", base, 0, len(self.park.places) - 1)
        self.walks = self.park.walks(base, whole("memory", memory, 1, 2))
        """Positions of the ranger, and its moves."""
        targets = np.flatnonzero(self.park.values > 0)
        self.discount = real("discount", discount, 0, 1, open_high=True)
        self.strikes = Strikes(targets, self.park.values[targets], self.park.durations[targets], real("penalty", penalty, 0), self.discount)
        """What the poacher can do."""
        usual = self.strikes.penalty if zero_sum else 0.0
        self.catch = real("catch", usual if catch is None else catch, 0)
        self.watches = bool(watches)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-BOUND, BOUND, (int(self.walks.possible.sum()),), np.float64)
        self.saturation = Saturation.softmax(*self.walks.possible.sum(axis=1))
        temperature = real("temperature", temperature, 0)
        self.default_follower = Soft(temperature) if temperature > 0 else Hard("strong")
        self._horizon = whole("horizon", horizon, 1)
        place = np.zeros(self.walks.possible.shape, dtype=np.int64)
        place[self.walks.possible] = np.arange(self.dimension)
        losses = self.park.losses[targets]
        tables = watcher_tables(self.walks, self.strikes, losses, self.catch) if watches else _blind_tables(self._horizon, len(targets))
        self._constants = Constants(
            place=place,
            possible=self.walks.possible,
            steps=np.eye(len(place))[self.walks.moves],
            visits=(self.walks.node == targets[:, None]) * 1.0,
            values=self.strikes.values,
            lost=-losses,
            **tables,
        )
        if watches:
            self.log_leader_policy = self._log_leader_policy
        else:
            self.incentive, self.leader_cost = self._incentive, self._leader_cost

    def log_moves(self, x: Array) -> Array:
        """The log-probability of each move at each position, (..., P, A)."""
        xp, c = array_namespace(x), self._constants.like(x)
        listed = xp.reshape(xp.take(x, xp.reshape(c.place, (-1,)), axis=-1), (*x.shape[:-1], *c.place.shape))
        logits = xp.where(c.possible, listed, xp.full_like(listed, LOG_ZERO))
        logits = logits - xp.max(logits, axis=-1, keepdims=True)
        return logits - xp.log(xp.sum(xp.exp(logits), axis=-1, keepdims=True))

    def walk_matrix(self, x: Array) -> Array:
        """The probabilities of the ranger's next positions, (..., P, P)."""
        xp = array_namespace(x)
        return xp.sum(xp.exp(self.log_moves(x))[..., None] * self._constants.like(x).steps, axis=-2)

    def commitment(self, moves: np.ndarray) -> np.ndarray:
        """The commitment (n,) to move with probabilities (P, A); those below e^-20 of the likeliest of their position become that."""
        likely = np.where(self.walks.possible, moves, 0.0)
        logits = np.log(np.maximum(likely / likely.max(axis=-1, keepdims=True), np.exp(-BOUND)))
        return logits[self.walks.possible]

    @cached_property
    def least(self) -> float:
        """U, the least that a walk of any memory leaves the poacher; a lower bound, of one who watches from as far ahead as is fast."""
        if not self.watches:
            return blind_value(self._any_walks, self.strikes, self._horizon)
        ahead = farthest_lookahead(self._any_walks, self.strikes, FAST)
        return watcher_value(self._any_walks, self.strikes, ahead).value

    @cached_property
    def _any_walks(self) -> Walks:
        """All walks on the graph: those of a ranger without memory, for bounds are over distributions of whole walks."""
        return self.park.walks(int(self.walks.node[self.walks.start]), 1)

    def bound(self, temperature: float = 0.0) -> float:
        """What no walk of any memory earns the rangers of a poacher who best-responds, `Soft` with ``temperature`` or, for 0, `Hard`.

        The walk leaves the poacher U or more, so its answer attains U - temperature h, with h the most entropy that there is; and the
        rangers have no more than with the best mix of outcomes that pays the poacher so much.  With ``zero_sum`` that is minus this.
        """
        losses = self.park.losses[self.strikes.nodes]
        opposed = bool((losses == self.strikes.values).all()) and self.catch == self.strikes.penalty
        if not self.watches and not opposed and temperature == 0:
            return blind_commitment(self._any_walks, self.strikes, self._horizon, losses, self.catch)
        choices, entropy = np.log(len(losses)), 0.0
        for _ in range(10_000 if self.watches else self._horizon):
            entropy = float(np.logaddexp(choices, self.discount * entropy))
        return best_outcomes(self.strikes, losses, self.catch, self.least - temperature * entropy)

    def upper_bound_against(self, follower: Any) -> float | None:
        """The `bound` for its temperature, of `Hard` and `Soft`."""
        return self.bound(follower.temperature) if isinstance(follower, Hard | Soft) else None

    def graph(self, x: Array, context: int | str, policies: Sequence[Array]) -> Graph:
        """The park: how likely the ranger's moves are, how often it is at each node, and where the poacher strikes."""
        del context
        (policy,) = policies
        horizon = None if self.watches else self._horizon
        return patrol_graph(self.park, self.walks, self.strikes, np.asarray(self.walk_matrix(np.asarray(x))), np.asarray(policy), horizon)

    def _log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., S, A): the ranger moves alike whatever the poacher is about."""
        return array_namespace(x).take(self.log_moves(x), self._constants.like(x).position, axis=-2)

    def _strike_returns(self, x: Array, value: Array, penalty: float) -> Array:
        """What waiting and strikes pay in advance, after each number of steps of waiting, (..., T, 1, 1 + M), not discounted by these."""
        xp, c, walk = array_namespace(x), self._constants.like(x), self.walk_matrix(x)
        paid = strike_values(walk, c.visits, value, penalty, self.strikes.durations, self.discount)
        where = xp.zeros_like(walk[..., :1, :]) + xp.eye(walk.shape[-1], dtype=x.dtype, device=x.device)[self.walks.start]
        rows = []
        for _ in range(self._horizon):
            rows.append(xp.matmul(paid, xp.matrix_transpose(where))[..., 0])  # (..., M)
            where = xp.matmul(where, walk)
        strikes = xp.stack(rows, axis=-2)[..., None, :]
        return xp.concat([xp.zeros_like(strikes[..., :1]), strikes], axis=-1)

    def _incentive(self, x: Array, context: int | str = 0) -> Array:
        """What the poacher expects, (..., T, 1, 1 + M): all of it is in the walk."""
        del context
        return self._strike_returns(x, self._constants.like(x).values, self.strikes.penalty)

    def _leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """Minus what the rangers expect, likewise."""
        del context
        return -self._strike_returns(x, self._constants.like(x).lost, -self.catch)

    def induced(self, x: Array, context: int) -> InducedMDP:
        del context
        xp, c = array_namespace(x), self._constants.like(x)
        if self.watches:
            policy, paid, earned = xp.exp(self._log_leader_policy(x)), c.follower_reward, c.leader_reward
        else:
            policy, paid, earned = c.leader_policy, self._incentive(x), -self._leader_cost(x)
        return InducedMDP(
            leader_policy=policy,
            transition=c.transition,
            follower_reward=paid,
            leader_reward=earned,
            initial=c.initial,
            follower_discount=self.discount,
            leader_discount=self.discount,
            follower_sees="policy",
            available=c.available if self.watches else None,
        )


def _blind_tables(horizon: int, targets: int) -> dict[str, np.ndarray]:
    """Of the world in which the poacher sees nothing: after each step of waiting comes the next, and after the last the end."""
    after = np.zeros((horizon, 1, 1 + targets, horizon))
    after[np.arange(horizon - 1), 0, 0, np.arange(1, horizon)] = 1.0
    return {"transition": after, "leader_policy": np.ones((horizon, 1)), "initial": np.eye(horizon)[0]}


def _park(park: Any, size: int | None, durations: tuple[int, int] | None, zero_sum: bool, equal: bool, seed: int | None) -> Park:
    if isinstance(park, Park):
        if (size, durations, seed) != (None, None, None) or equal:
            raise ValueError("size, durations, equal and seed are drawn of a park by name; this one has its own")
        return replace(park, losses=park.values) if zero_sum else park
    if not isinstance(park, str) or park not in GRAPHS:
        raise ValueError(f"patrol has no park {park!r}; {nearest(str(park), tuple(GRAPHS))}; or give a Park")
    least, most = (2, 4) if durations is None else durations
    least, most = whole("the least of durations", least, 1), whole("the most of durations", most, least)
    small = {"grid": 2, "ring": 3, "complete": 2}[park]
    nodes = whole(f"size of a {park}", (3 if park == "grid" else 6) if size is None else size, small, 25)
    return random_park(park, nodes, (least, most), zero_sum, equal, whole("seed", 0 if seed is None else seed, 0))
