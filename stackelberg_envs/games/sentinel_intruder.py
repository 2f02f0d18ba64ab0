"""Sentinel and intruder: a warden pays for where a guard meets a thief.

* **Leader**, the warden: announces for each cell a bonus in [0, largest] for a catch there, which the sentinel gets and the intruder
  is fined.  It has its cameras in the first column, that of the vault: a catch there is worth 1 to it, any other catch nothing, and it
  pays ``cost`` for a unit of bonus.  A bonus in front of a camera only keeps the intruder away; one elsewhere drives it there.
* **Sentinel** (`follower_0`): earns 1 and the bonus if both stand in the same cell, and loses 1 if the intruder reaches the vault.
* **Intruder** (`follower_1`): earns what the sentinel loses.

Both move at once, by staying or to one of four neighbours; with some probability a move goes a random way of these five, more often the
intruder's, who would never be caught in the open otherwise; walls stop it.  A catch or a raid ends the episode, in the step after it has
come about.  The vault is the top left corner, the sentinel starts in the middle, the intruder anywhere in the bottom row.  Grids of this
name are in Zheng, King, Lu (PANDA), arXiv 2605.26654, 5 x 5 and 20 x 20; their rewards are not known to us, and these are our own.
Grids of more than `DENSE` cells in a row are lists of successors: whatever both do, 25 states can follow.
"""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.equilibria import Saddle
from ..game import Layout, StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.successor_lists import SuccessorLists
from ..processes.successors import Successors
from ..worlds.markov_game import InducedMarkovGame

MOVES = ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1))
"""Stay, north, east, south, west."""
DENSE = 5
"""Cells in a row up to which transitions are dense tables, of 25 size^8 numbers; in lists they are 625 size^4."""


class SentinelIntruder(StackelbergGame):
    """A pursuit on a grid of ``size`` x ``size`` cells in which the leader sets the bounties.

    * Commitment: one number z a cell, row-major; its bonus is ``largest * sigmoid(z)``.
    * State: cell of the sentinel times cells + cell of the intruder.

    Args:
        size: cells in a row, 2 to 20; S = size^4.
        slips: probability that a move goes a random way, in [0, 1]: the sentinel's, the intruder's.
        largest: upper bound of each bonus.
        cost: what the leader pays for a unit of bonus.
        discount: of everybody, below 1.
        max_cycles: steps after which a played episode is cut.
    """

    name = "sentinel_intruder"
    followers = 2

    def __init__(
        self,
        *,
        size: int = 5,
        slips: tuple[float, float] = (0.1, 0.4),
        largest: float = 2.0,
        cost: float = 0.25,
        discount: float = 0.95,
        max_cycles: int = 100,
    ) -> None:
        size = whole("size", size, 2, 20)
        slips = real("each of slips", slips[0], 0, 1), real("each of slips", slips[1], 0, 1)
        self.largest, self.cost = real("largest", largest, 0, open_low=True), real("cost", cost, 0)
        self.discount = real("discount", discount, 0, 1, open_high=True)
        cells = [(row, col) for row in range(size) for col in range(size)]
        count = len(cells)
        self.count = count
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (count,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Saddle(0.1)
        self._size = size
        places = tuple(tuple(cells[s // count] if i == 0 else cells[s % count] for s in range(count**2)) for i in range(2))
        self.layout = Layout(("." * size,) * size, tuple(cells), places)
        sentinel, intruder = np.divmod(np.arange(count**2), count)
        met = sentinel == intruder
        raided = (intruder == 0) & ~met
        initial = np.zeros((count, count))
        initial[(size // 2) * size + size // 2, -size:] = 1 / size
        walks = [_movement_kernel(size, slip) for slip in slips]
        lists = _joint_successor_lists(*walks)
        lists.probabilities[met | raided] = 0.0
        watched = np.array([col == 0 for _, col in cells], dtype=np.float64)
        self._constants = Constants(
            leader_policy=np.ones((count**2, 1)),
            transition=lists.dense() if size <= DENSE else lists,
            met=met * 1.0,
            raided=raided * 1.0,
            cell=intruder,
            watched=watched[intruder] * met,
            initial=initial.ravel(),
        )

    def shading(self, x: Array) -> Array:
        """The bonus of each cell, (..., cells)."""
        return self.largest * sigmoid(x)

    def marks(self, context: int) -> dict[tuple[int, int], str]:
        """The vault, and where the sentinel starts."""
        del context
        return {(0, 0): "T", (self._size // 2, self._size // 2): "S"}

    def incentive(self, x: Array, context: int | str = 0) -> tuple[Array, Array]:
        """What each follower is paid, (..., S, 1, 1): the bonus of the cell where they meet, and minus that."""
        paid = self._bonus(x)
        return paid, -paid

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the leader pays, (..., S, 1, 1)."""
        return self.cost * self._bonus(x)

    def induced(self, x: Array, context: int) -> InducedMarkovGame:
        xp = array_namespace(x)
        c, paid = self._constants.like(x), self._bonus(x)

        def table(value: Array) -> Array:
            """(..., S) or (..., S, 1, 1) as (..., S, 1, B)."""
            value = value if value.shape[-2:] == (1, 1) else value[..., None, None]
            return xp.broadcast_to(value, (*value.shape[:-1], len(MOVES) ** 2))

        earned = table(c.met - c.raided) + table(paid)
        return InducedMarkovGame(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_rewards=xp.stack([earned, -earned], axis=-4),
            leader_reward=table(c.watched) - self.cost * table(paid),
            initial=c.initial,
            actions=(len(MOVES), len(MOVES)),
            follower_discount=self.discount,
            leader_discount=self.discount,
            zero_sum=True,
        )

    def _bonus(self, x: Array) -> Array:
        """The bonus that falls due in each state, (..., S, 1, 1)."""
        c = self._constants.like(x)
        return (self.shading(x)[..., c.cell] * c.met)[..., None, None]


def _joint_successor_lists(sentinel: np.ndarray, intruder: np.ndarray) -> SuccessorLists:
    """Both walks (cells, moves, cells) at once: lists of 25 states, the same for all 25 joint actions."""
    cells, moves, _ = sentinel.shape
    places, chances = [], []
    for walk in (sentinel, intruder):
        possible = walk.sum(axis=1) > 0
        near = SuccessorLists.of(possible[:, None, None]).successors.table[:, 0, 0]  # (cells, 5), ascending
        known = np.arange(near.shape[1]) < possible.sum(axis=-1, keepdims=True)
        places.append(near)
        chances.append(np.take_along_axis(walk, near[:, None], axis=-1) * known[:, None])
    states = (places[0][:, None, :, None] * cells + places[1][None, :, None, :]).reshape(cells**2, 1, 1, -1)
    probabilities = np.einsum("ibk,jcl->ijbckl", *chances).reshape(cells**2, 1, moves**2, -1)
    return SuccessorLists(Successors(states), probabilities)


def _movement_kernel(size: int, slip: float) -> np.ndarray:
    """Where one walker goes: (cells, moves, cells)."""
    step = np.zeros((size * size, len(MOVES), size * size))
    for row in range(size):
        for col in range(size):
            for b, (down, right) in enumerate(MOVES):
                to = min(max(row + down, 0), size - 1) * size + min(max(col + right, 0), size - 1)
                step[row * size + col, b, to] = 1.0
    return (1 - slip) * step + slip * step.mean(axis=1, keepdims=True)
