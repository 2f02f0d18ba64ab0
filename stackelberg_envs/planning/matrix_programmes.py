"""The linear and mixed-integer programmes behind `planning.matrix_games`, on payoffs scaled to [0, 1]; solved by scipy's HiGHS.

Notation as there: x the mixture over rows, L_t and B_t the payoffs of leader and follower of type t, an answer the columns with which a
type replies (several, between which it is indifferent whatever the leader does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ScaledGame:
    """Payoffs (T, m, n) with each type's range scaled to [0, 1], and as they were.

    Columns that another one beats whatever the leader does are never an answer; the range is that of the others, so that a payoff that
    forbids a column does not blur them, and what these columns pay is cut off at -1 and 2.
    """

    leader: np.ndarray
    follower: np.ndarray
    spread: np.ndarray
    """(T,): the range of the follower's payoffs; 1 where it has none."""
    probabilities: np.ndarray
    original_leader: np.ndarray
    original_follower: np.ndarray

    @property
    def types(self) -> int:
        return self.follower.shape[0]

    @property
    def rows(self) -> int:
        return self.follower.shape[1]

    @property
    def columns(self) -> int:
        return self.follower.shape[2]


def payoff_tables(leader: Any, follower: Any) -> tuple[np.ndarray, np.ndarray]:
    """Payoffs, each (m, n) or (T, m, n), as two checked tables (T, m, n).

    Raises:
        ValueError: if they are not finite, or do not fit one another.
    """
    own, other = np.asarray(leader, dtype=np.float64), np.asarray(follower, dtype=np.float64)
    fits = own.ndim in (2, 3) and other.ndim in (2, 3) and own.shape[-2:] == other.shape[-2:] and min(own.size, other.size) > 0
    if not fits or not (np.isfinite(own).all() and np.isfinite(other).all()):
        raise ValueError(
            f"payoffs are two finite matrices of one shape (m, n), or one a type, (T, m, n); got shapes {own.shape} and {other.shape}"
        )
    own, other = own.reshape(-1, *own.shape[-2:]), other.reshape(-1, *other.shape[-2:])
    if len(own) != len(other) and min(len(own), len(other)) > 1:
        raise ValueError(f"leader and follower have one payoff matrix a type; got {len(own)} and {len(other)}")
    own, other = np.broadcast_arrays(own, other)
    return own, other


def type_weights(probabilities: Any, types: int) -> np.ndarray:
    """Probabilities of the types, (T,), even if None.

    Raises:
        ValueError: if they are none.
    """
    p = np.full(types, 1 / types) if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    if p.shape != (types,) or not (p >= 0).all() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"type probabilities are {types} non-negative numbers, one a type, that sum to 1; got {probabilities}")
    return p


def scale_payoffs(leader: Any, follower: Any, probabilities: Any) -> ScaledGame:
    """Checked and scaled payoffs; see `payoff_tables` and `type_weights`."""
    own, other = payoff_tables(leader, follower)
    beaten = np.any(np.all(other[:, :, :, None] < other[:, :, None, :], axis=1), axis=-1)  # (T, n)
    answers = np.broadcast_to(~beaten[:, None, :], other.shape)
    low, high = (reduce(other, axis=(1, 2), where=answers, initial=at) for reduce, at in ((np.min, np.inf), (np.max, -np.inf)))
    spread = np.where(high > low, high - low, 1.0)
    share = np.maximum((other - low[:, None, None]) / spread[:, None, None], -1.0)
    paid = own[answers]
    gained = np.clip((own - paid.min()) / (np.ptp(paid) or 1.0), -1.0, 2.0)
    return ScaledGame(gained, share, spread, type_weights(probabilities, len(other)), own, other)


def _advantages(game: ScaledGame, answers: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """(rows of B[:, answer] - B[:, k] for each type and each k outside its answer, the type of each row)."""
    rows, kinds = [np.zeros((0, game.rows))], []
    for t, (payoff, answer) in enumerate(zip(game.follower, answers, strict=True)):
        others = [k for k in range(game.columns) if k not in answer]
        rows.append((payoff[:, [answer[0]]] - payoff[:, others]).T)
        kinds += [t] * len(others)
    return np.concatenate(rows), np.array(kinds, dtype=np.int64)


def best_mixture(game: ScaledGame, answers: Sequence[tuple[int, ...]], margin: float) -> np.ndarray | None:
    """The mixture x of max p.w over (x, w): w_t <= x.L_t[:, j] for all j of the answer, which is better than the rest by ``margin``.

    None if it is nowhere better by so much.
    """
    rows, kinds = _advantages(game, answers)
    worth, floor = [], []
    for t, answer in enumerate(answers):
        worth.append(np.concatenate([-game.leader[t][:, answer].T, np.tile(np.eye(game.types)[t], (len(answer), 1))], axis=1))
        floor += [0.0] * len(answer)
    beaten = np.concatenate([-rows, np.zeros((len(rows), game.types))], axis=1)
    return _solve(
        np.concatenate([np.zeros(game.rows), -game.probabilities]),
        np.concatenate([beaten, *worth]),
        np.concatenate([-margin / game.spread[kinds], floor]),
        game.rows,
    )


def interior_point(game: ScaledGame, answers: Sequence[tuple[int, ...]]) -> tuple[np.ndarray | None, float]:
    """The mixture at which the answers are better than the rest by the largest margin, and that margin (scaled)."""
    rows, _ = _advantages(game, answers)
    if len(rows) == 0:
        return np.full(game.rows, 1 / game.rows), 1.0
    beaten = np.concatenate([-rows, np.ones((len(rows), 1))], axis=1)
    x = _solve(np.append(np.zeros(game.rows), -1.0), beaten, np.zeros(len(rows)), game.rows)
    return (None, 0.0) if x is None else (x, float((rows @ x).min()))


def mixed_integer_response(game: ScaledGame) -> list[tuple[int, ...]]:
    """The column of each type at the strong commitment, by the programme DOBSS (Paruchuri et al., AAMAS 2008).

    With z_t = x q_t^T the joint distribution of rows and type t's column, q_t binary, and a_t the value of type t, in [0, 1]::

        max sum_t p_t L_t . z_t   s.t.  z_t 1 = x,  1^T z_t = q_t,  1^T q_t = 1,  0 <= a_t - x.B_t[:, j] <= (1 - q_tj) (1 - min B_t)
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    t, m, n = game.types, game.rows, game.columns
    width = t * m * n + t * n + t  # z, q, a

    def blank(rows: int) -> tuple[np.ndarray, ...]:
        table = np.zeros((rows, width))
        return table, *np.split(table, [t * m * n, t * m * n + t * n], axis=1)  # views

    constraints = []
    for s in range(t):
        for i in range(m):  # the same x for all types
            table, z, _, _ = blank(1)
            z = z.reshape(t, m, n)
            z[s, i] += 1
            z[0, i] -= 1
            constraints.append(LinearConstraint(table, 0, 0))
        for j in range(n):
            table, z, q, _ = blank(1)
            z.reshape(t, m, n)[s, :, j], q[0, s * n + j] = 1, -1
            constraints.append(LinearConstraint(table, 0, 0))
            table, z, q, a = blank(1)
            z.reshape(t, m, n)[s], a[0, s] = -game.follower[s, :, j, None], 1
            constraints.append(LinearConstraint(table.copy(), 0, np.inf))
            q[0, s * n + j] = most = 1 - min(0.0, game.follower[s].min())
            constraints.append(LinearConstraint(table, -np.inf, most))
        table, _, q, _ = blank(1)
        q[0, s * n : (s + 1) * n] = 1
        constraints.append(LinearConstraint(table, 1, 1))
    gain = np.concatenate([(game.probabilities[:, None, None] * game.leader).ravel(), np.zeros(t * n + t)])
    integral = np.concatenate([np.zeros(t * m * n), np.ones(t * n), np.zeros(t)])
    solved = milp(-gain, constraints=constraints, integrality=integral, bounds=Bounds(0, 1), options={"mip_rel_gap": 0.0})
    if solved.x is None:
        raise RuntimeError(f"DOBSS has no solution: {solved.message}")
    answers = solved.x[t * m * n : t * m * n + t * n].reshape(t, n).argmax(axis=1)
    return [(int(j),) for j in answers]


def _solve(cost: np.ndarray, rows: np.ndarray, bounds: np.ndarray, m: int) -> np.ndarray | None:
    """The first ``m`` unknowns, a distribution, of min cost.y s.t. rows y <= bounds; None if there is none."""
    from scipy.optimize import linprog

    simplex = np.concatenate([np.ones(m), np.zeros(len(cost) - m)])[None]
    free = [(0.0, None)] * m + [(None, None)] * (len(cost) - m)
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(cost, A_ub=rows, b_ub=bounds, A_eq=simplex, b_eq=[1.0], bounds=free, method="highs", options=tight)
    if found.x is None:
        return None
    x = np.maximum(found.x[:m], 0.0)
    return x / x.sum()
