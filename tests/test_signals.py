"""Followers who see a noisy signal of the leader's action: Bayes, the two limits, Bagwell's example, gradients, views."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from gymnasium.spaces import Box

import solvers
import stackelberg_envs as se
from solvers.base import Declined
from solvers.estimators.implicit import Implicit
from stackelberg_envs.commitments import softmax_policy
from stackelberg_envs.games.bimatrix_presets import PRESETS
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.matrix_games import logits
from stackelberg_envs.planning.normal_form import mixed_equilibria, pure_equilibria
from stackelberg_envs.processes.mdp import decision_problem
from stackelberg_envs.testing import check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.parallel import StackelbergParallel
from stackelberg_envs.worlds.mdp import InducedMDP
from stackelberg_envs.worlds.signal import InducedSignalMDP

S, A, K, B = 3, 3, 2, 2


class Signalled(se.StackelbergGame):
    """A leader that acts by a policy, and a follower that sees what ``signal`` (S, A, K) says of it; or ``sees`` without one."""

    name = "signalled"

    def __init__(self, signal: Any = None, *, sees: Any = "action", steps: int | None = None) -> None:
        rng = np.random.default_rng(0)
        going = 0.0 if steps == 1 else 0.9
        self.tables = going * rng.dirichlet(np.ones(S), size=(S, A, B)), *rng.normal(size=(2, S, A, B)), np.full(S, 1 / S)
        self.signal, self.sees = signal, sees
        self.leader_space = Box(-20.0, 20.0, (S * A,), np.float64)
        self.default_follower = se.Soft(0.3)
        self.max_cycles = steps or 30

    def log_leader_policy(self, x: Any) -> Any:
        return softmax_policy(x, S, A)

    def induced(self, x: Any, context: int) -> InducedMDP:
        xp = array_namespace(x)
        transition, follower, leader, initial = (xp.asarray(table, dtype=x.dtype) for table in self.tables)
        rest = transition, follower, leader, initial, 0.8, 0.9
        pi = xp.exp(self.log_leader_policy(x))
        if self.signal is None:
            return InducedMDP(pi, *rest, follower_sees=self.sees)
        return InducedSignalMDP(pi, *rest, signal=xp.asarray(self.signal, dtype=x.dtype))


SIGNAL = np.random.default_rng(1).dirichlet(np.ones(K), size=(S, A))
X = np.random.default_rng(2).normal(size=S * A)


@pytest.mark.parametrize("follower", [se.Soft(0.3), se.Hard("strong"), se.Hard("weak"), se.Quantal(0.2), se.MirrorDescent(0.3, steps=3)])
@pytest.mark.parametrize(("signal", "sees"), [(np.tile(np.eye(A), (S, 1, 1)), "action"), (np.full((S, A, K), 1 / K), "policy")])
def test_a_signal_that_says_all_or_nothing(signal: np.ndarray, sees: str, follower: Any) -> None:
    """The games of today at both ends: the action is seen, or only the policy."""
    with_signal, without = (se.evaluate(game, X, follower=follower) for game in (Signalled(signal), Signalled(sees=sees)))
    assert with_signal.leader_return == pytest.approx(without.leader_return, abs=1e-12)
    np.testing.assert_allclose(with_signal.follower_values, without.follower_values, atol=1e-12)
    np.testing.assert_allclose(with_signal.follower_gap, without.follower_gap, atol=1e-9)
    np.testing.assert_allclose(with_signal.responses[0].answers[0].values, without.responses[0].answers[0].values, atol=1e-12)


def bayes_by_hand(game: Signalled, temperature: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(values, policy (S, K, B), the leader's return), by value iteration, sum by sum; hard where the temperature is 0."""
    transition, follower, leader, initial = game.tables
    pi = np.exp(X.reshape(S, A)) / np.exp(X.reshape(S, A)).sum(-1, keepdims=True)
    v, g = np.zeros(S), np.zeros((S, K, B))
    for _ in range(400):
        new = np.zeros(S)
        for s, k in product(range(S), range(K)):
            chance = sum(pi[s, a] * SIGNAL[s, a, k] for a in range(A))
            q = np.zeros(B)
            for a, b in product(range(A), range(B)):
                q[b] += pi[s, a] * SIGNAL[s, a, k] / chance * (follower[s, a, b] + 0.8 * transition[s, a, b] @ v)
            if temperature == 0:
                g[s, k], best = np.eye(B)[q.argmax()], q.max()
            else:
                weights = np.exp((q - q.max()) / temperature)
                g[s, k], best = weights / weights.sum(), q.max() + temperature * np.log(weights.sum())
            new[s] += chance * best
        v = new
    w = np.zeros(S)
    for _ in range(800):
        each = leader + 0.9 * transition @ w
        w = np.array(
            [
                sum(pi[s, a] * SIGNAL[s, a, k] * g[s, k, b] * each[s, a, b] for a, k, b in product(range(A), range(K), range(B)))
                for s in range(S)
            ]
        )
    return v, g, float(initial @ w)


@pytest.mark.parametrize("steps", [1, None])
@pytest.mark.parametrize("follower", [se.Soft(0.3), se.Hard("strong")])
def test_the_answer_is_that_of_bayes(steps: int | None, follower: Any) -> None:
    """In one step, and in many: past signals say nothing of the present action, which is drawn anew."""
    game = Signalled(SIGNAL, steps=steps)
    values, policy, paid = bayes_by_hand(game, follower.temperature)
    scored = se.evaluate(game, X, follower=follower)
    (answer,) = scored.responses[0].answers
    np.testing.assert_allclose(answer.values, values, atol=1e-10)
    np.testing.assert_allclose(answer.policy, policy, atol=1e-9)
    assert scored.leader_return == pytest.approx(paid, abs=1e-9)
    assert scored.follower_gap <= answer.certificate + 1e-12
    if follower.temperature:  # of the policy that the follower has, not of what it comes to for each action
        (world,) = game.problems(X)
        halves = (np.full((S, K, B), 0.5),)
        objective = world.score_follower(0, halves, 0.3, horizon=None, max_cycles=1)
        assert objective.objective - objective.plain_return == pytest.approx(0.3 * np.log(2) * (1 if steps == 1 else 1 / (1 - 0.8 * 0.9)))


def test_the_gradient_goes_through_the_belief() -> None:
    """d F / d x, against central differences: what a signal says of the action depends on the policy."""
    game = Signalled(SIGNAL)
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    gradient = Implicit().estimate(oracle, torch.tensor(X), None, np.random.default_rng(0)).gradient.numpy()
    step = 1e-5 * np.eye(S * A)
    difference = (se.evaluate(game, X + step).leader_return - se.evaluate(game, X - step).leader_return) / 2e-5
    np.testing.assert_allclose(gradient, difference, atol=1e-6)


def test_who_does_not_know_signals_declines() -> None:
    game = Signalled(SIGNAL)
    for name in ("bchg", "inverse_planning", "penalty", "rtq", "biac", "enumeration", "two_stage"):
        with pytest.raises(Declined, match="they see a signal of the action; implicit"):
            solvers.solve(game, name, budget=2)
    for name in ("implicit", "zeroth_order"):
        history = solvers.solve(game, name, budget=8).history
        assert history[-1]["leader_return"] > history[0]["leader_return"]
    with pytest.raises(TypeError, match="that sees signals decides in another process"):
        decision_problem(game.problems(X)[0], np.zeros((S, A, B)))
    with pytest.raises(ValueError, match=r"\(S, K, B\) = \[\(3, 2, 2\)\]"):
        RepeatedGame(game).play_as(X, [np.full((S, A, B), 1 / B)])


def test_what_is_no_signal_is_refused() -> None:
    with pytest.raises(ValueError, match=r"signal has shape \(..., S, A, K\) with S, A = \(3, 3\), got \(2, 3, 3\)"):
        Signalled(np.zeros((2, 3, 3))).problems(X)
    with pytest.raises(ValueError, match="signals are those of InducedSignalMDP"):
        Signalled(sees="signal").problems(X)
    (wrong,) = Signalled(SIGNAL * 1.1).problems(X)
    assert "signal is not a probability distribution for each state and action" in wrong.violations()
    with pytest.raises(ValueError, match="noise is a finite number at least 0"):
        se.game("bimatrix-v0", noise=1.5)


def test_masks_with_signals() -> None:
    """A follower can do what is available after each action that may send its signal; at both ends that is what it is without signals."""
    rng = np.random.default_rng(3)
    (world,) = Signalled(SIGNAL).problems(X)
    mask = rng.random((S, A, B)) < 0.6
    mask[:, :, 0] = True
    for signal, sees in ((np.tile(np.eye(A), (S, 1, 1)), "action"), (np.ones((S, A, 1)), "policy")):
        tables = {name: getattr(world, name) for name in InducedMDP.tables}
        rest = {"follower_discount": 0.8, "leader_discount": 0.9, "available": mask}
        with_signal, without = InducedSignalMDP(**tables, **rest, signal=signal), InducedMDP(**tables, **rest, follower_sees=sees)
        one, other = (each.soft_answer(0.3, None) for each in (with_signal, without))
        np.testing.assert_allclose(one.values, other.values, atol=1e-12)
        np.testing.assert_allclose(with_signal.product([one.policy]), other.policy, atol=1e-12)


# -- Bagwell, "Commitment and observability in games", GEB 1995


def noisy_normal_form(noise: float) -> np.ndarray:
    """Payoffs (2, 2, 4) of the leader's move against the follower's plans (reply to "s", reply to "c")."""
    signal = np.array([[1 - noise, noise], [noise, 1 - noise]])
    plans = np.array(list(product(range(2), repeat=2)))
    return np.array([[[signal[a] @ table[a, plan] for plan in plans] for a in range(2)] for table in PRESETS["bagwell"]])


@pytest.mark.parametrize("noise", [0.3, 0.1, 0.01, 1e-4])
def test_an_unseen_commitment_is_lost_in_the_least_noise(noise: float) -> None:
    """The only pure equilibrium is Cournot's, (C, always C), where the leader gets 4 and not 5 (Bagwell); a mixed one is close to
    Stackelberg's for small noise (van Damme and Hurkens, GEB 1997): S with probability 1 - noise."""
    payoffs = noisy_normal_form(noise)
    assert np.argwhere(pure_equilibria(payoffs)).tolist() == [[1, 3]]
    assert payoffs[0, 1, 3] == 4
    found = mixed_equilibria(payoffs)
    if noise < 0.25:
        assert len(found) == 3
        (near,) = [(row, plan) for row, plan in found if row[0] == pytest.approx(1 - noise)]
        assert near[0] @ payoffs[0] @ near[1] > 5 - 4 * noise
    assert np.argwhere(pure_equilibria(noisy_normal_form(0.0))).tolist() == [[0, 1], [1, 3]]


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1, 0.3, 0.5])
def test_a_seen_commitment_keeps_the_advantage(noise: float) -> None:
    """The follower that knows P(S) = p believes "s" and "c" alike to be S where p is at least 1 - noise, and the leader gets 6 - p: at
    best 5 + noise, from 5 where the action is seen to 5.5 where only the policy is."""
    game = se.game("bimatrix-v0", preset="bagwell", noise=noise)
    mixtures = [np.array([p, 1 - p]) for p in [*np.linspace(0.01, 0.99, 99), min(1 - noise + 1e-7, 1.0)]]
    returns = [float(se.evaluate(game, logits(mixture), follower=se.Hard("strong")).leader_return) for mixture in mixtures]
    assert max(returns) == pytest.approx(5 + noise, abs=1e-6)
    assert all(value <= 5 + noise + 1e-6 for value in returns)
    assert np.argmax(returns) == 99 or returns[-1] == pytest.approx(max(returns), abs=1e-6)
    pure = se.evaluate(game, logits([1.0, 0.0]), follower=se.Hard("strong")).leader_return
    assert pure == pytest.approx(5, abs=1e-6), "a follower that knows it plays S needs no signal"


# -- how it is played


def test_play_shows_the_leaders_own_actions_and_pays_what_is_scored() -> None:
    game = Signalled(SIGNAL, steps=5)
    seen = RepeatedGame(game, seed=1).oracle(se.Access.OUTCOME).play(X, episodes=4000)
    assert seen.leader_actions.max() == A - 1
    returns = seen.leader_returns(0.9)
    exact = float(se.evaluate(game, X, horizon=5).leader_return)
    assert abs(returns.mean() - exact) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize("view", ["commitment", "play"])
def test_the_follower_is_shown_the_signal(view: Any) -> None:
    """One-hot after its state: as often as P(k|s,a) says, and never the action, which has one place more than the signal."""
    env = StackelbergAEC(Signalled(SIGNAL), view=view)
    counts, rng = np.zeros((S, A, K)), np.random.default_rng(0)
    assert env.observation_space("follower_0").shape == ((S + 1) + (K + 1) + S * A,)
    for episode in range(120):
        env.reset(seed=episode, options={"commitment": X} if view == "play" else None)
        if view == "commitment":
            env.step(X)
        while env.agents and not (env.terminations["follower_0"] or env.truncations["follower_0"]):
            if view == "play":
                assert env.observe("follower_0")[S + 1 : S + K + 2].argmax() == K, "nothing is seen of an action before it is taken"
                env.step(int(rng.integers(A)))
            told = env.observe("follower_0")[S + 1 : S + K + 2].argmax()
            counts[env.episode.states[0], env.episode.leader_actions[0], told] += 1
            env.step(int(rng.integers(B)))
    total = counts.sum(-1, keepdims=True)
    error = np.sqrt(SIGNAL * (1 - SIGNAL) / total)
    assert (np.abs(counts / total - SIGNAL) < 4.5 * error).all()
    with pytest.raises(ValueError, match="or a signal of it"):
        StackelbergParallel(Signalled(SIGNAL), view="simultaneous")


def test_a_follower_inside_answers_its_signal() -> None:
    """The mean of rounds is the exact score (law of large numbers), though its policy has another shape than the leader's actions."""
    import gymnasium

    env = gymnasium.make("Stackelberg/Bimatrix-Leader-v0", preset="bagwell", noise=0.1, episodes=4000)
    env.reset(seed=0)
    x = logits([0.6, 0.4])
    _, mean, *_ = env.step(x)
    exact = se.evaluate(se.game("bimatrix-v0", preset="bagwell", noise=0.1), x).leader_return
    assert abs(float(mean) - float(exact)) < 4 * 1.2 / np.sqrt(4000)


def test_the_conformance_kit_accepts_it() -> None:
    check_game(se.game("bimatrix-v0", preset="bagwell", noise=0.1))
    for view in ("commitment", "play"):
        check_env(StackelbergAEC(Signalled(SIGNAL), view=view), kernel_steps=500)
