"""What does a small bias cost?  ``python -m baselines.studies.rtq`` trains soft Q-learners to ever longer budgets, and draws the figure.

Two random Markov games (the follower sees the leader's policy, or its action), commitments drawn once, Q-learning from even samples.  For
vanilla soft Q-learning with budget t, and hypergradients g_t at what was learned (`solvers.estimators.rtq`, exact form):

* error: (E|g_t - dF/dx|^2)^(1/2), the accuracy that one run has; the analysis of HPGD bounds the bias by it, as delta
* bias: |E g_t - dF/dx|, the accuracy of the mean, with what sampling adds to its square taken off

RT-Q with K levels has the bias of its longest budget, at fewer steps: both are measured here, and whether the means agree.  Exponents are
slopes of least squares in logarithms, with 95 % bootstrap intervals over runs; RT-Q's growth is steps for each halving of the error,
weighted least squares over K, with the interval that the measured costs leave.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.rtq import RTQ, gradient_at_answer
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import figures, measured

GAMES = {"policy seen": {"follower_sees": "policy"}, "action seen": {"follower_sees": "action"}}
FOLLOWER = se.SoftQLearning(0.1, 1, "uniform")
SHORTEST, LEVELS, SHARE = 200, 10, 5
"""t_1; the largest K; how many estimates of RT-Q for each run of vanilla Q-learning."""


def measure(runs: int) -> list[dict[str, Any]]:
    """One row a (game, budget) of vanilla, a (game, K) of RT-Q, and a game's fits."""
    rows = []
    for label, arguments in GAMES.items():
        game = se.game("random_markov_game-v0", seed=1, **arguments)
        x = torch.tensor(np.random.default_rng(1).normal(size=game.dimension))
        exact = exact_gradient(RepeatedGame(game, se.Soft(0.1)).oracle(se.Access.MODEL), x, None, reaction=True).gradient.numpy()
        budgets = SHORTEST * 2 ** np.arange(LEVELS + 1)
        seen = _snapshots(game, x, budgets, runs, label)
        resampled = np.random.default_rng(0).integers(runs, size=(500, runs))
        for budget, drawn in zip(budgets, seen, strict=True):
            low, high = np.quantile([_accuracy(drawn[chosen], exact) for chosen in resampled], (0.025, 0.975), axis=0)
            error, bias = _accuracy(drawn, exact)
            rows.append(
                {"game": label, "method": "vanilla", "steps": int(budget), "estimates": runs, "norm": float(np.linalg.norm(exact))}
                | {"error": error, "error_interval": [low[0], high[0]], "bias": bias, "bias_interval": [low[1], high[1]]}
            )
        rows += [
            {"game": label, "method": "RT-Q", **_measure_rtq(game, x, levels, SHARE * runs, seen[levels], label)}
            for levels in range(2, LEVELS + 1, 2)
        ]
        rows.append({"game": label, "method": "fits", **_fit_exponents(seen, budgets, exact, resampled)})
    return rows


def _snapshots(game: se.StackelbergGame, x: torch.Tensor, budgets: np.ndarray, runs: int, label: str) -> np.ndarray:
    """g_t of each budget of each run, (budgets, runs, n)."""
    rounds = RepeatedGame(game, FOLLOWER, seed=2000)
    oracle, here = rounds.oracle(se.Access.MODEL, se.Permission.TRAINING), x.numpy()
    untrained, seen = oracle.snapshot(), np.zeros((len(budgets), runs, game.dimension))
    for run in track(range(runs), description=f"vanilla, {label}"):
        oracle.restore(untrained)
        for i, steps in enumerate(np.diff(budgets, prepend=0)):
            oracle.train(here, 0, int(steps))
            seen[i, run] = gradient_at_answer(oracle, x).numpy()
    return seen


def _measure_rtq(game: se.StackelbergGame, x: torch.Tensor, levels: int, count: int, longest: np.ndarray, label: str) -> dict[str, Any]:
    """RT-Q with K = ``levels``: its cost, its spread, and how far its mean is from that of vanilla runs (runs, n) to its longest budget."""
    estimator, rounds = RTQ(steps=SHORTEST, levels=levels), RepeatedGame(game, FOLLOWER, seed=3000 + levels)
    oracle, rng, memory = rounds.oracle(estimator.access, estimator.permissions), np.random.default_rng(levels), None
    drawn, costs = np.zeros((count, game.dimension)), np.zeros(count)
    for i in track(range(count), description=f"RT-Q, {levels} levels, {label}"):
        before = rounds.cost.training_steps
        estimate = estimator.estimate(oracle, x, memory, rng)
        memory, drawn[i], costs[i] = estimate.memory, estimate.gradient.numpy(), rounds.cost.training_steps - before
    errors = np.hypot(drawn.std(axis=0, ddof=1) / np.sqrt(count), longest.std(axis=0, ddof=1) / np.sqrt(len(longest)))
    apart = np.abs(drawn.mean(axis=0) - longest.mean(axis=0)) / np.where(errors > 0, errors, 1.0)
    return {
        "levels": levels,
        "longest": SHORTEST * 2**levels,
        "estimates": count,
        "steps": costs.mean(),
        "steps_error": costs.std(ddof=1) / np.sqrt(count),
        "expected_steps": estimator.expected_steps,
        "spread": float(np.sqrt(drawn.var(axis=0, ddof=1).sum())),
        "longest_spread": float(np.sqrt(longest.var(axis=0, ddof=1).sum())),
        "standard_errors_apart": float(apart.max()),
    }


def _accuracy(drawn: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Error and bias of g_t (runs, n); a bias that sampling alone explains is 0."""
    squared = ((drawn.mean(axis=0) - exact) ** 2).sum() - drawn.var(axis=0, ddof=1).sum() / len(drawn)
    return float(np.sqrt(((drawn - exact) ** 2).sum(axis=1).mean())), float(np.sqrt(max(squared, 0.0)))


def _fit_exponents(seen: np.ndarray, budgets: np.ndarray, exact: np.ndarray, resampled: np.ndarray) -> dict[str, Any]:
    """Exponents a in cost ~ delta^-a of vanilla: for the error (last six budgets), and the bias (where it is seen)."""
    noise = [drawn.var(axis=0, ddof=1).sum() / len(drawn) for drawn in seen]
    visible = [i for i, drawn in enumerate(seen) if i < 2 or _accuracy(drawn, exact)[1] ** 2 > 4 * noise[i]]
    late = range(len(budgets) - 6, len(budgets))

    def exponents(chosen: np.ndarray) -> list[float]:
        errors, biases = np.array([_accuracy(drawn[chosen], exact) for drawn in seen]).T
        pairs = [(errors, late), (np.maximum(biases, 1e-12), visible)]
        return [-np.polyfit(np.log(delta[list(used)]), np.log(budgets[list(used)]), 1)[0] for delta, used in pairs]

    centre = exponents(np.arange(seen.shape[1]))
    low, high = np.quantile([exponents(chosen) for chosen in resampled[:200]], (0.025, 0.975), axis=0)
    names = ("vanilla_error", "vanilla_bias")
    return {name: [centre[i], low[i], high[i]] for i, name in enumerate(names)} | {"bias_seen_to": int(budgets[max(visible)])}


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Expected training steps against error and bias, a row a game; RT-Q is drawn at the accuracy of its longest budget."""
    figure = Figure(figsize=(9.5, 3.6 * len(GAMES)))
    panels = figure.subplots(len(GAMES), 2, sharey=True, squeeze=False)
    for line, label in zip(panels, GAMES, strict=True):
        vanilla, truncated = ([row for row in rows if row["game"] == label and row["method"] == method] for method in ("vanilla", "RT-Q"))
        at = {row["steps"]: row for row in vanilla}
        for axis, what in zip(line, ("error", "bias"), strict=True):
            for i, (chosen, name) in enumerate(((vanilla, "vanilla soft Q-learning"), (truncated, "RT-Q"))):
                accurate = [(row, at[row.get("longest", row["steps"])]) for row in chosen]
                seen = [(row["steps"], met[what], *met[f"{what}_interval"]) for row, met in accurate if met[f"{what}_interval"][0] > 0]
                steps, centre, low, high = np.array(seen).T
                bars = np.maximum([centre - low, high - centre], 0)
                axis.errorbar(centre, steps, xerr=bars, color=figures.COLOURS[i], marker="o", ms=4, lw=1.4, capsize=2, label=name)
            axis.set(xscale="log", yscale="log", xlabel=f"{what} of dF/dx", title=f"{label}: {what}")
            axis.invert_xaxis()
            axis.grid(alpha=0.25)
        line[0].set_ylabel("training steps of one estimate")
    panels[0, 0].legend(frameon=False)
    figure.tight_layout()
    return figure


def page(rows: list[dict[str, Any]]) -> str:
    """Tables of vanilla, of RT-Q and of the exponents."""
    text = ["| game | steps of vanilla | error | bias |", "|---|---|---|---|"]
    for row in (row for row in rows if row["method"] == "vanilla"):
        cells = (f"{row[what]:.4f} [{row[f'{what}_interval'][0]:.4f}, {row[f'{what}_interval'][1]:.4f}]" for what in ("error", "bias"))
        text.append(f"| {row['game']} | {row['steps']:,} | {' | '.join(cells)} |")
    text += [
        "",
        "| game | K | longest budget | steps of RT-Q | expected | spread | of vanilla | means apart (s.e.) |",
        "|---|" + "---|" * 7,
    ]
    for row in (row for row in rows if row["method"] == "RT-Q"):
        steps = f"{row['steps']:,.0f} ± {2 * row['steps_error']:,.0f} | {row['expected_steps']:,.0f}"
        spread = f"{row['spread']:.3f} | {row['longest_spread']:.4f} | {row['standard_errors_apart']:.1f}"
        text.append(f"| {row['game']} | {row['levels']} | {row['longest']:,} | {steps} | {spread} |")
    text += ["", "| game | exponent of vanilla, by error | by bias | RT-Q: steps for each halving of the error |", "|---|---|---|---|"]
    for row in (row for row in rows if row["method"] == "fits"):
        fits = [row["vanilla_error"], row["vanilla_bias"], growth(rows, row["game"])]
        cells = (f"{fit[0]:.{digits}f} [{fit[1]:.{digits}f}, {fit[2]:.{digits}f}]" for fit, digits in zip(fits, (2, 2, 0), strict=True))
        text.append(f"| {row['game']} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def growth(rows: list[dict[str, Any]], game: str) -> tuple[float, float, float]:
    """Measured training steps of RT-Q for each halving of the error of its longest budget, with a 95 % interval."""
    mine = [row for row in rows if row["game"] == game]
    error = {row["steps"]: row["error"] for row in mine if row["method"] == "vanilla"}
    truncated = [row for row in mine if row["method"] == "RT-Q"]
    halvings = np.array([-np.log2(error[row["longest"]]) for row in truncated])
    steps, errors = (np.array([row[name] for row in truncated]) for name in ("steps", "steps_error"))
    (slope, _), covariance = np.polyfit(halvings, steps, 1, w=1 / errors, cov="unscaled")
    margin = 1.96 * float(np.sqrt(covariance[0, 0]))
    return float(slope), float(slope) - margin, float(slope) + margin


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, page=page, name="rtq-cost", option="runs", count=300, words="vanilla runs a game")
