"""Critics for worlds without tables: small nets, and least squares on quadratic features where only an expectation is to be taken off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from ..leader_ppo import private_generators

FLOOR = 0.1
"""Of weights in least squares, in units of a whitened component's variance."""


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit."""

    hidden: tuple[int, ...]
    steps: int
    batch: int
    """Rows of a minibatch; 0 for all of them in every step."""
    lr: float
    clip: float
    refit: bool
    """Whether every fit begins from the first weights; else where the last one ended."""


@dataclass
class NetCritic:
    """A net between two fits; picklable."""

    whiten: torch.Tensor
    """Inputs become (z - centre) whiten: uncorrelated, of unit variance, so that actions are seen as deviations from what is usual."""
    centre: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    weights: dict[str, torch.Tensor]
    optimiser: dict[str, Any] | None = None

    def __call__(self, z: np.ndarray, hidden: tuple[int, ...]) -> np.ndarray:
        """Predictions (..., outputs) for inputs (..., p)."""
        flat = torch.as_tensor(z.reshape(-1, z.shape[-1]), dtype=torch.float32)
        net = _net(flat.shape[1], hidden, len(self.shift))
        net.load_state_dict(self.weights)
        with torch.no_grad():
            out = net((flat - self.centre) @ self.whiten) * self.scale + self.shift
        return out.double().numpy().reshape(*z.shape[:-1], len(self.shift))

    def predict(self, z: np.ndarray, hidden: tuple[int, ...]) -> np.ndarray:
        """The only output, (...)."""
        return self(z, hidden)[..., 0]


def fit(
    last: NetCritic | None,
    settings: FitSettings,
    z: np.ndarray,
    targets: np.ndarray,
    rng: np.random.Generator,
    *,
    bootstrap: tuple[np.ndarray, np.ndarray, float] | None = None,
) -> NetCritic:
    """Fit a net to targets by least squares, or by TD(0): Adam, gradients clipped.

    Args:
        last: the result of the last call; None at first, when inputs and targets are scaled.
        settings: how.
        z: inputs (M, p).
        targets: (M, outputs); with ``bootstrap`` the rewards, to whose scale the outputs are set by the discount.
        rng: of first weights and minibatches.
        bootstrap: (inputs (M, p) one step on, whether there is such a step (M,), discount): targets become
            r + discount * net(z'), with the net as it is in that step and no gradient through it.
    """
    inputs, wanted = (torch.as_tensor(array, dtype=torch.float32) for array in (z, targets))
    discount = 0.0 if bootstrap is None else bootstrap[2]
    if last is None:
        last = _initial_net(z, targets, settings, 1 / max(1 - discount, 1e-2), rng)
    net = _net(z.shape[1], settings.hidden, targets.shape[1])
    net.load_state_dict(last.weights)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.lr, fused=True)
    if last.optimiser is not None:
        optimiser.load_state_dict(last.optimiser)
    inputs = (inputs - last.centre) @ last.whiten
    wanted = (wanted - last.shift * (1 - discount)) / last.scale
    later = goes_on = torch.zeros(0)
    if bootstrap is not None:
        later = (torch.as_tensor(bootstrap[0], dtype=torch.float32) - last.centre) @ last.whiten
        goes_on = torch.as_tensor(bootstrap[1], dtype=torch.float32)[:, None]
        wanted = wanted - discount * (1 - goes_on) * last.shift / last.scale  # the end is worth 0
    for _ in range(settings.steps):
        rows: Any = slice(None) if not settings.batch else torch.as_tensor(rng.integers(len(z), size=settings.batch))
        goal = wanted[rows]
        if bootstrap is not None:
            with torch.no_grad():
                goal = goal + discount * goes_on[rows] * net(later[rows])
        optimiser.zero_grad()
        ((net(inputs[rows]) - goal) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
    weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
    return NetCritic(last.whiten, last.centre, last.scale, last.shift, weights, optimiser.state_dict())


def cross_fit_residuals(values: np.ndarray, given: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """``values`` (N, T) less their prediction from ``given`` (N, T, p), by least squares on quadratic features.

    Each half of the episodes is predicted from the other, so that a score times the result has the mean that it had.
    """
    return np.where(alive, values - CrossFit(given, alive).predict(values), 0.0)


@dataclass(frozen=True)
class CrossFit:
    """Quadratic features of vectors (N, T, p), and least squares on them, each half of the N episodes fitted to the other.

    Raises:
        ValueError: if half of the steps are too few for the features.
    """

    given: np.ndarray
    alive: np.ndarray

    def __post_init__(self) -> None:
        count, least = self.features.shape[-1], min((self.alive & half[:, None]).sum() for half in self.halves)
        if least < count:
            raise ValueError(f"half of the episodes have {least} steps, too few to fit {count} quadratic features; watch more episodes")

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Which episodes are in each, (N,)."""
        even = np.arange(len(self.given)) % 2 == 0
        return even, ~even

    @cached_property
    def _whitening(self) -> tuple[np.ndarray, np.ndarray]:
        return _whitening(self.given[self.alive])

    @cached_property
    def features(self) -> np.ndarray:
        """1, z_i and z_i z_j of the vectors whitened, (N, T, F)."""
        return self.features_of(self.given)

    def features_of(self, vectors: np.ndarray) -> np.ndarray:
        """The features of other vectors (..., p), (..., F)."""
        return _quadratic(vectors, *self._whitening)

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Predictions of ``values`` (N, T, ...): each half of the episodes by the coefficients of the other."""
        told = np.zeros_like(values)
        for half, coefficients in zip(self.halves, self.coefficients(values), strict=True):
            told[half] = np.tensordot(self.features[half], coefficients, 1)
        return told

    def coefficients(self, values: np.ndarray) -> list[np.ndarray]:
        """(F, ...) for each half."""
        return [np.linalg.lstsq(self.features[rows], values[rows], rcond=None)[0] for rows in self._fit_steps()]

    def representers(self, functionals: np.ndarray) -> np.ndarray:
        """Weights (N, T) with sum_nt weights * values = sum_n functionals[n] . coefficients, for functionals (N, F).

        These coefficients are of least squares weighted by ``1 / (|z|^2 + FLOOR)^2``: for values whose noise grows as a square does.
        """
        centre, whiten = self._whitening
        trust = (((self.given - centre) @ whiten) ** 2).sum(-1, keepdims=True) + FLOOR
        weights, weighed = np.zeros(self.alive.shape), self.features / trust**2
        for half, rows in zip(self.halves, self._fit_steps(), strict=True):
            weights[rows] = weighed[rows] @ np.linalg.lstsq(self.features[rows].T @ weighed[rows], functionals[half].sum(0), rcond=None)[0]
        return weights

    def _fit_steps(self) -> list[np.ndarray]:
        """The steps (N, T) to which the coefficients for each half are fitted: those of the other."""
        return [self.alive & ~half[:, None] for half in self.halves]


@dataclass(frozen=True)
class QuadraticCritic:
    """A function fitted by least squares on the same features, of vectors (..., p); picklable."""

    centre: np.ndarray
    whiten: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def fit(cls, z: np.ndarray, values: np.ndarray) -> QuadraticCritic:
        """From vectors (M, p) and values (M,)."""
        whitening = _whitening(z)
        return cls(*whitening, np.linalg.lstsq(_quadratic(z, *whitening), values, rcond=None)[0])

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return _quadratic(z, self.centre, self.whiten) @ self.coefficients


@dataclass(frozen=True)
class QuadraticForms:
    """Functions ``(1, z - c)' M_o (1, z - c)``, one for each output o: the fixed point of TD(0) on quadratic features, in closed form."""

    centre: np.ndarray
    """c, (p,)."""
    matrices: np.ndarray
    """M, (outputs, p + 1, p + 1), symmetric."""

    @classmethod
    def fit_td(cls, z: np.ndarray, rewards: np.ndarray, rows: np.ndarray, goes_on: np.ndarray, discount: float) -> QuadraticForms:
        """LSTD (Bradtke and Barto, Machine Learning 22, 1996).

        Coefficients w with, summed over the steps t in ``rows``::

            sum_t phi(z_t) (phi(z_t) - discount phi(z_t+1))' w = sum_t phi(z_t) r_t        phi: 1, z_i, z_i z_j, whitened

        In a linear-quadratic world under a policy that is linear in the state the value is quadratic, and the fit tends to it.

        Args:
            z: inputs (N, T, p) along episodes.
            rewards: (N, T, outputs).
            rows: the steps to fit to, (N, T).
            goes_on: whether t + 1 is a step, (N, T), not in the last column; the value behind an end is 0.
            discount: in [0, 1).

        Raises:
            ValueError: if there are fewer steps than features.
        """
        centre, whiten = _whitening(z[rows])
        white = np.moveaxis((z - centre) @ whiten, -1, 0)
        k = len(white)
        i, j = np.triu_indices(k)
        phi = np.concatenate([np.ones((1, *z.shape[:2])), white, white[i] * white[j]])  # features first: contiguous products
        if rows.sum() < len(phi):
            raise ValueError(f"{rows.sum()} steps are too few to fit {len(phi)} quadratic features; watch more episodes")
        change = phi.copy()
        change[:, :, :-1] -= discount * goes_on[:, :-1] * phi[:, :, 1:]
        phi = phi[:, rows]
        fitted = np.linalg.lstsq(phi @ change[:, rows].T, phi @ rewards[rows], rcond=None)[0].T
        forms = np.zeros((len(fitted), k + 1, k + 1))
        forms[:, 0, 0], forms[:, 0, 1:] = fitted[:, 0], fitted[:, 1 : k + 1]
        forms[:, 1 + i, 1 + j] = fitted[:, k + 1 :]
        back = np.zeros((z.shape[-1] + 1, k + 1))
        back[0, 0], back[1:, 1:] = 1, whiten
        matrices = back @ forms @ back.T
        return cls(centre, 0.5 * (matrices + matrices.transpose(0, 2, 1)))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Values (..., outputs) of vectors (..., p)."""
        off = np.concatenate([np.ones((*z.shape[:-1], 1)), z - self.centre], axis=-1)
        return np.stack([((off @ matrix) * off).sum(-1) for matrix in self.matrices], axis=-1)


def quadratic_feature_count(columns: int) -> int:
    """The number of quadratic features of vectors with ``columns`` components."""
    return (columns + 1) * (columns + 2) // 2


def _quadratic(vectors: np.ndarray, centre: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """1, z_i and z_i z_j of whitened vectors, (..., F)."""
    z = (vectors - centre) @ whiten
    i, j = np.triu_indices(z.shape[-1])
    return np.concatenate([np.ones((*z.shape[:-1], 1)), z, z[..., i] * z[..., j]], axis=-1)


def _whitening(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (p,), and the matrix (p, p') that makes deviations from it uncorrelated, of unit variance; directions that do not vary go."""
    centre = z.mean(0)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(z.T)))
    kept = variances > 1e-12 * max(variances.max(), 1e-300)
    return centre, directions[:, kept] / np.sqrt(variances[kept])


def _initial_net(z: np.ndarray, targets: np.ndarray, settings: FitSettings, stretch: float, rng: np.random.Generator) -> NetCritic:
    centre, whiten = _whitening(z)
    whiten = np.pad(whiten, [(0, 0), (0, z.shape[1] - whiten.shape[1])])
    scale, shift = np.maximum(targets.std(0), 1e-9) * stretch, targets.mean(0) * stretch
    with private_generators(rng):
        net = _net(z.shape[1], settings.hidden, targets.shape[1])
        for layer in net:
            if isinstance(layer, torch.nn.Linear):
                layer.reset_parameters()
    fixed = [torch.as_tensor(array, dtype=torch.float32) for array in (whiten, centre, scale, shift)]
    return NetCritic(fixed[0], fixed[1], fixed[2], fixed[3], net.state_dict())


def _net(inputs: int, hidden: tuple[int, ...], outputs: int) -> torch.nn.Sequential:
    """A multilayer perceptron with ReLU, its weights not set yet: that takes torch's global generator, which others use too."""
    linear, layers = partial(torch.nn.utils.skip_init, torch.nn.Linear), []
    for width in hidden:
        layers += [linear(inputs, width), torch.nn.ReLU()]
        inputs = width
    return torch.nn.Sequential(*layers, linear(inputs, outputs))
