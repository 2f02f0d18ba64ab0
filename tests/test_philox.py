"""Counter-based noise: published vectors, one result in every library and compiled, and episodes that follow their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import stackelberg_envs as se
from stackelberg_envs.deadlines import with_deadline
from stackelberg_envs.play import rollouts
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.play.trajectories import Trajectories
from stackelberg_envs.processes.philox import WORD, Philox, philox4x32

KNOWN = {
    "00000000 00000000 00000000 00000000 00000000 00000000": "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff": "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0": "d16cfe09 94fdcceb 5001e420 24126ea1",
}
"""Counter and key, and what they give: the vectors of philox4x32-10 that its authors publish with Random123 (kat_vectors)."""


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("given", "due"), KNOWN.items())
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_published_vectors(given: str, due: str, asarray: Any) -> None:
    *counter, k0, k1 = words(given)
    got = philox4x32(tuple(asarray([word]) for word in counter), (k0, k1))  # type: ignore[arg-type]
    assert [int(word[0]) for word in got] == words(due)


def test_published_vectors_compiled() -> None:
    """And the same words for counters of all kinds as in arrays."""
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    from numba import njit

    from stackelberg_envs.play.compiled_philox import philox4x32 as compiled

    one = njit(lambda c0, c1, c2, c3, k0, k1: compiled(c0, c1, c2, c3, k0, k1))
    for given, due in KNOWN.items():
        assert [int(word) for word in one(*np.array(words(given), dtype=np.uint32))] == words(due)
    counters = np.random.default_rng(0).integers(WORD + 1, size=(4, 100))
    key = 0xDEADBEEF, 0x12345678
    in_arrays = np.stack(philox4x32(tuple(counters), key))  # type: ignore[arg-type]
    singly = [one(*counter.astype(np.uint32), *np.array(key, dtype=np.uint32)) for counter in counters.T]
    np.testing.assert_array_equal(in_arrays, np.array(singly, dtype=np.int64).T)


def test_variates_are_those_of_the_docstring() -> None:
    """Word by word, for an episode beyond 2^32; uniform, and unrelated between draws, steps, episodes and seeds."""
    noise, episode = Philox(2**40 + 7, first_episode=2**33 - 2), 2**33 - 2 + 5
    for t in (0, 1, 6, 7, 9):
        row = [
            int(philox4x32(tuple(np.array([c]) for c in (kind, at, episode & WORD, episode >> 32)), (7, 2**8))[w][0])  # type: ignore[arg-type]
            for kind, at, w in ((1, t // 4, t % 4), (0, t // 2, 2 * (t % 2)), (0, t // 2, 2 * (t % 2) + 1))
        ]
        np.testing.assert_array_equal(noise(t, np.array([5]))[0], (np.array(row) + 0.5) / 2**32)
    drawn = np.stack([Philox(seed)(t, np.arange(2000)) for seed in (0, 1) for t in range(6)], axis=-1).reshape(2000, -1)
    assert kstest(drawn.ravel(), "uniform").pvalue > 1e-4
    correlations = np.corrcoef(np.concatenate([drawn, np.roll(drawn, 1, axis=0)], axis=1), rowvar=False)
    assert np.abs(correlations - np.eye(len(correlations))).max() < 5.5 / np.sqrt(2000)


def games() -> dict[str, se.StackelbergGame]:
    """Leaders that act and that do not; short rows, rows of five and thirty; followers who share rows; stages; ends."""
    return {
        "four_rooms": se.game("four_rooms-v0"),
        "toy3": se.game("toy3-v0"),
        "long rows": se.game("random_markov_game-v0", states=30, follower_actions=5, branching=30),
        "deadline": with_deadline(se.game("toy3-v0"), 7),
    }


@pytest.mark.parametrize("name", games())
def test_one_noise_one_set_of_episodes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, in NumPy and in torch; with first actions, first states at the end, and horizons of 0; whole and in two batches."""
    game = games()[name]
    rng = np.random.default_rng(0)
    (mdp,) = game.problems(np.clip(rng.normal(size=game.dimension), -1, 1))
    s, a, b = mdp.sizes
    policy, first, limits = rng.dirichlet(np.ones(b), size=(s, a)), rng.integers(s + 1, size=700), rng.integers(60, size=700)
    limits[3], noise = 300, Philox(3, first_episode=2**32 - 20)
    torched = mdp.map(torch.tensor)
    for actions in (None, rng.integers(b, size=700)):
        played = simulate(mdp, policy, first, noise, limits, actions=actions)
        half = None if actions is None else actions[350:]
        later = simulate(mdp, policy, first[350:], Philox(3, first_episode=2**32 + 330), limits[350:], actions=half)
        assert_same(Trajectories(**{field: table[350:, : table.shape[1]] for field, table in vars(played).items()}), later)
        tensors = (torch.asarray(table) for table in (policy, first))
        chosen = None if actions is None else torch.asarray(actions)
        assert_same(played, simulate(torched, next(tensors), next(tensors), noise, torch.asarray(limits), actions=chosen))
        with monkeypatch.context() as patched:
            patched.setattr(rollouts, "COMPILED", False)
            assert_same(played, simulate(mdp, policy, first, noise, limits, actions=actions))


def assert_same(one: Trajectories, other: Trajectories) -> None:
    """Bit for bit, up to the padding of a longer episode."""
    for field, table in vars(one).items():
        got = np.asarray(getattr(other, field))
        assert got.dtype == table.dtype
        np.testing.assert_array_equal(got, table[:, : got.shape[1]], err_msg=field)


@pytest.mark.parametrize("compiled", [rollouts.COMPILED, False])
def test_episodes_have_the_expected_return(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over episodes is the exact score, within four standard errors."""
    monkeypatch.setattr(rollouts, "COMPILED", compiled)
    game = se.game("toy3-v0")
    x = np.linspace(-1, 1, game.dimension)
    (mdp,) = game.problems(x)
    policy = game.default_follower.respond(game, x).policies[0]
    first = np.searchsorted(np.cumsum(mdp.initial), np.random.default_rng(0).random(4000), side="right")
    returns = simulate(mdp, policy, first, Philox(1), 200).leader_rewards @ mdp.leader_discount ** np.arange(200)
    exact = se.evaluate(game, x).leader_return
    assert abs(returns.mean() - exact) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize("wrong", [-1, 2**64, 0.5, "a"])
def test_seeds_are_whole_numbers(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"whole number from 0 to 2\^64 - 1|integer"):
        Philox(wrong)
    with pytest.raises((ValueError, TypeError), match=r"whole number from 0 to 2\^64 - 1|integer"):
        Philox(0, first_episode=wrong)
