"""The tax economy: golden values, exact gradients in every tax, and what must decline it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import solvers
import stackelberg_envs as se
from baselines.bench import figures, printing
from solvers.base import Declined
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.tax_design import CONSUMERS, Consumer, TaxDesign
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.rollouts import simulate

SMALL: dict[str, Any] = {"grid": 21, "hours": 4, "spendings": 3}


def tax(**arguments: Any) -> TaxDesign:
    game = se.game("tax_design-v0", **arguments)
    assert isinstance(game, TaxDesign)
    return game


def gradient(game: TaxDesign, x: np.ndarray) -> np.ndarray:
    return exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()


@pytest.mark.parametrize(("temperature", "value", "contexts"), [(0.1, 28.77, (28.22, 29.33)), (0.3, 35.21, None)])
def test_golden_values(temperature: float, value: float, contexts: tuple[float, float] | None) -> None:
    """Of our notes on the paper's economy: its constants, 161 points, all rates .3."""
    game = tax(preset="legacy", temperature=temperature)
    assert game.sizes == ((161, 1, 1250),)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    np.testing.assert_allclose(x, -1.7346, atol=1e-4)
    scored = se.evaluate(game, x)
    assert scored.leader_return == pytest.approx(value, abs=0.02)
    if contexts is not None:
        np.testing.assert_allclose(scored.per_context, contexts, atol=0.02)
    assert scored.follower_gap < 1e-9


@pytest.mark.parametrize("preset", ["clean", "legacy"])
def test_the_hypergradient_is_the_derivative_in_every_tax(preset: str) -> None:
    """Central differences of the referee's score, to 1e-6 of the largest component; the income tax acts through the kernel."""
    game = tax(preset=preset, grid=81)
    for x in (game.at_rates(0.3, (0.3, 0.3, 0.3)), np.array([0.4, -3.0, 1.0, 0.0])):
        exact = gradient(game, x)
        for i, step in enumerate(1e-4 * np.eye(4)):
            up, down = (se.evaluate(game, x + sign * step).leader_return for sign in (1, -1))
            assert exact[i] == pytest.approx((up - down) / 2e-4, abs=1e-6 * np.abs(exact).max())


def test_leaving_the_income_tax_out_of_the_response_is_another_gradient() -> None:
    """What the published estimator leaves out matters: without the follower's reaction the slope in income tax has the wrong size."""
    game = tax(preset="legacy", grid=81)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    held = exact_gradient(oracle, torch.tensor(x), None, reaction=False).gradient.numpy()
    assert abs(held[0] - gradient(game, x)[0]) > 0.1 * abs(gradient(game, x)[0])


def test_gradients_are_finite_where_nothing_is_bought() -> None:
    """d/dy of prod (c/(1+y))^om at c = 0, where the published code has NaN (and puts -0.1): utility is 0 there whatever the tax."""
    game = tax(**SMALL)
    x = torch.tensor([0.3, -30.0, 0.5, 30.0], dtype=torch.float64, requires_grad=True)
    utility: Any = game.incentive(x)
    utility = utility[0, 0]
    nothing = torch.tensor((game.spent == 0).any(-1))
    assert (utility[nothing] == 0).all()
    for table in (utility[nothing].sum(), utility.sum(), game.problems(x)[0].leader_reward.sum()):
        (slope,) = torch.autograd.grad(table, x, retain_graph=True)
        assert torch.isfinite(slope).all()
    exact = gradient(game, x.detach().numpy())
    assert np.isfinite(exact).all()


def test_rates() -> None:
    """Clean income tax is at most 1, legacy up to 2; `at_rates` is the inverse of `rates`; debts count in legacy alone."""
    clean, legacy = tax(**SMALL), tax(preset="legacy", **SMALL)
    for game, largest in ((clean, 1.0), (legacy, 2.0)):
        income, vat = game.rates(np.array([[50.0, -50.0, 0.0, 50.0]]))
        assert income == pytest.approx(largest)
        np.testing.assert_allclose(vat, [[0.0, 1.0, 2.0]], atol=1e-12)
        back = game.rates(game.at_rates(0.3, (0.1, 0.5, 1.9)))
        np.testing.assert_allclose(np.append(*back), [0.3, 0.1, 0.5, 1.9])
    same = clean.at_rates(0.3, (0.1, 0.5, 1.9)), legacy.at_rates(0.3, (0.1, 0.5, 1.9))
    paid = [game.problems(x)[0].leader_reward for game, x in zip((clean, legacy), same, strict=True)]
    np.testing.assert_allclose(paid[1] - paid[0], np.broadcast_to(np.minimum(clean.assets, 0.0)[:, None, None], paid[0].shape), atol=1e-12)
    for game, x in zip((clean, legacy), same, strict=True):
        np.testing.assert_allclose(game.problems(x)[0].transition.rows, clean.problems(same[0])[0].transition.rows, atol=1e-15)


def test_the_kernel_is_the_truncated_normal() -> None:
    """Away from the limits the mean and variance of the next asset are those of N(m + (1 - x) n - sum c, 25); rows sum to 1."""
    game = tax()
    (mdp,) = game.problems(game.at_rates(0.4, (0.3, 0.3, 0.3)))
    assert mdp.transition.rows.shape == (161, 1, 130, 161), "one row for each of 10 hours and 13 total spendings"
    s = 80 + np.arange(-20, 20)
    for b in (0, 7, 624, 1249):
        rows = np.stack([mdp.transition[int(i), 0, b] for i in s])
        mean = rows @ game.assets
        np.testing.assert_allclose(mean, game.assets[s] + 0.6 * game.worked[b] - game.spent[b].sum(), atol=1e-9)
        np.testing.assert_allclose((rows * (game.assets - mean[:, None]) ** 2).sum(-1), 25.0, atol=1e-9)
    np.testing.assert_allclose(mdp.transition.rows.sum(-1), 1.0, atol=1e-12)
    assert mdp.initial @ game.assets == pytest.approx(0, abs=1e-12)
    assert mdp.initial @ game.assets**2 == pytest.approx(2.0 + 1.25**2 / 12, abs=1e-3), "Sheppard's correction for bins"


def test_played_episodes_earn_the_exact_score() -> None:
    """4,000 episodes of 80 steps on the grid (.9^80 of 30 is .007, and counted): within four standard errors, in both contexts."""
    game = tax(preset="legacy")
    x, rng = game.at_rates(0.3, (0.3, 0.3, 0.3)), np.random.default_rng(0)
    exact = se.evaluate(game, x, horizon=80).per_context
    for context in range(2):
        mdp = game.problems(x, context)[0].joint
        policy = soft_policy_iteration(mdp, 0.1).policy
        first = rng.choice(161, size=4000, p=mdp.initial)
        returns = simulate(mdp, policy, first, rng, 80).leader_rewards @ 0.9 ** np.arange(80)
        assert returns.mean() == pytest.approx(exact[context], abs=4 * returns.std() / np.sqrt(len(returns)))


def test_consumers_are_independent() -> None:
    """The leader is paid the sum of what each consumer alone would pay; types like what their context says."""
    together, x = tax(consumers=3, **SMALL), np.array([0.3, -1.0, 0.2, 0.5])
    alone = [tax(consumers=[consumer], **SMALL) for consumer in CONSUMERS]
    scores = [se.evaluate(game, x).per_context for game in alone]
    np.testing.assert_allclose(se.evaluate(together, x).per_context, np.sum(scores, axis=0), rtol=1e-12)
    assert np.ptp(scores, axis=0).min() > 1e-3, "they differ"
    # of two goods that cost the same, more is spent on the one that is liked more
    even = together.at_rates(0.3, (0.3, 0.3, 0.3))
    for context in range(2):
        for consumer, policy in zip(CONSUMERS, se.Soft(0.1).respond(together, even, context).policies, strict=True):
            bought = policy[15, 0] @ together.spent  # with assets of 50
            assert np.argmax(bought) == np.argmax(consumer.tastes[context])


def test_who_solves_it() -> None:
    """Exact ascent raises F; estimators that know how rewards are steered, and not the kernel, decline with that reason."""
    game = tax(**SMALL)
    start = game.at_rates(0.3, (0.3, 0.3, 0.3))
    found = solvers.solve(game, "implicit", budget=30, start=start, lr=0.5)
    assert found.leader_return > float(se.evaluate(game, start).leader_return) + 0.1
    cases: list[tuple[str, dict[str, Any]]] = [
        ("hpgd", {}),
        ("sobirl", {}),
        ("bchg", {"level": "policy"}),
        ("penalty", {"form": "sampled"}),
    ]
    for name, arguments in cases:
        with pytest.raises(Declined, match="no term for a leader that moves the dynamics"):
            solvers.solve(game, name, budget=2, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "clear"}, "did you mean 'clean'"),
        ({"consumers": 4}, "consumers is 1 to 3, or a sequence of Consumer; got 4"),
        ({"consumers": True}, "consumers is a whole number or a list, each entry a Consumer, got True"),
        ({"consumers": 1.5}, "consumers is a whole number or a list, each entry a Consumer, got 1.5"),
        ({"consumers": []}, "at least one Consumer"),
        ({"consumers": [Consumer(((1.0, 0.0, 0.0), (0.3, 0.3, 0.4)))]}, "3 positive tastes for both contexts"),
        ({"grid": 10}, "grid is a whole number from 11"),
        ({"hours": 1}, "hours is a whole number from 2"),
        ({"spendings": 1.5}, "spendings is a whole number, got 1.5"),
        ({"temperature": 0.0}, "temperature is a finite number above 0"),
    ],
    ids=str,
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tax(**arguments)


def test_senseless_rates_are_refused() -> None:
    for income, vat in ((1.0, (0.3, 0.3, 0.3)), (0.3, (0.3, 0.0, 0.3)), (0.3, (0.3, 0.3))):
        with pytest.raises(ValueError, match="rates are an income tax"):
            tax(**SMALL).at_rates(income, vat)


def test_the_rates_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """In histories, and by ``stackelberg solve`` instead of the table of a leader that has no actions."""
    game = tax(**SMALL)
    start = game.at_rates(0.3, (0.3, 0.2, 0.1))
    row = solvers.solve(game, "naive", budget=1, start=start).history[0]
    np.testing.assert_allclose([row["instruments"]["income tax"], *row["instruments"]["VAT"]], [0.3, 0.3, 0.2, 0.1])
    said = io.StringIO()
    monkeypatch.setattr(printing, "console", Console(file=said))
    printing.draw(game, start, game.default_follower)
    assert said.getvalue().splitlines() == ["income tax: 0.3", "VAT: [0.3 0.2 0.1]"]
    (axis,) = figures.learned_figure(game, {"start": start}, None).axes
    assert [round(bar.get_height(), 9) for bar in axis.patches] == [0.3, 0.3, 0.2, 0.1]  # type: ignore[attr-defined]
