"""What is reported is what happened: iterations, curves, labels, statistics and lines on a disk that is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import stackelberg_envs as se
from solvers import Solution, Solver, State, base


@dataclass(frozen=True)
class Climbs(Solver):
    """Moves to better neighbours, and says of each state how many came before it."""

    access: ClassVar[se.Access] = se.Access.RETURN

    def declines(self, oracle: se.Oracle) -> str | None:
        return None

    def init(self, oracle: se.Oracle, x: np.ndarray) -> State:
        return State(x, self.count(0), oracle.returns(x))

    def step(self, oracle: se.Oracle, state: State, rng: np.random.Generator) -> State:
        x = state.x + rng.normal(size=len(state.x))
        value = oracle.returns(x)
        better = value > state.carried
        return State(x if better else state.x, self.count(state.iteration + 1), value if better else state.carried)

    def count(self, iteration: int) -> int:
        return iteration


class Forgets(Climbs):
    def count(self, iteration: int) -> int:
        return 0


class Stutters(Climbs):
    def count(self, iteration: int) -> int:
        return iteration // 2 + 7


def without_clock(solution: Solution) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in solution.history]


@pytest.mark.parametrize("liar", [Forgets, Stutters])
def test_the_loop_counts_iterations_whatever_a_state_says(liar: type[Solver]) -> None:
    """A solver that miscounts has the history of one that counts, to the last report, also where it goes on from a checkpoint."""
    game = se.game("toy3-v0")
    honest = base.run(Climbs(), game, budget=60, reports=10)
    found = base.run(liar(), game, budget=60, reports=10)
    assert without_clock(found) == without_clock(honest)
    assert found.leader_return == se.evaluate(game, found.x).leader_return > found.history[0]["leader_return"]
    half = base.run(liar(), game, budget=30, reports=5)
    resumed = base.run(liar(), game, budget=60, reports=5, resume=half.checkpoint)
    assert resumed.history[-1]["iteration"] == honest.history[-1]["iteration"]
    assert np.array_equal(resumed.x, honest.x)
