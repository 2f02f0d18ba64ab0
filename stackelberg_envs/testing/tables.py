"""Tables of anybody's environment, and whether its steps follow them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from .actions import sample
from .driver import Driver
from .kernel import GoodnessOfFit
from .report import require
from .role_checks import first_actions_matter
from .subject import Subject

Table = Any
"""An array, or a function of ``env.unwrapped`` that returns one; the function is called before each move of the world."""


@dataclass(frozen=True)
class Tables:
    """What an environment's author says of its world, for comparison with what it does.

    Attributes:
        state: of ``env.unwrapped``, the index of its state; S, the number of states, after an end that is in the tables.
        transition: (S, B, S), or (S, B_0, B_1, ..., S) with one axis for each of ``agents``; what a row lacks is the end, and a row of
            zeros an end for certain, also by truncation if ``state`` counts that as one.
        rewards: for each agent that is compared, (S, B), (S, B_0, B_1, ...), or one axis more for the next state; 0 at the end.
        agents: whose actions the axes are; None for all followers.

    Each table is an array or a function of ``env.unwrapped`` that returns one, so that it may depend on what the leader has committed to.
    """

    state: Callable[[Any], int]
    transition: Table
    rewards: Mapping[str, Table] | Callable[[Any], Mapping[str, Table]]
    agents: tuple[str, ...] | None = None


def compare_with_tables(subject: Subject, tables: Tables, steps: int) -> None:
    """Play ``steps`` moves of the world at random: they follow the rows, pay what the tables say, and followers see no next state."""
    rng, moves, episode = np.random.default_rng(subject.seed), 0, 0
    fit, forecasts = GoodnessOfFit(rng), _Forecasts()
    agents, leader = tables.agents or subject.roles.followers, subject.roles.leader
    space, two_phases = subject.env.action_space(leader), not subject.aec and not first_actions_matter(subject)
    announced = [sample(space, rng, 0.5) for _ in range(3)] if isinstance(space, Box) else []  # few, so that moves can be compared
    while moves < steps:
        driver = Driver(subject.env, subject.seed + episode, subject.roles, env_seed=subject.seed + episode, calm=0.5)
        inner, episode, started = subject.env.unwrapped, episode + 1, moves
        while not driver.is_over and moves < steps:
            acted, before, seen, paid = set[str](), tables.state(inner), "", defaultdict[str, float](float)
            transition, rewards = _value(tables.transition, inner), _value(tables.rewards, inner)
            while not driver.is_over and not acted.issuperset(agents):
                mover = driver.acting()
                if set(mover) & set(agents) and not acted:
                    transition, rewards = _value(tables.transition, inner), _value(tables.rewards, inner)
                    seen = _key([driver.snapshot().observations.get(agent) for agent in agents])
                chosen = driver.choose()
                if announced and chosen.get(leader) is not None:
                    chosen[leader] = announced[episode % 3].copy()
                moment = driver.advance(chosen)
                acted |= set(mover) & set(agents) if driver.moved else set()
                if two_phases and driver.moves == 1:
                    acted.clear()  # only the leader's action counted
                for agent, reward in moment.rewards.items():
                    paid[agent] += float(reward)
            if not acted.issuperset(agents):
                break
            moves += 1
            latest = {**driver.followed, leader: driver.led}
            taken = tuple(int(latest[agent]) - _start(subject, agent) for agent in agents)
            after, table = tables.state(inner), np.asarray(transition, dtype=np.float64)
            _require_states(before, after, table.shape[0])
            row = table[(before, *taken)]
            full = np.append(row, max(0.0, 1 - row.sum()))
            came = partial("from state {} with actions {}: the environment went to".format, before, taken)
            fit.add(full, after, came, end=True)
            forecasts.add((before, taken, full.tobytes()), seen, full, after)
            for agent, table in rewards.items():
                due = np.asarray(table, dtype=np.float64)[(before, *taken)]
                due = float(due if due.ndim == 0 else np.append(due, 0.0)[after])
                where = f"{agent} was paid {paid[agent]:.6g}, and the model says {due:.6g}, in state {before} with actions {taken}"
                require(abs(paid[agent] - due) <= 1e-6 * (1 + abs(due)), where)
        require(moves > started or episode < 50, "no move of the world was seen, so that nothing was compared with the model")
    fit.test_fit("transitions")
    forecasts.test()


def _require_states(before: int, after: int, count: int) -> None:
    """A move begins in a state of the tables, and leads to one or to the end."""
    require(
        0 <= before < count, f"state gives {before} before a move, and the tables have states 0 to {count - 1}; {count} is after the end"
    )
    require(
        0 <= after <= count, f"from state {before} state gives {after}: the tables have states 0 to {count - 1}, and {count} is the end"
    )


def _value(table: Any, inner: Any) -> Any:
    return table(inner) if callable(table) else table


def _key(shown: list[Any]) -> str:
    """Text that tells observations apart; the bytes of arrays, whose own text takes long."""
    return repr([one.tobytes() if isinstance(one, np.ndarray) else one for one in shown])


def _start(subject: Subject, agent: str) -> int:
    return int(getattr(subject.env.action_space(agent), "start", 0))


class _Forecasts:
    """Whether what followers are shown tells the next state, beyond what state and actions do: a chi-square test given both."""

    def __init__(self) -> None:
        self.counts: dict[tuple[Any, str], np.ndarray] = {}
        self.rows: dict[tuple[Any, str], np.ndarray] = {}

    def add(self, key: Any, seen: str, row: np.ndarray, after: int) -> None:
        """One move: state and actions, what was shown, the probabilities and the next state."""
        counts = self.counts.setdefault((key, seen), np.zeros(len(row)))
        counts[after] += 1
        self.rows[key, seen] = row

    def test(self) -> None:
        """Raise `Violation` if next states, given what was shown, do not follow their rows."""
        from scipy.stats import chi2

        statistic, freedom = 0.0, 0
        for key, counts in self.counts.items():
            expected = counts.sum() * self.rows[key]
            likely = expected > 1
            if likely.sum() > 1 and counts.sum() >= 4:
                statistic += float(((counts - expected)[likely] ** 2 / expected[likely]).sum())
                freedom += int(likely.sum()) - 1
        p = float(chi2.sf(statistic, freedom)) if freedom else 1.0
        require(p > 1e-12, f"what followers are shown tells which state comes next, beyond state and actions (p = {p:.1e})")
