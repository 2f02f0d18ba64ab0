"""Methods that learn a reward from preferences, with equal budgets of environment steps and of labels, and one referee.

After a warm-up in which an untrained policy plays (all but the ceiling spend it on ``first_pairs``), a round is two plays:

========= ================================================================================================================
two_stage all labels are on warm-up play; the reward is fitted once, then the follower is trained on it
iterated  label pairs of the newest play, fit, train the follower on that play; twice a round (Christiano et al., NeurIPS 2017)
sobirl    the same, the fit with the reaction term of `reward` (Yang, Gao, Yuan, AISTATS 2025)
pbrl      min_{x,y} f(x, y) + lambda (V_x^{pi_hat} - V_x^{pi_y}) (Shen, Yang, Chen, JMLR 2025): pi_y plays and its pairs are labelled,
          pi_hat plays; x descends the penalised loss of `reward`; pi_hat is trained on r_x, pi_y on r_x and its share of -f
ceiling   the follower is trained on the true reward, warm-up included; no labels
========= ================================================================================================================

pi_y ascends V_x^y - f(x, y) / lambda.  With V the mean reward of a step and f the mean of ell over the P newest pairs, the score-function
gradient of -f / lambda over a play of M steps is that of paying, at the last step of each of a pair's segments, ::

    -(M / P) (ell_pair - mean ell of the other pairs) / lambda

which PPO's advantages credit to earlier steps.  That is hundreds of the reward's standard deviations on a few steps: a copy that learns
from nothing else does not follow the reward at all.  So each round, after the reward, pi_hat learns from both plays (pi_y's is nearly its
own), pi_y starts from the new pi_hat and makes one update more, and both play from the same starts; V is the mean of the newest plays.

The history's curve is the true return of the policy in training: the follower, and pi_hat for pbrl.  The end is judged twice: that
policy, and a *fresh* one that has ``fresh_steps`` for the final reward (uncharged, the same for all), which judges the reward alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stackelberg_envs.arguments import nearest

from ..leader_ppo import private_generators
from .follower import Follower, Task, true_returns
from .reward import RewardNet, Term, bradley_terry, excess, fit, penalty, reaction
from .settings import Settings
from .teacher import Memory, Pairs, Places, Rollout, Teacher

METHODS = ("two_stage", "iterated", "sobirl", "pbrl", "ceiling")
STRIDE = 5
"""The penalty's means are over every fifth step of the recent plays; neighbours are nearly the same."""
Report = Callable[[int, dict[str, Any]], None]
"""Called with (environment steps so far, the newest row of the history)."""


def learn(method: str, settings: Settings, seed: int, report: Report | None = None) -> dict[str, Any]:
    """Run one method; everything in the result is a function of the arguments.

    Args:
        method: one of ``METHODS``.
        settings: budgets and hyperparameters.
        seed: of all noise.
        report: called after each round.

    Returns:
        ``history`` (a row a round: steps, labels, true_return, loss), ``true_return`` and ``fresh_return`` (the referee's).

    Raises:
        ValueError: on an unknown method, or a budget that is not even one round.
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; {nearest(method, METHODS)}")
    rng = np.random.default_rng(seed)
    with private_generators(rng):
        return _Run(settings, rng, report).run(method)


class _Run:
    """One run: its policies are few, its teacher, memory and reward are one."""

    def __init__(self, settings: Settings, rng: np.random.Generator, report: Report | None) -> None:
        self.settings, self.rng, self.report = settings, rng, report
        self.task = Task(settings.task)
        self.play_steps = self.task.steps * settings.episodes
        self.rounds = (settings.steps // self.play_steps - settings.warm_up) // 2
        if self.rounds < 1:
            least = (settings.warm_up + 2) * self.play_steps
            raise ValueError(f"{settings.steps} steps are not even one round after the warm-up; {settings.task} needs at least {least}")
        self.teacher, self.memory = Teacher(settings.segment, settings.temperature), Memory(settings.memory)
        self.net = RewardNet(self.task.inputs(np.zeros(self.task.observations.shape), self.task.actions.low).size)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=settings.rate, weight_decay=settings.decay)
        self.shift, self.scale = 0.0, 1.0
        self.recent: list[tuple[np.ndarray, np.ndarray]] = []
        self.steps = self.labels = 0
        self.history: list[dict[str, Any]] = []

    def run(self, method: str) -> dict[str, Any]:
        s, true = self.settings, method == "ceiling"
        follower = self.follower()
        copy = self.follower() if method == "pbrl" else None
        warm = []
        for _ in range(s.warm_up):
            warm.append(self.play(follower))
            if true:
                follower.improve(self._scale_true_rewards(warm[-1].rewards))
        if not true:
            self.ask(_concatenate(warm), s.first_pairs + (self.rounds * s.pairs if method == "two_stage" else 0))
            self.fit(s.first_epochs)
        self.note(follower, None)
        for _ in range(self.rounds):
            if copy is not None:
                loss = self.pbrl(copy, follower)
            else:
                loss = float("nan")
                for pairs in (s.pairs // 2, s.pairs - s.pairs // 2):
                    rollout = self.play(follower)
                    if method in ("iterated", "sobirl"):
                        newest, _ = self.ask(rollout, pairs)
                        loss = self.fit(max(1, s.epochs // 2), self.reaction(newest, follower) if method == "sobirl" else None)
                    follower.improve(self._scale_true_rewards(rollout.rewards) if true else self.scaled_rewards(rollout))
            self.note(follower, loss)
        return self.final_record(follower, true)

    def pbrl(self, copy: Follower, answer: Follower) -> float:
        """One round of the penalty method; the mean loss of the memory."""
        s = self.settings
        starts = int(self.rng.integers(2**31))
        own, best = self.play(copy, starts), self.play(answer, starts)
        pairs, places = self.ask(own, s.pairs)
        self.recent = [*self.recent, (best.inputs[::STRIDE], own.inputs[::STRIDE])][-s.plays :]
        answered, copied = (np.concatenate(plays, axis=1) for plays in zip(*self.recent, strict=True))
        loss = self.fit(s.epochs, penalty(answered, copied, s.penalty))
        answer.improve(self.scaled_rewards(best))
        answer.improve(self.scaled_rewards(own), player=copy)
        copy.copy_state_from(answer)
        copy.improve(self.scaled_rewards(own) + self.share(pairs, places, own) / self.scale)
        return loss

    def share(self, pairs: Pairs, places: Places, rollout: Rollout) -> np.ndarray:
        """What -f / lambda pays pi_y for its play, (T, N)."""
        with torch.no_grad():
            ell = excess(bradley_terry(self.net, torch.as_tensor(pairs.inputs), torch.as_tensor(pairs.first))).numpy()
        paid = np.zeros(rollout.rewards.shape)
        amount = -paid.size / len(ell) * ell / self.settings.penalty
        np.add.at(paid, (places.starts + self.settings.segment - 1, places.episodes), np.repeat(amount[:, None], 2, axis=1))
        return paid

    def reaction(self, pairs: Pairs, follower: Follower) -> Term:
        s = self.settings
        actions = follower.sample_actions(pairs.observations, s.draws)
        observations = np.broadcast_to(pairs.observations[..., None, :], (*actions.shape[:-1], pairs.observations.shape[-1]))
        return reaction(pairs, self.task.inputs(observations, actions), s.alpha)

    def follower(self) -> Follower:
        return Follower(self.task, episodes=self.settings.episodes, seed=int(self.rng.integers(2**31)), options=self.settings.ppo)

    def play(self, follower: Follower, seed: int | None = None) -> Rollout:
        self.steps += self.play_steps
        return follower.play(seed)

    def ask(self, rollout: Rollout, count: int) -> tuple[Pairs, Places]:
        pairs, places = self.teacher.ask(rollout, count, self.rng)
        self.memory.add(pairs)
        self.labels += count
        return pairs, places

    def fit(self, epochs: int, term: Term | None = None) -> float:
        """Fit the reward, and standardise what it pays by its mean and spread over the remembered segments (Christiano et al.)."""
        loss = fit(self.net, self.optimiser, self.memory.all, epochs=epochs, batch=self.settings.batch, term=term)
        known = self.net.predict(self.memory.all.inputs)
        self.shift, self.scale = float(known.mean()), max(float(known.std()), 1e-6)
        return loss

    def scaled_rewards(self, rollout: Rollout) -> np.ndarray:
        return (self.net.predict(rollout.inputs) - self.shift) / self.scale

    def _scale_true_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """True rewards on the same scale: by the first play's mean and spread, which stay."""
        if self.labels == 0 and (self.shift, self.scale) == (0.0, 1.0):
            self.shift, self.scale = float(rewards.mean()), max(float(rewards.std()), 1e-6)
        return (rewards - self.shift) / self.scale

    def note(self, follower: Follower, loss: float | None) -> None:
        returned = float(true_returns(self.task, follower, range(10_000, 10_000 + self.settings.starts)).mean())
        row = {"steps": self.steps, "labels": self.labels, "true_return": returned}
        self.history.append(row if loss is None or np.isnan(loss) else {**row, "loss": loss})
        if self.report is not None:
            self.report(self.steps, row)

    def final_record(self, follower: Follower, true: bool) -> dict[str, Any]:
        fresh = self.follower()
        for _ in range(max(1, self.settings.fresh_steps // self.play_steps)):
            rollout = fresh.play()
            fresh.improve(self._scale_true_rewards(rollout.rewards) if true else self.scaled_rewards(rollout))
        ends = range(20_000, 20_000 + 5 * self.settings.starts)
        return {
            "history": self.history,
            "true_return": float(true_returns(self.task, follower, ends).mean()),
            "fresh_return": float(true_returns(self.task, fresh, ends).mean()),
        }


def _concatenate(rollouts: list[Rollout]) -> Rollout:
    """Plays of one policy as one, episodes side by side."""
    names = ("inputs", "observations", "rewards")
    return Rollout(*(np.concatenate([getattr(rollout, name) for rollout in rollouts], axis=1) for name in names))
