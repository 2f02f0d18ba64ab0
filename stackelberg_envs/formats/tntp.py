"""Road networks as the Transportation Networks collection has them (``_net.tntp``, ``_trips.tntp``), and route choice on them.

https://github.com/bstabler/TransportationNetworks: numbers in angle brackets, then a line a link; trips by origin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arguments import whole
from .text import TextFile
from .world_tables import WorldTables, kernel_of_entries

LINK = {"init_node": int, "term_node": int, "capacity": float, "length": float, "free_flow_time": float} | dict.fromkeys(
    ("b", "power", "speed", "toll", "link_type"), float
)
"""The columns of a link, in the order of the files."""


def read_tntp(
    net: str | os.PathLike[str], *, trips: str | os.PathLike[str] | None = None, nodes: str | os.PathLike[str] | None = None
) -> RoadNetwork:
    """A road network, whose `RoadNetwork.route_choice` is the world of a traveller, and which is a `toll_network` of a crowd.

    Args:
        net: the file of links, ``..._net.tntp``.
        trips: the file of demand, ``..._trips.tntp``; None for none.
        nodes: the file of coordinates, ``..._node.tntp``, for pictures; None for none.

    Raises:
        ValueError: for what is no such file, naming the line.
    """
    file = TextFile(net)
    sizes, after = _metadata(file, ("NUMBER OF NODES", "NUMBER OF LINKS"))
    form = " ".join(LINK)
    lines = ((place, text.rstrip("; \t")) for place, text in file.lines("~") if place > after)
    places, columns, _ = file.numbers(((place, text) for place, text in lines if text), form, tuple(LINK.values()))
    if len(places) != sizes["NUMBER OF LINKS"]:
        raise file.error(
            file.last_line, f"expected {sizes['NUMBER OF LINKS']} links, as <NUMBER OF LINKS> says, and the file has {len(places)}"
        )
    links = dict(zip(LINK, columns, strict=True))
    count = sizes["NUMBER OF NODES"]
    for name in ("init_node", "term_node"):
        file.check(places, (links[name] < 1) | (links[name] > count), f"expected a node of 1 to {count}", links[name])
    file.check(places, links["free_flow_time"] < 0, "expected a free-flow time of at least 0", links["free_flow_time"])
    zones = sizes.get("NUMBER OF ZONES", count)
    demand = None if trips is None else _demand(TextFile(trips), zones)
    places = None if nodes is None else _coordinates(TextFile(nodes), count)
    return RoadNetwork(file.path.stem.removesuffix("_net"), count, zones, sizes.get("FIRST THRU NODE", 1), links, demand, places)


@dataclass(frozen=True, eq=False)
class RoadNetwork:
    """A network of L links between nodes, which are numbered from 1, as in the file.

    Args:
        name: of the file.
        nodes: N, their number.
        zones: Z: nodes 1 to Z are where trips begin and end.
        first_thru_node: nodes below it are entered only where a trip ends.
        links: their columns (L,), by the names of `LINK`.
        demand: trips (Z, Z) from row to column, or None.
        coordinates: of the nodes, to the right and upwards, (N, 2), or None.
    """

    name: str
    nodes: int
    zones: int
    first_thru_node: int
    links: Mapping[str, np.ndarray]
    demand: np.ndarray | None = None
    coordinates: np.ndarray | None = None

    @cached_property
    def places(self) -> np.ndarray:
        """Where pictures draw the nodes, (N, 2): the coordinates, or else by classical scaling of distances (Torgerson 1952).

        Distances are the least numbers of links between two nodes.
        """
        if self.coordinates is not None:
            return self.coordinates
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        ends = (self.links["init_node"] - 1, self.links["term_node"] - 1)
        graph = csr_array((np.ones(len(ends[0])), ends), shape=(self.nodes, self.nodes))
        far = np.asarray(shortest_path(graph, directed=False, unweighted=True))
        squares = np.where(np.isfinite(far), far, self.nodes) ** 2
        centred = squares - squares.mean(axis=0)
        values, vectors = np.linalg.eigh(-0.5 * (centred - centred.mean(axis=1, keepdims=True)))
        return vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0.0))

    @cached_property
    def link_places(self) -> tuple[np.ndarray, np.ndarray]:
        """The state and the action that take each link, (L,): a node's actions are its outgoing links, in the order of the file."""
        start = self.links["init_node"] - 1
        order = np.argsort(start, kind="stable")
        rank = np.empty(len(start), dtype=np.int64)
        rank[order] = np.arange(len(start)) - np.searchsorted(start[order], start[order])
        return start, rank

    def link_table(self, values: Any) -> np.ndarray:
        """Numbers of links (L,) at the actions that take them, (N, B), and 0 where a node has fewer links than B."""
        states, actions = self.link_places
        given = np.broadcast_to(np.asarray(values), states.shape)
        table = np.zeros((self.nodes, int(actions.max(initial=0)) + 1), dtype=given.dtype)
        table[states, actions] = given
        return table

    def travel_time(self, flow: Any) -> np.ndarray:
        """Minutes a link takes at a flow (L,), by the formula of the Bureau of Public Roads: t0 (1 + b (flow / capacity)^power)."""
        links = self.links
        return links["free_flow_time"] * (1 + links["b"] * (np.asarray(flow) / links["capacity"]) ** links["power"])

    def open_links(self, destination: int) -> tuple[np.ndarray, np.ndarray]:
        """Which links travellers to a destination may take, booleans (L,), and from which nodes a road leads there, (N,), itself included.

        Closed are links that enter a node below ``first_thru_node``, or one from which no road leads on, and those that leave the
        destination.
        """
        end = destination - 1
        start, after = self.links["init_node"] - 1, self.links["term_node"] - 1
        open_links = (after + 1 >= self.first_thru_node) | (after == end)
        leads = _leads_to(end, start[open_links], after[open_links], self.nodes)
        return open_links & leads[after] & leads[start] & (start != end), leads

    def route_choice(self, destination: int, *, origin: int | None = None, time: Any = None) -> WorldTables:
        """The world of travellers to one destination: states are nodes, actions outgoing links, the reward is minus the time they take.

        A soft follower is the recursive logit model of route choice, a hard one takes shortest paths.  The discount is 1.  Links that enter
        a node below ``first_thru_node``, or one from which no road leads to the destination, are not available.

        Args:
            destination: its number, as in the file.
            origin: that of the node where all trips begin; None for the demand to this destination or, without demand, for all nodes alike.
            time: of each link, (L,); None for free-flow times.

        Raises:
            ValueError: if there are no such nodes, or no road leads from an origin to the destination.
        """
        end = whole("destination", destination, 1, self.nodes) - 1
        states, actions = self.link_places
        after = self.links["term_node"] - 1
        open_links, leads = self.open_links(destination)
        initial = self._initial(end, origin, leads)
        b = int(actions.max(initial=0)) + 1
        available = self.link_table(open_links)
        names = [[""] * b for _ in range(self.nodes)]
        for state, action, node in zip(states.tolist(), actions.tolist(), self.links["term_node"].tolist(), strict=True):
            names[state][action] = str(node)
        rows = (states * b + actions)[open_links]
        cost = self.link_table(self.links["free_flow_time"] if time is None else time)
        terminal = ~leads
        terminal[end] = True
        return WorldTables(
            kernel_of_entries(self.name, rows, after[open_links], np.ones(len(rows)), (self.nodes, b)),
            np.where(available, -cost, 0.0),
            tuple(str(node) for node in range(1, self.nodes + 1)),
            names,
            initial=initial,
            available=available,
            terminal=terminal,
            arguments={"name": f"{self.name}_to_{destination}", "follower_discount": 1.0},
        )

    def _initial(self, end: int, origin: int | None, leads: np.ndarray) -> np.ndarray:
        weights = np.where(leads, 1.0, 0.0)
        if origin is not None:
            weights = np.eye(self.nodes)[whole("origin", origin, 1, self.nodes) - 1]
        elif self.demand is not None:
            weights = np.zeros(self.nodes)
            weights[: self.zones] = self.demand[:, end] if end < self.zones else 0.0
        weights[end] = 0.0
        if not weights.any():
            raise ValueError(f"no trips go to node {end + 1}: say which node is their origin")
        if (lost := (weights > 0) & ~leads).any():
            raise ValueError(f"no road leads from node {int(lost.argmax()) + 1} to node {end + 1}")
        return weights / weights.sum()


def _leads_to(end: int, start: np.ndarray, after: np.ndarray, count: int) -> np.ndarray:
    """From which nodes a road leads to ``end``, a mask (count,)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    back = csr_array((np.ones(len(start)), (after, start)), shape=(count, count))
    mask = np.zeros(count, dtype=bool)
    mask[breadth_first_order(back, end, return_predecessors=False)] = True
    return mask


def _metadata(file: TextFile, needed: tuple[str, ...]) -> tuple[dict[str, int], int]:
    """The whole numbers in angle brackets at the beginning, and the line of <END OF METADATA>."""
    sizes: dict[str, int] = {}
    for place, text in file.lines("~"):
        found = re.match(r"<([^>]*)>\s*(\S*)", text)
        if not found:
            raise file.error(place, f"expected '<NAME> value' or <END OF METADATA>, got {text!r}")
        if found[1] == "END OF METADATA":
            for name in needed:
                if name not in sizes:
                    raise file.error(place, f"expected <{name}> before this")
            return sizes, place
        if found[1].startswith(("NUMBER", "FIRST")):
            if not found[2].isdigit():
                raise file.error(place, f"expected <{found[1]}> and a whole number, got {text!r}")
            sizes[found[1]] = int(found[2])
    raise file.error(file.last_line, "expected <END OF METADATA>, and the file ends")


def _demand(file: TextFile, zones: int) -> np.ndarray:
    """Trips (Z, Z)."""
    sizes, after = _metadata(file, ())
    if sizes.get("NUMBER OF ZONES", zones) != zones:
        raise file.error(after, f"expected {zones} zones, as the network has, got {sizes['NUMBER OF ZONES']}")
    demand, origin = np.zeros((zones, zones)), 0
    for place, text in file.lines("~"):
        if place <= after:
            continue
        if found := re.fullmatch(r"[Oo]rigin\s+(\d+)", text):
            origin = int(found[1])
            if not 1 <= origin <= zones:
                raise file.error(place, f"expected an origin of 1 to {zones}, got {origin}")
            continue
        for trip in filter(None, (part.strip() for part in text.split(";"))):
            found = re.fullmatch(r"(\d+)\s*:\s*(\d*\.?\d+(?:[eE][-+]?\d+)?|\d+\.)", trip)
            if not found or not origin or not 1 <= int(found[1]) <= zones:
                what = f"'destination : trips;' with a destination of 1 to {zones}" if origin else "'Origin 1' before trips"
                raise file.error(place, f"expected {what}, got {trip!r}")
            demand[origin - 1, int(found[1]) - 1] = float(found[2])
    return demand


def _coordinates(file: TextFile, count: int) -> np.ndarray:
    """Positions (N, 2) of nodes 1 to N, of lines "node x y ;" below one of names."""
    lines = [(place, text.rstrip("; \t")) for place, text in file.lines("~")]
    places, (nodes, x, y), _ = file.numbers(iter(lines[1:]), "node x y", (int, float, float))
    if sorted(nodes.tolist()) != list(range(1, count + 1)):
        raise file.error(file.last_line, f"expected the coordinates of nodes 1 to {count}, and the file has {len(places)} lines of them")
    found = np.empty((count, 2))
    found[nodes - 1] = np.stack([x, y], axis=1)
    return found
