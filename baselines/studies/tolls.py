"""Road networks against published numbers: ``python -m baselines.studies.tolls SiouxFalls_net.tntp SiouxFalls_trips.tntp``.

For a network in the format of the Transportation Networks collection (https://github.com/bstabler/TransportationNetworks), whose files are
for academic research and stay where they are:

* the user equilibrium (Wardrop) without tolls: Beckmann's objective, total travel time, and what one traveller could still gain
* the system optimum, and its certificate: no flow takes less total time than its time less its gap
* the user equilibrium under marginal-cost tolls, which is the system optimum (Pigou 1920)
* soft route choice at `SCALES`, without tolls and with these tolls, as ratios to the system optimum
* seconds of processor time of each, and the peak memory

``--record`` keeps the numbers, ``--page`` writes tables of all records beside it.  Large networks take minutes: what is found is kept
after each equilibrium, and the same command goes on from there after an interruption.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import stackelberg_envs as se
from stackelberg_envs.games.toll_network import TollNetwork
from stackelberg_envs.planning.linear_systems import PlanningError

from ..bench import results_file, system

SCALES = (0.5, 1.0, 2.0, 4.0)
"""1 / tau of the logit model, a minute."""
OBJECTIVES = {"SiouxFalls": 42.31335287107440e5}
"""Beckmann's objective at the user equilibrium, as the collection's README of the network prints it."""


def beckmann(game: TollNetwork, flow: np.ndarray) -> float:
    """Sum over links of the integral of travel time from 0 to the flow (L,), which user equilibria minimise."""
    links = game.network.links
    return float(
        (links["free_flow_time"] * flow * (1 + links["b"] / (links["power"] + 1) * (flow / links["capacity"]) ** links["power"])).sum()
    )


def published_flow(path: Path, game: TollNetwork) -> np.ndarray:
    """The flow (L,) of a file ``..._flow.tntp``: lines "from to volume cost"."""
    rows = [line.split()[:3] for line in path.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    volumes = {(int(start), int(end)): float(volume) for start, end, volume in rows}
    links = game.network.links
    return np.array([volumes[ends] for ends in zip(links["init_node"].tolist(), links["term_node"].tolist(), strict=True)])


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """What ``compute`` gives, and the seconds of processor time that it took."""
    start = time.process_time()
    return compute(), round(time.process_time() - start, 2)


def measure(net: Path, trips: Path, flow: Path | None, parts: Path) -> dict[str, Any]:
    """All numbers of a network; each equilibrium is kept in the file ``parts`` once it is found, and read from there."""
    game, seconds = timed(lambda: TollNetwork(network=net, trips=trips))
    count = game.traffic.trips
    files = hashlib.sha256(net.read_bytes() + trips.read_bytes()).hexdigest()
    kept: dict[str, Any] = json.loads(parts.read_text(encoding="utf-8")) if parts.exists() else {}
    if kept.get("files") != files:  # what is kept is of another network
        kept = {"files": files}

    def keep(name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in kept:
            kept[name] = compute()
            kept["megabytes"] = max(kept.get("megabytes", 0), round(system.peak_memory()))
            results_file.replace(parts, json.dumps(kept) + "\n")
        return kept[name]

    def optimum() -> dict[str, Any]:
        plan, took = timed(lambda: game.system_optimum)
        tolls = game.external_times(plan.loads).tolist()
        return {"total": game.total_time(plan.loads), "gap": plan.gap, "seconds": took, "tolls": tolls}

    best = dict(keep("optimum", optimum))
    tolls = np.array(best.pop("tolls"))
    scored_game = TollNetwork(network=game.network, largest_toll=max(20.0, 1.25 * float(tolls.max())))
    free, charged = np.full(game.dimension, -20.0), scored_game.at_tolls(tolls, margin=1e-8)

    def equilibrium(x: np.ndarray, follower: se.Follower) -> dict[str, Any]:
        scored, took = timed(lambda: se.evaluate(scored_game, x, follower=follower))
        (policy,) = scored.responses[0].policies
        loads = scored_game.problems(x)[0].loads_of(policy)
        return {
            "total": -float(scored.leader_return) * count,
            "objective": beckmann(scored_game, loads),
            "revenue": float(scored_game.tolls(x) @ loads),
            "gap": float(np.max(scored.follower_gap)),
            "seconds": took,
        }

    def soft_equilibrium(x: np.ndarray, scale: float) -> dict[str, Any]:
        try:
            return equilibrium(x, se.Soft(1 / scale))
        except PlanningError as error:  # where streets are short, the entropy of going round in circles is worth more than it takes
            return {"none": str(error)}

    def soft(title: str, x: np.ndarray) -> dict[str, Any]:
        return {str(scale): keep(f"{title} {scale}", partial(soft_equilibrium, x, scale)) for scale in SCALES}

    row: dict[str, Any] = {
        "network": game.network.name,
        "size": {"nodes": game.network.nodes, "links": game.dimension, "trips": count, "states": len(game.traffic.states)},
        "building": seconds,
        "optimum": best,
        "largest marginal-cost toll": float(tolls.max()),
        "user": keep("user", partial(equilibrium, free, se.Hard())),
        "user, charged": keep("user, charged", partial(equilibrium, charged, se.Hard())),
        "soft": soft("soft", free),
        "soft, charged": soft("soft, charged", charged),
    }
    if flow is not None:
        theirs = published_flow(flow, game)
        row["published flow"] = {"objective": beckmann(game, theirs), "total": game.total_time(theirs)}
    row["megabytes"] = kept["megabytes"]
    parts.unlink()
    return row


def page(rows: list[dict[str, Any]]) -> str:
    """Tables of networks, published numbers beside ours."""
    sizes = ["| network | nodes | links | trips | states | seconds, user equilibrium | system optimum | soft | peak MB |", "|" + "---|" * 9]
    hard = ["| network | what | ours | published, or exact | relative difference |", "|" + "---|" * 5]
    soft = ["| network | 1 / tau | total / system optimum, no tolls | marginal-cost tolls | gap, minutes | seconds |", "|" + "---|" * 6]
    for row in rows:
        name, size, best = row["network"], row["size"], row["optimum"]["total"]
        mean = np.mean([entry["seconds"] for entry in row["soft"].values() if "none" not in entry])
        sizes.append(
            f"| {name} | {size['nodes']} | {size['links']} | {size['trips']:,.0f} | {size['states']} | {row['user']['seconds']:.1f} | "
            f"{row['optimum']['seconds']:.1f} | {mean:.1f} | {row['megabytes']} |"
        )
        for what, ours, theirs, source in _beside(row):
            hard.append(f"| {name} | {what} | {ours:,.3f} | {theirs:,.3f}, {source} | {abs(ours / theirs - 1):.0e} |")
        hard.append(f"| {name} | total time at the system optimum | {best:,.3f} | gap {row['optimum']['gap'] * size['trips']:.0e} | - |")
        hard.append(f"| {name} | user equilibrium / system optimum | {row['user']['total'] / best:.5f} | - | - |")
        for scale, free in row["soft"].items():
            charged = row["soft, charged"][scale]
            if "none" in free or "none" in charged:
                soft.append(f"| {name} | {scale} | {_ratio(free, best)} | {_ratio(charged, best)} | - | - |")
                continue
            gap = max(free["gap"], charged["gap"])
            soft.append(
                f"| {name} | {scale} | {free['total'] / best:.4f} | {charged['total'] / best:.4f} | {gap:.0e} | "
                f"{free['seconds']:.1f}, {charged['seconds']:.1f} |"
            )
    titles = ("Size, processor time and memory", "Without entropy", "Soft route choice")
    return "\n\n".join(f"**{title}**\n\n" + "\n".join(table) for title, table in zip(titles, (sizes, hard, soft), strict=True)) + "\n"


def _ratio(entry: dict[str, Any], best: float) -> str:
    return "no equilibrium" if "none" in entry else f"{entry['total'] / best:.4f}"


def _beside(row: dict[str, Any]) -> list[tuple[str, float, float, str]]:
    """(what, ours, theirs, whose) of each number that is known otherwise."""
    found = []
    if row["network"] in OBJECTIVES:
        found.append(("Beckmann's objective", row["user"]["objective"], OBJECTIVES[row["network"]], "the collection's README"))
    if theirs := row.get("published flow"):
        found.append(("Beckmann's objective", row["user"]["objective"], theirs["objective"], "at the collection's flow"))
        found.append(("total time at the user equilibrium", row["user"]["total"], theirs["total"], "at the collection's flow"))
    found.append(("total time under marginal-cost tolls", row["user, charged"]["total"], row["optimum"]["total"], "the system optimum"))
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", type=Path, nargs="?", help="..._net.tntp; without it, the page of what is recorded is written")
    parser.add_argument("trips", type=Path, nargs="?", help="..._trips.tntp")
    parser.add_argument("flow", type=Path, nargs="?", help="..._flow.tntp, the best flow that the collection knows; may be left out")
    parser.add_argument("--record", type=Path, default=Path("results/tolls.json"), help="where numbers are kept, by network")
    parser.add_argument("--page", type=Path, default=Path("compared/tolls.md"), help="the tables to write")
    parser.add_argument("--parts", type=Path, help="where equilibria of an interrupted run are kept; beside the record unless given")
    arguments = parser.parse_args()
    recorded = json.loads(arguments.record.read_text(encoding="utf-8")) if arguments.record.exists() else []
    if arguments.net is not None:
        if arguments.trips is None:
            parser.error("say which trips there are, too: NET TRIPS")
        parts = arguments.parts or arguments.record.with_name(f"{arguments.net.stem}.parts.json")
        row = measure(arguments.net, arguments.trips, arguments.flow, parts)
        recorded = [other for other in recorded if other["network"] != row["network"]] + [row]
        results_file.replace(arguments.record, json.dumps(recorded, indent=1) + "\n")
    results_file.replace(arguments.page, page(recorded))
    print(page(recorded))


if __name__ == "__main__":
    main()
