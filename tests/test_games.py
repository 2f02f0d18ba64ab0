"""Contracts of every game in the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from stackelberg_envs.games.four_rooms import Walker
from stackelberg_envs.games.toy3 import VARIANTS as VARIANTS_OF_TOY3
from stackelberg_envs.planning import PlanningError
from stackelberg_envs.registry import GAMES
from stackelberg_envs.testing import check_game, commitments, random_games

VARIANTS = [
    ("four_rooms-v0", {}),
    ("four_rooms-v0", {"preset": "hpgd", "beta": 1}),
    ("four_rooms-v0", {"preset": "bchg"}),
    ("four_rooms-v0", {"walkers": 3}),
    ("toy3-v0", {"R": 1}),
    ("toy3-v0", {"R": 2}),
    *(("toy3-v0", {"variant": variant}) for variant in sorted(VARIANTS_OF_TOY3.keys() - {"4"})),
    ("toy3-v0", {"variant": "1_1a", "follower_sees": "policy"}),
    ("bimatrix-v0", {}),
    ("random_markov_game-v0", {"follower_sees": "policy"}),
    ("random_markov_game-v0", {"follower_sees": "action", "conflict": 0.0, "seed": 5}),
]


@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_contract(id: str, arguments: dict[str, object]) -> None:
    """Tables, purity, batches, refusals, incentives; NumPy and torch agree to 1e-12 and gradients match central differences."""
    report = check_game(se.game(id, **arguments))
    assert "torch agrees and differentiates" in report.passed


@given(random_games())
@settings(deadline=None, max_examples=15)
def test_contract_of_random_games(game: se.StackelbergGame) -> None:
    check_game(game)


def test_registry_and_folder_agree() -> None:
    folder = Path(se.__file__).parent / "games"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {entry.split(":")[0] for entry in GAMES.values()}
    assert all(se.game(id).name == id.removesuffix("-v0") for id in se.games())


def test_every_game_is_two_lines_away() -> None:
    for id in se.games():
        module = getattr(se, id.replace("-", "_"))
        assert str(module.env()) == str(module.raw_env()) == str(module.parallel_env()) == id.replace("-", "_")


def test_four_rooms_map() -> None:
    """104 cells; the four doors; rows of the kernel; the penalties spend at most the budget."""
    from stackelberg_envs.games.four_rooms import CELLS, INDEX, transition

    assert len(CELLS) == 104
    assert all(door in INDEX for door in ((3, 6), (6, 2), (7, 9), (10, 6)))
    kernel = transition(0.33, (1, 9))
    start = INDEX[(4, 1)]
    assert kernel[start, 0, 1, INDEX[(4, 2)]] == pytest.approx(0.67)
    assert kernel[start, 0, 1, start] == pytest.approx(0.11), "west of the start is wall: that slip stays"
    assert kernel[INDEX[(1, 9)]].sum() == 0, "acting in the goal ends the episode"
    game = se.game("four_rooms-v0")
    assert -game.penalties(np.zeros(105)).sum() == pytest.approx(0.2 * 104 / 105)  # type: ignore[attr-defined]


@given(commitments(se.game("four_rooms-v0"), scale=5.0))
@settings(deadline=None, max_examples=20)
def test_budget_is_never_exceeded(x: np.ndarray) -> None:
    penalties = se.game("four_rooms-v0").penalties(x)  # type: ignore[attr-defined]
    assert (penalties <= 0).all()
    assert -penalties.sum() <= 0.2 + 1e-12


@given(random_games(), st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_batches_of_commitments_are_scored_like_one(game: se.StackelbergGame, seed: int) -> None:
    xs = np.random.default_rng(seed).normal(size=(2, 3, game.dimension))
    scored = se.evaluate(game, xs)
    assert scored.leader_return.shape == (2, 3)
    assert scored.per_context.shape == (2, 3, 1)
    assert scored.follower_returns.shape == (2, 3, 1)
    for index in np.ndindex(2, 3):
        assert scored.leader_return[index] == pytest.approx(float(se.evaluate(game, xs[index]).leader_return), abs=1e-9)


@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_scores_are_the_same_in_torch(id: str, arguments: dict[str, object]) -> None:
    game = se.game(id, **arguments)
    x = np.random.default_rng(0).normal(size=game.dimension)
    here, there = se.evaluate(game, x), se.evaluate(game, torch.tensor(x))
    assert isinstance(there.leader_return, torch.Tensor)
    np.testing.assert_allclose(there.leader_return.numpy(), here.leader_return, atol=1e-10)
    np.testing.assert_allclose(there.follower_returns.numpy(), here.follower_returns, atol=1e-10)


def test_evaluate_takes_other_horizons_and_discounts() -> None:
    game, x = se.game("toy3-v0"), np.zeros(6)
    x[3] = np.log(0.165 / 0.835)
    assert se.evaluate(game, x, horizon=150).leader_return == pytest.approx(27.3154, abs=1e-3)
    assert se.evaluate(game, x, horizon=150, leader_discount=1.0).leader_return == pytest.approx(52.32, abs=0.01)
    assert se.evaluate(game, x, horizon=1).leader_return == pytest.approx(float(se.Soft(0.05).respond(game, x).policy[0, 0, 1]))


def test_a_context_conditional_leader_has_a_row_a_context() -> None:
    """Where the leader sees the context first it can do at least as well; the same row twice is the same commitment."""
    game = se.game("four_rooms-v0")
    informed = se.game("four_rooms-v0")
    informed.context_visibility = "before"
    x = np.random.default_rng(0).normal(size=(2, 105))
    both = se.evaluate(informed, x).per_context
    np.testing.assert_allclose(both, [se.evaluate(game, x[0]).per_context[0], se.evaluate(game, x[1]).per_context[1]])
    with pytest.raises(se.CommitmentError, match="one row a context"):
        se.evaluate(informed, x[0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full(105, np.nan), r"four_rooms: the commitment is not finite \(first at component 0\)"),
        (np.append(np.zeros(104), np.inf), "first at component 104"),
        (np.zeros(104), r"105 components in its last axis, got shape \(104,\)"),
        (np.float64(1.0), "105 components"),
        ("zeros", "an array of 105 numbers, got 'zeros'"),
        (np.zeros(105, dtype=bool), "real numbers, got dtype bool"),
    ],
)
def test_senseless_commitments_are_refused(x: object, message: str) -> None:
    with pytest.raises(se.CommitmentError, match=message):
        se.evaluate(se.game("four_rooms-v0"), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: se.game("four_room-v0"), KeyError, "did you mean 'four_rooms-v0'"),
        (lambda: se.make("toy4-v0"), KeyError, "did you mean 'toy3-v0'"),
        (lambda: se.game("four_rooms-v0", slipp=0.1), TypeError, "takes no argument 'slipp'; did you mean 'slip'"),
        (lambda: se.game("four_rooms-v0", preset="hpdg"), ValueError, "did you mean 'hpgd'"),
        (lambda: se.game("four_rooms-v0", slip=1.0), ValueError, "probability below 1"),
        (lambda: se.game("four_rooms-v0", walkers=9), ValueError, "walkers is 1 to 4"),
        (lambda: se.game("four_rooms-v0", walkers=()), ValueError, "at least one Walker"),
        (lambda: se.game("four_rooms-v0", walkers=(Walker((4, 1), ((1, 9),)),)), ValueError, r"a goal for every context \(G1, G2\)"),
        (lambda: se.game("four_rooms-v0", walkers=(Walker((0, 0), ((1, 9), (1, 9))),)), ValueError, r"\(0, 0\) is not a free cell"),
        (lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), horizon=-1), ValueError, "horizon is a number of steps"),
        (lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), leader_discount=1.5), ValueError, r"leader_discount is in \[0, 1\]"),
        (
            lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), leader_discount=1.0),
            PlanningError,
            "discount 1 has no value where some state never leads to the end",
        ),
        (lambda: se.game("toy3-v0", variant="1-2a"), ValueError, "did you mean '1_2a'"),
        (lambda: se.game("toy3-v0", variant="1_2a", R=2), ValueError, "only variants 4 and 4_1a have an R"),
        (lambda: se.game("toy3-v0", follower_sees="both"), ValueError, "'action' or 'policy', got 'both'"),
        (lambda: se.game("four_rooms-v0").commit(np.zeros(105), "G3"), KeyError, "no context 'G3'"),
        (lambda: se.game("four_rooms-v0").commit(np.zeros(105), 2), KeyError, "contexts 0 to 1"),
        (lambda: se.game("random_markov_game-v0", branching=9), ValueError, "branching is 1 to states"),
        (lambda: se.game("random_markov_game-v0", discount=1.0), ValueError, r"discount in \[0, 1\)"),
        (lambda: se.game("bimatrix-v0", leader_payoff=[[1]]), ValueError, r"one shape \(m, n\)"),
        (lambda: se.make("toy3-v0", view="ply"), ValueError, "'commitment' or 'play'"),
        (lambda: se.make("four_rooms-v0", view="play"), ValueError, "use view='commitment'"),
        (lambda: se.make("toy3-v0", max_cycles=0), ValueError, "max_cycles is at least 1"),
        (lambda: se.make("toy3-v0", render_mode="human"), ValueError, "'ansi', 'rgb_array' or None"),
        (lambda: se.nothing_v0, AttributeError, "no attribute 'nothing_v0'"),
    ],
)
def test_senseless_requests_say_what_to_do(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
