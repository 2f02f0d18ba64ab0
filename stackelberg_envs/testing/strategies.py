"""Hypothesis strategies, for property tests of games, followers, solvers and environments; hypothesis is imported when they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from .. import registry
from ..followers.bounded import Quantal, Truncated
from ..followers.equilibria import Saddle
from ..followers.exact import Hard, Soft
from ..followers.mirror_descent import MirrorDescent
from ..game import Follower, StackelbergGame
from .actions import sample
from .small_game import SmallGame, random_mask

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SEEDS = 2**32 - 1


def commitments(game: StackelbergGame, *, scale: float = 3.0) -> SearchStrategy[np.ndarray]:
    """Commitments in the leader's space, within about ``scale`` of zero, float64 of `commitment_shape`; they shrink towards 0."""
    from hypothesis import strategies as st

    def random_commitment(seed_and_spread: tuple[int, float]) -> np.ndarray:
        seed, spread = seed_and_spread
        x = spread * np.random.default_rng(seed).normal(size=game.commitment_shape)
        return np.clip(x, game.leader_space.low, game.leader_space.high)

    return st.tuples(st.integers(0, SEEDS), st.floats(0.0, scale)).map(random_commitment)


def random_games(**fixed: Any) -> SearchStrategy[StackelbergGame]:
    """Small random Markov games of both kinds; ``fixed`` sets arguments of `stackelberg_envs.games.random_markov_game`."""
    from hypothesis import strategies as st

    def build(arguments: dict[str, Any]) -> StackelbergGame:
        chosen = {**arguments, **fixed}
        if "branching" not in fixed:
            chosen["branching"] = min(chosen["branching"], chosen["states"])
        return registry.game("random_markov_game-v0", **chosen)

    return st.fixed_dictionaries(
        {
            "states": st.integers(1, 6),
            "leader_actions": st.integers(1, 4),
            "follower_actions": st.integers(1, 4),
            "branching": st.integers(1, 4),
            "conflict": st.floats(0, 1),
            "follower_sees": st.sampled_from(["policy", "action"]),
            "discount": st.floats(0, 0.98),
            "seed": st.integers(0, 10_000),
        }
    ).map(build)


def games(**fixed: Any) -> SearchStrategy[SmallGame]:
    """Small random games of all kinds that have tables: layouts, masks, one or several followers, opponents, contexts, ends.

    ``fixed`` sets arguments of `stackelberg_envs.testing.SmallGame`.  What fails is shown as the call that makes it again, and shrinks to
    one state, one follower, one context and dense rows.
    """
    from hypothesis import strategies as st

    def build(arguments: dict[str, Any]) -> SmallGame:
        chosen = {**arguments, **fixed}
        if chosen["zero_sum"] and "actions" not in fixed:
            chosen["actions"] = (*chosen["actions"], 2)[:2]
        return SmallGame(**chosen)

    actions = st.lists(st.integers(1, 3), min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {
            "states": st.integers(1, 4),
            "leader_actions": st.integers(1, 3),
            "actions": actions.map(tuple),
            "interact": st.just(False),  # whose answer is an equilibrium, of which there may be several: ask for it
            "zero_sum": st.booleans(),
            "rows": st.sampled_from(["dense", "lists", "shared"]),
            "lacking": st.booleans(),
            "ends": st.booleans(),
            "circumstances": st.integers(1, 2),
            "follower_sees": st.sampled_from(["action", "policy"]),
            "discount": st.floats(0, 0.95),
            "leader_discount": st.floats(0, 0.95),
            "temperature": st.floats(0.05, 2.0),
            "seed": st.integers(0, 10_000),
        }
    ).map(build)


def with_commitments(games: SearchStrategy[Any], *, scale: float = 3.0) -> SearchStrategy[tuple[Any, np.ndarray]]:
    """Pairs of a game and a commitment of its leader."""
    from hypothesis import strategies as st

    return games.flatmap(lambda game: st.tuples(st.just(game), commitments(game, scale=scale)))


def masks(states: int, leader_actions: int, actions: tuple[int, ...], *, together: bool = False) -> SearchStrategy[np.ndarray]:
    """Which joint actions there are, booleans (S, A, B), of followers with so many actions each: at least one for everybody everywhere.

    Args:
        states: S.
        leader_actions: A.
        actions: of each follower; the mask is a product of one for each.
        together: whether one action is there whatever the leader does, as followers need who do not see its action.
    """
    from hypothesis import strategies as st

    def build(seed: int) -> np.ndarray:
        return random_mask(np.random.default_rng(seed), states, leader_actions, actions, together=together)

    return st.integers(0, SEEDS).map(build)


def policies(game: StackelbergGame, x: np.ndarray, context: int | str = 0) -> SearchStrategy[tuple[np.ndarray, ...]]:
    """A policy of each follower under commitment ``x``, g(b|s,a), (S, A, B) each, that it could have.

    It plays what is available, does not depend on an action that it does not see, and is pure in some states.
    """
    from hypothesis import strategies as st

    worlds = game.problems(x, context)

    def build(seed: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(seed)
        return tuple(_random_policy(world, player, rng) for world in worlds for player in range(len(world.actions)))

    return st.integers(0, SEEDS).map(build)


def _random_policy(world: Any, player: int, rng: np.random.Generator) -> np.ndarray:
    (s, a, _), count = world.sizes, world.actions[player]
    seen = world.signals or (1 if world.follower_sees == "policy" else a)
    there = world.available_actions(player)
    allowed = np.ones((s, seen, count)) if there is None else np.broadcast_to(np.asarray(there, dtype=np.float64), (s, seen, count))
    weights = allowed * rng.gamma(rng.choice([0.05, 1.0], size=(s, seen, 1)), size=(s, seen, count)).clip(1e-300)
    return np.repeat(weights / weights.sum(-1, keepdims=True), 1 if world.signals or seen == a else a, axis=1)


def followers(game: StackelbergGame) -> SearchStrategy[Follower]:
    """Followers who can answer in ``game``: exact, noisy and impatient ones with tables, or the saddle point of opponents.

    Raises:
        ValueError: for a game without tables, or whose followers interact and are no opponents.
    """
    from hypothesis import strategies as st

    temperatures = st.floats(0.05, 2.0)
    if not game.tabular:
        raise ValueError(f"{game.name} has no tables; who can answer there is up to you")
    if any(len(world.actions) > 1 for world in game.null_worlds):
        if not all(getattr(world, "zero_sum", False) for world in game.null_worlds):
            raise ValueError(f"the followers of {game.name} interact and are no opponents; take Nash(selection), where it goes")
        return temperatures.map(Saddle)
    return st.one_of(
        temperatures.map(Soft),
        st.sampled_from([Hard("strong"), Hard("weak"), Hard("uniform")]),
        temperatures.map(Quantal),
        st.builds(Truncated, temperatures, st.integers(1, 5)),
        st.builds(MirrorDescent, temperatures, st.integers(1, 5), rate=st.floats(0.1, 10.0)),
    )


def action_sequences(env: Any, *, moves: int = 20) -> SearchStrategy[list[dict[str, Any]]]:
    """Up to ``moves`` times an action of each possible agent of a PettingZoo environment, by name, in its action space.

    Where there are action masks, `stackelberg_envs.views.masks.next_available` makes an available one of each.
    """
    from hypothesis import strategies as st

    spaces = {agent: env.action_space(agent) for agent in env.possible_agents}
    return st.lists(st.fixed_dictionaries({agent: _actions(space) for agent, space in spaces.items()}), max_size=moves)


def _actions(space: Any) -> SearchStrategy[Any]:
    """Actions of one space: of a Discrete one the first, to which they shrink, and of a Box also its corners."""
    from hypothesis import strategies as st

    if isinstance(space, Discrete):
        return st.integers(int(space.start), int(space.start + space.n - 1))
    drawn = st.integers(0, SEEDS).map(lambda seed: sample(space, np.random.default_rng(seed)))
    return st.one_of(drawn, st.sampled_from([space.low, space.high])) if isinstance(space, Box) and space.is_bounded() else drawn
