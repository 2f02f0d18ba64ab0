"""A patrol as a picture: the walk, how often the ranger is at each node, and where the poacher strikes."""

from __future__ import annotations

import numpy as np

from ..optional import Graph
from ..planning.patrols import Strikes, Walks
from .patrol_presets import Park

OFTEN = 0.999
"""The discount of the mean that says how often a ranger is somewhere: of some thousand steps."""
LONGEST = 500
"""Steps for which a poacher who watches is followed."""


def patrol_graph(park: Park, walks: Walks, strikes: Strikes, walk: np.ndarray, policy: np.ndarray, horizon: int | None) -> Graph:
    """The park with the walk on it.

    Args:
        park: the graph.
        walks: positions and moves of the ranger.
        strikes: what the poacher can do.
        walk: the probabilities of next positions, (P, P).
        policy: of the poacher, (S, A, B).
        horizon: steps that a poacher waits who sees nothing; None for one who watches.
    """
    count = len(park.places)
    often = np.linalg.solve(np.eye(len(walk)) - OFTEN * walk.T, (1 - OFTEN) * np.eye(len(walk))[walks.start])
    flow = np.zeros((count, count))
    np.add.at(flow, (walks.node[:, None], walks.node), often[:, None] * walk)
    there, start = flow.sum(axis=1), int(walks.node[walks.start])
    struck = np.zeros(count)
    struck[strikes.nodes] = _strike_probabilities(walks, walk, policy, horizon)
    ends = np.argwhere((flow > 0) & ~np.eye(count, dtype=bool))
    return Graph(
        park.places,
        tuple(f"{value:.2f}" for value in park.values),
        ends,
        flow[tuple(ends.T)] / there[ends[:, 0]],
        "probability of the move",
        ("",) * len(ends),
        "what a node is worth to a poacher; below it the steps of a strike, how often the ranger is there, where strikes are",
        notes=tuple(
            f"{'start, ' if node == start else ''}{lasts} step{'s' if lasts > 1 else ''}, {100 * share:.0f} %"
            for node, (lasts, share) in enumerate(zip(park.durations.tolist(), there, strict=True))
        ),
        alarms=tuple(f"struck {100 * share:.0f} %" if share >= 0.005 else "" for share in struck),
    )


def _strike_probabilities(walks: Walks, walk: np.ndarray, policy: np.ndarray, horizon: int | None) -> np.ndarray:
    """The probability that the poacher strikes at each target, (M,)."""
    waits = len(walk) if horizon is None else horizon
    answer, after = policy[:waits, 0], walk if horizon is None else np.eye(waits, k=1)
    where, found = np.eye(waits)[walks.start if horizon is None else 0], np.zeros(answer.shape[1] - 1)
    for _ in range(LONGEST):
        found += where @ answer[:, 1:]
        where = (where * answer[:, 0]) @ after
    return found
