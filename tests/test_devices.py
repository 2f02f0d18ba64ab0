"""Games and solvers on a GPU: what they give on the CPU, all on the device, and nothing that meets a tensor of the other kind.

Everything runs on a pretend GPU (`tests.pretend_gpu`, which says what that can show), and on a real one where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pretend_gpu import pretend_gpu
from small_games import SMALLER

import solvers
import stackelberg_envs as se
from stackelberg_envs.game import as_tuple
from stackelberg_envs.play import monte_carlo as sampled_scores
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.play.trajectories import Trajectories
from stackelberg_envs.processes.philox import Philox
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.processes.transitions import numbers_of
from stackelberg_envs.registry import GAMES
from stackelberg_envs.testing.modified_games import ModifiedGame

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU, only a pretended one")
SHORT = {id: {"max_cycles": 10} for id in ("continuous_toy-v0", "guided_cartpole-v0", "guided_pendulum-v0")}
SHORT["tax_economy-v0"] = {**SMALLER["tax_economy-v0"], "max_cycles": 10}
"""Worlds that are scored over 2,000 episodes."""
WAREHOUSE = {"warehouse-v0": {"variant": "relaxed", "rows": 3, "columns": 4, "candidates": 4, "shelves": 2}}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((id, {**SMALLER, **SHORT, **WAREHOUSE}.get(id, {})) for id in GAMES),
    ("four_rooms-v0", {"walkers": 2}),
    ("bimatrix-v0", {"preset": "random", "rows": 2, "types": 2, "rounds": 3, "visibility": "after"}),
    ("contract_tree-v0", {"commitment": "step"}),
    ("random_markov_game-v0", {"follower_sees": "policy"}),
    ("preference-v0", {"objective": "likelihood"}),
    ("tax_design-v0", {"preset": "legacy", "consumers": 2, "grid": 11, "hours": 2, "spendings": 3}),
    ("guided_cartpole-v0", {"target": "v1", "hidden": 4, "max_cycles": 10}),
    ("continuous_toy-v0", {"variant": "1_1a", "leader_sd": 0.3, "max_cycles": 10}),
    ("warehouse-v0", {"rows": 3, "columns": 4, "candidates": 4, "shelves": 2}),
]
SCORES = ("leader_return", "per_context", "follower_returns", "follower_gap", "duality_gap", "follower_values")


GPU = Callable[[], AbstractContextManager[str]]


@pytest.fixture(params=["pretend", pytest.param("real", marks=NO_GPU)])
def gpu(request: pytest.FixtureRequest) -> GPU:
    """``with gpu() as device``, which is what to ask for; what the CPU gives is computed outside, where nothing is pretended."""
    return pretend_gpu if request.param == "pretend" else lambda: nullcontext("cuda")


class Listed(ModifiedGame):
    """A game whose kernels are lists of next states."""

    def modify(self, process: Any) -> Any:
        return replace(process, transition=SuccessorLists.of(process.transition))


def listed(id: str, **arguments: Any) -> se.StackelbergGame:
    return Listed(se.game(id, **arguments))


def commitment(game: se.StackelbergGame) -> np.ndarray:
    return np.random.default_rng(0).normal(size=game.commitment_shape)


def committed(game: se.StackelbergGame, x: Any, context: int) -> list[tuple[str, Any]]:
    """All tables, by name; of what has none the numbers that it holds."""
    problems = [world.unloaded() for world in game.problems(game.for_context(x, context), context)]
    return [
        (name, getattr(numbers_of(getattr(p, name)), "probabilities", numbers_of(getattr(p, name)))) for p in problems for name in p.tables
    ]


FUNCTIONS = ("incentive", "leader_cost", "log_kernel", "log_leader_policy")
"""What a game may say beside its tables, of commitments alone or in a context."""


def told(game: se.StackelbergGame, x: Any, context: int) -> list[tuple[str, Any]]:
    """All of it, by name."""
    x, said = game.for_context(x, context), []
    for name in FUNCTIONS:
        if (function := getattr(game, name)) is not None:
            said += [(name, numbers_of(table)) for table in as_tuple(function(x) if name == "log_leader_policy" else function(x, context))]
    return said


def slope(game: se.StackelbergGame, x: np.ndarray, context: int, device: str) -> torch.Tensor:
    """The derivative of a sum of all tables, each entry with a weight of its own."""
    leaf = torch.tensor(x, device=device, requires_grad=True)
    total: Any = leaf.sum()
    for i, (_, table) in enumerate(committed(game, leaf, context)):
        weights = torch.arange(i, i + table.numel(), dtype=torch.float64, device=device).cos().reshape(table.shape)
        total = total + (weights * table).sum()
    return torch.autograd.grad(total, leaf)[0]


def assert_same(there: Any, here: Any, tolerance: float = 1e-12) -> None:
    """What came from the GPU is there, and is what came from the CPU."""
    assert there.device.type == "cuda"
    np.testing.assert_allclose(there.detach().cpu().numpy(), here, atol=tolerance)


MIXTURES: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: x + y,
    "product": lambda x, y: x @ y,
    "solution": torch.linalg.solve,
    "stack": lambda x, y: torch.stack([x[0], y]),
    "stack of numbers": lambda x, y: torch.stack([x[0, 0], y[0]]),
    "where": lambda x, y: torch.where(y > 0, x, 0.0),
    "in place": lambda x, y: y.add_(x[0]),
    "index": lambda x, y: y[x[0].long()],
    "array": lambda x, y: np.asarray(x),
    "numpy": lambda x, y: x.numpy(),
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_devices_do_not_mix(gpu: GPU, mixture: str) -> None:
    with gpu() as device, pytest.raises((RuntimeError, TypeError), match=r"device"):
        MIXTURES[mixture](torch.eye(3, device=device), torch.ones(3))


def test_what_may_be_mixed_and_moved(gpu: GPU) -> None:
    with gpu() as device:
        x, y = torch.eye(3, device=device), torch.arange(3)
        made = [x * torch.tensor(2.0), x[y], x[[0, 1]], x[np.array([0])], x.new_zeros(2)]
        made += [y.to(device), y.to(x), y.cuda(), torch.as_tensor(y, device=device), torch.zeros_like(y, device=device)]
        assert all(tensor.device.type == "cuda" for tensor in made)
        back = [x.cpu(), x.to("cpu"), torch.zeros(2).copy_(x[0, :2]), torch.zeros_like(x, device="cpu")]
        assert all(tensor.device.type == "cpu" for tensor in back)
        leaf = torch.ones(3, requires_grad=True)
        (gradient,) = torch.autograd.grad((leaf.to(device) * x[0]).cpu().sum(), leaf)
        assert gradient.device.type == "cpu"
        assert gradient.tolist() == x[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_commitments(gpu: GPU, id: str, arguments: dict[str, Any]) -> None:
    """Tables, what else a game says, and the tables' derivatives, in every context."""
    game = se.game(id, **arguments)
    x = commitment(game)
    for context in range(len(game.contexts)):
        here, expected = committed(game, x, context) + told(game, x, context), slope(game, x, context, "cpu")
        with gpu() as device:
            moved = torch.tensor(x, device=device)
            there = committed(game, moved, context) + told(game, moved, context)
            for (name, table), (_, numbers) in zip(there, here, strict=True):
                assert table.device.type == "cuda", name
                assert_same(table, numbers)
            assert_same(slope(game, x, context, device), expected, tolerance=1e-10)
        assert not game.smooth or float((expected - 1).abs().max()) > 0


@pytest.fixture
def short_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are estimated over 20 steps, which show as much as a thousand."""
    long = sampled_scores.monte_carlo
    monkeypatch.setattr(sampled_scores, "monte_carlo", lambda process, policy, steps, **more: long(process, policy, min(steps, 20), **more))


@pytest.mark.usefixtures("short_gaps")
@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_scores(gpu: GPU, id: str, arguments: dict[str, Any]) -> None:
    """By the referee, with the game's own follower; NumPy's scores, on the GPU."""
    assert_same_scores(se.game(id, **arguments), None, gpu)


@pytest.mark.parametrize(
    "follower",
    [
        se.Hard("strong"),
        se.Hard("uniform"),
        se.Quantal(0.3),
        se.Truncated(0.3, 5),
        se.MirrorDescent(0.3, 4),
        se.EpsilonOptimal(0.1),
    ],
    ids=repr,
)
def test_scores_with_other_followers(gpu: GPU, follower: se.Follower) -> None:
    assert_same_scores(se.game("random_markov_game-v0"), follower, gpu)


def test_scores_of_listed_kernels(gpu: GPU) -> None:
    assert_same_scores(listed("random_markov_game-v0"), None, gpu)


def assert_same_scores(game: se.StackelbergGame, follower: se.Follower | None, gpu: GPU) -> None:
    x = commitment(game)
    here = se.evaluate(game, x, follower=follower)
    with gpu() as device:
        there = se.evaluate(game, torch.tensor(x, device=device), follower=follower)
        for name in SCORES:
            assert_same(getattr(there, name), getattr(here, name), tolerance=1e-9)


@pytest.mark.parametrize(
    ("id", "arguments"), [("four_rooms-v0", {}), ("toy3-v0", {}), ("tax_design-v0", SMALLER["tax_design-v0"])], ids=str
)
@pytest.mark.parametrize("noise", [lambda: np.random.default_rng(5), lambda: Philox(5)], ids=["generator", "philox"])
def test_episodes(gpu: GPU, id: str, arguments: dict[str, Any], noise: Callable[[], Any]) -> None:
    """The same noise, the same episodes."""
    game = se.game(id, **arguments)
    x = commitment(game)

    def played(x: Any, states: Any) -> Trajectories:
        (mdp,) = game.problems(x)
        return simulate(mdp, game.default_follower.respond(game, x).policy, states, noise(), 30)

    first = np.arange(40) % (game.sizes[0][0] + 1)
    here = played(x, first)
    with gpu() as device:
        there = played(torch.tensor(x, device=device), torch.tensor(first, device=device))
        for name, expected in vars(here).items():
            assert_same(getattr(there, name), expected)


SMALL_NETS = {"hidden": (8,), "critic_steps": 5, "episodes": 10}
RUNS: list[tuple[str, Callable[[], se.StackelbergGame], dict[str, Any]]] = [
    # solver, game, settings
    ("implicit", lambda: se.game("four_rooms-v0"), {}),
    ("implicit", lambda: se.game("four_rooms-v0", walkers=2), {"optimiser": "adam"}),
    ("implicit", lambda: se.game("random_markov_game-v0"), {"clip_blocks": (5, 10)}),
    ("implicit", lambda: listed("random_markov_game-v0"), {}),
    ("implicit", lambda: se.game("zero_sum_incentive-v0", states=3, actions=(2, 3)), {}),
    ("implicit", lambda: se.game("commons-v0", **SMALLER["commons-v0"]), {}),
    ("implicit", lambda: se.game("preference-v0", objective="likelihood"), {}),
    ("implicit", lambda: se.game("tax_design-v0", **SMALLER["tax_design-v0"]), {}),
    ("implicit", lambda: se.game("building-v0"), {"budget": 1}),
    ("implicit", lambda: se.game("four_rooms-v0"), {"one_context": True}),
    ("naive", lambda: se.game("toy3-v0"), {}),
    ("two_stage", lambda: se.game("four_rooms-v0"), {}),
    ("zeroth_order", lambda: se.game("four_rooms-v0"), {}),
    ("zeroth_order", lambda: se.game("toy3-v0"), {"episodes": 5}),
    ("msobirl", lambda: se.game("four_rooms-v0"), {}),
    ("sobirl", lambda: se.game("four_rooms-v0"), {"episodes": 10}),
    ("sobirl", lambda: se.game("four_rooms-v0"), {"episodes": 10, "weights": "steps"}),
    ("hpgd", lambda: se.game("four_rooms-v0"), {"episodes": 10}),
    ("hpgd", lambda: se.game("four_rooms-v0"), {"batches": "geometric", "episodes": 10}),
    ("hpgd", lambda: se.game("four_rooms-v0"), {"streams": 2, "steps": 200}),
    ("aho", lambda: se.game("four_rooms-v0"), {"samples": 10}),
    ("adjoint_mirror", lambda: se.game("toy3-v0"), {"steps": 3}),
    ("slac", lambda: se.game("toy3-v0"), {}),
    ("first_order", lambda: se.game("toy3-v0"), {}),
    ("first_order", lambda: se.game("four_rooms-v0"), {"form": "sampled", "episodes": 10, "copy_steps": 2}),
    ("hpgd_kernel", lambda: se.game("tax_design-v0", temperature=0.2, **SMALLER["tax_design-v0"]), {"episodes": 5}),
    ("hpgd_kernel", lambda: se.game("tax_design-v0", temperature=0.2, **SMALLER["tax_design-v0"]), {"episodes": 5, "form": "published"}),
    ("bchg", lambda: se.game("toy3-v0"), {"level": "outcome"}),
    ("bchg", lambda: se.game("toy3-v0"), {"level": "value", "jitter": 0.1}),
    ("bchg", lambda: se.game("four_rooms-v0"), {"level": "policy", "critic": "returns"}),
    ("bchg", lambda: se.game("four_rooms-v0"), {"level": "policy", "critic": "sarsa", "streams": 2, "steps": 100}),
    ("bchg", lambda: se.game("four_rooms-v0"), {"level": "policy", "critic": "reset", "centred": "both", "reset_episodes": 104}),
    ("rtq", lambda: se.game("toy3-v0"), {"steps": 20, "levels": 3}),
    ("rtq", lambda: se.game("four_rooms-v0"), {"steps": 20, "levels": 3, "form": "sampled", "episodes": 5}),
    ("biac", lambda: se.game("random_markov_game-v0"), {}),
    ("neural_bchg", lambda: se.game("building-v0", max_cycles=20), SMALL_NETS),
    ("neural_bchg", lambda: se.game("building-v0", max_cycles=20), {**SMALL_NETS, "centred": "follower", "features": False}),
    ("neural_bchg", lambda: se.game("lq_gain-v0", max_cycles=20), {**SMALL_NETS, "critic": "quadratic", "score_clip": 1.0}),
    ("neural_bchg", lambda: se.game("continuous_toy-v0", variant="1_1a", leader_sd=0.3, max_cycles=20), {**SMALL_NETS, "critic": "td"}),
]
FOLLOWERS = {"rtq": se.SoftQLearning(0.05, 1)}
ON_THE_CPU = {
    "multistart", "combinatorial", "penalty", "independent_pg", "inverse_planning", "multiple_lp", "enumeration", "line_search",
    "contract_lp", "security_lp", "subsidy_planner", "leader_ppo",
}  # fmt: skip
"""Solvers that take no device."""


@pytest.mark.usefixtures("short_gaps")
@pytest.mark.parametrize(("name", "make", "settings"), RUNS, ids=lambda value: "" if callable(value) else str(value))
def test_runs(gpu: GPU, name: str, make: Callable[[], se.StackelbergGame], settings: dict[str, Any]) -> None:
    """A few commitments, by the same seed."""
    game = make()
    start = 0.1 * commitment(game)
    given = {"budget": 3, "seed": 3, "reports": 1, "start": start, "follower": FOLLOWERS.get(name), **settings}
    here = solvers.solve(game, name, **given)
    with gpu() as device:
        there = solvers.solve(game, name, device=device, **given)
    np.testing.assert_allclose(there.x, here.x, atol=1e-9)
    assert replace(there.cost, seconds=0) == replace(here.cost, seconds=0)
    assert not np.array_equal(here.x, start), "it stands still, which shows nothing"


def test_every_solver_that_takes_a_device_runs_on_it() -> None:
    ascending = {name for name in solvers.SOLVERS if issubclass(solvers.solver_class(name), solvers.Estimator)}
    assert {name for name, _, _ in RUNS} == ascending == set(solvers.SOLVERS) - ON_THE_CPU


def test_a_stopped_run_goes_on(gpu: GPU) -> None:
    """Optimiser and warm starts are kept where they are."""
    game = se.game("random_markov_game-v0")
    with gpu() as device:
        given: dict[str, Any] = {"optimiser": "adam", "device": device, "reports": 2}
        half = solvers.solve(game, "implicit", budget=3, **given)
        whole, resumed = (solvers.solve(game, "implicit", budget=6, resume=resume, **given) for resume in (None, half.checkpoint))
    np.testing.assert_allclose(resumed.x, whole.x, atol=1e-12)
