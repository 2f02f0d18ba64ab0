"""What is no probability, no discount or no number is refused where it comes in, by an error that names the first bad row."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.testing import ConformanceError, check_game
from stackelberg_envs.worlds.linear_quadratic import LinearQuadratic

P = np.array([[[0.1, 0.9], [0.5, 0.5]], [[0.3, 0.7], [1, 0]]])
R = np.array([[1.0, 0], [0, 2]])


class World(se.StackelbergGame):
    """A follower's tables: P (S, B, S) in any layout, R (S, B); the leader adds x to its rewards."""

    name, max_cycles, leader_space, default_follower = "world", 50, Box(-1.0, 1.0, (1,), np.float64), se.Hard()

    def __init__(self, transition: Any = P, reward: Any = R, discount: Any = 0.9, initial: Any = (1.0, 0.0), **tables: Any) -> None:
        dense = isinstance(transition, np.ndarray)
        self.tables = transition[:, None] if dense else transition, reward[:, None], np.asarray(initial), discount, tables
        self.calls = 0

    def induced(self, x: Any, context: int) -> se.InducedMDP:
        self.calls += 1
        transition, reward, initial, discount, tables = self.tables
        ones = np.ones((len(reward), 1))
        given = {"leader_policy": ones, "leader_reward": reward, "leader_discount": 0.9} | tables
        paid = reward + 0 * x[..., None, None] if isinstance(x, np.ndarray) else reward
        mdp = se.InducedMDP(transition=transition, follower_reward=paid, initial=initial, follower_discount=discount, **given)
        return mdp if isinstance(x, np.ndarray) else mdp.map(lambda table: torch.asarray(table))


def changed(place: tuple[int, ...], value: float, table: np.ndarray = P) -> np.ndarray:
    table = table.copy()
    table[place] = value
    return table


LISTS = Successors(np.array([[[[0, 1]]], [[[0, 1]]]]))
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "percentages": ({"transition": 100 * P}, r"row \(s=0, a=0, b=0\) of transition sums to 100: "),
    "a negative probability": ({"transition": P + np.array([-0.3, 0.3])}, r"row \(s=0, a=0, b=0\) of transition has the entry -0.2: "),
    "a row twice": ({"transition": changed((1, 1), 1.0)}, r"row \(s=1, a=0, b=1\) of transition sums to 2: "),
    "transposed": ({"transition": np.swapaxes(P, 0, 2)}, r"row \(s=0, a=0, b=1\) of transition sums to 1.5: "),
    "NaN in a row": ({"transition": changed((0, 1, 0), np.nan)}, r"row \(s=0, a=0, b=1\) of transition sums to nan"),
    "lists": (
        {"transition": se.SuccessorLists(LISTS, changed((1, 0, 1), 0.8, P)[:, None])},
        r"row \(s=1, a=0, b=0\) of transition sums to 1.1: ",
    ),
    "shared rows": (
        {"transition": se.SharedRows(changed((1, 0, 0), 0.9)[:, None, :1], np.array([0, 0]))},
        r"row \(s=1, a=0, b=0\) of transition sums to 1.6: ",
    ),
    "a start that sums to 2": ({"initial": (1.0, 1.0)}, "initial sums to 2: "),
    "a negative start": ({"initial": (1.5, -0.5)}, "initial has the entry -0.5: "),
    "one start for all": ({"initial": (1.0,)}, r"initial has shape \(1,\), not \(2,\)"),
    "a policy of the leader": ({"leader_policy": np.array([[1.0], [0.5]])}, r"row \(s=1\) of leader_policy sums to 0.5: "),
    "NaN rewards": ({"reward": changed((1, 0), np.nan, R)}, r"follower_rewards is nan at \(i=0, s=1, a=0, b=0\): "),
    "endless rewards": ({"leader_reward": changed((0, 1), np.inf, R)[:, None]}, r"leader_reward is inf at \(s=0, a=0, b=1\): "),
    "a negative discount": ({"discount": -0.5}, "follower_discount is -0.5: a discount is in"),
    "a percentage of a discount": ({"leader_discount": 95}, "leader_discount is 95: a discount is in"),
    "no discount": ({"discount": np.nan}, "follower_discount is nan: a discount is in"),
}


@pytest.mark.parametrize(("tables", "said"), BAD.values(), ids=BAD)
def test_nothing_is_scored_in_what_is_no_world(tables: dict[str, Any], said: str) -> None:
    """All of these had a number once, and a gap of 0; and so in tensors, and at any commitment."""
    game = World(**tables)
    for x in (np.zeros(1), np.ones(1), np.ones((2, 1)), torch.ones(1), torch.zeros(1, dtype=torch.float64)):
        with pytest.raises(ValueError, match=said):  # each time, and not only at first
            se.evaluate(game, x)


DOORS: dict[str, Any] = {
    "solve": lambda game: solvers.solve(game, "zeroth_order", budget=2),
    "a view": lambda game: se.make(game).reset(seed=0),
    "the parallel view": lambda game: se.make_parallel(game),
    "the leader's side": lambda game: gymnasium.make("Stackelberg/Leader-v0", game=game),
    "the follower's side": lambda game: gymnasium.make("Stackelberg/Follower-v0", game=game),
    "the repeated game": lambda game: RepeatedGame(game).oracle(se.Access.OUTCOME),
    "a follower": lambda game: se.Soft(0.1).respond(game, np.ones(1)),
    "a belief": lambda game: se.Believes(game, se.Soft(0.1)).respond(World(), np.ones(1)),
    "commit": lambda game: game.commit(np.ones(1)),
    "spaces": lambda game: game.spaces,
    "repr": repr,
    "the bound": se.cooperative_value,
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_every_use_of_a_game_goes_through_the_door(door: Any) -> None:
    with pytest.raises(se.WorldError, match=r"world: row \(s=1, a=0, b=1\) of transition sums to 2"):
        door(World(changed((1, 1), 1.0)))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_first_bad_row_is_named(data: Any) -> None:
    """Of random worlds, two rows of which are too long."""
    s, b = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.dirichlet(np.ones(s), size=(s, b)) * data.draw(st.sampled_from([1.0, 0.7]))
    game = World(rows, rng.normal(size=(s, b)), initial=np.eye(s)[0])
    assert float(se.evaluate(game, np.zeros(1)).follower_gap) < 1e-9
    places = sorted({(data.draw(st.integers(0, s - 1)), data.draw(st.integers(0, b - 1))) for _ in range(2)})
    for place in places:
        rows[place] *= 1.001 / rows[place].sum()
    state, action = places[0]
    with pytest.raises(se.WorldError, match=rf"row \(s={state}, a=0, b={action}\) of transition sums to 1.001"):
        se.evaluate(World(rows, rng.normal(size=(s, b)), initial=np.eye(s)[0]), np.zeros(1))


def test_rounding_is_no_fault() -> None:
    """Rows of single precision sum to 1 up to its rounding, and are those of a world in single precision only."""
    rows = np.full((3, 1, 3), np.float32(1) / np.float32(3))
    rows[:, :, 0] += np.float32(1.5e-7)
    with pytest.raises(se.WorldError, match=r"sums to 1\.0000001"):
        World(rows.astype(np.float64), np.zeros((3, 1)), initial=np.eye(3)[0]).commit(np.zeros(1))
    World(rows, np.zeros((3, 1)), initial=np.eye(3)[0]).commit(np.zeros(1))
    World(np.full((3, 1, 3), 1 / 3), np.zeros((3, 1)), initial=np.eye(3)[0]).commit(np.zeros(1))


def test_a_game_is_checked_once_and_copies_know_it() -> None:
    game = World()
    for calls in (2, 3, 4):  # the null commitment, beside the first
        game.commit(np.ones(1))
        assert game.calls == calls
    for twin in (copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
        twin.commit(np.ones(1))
        assert twin.calls == 5
    fresh = World()
    fresh.commit(np.zeros(1))
    assert fresh.calls == 1, "it is the null commitment itself"


def test_lists_are_checked_in_the_memory_of_their_entries() -> None:
    """A dense table of these 5,000 states takes 400 MB."""
    s, b, k = 5000, 2, 3
    successors = Successors(np.sort(np.random.default_rng(0).integers(0, s, (s, 1, b, k)), axis=-1))
    (world,) = World(se.SuccessorLists(successors, np.full((s, 1, b, k), 1 / 3)), np.zeros((s, b)), initial=np.eye(s)[0]).null_worlds
    tracemalloc.start()
    try:
        assert world.invalid_numbers() == []
        assert tracemalloc.get_traced_memory()[1] < 20 * 8 * s * b * k
    finally:
        tracemalloc.stop()


def test_the_kit_looks_at_what_is_refused_and_tells_all() -> None:
    game = World(changed((1, 1), 1.0), initial=(1.0, 1.0), reward=changed((1, 0), np.nan, R))
    with pytest.raises(ConformanceError) as found:
        check_game(game)
    for said in (r"row (s=1, a=0, b=1) of transition sums to 2", "initial sums to 2", "follower_rewards is nan at (i=0, s=1, a=0, b=0)"):
        assert said in str(found.value)
    with pytest.raises(ConformanceError, match=r"worlds are what they should be: raised ValueError: follower_discount is -0\.5"):
        check_game(World(discount=-0.5))
    with pytest.raises(se.WorldError):
        game.commit(np.zeros(1))  # the kit's look does not make it a game


# -- followers who interact, contexts, worlds without tables


def test_a_zero_sum_game_sums_to_zero() -> None:
    class Fight(World):
        followers, default_follower = 2, se.Saddle(0.1)

        def induced(self, x: Any, context: int) -> Any:
            own = np.array([[[1.0, 0, 0, 1]]]) + 0 * x[..., None, None]
            rewards = np.stack([own, self.sign * own])
            rest = {"initial": np.ones(1), "actions": (2, 2), "follower_discount": 0.5, "leader_discount": 0.5, "zero_sum": True}
            return se.InducedMarkovGame(np.ones((1, 1)), np.zeros((1, 1, 4, 1)), rewards, own, **rest)

    fair, unfair = Fight(), Fight()
    fair.sign, unfair.sign = -1.0, 1.0  # type: ignore[attr-defined]
    assert float(se.evaluate(fair, np.zeros(1)).leader_return) == pytest.approx(0.5)
    with pytest.raises(se.WorldError, match="a zero-sum game's rewards do not sum to 0"):
        se.evaluate(unfair, np.zeros(1))


@pytest.mark.parametrize(
    ("chances", "said"),
    [
        (np.ones(1), r"context_probabilities has shape \(1,\), and there are 2 contexts"),
        (np.array([0.5, 0.6]), "context_probabilities sums to 1.1: a distribution sums to 1"),
        (np.array([1.5, -0.5]), "context_probabilities has the entry -0.5: probabilities are not negative"),
        (np.array([np.nan, 1]), "context_probabilities sums to nan"),
    ],
)
def test_contexts_have_probabilities(chances: np.ndarray, said: str) -> None:
    """An author who lists contexts and forgets them was paid in each with probability 1."""
    game = World()
    game.contexts, game.context_probabilities = ("rain", "sun"), chances
    with pytest.raises(se.WorldError, match=said):
        se.evaluate(game, np.zeros(1))


def test_each_context_is_checked() -> None:
    class Weather(World):
        contexts, context_probabilities = ("rain", "sun"), np.array([0.5, 0.5])

        def induced(self, x: Any, context: int) -> se.InducedMDP:
            return replace(super().induced(x, context), transition=(P if context == 0 else 2 * P)[:, None])

    game = Weather()
    game.commit(np.ones(1), "rain")
    with pytest.raises(se.WorldError, match=r"world in context 'sun': row \(s=0, a=0, b=0\) of transition sums to 2"):
        game.commit(np.ones(1), "sun")


@pytest.mark.parametrize("wrong", ["follower_discount", "leader_discount"])
def test_worlds_without_tables_have_discounts_too(wrong: str) -> None:
    game = se.game("lq_gain-v0")
    honest = game.induced

    def induced(x: Any, context: int) -> LinearQuadratic:
        return replace(honest(x, context), **{wrong: 1.5})  # type: ignore[type-var]

    game.induced = induced  # type: ignore[method-assign]
    with pytest.raises(se.WorldError, match=f"{wrong} is 1.5"):
        se.evaluate(game, np.zeros(2))


# -- other doors


def scored(factor: float) -> Any:
    game = se.game("toy3-v0")
    (response,) = se.evaluate(game, np.zeros(6)).responses
    (answer,) = response.answers
    told = replace(response, answers=(replace(answer, policy=factor * answer.policy),))
    return se.evaluate(game, np.zeros(6), responses=(told,))


def assigned(cycles: Any) -> None:
    env = se.make("toy3-v0")
    env.max_cycles = cycles
    env.reset(seed=0)


TOY = se.game("toy3-v0")
MISTAKES: dict[str, tuple[Any, str]] = {
    "half a policy": (lambda: scored(0.5), r"policy is none: row \(s=0, a=0\) of policy sums to 0.5"),
    "half a context": (lambda: TOY.commit(np.zeros(6), 0.5), "toy3: context is a whole number 0 to 0, got 0.5; or it is a name, 'only'"),
    "no horizon": (lambda: se.evaluate(TOY, np.zeros(6), horizon=float("nan")), "horizon is a number of steps"),  # type: ignore[arg-type]
    "a budget without end": (lambda: solvers.solve(TOY, "implicit", budget=float("nan")), "solve: budget is a whole number, got nan"),  # type: ignore[arg-type]
    "a negative budget": (lambda: solvers.solve(TOY, "implicit", budget=-1), "budget, in commitments, is a whole number from 1"),
    "half a report": (lambda: solvers.solve(TOY, "implicit", budget=2, reports=2.5), "reports is a whole number"),  # type: ignore[arg-type]
    "a negative seed": (lambda: solvers.solve(TOY, "implicit", budget=2, seed=-1), "seed is a whole number from 0"),
    "a seed in words": (lambda: solvers.solve(TOY, "implicit", budget=2, seed="3"), "seed is a whole number"),  # type: ignore[arg-type]
    "a start on the other side": (lambda: solvers.solve(TOY, "implicit", budget=2, start_scale=-1), "start_scale is a finite number"),
    "episodes without end": (lambda: assigned(float("nan")), "max_cycles is a whole number from 1"),
    "episodes without a step": (lambda: assigned(0), "max_cycles is a whole number from 1"),
    "half a round": (lambda: gymnasium.make("Stackelberg/Toy3-Leader-v0", episodes=2.5), "LeaderEnv: episodes is a whole number, got 2.5"),
    "yes episodes": (lambda: se.make("toy3-v0", max_cycles=True), "max_cycles is a whole number or None, got True"),
    "Truncated hot": (lambda: se.Truncated(float("inf"), 2), "temperature of Truncated is a finite number above 0"),
    "Truncated half": (lambda: se.Truncated(0.1, 2.5), "Truncated: sweeps is a whole number"),  # type: ignore[arg-type]
    "MirrorDescent endless": (lambda: se.MirrorDescent(0.1, steps=float("inf")), "MirrorDescent: steps is a whole number"),  # type: ignore[arg-type]
    "Quantal at random": (lambda: se.Quantal(float("inf")), "Quantal needs an error above 0, and finite"),
}
LEARNING = (se.SoftQLearning, se.NaturalPolicyGradient)
HOT = {
    each.__name__: each for each in (se.Soft, se.Truncated, se.MirrorDescent, se.Saddle, se.SoftNash, se.SoftInside, se.Quantal, *LEARNING)
}


@pytest.mark.parametrize(("mistake", "said"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_no_answerable_question_is_said(mistake: Any, said: str) -> None:
    with pytest.raises((ValueError, KeyError), match=said):
        mistake()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
@pytest.mark.parametrize("follower", HOT.values(), ids=HOT)
def test_temperatures_are_numbers_above_zero(follower: Any, value: float) -> None:
    rest = {se.Truncated: {"sweeps": 1}, se.SoftQLearning: {"steps": 1}}.get(follower, {})
    with pytest.raises(ValueError, match=r"above 0|is a number, got nan"):
        follower(value, **rest)
