"""Checks of a game with tables: batches, optional pieces, masks, hidden actions, and agreement with torch."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from ..game import StackelbergGame, group_by_world
from ..piece_errors import STEERING, induced_worlds, kernel_errors, policy_errors, reward_errors
from ..processes.inverse_cdf import DEFICIT_TOLERANCE
from .array_libraries import import_torch, require_slope
from .report import Report, require
from .simulation import check_episodes, check_layouts


def check_tables(report: Report, game: StackelbergGame, points: np.ndarray, endless: bool) -> None:
    """Add to ``report`` what only a game with tables owes; ``points`` (K, n) are tried, and ``endless`` says that none ends."""
    report.check("tables keep double precision", _precision, game, points)
    report.check("a batch equals a loop", _batches, game, points)
    report.check("incentive and cost are what the leader sets", _incentive, game, points)
    report.check("log_kernel is the kernel, if the leader sets rewards and moves it", _log_kernel, game, points)
    report.check("log_leader_policy is the leader's policy", _leader_policy, game, points)
    report.check("followers keep to the actions that they have", _masks, game, points)
    report.check("the leader is paid for outcomes where actions are hidden", _hidden_actions, game, points)
    report.check("operations of a transition agree with its rows", check_layouts, game, points)
    report.check("episodes follow the tables", check_episodes, game, points)
    if endless:
        report.check("episodes have no end", _endless, game, points)
    else:
        with suppress(Exception):  # that there are no such tables has been said
            report.notes += [f"{said}; endless=True (--endless) makes this an error" for said in _ends(game, points[:1])]
    report.check("torch agrees and differentiates" if game.smooth else "torch agrees, and nothing has a slope", _torch, game, points)


def _precision(game: StackelbergGame, points: np.ndarray) -> None:
    for world in game.problems(points[-1]):
        for name, table in world.numbers.items():
            require(table.dtype == np.float64, f"{name} is {table.dtype} for a commitment in float64: convert constants to x.dtype")


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


def _endless(game: StackelbergGame, points: np.ndarray) -> None:
    for said in _ends(game, points):
        require(False, said)


def _ends(game: StackelbergGame, points: np.ndarray) -> list[str]:
    """What rows that sum to less than 1 mean: nobody would see the end of a row in which a number was forgotten."""
    notes = []
    for context in range(len(game.contexts)):
        for world in (world for x in points for world in game.problems(x, context)):
            sums = np.asarray(world.kernel.expect(np.ones(world.kernel.shape[-1])))
            there = np.broadcast_to(True if world.available is None else np.asarray(world.available), sums.shape)
            ending = there & (sums < 1 - DEFICIT_TOLERANCE)
            if ending.any():
                s, a, b = np.unravel_index(int(np.where(ending, sums, np.inf).argmin()), sums.shape)
                where = f" in context {game.contexts[context]}" if len(game.contexts) > 1 else ""
                rows = f"{ending.sum()} of {there.sum()} rows{where}"
                least = f"least sum {sums[s, a, b]:.6g} at ({s=!s}, {a=!s}, {b=!s})"
                notes.append(f"episodes may end in {rows}, {least}; if no episode should end there, rows lost probability")
    return list(dict.fromkeys(notes))


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


def _torch(game: StackelbergGame, points: np.ndarray) -> None:
    torch = import_torch()
    step = 1e-6
    rng = np.random.default_rng(0)
    slopes: dict[str, float] = {}
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
                    slope = require_slope(name, table, weights, leaf, direction, difference, 1 + abs(difference))
                    slopes[name] = max(slopes.get(name, 0.0), abs(slope))
    if game.smooth:
        _require_slopes(game, points, slopes)


def _require_slopes(game: StackelbergGame, points: np.ndarray, slopes: dict[str, float]) -> None:
    """What moves with x has a slope somewhere; else it jumps."""
    for context in game.contexts:
        first, *others = (game.problems(x, context) for x in points)
        for name in slopes:
            moves = any(
                not np.array_equal(np.asarray(one.numbers[name]), np.asarray(world.numbers[name]))
                for worlds in others
                for one, world in zip(first, worlds, strict=True)
            )
            require(not moves or slopes[name] > 0, f"{name} moves with x and has no slope: it jumps; say smooth = False")


def _require_equal_tables(first: tuple[Any, ...], second: tuple[Any, ...], tolerance: float, message: str) -> None:
    for one, other in zip(first, second, strict=True):
        for name in one.tables:
            table = other.numbers[name]
            table = table.detach().cpu().numpy() if hasattr(table, "detach") else np.asarray(table)
            worst = float(np.abs(np.asarray(one.numbers[name]) - table).max(initial=0.0))
            require(worst <= tolerance, f"{message}: {name} differs by {worst:.3g}")
