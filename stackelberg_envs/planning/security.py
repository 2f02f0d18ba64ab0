r"""What commitment is worth in a security game: the strong Stackelberg equilibrium, by linear programmes over marginal coverage.

Guards protect targets, and an attacker of type k (probability p_k), who knows how likely each target is to be covered, attacks one.  With
c_i the probability that target i is covered, an attack on it pays ::

    defender  U_D(c, i) = c_i D+_i + (1 - c_i) D-_i        attacker  U_A(c, i) = c_i A+_i + (1 - c_i) A-_i

and nothing else about how the guards are mixed matters.  If type k is to attack a_k, the best coverage is a linear programme::

    max_c  sum_k p_k U_D(c, a_k)   s.t.   U_A(c, a_k) >= U_A(c, i) for all k and i,    0 <= c <= 1,    rows c <= bounds

One for each joint response (t^T of them), and the best is the strong equilibrium: an attacker who is indifferent does what the defender
prefers.  ``rows c <= bounds`` says what the guards can do: sum c <= m for m guards who can protect anything, and c(S) <= rank(S), the
most targets of S that they can protect at once, in general (`coverage_limits`).  Every such c is the marginal of a mixture of assignments
of guards to targets: see `stackelberg_envs.planning.assignments`.

Source: Kiekintveld et al., "Computing optimal randomized resource allocations for massive security games", AAMAS 2009 (the game, with
marginals); Conitzer and Sandholm, "Computing the optimal strategy to commit to", EC 2006 (multiple LPs); Korzhyk, Conitzer and Parr,
"Complexity of computing optimal Stackelberg strategies in security resource allocation games", AAAI 2010 (guards who differ).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from .matrix_games import JOINT_RESPONSES
from .matrix_programmes import type_weights

NEWTON_STEPS = 200
"""Of `marginal_logits`; a dozen is usual."""
LONGEST_STEP, SHORTEST_SEARCH = 5.0, 1e-4
"""Of a Newton step, in any component, and of its line search, as a share of the step."""
CERTAIN = 400.0
"""The logit of a target that is covered for certain; e^-400 is nothing beside any other number here."""
ACCURACY = 1e-11
"""Of the coverage of `marginal_logits`: well below `TIE_TOLERANCE`, for at the optimum attackers are indifferent."""


@dataclass(frozen=True)
class TargetPayoffs:
    """What an attack pays at each of t targets for each of T types of attacker, (T, t) each.

    Raises:
        ValueError: if they are not finite or of one shape, if coverage helps an attacker or does not hurt it, or if it hurts the defender.
    """

    defender_covered: np.ndarray
    defender_uncovered: np.ndarray
    attacker_covered: np.ndarray
    attacker_uncovered: np.ndarray

    def __post_init__(self) -> None:
        tables = [np.atleast_2d(np.asarray(getattr(self, name), dtype=np.float64)) for name in self.__dataclass_fields__]
        shapes = {table.shape[-1] for table in tables}, {len(table) for table in tables} - {1}
        if len(shapes[0]) > 1 or len(shapes[1]) > 1 or not all(table.ndim == 2 and table.size for table in tables):
            raise ValueError(
                f"payoffs of targets are (t,) each, or one row a type, (T, t); got shapes {', '.join(str(t.shape) for t in tables)}"
            )
        if not all(np.isfinite(table).all() for table in tables):
            raise ValueError("payoffs of targets are finite numbers")
        for name, table in zip(self.__dataclass_fields__, np.broadcast_arrays(*tables), strict=True):
            object.__setattr__(self, name, table.copy())
        if (bad := np.argwhere(self.attacker_covered >= self.attacker_uncovered)).size:
            raise ValueError(f"an attacker is paid less where a target is covered; at target {bad[0, 1]} it is not (type {bad[0, 0]})")
        if (bad := np.argwhere(self.defender_covered < self.defender_uncovered)).size:
            raise ValueError(f"a defender is paid no less where a target is covered; at target {bad[0, 1]} it is (type {bad[0, 0]})")

    @property
    def sizes(self) -> tuple[int, int]:
        """(T, t)."""
        types, targets = self.attacker_covered.shape
        return types, targets

    def defender(self, coverage: np.ndarray) -> np.ndarray:
        """What attacks pay the defender at coverage (t,): (T, t)."""
        return coverage * self.defender_covered + (1 - coverage) * self.defender_uncovered

    def attacker(self, coverage: np.ndarray) -> np.ndarray:
        """What attacks pay attackers at coverage (t,): (T, t)."""
        return coverage * self.attacker_covered + (1 - coverage) * self.attacker_uncovered


@dataclass(frozen=True)
class Coverage:
    """A commitment to marginals, and what it is worth."""

    value: float
    """The defender's payoff."""
    marginals: np.ndarray
    """c, (t,)."""
    attacked: tuple[int, ...]
    """The target of each type."""


def strong_coverage(
    payoffs: TargetPayoffs, rows: Any, bounds: Any, probabilities: Sequence[float] | np.ndarray | None = None, *, interior: float = 0.0
) -> Coverage | None:
    """The best coverage if ties are broken for the defender: the strong Stackelberg equilibrium.

    Args:
        payoffs: of T types at t targets.
        rows: (R, t), non-negative; the guards can do ``rows @ c <= bounds`` with 0 <= c <= 1.
        bounds: (R,).
        probabilities: of the types, (T,); even if not given.
        interior: by how much all inequalities but those of best responses are to hold strictly, for commitments that reach the inside of
            what is feasible only.

    Returns:
        None if nothing is feasible, which needs ``interior`` > 0.

    Raises:
        ValueError: if there are more than `JOINT_RESPONSES` joint responses of the types, or ``probabilities`` are none.
    """
    types, targets = payoffs.sizes
    p = type_weights(probabilities, types)
    if types > 1 and targets**types > JOINT_RESPONSES:
        raise ValueError(f"{targets}^{types} joint responses of the types are over {JOINT_RESPONSES}")
    limits = np.atleast_2d(np.asarray(rows, dtype=np.float64)), np.atleast_1d(np.asarray(bounds, dtype=np.float64)) - interior
    best: Coverage | None = None
    for attacked in product(range(targets), repeat=types):
        c = _best_marginals(payoffs, attacked, p, limits, interior)
        if c is not None:
            value = float(p @ payoffs.defender(c)[np.arange(types), attacked])
            if best is None or value > best.value:
                best = Coverage(value, c, attacked)
    return best


def coverage_limits(rank: Callable[[np.ndarray], np.ndarray], targets: int) -> tuple[np.ndarray, np.ndarray]:
    """What guards can do, as (rows, bounds) of `strong_coverage`: c(S) <= rank(S), without the sets S that others imply.

    Args:
        rank: of sets of targets, 0/1 (K, t), the most targets of each that guards can protect at once, (K,).
        targets: t; all 2^t sets are asked for.
    """
    numbers = np.arange(2**targets)
    sets = (numbers[:, None] >> np.arange(targets)) & 1
    ranks = np.asarray(rank(sets))
    larger = np.where(sets == 1, -1, numbers[:, None] | (1 << np.arange(targets)))  # with one more target; -1 where it is there already
    closed = ((larger < 0) | (ranks[larger] > ranks[:, None])).all(axis=1)  # else the larger set, with the same bound, says more
    kept = closed & (ranks < sets.sum(axis=1))  # else c <= 1 says it
    return sets[kept].astype(np.float64), ranks[kept].astype(np.float64)


def marginal_logits(marginals_of: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray, bound: float) -> np.ndarray | None:
    """The commitment x (t,), within [-bound, bound], that covers targets with probabilities ``wanted``; None if there is none.

    For coverage in which the set S of covered targets has probability proportional to exp(sum_{i in S} x_i), over the sets that can be
    protected.  Newton's method solves logit c(x) = logit c; the derivative of c_i by x_j is c_j (1 - c_j) times what it changes about c_i
    whether j is covered, which commitments tell that cover j for certain, or never.

    Args:
        marginals_of: commitments (..., t) to marginals (..., t).
        wanted: c, (t,), strictly inside what is feasible.
        bound: of the leader's box.
    """
    one = np.eye(len(wanted))
    aim, x = _logit(wanted), np.clip(_logit(wanted), -bound, bound)
    for _ in range(NEWTON_STEPS):
        c = marginals_of(x)
        if np.abs(c - wanted).max() < ACCURACY:
            return x
        error, spread = _logit(c) - aim, np.maximum(c * (1 - c), np.finfo(np.float64).tiny)
        covered, never = (marginals_of(x * (1 - one) + logit * one) for logit in (CERTAIN, -CERTAIN))  # row j: target j is, or is not
        slope = (covered - never).T * spread / spread[:, None]
        direction, length = np.linalg.lstsq(slope, -error)[0], 1.0
        direction *= min(1.0, LONGEST_STEP / np.abs(direction).max())
        while length > SHORTEST_SEARCH:
            tried = np.clip(x + length * direction, -bound, bound)
            if np.linalg.norm(_logit(marginals_of(tried)) - aim) < np.linalg.norm(error):
                break
            length /= 2
        x = np.clip(x + length * direction, -bound, bound)
    return None


def _logit(c: np.ndarray) -> np.ndarray:
    tiny = np.finfo(np.float64).tiny
    return np.log(np.maximum(c, tiny)) - np.log(np.maximum(1 - c, 1e-17))


def _best_marginals(
    payoffs: TargetPayoffs, attacked: tuple[int, ...], p: np.ndarray, limits: tuple[np.ndarray, np.ndarray], interior: float
) -> np.ndarray | None:
    """The coverage of the programme above, with payoffs scaled to a range of 1; None if these are no best responses anywhere."""
    from scipy.optimize import linprog

    _, targets = payoffs.sizes
    gain = np.zeros(targets)
    rows, bounds = [limits[0]], [limits[1]]
    for k, a in enumerate(attacked):
        gain[a] += p[k] * (payoffs.defender_covered[k, a] - payoffs.defender_uncovered[k, a])
        scale = payoffs.attacker_uncovered[k].max() - payoffs.attacker_covered[k].min()
        loss = (payoffs.attacker_uncovered[k] - payoffs.attacker_covered[k]) / scale
        others = np.arange(targets) != a
        better = -np.diag(loss)
        better[:, a] += loss[a]
        rows.append(better[others])
        bounds.append(((payoffs.attacker_uncovered[k, a] - payoffs.attacker_uncovered[k]) / scale)[others])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(
        -gain / (np.abs(gain).max() or 1.0),
        A_ub=np.concatenate(rows),
        b_ub=np.concatenate(bounds),
        bounds=(interior, 1 - interior),
        method="highs",
        options=tight,
    )
    if found.status not in (0, 2):
        raise RuntimeError(f"a programme for coverage was not solved: {found.message}")
    return None if found.status == 2 else np.clip(found.x, 0.0, 1.0)
