r"""What no coverage can beat against an attacker with entropy.

With probabilities ``softmax(U_A(c, .) / tau)`` of attacks, the defender has more than v at coverage c exactly if ::

    sum_i phi_i(c_i) < 0,     phi_i(c) = exp(U_A(c, i) / tau) (v - U_D(c, i))

Between two coverages of a fine grid, phi_i is at least the smaller factor times the smaller factor.  So the smallest sum over all c that
guards can do is at least that of a linear programme over mixtures of intervals, each counted at its lower end.  If that is not negative, v
is an upper bound; the least such v is found by bisection.

That the quotient comes apart target by target, once v is fixed, is used by Yang, Ordonez, Tambe, "Computing optimal strategy against
quantal response in security games", AAMAS 2012, for approximate optima; here all roundings go one way.
"""

from __future__ import annotations

import numpy as np

from .security import TargetPayoffs

INTERVALS = 1000
"""Of [0, 1], for each target."""
HALVINGS = 16
"""Of the range of the defender's payoffs."""
LARGEST, LARGEST_EXPONENT = 1e6, 300.0
"""Of terms, which may be made smaller, and of the exponents in them."""
TOLERANCE = 1e-6
"""Of a linear programme; a value is excluded if the sum is above."""


def soft_coverage_bound(payoffs: TargetPayoffs, rows: np.ndarray, bounds: np.ndarray, p: np.ndarray, temperature: float) -> float:
    """An upper bound on the defender's payoff, over 0 <= c <= 1 with ``rows c <= bounds``.

    Args:
        payoffs: of T types at t targets.
        rows: (R, t), non-negative.
        bounds: (R,).
        p: probabilities of the types, (T,).  Each type is bounded by itself, as if coverage could be chosen for it alone.
        temperature: tau of the attackers, above 0.
    """
    single = [
        TargetPayoffs(*(getattr(payoffs, name)[k : k + 1] for name in TargetPayoffs.__dataclass_fields__)) for k in range(payoffs.sizes[0])
    ]
    return float(p @ [_bound(one, np.atleast_2d(rows), np.atleast_1d(bounds), temperature) for one in single])


def _bound(payoffs: TargetPayoffs, rows: np.ndarray, bounds: np.ndarray, temperature: float) -> float:
    from scipy.optimize import linprog  # when asked: games are listed without scipy
    from scipy.sparse import block_diag, csr_array

    t = payoffs.sizes[1]
    ends = np.linspace(0, 1, INTERVALS + 1)
    defender, attacker = (np.concatenate([f(np.full(t, c)) for c in ends]).T for f in (payoffs.defender, payoffs.attacker))
    one = csr_array(block_diag([np.ones((1, INTERVALS))] * t))
    used = np.hstack([row[:, None] * ends[None, :-1] for row in rows.T])  # each interval covers at least its lower end
    # Weights are in units of the least that the best target can be worth to the attacker, so that they add up to 1 or more.
    weights = np.exp(np.minimum((attacker - _least_of_best(payoffs, rows, bounds)) / temperature, LARGEST_EXPONENT))

    def excluded(v: float) -> bool:
        left = v - defender[:, 1:]  # the smaller factor, for payoffs grow with coverage
        least = np.where(left >= 0, weights[:, 1:], weights[:, :-1]) * left
        solved = linprog(
            np.minimum(least, LARGEST).ravel(), A_ub=used, b_ub=bounds, A_eq=one, b_eq=np.ones(t), bounds=(0, None), method="highs"
        )
        return bool(solved.success and solved.fun > TOLERANCE)

    low, high = float(defender.min()), float(defender.max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high


def _least_of_best(payoffs: TargetPayoffs, rows: np.ndarray, bounds: np.ndarray) -> float:
    """min over what guards can do of the most that a target is worth to the attacker."""
    from scipy.optimize import linprog

    t = payoffs.sizes[1]
    slope = payoffs.attacker_covered[0] - payoffs.attacker_uncovered[0]
    system = np.block([[np.diag(slope), -np.ones((t, 1))], [rows, np.zeros((len(rows), 1))]])
    limits = np.concatenate([-payoffs.attacker_uncovered[0], bounds])
    solved = linprog(np.eye(t + 1)[t], A_ub=system, b_ub=limits, bounds=[(0, 1)] * t + [(None, None)], method="highs")
    return float(solved.fun)
