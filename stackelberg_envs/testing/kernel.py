"""Do the steps of an environment follow its model's kernel?  The check that both published Four Rooms would have failed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from .driver import Driver
from .report import require


def compare_with_model(env: Any, seed: int, steps: int) -> str | None:
    """Play ``steps`` moves at random and compare them with ``env.unwrapped.game``; raises `Violation`, or returns why it cannot."""
    kind = env.unwrapped.game.null_worlds[0].kind
    compare = {"tables": compare_with_tables, "vectors": compare_with_steps}.get(kind)
    return f"there is no comparison for worlds of kind {kind!r}" if compare is None else compare(env, seed, steps)


def compare_with_tables(env: Any, seed: int, steps: int) -> None:
    """Moves follow the rows of the transition, and pay what the tables say."""
    rng = np.random.default_rng(seed)
    inner = env.unwrapped
    groups = inner.game.groups
    tally = {"transitions": GoodnessOfFit(rng), "first states": GoodnessOfFit(rng), "leader actions": GoodnessOfFit(rng)}
    moves, episode = 0, 0
    commits = isinstance(env.action_space(env.possible_agents[0]), Box)
    if inner.game.crowd:  # each commitment takes an equilibrium of the crowd
        steps //= 20
    while moves < steps:
        driver = Driver(env, seed + episode, calm=0.3)
        episode += 1
        problems: tuple[Any, ...] = ()
        while not driver.is_over and moves < steps:
            before, leader_actions = inner.states, inner.leader_actions
            if not problems and inner.commitment is not None:
                problems = inner.game.problems(inner.commitment, inner.context)
                for process, group in zip(problems, groups, strict=True):
                    tally["first states"].add(process.initial, before[group[0]], lambda: "an episode started in state")
            chosen = driver.choose()
            acting = driver.acting()
            moment = driver.advance(chosen)
            if not any(agent.startswith("follower") for agent in acting) or not driver.moved:
                continue
            moves += 1
            if not commits:
                leader_actions = (int(driver.led),)
            paid = dict.fromkeys(moment.rewards, 0.0)
            for process, group in zip(problems, groups, strict=True):
                s, first = before[group[0]], group[0]
                if s == process.sizes[0]:
                    continue
                a = leader_actions[first]
                b = int(np.ravel_multi_index([driver.followed[f"follower_{i}"] for i in group], process.actions))
                if commits and process.sizes[1] > 1:
                    tally["leader actions"].add(process.leader_policy[s], a, lambda s=s: f"in state {s}: the leader's action was")
                row = process.transition[s, a, b]
                full = np.append(row, max(0.0, 1 - row.sum()))
                came = partial("from state {} with actions (leader {}, follower {}): the environment went to".format, s, a, b)
                tally["transitions"].add(full, inner.states[first], came, end=True)
                for i, reward in zip(group, process.follower_rewards[:, s, a, b], strict=True):
                    paid[f"follower_{i}"] += float(reward)
                paid["leader_0"] += float(process.leader_reward[s, a, b])
            for agent, reward in moment.rewards.items():
                require(abs(reward - paid[agent]) < 1e-9, f"{agent} was paid {reward}, the model says {paid[agent]} in {before}")
    for what, counted in tally.items():
        counted.test_fit(what)


def compare_with_steps(env: Any, seed: int, steps: int) -> None:
    """The same where states are vectors: with the environment's own noise, a step of the model is the environment's step."""
    inner, moves, episode = env.unwrapped, 0, 0
    commits = env.action_space(env.possible_agents[0]) == inner.game.leader_space
    while moves < min(steps, 2000):
        driver = Driver(env, seed + episode, calm=0.3)
        episode += 1
        while not driver.is_over and moves < steps:
            before, led, rng = inner.states[0], inner.leader_actions[0], copy.deepcopy(inner.np_random)
            acting = driver.acting()
            moment = driver.advance()
            if not any(agent.startswith("follower") for agent in acting) or not driver.moved:
                continue
            moves += 1
            (process,) = inner.game.problems(inner.commitment, inner.context)
            led = led if commits else driver.led
            states, led = before[None], np.zeros((1, 0)) if led is None else np.asarray(led, dtype=np.float64)[None]
            actions = np.asarray(driver.followed["follower_0"])
            actions = (actions.astype(np.float64) if process.follower_action.shape else actions)[None]
            arrived, ended = process.step(states, led, actions, rng.random((1, process.noise.step)))
            earned, paid = process.rewards(states, led, actions, arrived)
            after = inner.states[0]
            require((after is None) == bool(ended[0]), f"the model and the environment end at different times, in state {before}")
            require(after is None or np.allclose(after, arrived[0], atol=1e-12, rtol=1e-12), f"a step from {before} is not the model's")
            for agent, due in (("leader_0", paid), ("follower_0", earned)):
                require(abs(moment.rewards[agent] - float(due[0])) <= 1e-9 * (1 + abs(float(due[0]))), f"{agent} is not paid by the model")


class GoodnessOfFit:
    """Two tests of draws against their distributions: log-likelihood, and uniformity of the randomised probability transform.

    False alarms at five standard errors: fewer than one in a million.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.surprise, self.variance, self.uniforms = 0.0, 0.0, []

    def add(self, probabilities: Any, drawn: int, said: Callable[[], str], *, end: bool = False) -> None:
        """One draw.

        Args:
            probabilities: of all indices.
            drawn: the index that came.
            said: returns the beginning of the message about an impossible draw; only then it is called.
            end: whether the last index is the end of the episode.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        if not p[drawn] > 1e-12:
            last = len(p) - 1 if end else -1
            came, there = [drawn], np.flatnonzero(p > 1e-12).tolist()
            names, expected = (["the end" if i == last else str(i) for i in some] for some in (came, there))
            several = " or ".join(expected[:4]) + f" or one of {len(there) - 4} others" * (len(there) > 4)
            require(False, f"{said()} {names[0]}, and the model says {'that the episode ends' if there == [last] else several}")
        positive = p[p > 0]
        entropy = -float((positive * np.log(positive)).sum())
        self.surprise += -math.log(p[drawn]) - entropy
        self.variance += float((positive * np.log(positive) ** 2).sum()) - entropy**2
        below = float(p[:drawn].sum())
        self.uniforms.append(below + float(self.rng.random()) * p[drawn])

    def test_fit(self, what: str) -> None:
        """Raise `Violation` unless the draws follow their distributions."""
        from scipy.stats import kstest

        if self.variance > 0:
            z = self.surprise / math.sqrt(self.variance)
            require(
                abs(z) < 5, f"{what} do not follow the model: log-likelihood off by {z:.1f} standard errors in {len(self.uniforms)} draws"
            )
        if len(self.uniforms) >= 20:
            p = float(kstest(np.clip(self.uniforms, 0, 1), "uniform").pvalue)
            require(p > 1e-7, f"{what} do not follow the model: probability transform is not uniform (p = {p:.1e})")
