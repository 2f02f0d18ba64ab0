"""Road networks that are bundled, and the states of travellers on a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..formats.tntp import RoadNetwork
from ..processes.successor_lists import SuccessorLists
from ..processes.successors import Successors

DENSE = 64
"""States up to which the transition is an array."""


@dataclass(frozen=True)
class Traffic:
    """Travellers on a network as a process: a state is a destination and a node from which a road leads there.

    Args:
        network: with demand.
    """

    network: RoadNetwork

    @cached_property
    def states(self) -> np.ndarray:
        """(destination, node) of each state, numbered as in the file, (S, 2)."""
        pairs = []
        for destination in self.destinations:
            _, leads = self.network.open_links(destination)
            leads[destination - 1] = False
            pairs += [(destination, node + 1) for node in np.flatnonzero(leads).tolist()]
        return np.array(pairs)

    @cached_property
    def destinations(self) -> list[int]:
        """Where trips go that do not begin there."""
        demand = np.array(self.network.demand)
        np.fill_diagonal(demand, 0.0)
        return (np.flatnonzero(demand.sum(axis=0) > 0) + 1).tolist()

    @cached_property
    def state_at(self) -> np.ndarray:
        """The state of each (destination, node), (N + 1, N + 1), -1 where there is none."""
        table = np.full((self.network.nodes + 1,) * 2, -1)
        table[tuple(self.states.T)] = np.arange(len(self.states))
        return table

    @cached_property
    def link(self) -> np.ndarray:
        """The link that each action takes, (S, B), -1 where there is none."""
        start, rank = self.network.link_places
        table = np.full((len(self.states), int(rank.max()) + 1), -1)
        for destination in self.destinations:
            (usable,) = np.nonzero(self.network.open_links(destination)[0])
            table[self.state_at[destination, start[usable] + 1], rank[usable]] = usable
        return table

    @cached_property
    def transition(self) -> Any:
        """Where each action leads, (S, 1, B, S): one state, or the end where that is the destination."""
        after = np.where(self.link >= 0, self.state_at[self.states[:, :1], self._head], -1)
        lists = Successors(np.maximum(after, 0)[:, None, :, None])
        kernel = SuccessorLists(lists, np.where(after >= 0, 1.0, 0.0)[:, None, :, None])
        return kernel.dense() if len(after) <= DENSE else kernel

    @cached_property
    def arrives(self) -> np.ndarray:
        """Whether each action ends the trip at its destination, (S, B)."""
        return self._head == self.states[:, :1]

    @cached_property
    def _head(self) -> np.ndarray:
        """The node to which each action leads, (S, B), 0 where there is no action."""
        return np.where(self.link >= 0, self.network.links["term_node"][self.link], 0)

    @cached_property
    def trips(self) -> float:
        """All trips that go somewhere."""
        return float(self._demand.sum())

    @cached_property
    def initial(self) -> np.ndarray:
        """The share of trips that begin in each state, (S,)."""
        return self._demand / self.trips

    @cached_property
    def _demand(self) -> np.ndarray:
        """Trips that begin in each state, (S,).

        Raises:
            ValueError: where no road leads from an origin to a destination.
        """
        found = np.zeros(len(self.states))
        demand = np.array(self.network.demand)
        np.fill_diagonal(demand, 0.0)
        for origin, destination in np.argwhere(demand > 0) + 1:
            state = self.state_at[destination, origin]
            if state < 0:
                raise ValueError(f"no road leads from node {origin} to node {destination}, and there are trips")
            found[state] = demand[origin - 1, destination - 1]
        return found


def _braess() -> RoadNetwork:
    """Braess's example: 10 y and 50 + y on the two routes, 10 + y on the link between them, and six travellers."""
    rows = [(1, 3, 1e-8, 1e9), (1, 4, 50.0, 0.02), (3, 2, 50.0, 0.02), (3, 4, 10.0, 0.1), (4, 2, 1e-8, 1e9)]
    places = [(0.0, 0.5), (1.0, 0.5), (0.5, 1.0), (0.5, 0.0)]
    return _of_rows("braess", 2, [(a, b, time, share, 1.0, 1.0) for a, b, time, share in rows], {(1, 2): 6.0}, places)


def _bridges() -> RoadNetwork:
    """A town on a river: nodes 1 to 3 on one bank, 4 to 6 on the other; a short narrow bridge 2-5, and a long wide one 3-6."""
    streets = [(1, 2, 4.0, 40.0), (2, 3, 4.0, 40.0), (4, 5, 4.0, 40.0), (5, 6, 4.0, 40.0), (2, 5, 3.0, 10.0), (3, 6, 8.0, 30.0)]
    both = [(*ends, time, 0.15, 4.0, capacity) for a, b, time, capacity in streets for ends in ((a, b), (b, a))]
    trips = {(1, 4): 10.0, (1, 5): 8.0, (3, 5): 6.0, (4, 1): 4.0, (6, 2): 5.0, (2, 6): 3.0}
    return _of_rows("bridges", 6, both, trips, [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, 0.0), (1.0, 0.0), (2.0, 0.0)])


def _of_rows(
    name: str, zones: int, rows: list[tuple[float, ...]], trips: dict[tuple[int, int], float], places: list[tuple[float, float]]
) -> RoadNetwork:
    """A network of rows (from, to, free-flow time, b, power, capacity), with the position of each node."""
    start, end, time, share, power, capacity = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    links = {"init_node": start.astype(np.int64), "term_node": end.astype(np.int64), "capacity": capacity, "length": time}
    links |= {"free_flow_time": time, "b": share, "power": power}
    demand = np.zeros((zones, zones))
    for (origin, destination), count in trips.items():
        demand[origin - 1, destination - 1] = count
    return RoadNetwork(name, len(places), zones, 1, links, demand, np.array(places))


NETWORKS: dict[str, Callable[[], RoadNetwork]] = {"braess": _braess, "bridges": _bridges}
"""The bundled networks."""
