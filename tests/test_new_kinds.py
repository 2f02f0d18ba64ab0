"""What the next layout of transitions and the next kind of world cost: one class each, here, and no other file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from gymnasium.spaces import Box, Discrete

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome, outcome_of_indices
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.play.trajectories import Trajectories
from stackelberg_envs.processes.inverse_cdf import cumulative, inverse_cdf
from stackelberg_envs.processes.transitions import Transition
from stackelberg_envs.response import Answer
from stackelberg_envs.testing import check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.gym import FollowerEnv, LeaderEnv
from stackelberg_envs.views.parallel import StackelbergParallel
from stackelberg_envs.worlds.base import FollowerScore, PolicyStepper, Spaces, World

# -- a layout: every action moves each state to one other, and may end the episode


@dataclass(frozen=True, eq=False)
class Permutation(Transition):
    """P(s'|s,a,b) = stay[s,a,b] [next_states[s,a,b] = s']."""

    next_states: np.ndarray
    stay: Any

    @property
    def numbers(self) -> Any:
        return self.stay

    @property
    def layout(self) -> Hashable:
        return type(self).__name__, self.next_states.tobytes()

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.stay.shape, self.stay.shape[-3])

    def map(self, f: Callable[[Any], Any]) -> Permutation:
        return replace(self, stay=f(self.stay))

    def dense(self) -> Any:
        xp = array_namespace(self.stay)
        hit = np.arange(self.shape[-1]) == self.next_states[..., None]
        return self.stay[..., None] * xp.asarray(hit, dtype=self.stay.dtype, device=self.stay.device)

    def expect(self, values: Any) -> Any:  # the one operation that is worth its own code
        return self.stay * values[..., self.next_states]


class Carousel(se.StackelbergGame):
    """A leader who pays for steps around a ring, and by its last component makes episodes longer."""

    name = "carousel"

    def __init__(self, *, dense: bool) -> None:
        self.written_out, rng = dense, np.random.default_rng(0)
        self.leader_space, self.default_follower, self.max_cycles = Box(-5.0, 5.0, (4,), np.float64), se.Soft(0.3), 20
        self.moves = np.stack([rng.permutation(4) for _ in range(3)], axis=-1)[:, None]
        self.base, self.worth = rng.uniform(size=(2, 4, 1, 3))

    def induced(self, x: Any, context: int) -> se.InducedMDP:
        xp = array_namespace(x)
        go_on = 0.9 + 0.05 * xp.tanh(x[..., 3])
        transition = Permutation(self.moves, go_on[..., None, None, None] * xp.ones((4, 1, 3), dtype=x.dtype, device=x.device))
        paid = xp.reshape(x[..., :3], (*x.shape[:-1], 1, 1, 3))
        base, worth = (xp.asarray(table, dtype=x.dtype, device=x.device) for table in (self.base, self.worth))
        one = xp.ones((4, 1), dtype=x.dtype, device=x.device)
        return se.InducedMDP(
            leader_policy=one,
            transition=transition.dense() if self.written_out else transition,
            follower_reward=base + paid,
            leader_reward=worth - 0.3 * paid**2 + 0 * base,
            initial=one[:, 0] / 4,
            follower_discount=0.95,
            leader_discount=0.9,
        )


def test_a_fourth_layout_passes_the_contracts() -> None:
    game = Carousel(dense=False)
    check_game(game)
    check_env(StackelbergParallel(game), kernel_steps=1500)
    check_env(StackelbergAEC(game), kernel_steps=1500)
    transition = game.problems(np.zeros(4))[0].transition
    check_game(se.from_arrays(transition, 0.0, 1.0, follower_discount=0.9, instrument=se.Subsidies()))


def test_a_fourth_layout_is_the_dense_game() -> None:
    """Scores for every follower, batches, episodes of the same noise, hypergradients, and what solvers come to."""
    ours, dense = Carousel(dense=False), Carousel(dense=True)
    x = np.random.default_rng(1).normal(size=(2, 4))
    for follower in (
        se.Soft(0.3),
        se.Hard(),
        se.Quantal(0.2),
        se.Truncated(0.3, 4),
        se.MirrorDescent(0.3, 2),
        se.NaturalPolicyGradient(0.3),
    ):
        batch = x[0] if isinstance(follower, se.NaturalPolicyGradient) else x
        scores = [se.evaluate(game, batch, follower=follower) for game in (ours, dense)]
        np.testing.assert_allclose(scores[0].leader_return, scores[1].leader_return, atol=1e-9)
        np.testing.assert_allclose(scores[0].follower_gap, scores[1].follower_gap, atol=1e-9)
    policy = se.Soft(0.3).respond(ours, x[0]).policy
    played = [
        simulate(game.problems(x[0])[0], policy, np.zeros(50, dtype=np.int64), np.random.default_rng(3), 20) for game in (ours, dense)
    ]
    for field in vars(played[0]):
        np.testing.assert_array_equal(getattr(played[0], field), getattr(played[1], field))
    gradients = [
        exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x[0]), None, reaction=True).gradient
        for game in (ours, dense)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-9, rtol=0)
    for name in ("implicit", "penalty", "zeroth_order", "multistart", "msobirl"):
        found = [solvers.solve(game, name, budget=6, seed=2).x for game in (ours, dense)]
        np.testing.assert_allclose(found[0], found[1], atol=1e-7, err_msg=name)


# -- a kind of world: one choice, and the episode is over


@dataclass(frozen=True)
class Bandit(World):
    """The follower pulls one arm; payments (..., K) are the leader's, worth (K,) is what an arm brings it."""

    payments: Any
    worth: Any
    kind: ClassVar[str] = "bandit"
    tables: ClassVar[tuple[str, ...]] = ("payments",)
    follower_discount: float = 0.5
    leader_discount: float = 1.0
    follower_sees: Any = "policy"

    @property
    def actions(self) -> tuple[int, ...]:  # type: ignore[override]
        return (int(self.payments.shape[-1]),)

    @property
    def spaces(self) -> tuple[Spaces, ...]:
        return (Spaces(Discrete(1), None, Discrete(self.actions[0])),)

    def expected_return(self, policies: Sequence[Any], *, horizon: Any, max_cycles: int, discount: Any, seed: int = 0) -> Any:
        return array_namespace(self.payments).sum(policies[0] * (self.worth - self.payments), axis=-1)

    def score_follower(self, player: int, policies: Sequence[Any], temperature: float, *, horizon: Any, max_cycles: int) -> FollowerScore:
        xp, own = array_namespace(self.payments), policies[player]
        plain = xp.sum(own * self.payments, axis=-1)
        objective = plain - temperature * xp.sum(own * xp.log(own), axis=-1)
        best = temperature * xp.log(xp.sum(xp.exp(self.payments / temperature), axis=-1))
        return FollowerScore(plain, objective, xp.maximum(best - objective, xp.zeros_like(best)))

    def stepper(self) -> OneStep:
        return OneStep(self)

    def policy_stepper(self, policy: Any) -> PolicyStepper:
        return OneArm(cumulative(np.asarray(policy)))

    def play(
        self, policies: Sequence[Any], limits: np.ndarray, rng: np.random.Generator, *, states: Any = None, actions: Any = None
    ) -> Any:
        n, alive = len(limits), (limits > 0)[:, None]
        arms = inverse_cdf(cumulative(np.broadcast_to(policies[0], (n, *policies[0].shape))), rng.random(n))[:, None]
        paid, earned = (np.where(alive, table[arms], 0.0) for table in (self.worth - self.payments, self.payments))
        return (Trajectories(np.tile([0, 1], (n, 1)), np.zeros_like(arms), arms, paid, earned, alive),)

    @staticmethod
    def outcome(contexts: np.ndarray, ends: Sequence[int], pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
        return outcome_of_indices(contexts, [1], pieces)

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        xp = array_namespace(self.payments)
        weights = xp.exp((self.payments - xp.max(self.payments, axis=-1, keepdims=True)) / temperature)
        return Answer(weights / xp.sum(weights, axis=-1, keepdims=True), values, 0.0)

    def with_rewards(self, factor: float, constant: float) -> Bandit:
        return Mispaid(self.payments, self.worth, factor=factor, constant=constant)

    def fingerprint(self) -> list[np.ndarray]:
        return [np.asarray(self.payments), np.asarray(self.worth)]


@dataclass(frozen=True)
class Mispaid(Bandit):
    """The same, with other rewards of the follower."""

    factor: float = 1.0
    constant: float = 0.0


@dataclass(frozen=True)
class OneStep:
    """A bandit's single step."""

    process: Bandit
    leads: bool = False

    def is_end(self, s: int) -> bool:
        return s == 1

    def initial(self, rng: np.random.Generator) -> int:
        return 0

    def leader_action(self, s: int, rng: np.random.Generator) -> int:
        return 0

    def step(self, s: int, a: int, actions: Sequence[int], rng: np.random.Generator) -> tuple[int, tuple[float, ...], float]:
        paid, (arm,) = self.process.payments, actions
        factor, constant = getattr(self.process, "factor", 1.0), getattr(self.process, "constant", 0.0)
        return 1, (float(factor * paid[arm] + constant),), float(self.process.worth[arm] - paid[arm])


@dataclass(frozen=True)
class OneArm:
    """A bandit's policy."""

    cumulated: np.ndarray

    def act(self, s: int, a: int, rng: np.random.Generator) -> int:
        return int(inverse_cdf(self.cumulated, np.asarray(rng.random())))


class Arms(se.StackelbergGame):
    """A leader who pays for arms."""

    name = "arms"

    def __init__(self) -> None:
        self.leader_space, self.default_follower, self.max_cycles = Box(-1.0, 1.0, (3,), np.float64), se.Soft(0.5), 1
        self.worth = np.array([0.0, 1.0, 2.0])

    def induced(self, x: Any, context: int) -> Bandit:
        xp = array_namespace(x)
        return Bandit(x, xp.asarray(self.worth, dtype=x.dtype, device=x.device))


def test_a_fourth_kind_of_world_passes_the_contracts() -> None:
    game = Arms()
    assert not game.tabular
    check_game(game)
    for view in (StackelbergAEC, StackelbergParallel):
        check_env(view(game))
        check_env(view(game, observations="index"))
    for env in (LeaderEnv(game), FollowerEnv(game)):
        check_env(env)


def test_a_fourth_kind_of_world_is_scored_stepped_played_and_answered() -> None:
    """Against the logit response and its return, by hand; batched episodes and rounds by the law of large numbers."""
    game, x = Arms(), np.array([0.2, -0.1, 0.4])
    logit = np.exp(x / 0.5) / np.exp(x / 0.5).sum()
    scored = se.evaluate(game, np.stack([x, 0 * x]))
    np.testing.assert_allclose(scored.leader_return, [logit @ (game.worth - x), 1.0], atol=1e-12)
    np.testing.assert_allclose(scored.follower_gap, 0, atol=1e-12)
    returns = RepeatedGame(game, seed=1).play(x, episodes=20_000).leader_returns(1.0)
    assert returns.mean() == pytest.approx(scored.leader_return[0], abs=4 * returns.std() / 20_000**0.5)
    env = LeaderEnv(game, episodes=4000)
    env.reset(seed=0)
    assert env.step(x)[1] == pytest.approx(scored.leader_return[0], abs=4 * returns.std() / 4000**0.5)
    best = solvers.solve(game, "zeroth_order", budget=150, lr=0.3, seed=0)
    assert best.leader_return > 1.2
    with pytest.raises(solvers.Declined, match="works on tables"):
        solvers.solve(game, "hpgd", budget=1)
    with pytest.raises(solvers.Declined, match="plans with tables"):
        solvers.solve(game, "zeroth_order", follower=se.Hard(), budget=1)
