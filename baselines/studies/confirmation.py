"""What the options of `solvers.inverse_planning` keep and promise: ``python -m baselines.studies.confirmation``.

Spent: on the tuning list, seeds 1000 and 1001, parts of what the leader believes are replaced by the truth: next states with its own
rewards, the follower's reward, or both.  What it then does without is what its commitments are spent on.

Incumbents: on three instances of the reporting list (1, 5 and 7) with one seed and 40 commitments, followers that are adversarial within
epsilon of their optimum, and rewards between 0 and 1 with noise of standard deviation 2.  Score is (J - J_start) / (J* - J_start)
at the follower that answers, J* the best known value against a soft one, so an adversarial follower may allow much less than 1.  A fall is
how far an incumbent is below the best one before it.

Stopping: forty random games of three states and 2 x 2 actions, seeds 6000 to 6039.  A stop is wrong where the best of ``multistart`` (400
commitments) is better than the incumbent by more than the tolerance, a share of the return that was confirmed.

Assumptions: three subsidy games whose follower's temperature is taken for half and twice the truth, with and without a comparison of the
factors 0.5, 1 and 2 by evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from solvers import base
from solvers.inference.joint import JointInference
from solvers.inference.model import EstimatedGames
from solvers.inference.state import Settings
from solvers.inference.tried import TriedCommitments
from solvers.inverse_planning import InversePlanning
from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome

from ..bench import instances, measured
from .reach import held_from

GAME = instances.GAME
NOISE = 2.0
EPSILON = 0.3
DEFAULT: dict[str, Any] = {"episodes": 9}
PRICED: dict[str, Any] = {
    **{"episodes": 9, "first": 0, "explore": 0.0, "margin": 0.0, "scale": 0.3},
    **{"curiosity": 0.4, "population": 10, "searches": 10, "planning_steps": 30},
}
"""Chosen on the tuning list, as the row of ``rivals-outcomes``."""
LEADERS = {
    "default": DEFAULT,
    "default, confidence 0.9": {**DEFAULT, "confidence": 0.9},
    "priced information, confidence 0.9": {**PRICED, "margin": 0.01, "confidence": 0.9},
}
KNOWS = {
    "nothing": "nothing",
    "dynamics": "next states and its own rewards",
    "follower": "the follower's reward",
    "both": "the whole game",
}
SITUATIONS = ("adversarial follower", "noisy rewards")
SMALL = {"states": 3, "leader_actions": 2, "follower_actions": 2}
TOLERANCE = 0.03
FACTORS = (0.5, 1.0, 2.0)


class NoisyRounds(RepeatedGame):
    """Every reward of the leader comes with normal noise."""

    def play(self, *arguments: Any, **options: Any) -> Outcome:
        seen = super().play(*arguments, **options)
        noise = NOISE * self._rng.normal(size=seen.leader_rewards.shape)
        return replace(seen, leader_rewards=np.where(seen.alive.any(axis=1), seen.leader_rewards + noise, 0.0))


@dataclass(frozen=True)
class Informed(InversePlanning):
    """Believes the truth about part of the game."""

    true_tables: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    true_reward: np.ndarray | None = field(default=None, repr=False)

    def _model_of(
        self, oracle: Oracle, inference: JointInference, settings: Settings, tried: tuple[TriedCommitments, ...]
    ) -> EstimatedGames:
        known = [{**own, **self.true_tables} for own in inference.tables(settings)]
        return inference.game_with(oracle, settings, known, inference.rewards if self.true_reward is None else [self.true_reward])


def spend(knows: str, instance: int, seed: int, commitments: int = 20) -> dict[str, Any]:
    """The first commitment from which on 0.95 is held, None if there is none, and the score after three and five."""
    game = se.game(GAME, seed=instance)
    known = next(one for one in instances.candidates("tuning") if one.seed == instance)
    truth = game.problems(np.zeros(game.dimension))[0].joint
    own = {name: np.asarray(getattr(truth, name)) for name in ("transition", "leader_reward", "initial")}
    informed = Informed(
        **PRICED,
        true_tables=own if knows in ("dynamics", "both") else {},
        true_reward=np.asarray(truth.follower_reward) if knows in ("follower", "both") else None,
    )
    run = base.run(informed, game, start=np.zeros(game.dimension), budget=commitments, seed=seed, reports=commitments)
    scores = np.array([known.score(row["leader_return"]) for row in run.history])
    return {"held_from": held_from(np.arange(len(scores)), scores), "at3": round(float(scores[3]), 6), "at5": round(float(scores[5]), 6)}


def incumbents(situation: str, leader: str, instance: int, seed: int, commitments: int = 40) -> dict[str, Any]:
    """Scores of the incumbents of one run, and what was confirmed of them."""
    game = se.game(GAME, seed=instance)
    known = next(one for one in instances.candidates("reporting") if one.seed == instance)
    noisy = situation == "noisy rewards"
    follower = game.default_follower if noisy else se.EpsilonOptimal(EPSILON)
    rounds = (NoisyRounds if noisy else RepeatedGame)(game, follower, seed=seed)
    solver = solvers.build("inverse_planning", **LEADERS[leader])
    oracle, rng = rounds.oracle(solver.access), np.random.default_rng([seed, 0x501])
    state, rows = solver.init(oracle, np.zeros(game.dimension)), []
    for _ in range(commitments):
        state = solver.step(oracle, state, rng)
        assert state.row is not None
        value = float(se.evaluate(game, state.x, follower=follower).leader_return)
        rows.append((value, state.row.get("confirmed_return"), state.row.get("retracted")))
    start = float(se.evaluate(game, np.zeros(game.dimension), follower=follower).leader_return)
    scores = [(value - start) / (known.best - start) for value, _, _ in rows]
    held = None if rows[0][1] is None else float(np.mean([value >= bound for value, bound, _ in rows]))
    unsaid = None
    if held is not None:  # falls by more than a hundredth of the best so far, of which the history said nothing
        best = np.maximum.accumulate([value for value, _, _ in rows])
        unsaid = int(sum(value < 0.99 * top and back <= 0 for (value, _, back), top in zip(rows, best, strict=True)))
    return {"scores": np.round(scores, 6).tolist(), "held": held, "unsaid": unsaid}


def stop(seed: int, confidence: float) -> dict[str, Any]:
    """When a run stops, and what was left to gain."""
    game = se.game(GAME, seed=seed, **SMALL)
    start = np.zeros(game.dimension)
    best = solvers.solve(game, "multistart", start=start, budget=400, tolerance=1e-3, reports=1).leader_return
    options = {**PRICED, "confidence": confidence, "tolerance": TOLERANCE}
    run = solvers.solve(game, "inverse_planning", start=start, budget=60, seed=seed, reports=60, **options)
    row = run.history[-1]
    left = (best - run.leader_return) / abs(row["confirmed_return"])
    return {
        "commitments": run.cost.commitments,
        "stopped": row["improvement_bound"] <= TOLERANCE * abs(row["confirmed_return"]),
        "left": left,
    }


def assume(instance: int, factor: float, compares: bool) -> dict[str, Any]:
    """A run of 20 commitments whose leader assumes ``factor`` times the temperature, and what it takes in the end, over the truth."""
    game, options = se.game("subsidy-v0", seed=instance), dict(PRICED)
    true = getattr(game.default_follower, "temperature")  # noqa: B009 - of Soft
    if compares:
        options["temperatures"] = FACTORS
    start = np.zeros(game.dimension)
    best = solvers.solve(game, "multistart", start=start, budget=300, reports=1).leader_return
    told: dict[str, Any] = {"access": se.Access.INCENTIVE, "believed": (game, se.Soft(factor * true)), "start": start}
    run = solvers.solve(game, "inverse_planning", budget=20, seed=0, reports=20, **told, **options)
    first, last = run.history[0], run.history[-1]
    scores = [(row["leader_return"] - first["leader_return"]) / (best - first["leader_return"]) for row in run.history]
    taken = round(last["temperature"] / true, 6) if compares else None
    return {"at10": round(scores[10], 6), "at20": round(scores[-1], 6), "taken": taken}


def wanted() -> Iterator[measured.Measurement]:
    """What each record is about, and what measures it, with its arguments."""
    for about in product(KNOWS, instances.seeds("tuning"), (1000, 1001)):
        yield {"part": "spent", **dict(zip(("knows", "instance", "seed"), about, strict=True))}, spend, about
    for about in product(SITUATIONS, LEADERS, (1, 5, 7), (0,)):
        yield {"part": "incumbents", **dict(zip(("situation", "leader", "instance", "seed"), about, strict=True))}, incumbents, about
    for seed in range(6000, 6040):
        yield {"part": "stopping", "seed": seed}, stop, (seed, 0.9)
    for about in product((0, 1, 2), FACTORS, (False, True)):
        yield {"part": "assumptions", **dict(zip(("instance", "factor", "compares"), about, strict=True))}, assume, about


def markdown(rows: list[dict[str, Any]]) -> str:
    """Four tables for the documentation."""
    return "\n".join((_spending(rows), _incumbents(rows), _stopping(rows), _assumptions(rows)))


def _spending(rows: list[dict[str, Any]]) -> str:
    lines = ["| what is known | holds 0.95 by 20 | median commitments to it | score at 3 | score at 5 |", "|---|---|---|---|---|"]
    for knows, words in KNOWS.items():
        runs = [row for row in rows if row["part"] == "spent" and row["knows"] == knows]
        when = sorted(np.inf if row["held_from"] is None else row["held_from"] for row in runs)
        means = " | ".join(f"{np.mean([row[key] for row in runs]):.3f}" for key in ("at3", "at5"))
        lines.append(f"| {words} | {int(np.isfinite(when).sum())} of {len(runs)} | {when[len(when) // 2]:g} | {means} |")
    return "\n".join(lines) + "\n"


def _incumbents(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| situation: leader | score at 10 | at 20 | at 40 | largest fall, mean | largest fall, worst | bound holds | falls unsaid |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for situation, leader in product(SITUATIONS, LEADERS):
        runs = [row for row in rows if row["part"] == "incumbents" and (row["situation"], row["leader"]) == (situation, leader)]
        scores = np.array([row["scores"] for row in runs])
        falls = (np.maximum.accumulate(scores, axis=1) - scores).max(axis=1)
        said = runs[0]["held"] is not None
        held = f"{np.mean([row['held'] for row in runs]):.2f}" if said else "-"
        unsaid = str(sum(row["unsaid"] for row in runs)) if said else "all"
        means = " | ".join(f"{scores[:, k - 1].mean():.3f}" for k in (10, 20, 40))
        lines.append(f"| {situation}: {leader} | {means} | {falls.mean():.3f} | {falls.max():.3f} | {held} | {unsaid} |")
    return "\n".join(lines) + "\n"


def _stopping(rows: list[dict[str, Any]]) -> str:
    runs = [row for row in rows if row["part"] == "stopping"]
    stopped = [row for row in runs if row["stopped"]]
    wrong = sum(row["left"] > TOLERANCE for row in stopped)
    commitments = [row["commitments"] for row in stopped]
    quantiles = ", ".join(f"{value:.0f}" for value in np.quantile(commitments, (0.5, 0.9, 1.0)))
    lines = [
        "| confidence | tolerance | stopped within 60 | commitments (median, 90 %, most) | wrong | most that was left |",
        "|---|---|---|---|---|---|",
        f"| 0.9 | {TOLERANCE:.2f} | {len(stopped)} of {len(runs)} | {quantiles} | {wrong} of {len(stopped)} | "
        f"{max(row['left'] for row in stopped):.3f} |",
    ]
    return "\n".join(lines) + "\n"


def _assumptions(rows: list[dict[str, Any]]) -> str:
    lines = ["| temperature assumed | compared | score at 10 | at 20 | taken in the end, over the truth |", "|---|---|---|---|---|"]
    for compares, factor in product((False, True), FACTORS):
        runs = [row for row in rows if (row["part"], row.get("compares"), row.get("factor")) == ("assumptions", compares, factor)]
        taken = ", ".join(f"{row['taken']:g}" for row in runs) if compares else "-"
        means = " | ".join(f"{np.mean([row[key] for row in runs]):.3f}" for key in ("at10", "at20"))
        lines.append(f"| x {factor:g} | {'yes' if compares else 'no'} | {means} | {taken} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not recorded yet, and write the record and the tables."""
    measured.record_rows(__doc__, wanted(), markdown, name="confirmation")


if __name__ == "__main__":
    main()
