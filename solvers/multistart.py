"""Local searches from many starts: the leader's problem has many local optima, and one ascent sees one of them.

Each search is L-BFGS (Liu and Nocedal, Math. Programming 1989; scipy's L-BFGS-B, inside the leader's space) on the exact return and
hypergradient of `solvers.estimators.implicit`.  A line search that doubles its step where plain ascent takes many small ones is
what crosses the flat stretch between the basins of Four Rooms, and restarts do the rest:

1. start: first the run's own; then in turn anywhere, N(0, sigma^2 I), and near the best so far, N(shrink x_best, sigma^2 I), with sigma
   going round ``scales``.  Shrinking matters where x is a softmax: what it has given up for dead has no gradient, and comes to life again
2. L-BFGS until it converges or has used ``evaluations`` commitments
3. keep the best commitment so far, by its exact return

What a softmax has given up has no gradient, and a search ends where it could gain.  With ``lift``, a best commitment is lifted
(`stackelberg_envs.commitments.Saturation.lift`) and searched from again, for as long as that gains; and starts near it are near the lifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from stackelberg_envs.arguments import real
from stackelberg_envs.commitments import Saturation
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.linear_systems import PlanningError

from .ascent import check_lift, lift_declines, short_repr
from .base import Solver, State
from .estimators.implicit import exact_gradient
from .needs import needs_smooth_followers

GAIN = 1e-7
"""A search goes on from a lifted end while it gains more than this, in relation to the value."""
AGAIN = 20
"""How many times, at most."""
UNANSWERED = 1e12
"""Loss of a commitment that followers cannot answer, as in a linear-quadratic world that none of them can stabilise."""


class End(NamedTuple):
    """Where a local search ends."""

    x: np.ndarray
    value: float
    slope: float
    """Largest component of the gradient there."""


class Best(NamedTuple):
    """Where the searches stand."""

    value: float
    x: np.ndarray
    searches: int


@dataclass(frozen=True)
class Multistart(Solver):
    """Repeated exact local searches (MODEL); one iteration is one search.

    Args:
        scales: standard deviations sigma of the random starts, taken in turn.
        shrink: how much of the best commitment is kept at a start near it; see above.
        evaluations: about how many commitments a search may use; its last line search is finished, and so a run's budget may be overshot
            by the rest of a search.
        tolerance: a search has converged when no component of the gradient (off the bounds) exceeds this.
        lift: how far below the largest of their softmax logits may be where searches begin again, in games that say which they are; None
            to leave ends as they are.  Up to 20 such searches follow a best one, each with ``evaluations`` commitments at most, and a run's
            budget is overshot by as much.
        least_gain: a search has also converged when an iteration gains no more than this, in relation to the value; one from a lifted end
            goes on.  With 0.00001 there are twice as many searches, and ``lift`` improves the best.
    """

    access = Access.MODEL
    tabular = False
    signals = True
    crowds = True
    scales: tuple[float, ...] = (0.01, 0.3, 1.0, 2.0, 3.0)
    shrink: float = 0.7
    evaluations: int = 200
    tolerance: float = 1e-6
    lift: float | None = None
    least_gain: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        numbers = (*self.scales, self.shrink, self.tolerance)
        if not self.scales or not np.isfinite(numbers).all() or min(*self.scales, self.evaluations, self.tolerance) <= 0:
            raise ValueError(f"multistart needs positive scales, evaluations and tolerance, and a finite shrink, got {self!r}")
        check_lift(self.lift)
        real("least_gain", self.least_gain, 0)

    def __repr__(self) -> str:
        return short_repr(self, "lift", "least_gain")

    def declines(self, oracle: Oracle) -> str | None:
        return lift_declines(self.lift, oracle) or needs_smooth_followers("multistart", oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=Best(-np.inf, x, 0))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        best: Best = state.carried
        start, (pair, near) = state.x, divmod(best.searches - 1, 2)
        saturation, depth = (None, 0.0) if self.lift is None else (oracle.saturation, self.lift)
        if best.searches > 0:  # 1
            centre = best.x if saturation is None else saturation.lift(best.x, depth)
            start = near * self.shrink * centre + self.scales[pair % len(self.scales)] * rng.normal(size=state.x.shape)
        end = self._search(oracle, start, self.least_gain)  # 2
        if end.value > best.value:  # 3
            if saturation is not None:
                end = self._search_lifted(oracle, end, saturation, depth)
            best = best._replace(value=end.value, x=end.x)
        best = best._replace(searches=best.searches + 1)
        return State(best.x, state.iteration + 1, best, {"search_return": end.value, "largest_slope": end.slope})

    def _search_lifted(self, oracle: Oracle, end: End, saturation: Saturation, depth: float) -> End:
        """Searches from the lifted end of one, and from their own, for as long as that gains, `AGAIN` times at most; the best end."""
        for _ in range(AGAIN):
            again = self._search(oracle, saturation.lift(end.x, depth))
            gained = again.value - end.value > GAIN * (1 + abs(end.value))
            end = max(end, again, key=lambda each: each.value)
            if not gained:
                break
        return end

    def _search(self, oracle: Oracle, start: np.ndarray, least_gain: float = 0.0) -> End:
        """One local search."""
        from scipy.optimize import minimize

        memory: list[Any] = [None]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            try:
                exact = exact_gradient(oracle, torch.from_numpy(flat.reshape(start.shape).copy()), memory[0], reaction=True)
            except PlanningError:  # nobody can answer there: the line search comes back
                return UNANSWERED, np.zeros_like(flat)
            memory[0] = exact.memory
            assert exact.value is not None
            return -exact.value, -exact.gradient.numpy().ravel()

        low, high = (np.broadcast_to(bound, start.shape).ravel() for bound in (oracle.leader_space.low, oracle.leader_space.high))
        found = minimize(
            loss,
            np.clip(start.ravel(), low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxfun": self.evaluations, "maxiter": self.evaluations, "gtol": self.tolerance, "ftol": least_gain},
        )
        oracle.charge(gradient_steps=int(found.nit))
        return End(found.x.reshape(start.shape), -float(found.fun), float(np.abs(found.jac).max()))
