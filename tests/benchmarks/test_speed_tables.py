"""What a new commitment costs beside its play, what the referee costs beside the solver, and how fast random games are drawn."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.timing import ratio

import stackelberg_envs as se
from solvers import solve
from solvers.base import Score
from stackelberg_envs.processes import garnets, transitions

pytestmark = pytest.mark.speed


def test_a_commitment_in_a_view(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """sentinel_intruder: reset, a new commitment, a step; against making the lists of successors for each commitment."""
    env = se.make_parallel("sentinel_intruder-v0")
    env.reset(seed=0)
    size, commitments = env.game.dimension, iter(np.linspace(0, 1, 10**4))

    def begin() -> None:
        env.reset()
        env.step({"leader_0": np.full(size, next(commitments))})
        env.step({agent: 0 for agent in env.agents if agent != "leader_0"})

    def anew() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(transitions, "derive", lambda table, name, compute: compute())
            begin()

    begin()
    times, each, kept = ratio(anew, begin)
    with capsys.disabled():
        print(
            f"\nsentinel_intruder, a commitment and a step: lists made anew {each * 1e3:.0f} ms, kept {kept * 1e3:.2f} ms ({times:.0f} x)"
        )
    assert times >= 10


def test_drawing_a_random_game(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A Garnet of 4,000 states, 36,000 lists: compiled, and NumPy's calls one by one; the numbers are the same."""
    if not garnets.COMPILED:
        pytest.skip("needs numba")

    def draw() -> Any:
        return garnets.garnet(np.random.default_rng(0), (4000, 3, 3), 3, "dirichlet")

    def draw_one_by_one() -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(garnets, "COMPILED", False)
            return draw()

    np.testing.assert_array_equal(draw().probabilities, draw_one_by_one().probabilities)
    times, slow, fast = ratio(draw_one_by_one, draw, rounds=3)
    with capsys.disabled():
        print(f"\nrandom game, 36,000 lists: one by one {slow * 1e3:.0f} ms, compiled {fast * 1e3:.1f} ms ({times:.0f} x)")
    assert times >= 10


def test_the_referees_share_of_a_solve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Four Rooms, `implicit`, 100 commitments, 51 reports; and a report beside its 22 factorisations alone."""
    torch.set_num_threads(1)
    game, spent = se.game("four_rooms-v0"), [0.0]
    score = Score.of

    def timed(*args: Any) -> Any:
        began = time.process_time()
        scored = score(*args)
        spent[0] += time.process_time() - began
        return scored

    monkeypatch.setattr(Score, "of", timed)
    shares = []
    for _ in range(5):
        spent[0], began = 0.0, time.process_time()
        solve(game, "implicit", budget=100)
        shares.append(spent[0] / (time.process_time() - began))
    x, (mdp,) = np.zeros(game.dimension), game.problems(np.zeros(game.dimension))
    matrix = np.eye(104) - 0.99 * mdp.transition[:, 0].mean(axis=1)
    of_one, report, one = ratio(lambda: se.evaluate(game, x), lambda: np.linalg.solve(matrix, x[:104]), rounds=15, repeat=22)
    with capsys.disabled():
        print(
            f"\nreferee: {statistics.median(shares):.2f} of a solve; a report {report * 1e3:.1f} ms, {of_one:.0f} times a solve of one ",
            end="",
        )
        print(f"system ({one * 1e6:.0f} us)")
    assert statistics.median(shares) < 0.55, "0.1 is the goal; docs/explanation/large-worlds.md says what is in the way"
