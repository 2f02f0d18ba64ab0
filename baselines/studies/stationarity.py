"""Does SLAC end where no small step earns more from a follower without entropy?  ``python -m baselines.studies.stationarity``.

Zeng et al. (`solvers.slac`) claim a stationary point of the problem *without* entropy, where methods that believe in a fixed temperature
keep a bias.  The leader's return J against a follower without entropy jumps where the follower is indifferent, so that a gradient says
nothing.  What is measured instead is what the best commitment nearby earns more, with ties for the leader::

    gain(delta) = max { J(y) - J(x) : |y_i - x_i| <= delta for all i }

In ``subsidy-v0`` this is exact.  Payments grow with the components of x, one by one, so that the box of commitments is one of payments.
For each of the B^S policies g of the follower, J is linear in the payments b under which g is optimal, which are a polyhedron::

    V = (I - gamma P_g)^-1 (r_F + b)_g                 r_F(s,a) + b(s,a) + gamma P(s,a) V <= V(s)    for all s, a
    J = mu (I - gamma P_g)^-1 (r_L - price b)_g

Actions that g does not take are paid the least of the box, and the linear programme over the others has S unknowns.

Games, settings and starts are those of ``fading-entropy`` (three subsidies, seed 0), after 125, 500 and 2,000 commitments.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

import stackelberg_envs as se
from solvers import base, registry
from stackelberg_envs.games.subsidy import Subsidy

from ..bench import measured

GAMES = (0, 1, 2)
BUDGETS = (125, 500, 2000)
DELTAS = (0.01, 0.1, 1.0)
SEED = 0
ADAM = {"optimiser": "adam", "lr": 0.05}
LEADERS: dict[str, tuple[str, dict[str, Any], float | None]] = {
    "SLAC, exact": ("slac", {}, None),
    "PBRL, believes 0.2": ("penalty", {}, 0.2),
    "PBRL, believes 0.05": ("penalty", {}, 0.05),
    "PBRL, believes 0.01": ("penalty", {}, 0.01),
    "exact gradient, believes 0.05": ("implicit", ADAM, 0.05),
    "exact gradient, believes 0.01": ("implicit", ADAM, 0.01),
}
"""Solver, hyperparameters, and the temperature that it believes in, as in ``fading-entropy``."""


def best_nearby(game: Subsidy, x: np.ndarray, delta: float) -> float:
    """The largest return of a commitment within ``delta`` of ``x`` (n,) in each component, from a follower without entropy."""
    from scipy.optimize import linprog

    mdp = game.problems(x)[0].joint
    transition = np.asarray(mdp.transition)[:, 0]
    s_count, a_count = transition.shape[:2]
    paid = np.asarray(game.incentive(x)).reshape(s_count, a_count)
    low, high = (np.asarray(game.incentive(x + step)).reshape(s_count, a_count) for step in (-delta, delta))
    own = np.asarray(mdp.follower_reward)[:, 0] - paid
    cost = np.asarray(game.leader_cost(x)).reshape(s_count, a_count)
    earned = np.asarray(mdp.leader_reward)[:, 0] + cost
    price, rows, best = float((cost * paid).sum() / (paid**2).sum()), np.arange(s_count), -np.inf
    for policy in product(range(a_count), repeat=s_count):
        g = np.array(policy)
        to_values = np.linalg.inv(np.eye(s_count) - mdp.follower_discount * transition[rows, g])
        visits = np.asarray(mdp.initial) @ to_values
        others = np.ones((s_count, a_count), dtype=bool)
        others[rows, g] = False
        # how much V(s) - gamma P(s,a) V has to be at least, for each action that is not taken
        advantage = (np.eye(s_count)[:, None] - mdp.follower_discount * transition)[others] @ to_values
        least = (own + low)[others] - advantage @ own[rows, g]
        bounds = np.stack([low[rows, g], high[rows, g]], axis=1)
        found = linprog(price * visits, A_ub=-advantage, b_ub=-least, bounds=bounds, method="highs")
        if found.status == 0:
            best = max(best, float(visits @ earned[rows, g] - found.fun))
    return best


def run(leader: str, seed: int, budget: int) -> dict[str, Any]:
    """The return after so many commitments, and what the best nearby earns more."""
    game = se.game("subsidy-v0", states=5, seed=seed)
    assert isinstance(game, Subsidy)
    name, hyperparameters, temperature = LEADERS[leader]
    believed = None if temperature is None else (game, se.Soft(temperature))
    solver, follower = registry.build(name, **hyperparameters), se.Hard(ties="strong")
    found = base.run(solver, game, follower=follower, budget=budget, seed=SEED, reports=1, believed=believed)
    value = float(se.evaluate(game, found.x, follower=follower).leader_return)
    return {"leader_return": round(value, 6), "gains": [round(best_nearby(game, found.x, delta) - value, 6) for delta in DELTAS]}


def wanted() -> Iterator[measured.Measurement]:
    """One row a leader, game and budget."""
    for leader, seed, budget in product(LEADERS, GAMES, BUDGETS):
        yield {"leader": leader, "seed": seed, "budget": budget}, run, (leader, seed, budget)


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a leader and budget: means over games."""
    lines = [
        "| method | commitments | J | " + " | ".join(f"gain within {delta:g}" for delta in DELTAS) + " |",
        "|" + "---|" * (3 + len(DELTAS)),
    ]
    for leader, budget in product(LEADERS, BUDGETS):
        own = [row for row in rows if (row["leader"], row["budget"]) == (leader, budget)]
        value, gains = np.mean([row["leader_return"] for row in own]), np.mean([row["gains"] for row in own], axis=0)
        lines.append(f"| {leader} | {budget:,} | {value:.3f} | " + " | ".join(f"{gain:.3f}" for gain in gains) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not recorded yet, and write the record and the table."""
    measured.record_rows(__doc__, wanted(), markdown, name="stationarity")


if __name__ == "__main__":
    main()
