"""HPGD against the published DQN follower of the tax economy, for a few outer iterations at a fraction of its training.

``python -m baselines.studies.tax_dqn`` runs 20 outer iterations (published: 1,000) for two seeds.  In each, the follower trains from
nothing for 15,000 steps, 5 % of the published 300,000 with its exploration shortened alike, in the economy with continuous assets; what it
has learned then acts on the grid, where 300 episodes are watched, and the leader takes one step along what the public code estimates
(``form="published"``: SGD with rate .01, income tax and VAT clipped apart).  A row of docs/reproductions/recorded/tax-dqn.jsonl is one
iteration: rates, welfare as the DQN behaves, its exact exploitability, and welfare with the exact follower.  Half an hour of one CPU; seeds
that are recorded are kept.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from solvers.dqn import DQN
from stackelberg_envs.games.tax_design import TaxDesign
from stackelberg_envs.games.tax_economy import TaxEconomy
from stackelberg_envs.response import Answer, Response

from ..bench import results_file
from ..bench.printing import bar
from ..bench.stats import mean_interval

RECORDED = Path(__file__).parent.parent.parent / "docs" / "reproductions" / "recorded" / "tax-dqn.jsonl"
SEEDS = (0, 1)


@dataclass
class OnGrid:
    """A learner of `TaxEconomy` who acts in `TaxDesign`: its policy is read at the grid's points."""

    learner: DQN
    economy: TaxEconomy
    answered: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """What each answer was worth, and to whom."""
    learns = True

    @property
    def temperature(self) -> float:
        """tau."""
        return self.learner.temperature

    @property
    def judge(self) -> se.Soft:
        """The exact follower of the theory."""
        return self.learner.judge

    def respond(
        self,
        game: se.StackelbergGame,
        x: Any,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: Any = None,
    ) -> Response:
        """See `stackelberg_envs.game.Follower.respond`; values are the rewards' table alone, for nothing here reads them."""
        if not isinstance(game, TaxDesign):
            raise TypeError(f"OnGrid answers in tax_design, got {game!r}")
        response = self.learner.respond(self.economy, x, context, budget=budget, rng=rng, state=state)
        (mdp,) = game.problems(x, context)
        table = response.policy.probabilities(game.assets[:, None])[:, None, :]
        self.answered.append({"return": float(game.objective((mdp,), (table,))), "gap": response.certificate})
        answer = Answer(table, np.zeros(len(game.assets)), response.certificate, 0, mdp, training_steps=response.answers[0].training_steps)
        return Response((answer,), state=response.state)


def run(seed: int, *, iterations: int, steps: int, temperature: float = 0.1) -> list[dict[str, Any]]:
    """One seed's rows, the first one of the start."""
    economy = se.game("tax_economy-v0", preset="legacy", temperature=temperature)
    assert isinstance(economy, TaxEconomy)
    follower = OnGrid(DQN(temperature, steps), economy)
    with bar() as progress:
        task = progress.add_task(f"seed {seed}", total=iterations)
        solution = solvers.solve(
            economy.on_grid,
            "hpgd_kernel",
            follower=follower,
            budget=iterations,
            reports=iterations,
            seed=seed,
            start=economy.at_rates(0.3, (0.3, 0.3, 0.3)),
            progress=lambda done, _: progress.update(task, completed=done),
            form="published",
            episodes=300,
            lr=0.01,
            clip_blocks=[1, 3],
        )
    rows = []
    asked = follower.answered[-iterations:]  # the first was to see whether it answers at all
    for i, row in enumerate(solution.history):
        behaved = asked[i] if i < len(asked) else {}
        taxes = {name: np.round(values, 6).tolist() for name, values in row["instruments"].items()}
        exact = {"exact_return": row["leader_return"], "iteration": row["iteration"], **taxes}
        rows.append({"seed": seed, "steps": steps, "iterations": iterations, "temperature": temperature, **exact, **behaved})
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """A table: the start and the end of every seed together."""
    first, last = ([row for row in rows if row["iteration"] == i] for i in (0, max(row["iteration"] for row in rows)))
    behaved = [row for row in rows if "return" in row]
    ends = [[row for row in behaved if row["seed"] == seed][-1] for seed in sorted({row["seed"] for row in rows})]
    lines = ["| | start | after the last step: mean [95 %] |", "|---|---|---|"]

    def line(what: str, start: list[float], end: list[float]) -> None:
        lines.append(f"| {what} | {np.mean(start):.3f} | {mean_interval(end)} |")

    line("income tax", [row["income tax"] for row in first], [row["income tax"] for row in last])
    for good, taste in enumerate((0.35, 0.5, 0.15)):
        line(f"VAT, good {good + 1} (mean taste {taste})", [row["VAT"][good] for row in first], [row["VAT"][good] for row in last])
    line("welfare as the DQN behaves, in the context drawn", [row["return"] for row in first], [row["return"] for row in ends])
    line("its exploitability", [row["gap"] for row in first], [row["gap"] for row in ends])
    line("welfare with the exact follower", [row["exact_return"] for row in first], [row["exact_return"] for row in last])
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=20, help="outer iterations (20)")
    parser.add_argument("--steps", type=int, default=15_000, help="training steps in each (15000, of the published 300000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds to run (0 1)")
    parser.add_argument("--record", type=Path, default=Path("results/tax-dqn.jsonl"), help="where rows are kept (results/tax-dqn.jsonl)")
    parser.add_argument("--page", type=Path, default=Path("compared/tax-dqn.md"), help="table to write (compared/tax-dqn.md)")
    arguments = parser.parse_args()
    kept = [json.loads(line) for line in arguments.record.read_text(encoding="utf-8").splitlines()] if arguments.record.exists() else []
    for seed in arguments.seeds:
        settings = seed, arguments.steps, arguments.iterations
        if not any((row["seed"], row["steps"], row["iterations"]) == settings for row in kept):
            kept += run(seed, iterations=arguments.iterations, steps=arguments.steps)
            results_file.replace(arguments.record, "".join(json.dumps(row) + "\n" for row in kept))
    results_file.replace(arguments.page, page(kept))
    print(page(kept))


if __name__ == "__main__":
    main()
