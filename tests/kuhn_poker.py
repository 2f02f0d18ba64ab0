"""Kuhn poker (Kuhn, 1950) as a PettingZoo AEC, and an independent solver of its best responses by recursion over deals.

Three cards, an ante of 1 each; player_0 may bet 1 or pass, and so on.  Its value is -1/18 for player_0.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv

PASS, BET = 0, 1
DEALS = list(permutations(range(3), 2))
Strategy = Callable[[int, str], float]
"""The probability of a bet, given one's card and the history."""


def payment(deal: tuple[int, int], history: str) -> float | None:
    """What player_1 pays player_0, or None where the hand goes on."""
    showdown = 1 if deal[0] > deal[1] else -1
    return {"pp": showdown, "bb": 2 * showdown, "pbb": 2 * showdown, "bp": 1, "pbp": -1}.get(history)


def value(strategies: tuple[Strategy, Strategy], deal: tuple[int, int], history: str = "") -> float:
    """What player_0 expects."""
    paid = payment(deal, history)
    if paid is not None:
        return float(paid)
    player = len(history) % 2
    bets = strategies[player](deal[player], history)
    return bets * value(strategies, deal, history + "b") + (1 - bets) * value(strategies, deal, history + "p")


def best_value(strategies: tuple[Strategy, Strategy], player: int) -> float:
    """The largest mean return of ``player`` over its 2^6 pure strategies, while the other keeps to its own."""
    histories: tuple[str, str] = ("", "pb") if player == 0 else ("p", "b")
    places = list(product(range(3), histories))
    best = -np.inf
    for choice in product((0.0, 1.0), repeat=len(places)):
        table: dict[Any, float] = dict(zip(places, choice, strict=True))
        mine: Strategy = lambda card, history, table=table: table[card, history]  # noqa: E731
        both = (mine, strategies[1]) if player == 0 else (strategies[0], mine)
        mean = float(np.mean([value(both, deal) for deal in DEALS]))
        best = max(best, mean if player == 0 else -mean)
    return best


class KuhnPoker(AECEnv[str, Any, Any]):
    """The game; an observation is one's card and the history, one-hot (3 + 6)."""

    metadata = {"name": "kuhn_poker", "is_parallelizable": False}

    def __init__(self) -> None:
        super().__init__()
        self.possible_agents = ["player_0", "player_1"]
        self.render_mode = None
        self.observation_spaces: Any = {agent: Box(0.0, 1.0, (9,), np.float32) for agent in self.possible_agents}
        self.action_spaces: Any = {agent: Discrete(2) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.deal = DEALS[np.random.default_rng(seed).integers(6)]
        self.history, self.agents, self.agent_selection = "", self.possible_agents[:], "player_0"
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}

    def observe(self, agent: str) -> np.ndarray:
        seen = np.zeros(9, np.float32)
        seen[self.deal[self.possible_agents.index(agent)]] = 1
        for i, letter in enumerate(self.history[:3]):
            seen[3 + 2 * i + (letter == "b")] = 1
        return seen

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self.history += "pb"[int(action or 0)]
        paid = payment(self.deal, self.history)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if paid is not None:
            self.rewards = {"player_0": float(paid), "player_1": -float(paid)}
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = self.possible_agents[len(self.history) % 2]
