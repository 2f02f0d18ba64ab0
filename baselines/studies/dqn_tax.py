"""How far the published DQN follower of the tax experiment is from its own optimum, as it trains.

``python -m baselines.studies.dqn_tax`` trains it in the legacy economy at rates 0.3, as published: 300,000 steps, a quarter of an hour of
one CPU; ``--steps`` shortens it in proportion.  A row of results/dqn-tax.jsonl is one point of the curve: the consumer's exploitability and
the government's return, both exact on the grid, and CPU seconds of training.  ``--figure PATH`` draws them; ours are in
docs/reproductions/recorded.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

import stackelberg_envs as se
from solvers.dqn import DQN, LAST_EXPLORATION, PUBLISHED_STEPS
from stackelberg_envs.games.tax_economy import TaxEconomy

from ..bench.printing import bar, console

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


def fixed_point(exploration: float, *, temperature: float = 0.1, context: int = 0, sweeps: int = 600) -> dict[str, float]:
    """Where independent heads come to rest on the grid, without networks: Q_h(m, b_h) = E[r + gamma V_h(m') | m, b_h], damped.

    The expectation is over what the other heads do when this one does b_h: their policies or, in the share of cases in which it was
    the shared coin that chose b_h, anything.
    """
    game = se.game("tax_economy-v0", preset="legacy", temperature=temperature)
    assert isinstance(game, TaxEconomy)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    (process,), (mdp,) = game.problems(x, context), game.on_grid.problems(x, context)
    kernel, parts, axes = mdp.transition, process.action_parts, "abcd"
    heads = [np.zeros((len(game.on_grid.assets), count)) for count in parts]
    table = np.empty(0)
    for sweep in range(sweeps + 1):
        chosen = [softmax(q / temperature, axis=-1) for q in heads]
        table = np.einsum("na,nb,nc,nd->nabcd", *chosen).reshape(len(heads[0]), -1)
        for h, (count, q) in enumerate(zip(parts, list(heads), strict=True)):
            ahead = temperature * np.asarray(logsumexp(q / temperature, axis=-1))
            goal = mdp.follower_reward[:, 0] + mdp.follower_discount * kernel.expand_rows(kernel.rows[:, 0] @ ahead)
            others = [i for i in range(len(parts)) if i != h]
            goal = goal.reshape(-1, *parts)
            played = np.einsum(f"nabcd,{','.join('n' + axes[i] for i in others)}->n{axes[h]}", goal, *[chosen[i] for i in others])
            even = goal.mean(axis=tuple(1 + i for i in others))
            coin = exploration / count / (exploration / count + (1 - exploration) * chosen[h] + 1e-300)
            heads[h] = q + (1.0 if sweep < 20 else 0.2) * (coin * even + (1 - coin) * played - q)
    gap = float(process.follower_score(_TablePolicy(table), temperature, game.max_cycles)[2])
    return {"exploration": exploration, "gap": gap, "leader_return": float(game.on_grid.objective((mdp,), (table[:, None, :],)))}


class _TablePolicy:
    def __init__(self, table: np.ndarray) -> None:
        self.probabilities = lambda states: table


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Exploitability, and the government's return beside Soft's, against training steps; one line a run."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8, 3), layout="constrained")
    gap, paid = drawn.subplots(1, 2)
    for first in (row for row in rows if row["follower"] == "Soft"):
        run = {name: first[name] for name in ("temperature", "context", "seed", "correlated", "asked")}
        points = [row for row in rows if row["follower"] == "DQN" and run.items() <= row.items() and row["steps"] > 0]
        steps = [row["steps"] for row in points]
        gap.plot(steps, [row["gap"] for row in points], "o-")
        paid.plot(steps, [row["leader_return"] for row in points], "o-", label="DQN")
        paid.axhline(first["leader_return"], color="black", lw=0.8, ls="--", label="exact answer")
    gap.set(xlabel="training steps", ylabel="what the follower loses", xscale="log", yscale="log")
    paid.set(xlabel="training steps", ylabel="government's return", xscale="log", yscale="symlog")
    paid.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, metadata={"Date": None})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=PUBLISHED_STEPS, help="training steps (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.1, help="of the follower (%(default)s)")
    parser.add_argument("--context", type=int, default=0, help="which of the two tastes, 0 or 1 (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the network and all noise (%(default)s)")
    parser.add_argument("--correlated", action="store_true", help="one head over all actions, instead of one for each part")
    parser.add_argument("--out", type=Path, default=Path("results/dqn-tax.jsonl"), help="where rows are appended (%(default)s)")
    parser.add_argument("--figure", type=Path, help="only draw the rows of --out, into this file")
    parser.add_argument("--fixed-points", action="store_true", help="only say where independent heads come to rest")
    asked = vars(parser.parse_args())
    if asked.pop("fixed_points"):
        for exploration in (0.0, LAST_EXPLORATION):
            console.print_json(json.dumps(fixed_point(exploration)), indent=None)
        return
    out, path = asked.pop("out"), asked.pop("figure")
    if path is not None:
        if not out.exists():
            parser.error(f"{out} does not exist: train first, or give --out docs/reproductions/recorded/dqn-tax.jsonl")
        figure([json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], path)
        print(f"{out} drawn in {path}")
        return
    steps = asked.pop("steps")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as lines, bar() as shown:
        task = shown.add_task("training", total=steps)
        for row in curve(steps, progress=lambda taken: shown.update(task, completed=taken), **asked):
            console.print_json(json.dumps(row), indent=None)
            lines.write(json.dumps(row) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
