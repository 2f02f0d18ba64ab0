"""Local searches from commitments that use one component or two: for instruments of which few parts matter.

Where a commitment is the logits of a softmax, such as a budget that is spread over cells, the best one often uses a few cells, and random
starts use all of them.  So the simplest commitments are scored first, and the best of them are improved.  And a component that a search has
given up has no gradient any more, because its weight is 0 up to rounding: the end of a search is lifted, and searched from again:

1. score ``height`` on each component alone, and on each pair of the ``kept`` best of these
2. L-BFGS (as in `solvers.multistart`) from the next best start; once all are used, from the best so far plus noise, N(0, sigma^2 I)
   (basin hopping: Wales and Doye, J. Phys. Chem. A 1997)
3. lift the end (`stackelberg_envs.commitments.Saturation.lift`), and search on while that gains
4. keep the best commitment so far, by its exact return
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, NamedTuple

import numpy as np

from stackelberg_envs.arguments import real, whole
from stackelberg_envs.commitments import Saturation
from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import PlanningError

from .base import State
from .multistart import Multistart
from .needs import needs_smooth_followers


class Starts(NamedTuple):
    """Where the searches stand."""

    value: float
    x: np.ndarray
    left: tuple[np.ndarray, ...]
    """Starts that are not used yet, the best first."""


@dataclass(frozen=True)
class Combinatorial(Multistart):
    """Exact local searches from single components and pairs, lifted (MODEL); one iteration is one search.

    Args:
        height: of the components that a start uses, the others being 0.
        kept: of how many single components pairs are scored, and how many starts are searched from.
        depth: how far below the largest of their softmax logits are lifted; of all components, where a game does not say which they are.
        noise: sigma, of the starts once all others are used.
    """

    height: float = 8.0
    kept: int = 8
    depth: float = 12.0
    noise: float = 1.0
    lift: ClassVar[None] = None  # type: ignore[misc]  # ``depth`` says it
    least_gain: ClassVar[float] = 0.0  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("height", "depth", "noise"):
            real(name, getattr(self, name), 0, open_low=True)
        whole("kept", self.kept, 1)

    def declines(self, oracle: Oracle) -> str | None:
        if len(oracle.commitment_shape) > 1:
            return "combinatorial raises components of one vector, and here a commitment has a row for each context"
        return needs_smooth_followers("combinatorial", oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=Starts(-np.inf, x, ()))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        at: Starts = state.carried
        left = (state.x, *self._starts(oracle)) if state.iteration == 0 else at.left  # 1
        start = left[0] if left else at.x + self.noise * rng.normal(size=at.x.shape)
        saturation = oracle.saturation or Saturation.softmax(oracle.dimension)
        end = self._search_lifted(oracle, self._search(oracle, start), saturation, self.depth)  # 2, 3
        if end.value > at.value:  # 4
            at = at._replace(value=end.value, x=end.x)
        at = at._replace(left=tuple(left[1:]))
        return State(at.x, state.iteration + 1, at, {"search_return": end.value, "largest_slope": end.slope})

    def _starts(self, oracle: Oracle) -> list[np.ndarray]:
        """The best of single components and of pairs of the best of these, the best first."""
        n = oracle.dimension

        def worth(used: tuple[int, ...]) -> float:
            try:
                return oracle.returns(self._start_with(oracle, used))
            except PlanningError:  # nobody can answer there
                return -np.inf

        singles = sorted(((worth((i,)), (i,)) for i in range(n)), reverse=True)
        best = [i for _, (i,) in singles[: self.kept]]
        pairs = [(worth(pair), pair) for pair in combinations(sorted(best), 2)]
        return [self._start_with(oracle, used) for _, used in sorted([*singles, *pairs], reverse=True)[: self.kept]]

    def _start_with(self, oracle: Oracle, used: tuple[int, ...]) -> np.ndarray:
        x = np.zeros(oracle.dimension)
        x[list(used)] = self.height
        return np.clip(x, oracle.leader_space.low, oracle.leader_space.high)
