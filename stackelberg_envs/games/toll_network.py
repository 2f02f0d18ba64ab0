"""Toll network: set the tolls of a congested road network.

* **Followers**: a crowd of travellers.  Each goes from its origin to its destination and chooses a link at every node.  What a link costs
  it is the minutes that the link takes, and its toll, in minutes.  Minutes rise with the flow of the whole crowd, by the formula of the
  Bureau of Public Roads.  At temperature tau it is the recursive logit model of route choice, and the crowd is at a Markovian traffic
  equilibrium (Baillon and Cominetti, Math. Program. 2008); without entropy, at a Wardrop equilibrium.
* **Leader**: posts tolls on all links or at some, and wants the least total travel time, and perhaps revenue::

      t_l(y) = t0_l (1 + b_l (y_l / c_l)^p_l)          minutes of link l at flow y_l
      r_F = -(t_l(y) + toll_l)                         r_L = -t_l(y) + w toll_l

Tolls move money and no time, so they are no cost to the leader.  Charging each link what one more traveller costs the others, y_l t_l'(y_l)
at the system optimum, makes a crowd without entropy choose that optimum (Pigou 1920; Beckmann, McGuire and Winsten 1956).  No tolls do
better, whatever the followers' temperature: the total time of any flow is at least that of the system optimum, `TollNetwork.upper_bound`.

A leader that must raise a revenue of R minutes of toll per traveller loses v max(0, R - revenue) with each trip, where the trip ends.  A
best commitment that meets the target is the best under the constraint.  The penalty is exact (Zangwill, Management Science 1967; Han and
Mangasarian, Math. Program. 1979): a local optimum under the constraint, with second-order sufficient conditions and a multiplier below v,
is one of the return.

Networks: Braess's paradox (Braess, Unternehmensforschung 1968; four nodes, six travellers), a town of our own with two bridges, and any in
the format of the Transportation Networks collection (https://github.com/bstabler/TransportationNetworks), whose files are for academic
research and not bundled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..formats.tntp import RoadNetwork, read_tntp
from ..game import StackelbergGame
from ..optional import Graph
from ..planning.mean_field import CrowdPlan, hard_crowd
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mean_field import InducedMeanField
from .toll_network_presets import NETWORKS, Traffic

BOUND = 20.0


class TollNetwork(StackelbergGame):
    """Tolls on a congested road network.

    * Commitment: a number z for each tolled link; its toll is ``largest_toll * sigmoid(z)`` minutes.
    * States: (destination, node), for each destination of some trip and each node from which a road leads there.
    * Actions: the links that leave a node, in the order of the file.
    * The return is minus the mean travel time of a traveller in minutes, plus ``revenue_weight`` times the mean toll that it pays, minus
      ``shortfall_weight`` times what is missing of ``revenue_target``.  An episode is the trip of one traveller, at discount 1.

    Args:
        network: ``"braess"``, ``"bridges"``, a file ``..._net.tntp``, or a `stackelberg_envs.formats.tntp.RoadNetwork` with demand.
            Coordinates for pictures are those of the file ``..._node.tntp`` beside it, if there is one.
        trips: the file ``..._trips.tntp`` where ``network`` is a file.
        tolled: ``"all"``, or the numbers of the tolled links, from 0, in the order of the file.
        largest_toll: in minutes; None for twice the largest free-flow time, or for 20 where that is more.
        revenue_weight: w, what a minute of toll is worth to the leader, at least 0.
        revenue_target: R, the mean toll that a traveller is to pay, in minutes, above 0; None for none.
        shortfall_weight: v, what each minute that is missing of the target costs the leader, above 0.
        temperature: tau of the default follower, `Soft`, in minutes; 1 / tau is the scale of the logit model.
        max_cycles: links after which a played trip is cut.

    Raises:
        ValueError: for a network without demand, a link that is none, and numbers out of range.
    """

    name = "toll_network"

    def __init__(
        self,
        *,
        network: str | os.PathLike[str] | RoadNetwork = "bridges",
        trips: str | os.PathLike[str] | None = None,
        tolled: Literal["all"] | Sequence[int] = "all",
        largest_toll: float | None = None,
        revenue_weight: float = 0.0,
        revenue_target: float | None = None,
        shortfall_weight: float = 10.0,
        temperature: float = 1.0,
        max_cycles: int = 200,
    ) -> None:
        self.network = _network(network, trips)
        self.traffic = Traffic(self.network)
        """The states, and the link that each action takes."""
        links = len(self.network.links["init_node"])
        chosen = range(links) if tolled == "all" else tolled
        self.tolled = np.array(sorted({whole("a tolled link", link, 0, links - 1) for link in chosen}), dtype=np.int64)
        """Numbers of the tolled links, (n,)."""
        if not len(self.tolled):
            raise ValueError("tolled needs at least one link")
        usual = max(20.0, 2 * float(self.network.links["free_flow_time"].max()))
        self.largest_toll = real("largest_toll", usual if largest_toll is None else largest_toll, 0, open_low=True)
        self.revenue_weight = real("revenue_weight", revenue_weight, 0)
        self.revenue_target = None if revenue_target is None else real("revenue_target", revenue_target, 0, open_low=True)
        self.shortfall_weight = real("shortfall_weight", shortfall_weight, 0, open_low=True)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-BOUND, BOUND, (len(self.tolled),), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Soft(real("temperature", temperature, 0, open_low=True))
        self._resource = self.traffic.link
        own = {name: self.network.links[name] for name in ("free_flow_time", "b", "power", "capacity")}
        self._constants = Constants(
            transition=self.traffic.transition,
            initial=self.traffic.initial,
            available=self._resource[:, None, :] >= 0,
            link=np.maximum(self._resource, 0)[:, None, :],
            arrives=np.where(self.traffic.arrives, 1.0, 0.0)[:, None, :],
            place=np.eye(links)[self.tolled],
            **own,
        )

    def tolls(self, x: Array) -> Array:
        """Minutes that each link charges, (..., L)."""
        posted = self.largest_toll * sigmoid(x)
        return array_namespace(x).matmul(posted[..., None, :], self._constants.like(x).place)[..., 0, :]

    def at_tolls(self, tolls: Any, *, margin: float = 1e-3) -> np.ndarray:
        """The commitment (n,) with these tolls (L,) in minutes, cut to ``margin`` to ``1 - margin`` of the largest toll.

        Nearer to the ends than 0.001, tolls hardly move with the commitment, and a method that differentiates stays there.
        """
        share = np.clip(np.asarray(tolls, dtype=np.float64)[self.tolled] / self.largest_toll, margin, 1 - margin)
        return np.log(share / (1 - share))

    def times(self, flow: Array) -> Array:
        """Minutes that each link takes at a flow, (..., L)."""
        c = self._constants.like(flow)
        return c.free_flow_time * (1 + c.b * (flow / c.capacity) ** c.power)

    def incentive(self, x: Array, context: int | str = 0) -> Array:
        """Minus the toll of each action, (..., S, 1, B)."""
        del context
        return -self._by_action(self.tolls(x))

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """Minus what the toll of each action is worth to the leader, (..., S, 1, B).

        What is missing of a revenue target is not in it, because that depends on the flow.
        """
        del context
        return -self.revenue_weight * self._by_action(self.tolls(x))

    def _by_action(self, values: Array) -> Array:
        """Numbers of links (..., L) at the actions that take them, (..., S, 1, B), and 0 where there is none."""
        xp, c = array_namespace(values), self._constants.like(values)
        flat = xp.take(values, xp.reshape(c.link, (-1,)), axis=-1)
        table = xp.reshape(flat, (*values.shape[:-1], *c.link.shape))
        return xp.where(c.available, table, xp.zeros_like(table))

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """The toll of each tolled link, in minutes, (..., n)."""
        return {"toll": np.asarray(self.tolls(np.asarray(x)))[..., self.tolled]}

    def graph(self, x: Array, context: int | str, policies: Sequence[Array]) -> Graph:
        """The network: flow over capacity, and the toll in minutes."""
        (world,) = self.problems(x, context)
        (policy,) = policies
        links, tolls = self.network.links, np.asarray(self.tolls(np.asarray(x)))
        shown = np.zeros(len(tolls), dtype=bool)
        shown[self.tolled] = tolls[self.tolled] >= 0.005 * self.largest_toll
        return Graph(
            self.network.places,
            tuple(str(node + 1) for node in range(self.network.nodes)),
            np.stack([links["init_node"], links["term_node"]], axis=1) - 1,
            np.asarray(world.loads_of(np.asarray(policy))) / links["capacity"],
            "flow / capacity",
            tuple(f"{toll:.3g}" if there else "" for toll, there in zip(tolls, shown, strict=True)),
            "toll in minutes",
        )

    def induced(self, x: Array, context: int) -> InducedMeanField:
        del context
        c = self._constants.like(x)
        return InducedMeanField(
            transition=c.transition,
            resource=self._resource,
            rewards=partial(self._rewards, self.tolls(x)),
            resources=len(self.network.links["init_node"]),
            initial=c.initial,
            follower_discount=1.0,
            leader_discount=1.0,
            mass=self.traffic.trips,
            temperature=self.default_follower.temperature,
            available=c.available,
        )

    def _rewards(self, tolls: Array, flow: Array) -> tuple[Array, Array]:
        """(r_F, r_L), each (..., S, 1, B), at a flow (..., L)."""
        times = self.times(flow)
        follower, leader = self._by_action(-(times + tolls)), self._by_action(-times + self.revenue_weight * tolls)
        if self.revenue_target is None:
            return follower, leader
        xp = array_namespace(flow)
        missing = self.revenue_target - self._revenue(tolls, flow)
        paid = self.shortfall_weight * xp.where(missing > 0, missing, xp.zeros_like(missing))
        return follower, leader - paid[..., None, None, None] * self._constants.like(flow).arrives  # each trip arrives once

    def _revenue(self, tolls: Array, flow: Array) -> Array:
        return array_namespace(flow).sum(tolls * flow, axis=-1) / self.traffic.trips

    def revenue(self, x: Array, flow: Array) -> Array:
        """The mean toll that a traveller pays at a flow (..., L), in minutes, (...)."""
        return self._revenue(self.tolls(x), flow)

    def total_time(self, flow: np.ndarray) -> float:
        """Minutes that all travellers together are under way at a flow, (L,)."""
        return float(self.times(flow) @ flow)

    @cached_property
    def system_optimum(self) -> CrowdPlan:
        """The flow of least total time: the Wardrop equilibrium of a crowd that pays what it costs others.

        Its ``gap``, times the number of trips, bounds how much less total time any flow has, because total time is convex.
        """

        def rewards(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            own = self.times(flow)
            return self._by_action(-(own + self.external_times(flow))), self._by_action(-own)

        (world,) = self.problems(np.zeros(self.dimension))
        return hard_crowd(replace(world, rewards=rewards))  # type: ignore[type-var]

    def external_times(self, flow: np.ndarray) -> np.ndarray:
        """y t'(y): minutes that one more traveller on each link costs the others, (L,)."""
        links = self.network.links
        return links["free_flow_time"] * links["b"] * links["power"] * (flow / links["capacity"]) ** links["power"]

    def marginal_cost_tolls(self) -> np.ndarray:
        """y t'(y) of each link at the system optimum, minutes (L,)."""
        return self.external_times(self.system_optimum.loads)

    def upper_bound(self) -> float | None:
        """Minus the mean travel time at the system optimum: no tolls and no followers do better, and a target for revenue only costs.

        None where revenue has a weight.
        """
        if self.revenue_weight > 0:
            return None
        plan = self.system_optimum
        return -self.total_time(plan.loads) / self.traffic.trips + plan.gap


def _network(given: Any, trips: Any) -> RoadNetwork:
    if isinstance(given, RoadNetwork):
        network = given
    elif isinstance(given, str) and given in NETWORKS:
        network = NETWORKS[given]()
    elif isinstance(given, str | Path) and Path(given).suffix == ".tntp":
        beside = Path(given).with_name(Path(given).name.replace("_net.tntp", "_node.tntp"))
        network = read_tntp(given, trips=trips, nodes=beside if beside.exists() and beside.name != Path(given).name else None)
    else:
        raise ValueError(f"network is {', '.join(map(repr, NETWORKS))}, or a file ..._net.tntp; got {given!r}")
    if network.demand is None or not network.demand.any():
        raise ValueError(f"the network {network.name} has no trips: give the file of demand too, trips='..._trips.tntp'")
    return network
