"""The tables of a household in the game of tariffs: its states, where its actions lead, what they use, and what they come to.

A state is t (2 L + 3) + j: see `stackelberg_envs.games.tariff.Tariff`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..planning.tariffs import Consumers

OFFER, FLAT = 0, 1
"""Actions of the first step: take the offer, or the flat tariff."""


@dataclass(frozen=True, eq=False)
class Demand:
    """What households of I types do in a day of P periods."""

    loads: np.ndarray
    """Expected kWh of each type in each period, whichever contract it has, (I, P)."""
    leaves: np.ndarray
    """The probability that each type takes the flat tariff, (I,)."""
    probability: np.ndarray
    """Of each type, (I,)."""

    @property
    def mean(self) -> np.ndarray:
        """kWh of a household in each period, (P,)."""
        return self.probability @ self.loads

    @property
    def leaving(self) -> float:
        """The share of households on the flat tariff."""
        return float(self.probability @ self.leaves)

    @property
    def peak_to_average(self) -> float:
        """The largest load of a period over the mean one."""
        return float(self.mean.max() / self.mean.mean())


def household_tables(c: Consumers, i: int, flat_margin: float) -> dict[str, np.ndarray]:
    """Of type i, (S, 1, B) each: available actions, kWh, kWh at posted prices, and the rewards of both that no price moves.

    Args:
        c: the types.
        i: which one.
        flat_margin: what the retailer has from a kWh at the flat tariff.
    """
    (_, periods), levels = c.sizes, c.levels
    actions = max(2, c.cost.shape[2])
    b, left = np.arange(actions), np.arange(levels + 1)[:, None]
    shape = (periods + 1, 2, levels + 1, actions)
    available = np.zeros(shape, dtype=bool)
    load, own, earned = np.zeros((3, *shape))
    later = np.append(np.cumsum(c.most[i][::-1])[::-1][1:], 0)
    for t in range(periods):
        possible = (b <= np.minimum(left, c.most[i, t])) & (left - b <= later[t])
        possible[:, 0] |= ~possible.any(axis=1)  # where nobody comes
        available[t + 1] = possible
        load[t + 1] = np.where(possible, c.base[i, t] + c.unit[i] * b, 0.0)
        own[t + 1] = np.where(possible, -c.discomfort[i, t] * b, 0.0)
        own[t + 1, FLAT] -= c.flat_price * load[t + 1, FLAT]
        costs = np.zeros(actions)
        costs[: c.cost.shape[2]] = c.cost[i, t]
        earned[t + 1, OFFER] = np.where(possible, -costs, 0.0)
        earned[t + 1, FLAT] = flat_margin * load[t + 1, FLAT]
    offered = load * (np.arange(2) == OFFER)[:, None, None]
    first = np.zeros((periods + 1, 1, actions), dtype=bool)
    first[:, :, 0] = first[0, :, FLAT] = True
    available[0, :, :, 0] = True
    tables = {"load": load, "offered": offered, "own": own, "earned": earned}
    by_state = {name: np.concatenate([0.0 * first, table.reshape(periods + 1, -1, actions)], axis=1) for name, table in tables.items()}
    by_state["available"] = np.concatenate([first, available.reshape(periods + 1, -1, actions)], axis=1)
    return {name: table.reshape(-1, 1, actions) for name, table in by_state.items()}


def next_states(levels: int, actions: int) -> np.ndarray:
    """Where actions lead within a stage's states, (2 L + 3, 1, B, 2 L + 3)."""
    size = 2 * levels + 3
    moves = np.zeros((size, 1, actions, size))
    for b in range(actions):
        moves[0, 0, b, 1 + levels if b == OFFER else size - 1] = 1.0
        for e in range(levels + 1):
            for first in (1, levels + 2):
                moves[first + e, 0, b, first + max(e - b, 0)] = 1.0
    return moves
