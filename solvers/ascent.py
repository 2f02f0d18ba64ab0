"""Gradient ascent on the leader's objective: the outer loop of every "estimate, then ascend" method, written once.

1. estimate dF/dx at x through the oracle (one estimator a file, in ``estimators/``)
2. clip its global norm
3. ascend by an update of `solvers.optimisers`
4. with ``lift``, move components whose softmax or sigmoid has no derivative any more back to where it has one
"""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.arguments import CheckedArguments, nearest, real
from stackelberg_envs.leader.access import Access, Oracle, Permission

from .base import Solver, State, StepGradient
from .optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Estimate:
    """A gradient, and whatever the estimator carries to its next call."""

    gradient: torch.Tensor
    """dF/dx, (n,)."""
    memory: Any = None
    value: float | None = None
    """F(x), from estimators that know it."""
    direct: torch.Tensor | None = None
    """Its part with the follower's policy held fixed, (n,), from estimators that know it apart; some only where ``oracle.measured``."""
    response: torch.Tensor | None = None
    """The rest, through the follower's policy, (n,)."""


class Estimator(CheckedArguments, abc.ABC):
    """How dF/dx is obtained.  Subclasses are frozen dataclasses of hyperparameters."""

    access: ClassVar[Access]
    permissions: ClassVar[Permission] = Permission.NONE
    tabular: ClassVar[bool] = True
    """Whether it needs worlds with tables."""
    signals: ClassVar[bool] = False
    """Whether it handles followers who see a signal of the leader's action; who reads exact returns alone always does."""
    crowds: ClassVar[bool] = False
    """Whether it handles a crowd that responds to itself; who learns from outcomes alone always does."""
    exact: ClassVar[bool] = False
    """Whether its estimates are the derivative of the leader's return, without noise or bias; `solvers.testing` then compares them."""

    @abc.abstractmethod
    def declines(self, oracle: Oracle) -> str | None:
        """Why this estimator cannot handle the game, or None."""

    @abc.abstractmethod
    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        """dF/dx at ``x`` (n,), given the memory of the last call (None at first)."""


@dataclass
class _AscentState:
    parameter: torch.Tensor
    optimiser: Optimiser
    memory: Any


def check_device(name: str) -> None:
    """Raise ValueError if torch knows no device of that name, or cannot use it here."""
    if name == "cpu":  # which needs no trial, and so no torch to say what a solver is
        return
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"device {name!r} cannot be used; 'cpu' can, and 'cuda' where torch finds one") from error


@dataclass(frozen=True)
class Ascent(Solver):
    """Ascend along an estimator's gradients.

    Args:
        estimator: where gradients come from.
        lr: learning rate.
        optimiser: ``"sgd"`` or ``"adam"``, as in ``torch.optim``.
        clip: largest norm of a gradient; None for no clipping.
        device: where torch works.
        clip_blocks: sizes of consecutive blocks of components that are clipped each on its own, e.g. (1, 3); empty: all together.
        lift: how far logits may be below the largest of their softmax, as in `stackelberg_envs.commitments.Saturation.lift`, where a game
            says which they are; None to let them go, and lose their derivative.
    """

    estimator: Estimator
    lr: float = 0.5
    optimiser: str = "sgd"
    clip: float | None = 1.0
    device: str = "cpu"
    clip_blocks: tuple[int, ...] = ()
    lift: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_blocks", tuple(self.clip_blocks))
        if any(size < 1 for size in self.clip_blocks):
            raise ValueError(f"clip_blocks are sizes of blocks, from 1, got {self.clip_blocks}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"there is no optimiser {self.optimiser!r}; {nearest(str(self.optimiser), tuple(OPTIMISERS))}")
        check_device(self.device)
        if not self.lr > 0 or (self.clip is not None and not self.clip > 0):
            raise ValueError(f"lr and clip are positive, got {self.lr} and {self.clip}")
        check_lift(self.lift)

    def __repr__(self) -> str:
        return short_repr(self, "clip_blocks", "lift")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return self.estimator.access

    @property
    def permissions(self) -> Permission:  # type: ignore[override]
        return self.estimator.permissions

    @property
    def tabular(self) -> bool:  # type: ignore[override]
        return self.estimator.tabular

    @property
    def signals(self) -> bool:  # type: ignore[override]
        return self.estimator.signals

    @property
    def crowds(self) -> bool:  # type: ignore[override]
        return self.estimator.crowds

    def declines(self, oracle: Oracle) -> str | None:
        if self.clip_blocks and oracle.commitment_shape != (sum(self.clip_blocks),):
            return f"clip_blocks {self.clip_blocks} do not divide a commitment of shape {oracle.commitment_shape}"
        return lift_declines(self.lift, oracle) or self.estimator.declines(oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        parameter = torch.tensor(x, dtype=torch.float64, device=self.device)
        return State(x, carried=_AscentState(parameter, OPTIMISERS[self.optimiser](([parameter], float(self.lr))), None))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        carried: _AscentState = state.carried
        here = carried.parameter.detach().clone()
        estimate = self.estimator.estimate(oracle, here, carried.memory, rng)  # 1
        gradient = estimate.gradient.detach()
        norm = float(torch.linalg.vector_norm(gradient))
        if self.clip is not None:  # 2
            blocks = gradient.split(self.clip_blocks) if self.clip_blocks else (gradient,)
            gradient = torch.cat([clip_norm(block, float(self.clip)) for block in blocks])
        carried.parameter.grad = gradient  # 3
        carried.optimiser.step()
        oracle.charge(gradient_steps=1)
        carried.memory = estimate.memory
        x = _numbers(carried.parameter)
        if self.lift is not None:  # 4
            x = oracle.saturation.lift(x, self.lift)
            carried.parameter.data.copy_(torch.from_numpy(x))
        parts = [None if part is None else _numbers(part) for part in (estimate.direct, estimate.response)]
        return State(
            x, state.iteration + 1, carried, {"gradient_norm": norm}, StepGradient(_numbers(here), _numbers(estimate.gradient), *parts)
        )


def _numbers(vector: torch.Tensor) -> np.ndarray:
    """A copy that nobody changes."""
    return vector.detach().cpu().numpy().copy()


def check_lift(depth: float | None) -> None:
    """Raise ValueError unless a depth to lift logits to is positive, or None."""
    if depth is not None:
        real("lift", depth, 0, open_low=True)


def lift_declines(depth: float | None, oracle: Oracle) -> str | None:
    """Why logits cannot be lifted in a game, or None where they can, or are not to be."""
    if depth is None or oracle.saturation is not None:
        return None
    return "lift raises what a softmax or a sigmoid has given up, and this game does not say where its commitment saturates: leave lift out"


def short_repr(record: Any, *silent: str) -> str:
    """A dataclass's ``repr`` without the fields ``silent`` where they have their defaults: recorded runs are named by it, old ones too."""
    shown = [f for f in dataclasses.fields(record) if f.name not in silent or getattr(record, f.name) != f.default]
    return f"{type(record).__name__}({', '.join(f'{f.name}={getattr(record, f.name)!r}' for f in shown)})"


def clip_norm(gradient: torch.Tensor, largest: float) -> torch.Tensor:
    """The gradient, or as much of it as has norm ``largest``."""
    norm = float(torch.linalg.vector_norm(gradient))
    return gradient * (largest / norm) if norm > largest else gradient
