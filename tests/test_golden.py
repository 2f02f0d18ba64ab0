"""Numbers that others computed: Four Rooms, the toy game, Conitzer and Sandholm's example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_values import (
    FOUR_ROOMS_AT_ZERO,
    FOUR_ROOMS_WITHOUT_PENALTIES,
    MATRIX_GAMES,
    TOY3_CURVES,
    TOY3_GRADIENT,
    TOY3_HARD,
    TOY3_OPTIMA,
    TOY3_PUBLISHED,
    TOY3_VARIANTS,
    toy3_commitment,
)
from scipy.optimize import minimize_scalar

import stackelberg_envs as se
from baselines.bench.configuration import World
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_evaluation import policy_value


def gradient(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower | None = None) -> np.ndarray:
    oracle = RepeatedGame(game, follower).oracle(Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x, dtype=torch.float64), None, reaction=True).gradient.numpy()


@pytest.mark.parametrize(("temperature", "beta", "g1", "g2", "mean", "norm", "mean_67"), FOUR_ROOMS_AT_ZERO)
def test_four_rooms_at_zero(temperature: float, beta: float, g1: float, g2: float, mean: float, norm: float, mean_67: float) -> None:
    follower, x = se.Soft(temperature), np.zeros(105)
    game = se.game("four_rooms-v0", preset="hpgd", beta=beta)
    scored = se.evaluate(game, x, follower=follower)
    np.testing.assert_allclose(scored.per_context, [g1, g2], atol=1e-5)
    assert scored.leader_return == pytest.approx(mean, abs=1e-5)
    slope = gradient(game, x, follower)
    assert np.linalg.norm(slope) == pytest.approx(norm, abs=1e-6)
    target = game.layout.cells.index((8, 4))  # type: ignore[union-attr]
    assert np.argmax(np.abs(slope)) == target, "the largest component is the target cell"
    assert slope[target] < 0, "make the target cheaper"
    default_kernel = se.game("four_rooms-v0", beta=beta)
    assert se.evaluate(default_kernel, x, follower=follower).leader_return == pytest.approx(mean_67, abs=1e-5)


@pytest.mark.parametrize(("temperature", "g1", "g2", "v1", "v2"), FOUR_ROOMS_WITHOUT_PENALTIES)
def test_four_rooms_without_penalties(temperature: float, g1: float, g2: float, v1: float, v2: float) -> None:
    x = np.zeros(105)
    x[-1] = 800.0  # all budget unused
    scored = se.evaluate(se.game("four_rooms-v0", preset="hpgd"), x, follower=se.Soft(temperature))
    np.testing.assert_allclose(scored.per_context, [g1, g2], atol=1e-4)
    np.testing.assert_allclose(scored.follower_values[:, 0], [v1, v2], atol=1e-4)


def test_four_rooms_presets() -> None:
    """The single-goal preset starts at -.7406 and -.7257: read off figures of Kudo et al. 2026, whose start is N(0, .01^2), not 0."""
    game = se.game("four_rooms-v0", preset="bchg")
    assert game.contexts == ("G1",)
    for temperature, value in ((0.001, -0.7406), (0.003, -0.7257)):
        assert se.evaluate(game, np.zeros(105), follower=se.Soft(temperature)).leader_return == pytest.approx(value, abs=2e-4)
    default = se.game("four_rooms-v0")
    assert (default.beta, default.slip, default.default_follower) == (3.0, 0.33, se.Soft(0.003))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("R", "temperature", "horizon", "discount", "optimum", "where"), TOY3_OPTIMA)
def test_toy3_optima(R: int, temperature: float, horizon: int | None, discount: float | None, optimum: float, where: float) -> None:
    game, follower = se.game("toy3-v0", R=R), se.Soft(temperature)

    def loss(p: float) -> float:
        return -float(se.evaluate(game, toy3_commitment(p), follower=follower, horizon=horizon, leader_discount=discount).leader_return)

    grid = min(np.arange(0.01, 1, 0.01), key=loss)  # the objective has plateaus and cliffs: bracket first
    found = minimize_scalar(loss, bounds=(grid - 0.01, grid + 0.01), method="bounded", options={"xatol": 1e-7})
    assert -found.fun == pytest.approx(optimum, abs=1e-3)
    assert found.x == pytest.approx(where, abs=1e-3)


@pytest.mark.parametrize(("kind", "R", "p", "discounted", "undiscounted", "for_ever"), TOY3_PUBLISHED)
def test_toy3_with_the_published_follower_and_the_right_one(
    kind: str, R: int, p: float, discounted: float, undiscounted: float, for_ever: float
) -> None:
    world, x = World("toy3-v0", {"R": R}, {"kind": kind, "temperature": 0.05}), toy3_commitment(p)
    game, follower = world.game(), world.answerer()
    scored = se.evaluate(game, x, follower=follower, horizon=150)
    assert scored.leader_return == pytest.approx(discounted, abs=5e-3 if discounted > 30 else 1e-3)
    assert se.evaluate(game, x, follower=follower, horizon=150, leader_discount=1.0).leader_return == pytest.approx(undiscounted, abs=5e-3)
    assert se.evaluate(game, x, follower=follower).leader_return == pytest.approx(for_ever, abs=5e-3)
    gap = float(scored.follower_gap)
    assert gap > 1e-4 if kind == "SoftInside" else gap < 1e-9, "the published follower does not play its best response"


@pytest.mark.parametrize(("R", "discount", "curve"), TOY3_CURVES)
def test_toy3_curves(R: int, discount: float | None, curve: dict[float, float]) -> None:
    xs = np.stack([toy3_commitment(p) for p in curve])
    scored = se.evaluate(se.game("toy3-v0", R=R), xs, horizon=150, leader_discount=discount)
    np.testing.assert_allclose(scored.leader_return, list(curve.values()), atol=0.051)


@pytest.mark.parametrize(("R", "indifferent", "value"), TOY3_HARD)
def test_toy3_at_a_hard_followers_indifference(R: int, indifferent: float, value: float) -> None:
    """There the follower's loops S -> A -> ... and S -> B -> S are worth the same, which gives 1 - p = 1/(R + 1 - g/(1+g))."""
    g = 0.99
    let = 1 / (R + 1 - g / (1 + g))
    assert let == pytest.approx(indifferent, abs=6e-6)
    game, x = se.game("toy3-v0", R=R), toy3_commitment(1 - let)
    assert se.evaluate(game, x, follower=se.Hard("strong")).leader_return == pytest.approx(value, abs=1e-3)
    assert se.evaluate(game, x, follower=se.Hard("weak")).leader_return == pytest.approx(0, abs=1e-9)
    never, always = (se.evaluate(game, toy3_commitment(p), follower=se.Hard()).leader_return for p in (0, 1))
    assert never == pytest.approx(33.669, abs=1e-3)
    assert always == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("variant", TOY3_VARIANTS)
def test_toy3_variants(variant: str) -> None:
    """Both players' returns from a best response to each pure leader, as the source's docstrings have them."""
    game, (state, *returns) = se.game("toy3-v0", variant=variant), TOY3_VARIANTS[variant]
    for p, (follower, leader) in enumerate(returns):
        x = toy3_commitment(p, state)
        for ties in ("strong", "weak"):
            scored = se.evaluate(game, x, follower=se.Hard(ties), horizon=game.max_cycles, leader_discount=1.0)
            assert scored.leader_return == pytest.approx(leader, abs=1e-6)
            (mdp,), (response,) = game.problems(x), scored.responses
            assert policy_value(mdp, response.policy, mdp.follower_reward, 1.0, horizon=game.max_cycles)[0] == pytest.approx(
                follower, abs=1e-6
            )


def test_toy3_variant_1_2f_switches_elsewhere_than_its_source_says() -> None:
    """Its bait c should make the follower indifferent at .5; the loops S-A-S and S-A-B-S are worth the same where c p = 1.1105."""
    g, c = 0.99, 2.3858910707072356
    switch = ((8 * g - 3 * g**2) * (1 - g**2) - 3 * g * (1 - g**3)) / ((1 - g**3) - (1 - g**2)) / c
    assert switch == pytest.approx(0.46545, abs=1e-5)
    game = se.game("toy3-v0", variant="1_2f")
    below, above = (se.evaluate(game, toy3_commitment(switch + d, "S"), follower=se.Hard()).leader_return for d in (-1e-4, 1e-4))
    assert below < 0 < above


def test_toy3_announced_or_seen() -> None:
    """At p = .5 a follower that sees the action goes to A and back for ever, for g/(1 - g^2).  One that sees only the policy
    (ContinuousToy) lands in B half of the time, where it stays rather than pay its way out: V = .5 g (1 + g V)."""
    g, even = 0.99, np.zeros(6)
    seen, announced = (se.game("toy3-v0", variant="1_1a", follower_sees=sees) for sees in ("action", "policy"))
    assert float(se.evaluate(seen, even, follower=se.Hard()).follower_returns[0]) == pytest.approx(g / (1 - g**2))
    assert float(se.evaluate(announced, even, follower=se.Hard()).follower_returns[0]) == pytest.approx(0.5 * g / (1 - 0.5 * g**2))


def test_toy3_gradient() -> None:
    logits, slope = TOY3_GRADIENT
    x = np.zeros(6)
    x[1::2] = logits
    found = gradient(se.game("toy3-v0", R=1), x)
    assert found[3] == pytest.approx(slope, abs=1e-4)
    assert np.abs(np.delete(found, [2, 3])).max() < 1e-10, "only the key state's logits matter"


def test_conitzer_and_sandholm() -> None:
    game, even, known = se.game("bimatrix-v0"), np.zeros(2), MATRIX_GAMES["conitzer"]
    assert se.evaluate(game, even, follower=se.Hard("strong")).leader_return == pytest.approx(known["strong"])
    assert se.evaluate(game, even, follower=se.Hard("weak")).leader_return == pytest.approx(known["weak_there"])
    for row, value in ((0, known["pure_nash"][0]), (1, known["pure"])):
        pure = np.full(2, -800.0)
        pure[row] = 0.0
        assert se.evaluate(game, pure, follower=se.Hard("strong")).leader_return == pytest.approx(value)
    barely = np.array([np.log(0.499 / 0.501), 0.0])  # a margin of .001 makes the good answer strict
    assert se.evaluate(game, barely, follower=se.Hard("weak")).leader_return == pytest.approx(2.499, abs=1e-9)
