"""Leaders who train copies of their followers: x and the copies' logits y ascend together, by first-order gradients.

The state between two steps is the point (x, y) with the gradients there; a step follows them and computes the gradients at the new point:

1. an update of `solvers.optimisers` moves x and y along the gradients
2. commit to x; ``copy_steps`` - 1 times, y alone takes a further step
3. gradients in x and y (each subclass its own), and what the leader would earn if its followers were the copies

so that what a step reports is of the commitment that it ends at, which the referee scores with followers of its own:
``optimism_gap`` in the history is the difference.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from stackelberg_envs.arguments import nearest
from stackelberg_envs.leader.access import Access, Oracle, Permission
from stackelberg_envs.processes.mdp import MDP, available_actions, broadcast_over_leader_actions

from .base import Solver, State, StepGradient
from .estimators.implicit import batches
from .optimisers import OPTIMISERS, Optimiser


@dataclass
class Copies:
    """A commitment, and a copy of each follower in each context."""

    x: torch.Tensor
    logits: list[torch.Tensor]
    """Of the copies' policies, (..., S, N, B) each; those of equal sizes are one tensor."""
    optimiser: Optimiser
    gradients: list[torch.Tensor] = field(default_factory=list)
    """Of x and of each of ``logits``."""
    direct: torch.Tensor | None = None
    """Of x, the part that pays the leader while the copies stay what they are, (n,); where the run is measured."""
    updates: int = 0
    memory: Any = None
    """The subclass's own: warm starts, baselines."""

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [self.x, *self.logits]

    def differentiate(self, oracle: Oracle, objective: torch.Tensor, paid: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of ``objective`` in x and in the copies' logits, and in x that of its part ``paid``: `direct`.

        ``x`` is the commitment, or a constant of the same numbers where the copies alone move.
        """
        if not x.requires_grad:
            return [x, *derivatives(objective, self.logits)]
        if oracle.measured:
            (self.direct,) = derivatives(paid, [x], again=True)
        return derivatives(objective, [x, *self.logits])

    def update(self, gradients: list[torch.Tensor | None]) -> None:
        """One step of the optimiser; what has no gradient stays."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad()


@dataclass(frozen=True)
class CopyAscent(Solver):
    """What methods with copies share.

    Args:
        lr: learning rate of x.
        copy_lr: learning rate of the copies' logits, above ``lr`` so that they keep up with x.
        optimiser: ``"adam"`` or ``"sgd"``, as in ``torch.optim``.
        copy_steps: steps of the copies a step of the leader, at least 1.
    """

    access = Access.MODEL
    permissions = Permission.TRAINING
    lr: float = 0.05
    copy_lr: float = 0.2
    optimiser: str = "adam"
    copy_steps: int = 1

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"there is no optimiser {self.optimiser!r}; {nearest(str(self.optimiser), tuple(OPTIMISERS))}")
        if not all(0 < rate < float("inf") for rate in (self.lr, self.copy_lr)) or self.copy_steps < 1:
            raise ValueError(f"lr and copy_lr are positive and finite, and copy_steps at least 1; got {self!r}")

    @abc.abstractmethod
    def shapes(self, oracle: Oracle, x: torch.Tensor) -> list[tuple[int, ...]]:
        """The shapes of `Copies.logits`."""

    @abc.abstractmethod
    def compute_gradients(self, oracle: Oracle, copies: Copies) -> dict[str, float]:
        """Steps 2 and 3: update the copies, set ``copies.gradients`` and ``copies.direct``, and return the history row."""

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        leader = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        logits = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in self.shapes(oracle, leader)]
        optimiser = OPTIMISERS[self.optimiser](([leader], float(self.lr)), (logits, float(self.copy_lr)))
        return self._state(oracle, Copies(leader, logits, optimiser))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        copies: Copies = state.carried
        copies.update(list(copies.gradients))  # 1
        copies.updates += 1
        oracle.charge(gradient_steps=1)
        return self._state(oracle, copies)

    def _state(self, oracle: Oracle, copies: Copies) -> State:
        row = self.compute_gradients(oracle, copies)
        row["gradient_norm"] = float(torch.linalg.vector_norm(copies.gradients[0]))
        x, gradient = copies.x.detach().numpy().copy(), copies.gradients[0].detach().numpy().copy()
        direct = None if copies.direct is None else copies.direct.detach().numpy().copy()
        response = None if direct is None else gradient - direct
        return State(x, copies.updates, copies, row, StepGradient(x, gradient, direct, response))


def induced_processes(oracle: Oracle, x: torch.Tensor) -> list[tuple[torch.Tensor, MDP]]:
    """Probabilities (K,) and processes of each group of equal sizes, contexts and followers together; differentiable in ``x``."""
    drawn = enumerate(oracle.context_probabilities)
    return batches([(float(p), mdp) for c, p in drawn for mdp in oracle.commit(x, c)])


def node_shape(mdp: MDP) -> tuple[int, ...]:
    """(..., S, N, B)."""
    s, a, b = mdp.sizes
    return (*mdp.transition.shape[:-4], s, a if mdp.follower_sees == "action" else 1, b)


def copy_policy(logits: torch.Tensor, world: Any, player: int = 0) -> torch.Tensor:
    """The copy's policy g_y(b|s,a), (..., S, A, B), of one follower in its world; 0 where an action is not available."""
    return broadcast_over_leader_actions(torch.softmax(mask_logits(logits, available_actions(world, player)), -1), world)


def mask_logits(logits: torch.Tensor, available: torch.Tensor | None) -> torch.Tensor:
    """Logits, and -inf where an action is not available."""
    return logits if available is None else torch.where(available, logits, -float("inf"))


def derivatives(objective: torch.Tensor, of: list[torch.Tensor], *, again: bool = False) -> list[torch.Tensor]:
    """Its gradient in each tensor; zero where it does not depend on one.  ``again``: what shares its graph is differentiated next."""
    if not objective.requires_grad:
        return [torch.zeros_like(tensor) for tensor in of]
    return list(torch.autograd.grad(objective, of, retain_graph=again, allow_unused=True, materialize_grads=True))
