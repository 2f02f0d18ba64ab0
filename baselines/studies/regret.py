"""What leaders from outcomes lose while they learn, and what they learn: ``python -m baselines.studies.regret``.

The papers behind `solvers.qse_mle`, `solvers.plan_after_estimation` and `solvers.active_inverse` claim a regret that grows more slowly than
the number of commitments (the second: as its root), and that the follower's parameters are recovered.  Both are measured in six random
games of three states and 2 x 2 actions (seeds 6100 to 6105, drawn for this and tuned on by nobody), one run of 32 commitments each::

    regret(T) = sum_{k <= T} (J* - J(x_k))            x_k what was committed to, not the incumbent; J* the best of ``multistart``
    error(T)  = mean |predicted g(b|n) - g(b|n)|_1 / 2      over all nodes and twenty random commitments that were never played

The growth of either is the slope of its logarithm in that of T, by least squares over T = 4, 8, 16 and 32 in each game; what is shown
is the mean over games with its interval of 95 % by Student's t.  Settings are those of ``rivals-outcomes``, before the same planner; the
last row plans for information alone, which no return pays for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

import solvers
import stackelberg_envs as se
from solvers.base import admit
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import measured
from .confirmation import GAME, PRICED, SMALL

TIMES = (4, 8, 16, 32)
SEEDS = tuple(range(6100, 6106))
LEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "inverse planning, priced information": ("inverse_planning", PRICED),
    "optimistic likelihood (QSE-MLE)": ("qse_mle", {"episodes": 9}),
    "planning after estimation": ("plan_after_estimation", {"episodes": 9}),
    "active inverse learning": ("active_inverse", {"episodes": 9}),
    "active inverse learning, information alone": ("active_inverse", {"episodes": 9, "informative": TIMES[-1]}),
}


def run(leader: str, seed: int, commitments: int = TIMES[-1]) -> dict[str, Any]:
    """Regret and error of one run at each of `TIMES` up to so many commitments."""
    game = se.game(GAME, seed=seed, **SMALL)
    start = np.zeros(game.dimension)
    best = solvers.solve(game, "multistart", start=start, budget=400, tolerance=1e-3, reports=1).leader_return
    name, settings = LEADERS[leader]
    rounds, solver = RepeatedGame(game, seed=0), solvers.build(name, **settings)
    oracle, rng = admit(solver, rounds, solver.access), np.random.default_rng([0, 0x501])
    fresh = 1.5 * np.random.default_rng([seed, 1]).normal(size=(20, game.dimension))
    answers = np.stack([game.default_follower.respond(game, x).policies[0] for x in fresh])
    state, lost, rows = solver.init(oracle, start), 0.0, []
    for k in range(1, commitments + 1):
        lost += best - float(se.evaluate(game, state.carried.trying).leader_return)
        state = solver.step(oracle, state, rng)
        if k in TIMES:
            ((_, believed),) = state.carried.inference.game(oracle, solver.settings.for_oracle(oracle)).parts  # type: ignore[attr-defined]
            with torch.no_grad():
                (problem,) = believed.problems(torch.tensor(fresh))
                predicted = np.broadcast_to(believed.soft.answer_in(problem, None).policy.numpy(), answers.shape)
            rows.append((lost, float(np.abs(predicted - answers).sum(-1).mean()) / 2))
    regret, error = np.round(rows, 6).T.tolist()
    return {"regret": regret, "error": error}


def wanted() -> Iterator[measured.Measurement]:
    """One row a leader and game."""
    for leader, seed in product(LEADERS, SEEDS):
        yield {"leader": leader, "seed": seed}, run, (leader, seed)


def slopes(rows: list[dict[str, Any]], leader: str, quantity: str) -> np.ndarray:
    """Of log ``quantity`` in log T, one a game."""
    values = np.array([row[quantity] for row in rows if row["leader"] == leader])
    return np.polyfit(np.log(TIMES), np.log(values).T, 1)[0]


def interval(values: np.ndarray) -> tuple[float, float]:
    """The mean, and half of its interval of 95 %."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(student.ppf(0.975, len(values) - 1) * error)


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a leader."""
    lines = [
        "| method | regret after 32 | its growth: slope [95 %] | error after 4 | after 32 | its growth: slope [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    for leader in LEADERS:
        of = {quantity: np.array([row[quantity] for row in rows if row["leader"] == leader]).mean(0) for quantity in ("regret", "error")}
        grown = [f"{mean:.2f} ± {half:.2f}" for mean, half in (interval(slopes(rows, leader, quantity)) for quantity in of)]
        lines.append(f"| {leader} | {of['regret'][-1]:.1f} | {grown[0]} | {of['error'][0]:.3f} | {of['error'][-1]:.3f} | {grown[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not recorded yet, and write the record and the table."""
    measured.record_rows(__doc__, wanted(), markdown, name="regret")


if __name__ == "__main__":
    main()
