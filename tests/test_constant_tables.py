"""What is computed once from constant tables, and drawn by compiled loops, is what it would be otherwise, to the bit."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import stackelberg_envs as se
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.processes import derived, garnets
from stackelberg_envs.processes.constants import Constants
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.processes.transitions import DenseTransition, stack_transitions


@pytest.mark.parametrize("layout", [DenseTransition, SuccessorLists.of], ids=["dense", "lists"])
def test_constant_tables_give_their_lists_once_and_others_each_time(layout: Callable[[Any], Any]) -> None:
    tables = [np.random.default_rng(seed).dirichlet(np.ones(4), (4, 1, 3)) for seed in range(2)]
    constants = Constants(**{f"p{i}": layout(table) for i, table in enumerate(tables)})
    first, second = (getattr(constants.like(np.zeros(1)), f"p{i}") for i in range(2))
    for _ in range(3):  # contexts alternate
        for transition, table in ((first, tables[0]), (second, tables[1])):
            again = layout(table.copy()).cumulative_successors()
            assert transition.cumulative_successors()[1] is transition.map(lambda p: p).cumulative_successors()[1]
            for kept, computed in zip(transition.cumulative_successors(), again, strict=True):
                np.testing.assert_array_equal(kept, computed)
    stacked = stack_transitions([first, second]).numbers if layout is DenseTransition else None
    if stacked is not None:
        assert stack_transitions([first, second]).numbers is stacked
        np.testing.assert_array_equal(stack_transitions([second, first]).numbers, stacked[::-1])
    buffer = layout(tables[0].copy())  # nobody said that it stays what it is
    before = buffer.cumulative_successors()[1]
    buffer.numbers[...] = np.flip(buffer.numbers, axis=-1)
    assert not np.array_equal(buffer.cumulative_successors()[1], before)


def test_what_is_kept_goes_with_its_table() -> None:
    before = len(derived._DERIVED)
    constants = Constants(transition=np.ones((2, 1, 1, 2)) / 2)
    constants.like(np.zeros(1))
    assert len(derived._DERIVED) == before + 1
    del constants
    assert len(derived._DERIVED) == before


@pytest.mark.parametrize(
    ("states", "branching", "weights"), [(9, 3, "dirichlet"), (1, 1, "dirichlet"), (7, 7, "uniform"), (20_000, 4, "uniform")]
)
def test_compiled_garnets_are_numpys(states: int, branching: int, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not garnets.COMPILED:
        pytest.skip("needs numba")
    monkeypatch.setattr(garnets, "MANY", 0)
    each = []
    for compiled in (True, False):
        monkeypatch.setattr(garnets, "COMPILED", compiled)
        rng = np.random.default_rng(3)
        rng.integers(5)  # leaves half of a 64-bit number for the next
        lists = garnets.garnet(rng, (states, 1, 2) if states < 100 else (states, 1, 1), branching, weights)
        each.append((lists.successors.table, lists.probabilities, rng.random(4)))
    for fast, slow in zip(*each, strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_a_generator_of_another_stream_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """If numba drew otherwise than NumPy, instances would change: the first lists are compared, and nothing of them is kept."""
    if not garnets.COMPILED:
        pytest.skip("needs numba")
    from stackelberg_envs.processes import compiled_garnets

    monkeypatch.setattr(garnets, "MANY", 0)
    monkeypatch.setattr(compiled_garnets, "draw_lists", lambda rng, *rest: rng.random(7))
    drawn = [garnets.garnet(np.random.default_rng(0), (6, 2, 2), 3, "dirichlet").probabilities for _ in range(2)]
    monkeypatch.setattr(garnets, "COMPILED", False)
    np.testing.assert_array_equal(drawn[0], garnets.garnet(np.random.default_rng(0), (6, 2, 2), 3, "dirichlet").probabilities)


def test_values_of_one_policy_share_their_system() -> None:
    """The last system is kept for policies of the same numbers: one that is changed in place has values of its own."""
    (mdp,) = se.game("random_markov_game-v0", states=6).problems(np.ones(18))
    policy = np.random.default_rng(2).dirichlet(np.ones(mdp.sizes[2]), mdp.sizes[:2])

    def values(world: Any, gamma: float = 0.9) -> list[np.ndarray]:
        return [policy_value(world, policy, reward, gamma) for reward in (mdp.leader_reward, mdp.follower_reward)]

    fresh = [policy_value(pickle.loads(pickle.dumps(mdp)), policy, reward, 0.9) for reward in (mdp.leader_reward, mdp.follower_reward)]
    np.testing.assert_array_equal(values(mdp), fresh)
    before = pickle.dumps(mdp)
    policy[:] = policy[..., ::-1].copy()
    assert not np.array_equal(values(mdp), fresh)
    np.testing.assert_array_equal(values(mdp), values(pickle.loads(before)))
    np.testing.assert_array_equal(values(mdp, 0.5), values(pickle.loads(before), 0.5))


def test_a_report_commits_once_in_each_context(monkeypatch: pytest.MonkeyPatch) -> None:
    game, asked = se.game("four_rooms-v0"), []
    induced = type(game).induced
    for context in range(2):
        game.problems(np.zeros(game.dimension), context)  # looks at the world of the null commitment, once
    monkeypatch.setattr(type(game), "induced", lambda self, x, context: asked.append(context) or induced(self, x, context))
    se.evaluate(game, np.ones(game.dimension))
    assert asked == [0, 1]
