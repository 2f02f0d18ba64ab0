"""What a leader may know at each level, what it is charged, and that it cannot learn more."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import zlib

import numpy as np
import pytest
import torch
from small_games import SMALLER

import stackelberg_envs as se
from solvers import SOLVERS, Declined, build, solve, solver_class
from solvers.base import Solver, State
from stackelberg_envs.leader.access import GRANTS, Oracle, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.testing.modified_games import GameWithOtherFollowerRewards

NEEDS = [(name, needed[0]) for name, needed in GRANTS.items() if len(needed) == 1 and isinstance(needed[0], se.Access)]


@pytest.mark.parametrize("access", list(se.Access))
def test_an_oracle_holds_what_was_granted_and_nothing_else(access: se.Access) -> None:
    oracle = RepeatedGame(se.game("four_rooms-v0")).oracle(access)
    for name, needed in NEEDS:
        if needed <= access:
            assert name in vars(oracle)
        else:
            assert name not in vars(oracle)
            with pytest.raises(se.AccessError, match=f"oracle.{name} needs access {needed.name}; this solver was granted {access.name}"):
                getattr(oracle, name)
    level = "" if access >= se.Access.OUTCOME else "access OUTCOME and "
    for name, needed in {
        "snapshot": "permission TRAINING",
        "restore": "permission TRAINING",
        "play_as": f"{level}permission TRAINING",
        "play_from": f"{level}permission RESET",
    }.items():
        with pytest.raises(se.AccessError, match=f"oracle.{name} needs {needed}; this solver was granted {access.name}$"):
            getattr(oracle, name)
    held = [*vars(oracle).values(), *(getattr(value, "__self__", None) for value in vars(oracle).values())]
    assert not any(isinstance(value, (se.StackelbergGame, RepeatedGame)) for value in held), "neither the game nor the house is in it"
    with pytest.raises(ValueError, match="read-only"):
        oracle.context_probabilities[0] = 1.0
    with pytest.raises(AttributeError, match="an oracle has no 'gmae'"):
        _ = oracle.gmae


def test_the_ledger_counts_what_is_used() -> None:
    rounds = RepeatedGame(se.game("four_rooms-v0"), seed=1)
    oracle = rounds.oracle(se.Access.MODEL, Permission.RESET | Permission.TRAINING)
    x, y = np.zeros(105), np.ones(105)
    oracle.returns(x)
    oracle.policies(x, "G1")
    oracle.values(x, "G2")
    assert (rounds.cost.commitments, rounds.cost.queries) == (1, 3), "the same commitment again costs no new one"
    seen = oracle.play(y, episodes=5)
    assert rounds.cost.commitments == 2
    assert rounds.cost.outcome_steps == int(seen.alive.sum())
    oracle.commit(torch.ones(105, dtype=torch.float64), 0)
    oracle.commit(torch.ones(105, dtype=torch.float64), 1)
    assert (rounds.cost.commitments, rounds.cost.model_calls) == (2, 2)
    oracle.play(x, episodes=1)
    assert rounds.cost.commitments == 3
    oracle.charge(gradient_steps=1, newton_evaluations=7)
    assert rounds.cost.newton_evaluations == 7
    for work in ({"commitments": 1}, {"linear_solves": -1}):
        with pytest.raises(se.AccessError, match="only its own work"):
            oracle.charge(**work)
    before = rounds.cost
    for refused in (lambda: oracle.policies(y, "G9"), lambda: oracle.commit(y, 7), lambda: oracle.play_from(y, 0, np.array([[105]]))):
        with pytest.raises((KeyError, ValueError)):
            refused()
    assert rounds.cost == before, "what is refused costs nothing"


def test_outcomes_are_what_the_leader_may_see() -> None:
    game = se.game("four_rooms-v0", walkers=2)
    rounds = RepeatedGame(game, seed=0)
    seen = rounds.oracle(se.Access.OUTCOME).play(np.zeros(105), episodes=40)
    longest = int(seen.alive.any(axis=1).sum(axis=-1).max())
    assert seen.states.shape == (40, 2, longest + 1)
    assert longest <= game.max_cycles
    assert set(np.unique(seen.contexts)) == {0, 1}
    assert set(vars(seen)) == {"contexts", "states", "leader_actions", "follower_actions", "leader_rewards", "alive", "streams", "ended"}
    assert (seen.leader_rewards[~seen.alive.any(axis=1)] == 0).all()
    game.context_visibility = "never"
    assert (rounds.play(np.zeros(105), episodes=3).contexts == -1).all()


def test_sampled_returns_estimate_expected_ones() -> None:
    """Law of large numbers, four standard errors, at two sample sizes; the horizon is the played one."""
    for id in ("four_rooms-v0", "random_markov_game-v0", "toy3-v0"):
        game = se.game(id)
        x = np.random.default_rng(4).normal(size=game.dimension) * 0.3
        exact = float(se.evaluate(game, x, horizon=game.max_cycles).leader_return)
        discount = game.problems(x)[0].leader_discount
        for episodes in (300, 3000):
            drawn = RepeatedGame(game, seed=episodes).play(x, episodes=episodes).leader_returns(discount)
            assert abs(drawn.mean() - exact) < 4 * drawn.std() / np.sqrt(episodes)


def test_expected_returns_are_the_referees() -> None:
    for id in se.games():
        game = se.game(id, **SMALLER.get(id, {}))
        x = np.random.default_rng(0).normal(size=game.dimension)
        scored = se.evaluate(game, x)
        near = max(1e-10, 6 * float(scored.standard_error))  # where returns are means over episodes, a leader is told of others
        assert RepeatedGame(game).returns(x) == pytest.approx(float(scored.leader_return), abs=near)


def test_returns_in_one_context_are_of_one_context_that_nature_draws() -> None:
    game = se.game("four_rooms-v0")
    points = np.random.default_rng(0).normal(size=(2, 105))
    exact = np.stack([se.evaluate(game, x).per_context for x in points], axis=1)
    rounds = RepeatedGame(game, seed=0)
    drawn = np.stack([rounds.oracle(se.Access.RETURN).returns_in_one_context(points) for _ in range(40)])
    which = [int(np.flatnonzero(np.isclose(pair, exact, atol=1e-10).all(axis=1))[0]) for pair in drawn]
    assert 8 < sum(which) < 32, "each context about half of the time"
    assert (rounds.cost.commitments, rounds.cost.queries) == (80, 80)


def test_reset_and_training_permissions() -> None:
    game = se.game("four_rooms-v0")
    follower = se.Truncated(0.003, 1)
    rounds = RepeatedGame(game, follower, 0)
    oracle = rounds.oracle(se.Access.VALUE, Permission.RESET | Permission.TRAINING)
    starts = np.array([[0], [50], [103]])
    seen = oracle.play_from(np.zeros(105), 0, starts, horizon=3)
    np.testing.assert_array_equal(seen.states[:, :, 0], starts)
    taken, kept = oracle.snapshot(), copy.deepcopy(rounds._training)
    first = oracle.values(np.ones(105), 0)[0]
    oracle.values(np.zeros(105), 0)
    later = oracle.snapshot()
    twin, token = pickle.loads(pickle.dumps((rounds, taken)))
    for house, name in ((rounds, taken), (twin, token)):
        resumed = house.oracle(se.Access.VALUE, Permission.TRAINING)
        for _ in range(2):
            resumed.restore(name)
            np.testing.assert_array_equal(resumed.values(np.ones(105), 0)[0], first)
        np.testing.assert_array_equal(first, _swept(follower, game, np.ones(105), kept))
        resumed.restore(later)
        assert not np.array_equal(first, resumed.values(np.ones(105), 0)[0])
    assert all(isinstance(value, int) for value in vars(taken).values()), "what the followers carry is not to be read"
    for wrong in (None, kept, dataclasses.replace(taken, number=2), dataclasses.replace(taken, number=-1)):
        with pytest.raises(ValueError, match="restore takes what snapshot"):
            oracle.restore(wrong)


def test_a_trainer_needs_to_see_outcomes_and_sees_what_it_steers() -> None:
    """RETURN + TRAINING shows no trajectory; with OUTCOME the steered actions are seen where actions are hidden, and no hidden context."""
    game = se.game("contract_tree-v0")
    rounds = RepeatedGame(game, seed=0)
    for permission, name in ((Permission.TRAINING, "play_as"), (Permission.RESET, "play_from")):
        with pytest.raises(se.AccessError, match=rf"{name} needs access OUTCOME; .* was granted RETURN \+ {permission.name}$"):
            getattr(rounds.oracle(se.Access.RETURN, permission), name)
    oracle = rounds.oracle(se.Access.OUTCOME, Permission.TRAINING)
    always = np.zeros(game.sizes[0])
    always[..., 1] = 1.0
    seen, _ = oracle.play_as(np.zeros(game.dimension), [always], episodes=20)
    assert (seen.follower_actions[seen.alive] == 1).all()
    assert (oracle.play(np.zeros(game.dimension), episodes=20).follower_actions == -1).all()
    hidden = se.game("four_rooms-v0")
    hidden.context_visibility = "never"
    uniform = np.full(hidden.sizes[0], 1 / 4)
    seen, _ = RepeatedGame(hidden, seed=0).play_as(np.zeros(105), [uniform], 1, episodes=3)
    assert (seen.contexts == -1).all()


@pytest.mark.parametrize("row", [[0.5, 0.6, -0.1], [0.5, 0.5, 0.5], [0.2, 0.2, 0.2], [np.nan, 0.5, 0.5], [np.inf, 0.0, 0.0]], ids=str)
def test_what_is_no_policy_is_not_played_and_costs_nothing(row: list[float]) -> None:
    rounds = RepeatedGame(se.game("toy3-v0"), seed=0)
    policy = np.full((3, 2, 3), 1 / 3)
    policy[1, 1] = row
    with pytest.raises(ValueError, match="rows of non-negative numbers that sum to 1"):
        rounds.play_as(np.zeros(6), [policy])
    assert rounds.cost == type(rounds.cost)()


def _swept(follower: se.Truncated, game: se.StackelbergGame, x: np.ndarray, training: dict[int, object]) -> np.ndarray:
    return follower.respond(game, x, 0, state=training[0]).answers[0].values


def test_rounds_pickle_in_the_middle() -> None:
    rounds = RepeatedGame(se.game("toy3-v0"), seed=3)
    rounds.play(np.zeros(6), episodes=3)
    twin = pickle.loads(pickle.dumps(rounds))
    for _ in range(3):
        np.testing.assert_array_equal(rounds.play(np.zeros(6)).states, twin.play(np.zeros(6)).states)
    assert rounds.cost == twin.cost


class Nosy(Solver):
    """Looks at everything that OUTCOME offers, and lets it decide the next commitment."""

    access = se.Access.OUTCOME

    def declines(self, oracle: Oracle) -> str | None:
        return None

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        facts = [value for name, value in sorted(vars(oracle).items()) if isinstance(value, (int, float, tuple, np.ndarray))]
        seen = oracle.play(state.x, episodes=3)
        digest = [float(np.sum(table)) for table in vars(seen).values()] + [_number(fact) for fact in facts]
        x = np.tanh(state.x + 0.01 * np.sin(sum(digest) + oracle.returns(state.x)) + 0.01 * rng.normal(size=state.x.shape))
        return State(x, state.iteration + 1)


def _number(fact: object) -> float:
    """A fact as a number: text, spaces and None by their spelling."""
    try:
        number = float(np.sum(np.asarray(fact, dtype=float)))
    except (TypeError, ValueError):
        number = math.nan
    return zlib.crc32(repr(fact).encode()) / 2**32 if math.isnan(number) else number


@pytest.mark.parametrize("name", ["nosy", *(name for name in SOLVERS if build(name).access < se.Access.MODEL)])
@pytest.mark.parametrize(
    ("id", "arguments"),
    [
        ("four_rooms-v0", {}),
        ("four_rooms-v0", {"walkers": 2}),
        ("random_markov_game-v0", {}),
        ("toy3-v0", {}),
        ("contract_tree-v0", {}),
    ],
    ids=str,
)
def test_non_interference(id: str, arguments: dict[str, object], name: str) -> None:
    """Swap the followers' rewards for others with the same outcomes: the solver's whole trajectory is bit-identical.

    The followers of the disguised game want something else, but answer as those of the true one do.
    """
    from solvers.base import run

    game = se.game(id, **arguments)
    if name != "nosy" and (solver := build(name)).declines(RepeatedGame(game).oracle(solver.access, solver.permissions)) is not None:
        with pytest.raises(Declined):
            solve(game, name)
        return
    disguised = GameWithOtherFollowerRewards(game)
    follower = game.default_follower
    trajectories = []
    for world, answerer in ((game, follower), (disguised, se.Believes(game, follower))):
        if name == "nosy":
            solution = run(Nosy(), world, follower=answerer, budget=15, seed=2, reports=15)
        else:
            samples = "episodes" in {field.name for field in dataclasses.fields(solver_class(name))}
            options = {"episodes": 2} if samples else {}
            budget = 30 if name == "zeroth_order" else 8
            solution = solve(world, name, follower=answerer, budget=budget, seed=2, reports=4, **options)
        trajectories.append((solution.x, [row["leader_return"] for row in solution.history], solution.cost.outcome_steps))
    np.testing.assert_array_equal(trajectories[0][0], trajectories[1][0])
    assert trajectories[0][1:] == trajectories[1][1:]
    assert not np.array_equal(
        game.problems(np.zeros(game.dimension))[0].follower_reward, disguised.problems(np.zeros(game.dimension))[0].follower_reward
    )


@pytest.mark.parametrize("arguments", [{}, {"walkers": 2}], ids=str)
def test_streams_are_full_and_only_their_ends_are_cut(arguments: dict[str, object]) -> None:
    """Exactly streams x steps steps are seen and paid for, each stream a row of whole episodes but for its last."""
    rounds = RepeatedGame(se.game("four_rooms-v0", **arguments), seed=0)
    seen = rounds.oracle(se.Access.OUTCOME).play_streams(np.zeros(105), streams=3, steps=500, one_context=True)
    lengths = seen.alive.any(axis=1).sum(axis=-1)
    assert [int(lengths[seen.streams == stream].sum()) for stream in range(3)] == [500, 500, 500]
    assert rounds.cost.outcome_steps == 1500
    last = np.array([np.flatnonzero(seen.streams == stream)[-1] for stream in range(3)])
    assert set(np.flatnonzero(~seen.ended)) <= set(last)
    assert not seen.ended[last].all(), "this seed cuts at least one"
    for i in np.flatnonzero(~seen.ended):
        assert (seen.states[i, :, lengths[i]] < 104).any(), "a cut episode was under way"
        assert (seen.states[i, :, lengths[i] + 1 :] == 104).all()
        assert not seen.leader_rewards[i, lengths[i] :].any()
    first, rest = seen.split(2)
    assert (len(first.contexts), set(rest.streams)) == ((seen.streams < 2).sum(), {0})


def test_refused_play_says_why_and_costs_nothing() -> None:
    rounds, x = RepeatedGame(se.game("four_rooms-v0"), seed=0), np.zeros(105)
    noise = rounds._rng.bit_generator.state
    for call, said in (
        (lambda: rounds.play(x, episodes=0), "episodes is a whole number from 1, got 0"),
        (lambda: rounds.play(x, episodes=-1), "episodes is a whole number from 1"),
        (lambda: rounds.play_streams(x, streams=0, steps=5), "streams is a whole number from 1"),
        (lambda: rounds.play_streams(x, streams=1, steps=10.5), "steps is a whole number from 1, got 10.5"),
        (lambda: rounds.returns_in_one_context([]), "got none"),
        (lambda: rounds.returns_in_one_context([x, np.zeros(3)]), "105 components"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    assert rounds.cost.commitments == rounds.cost.queries == 0
    assert rounds._rng.bit_generator.state == noise


def test_policies_that_do_not_sum_to_one_are_not_played() -> None:
    """In either form: what lies behind a row of cumulative probabilities is another row."""
    game = se.game("four_rooms-v0")
    mdp = game.problems(np.zeros(105))[0]
    for noise in (np.random.default_rng(0), lambda t, rows: np.zeros((len(rows), 3))):
        with pytest.raises(ValueError, match="the follower's policy has rows that do not sum to 1"):
            simulate(mdp, np.full((104, 1, 4), 0.2), np.zeros(3, dtype=np.int64), noise, 5)


def test_torch_tables_are_played_too() -> None:
    game = se.game("toy3-v0")
    mdp = game.problems(torch.zeros(6, dtype=torch.float64))[0]
    policy = torch.full((3, 2, 3), 1 / 3, dtype=torch.float64)
    torched = simulate(mdp, policy, torch.zeros(4, dtype=torch.int64), np.random.default_rng(1), 20)
    played = simulate(mdp.map(lambda t: t.numpy()), policy.numpy(), np.zeros(4, dtype=np.int64), np.random.default_rng(1), 20)
    np.testing.assert_array_equal(torched.states.numpy(), played.states)
    np.testing.assert_array_equal(torched.leader_rewards.numpy(), played.leader_rewards)
    nobody = simulate(mdp.map(lambda t: t.numpy()), policy.numpy(), np.zeros(0, dtype=np.int64), np.random.default_rng(1), 20)
    assert nobody.states.shape == (0, 2)


def test_streams_see_what_single_episodes_see() -> None:
    """Law of large numbers: the share of each cell among the steps of long streams is the stationary one of episodes laid end to end."""
    game = se.game("four_rooms-v0", preset="bchg")
    seen = RepeatedGame(game, seed=1).play_streams(np.zeros(105), streams=100, steps=2000)
    apart = RepeatedGame(game, seed=2).play(np.zeros(105), episodes=6000)
    shares = [np.bincount(batch.states[:, 0, :-1][batch.alive[:, 0]], minlength=104) / batch.steps for batch in (seen, apart)]
    assert np.abs(shares[0] - shares[1]).max() < 0.003


def test_chosen_first_actions_and_horizons() -> None:
    """A walker that is told to go east from the start and does not slip is one cell to the east; one in S does not walk."""
    game = se.game("four_rooms-v0", slip=0.0, walkers=2)
    oracle = RepeatedGame(game, seed=0).oracle(se.Access.OUTCOME, Permission.RESET)
    start = 0
    seen = oracle.play_from(np.zeros(105), 0, np.array([[start, 104]] * 3), actions=np.array([[1, 0]] * 3), horizon=np.array([0, 1, 4]))
    np.testing.assert_array_equal(seen.alive[:, 0].sum(-1), [0, 1, 4])
    assert not seen.alive[:, 1].any()
    assert (seen.follower_actions[1:, 0, 0] == 1).all()
    assert (seen.states[1:, 0, 1] == start + 1).all()
    for wrong in ({"actions": np.array([[9, 0]])}, {"actions": np.array([[1]])}, {"horizon": -1}, {"horizon": np.array([1, 2])}):
        with pytest.raises(ValueError, match=r"actions are integers|one shape|horizon is a number"):
            oracle.play_from(np.zeros(105), 0, np.array([[start, 104]]), **wrong)


@pytest.mark.parametrize("id", [id for id in se.games() if se.game(id, **SMALLER.get(id, {})).tabular])
def test_compiled_play_is_bit_for_bit_the_same(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    seen = []
    for fused in (True, False):
        monkeypatch.setattr("stackelberg_envs.play.rollouts.COMPILED", fused)
        rounds = RepeatedGame(se.game(id, **SMALLER.get(id, {})), seed=3)
        x = np.random.default_rng(0).normal(size=rounds.game.dimension)
        starts = np.repeat(np.arange(20)[:, None] % rounds.game.sizes[0][0], rounds.game.followers, axis=1)
        batches = (
            rounds.play(x, episodes=50),
            rounds.play_streams(x, streams=2, steps=100),
            rounds.play_from(x, 0, starts, actions=0 * starts, horizon=np.arange(20)),
        )
        seen.append([table for batch in batches for table in vars(batch).values()])
    for fused_table, table in zip(*seen, strict=True):
        assert fused_table.dtype == table.dtype
        np.testing.assert_array_equal(fused_table, table)
