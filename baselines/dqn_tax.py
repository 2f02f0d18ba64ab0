"""How far the published DQN follower of the tax experiment is from its own optimum, as it trains.

``python -m baselines.dqn_tax`` trains it in the legacy economy at rates .3, as published: 300,000 steps, a quarter of an hour of one CPU;
``--steps`` shortens it in proportion.  A row of docs/reproductions/recorded/dqn-tax.jsonl is one point of the curve: the consumer's
exploitability and the government's return, both exact on the grid, and CPU seconds of training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import stackelberg_envs as se
from solvers.dqn import DQN, PUBLISHED_STEPS
from stackelberg_envs.games.tax_economy import TaxEconomy

from .printing import bar, console

RECORDED = Path(__file__).parent.parent / "docs" / "reproductions" / "recorded" / "dqn-tax.jsonl"
SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the steps, after which a point is taken."""


def curve(
    steps: int,
    *,
    temperature: float = 0.1,
    context: int = 0,
    seed: int = 0,
    correlated: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Train once, with a row at each of `SHARES`; the first is Soft's, the exact answer's.  ``progress`` hears of the steps so far."""
    game = se.game("tax_economy-v0", preset="legacy", temperature=temperature)
    assert isinstance(game, TaxEconomy)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    (mdp,) = game.on_grid.problems(x, context)
    rng, state, done, seconds = np.random.default_rng(seed), None, 0, 0.0
    told = None if progress is None else lambda taken, asked: progress(done + taken)
    follower = DQN(temperature, steps, correlated=correlated, progress=told)
    same = {"temperature": temperature, "context": context, "seed": seed, "correlated": correlated, "asked": steps}
    exact = se.Soft(temperature).respond(game.on_grid, x, context)
    yield {"follower": "Soft", **same, "gap": 0.0, "leader_return": float(game.on_grid.objective((mdp,), exact.policies))}
    for share in SHARES:
        began = time.process_time()
        response = follower.respond(game, x, context, budget=round(share * steps) - done, rng=rng, state=state)
        seconds, done, state = seconds + time.process_time() - began, round(share * steps), response.state
        table = response.policy.probabilities(game.on_grid.assets[:, None])[:, None, :]
        paid = float(game.on_grid.objective((mdp,), (table,)))
        yield {"follower": "DQN", **same, "steps": done, "gap": response.certificate, "leader_return": paid, "seconds": round(seconds, 1)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=PUBLISHED_STEPS)
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--context", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--correlated", action="store_true")
    parser.add_argument("--out", type=Path, default=RECORDED)
    asked = vars(parser.parse_args())
    out = asked.pop("out")
    steps = asked.pop("steps")
    with out.open("a") as lines, bar() as shown:
        task = shown.add_task("training", total=steps)
        for row in curve(steps, progress=lambda taken: shown.update(task, completed=taken), **asked):
            console.print_json(json.dumps(row), indent=None)
            lines.write(json.dumps(row) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
