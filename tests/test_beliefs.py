"""Leaders who are wrong about their world: what they know is of the believed one, what they see and are paid by is of the true one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import solvers
import stackelberg_envs as se
from baselines.bench import configuration
from baselines.bench.execution import execute
from baselines.bench.jobs import Job
from stackelberg_envs.leader.repeated_game import RepeatedGame


def test_what_an_oracle_says_and_what_it_shows() -> None:
    """Temperature, model and the follower's discount are believed; outcomes, policies and returns are true."""
    true, x = se.game("random_markov_game-v0"), np.random.default_rng(0).normal(size=15)
    wrong = se.game("random_markov_game-v0", seed=1, discount=0.5)
    plain, mistaken = (
        RepeatedGame(true, se.Soft(0.05), seed=2, believed=believed).oracle(se.Access.MODEL) for believed in (None, (wrong, se.Soft(0.2)))
    )
    assert (plain.temperature, mistaken.temperature) == (0.05, 0.2)
    assert mistaken.follower == se.Soft(0.2)
    assert (plain.follower_discounts, mistaken.follower_discounts) == ((0.9,), (0.5,))
    assert plain.leader_discount == mistaken.leader_discount == 0.9
    np.testing.assert_array_equal(mistaken.commit(x)[0].follower_reward, wrong.problems(x)[0].follower_reward)
    assert plain.returns(x) == mistaken.returns(x)
    np.testing.assert_array_equal(plain.policies(x)[0], mistaken.policies(x)[0])
    np.testing.assert_array_equal(plain.play(x, episodes=5).states, mistaken.play(x, episodes=5).states)


def test_a_wrong_model_is_climbed_and_the_right_one_scores() -> None:
    """An exact gradient of the believed world, scored in the true one, is the run in the believed world with a referee in the true one."""
    true, wrong = se.game("random_markov_game-v0"), (se.game("random_markov_game-v0", seed=1), se.Soft(0.2))
    settings: dict[str, Any] = {"budget": 10, "seed": 0, "start": np.zeros(15)}
    mistaken = solvers.solve(true, "implicit", believed=wrong, **settings)
    there = solvers.solve(wrong[0], "implicit", follower=wrong[1], referee=(true, None), **settings)
    np.testing.assert_array_equal(mistaken.x, there.x)
    assert mistaken.leader_return == there.leader_return
    right = solvers.solve(true, "implicit", believed=(true, None), **settings)
    np.testing.assert_array_equal(right.x, solvers.solve(true, "implicit", **settings).x)


def test_hpgd_divides_by_the_temperature_that_it_believes_in() -> None:
    """Its response part is 1/tau times what it watches: at twice the temperature the first step of a free instrument is half as long."""
    game = se.game("four_rooms-v0", beta=0.0)
    steps = []
    for tau in (0.05, 0.1):
        found = solvers.solve(
            game,
            "hpgd",
            follower=se.Soft(0.05),
            believed=(game, se.Soft(tau)),
            budget=1,
            seed=0,
            episodes=10,
            clip=None,
            start=np.zeros(game.dimension),
        )
        steps.append(found.x)
    np.testing.assert_allclose(steps[0], 2 * steps[1], rtol=1e-9)
    assert np.abs(steps[0]).max() > 0


def test_a_belief_of_another_shape_is_refused_and_resuming_asks_for_the_same() -> None:
    game, other = se.game("random_markov_game-v0"), se.game("random_markov_game-v0", states=4)
    with pytest.raises(ValueError, match="spaces, contexts, what followers see, and commitments must be the same"):
        solvers.solve(game, "implicit", believed=(other, None), budget=1)
    half = solvers.solve(game, "implicit", believed=(game, se.Soft(0.1)), budget=2)
    whole = solvers.solve(game, "implicit", believed=(game, se.Soft(0.1)), budget=4, resume=half.checkpoint)
    np.testing.assert_array_equal(whole.x, solvers.solve(game, "implicit", believed=(game, se.Soft(0.1)), budget=4).x)
    for changed in (None, (game, se.Soft(0.2)), (se.game("random_markov_game-v0", seed=1), se.Soft(0.1))):
        with pytest.raises(ValueError, match="another run"):
            solvers.solve(game, "implicit", believed=changed, budget=4, resume=half.checkpoint)


def test_a_configuration_says_what_a_leader_believes(tmp_path: Path) -> None:
    """Its line says it too, its id depends on it, and the run is the one that Python makes."""
    (tmp_path / "beliefs.toml").write_text("""
[[games]]
id = "random_markov_game-v0"
seeds = 1
[[games.solvers]]
label = "right"
name = "implicit"
budget = 3
[[games.solvers]]
label = "wrong"
name = "implicit"
budget = 3
believes = { arguments = { discount = 0.8 }, follower = { kind = "Soft", temperature = 0.1 } }
""")
    right, wrong = configuration.load(tmp_path / "beliefs.toml").jobs
    assert "believed" not in right.as_dict()
    assert right.id != wrong.id == Job.from_dict(json.loads(json.dumps(wrong.as_dict()))).id
    game = se.game("random_markov_game-v0")
    believed = se.game("random_markov_game-v0", discount=0.8), se.Soft(0.1)
    expected = solvers.solve(game, "implicit", believed=believed, budget=3, seed=0)
    assert execute(wrong)["leader_return"] == expected.leader_return != execute(right)["leader_return"]
