"""Worlds of many states for timing: random lists and a slippery grid, whose leader subsidises states, one component of x each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.worlds.mdp import InducedMDP

DISCOUNT, TEMPERATURE, MOST = 0.99, 0.01, 0.1
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


@dataclass(frozen=True)
class World:
    """A design game: r_F(s,b) = u_F(s,b) + ``MOST`` tanh x(s), and the leader has u_L(s,b) less what it pays."""

    name: str
    transition: SuccessorLists
    follower: torch.Tensor
    leader: torch.Tensor

    @property
    def states(self) -> int:
        return len(self.transition.successors.table)

    def induced(self, x: torch.Tensor) -> InducedMDP:
        """What the follower faces, with its history in x (S,)."""
        subsidy = MOST * torch.tanh(x)[:, None, None]
        one = torch.ones(self.states, 1, dtype=x.dtype)
        rewards = self.follower + subsidy, self.leader - subsidy
        return InducedMDP(one, self.transition, *rewards, one[:, 0] / self.states, DISCOUNT, DISCOUNT)


def _world(name: str, table: np.ndarray, probabilities: np.ndarray, rng: np.random.Generator) -> World:
    follower, leader = torch.as_tensor(rng.uniform(size=(2, *probabilities.shape[:-1])))
    return World(name, SuccessorLists(Successors(table), torch.as_tensor(probabilities)), follower, leader)


def garnet(states: int, actions: int = 4, successors: int = 5, seed: int = 0) -> World:
    """Lists at random, weighted by Dirichlet(1): the chain forgets in a few steps."""
    rng = np.random.default_rng(seed)
    table = np.sort(rng.integers(states, size=(states, 1, actions, successors)), axis=-1)
    weights = rng.exponential(size=table.shape)
    return _world(f"garnet {states:,}", table, weights / weights.sum(axis=-1, keepdims=True), rng)


def grid(side: int, slip: float = 0.2, seed: int = 0) -> World:
    """A square room whose floor pays at random; the chain forgets as slowly as one walks across it.  All actions share their lists."""
    states = side * side
    row, col = np.divmod(np.arange(states), side)
    ahead = [np.clip(row + down, 0, side - 1) * side + np.clip(col + right, 0, side - 1) for down, right in MOVES]
    table = np.stack(ahead, axis=-1)
    order = np.argsort(table, axis=-1, kind="stable")  # a wall lists its cell twice, which is as good as once
    weights = np.where(np.eye(4) > 0, 1 - slip, slip / 3)
    probabilities = np.stack([np.take_along_axis(np.broadcast_to(own, table.shape), order, axis=-1) for own in weights], axis=1)
    table = np.take_along_axis(table, order, axis=-1)
    return _world(f"grid {side} x {side}", table[:, None, None], probabilities[:, None], np.random.default_rng(seed))
