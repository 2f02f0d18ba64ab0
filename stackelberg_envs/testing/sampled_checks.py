"""Checks of a game without tables: its functions of state, actions and noise, on chosen and extreme arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from ..game import StackelbergGame
from ..worlds.sampled import SampledProcess
from .actions import sample
from .array_libraries import import_torch, require_slope
from .report import Report, require

EPISODES, STEPS, DRAWS = 32, 8, 4000
TOLERANCE = 1e-12
SOLVED = 1e-9
"""Of what comes out of a solver, such as a Riccati equation's answer."""


def check_functions(report: Report, game: StackelbergGame, points: np.ndarray) -> None:
    """Add to ``report`` what only worlds without tables owe; ``points`` (K, n) are the commitments that are tried."""
    report.check("steps stay among the reals and in their spaces", _steps, game, points)
    report.check("functions are pure", _purity, game, points)
    report.check("a batch equals a loop", _batches, game, points)
    report.check("log densities are those of what is drawn", _densities, game, points)
    report.check("incentive_at and cost are what the leader sets", steered_rewards, game, points)
    report.check("torch agrees and differentiates", _torch, game, points)


def _random_episodes(process: SampledProcess, actor: Any, rng: np.random.Generator, steps: int = STEPS) -> list[dict[str, Any]]:
    """What `EPISODES` episodes did in each step under random actions, the ends of the noise among its variates."""
    s, taken = process.start(_noise(rng, process.noise.start)), []
    for t in range(steps):
        u = {"lead": _noise(rng, process.noise.lead), "act": _noise(rng, actor.noise), "step": _noise(rng, process.noise.step)}
        a = process.lead(s, u["lead"])
        b = actor.act(s, a, u["act"]) if t % 2 else _actions(process.follower_action, rng)
        arrived, ended = process.step(s, a, b, u["step"])
        taken.append({"s": s, "a": a, "b": b, "u": u, "arrived": arrived, "ended": ended, "paid": process.rewards(s, a, b, arrived)})
        s = np.where(ended[:, None], s, arrived)
    return taken


def _noise(rng: np.random.Generator, width: int) -> np.ndarray:
    u = rng.random((EPISODES, width))
    u[0], u[1] = 0.0, 1 - 2.0**-53
    return u


def _actions(space: Any, rng: np.random.Generator) -> np.ndarray:
    drawn = np.array([sample(space, rng) for _ in range(EPISODES)])
    if isinstance(space, Box):
        drawn[2], drawn[3] = space.low, space.high
    return drawn


def _cases(game: StackelbergGame, points: np.ndarray) -> Any:
    """(commitment, context, process, default follower's policy) for all of them."""
    for x in points:
        for context in range(len(game.contexts)):
            policies = game.default_follower.respond(game, x, context).policies
            for process, policy in zip(game.problems(x, context), policies, strict=True):
                yield x, context, process, policy


def _steps(game: StackelbergGame, points: np.ndarray) -> None:
    for _, _, process, policy in _cases(game, points):
        width = int(process.state_space.shape[0])
        for taken in _random_episodes(process, policy, np.random.default_rng(0)):
            s, a = taken["s"], taken["a"]
            require(
                s.shape == (EPISODES, width) and s.dtype == np.float64,
                f"states are ({EPISODES}, {width}) float64, got {s.shape}, {s.dtype}",
            )
            require(a.shape == (EPISODES, process.leads), f"leader actions are ({EPISODES}, {process.leads}), got {a.shape}")
            require(taken["arrived"].shape == s.shape, f"a step goes from {s.shape} to {taken['arrived'].shape}")
            require(taken["ended"].shape == (EPISODES,) and taken["ended"].dtype == bool, "ends are one boolean an episode")
            for name, values in (("state", taken["arrived"]), ("leader action", a), *(("reward", paid) for paid in taken["paid"])):
                require(bool(np.isfinite(values).all()), f"a {name} is not finite")
            require(all(paid.shape == (EPISODES,) for paid in taken["paid"]), "rewards are one number an episode")
            inside = (s >= process.state_space.low) & (s <= process.state_space.high)
            require(bool(inside.all()), f"a state is outside {process.state_space}: {s[~inside.all(-1)][:1]}")


def _purity(game: StackelbergGame, points: np.ndarray) -> None:
    for x, context, process, policy in _cases(game, points):
        before = x.copy()
        again = game.problems(x, context)[0]
        require(np.array_equal(x, before), "commit changed its argument")
        for taken in _random_episodes(process, policy, np.random.default_rng(1), steps=3):
            kept = {name: taken[name].copy() for name in ("s", "a", "b")}
            for name, values in _function_values(again, policy, taken).items():
                require(
                    np.array_equal(values, _function_values(process, policy, taken)[name]), f"{name} is not a function of its arguments"
                )
            require(all(np.array_equal(taken[name], kept[name]) for name in kept), "a function changed its arguments")


def _function_values(process: Any, policy: Any, taken: dict[str, Any], convert: Callable[[Any], Any] = lambda v: v) -> dict[str, Any]:
    """Every function of the process and the policy at the arguments of a step."""
    s, a, b, arrived = (convert(taken[name]) for name in ("s", "a", "b", "arrived"))
    u = {name: convert(values) for name, values in taken["u"].items()}
    earned, paid = process.rewards(s, a, b, arrived)
    stepped, ended = process.step(s, a, b, u["step"])
    return {
        "lead": process.lead(s, u["lead"]),
        "step": stepped,
        "ended": ended,
        "follower reward": earned,
        "leader reward": paid,
        "follower action": policy.act(s, a, u["act"]),
    }


def _batches(game: StackelbergGame, points: np.ndarray) -> None:
    """Commitments (K, n) and (K, 1, n) play states (K, N, d)."""
    for context in range(len(game.contexts)):
        singles = [(game.problems(x, context)[0], game.default_follower.respond(game, x, context).policy) for x in points]
        steps = [_random_episodes(process, policy, np.random.default_rng(2), steps=3) for process, policy in singles]
        for batch in (points, points[:, None]):
            process, policy = game.problems(batch, context)[0], game.default_follower.respond(game, batch, context).policy
            for each in zip(*steps, strict=True):
                together: dict[str, Any] = {name: np.stack([taken[name] for taken in each]) for name in ("s", "a", "b", "arrived")}
                together["u"] = {name: np.stack([taken["u"][name] for taken in each]) for name in each[0]["u"]}
                for name, values in _function_values(process, policy, together).items():
                    for i, taken in enumerate(each):
                        alone = _function_values(*singles[i], taken)[name]
                        row = values[i] if values.ndim > alone.ndim else values
                        require(_close(row, alone), f"{name} in a batch of commitments {batch.shape} differs from one alone")


def _densities(game: StackelbergGame, points: np.ndarray) -> str | None:
    """Draws under x, reweighted to x + d, weigh 1 on average: int pi_x pi_{x+d} / pi_x = 1; within 5 standard errors."""
    if game.log_leader_density is None and game.log_kernel_density is None:
        return "the game has no log density"
    rng = np.random.default_rng(3)
    for x, _, process, policy in _cases(game, points):
        s, a, b = (np.repeat(_random_episodes(process, policy, rng, steps=2)[-1][name][4:5], DRAWS, axis=0) for name in ("s", "a", "b"))
        drawn = process.lead(s, rng.random((DRAWS, process.noise.lead)))
        arrived, _ = process.step(s, a, b, rng.random((DRAWS, process.noise.step)))
        direction = rng.normal(size=x.shape)
        kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        if game.log_leader_density is not None:
            kinds["log_leader_density"] = lambda at, s=s, drawn=drawn: game.log_leader_density(at, s, drawn)
        if game.log_kernel_density is not None:
            kinds["log_kernel_density"] = lambda at, s=s, a=a, b=b, arrived=arrived: game.log_kernel_density(at, s, a, b, arrived)
        for name, log in kinds.items():
            require(bool(np.isfinite(log(x)).all()), f"{name} of what was drawn is not finite")
            slope = float(np.std(log(x + 1e-6 * direction) - log(x))) / 1e-6
            ratio = np.exp(log(x + direction * min(0.1, 0.3 / max(slope, 1e-12))) - log(x))
            error = max(float(ratio.std()) / DRAWS**0.5, 1e-9)
            off = abs(float(ratio.mean()) - 1)
            require(off < 5 * error, f"{name}: draws reweighted to another commitment weigh {ratio.mean():.4f}, not 1")
    return None


def steered_rewards(game: StackelbergGame, points: np.ndarray) -> str | None:
    """The same steps under all commitments earn and pay the same, but for what the pieces say."""
    if all(piece is None for piece in (game.incentive_at, game.leader_cost, game.log_leader_density, game.log_kernel_density)):
        return "the game says nothing of what the leader sets"
    for context in range(len(game.contexts)):
        process, policy = game.problems(points[0], context)[0], game.default_follower.respond(game, points[0], context).policy
        taken = _random_episodes(process, policy, np.random.default_rng(5), steps=3)[-1]
        s, a, b, arrived = (taken[name] for name in ("s", "a", "b", "arrived"))
        sides: dict[str, list[np.ndarray]] = {"incentive_at": [], "leader_cost": []}
        for x in points:
            earned, paid = game.problems(x, context)[0].rewards(s, a, b, arrived)
            sides["incentive_at"].append(earned - (0.0 if game.incentive_at is None else game.incentive_at(x, context, s, b)))
            sides["leader_cost"].append(paid + (0.0 if game.leader_cost is None else game.leader_cost(x, context)))
        if game.leader_cost is None and game.incentive_at is not None:
            del sides["leader_cost"]  # it is one number, which cannot say what depends on the step; and who would need it declines then
        for (piece, rests), reward in zip(sides.items(), ("follower reward", "leader reward"), strict=False):
            said = "is not all of what moves there, or has the wrong sign" if getattr(game, piece) is not None else "is missing: write it"
            require(all(_close(rest, rests[0]) for rest in rests), f"the {reward} of a step moves with x, and {piece} {said}")
    return None


def _torch(game: StackelbergGame, points: np.ndarray) -> None:
    torch = import_torch()
    step, rng = 1e-6, np.random.default_rng(4)
    for x, context, process, policy in _cases(game, points):
        direction = rng.normal(size=x.shape)
        leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        there, answer = game.problems(leaf, context)[0], game.default_follower.respond(game, leaf, context).policy
        up, down = (game.problems(x + sign * step * direction, context)[0] for sign in (1, -1))
        for taken in _random_episodes(process, policy, rng, steps=3):
            here = _function_values(process, policy, taken)
            for name, values in _function_values(there, answer, taken, torch.tensor).items():
                tolerance = SOLVED if name == "follower action" else TOLERANCE
                require(_close(values.detach().numpy(), here[name], tolerance), f"torch and NumPy disagree: {name}")
                if name in ("ended", "follower action"):
                    continue
                weights = rng.normal(size=tuple(values.shape))
                above, below = (weights * _function_values(side, policy, taken)[name] for side in (up, down))
                difference = float((above - below).sum()) / (2 * step)
                scale = 1 + abs(difference) + 1e-3 * float(np.abs(above).sum())  # differences of large numbers are rounded
                require_slope(name, values, weights, leaf, direction, difference, scale)


def _close(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, atol=tolerance, rtol=tolerance))
