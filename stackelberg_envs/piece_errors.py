"""What the optional pieces of a game leave out of what its leader moves, or say wrongly.

Solvers that may not call ``commit`` learn from `stackelberg_envs.optional` what a commitment does to rewards, dynamics and the leader's
policy.  What is left out there is left out of their gradients, and nothing else would show it.  So the worlds that a few commitments
induce, in every context, are compared with what the pieces say of them.  Worlds without tables are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .game import StackelbergGame, as_tuple
from .processes.transitions import equal_tables, numbers_of

STEERING = ("incentive", "leader_cost", "log_kernel", "log_leader_policy")
"""The pieces from which solvers learn what a commitment does in worlds with tables."""
MEANING = {
    "incentive": "all of the follower's reward that moves with x, with the sign that it has there",
    "leader_cost": "what the leader pays for its instrument, negative where it earns",
}
LARGE = 10**6
"""Numbers of a ``log_kernel`` that takes seconds to compare."""
TOLERANCE = 1e-12
"""Absolute, for rewards of size 1; larger ones are rounded in proportion."""


Induced = list[list[tuple[Any, ...]]]
"""The worlds of each commitment, by context and commitment."""


def piece_errors(game: StackelbergGame, *, private: bool = True) -> list[str]:
    """Everything that is wrong, a sentence each, by two commitments; empty if nothing is, and for worlds without tables.

    A ``log_kernel`` of more than `LARGE` numbers is taken for granted; `check_game` compares it.

    Args:
        game: the game.
        private: whether ``incentive`` is compared with the followers' rewards, which no leader may know: whether it is admitted must not
            depend on them.
    """
    if not game.tabular or all(getattr(game, piece) is None for piece in STEERING):
        return []
    moved = np.cos(np.arange(1.0, game.dimension + 1))  # any commitment does whose components differ
    points = np.stack([np.zeros(game.dimension), np.clip(moved, game.leader_space.low, game.leader_space.high)])
    induced = induced_worlds(game, points)
    large = game.log_kernel is not None and sum(world.kernel.numbers.size for world in induced[0][0]) > LARGE  # it takes seconds
    checks = (policy_errors,) if large else (kernel_errors, policy_errors)
    errors = reward_errors(game, points, induced, private=private)
    return errors + [error for errors_of in checks for error in errors_of(game, points, induced)]


def induced_worlds(game: StackelbergGame, points: np.ndarray) -> Induced:
    """What commitments ``points`` (K, n) induce in each context; of a crowd, before it reacts."""
    contexts = range(len(game.contexts))
    return [[tuple(world.unloaded() for world in game.problems(x, context)) for x in points] for context in contexts]


def reward_errors(game: StackelbergGame, points: np.ndarray, induced: Induced, *, private: bool = True) -> list[str]:
    """Whether ``incentive`` and ``leader_cost`` are all by which rewards move, by commitments (K, n) and what they induce.

    Without ``private`` only the leader's side is looked at.
    """
    acts_or_moves = game.log_leader_policy is not None or game.log_kernel is not None
    steers = acts_or_moves or game.incentive is not None
    sides = (("incentive", "follower_reward", -1.0, acts_or_moves), ("leader_cost", "leader_reward", 1.0, steers))
    return [
        error
        for piece, reward, sign, needed in (sides if private else sides[1:])
        if needed or getattr(game, piece) is not None
        for context, worlds in enumerate(induced)
        for error in _moving_reward(game, points, context, worlds, piece, reward, sign)
    ]


def kernel_errors(game: StackelbergGame, points: np.ndarray, induced: Induced) -> list[str]:
    """Whether ``log_kernel`` is the logarithm of the transition or, without it, the transition stays as it is."""
    if game.incentive is None and game.log_leader_policy is None and game.log_kernel is None:
        return []
    errors = []
    for context, worlds in enumerate(induced):
        where, kernels = _where(game, context), [[world.kernel for world in each] for each in worlds]
        if game.log_kernel is None:
            if not all(equal_tables(one, first) for kernel in kernels for one, first in zip(kernel, kernels[0], strict=True)):
                errors.append(
                    f"transition moves with x{where}, and the game has no log_kernel: write log_kernel(x, context), the logarithm of "
                    "transition; without it sampled gradients would leave that out"
                )
            continue
        for x, kernel in zip(points, kernels, strict=True):
            parts, error = _call(game, "log_kernel", x, context, [one.numbers for one in kernel])
            errors += [] if error is None else [error]
            for part, one in zip(parts, kernel, strict=False):
                worst = float(np.abs(np.exp(part) - one.numbers).max())
                if not worst < TOLERANCE:
                    errors.append(f"exp(log_kernel) is not the transition{where}: it differs by {worst:.3g}")
                    break
    return list(dict.fromkeys(errors))


def policy_errors(game: StackelbergGame, points: np.ndarray, induced: Induced) -> list[str]:
    """Whether ``log_leader_policy`` is the logarithm of the leader's policy or, without it, the policy stays as it is."""
    if game.log_leader_policy is None and game.incentive is None and game.log_kernel is None:
        return []
    errors = []
    for context, worlds in enumerate(induced):
        where, policies = _where(game, context), [[np.asarray(world.leader_policy) for world in each] for each in worlds]
        if game.log_leader_policy is None:
            if not all(np.array_equal(one, first) for policy in policies for one, first in zip(policy, policies[0], strict=True)):
                errors.append(f"leader_policy moves with x{where}, and the game has no log_leader_policy: write log_leader_policy(x)")
            continue
        for x, policy in zip(points, policies, strict=True):
            said = np.exp(np.asarray(game.log_leader_policy(x)))
            for one in policy:
                if said.shape != one.shape:
                    errors.append(f"log_leader_policy has shape {said.shape}, and leader_policy {one.shape}")
                elif not np.allclose(said, one, atol=TOLERANCE, rtol=0):
                    errors.append(f"exp(log_leader_policy) is not leader_policy{where}")
    return list(dict.fromkeys(errors))


def _moving_reward(
    game: StackelbergGame, points: np.ndarray, context: int, worlds: list[tuple[Any, ...]], piece: str, reward: str, sign: float
) -> list[str]:
    """What is wrong with ``reward`` plus ``sign`` times ``piece``, which must not depend on x."""
    where, said = _where(game, context), getattr(game, piece) is not None
    rests: dict[float, list[list[np.ndarray]]] = {sign: [], -sign: []}
    for x, each in zip(points, worlds, strict=True):
        tables = [table for world in each for table in (_follower_rewards if piece == "incentive" else _leader_rewards)(world)]
        parts, error = _call(game, piece, x, context, tables) if said else ([np.zeros(())] * len(tables), None)
        if error is not None:
            return [error]
        for factor, rest in rests.items():
            rest.append([table + factor * np.where(np.isfinite(table), part, 0.0) for table, part in zip(tables, parts, strict=True)])
    if _same(rests[sign]):
        return []
    several = piece == "incentive" and len(rests[sign][0]) > 1
    moving = [f"follower_{i}" for i, rest in enumerate(zip(*rests[sign], strict=True)) if not _same([[table] for table in rest])]
    whose = f", in the rewards of {' and '.join(moving)}" if several else ""
    if not said:
        return [f"{reward} moves with x{where}{whose}, and the game has no {piece}: write {piece}(x, context), {MEANING[piece]}"]
    hint = f"{piece} has the wrong sign: it is" if _same(rests[-sign]) else f"{piece}(x, context) is"
    return [f"{reward} {'less' if sign < 0 else 'plus'} {piece} still depends on the commitment{where}{whose}; {hint} {MEANING[piece]}"]


def _follower_rewards(world: Any) -> Iterator[np.ndarray]:
    """Each follower's table, (S, A, B)."""
    for i in range(len(world.actions)):
        yield _where_available(world, world.follower_rewards[i])


def _leader_rewards(world: Any) -> Iterator[np.ndarray]:
    yield _where_available(world, world.leader_reward)


def _where_available(world: Any, reward: Any) -> np.ndarray:
    """A table (S, A, B), with NaN where an action is not available and nothing is said."""
    table = np.broadcast_to(np.asarray(reward, dtype=np.float64), world.sizes)
    return table if world.available is None else np.where(world.available, table, np.nan)


def _call(game: StackelbergGame, piece: str, x: np.ndarray, context: int, tables: Sequence[Any]) -> tuple[list[np.ndarray], str | None]:
    """A piece as one table for each of ``tables``, and what is wrong with their number or shapes."""
    where = _where(game, context)
    try:
        parts = [np.asarray(numbers_of(part)) for part in as_tuple(getattr(game, piece)(x, context))]
    except Exception as error:
        return [], f"{piece} raised {type(error).__name__}{where}: {error}"
    if len(parts) != len(tables):
        return [], f"{piece} is {len(parts)} tables{where}, and there are {len(tables)} to say: return a tuple of one each"
    for i, (part, table) in enumerate(zip(parts, tables, strict=True)):
        shape, which = tuple(np.shape(table)), f" number {i}" if len(tables) > 1 else ""
        if part.ndim > len(shape) or any(size not in (1, full) for size, full in zip(part.shape[::-1], shape[::-1], strict=False)):
            return (
                [],
                f"{piece}{which} has shape {part.shape}{where}, which does not broadcast to {shape}{_deadline_hint(part.shape, shape)}",
            )
    return parts, None


def _deadline_hint(said: tuple[int, ...], due: tuple[int, ...]) -> str:
    """What to do where a piece has S rows and worlds have T S, as those with a deadline do."""
    stages, rest = divmod(due[0], said[0]) if len(said) == len(due) and said[0] > 1 else (0, 1)
    if rest or stages < 2:
        return ""
    whole = f"se.with_deadline(game, {stages})"
    return f"; if induced sets a deadline of {stages} steps, leave it out there, and set it for the whole game: {whole}"


def _same(rests: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether tables are the same at all commitments, up to rounding."""
    first, *others = rests
    return all(
        np.allclose(a, b, atol=TOLERANCE * max(1.0, float(np.nanmax(np.abs(a), initial=0.0))), rtol=0, equal_nan=True)
        for other in others
        for a, b in zip(first, other, strict=True)
    )


def _where(game: StackelbergGame, context: int) -> str:
    return f" in context {game.contexts[context]!r}" if len(game.contexts) > 1 else ""
