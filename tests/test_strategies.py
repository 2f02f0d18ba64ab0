"""Hypothesis strategies: what they draw is what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from stackelberg_envs.game import group_by_world
from stackelberg_envs.testing import SmallGame, action_sequences, check_game, followers, games, masks, policies, with_commitments
from stackelberg_envs.views.masks import next_available


@given(games())
@settings(deadline=None, max_examples=12)
def test_small_games_pass_the_kit(game: SmallGame) -> None:
    """In every layout, with masks, contexts and opponents; and each is made again by its ``repr``."""
    check_game(game)
    again, x = eval(repr(game), {"SmallGame": SmallGame}), np.ones(game.dimension)
    for context in range(len(game.contexts)):
        assert all(one.same_as(other) for one, other in zip(game.problems(x, context), again.problems(x, context), strict=True))


@given(with_commitments(games()).flatmap(lambda drawn: st.tuples(st.just(drawn), followers(drawn[0]), policies(*drawn))))
@settings(deadline=None, max_examples=40)
def test_followers_answer_and_policies_are_theirs(drawn: Any) -> None:
    """Nobody's policy, drawn or answered, beats a best response or plays what is not there: the referee would refuse it."""
    (game, x), follower, played = drawn
    assert se.evaluate(game, x, follower=follower).follower_gap >= 0
    problems = game.problems(x)
    for world, own in zip(problems, group_by_world(problems, played), strict=True):
        world.check_policies(own)
        for i, policy in enumerate(own):
            np.testing.assert_allclose(policy.sum(-1), 1, atol=1e-12)
            world.score_follower(i, own, 0.5, horizon=None, max_cycles=20)


@given(st.booleans().flatmap(lambda together: st.tuples(st.just(together), masks(3, 2, (2, 3), together=together))))
@settings(max_examples=40)
def test_masks_are_products_with_something_everywhere(drawn: tuple[bool, np.ndarray]) -> None:
    together, mask = drawn
    joint = mask.reshape(3, 2, 2, 3)
    first, second = joint.any(axis=3), joint.any(axis=2)
    np.testing.assert_array_equal(joint, first[..., None] & second[..., None, :])
    for own in (first, second):
        assert (own.all(axis=1) if together else own).any(axis=-1).all()


MASKED = se.make("warehouse-v0", max_cycles=20)


@given(action_sequences(MASKED, moves=6))
@settings(deadline=None, max_examples=15)
def test_action_sequences_are_played(moves: list[dict[str, Any]]) -> None:
    MASKED.reset(seed=0)
    for actions in moves:
        agent = MASKED.agent_selection
        assert MASKED.action_space(agent).contains(actions[agent])
        MASKED.step(next_available(actions[agent], MASKED.infos[agent].get("action_mask")))


def test_who_has_no_tables_or_no_equilibrium_is_told() -> None:
    with pytest.raises(ValueError, match="lq_gain has no tables"):
        followers(se.game("lq_gain-v0"))
    with pytest.raises(ValueError, match="interact and are no opponents"):
        followers(SmallGame(actions=(2, 2), interact=True))
