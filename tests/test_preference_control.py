"""Reward learning from preferences: the losses against finite differences and enumeration, the teacher against its law, runs end to end."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.bench import results_file
from baselines.studies import preference_control
from solvers.leader_ppo import private_generators
from solvers.preferences import follower as following
from solvers.preferences.methods import METHODS, _Run, learn
from solvers.preferences.reward import RewardNet, bradley_terry, fit, penalty, reaction
from solvers.preferences.settings import Settings
from solvers.preferences.teacher import Memory, Pairs, Places, Rollout, Teacher

TINY = Settings(
    steps=1600,
    fresh_steps=400,
    starts=2,
    episodes=2,
    warm_up=1,
    segment=10,
    first_pairs=12,
    pairs=4,
    memory=14,
    first_epochs=3,
    epochs=2,
    batch=5,
)


def pairs_of(rng: np.random.Generator, count: int, length: int = 4, inputs: int = 3) -> Pairs:
    cut = rng.normal(size=(count, 2, length, inputs))
    return Pairs(cut, cut[..., :-1], rng.integers(2, size=count).astype(float))


def slope(net: RewardNet, loss: torch.Tensor, direction: list[torch.Tensor]) -> float:
    gradient = torch.autograd.grad(loss, list(net.parameters()))
    return float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True)))


def moved(net: RewardNet, direction: list[torch.Tensor], by: float) -> RewardNet:
    twin = RewardNet(3, (5,)).double()
    with torch.no_grad():
        for mine, theirs, d in zip(twin.parameters(), net.parameters(), direction, strict=True):
            mine.copy_(theirs + by * d)
    return twin


def net_and_direction() -> tuple[RewardNet, list[torch.Tensor]]:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = RewardNet(3, (5,)).double()
        return net, [torch.randn_like(p) for p in net.parameters()]


def test_the_loss_is_the_likelihood_and_its_gradient_a_finite_difference() -> None:
    pairs = pairs_of(np.random.default_rng(0), 7)
    inputs, first = torch.tensor(pairs.inputs), torch.tensor(pairs.first)
    net, direction = net_and_direction()
    returns = net(inputs).sum(-1).detach().numpy()
    probability = 1 / (1 + np.exp(returns[:, 1] - returns[:, 0]))
    wanted = -np.log(np.where(pairs.first == 1, probability, 1 - probability))
    np.testing.assert_allclose(bradley_terry(net, inputs, first).detach(), wanted, atol=1e-12)
    ends = [float(bradley_terry(moved(net, direction, by), inputs, first).mean().detach()) for by in (1e-5, -1e-5)]
    assert slope(net, bradley_terry(net, inputs, first).mean(), direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def test_labels_come_as_often_as_bradley_and_terry_say() -> None:
    """Two segments, returns 3 and 1 (20 and 4 steps' worth apart in nothing else): the frequency is within four standard errors."""
    teacher, rng = Teacher(length=2, temperature=4.0), np.random.default_rng(0)
    rollout = Rollout(np.zeros((2, 2, 1)), np.zeros((2, 2, 1)), np.array([[1.0, 0.5], [2.0, 0.5]]))
    pairs, places = teacher.ask(rollout, 40_000, rng)
    better_first = (places.episodes == [0, 1]).all(axis=1)
    frequency, wanted = pairs.first[better_first].mean(), 1 / (1 + np.exp(-2 / 4))
    assert frequency == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / better_first.sum()))
    same = places.episodes[:, 0] == places.episodes[:, 1]
    assert pairs.first[same].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(same.sum()))


def test_segments_are_where_they_say_and_memory_forgets_the_oldest() -> None:
    rng = np.random.default_rng(0)
    rollout = Rollout(rng.normal(size=(9, 3, 2)), rng.normal(size=(9, 3, 1)), rng.normal(size=(9, 3)))
    memory = Memory(5)
    pairs, places = Teacher(3, 1.0).ask(rollout, 4, rng)
    start, episode = places.starts[2, 1], places.episodes[2, 1]
    np.testing.assert_array_equal(pairs.inputs[2, 1], rollout.inputs[start : start + 3, episode])
    with pytest.raises(ValueError, match="ask the teacher first"):
        memory.all  # noqa: B018
    memory.add(pairs)
    memory.add(Teacher(3, 1.0).ask(rollout, 3, rng)[0])
    assert len(memory.all.first) == 5
    np.testing.assert_array_equal(memory.all.inputs[:2], pairs.inputs[2:])
    with pytest.raises(ValueError, match="segments of 10 steps do not fit into episodes of 9"):
        Teacher(10, 1.0).ask(rollout, 1, rng)


def test_a_linear_reward_is_recovered() -> None:
    """On fresh inputs the fitted reward orders as w does, and its slope is w's over the teacher's temperature."""
    rng, w = np.random.default_rng(0), np.array([2.0, -1.0, 0.5])
    play = rng.normal(size=(60, 40, 3))
    pairs, _ = Teacher(length=4, temperature=2.0).ask(Rollout(play, play, play @ w), 3000, rng)
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = RewardNet(3, ())
        loss = fit(net, torch.optim.Adam(net.parameters(), lr=0.03), pairs, epochs=20, batch=64)
    fresh = rng.normal(size=(500, 3))
    assert np.corrcoef(net.predict(fresh), fresh @ w)[0, 1] > 0.99
    slopes = net.predict(np.eye(3)) - net.predict(np.zeros((3, 3)))
    np.testing.assert_allclose(slopes, w / 2, atol=0.15)
    assert loss < np.log(2)


CHAIN = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9]]])
"""P(s'|s, a) of two states and two actions, begun in state 0, three steps."""


def visits(policy: np.ndarray) -> np.ndarray:
    """Share of the three steps spent in each (s, a), by enumerating all episodes."""
    share = np.zeros((2, 2))
    for states in itertools.product(range(2), repeat=3):
        for actions in itertools.product(range(2), repeat=3):
            p = float(states[0] == 0)
            for t in range(3):
                p *= policy[states[t], actions[t]] * (CHAIN[states[t], actions[t], states[t + 1]] if t < 2 else 1)
            for s, a in zip(states, actions, strict=True):
                share[s, a] += p / 3
    return share


def played(policy: np.ndarray, episodes: int, rng: np.random.Generator) -> np.ndarray:
    """The chain's episodes as one-hot inputs (T, N, 4)."""
    s, seen = np.zeros(episodes, dtype=int), []
    for _ in range(3):
        a = (rng.random(episodes) < policy[s, 1]).astype(int)
        seen.append(np.eye(4)[2 * s + a])
        s = (rng.random(episodes) < CHAIN[s, a, 1]).astype(int)
    return np.stack(seen)


def test_the_penalty_gradient_is_that_of_the_value_gap() -> None:
    """A table of rewards on a chain: lambda (V^hat - V^y) has the gradient lambda (visits of hat - visits of y); sampled within 4 s.e.

    Where pi_y earns more, it is the better estimate of the best response itself, and there is no gap.
    """
    rng, net = np.random.default_rng(0), RewardNet(4, ())
    hat, copy = np.array([[0.1, 0.9], [0.3, 0.7]]), np.array([[0.6, 0.4], [0.8, 0.2]])
    exact = 5.0 * (visits(hat) - visits(copy)).ravel()
    n = 20_000
    term = penalty(played(hat, n, rng), played(copy, n, rng), 5.0)
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.as_tensor(exact)[None])
    (sampled,) = torch.autograd.grad(term(net), [net.layers[0].weight])
    np.testing.assert_allclose(sampled.numpy().ravel(), exact, atol=4 * 5.0 * np.sqrt(0.5 / n))
    assert np.abs(exact).max() > 1
    with torch.no_grad():
        net.layers[0].weight.neg_()
    (none,) = torch.autograd.grad(term(net), [net.layers[0].weight])
    assert not none.any()
    assert term(net) == 0


def test_what_the_copy_is_paid_for_its_share_of_f() -> None:
    """E[sum over episodes of score x payment] = -(M / lambda) dE[ell]/dtheta: four one-step episodes in two pairs, all enumerated.

    Actions are 1 with probability p = sigmoid(theta), the reward is 1.5 of the action, and the first is always preferred.
    """
    run = object.__new__(_Run)
    run.settings, run.net = dataclasses.replace(TINY, segment=1, penalty=2.0), RewardNet(1, ())
    with torch.no_grad():
        run.net.layers[0].weight.fill_(1.5)
    theta, paid = 0.4, 0.0
    p = 1 / (1 + np.exp(-theta))
    for actions in itertools.product((0.0, 1.0), repeat=4):
        inputs = np.array(actions, dtype=np.float32).reshape(2, 2, 1, 1)
        pairs, places = Pairs(inputs, inputs, np.ones(2, dtype=np.float32)), Places(np.zeros((2, 2), int), np.array([[0, 1], [2, 3]]))
        payment = run.share(pairs, places, Rollout(np.zeros((1, 4, 1)), np.zeros((1, 4, 1)), np.zeros((1, 4))))
        paid += float(np.prod([p if a else 1 - p for a in actions]) * ((np.array(actions) - p) * payment[0]).sum())

    def expected(theta: float) -> float:
        q = 1 / (1 + np.exp(-theta))
        return (q**2 + (1 - q) ** 2) * np.log(2) + q * (1 - q) * (np.log1p(np.exp(-1.5)) + np.log1p(np.exp(1.5)))

    assert paid == pytest.approx(-4 / 2.0 * (expected(theta + 1e-5) - expected(theta - 1e-5)) / 2e-5, abs=1e-6)
    assert abs(paid) > 0.01


def test_the_reaction_is_the_gradient_through_the_softmax() -> None:
    """pi = softmax(r / alpha), losses held fixed: dE_pi[loss]/dr is the mean of SoBiRL's term over two pairs and all draws, enumerated.

    The second segments have one action only, which is always the first.
    """
    alpha, r = 0.7, torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    losses = torch.nn.functional.softplus(r[0] - r).detach()
    (exact,) = torch.autograd.grad((torch.softmax(r / alpha, 0) * losses).sum(), r)
    pi = torch.softmax(r / alpha, 0).detach().numpy()
    net, found = RewardNet(3, ()), np.zeros(3)
    with torch.no_grad():
        net.layers[0].weight.copy_(r[None])

    def cut(actions: tuple[int, int]) -> np.ndarray:
        return np.stack([np.eye(3)[list(actions)], np.eye(3)[[0, 0]]], axis=1)[:, :, None]

    for *taken, a, b in itertools.product(range(3), repeat=4):
        inputs = cut((taken[0], taken[1]))
        term = reaction(Pairs(inputs, inputs, np.ones(2)), cut((a, b))[..., None, :], alpha)
        (slope,) = torch.autograd.grad(term(net), [net.layers[0].weight])
        found += pi[[*taken, a, b]].prod() * slope.numpy()[0]
    np.testing.assert_allclose(found, exact.numpy(), atol=1e-6)
    assert np.abs(found).max() > 0.01


def test_play_of_an_equal_policy_teaches_as_ones_own_does() -> None:
    """Bit for bit; and the same seed gives the same starts, with other actions."""
    with private_generators(np.random.default_rng(0)):
        task = following.Task("Pendulum-v1")
        one, other = (following.Follower(task, episodes=2, seed=seed, options=Settings().ppo) for seed in (0, 1))
        one.copy_state_from(other)
        hers, his = one.play(7), other.play(7)
    np.testing.assert_array_equal(hers.observations[0], his.observations[0])
    assert not np.array_equal(hers.inputs[0], his.inputs[0])
    before = [p.clone() for p in one.model.policy.parameters()]
    for learner, player in ((one, other), (other, None)):
        with private_generators(np.random.default_rng(1)):
            learner.improve(his.rewards, player)
    after = [list(learner.model.policy.parameters()) for learner in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*after, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(after[0], before, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_repeats_bit_for_bit(method: str) -> None:
    """Whatever the global generators are in, which are left as they were; another seed is another run."""
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = learn(method, TINY, 0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert learn(method, TINY, 0) == first
    assert learn(method, TINY, 1)["true_return"] != first["true_return"]
    last = first["history"][-1]
    assert last["steps"] == 400 * (1 + 2 * 1)  # a play to warm up and a round of two; a fourth would be half a round
    assert last["labels"] == (0 if method == "ceiling" else 12 + 4 * 1)
    assert -2000 < first["true_return"] < 0


def run(folder: Path, *more: str) -> None:
    small = [f"{key}={value}" for key, value in dataclasses.asdict(TINY).items() if key not in ("task", "steps", "ppo")]
    asked = ["--steps", "1600", "--seeds", "2", "--methods", "pbrl", "ceiling", "--results", str(folder), "--output", str(folder / "drawn")]
    preference_control.main([*asked, "--set", *small, *more])


def test_the_command_resumes_after_a_half_written_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The torn run is repeated and comes out as before, the others are not; page and figure show what is there."""
    run(tmp_path)
    path = tmp_path / "preference-control.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-40])
    with pytest.warns(results_file.TornLineWarning):
        run(tmp_path)
    assert "3 of 4 runs are already in" in capsys.readouterr().out
    again = path.read_text().splitlines()
    assert again[:3] == whole.splitlines()[:3]
    assert results_file.comparable(json.loads(again[3])) == results_file.comparable(json.loads(whole.splitlines()[3]))
    page = (tmp_path / "drawn" / "preference-control.md").read_text()
    assert "| PBRL, value penalty |" in page
    assert "| true reward (ceiling) |" in page
    assert (tmp_path / "drawn" / "preference-control.svg").read_text().startswith("<?xml")


def test_what_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="did you mean 'sobirl'"):
        learn("sobril", TINY, 0)
    with pytest.raises(ValueError, match="Pendulum-v1 needs at least 1200"):
        learn("pbrl", dataclasses.replace(TINY, steps=1000), 0)
    with pytest.raises(ValueError, match="boxes for both"):
        following.Task("CartPole-v1")
    car = following.Task("MountainCarContinuous-v0").env()
    car.reset(seed=0)
    car.unwrapped.state = np.array([0.44, 0.07])  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="only the clock ends"):
        following._step([car], np.ones((1, 1), dtype=np.float32))
    with pytest.raises(SystemExit):
        preference_control.main(["--set", "penlty=3"])
    assert "did you mean 'penalty'" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "solvers.preferences.follower")
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r"pip install 'stackelberg-envs\[rl\]'"):
        __import__("solvers.preferences.follower")


RECORDED = Path(__file__).parent.parent / "docs" / "reproductions" / "recorded"


@pytest.mark.parametrize(
    ("name", "settings", "methods"),
    [
        ("preference-control", Settings(), METHODS),
        ("preference-control-scarce", Settings(first_pairs=24, pairs=6), ("iterated", "pbrl")),
    ],
)
def test_the_page_is_what_is_recorded_and_learning_is_real(name: str, settings: Settings, methods: tuple[str, ...]) -> None:
    """Five seeds of every method with these settings; the ceiling solves the task, and preferences get somewhere."""
    results = list(results_file.read(RECORDED / f"{name}.jsonl").values())
    assert {(result["job"]["method"], result["job"]["seed"]) for result in results} == set(itertools.product(methods, range(5)))
    assert all(result["job"]["settings"] == settings.settings_of(result["job"]["method"]) for result in results)
    assert preference_control.page(results) == (RECORDED.parent / f"{name}.md").read_text()
    for method, group in preference_control.group_by_method(results).items():
        starts, ends = ([result["history"][i]["true_return"] for result in group] for i in (0, -1))
        assert np.mean(ends) > np.mean(starts) + 200, method
        if method == "ceiling":
            assert min(ends) > -200
