"""Discounted scans by doubling, and the passes over visits that are made of them, against their sequential definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from solvers.ascent import Estimator
from solvers.estimators import visits
from solvers.estimators.bchg import BCHG
from solvers.estimators.hpgd import HPGD
from solvers.kernels import scans
from stackelberg_envs.leader.repeated_game import RepeatedGame

DISCOUNTS = st.sampled_from([0.0, 0.3, 0.99, 1.0]) | st.floats(0, 1)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def sequential(x: np.ndarray, discount: float, *, reverse: bool) -> np.ndarray:
    """The scan as it is written down, in extended precision."""
    y, carried = np.zeros(x.shape, dtype=np.longdouble), np.zeros(x.shape[:-1], dtype=np.longdouble)
    for t in range(x.shape[-1])[:: -1 if reverse else 1]:
        carried = y[..., t] = x[..., t] + np.longdouble(discount) * carried
    return y


def close(scanned: torch.Tensor, x: torch.Tensor, discount: float, *, reverse: bool) -> bool:
    """Within the rounding of log2 T steps, relative to the scan of |x|."""
    exact, scale = (sequential(values.double().cpu().numpy(), discount, reverse=reverse) for values in (x, x.abs()))
    steps = max(1, x.shape[-1]).bit_length()
    return bool((np.abs(scanned.double().cpu().numpy() - exact) <= 2 * steps * torch.finfo(x.dtype).eps * scale + 1e-300).all())


@given(st.lists(st.integers(0, 4), max_size=2), st.integers(0, 70), DISCOUNTS, st.booleans(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_a_scan_is_its_sequential_definition(shape: list[int], horizon: int, discount: float, reverse: bool, seed: int) -> None:
    x = torch.tensor(np.random.default_rng(seed).normal(size=(*shape, horizon)))
    kept = x.clone()
    scanned = scans.discounted_scan(x, discount, reverse=reverse)
    assert scanned.shape == x.shape
    assert close(scanned, x, discount, reverse=reverse)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("discount", [0.0, 0.01, 0.5, 0.9, 0.999, 1.0])
def test_long_scans_lose_nothing(discount: float, dtype: torch.dtype, device: str) -> None:
    """10,000 steps, where discount^T is 0 in floating point; also of views, expanded or transposed."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(3, 10_000)), dtype=dtype, device=device)
    for view in (x, x[:1, :500].expand(2, -1), x[:, :500].T.contiguous().T, x[:, ::30]):
        for reverse in (False, True):
            scanned = scans.discounted_scan(view, discount, reverse=reverse)
            assert scanned.dtype == dtype
            assert scanned.device == x.device
            assert close(scanned, view, discount, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_scans_have_derivatives(discount: float, reverse: bool) -> None:
    """Numerically, and as they should be: the derivative of a scan is the scan the other way."""
    rng = np.random.default_rng(0)
    x, w = (torch.tensor(rng.normal(size=(2, 13)), requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda leaf: scans.discounted_scan(leaf, discount, reverse=reverse), x)
    assert torch.autograd.gradgradcheck(lambda leaf: scans.discounted_scan(leaf, discount, reverse=reverse) ** 2, x)
    (gradient,) = torch.autograd.grad((w * scans.discounted_scan(x, discount, reverse=reverse)).sum(), x)
    torch.testing.assert_close(gradient, scans.discounted_scan(w, discount, reverse=not reverse), rtol=1e-13, atol=1e-13)


def batch(seed: int, episodes: int, horizon: int, size: int, *, ragged: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs, alive, rewards and weights; others may still earn rewards where this follower's episode is over."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, horizon + 1, size=episodes)
    alive = np.arange(horizon) < lengths[:, None] if ragged else rng.random((episodes, horizon)) < 0.6
    pairs = np.where(alive, rng.integers(size, size=alive.shape), 0)
    return pairs, alive, rng.normal(size=alive.shape), rng.normal(size=size)


def by_the_book(
    pairs: np.ndarray, alive: np.ndarray, rewards: np.ndarray, weight: np.ndarray, own: float, leader: float
) -> tuple[np.ndarray, ...]:
    """Counts, sums of returns, of gamma_L^t and of W_t by pair, one visit after the other."""
    counts, worth, weights, scanned = np.zeros((4, len(weight)))
    for i, t in zip(*np.nonzero(alive), strict=True):
        counts[pairs[i, t]] += 1
        worth[pairs[i, t]] += sum(leader ** (k - t) * rewards[i, k] for k in range(t, pairs.shape[1]))
        weights[pairs[i, t]] += leader**t
        scanned[pairs[i, t]] += sum(own ** (t - k) * weight[pairs[i, k]] for k in range(t + 1) if alive[i, k])
    return counts, worth, weights, scanned


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 20), st.integers(1, 9), st.booleans(), DISCOUNTS, DISCOUNTS)
@settings(deadline=None, max_examples=60)
def test_passes_are_their_definition(seed: int, episodes: int, horizon: int, size: int, ragged: bool, own: float, leader: float) -> None:
    """Torch, numba and NumPy, relative to what the sums would be if all was positive; the latter two to the same bits."""
    pairs, alive, rewards, weight = batch(seed, episodes, horizon, size, ragged=ragged)
    discounts = leader ** np.arange(horizon)
    wanted = by_the_book(pairs, alive, rewards, weight, own, leader)
    scale = by_the_book(pairs, alive, abs(rewards), abs(weight), own, leader)

    def found(at: visits.VisitSums) -> tuple[np.ndarray, ...]:
        placed = at.place(pairs, alive, rewards)
        return *at.returns_by_pair(*placed, discounts, size), at.influences_by_pair(*placed[:2], weight, own)

    looped, numpy_only = found(visits.visit_sums("cpu")), found(plain())
    scanned = [found(torch_passes(device)) for device in DEVICES]
    for tables in (looped, numpy_only, *scanned):
        for table, exact, size_of in zip(tables, wanted, scale, strict=True):
            assert isinstance(table, np.ndarray)
            assert (np.abs(table - exact) <= 1e-12 * size_of).all()
    for one, other in zip(looped, numpy_only, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(scanned[0], found(torch_passes("cpu")), strict=True):
        np.testing.assert_array_equal(one, other)


def plain() -> visits.VisitSums:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visits, "COMPILED", False)
        return visits.visit_sums("cpu")


def torch_passes(device: str) -> visits.VisitSums:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visits, "LOOPED", ())
        return visits.visit_sums(device)


def test_passes_have_derivatives() -> None:
    pairs, alive, rewards, weight = (torch.tensor(array) for array in batch(0, 3, 8, 4, ragged=True))
    discounts = 0.9 ** np.arange(8)
    assert torch.autograd.gradcheck(lambda r: scans.returns_by_pair(pairs, alive, r, discounts, 4)[1], rewards.requires_grad_())
    assert torch.autograd.gradcheck(lambda w: scans.influences_by_pair(pairs, alive, w, 0.9), weight.requires_grad_())


ESTIMATORS = [
    HPGD(streams=3, steps=400),
    HPGD(episodes=60, batches="independent"),
    BCHG(level="policy", critic="returns", centred="both", episodes=60),
    BCHG(critic="reset", episodes=60),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["hpgd-streams", "hpgd-independent", "bchg-returns", "bchg-reset"])
def test_estimates_by_scans_are_those_by_loops(estimator: Estimator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four Rooms, the same outcome: forced to scan on the CPU, twice, and on a GPU if there is one."""
    game, x = se.game("four_rooms-v0"), 0.3 * np.random.default_rng(0).normal(size=105)

    def gradient(device: str = "cpu") -> np.ndarray:
        oracle = RepeatedGame(game, se.Soft(0.003), 2).oracle(estimator.access, estimator.permissions)
        return estimator.estimate(oracle, torch.tensor(x, device=device), None, np.random.default_rng(0)).gradient.cpu().numpy()

    looped, called = gradient(), []
    monkeypatch.setattr(visits, "LOOPED", ())
    monkeypatch.setattr(scans, "discounted_scan", counted(scans.discounted_scan, called))
    scanned = gradient()
    assert called, "the scans were not used"
    assert np.abs(looped).max() > 1e-3
    np.testing.assert_allclose(scanned, looped, atol=1e-10, rtol=0)
    np.testing.assert_array_equal(gradient(), scanned)
    for device in DEVICES[1:]:
        np.testing.assert_allclose(gradient(device), looped, atol=1e-10, rtol=0)


def counted(function: Any, calls: list[Any]) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return function(*args, **kwargs)

    return wrapper


def test_devices() -> None:
    """Loops where the numbers are on the CPU, also for the one GPU without float64."""
    for device in ("cpu", torch.device("cpu"), "mps"):
        assert visits.visit_sums(device).influences_by_pair is visits.fastest_loop("influences_by_pair")
    (placed,) = torch_passes("cpu").place(np.ones((2, 3)))
    assert isinstance(placed, torch.Tensor)
