"""How long soft actor-critic takes to balance guided_cartpole against a leader who blows only noise, and whether both views agree on it.

Each seed trains one persistent follower; every 1,000 environment steps the referee scores its answer over 2,000 episodes, and at the end it
also plays 200 episodes through the PettingZoo view.  A balanced pole stands for all 200 steps.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

import stackelberg_envs as se
from solvers.learners import SAC
from stackelberg_envs.play.monte_carlo import discounted_return, monte_carlo

from ..bench import measured
from ..bench.stats import mean_interval

STEPS, EVERY, EPISODES = 15_000, 1_000, 200


def measure(seeds: int) -> measured.Rows:
    """Rows of every seed and report."""
    game = se.game("guided_cartpole-v0")
    x = np.zeros(game.dimension)
    rows: measured.Rows = []
    follower = SAC(EVERY)
    states: dict[int, Any] = dict.fromkeys(range(seeds))
    for part, seed in track([(t, s) for s in range(seeds) for t in range(STEPS // EVERY)], description="SAC follower"):
        response = follower.respond(game, x, rng=np.random.default_rng([seed, part]), state=states[seed])
        states[seed] = response.state
        (process,) = game.problems(x)
        for deterministic in (False, True):
            policy = dataclasses.replace(response.policy, deterministic=deterministic)
            played, episodes = monte_carlo(process, policy, game.max_cycles)
            own, stood = discounted_return(played.follower_rewards, process.follower_discount), played.alive.sum(-1)
            row = {"seed": seed, "trained": response.state.trained, "deterministic": deterministic, "episodes": episodes}
            row |= {"follower_return": own.mean(), "follower_return_error": own.std(ddof=1) / episodes**0.5}
            row |= {"balanced_steps": stood.mean(), "balanced_steps_error": stood.std(ddof=1) / episodes**0.5}
            row |= {"leader_return": discounted_return(played.leader_rewards, process.leader_discount).mean()}
            if response.state.trained == STEPS:
                returns = play_in_environment(game, x, policy, EPISODES, seed)
                row |= {"view_return": returns.mean(), "view_return_error": returns.std(ddof=1) / EPISODES**0.5}
            rows.append({name: value if isinstance(value, (bool, int)) else round(float(value), 4) for name, value in row.items()})
    return rows


def play_in_environment(game: se.StackelbergGame, x: np.ndarray, policy: Any, episodes: int, seed: int) -> np.ndarray:
    """The follower's discounted_return returns (N,) in ``episodes`` of the AEC environment."""
    from stackelberg_envs.views.aec import StackelbergAEC

    env, rng, returns = StackelbergAEC(game), np.random.default_rng([seed, 1]), []
    env.reset(seed=seed)
    for episode in range(episodes):
        if episode:
            env.reset()
        env.step(x)
        while not (env.terminations["follower_0"] or env.truncations["follower_0"]):
            s, a = env.states[0], env.leader_actions[0]
            env.step(policy.act(s[None], a[None], rng.random((1, policy.noise)))[0])
        returns.append(env.infos["follower_0"]["discounted_return"])
    return np.array(returns)


def draw(rows: measured.Rows) -> Figure:
    """Steps that the pole stands against environment steps, mean and 95 % over seeds."""
    figure = Figure(figsize=(6, 3.2))
    axis = figure.subplots()
    for i, (deterministic, label) in enumerate(((False, "whole policy"), (True, "its mean"))):
        chosen = [row for row in rows if row["deterministic"] is deterministic]
        at = sorted({row["trained"] for row in chosen})
        found = [mean_interval([row["balanced_steps"] for row in chosen if row["trained"] == t]) for t in at]
        centres = np.array([interval.centre for interval in found])
        errors = np.abs(np.array([(interval.low, interval.high) for interval in found]).T - centres)
        axis.errorbar(np.array(at) + 100 * i, centres, errors, marker="o", ms=3, lw=1.4, label=label)
    axis.set_xlabel("environment steps of training")
    axis.set_ylabel("steps balanced, of 200")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=10)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, name="sac-cartpole", option="seeds", count=3, words="followers trained")
