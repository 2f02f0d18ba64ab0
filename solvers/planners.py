"""Planners: methods that search the leader's problem itself, where it is small enough, by its model or by exact returns.

* `MultipleLP`: matrix games, by one linear programme a joint response (Conitzer and Sandholm, "Computing the optimal strategy to commit
  to", EC 2006; see `stackelberg_envs.planning.matrix_games`).  Exact.
* `Enumeration`: all A^S deterministic memoryless leader policies.  The best of them is a lower bound: the best commitment may be mixed.
  Finding even that one is NP-hard (Dibangoye et al., arXiv 2512.05667), hence all of them, and few.
* `LineSearch`: one component of the commitment by a grid that closes in on its best point.  It uses no derivative, so cliffs and plateaus
  do not mislead it, but a peak that is narrower than the spacing of the first grid may be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stackelberg_envs.followers.exact import Hard
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.hard_policy_iteration import TIE_TOLERANCE
from stackelberg_envs.planning.matrix_games import logits, strong_commitment, weak_commitment
from stackelberg_envs.planning.matrix_programmes import scale_payoffs
from stackelberg_envs.processes.mdp import MDP, available_at_nodes

from .base import Declined, Solver, State
from .needs import needs_a_policy


@dataclass(frozen=True)
class MultipleLP(Solver):
    """The exact optimum of a matrix game by linear programmes (MODEL); the first iteration is all there is to do.

    Plays against ``Hard(ties="strong")`` or ``"weak"``.  Where ties go against the leader the optimum need not be attained: the history's
    ``value`` is the supremum, and the commitment stays so far from ties.

    Args:
        margin: by how much the weak follower's answer is made to beat the others, as a share of the range of its payoffs.
    """

    access = Access.MODEL
    margin: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.margin <= 1:
            raise ValueError(f"margin is a share above 0 of the range of payoffs, got {self.margin}")

    def declines(self, oracle: Oracle) -> str | None:
        if not isinstance(oracle.follower, Hard) or oracle.follower.ties == "uniform":
            return f"multiple_lp plays against Hard(ties='strong') or 'weak', not {oracle.follower!r}"
        if oracle.sizes[0][0] != 1 or oracle.max_cycles != 1 or not oracle.additive:
            return "multiple_lp needs a one-shot game: one state, and one move an episode"
        if oracle.sizes[0][1] > 1 and oracle.follower_sees[0] != "policy":
            return "multiple_lp needs a follower that sees the leader's mixture, not the row that is drawn"
        return needs_a_policy("multiple_lp", oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        if state.iteration > 0:
            return State(state.x, state.iteration + 1, row=state.row)
        leader, follower = self._payoffs(oracle, state.x)
        if oracle.follower.ties == "strong":
            best = strong_commitment(leader, follower, oracle.context_probabilities)
            x = logits(best.mixture)
        else:
            best = weak_commitment(leader, follower, oracle.context_probabilities)
            # What the follower takes for a tie, as a share of the range of its payoffs.
            values = np.abs((best.mixture @ follower).max(axis=-1))
            tie = float((2 * TIE_TOLERANCE * (1 + values) / scale_payoffs(leader, follower, None).spread).max())
            x = logits(best.towards_interior(max(self.margin, tie)))
        if not np.array_equal((leader, follower), self._payoffs(oracle, x)):
            raise Declined("multiple_lp needs payoffs that do not depend on the commitment")
        return State(x, 1, row={"value": best.value})

    def _payoffs(self, oracle: Oracle, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Payoffs of leader and follower in each context, (T, A, B) each."""
        problems = [oracle.commit(x, context)[0] for context in range(len(oracle.contexts))]
        if any(np.asarray(mdp.kernel.numbers).any() for mdp in problems):
            raise Declined("multiple_lp needs a one-shot game: every episode ends after one move")
        return np.stack([mdp.leader_reward[0] for mdp in problems]), np.stack([_with_dominated_columns(mdp) for mdp in problems])


def _with_dominated_columns(mdp: MDP) -> np.ndarray:
    """The follower's payoffs (A, B); columns that are not available are worse than every other, whatever the leader does."""
    payoffs = np.asarray(mdp.follower_reward[0])
    if mdp.available is None:
        return payoffs
    there = np.asarray(available_at_nodes(mdp))[0].all(axis=0)
    met = payoffs[:, there]
    return np.where(there, payoffs, met.min() - (np.ptp(met) or 1.0))


class EnumerationState(NamedTuple):
    """The best policy of an enumeration so far, and the number of policies tried."""

    value: float
    x: np.ndarray
    tried: int


@dataclass(frozen=True)
class Enumeration(Solver):
    """The best deterministic memoryless leader policy, by trying all A^S of them (exact returns, OUTCOME); one iteration is one.

    The optimum among them once the history's ``tried`` has come to ``policies``; a smaller budget gives the best of the first.

    Args:
        limit: decline games with more policies than this.
    """

    access = Access.OUTCOME
    limit: int = 10_000

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is at least 1, got {self.limit}")

    def declines(self, oracle: Oracle) -> str | None:
        s, a, _ = oracle.sizes[0]
        if a == 1:
            return "enumeration needs a leader that acts in the game; here it has one action"
        if a**s > self.limit:
            return f"enumeration tries every policy, and there are {a}^{s}, over {self.limit}"
        return needs_a_policy("enumeration", oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=EnumerationState(-np.inf, x, 0))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        best: EnumerationState = state.carried
        s, a, _ = oracle.sizes[0]
        if best.tried < a**s:
            actions = best.tried // a ** np.arange(s) % a  # the digits of its number in base A
            low, high = oracle.leader_space.low.reshape(s, a), oracle.leader_space.high.reshape(s, a)
            x = np.where(np.arange(a) == actions[:, None], high, low).ravel()
            value = oracle.returns(x)
            best = EnumerationState(value, x, best.tried + 1) if value > best.value else best._replace(tried=best.tried + 1)
        row = {"search_return": best.value, "tried": best.tried, "policies": a**s}
        return State(best.x, state.iteration + 1, best, row)


class Bracket(NamedTuple):
    """Where a line search stands."""

    value: float
    best: float
    low: float
    high: float


@dataclass(frozen=True)
class LineSearch(Solver):
    """The best value of one component of the commitment, the others as at the start (exact returns: RETURN); one iteration is one grid.

    1. the leader's exact return at ``points`` equally spaced values, first over the whole range of the component
    2. keep the best so far
    3. the next grid spans its neighbours

    Args:
        component: index into the commitment, flattened.
        points: of a grid, so many commitments an iteration; a run's budget may be overshot by the rest of a grid.
    """

    access = Access.RETURN
    component: int = 0
    points: int = 81

    def __post_init__(self) -> None:
        if self.component < 0 or self.points < 4:
            raise ValueError(f"component is an index from 0 and points at least 4, got {self.component} and {self.points}")

    def declines(self, oracle: Oracle) -> str | None:
        n = int(np.prod(oracle.commitment_shape))
        return None if self.component < n else f"line_search along component {self.component}: this game has 0 to {n - 1}"

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=Bracket(-np.inf, float(x.flat[self.component]), *self._range(oracle)))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        at: Bracket = state.carried
        grid = np.linspace(at.low, at.high, self.points)
        values = [oracle.returns(self._with_component(state.x, point)) for point in grid]  # 1
        top = int(np.argmax(values))
        value, best = (values[top], float(grid[top])) if values[top] > at.value else (at.value, at.best)  # 2
        spacing, (low, high) = float(grid[1] - grid[0]), self._range(oracle)
        at = Bracket(value, best, max(low, best - spacing), min(high, best + spacing))  # 3
        return State(self._with_component(state.x, best), state.iteration + 1, at, {"search_return": value, "spacing": spacing})

    def _range(self, oracle: Oracle) -> tuple[float, float]:
        index = self.component % oracle.dimension
        return float(oracle.leader_space.low[index]), float(oracle.leader_space.high[index])

    def _with_component(self, x: np.ndarray, point: float) -> np.ndarray:
        moved = x.copy()
        moved.flat[self.component] = point
        return moved
