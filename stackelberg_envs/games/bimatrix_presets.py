"""Payoff matrices of named bimatrix games, and random ones.

Sources: the twelve symmetric strict ordinal 2x2 games are those of Robinson and Goforth, "The Topology of the 2x2 Games", Routledge
2005 (see also Bruns, "Names for Games", Games 6(4), 2015).  Their names here, and the order of the moves, are those of the benchmark of
Gerstgrasser and Parkes, "Oracles & Followers", ICML 2023, as in its public code, which pays 2.5 less.  Escape and Maintain: Zhang et
al., "Bi-level Actor-Critic for Multi-agent Coordination", AAAI 2020.  Conitzer: the example of Conitzer and Sandholm, "Computing the
optimal strategy to commit to", EC 2006.  Random: the covariant games of Rinott and Scarsini, "On the number of pure strategy Nash
equilibria in random games", GEB 2000.  Bagwell: "Commitment and observability in games", GEB 1995, whose moves are S and C.
"""

from __future__ import annotations

import numpy as np

from ..arguments import check_memory, real, whole

ORDINAL = {
    "prisoners_dilemma": (3, 1, 4, 2),
    "stag_hunt": (4, 1, 3, 2),
    "assurance": (4, 1, 2, 3),
    "coordination": (4, 2, 1, 3),
    "mixed_harmony": (4, 3, 1, 2),
    "harmony": (4, 3, 2, 1),
    "no_conflict": (4, 2, 3, 1),
    "deadlock": (2, 1, 4, 3),
    "prisoners_delight": (1, 2, 4, 3),
    "hero": (1, 3, 4, 2),
    "battle": (2, 3, 4, 1),
    "chicken": (3, 2, 4, 1),
}
"""The leader's payoffs in the order (0, 0), (0, 1), (1, 0), (1, 1), ranked 1 (worst) to 4; the follower's matrix is the transpose."""


def _symmetric(ranks: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    leader = np.array(ranks, dtype=np.float64).reshape(2, 2)
    return leader, leader.T.copy()


PRESETS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "conitzer": (np.array([[1.0, 3.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])),
    "bagwell": (np.array([[5.0, 3.0], [6.0, 4.0]]), np.array([[2.0, 1.0], [3.0, 4.0]])),
    "escape": (
        np.array([[15.0, 10.0, 0.0], [10.0, 10.0, 0.0], [0.0, 0.0, 30.0]]),
        np.array([[15.0, 10.0, 0.0], [10.0, 10.0, 0.0], [0.0, 0.0, 30.0]]),
    ),
    "maintain": (
        np.array([[20.0, 0.0, 0.0], [30.0, 10.0, 0.0], [0.0, 0.0, 5.0]]),
        np.array([[15.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 10.0]]),
    ),
    **{name: _symmetric(ranks) for name, ranks in ORDINAL.items()},
}
"""Name to (leader's, follower's) payoffs, each (m, n)."""


def random_payoffs(
    *, rows: int = 3, columns: int = 3, types: int = 1, correlation: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal payoffs (m, n) and (T, m, n) whose correlation, entry by entry, is ``correlation`` (-1: zero-sum, 1: a team).

    Args:
        rows: m, moves of the leader.
        columns: n, moves of the follower.
        types: T, follower payoff matrices, each correlated with the leader's one.
        correlation: in [-1, 1].
        seed: which instance.

    Raises:
        ValueError: for sizes below 1 or a correlation that is none.
    """
    correlation = real("correlation", correlation, -1, 1)
    check_memory("rows x columns x types", whole("rows", rows, 1) * whole("columns", columns, 1) * (1 + 2 * whole("types", types, 1)))
    rng = np.random.default_rng(whole("seed", seed, 0))
    leader = rng.normal(size=(rows, columns))
    return leader, correlation * leader + np.sqrt(1 - correlation**2) * rng.normal(size=(types, rows, columns))
