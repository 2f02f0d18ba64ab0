"""Checks of a functional game: its tables, its purity, its agreement across array libraries.

What a game without tables owes besides is in `stackelberg_envs.testing.sampled_checks`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ..commitments import CommitmentError
from ..followers.exact import Hard, Soft
from ..game import StackelbergGame, group_by_world, skip_checks
from ..piece_errors import STEERING, induced_worlds, kernel_errors, policy_errors, reward_errors
from .array_libraries import import_torch
from .report import Report, require, unpicklable

SUM_TOLERANCE = 1e-9


def check_game(game: StackelbergGame, *, seed: int = 0) -> Report:
    """Check a functional game.

    A game that would be refused when it is played, because its worlds are none, is looked at all the same.

    Args:
        game: the game.
        seed: of the commitments that are tried.

    Raises:
        ConformanceError: with everything that was found.
    """
    rng = np.random.default_rng(seed)
    tried = [np.zeros(game.dimension), *(np.clip(s * rng.normal(size=(2, game.dimension)), -10, 10) for s in (0.1, 3.0))]
    points = np.clip(np.concatenate([np.atleast_2d(x) for x in tried]), game.leader_space.low, game.leader_space.high)
    report, game = Report(f"game {game.name}"), skip_checks(game)
    report.check("declarations", _declarations, game)
    report.check("worlds are what they should be", _worlds, game, points)
    report.check("commit is a pure function", _purity, game, points)
    report.check("a pickled game is the same game", _pickles, game, points)
    report.check("bad commitments are refused", _refusals, game)
    report.check("the default follower answers", _answers, game, points)
    report.check("shading is one number a place", _shading, game, points)
    kinds: list[str] = []
    with suppress(Exception):  # that nothing is induced has been said
        kinds += dict.fromkeys(world.kind for world in game.null_worlds)
    for kind in kinds:
        _CHECKS_BY_KIND.get(kind, lambda *_: None)(report, game, points)
    return report.conclude()


def _check_tables(report: Report, game: StackelbergGame, points: np.ndarray) -> None:
    """What a game with tables owes besides."""
    report.check("a batch equals a loop", _batches, game, points)
    report.check("incentive and cost are what the leader sets", _incentive, game, points)
    report.check("log_kernel is the kernel, if the leader sets rewards and moves it", _log_kernel, game, points)
    report.check("log_leader_policy is the leader's policy", _leader_policy, game, points)
    report.check("followers keep to the actions that they have", _masks, game, points)
    report.check("the leader is paid for outcomes where actions are hidden", _hidden_actions, game, points)
    report.check("torch agrees and differentiates" if game.smooth else "torch agrees, and nothing has a slope", _torch, game, points)


def _check_vectors(report: Report, game: StackelbergGame, points: np.ndarray) -> None:
    """What a game without tables owes besides."""
    from .sampled_checks import check_functions  # not above: it uses what is here

    check_functions(report, game, points)


_CHECKS_BY_KIND: dict[str, Callable[[Report, StackelbergGame, np.ndarray], None]] = {"tables": _check_tables, "vectors": _check_vectors}


def _declarations(game: StackelbergGame) -> None:
    space = game.leader_space
    require(space.dtype == np.float64 and len(space.shape) == 1, f"leader_space is a flat float64 Box, got {space}")
    require(bool(np.isfinite(space.low).all() and np.isfinite(space.high).all()), "leader_space is bounded by finite numbers")
    require(bool(np.zeros(game.dimension) in space), "leader_space contains 0, the null commitment")
    probabilities = np.asarray(game.context_probabilities)
    require(probabilities.shape == (len(game.contexts),), "one probability a context")
    require(bool((probabilities >= 0).all()) and abs(probabilities.sum() - 1) < SUM_TOLERANCE, "context probabilities sum to 1")
    require(game.max_cycles >= 1, "max_cycles is at least 1")
    discounts = {mdp.leader_discount for context in game.contexts for mdp in game.problems(np.zeros(game.dimension), context)}
    require(len(discounts) == 1, f"the leader has one discount, not {sorted(discounts)}")
    require(len(game.spaces) == game.followers, f"commit returns processes of {len(game.spaces)} followers, and declares {game.followers}")


def _worlds(game: StackelbergGame, points: np.ndarray) -> None:
    for x in points:
        for context in game.contexts:
            wrong = [said for world in game.problems(x, context) for said in world.violations()]
            require(not wrong, f"in context {context}: {'; '.join(wrong)}")


def _purity(game: StackelbergGame, points: np.ndarray) -> None:
    for x in points:
        before = x.copy()
        first = game.problems(x)
        require(np.array_equal(x, before), "commit changed its argument")
        again = all(one.same_as(other) for one, other in zip(first, game.problems(x), strict=True))
        require(again, "commit is not a function of x")


def _pickles(game: StackelbergGame, points: np.ndarray) -> str | None:
    reason = unpicklable(game)
    if reason is None:
        twin = pickle.loads(pickle.dumps(game))
        for x in points:
            same = all(one.same_as(other) for one, other in zip(game.problems(x), twin.problems(x), strict=True))
            require(same, "a pickled game differs")
    return reason


def _batches(game: StackelbergGame, points: np.ndarray) -> None:
    for context in game.contexts:
        batched = game.problems(points, context)
        for i, x in enumerate(points):
            single = game.problems(x, context)
            for one, many in zip(single, batched, strict=True):
                require((one.available is None) == (many.available is None), "a batch and the same commitment alone differ in a mask")
                masks = {} if one.available is None else {"available": (one.available, many.available)}
                for name, tables in {**{name: (one.numbers[name], many.numbers[name]) for name in one.tables}, **masks}.items():
                    own, table = map(np.asarray, tables)
                    row = table[i] if table.ndim > own.ndim else table
                    require(np.allclose(row, own, atol=1e-12, rtol=0), f"{name}: row {i} of a batch differs from the same commitment alone")


def _refusals(game: StackelbergGame) -> None:
    n = game.dimension
    for bad, what in ((np.full(n, np.nan), "NaN"), (np.full(n, np.inf), "infinity"), (np.zeros(n + 1), "a wrong shape"), ("x", "text")):
        try:
            game.commit(bad)
        except CommitmentError:
            continue
        require(False, f"commit accepted {what}")


def _incentive(game: StackelbergGame, points: np.ndarray) -> str | None:
    if all(getattr(game, piece) is None for piece in STEERING):
        return "the game says nothing of what the leader sets"
    errors = reward_errors(game, points, induced_worlds(game, points))
    require(not errors, "; ".join(errors))
    return None if game.incentive or game.leader_cost else "the leader has no instrument of its own"


def _log_kernel(game: StackelbergGame, points: np.ndarray) -> str | None:
    errors = kernel_errors(game, points, induced_worlds(game, points))
    require(not errors, "; ".join(errors))
    return None if game.log_kernel or game.incentive else "the leader sets no rewards"


def _leader_policy(game: StackelbergGame, points: np.ndarray) -> str | None:
    errors = policy_errors(game, points, induced_worlds(game, points))
    require(not errors, "; ".join(errors))
    return None if game.log_leader_policy else "the leader does not act in the game"


def _shading(game: StackelbergGame, points: np.ndarray) -> str | None:
    if game.shading is None or game.layout is None:
        return "the game has no shading, or no layout to shade"
    for x, name in ((points[0], "one commitment"), (points, f"{len(points)} commitments")):
        shape, expected = np.shape(np.asarray(game.shading(x))), (*x.shape[:-1], len(game.layout.cells))
        require(shape == expected, f"shading of {name} has shape {shape}, and with one number for each cell of layout it is {expected}")
    require(bool(np.isfinite(np.asarray(game.shading(points))).all()), "shading is not finite")
    return None


def _hidden_actions(game: StackelbergGame, points: np.ndarray) -> str | None:
    if game.follower_actions_public:
        return "the leader sees what followers do"
    for x in points:
        for context in game.contexts:
            for mdp in game.problems(x, context):
                paid = np.broadcast_to(np.asarray(mdp.leader_reward), mdp.transition.shape[:-1])
                there = True if mdp.available is None else mdp.available
                require(
                    bool((np.where(there, paid, -np.inf).max(axis=-1) == np.where(there, paid, np.inf).min(axis=-1)).all()),
                    "leader_reward depends on the follower's action, which is hidden; settle in the next state",
                )
    return None


def _masks(game: StackelbergGame, points: np.ndarray) -> str | None:
    """The default follower plays what is available."""
    lacking = 0
    for x in points:
        for context in range(len(game.contexts)):
            worlds = game.problems(x, context)
            lacking += sum(world.available is not None for world in worlds)
            if not any(world.available is not None for world in worlds):
                continue
            require(
                game.masked,
                "actions are missing under some commitments, and none under the null commitment: write available=all True there",
            )
            policies = game.default_follower.respond(game, x, context).policies
            for world, own in zip(worlds, group_by_world(worlds, policies), strict=True):
                try:
                    world.check_policies(own)
                except ValueError as error:
                    require(False, str(error))
    return None if lacking else "all actions are always available"


def _answers(game: StackelbergGame, points: np.ndarray) -> None:
    from ..evaluation import evaluate

    for x in points:
        result = evaluate(game, np.broadcast_to(x, game.commitment_shape))
        require(bool(np.isfinite(result.leader_return)), "the score is not finite")
        if isinstance(game.default_follower, (Soft, Hard)) and (game.tabular or game.closed_forms):  # elsewhere the gap is an estimate
            require(
                not float(result.follower_gap) >= 1e-7, f"the default follower leaves a follower gap of {float(result.follower_gap):.3g}"
            )


def _torch(game: StackelbergGame, points: np.ndarray) -> None:
    torch = import_torch()
    step = 1e-6
    rng = np.random.default_rng(0)
    for x in points:
        direction = rng.normal(size=x.shape)
        for context in game.contexts:
            leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
            there = game.problems(leaf, context)
            _require_equal_tables(game.problems(x, context), there, 1e-12, "torch and NumPy disagree")
            if not game.smooth:  # jumps have no slope, and elsewhere it is 0
                flat = all(not getattr(mdp, name).requires_grad for mdp in there for name in mdp.tables)
                require(flat, "smooth is False, and a table still has a gradient")
                continue
            up, down = game.problems(x + step * direction, context), game.problems(x - step * direction, context)
            for mdp, above, below in zip(there, up, down, strict=True):
                for name in mdp.tables:
                    table = mdp.numbers[name]
                    weights = rng.normal(size=tuple(table.shape))
                    change = np.asarray(above.numbers[name]) - np.asarray(below.numbers[name])
                    difference = float((weights * change).sum() / (2 * step))
                    slope = 0.0
                    if table.requires_grad:
                        (gradient,) = torch.autograd.grad((table * torch.tensor(weights)).sum(), leaf, retain_graph=True)
                        slope = float(gradient @ torch.tensor(direction))
                    scale = 1 + abs(difference)
                    require(abs(slope - difference) < 1e-6 * scale, f"d {name} is {slope:.9g}, central difference {difference:.9g}")


def _require_equal_tables(first: tuple[Any, ...], second: tuple[Any, ...], tolerance: float, message: str) -> None:
    for one, other in zip(first, second, strict=True):
        for name in one.tables:
            table = other.numbers[name]
            table = table.detach().cpu().numpy() if hasattr(table, "detach") else np.asarray(table)
            worst = float(np.abs(np.asarray(one.numbers[name]) - table).max(initial=0.0))
            require(worst <= tolerance, f"{message}: {name} differs by {worst:.3g}")
