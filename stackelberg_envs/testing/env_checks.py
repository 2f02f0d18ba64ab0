"""Checks of an environment: an AEC or parallel PettingZoo environment, or a Gymnasium one.

An environment is judged by what it shows through PettingZoo's interface.  Checks that compare it with its model also need
``env.unwrapped`` to have ``game``, ``context``, ``states``, ``leader_actions`` and ``replace_game``, as the views of this suite do; they
are skipped, with the reason in the report, for environments that have not.
"""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel

from ..views.masks import NextAvailable, next_available
from .driver import Driver, Snapshot, drive, equal, sample
from .kernel import compare_with_model
from .modified_games import GameWithIneffectiveFollowers, GameWithOtherFollowerRewards, ModifiedGame
from .report import Report, require, unpicklable

MODEL = ("game", "context", "states", "leader_actions", "replace_game")
STEPS = 250


def check_env(
    env: Any,
    leader: str | None = None,
    followers: Sequence[str] | None = None,
    *,
    parallel: ParallelEnv | None = None,
    seed: int = 0,
    kernel_steps: int = 10_000,
) -> Report:
    """Check an environment, by playing it: reset it before you go on using it.

    Args:
        env: an AEC, parallel or Gymnasium environment, or a function without arguments that returns one.
        leader: the agent that leads; guessed, and the guess is in the report, if it is not given.
        followers: the agents that follow; all others if not given.
        parallel: the parallel form that an AEC claims; taken from ``env.unwrapped.game`` if not given.
        seed: of the episodes that are played.
        kernel_steps: moves on which the steps are compared with the model's kernel.

    Raises:
        ConformanceError: with everything that was found.
        TypeError: if ``env`` is none of the three kinds.
    """
    if callable(env) and not isinstance(env, (AECEnv, ParallelEnv, gymnasium.Env)):
        env = env()
    if isinstance(env, gymnasium.Env):
        report = Report(f"Gymnasium environment {env}")
        report.check("gymnasium's own check", _gymnasium, env.unwrapped, seed)
        return report.conclude()
    if not isinstance(env, (AECEnv, ParallelEnv)):
        raise TypeError(f"check_env takes an AECEnv, a ParallelEnv or a gymnasium.Env, got {type(env).__name__}")
    report = Report(f"environment {env}")
    report.check("observations lie in their spaces", _spaces, env, seed)
    report.check("flags are bool and the same for all", _flags, env, seed)
    report.check("rewards are finite floats, infos numeric with steady keys", _rewards_and_infos, env, seed)
    report.check("last() pays what was earned", _last_pays, env, seed)
    report.check("a seed determines every step", _determinism, env, seed)
    report.check("deep copies go on alike", _copies, env, seed, copy.deepcopy)
    report.check("pickles go on alike", _pickles, env, seed)
    report.check("observations are fresh arrays", _arrays_are_not_shared, env, seed)
    report.check("illegal actions are refused and change nothing", _refusals, env, seed)
    report.check("action masks say which actions there are", _action_masks, env, seed)
    report.check("the leader sees nothing of the followers' insides", _non_interference, env, seed)
    report.check("the leader sees nothing of hidden actions", _hidden_actions, env, seed)
    report.check("followers see the commitment", _followers_observe_commitment, env, seed)
    report.check("steps follow the model's kernel", _kernel, env, seed, kernel_steps)
    if isinstance(env, AECEnv):
        report.check("the parallel form plays the same game", _parallel_form, env, parallel, seed)
    return report.conclude()


def _gymnasium(env: Any, seed: int) -> None:
    """Gymnasium's check knows no masks; where there is one, what it plays stands for available actions."""
    masked = "action_mask" in env.reset(seed=seed)[1]
    with warnings.catch_warnings():
        if masked:
            warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        gymnasium_check_env(NextAvailable(env) if masked else env, skip_render_check=True)


def _spaces(env: Any, seed: int) -> None:
    for moment in drive(env, seed, STEPS):
        for agent, observation in moment.observations.items():
            space = env.observation_space(agent)
            where = f"{agent}, after {moment.moves} moves"
            require(space.contains(observation), f"{where}: {_short(observation)} is not in {_short(space)}")
            got, want = getattr(observation, "dtype", None), space.dtype
            require(got == want, f"{where}: dtype {got}, the space says {want}")


def _flags(env: Any, seed: int) -> None:
    last = None
    for moment in drive(env, seed, STEPS):
        for kind, flags in (("termination", moment.terminations), ("truncation", moment.truncations)):
            for agent, flag in flags.items():
                require(type(flag) is bool, f"{agent}: a {kind} is {flag!r} of type {type(flag).__name__}, not a bool")
            require(len(set(flags.values())) <= 1, f"a {kind} for some but not for all: {flags}; libraries then never end the episode")
        last = moment
    assert last is not None
    require(set(last.observations) == set(env.possible_agents), f"agents left before the end: {sorted(last.observations)} remain")


def _rewards_and_infos(env: Any, seed: int) -> None:
    keys: dict[str, set[str]] = {}
    for moment in drive(env, seed, STEPS):
        for agent, reward in moment.rewards.items():
            require(type(reward) is float and math.isfinite(reward), f"{agent}: a reward is {reward!r}, not a finite Python float")
        for agent, info in moment.infos.items():
            for key, value in info.items():
                numeric = isinstance(value, (int, float, np.number, np.ndarray)) and np.asarray(value).dtype.kind in "biuf"
                require(numeric, f"{agent}: info[{key!r}] is {value!r}, not numeric")
            known = keys.setdefault(agent, set(info))
            require(set(info) == known, f"{agent}: info keys change from {sorted(known)} to {sorted(info)}")


def _last_pays(env: Any, seed: int) -> str | None:
    if not isinstance(env, AECEnv):
        return "only AEC environments have last()"
    driver = Driver(env, seed)
    owed = dict.fromkeys(env.possible_agents, 0.0)
    for _ in range(STEPS):
        mover = env.agent_selection
        paid = env.last()[1]
        require(abs(paid - owed[mover]) < 1e-9, f"last() pays {mover} {paid}, but it has earned {owed[mover]} since it last acted")
        if driver.is_over:
            return None
        acting = driver.acting()
        driver.advance()
        for agent in acting:
            owed[agent] = 0.0
        for agent, reward in env.rewards.items():
            owed[agent] += reward
    return None


def _determinism(env: Any, seed: int) -> None:
    kept = np.random.get_state()  # noqa: NPY002 - marked, looked at and put back
    np.random.set_state(np.random.RandomState(12345).get_state())  # noqa: NPY002
    mark = str(np.random.get_state())  # noqa: NPY002
    try:
        first, second = list(drive(env, seed, STEPS)), list(drive(env, seed, STEPS))
        require(mark == str(np.random.get_state()), "the environment uses or seeds NumPy's global generator")  # noqa: NPY002
    finally:
        np.random.set_state(kept)  # noqa: NPY002
    _compare(first, second, "two runs with the same seed and actions differ")
    for _ in drive(env, seed, STEPS, env_seed=seed + 1):
        pass
    _compare(first, list(drive(env, seed, STEPS)), "a run with the same seed differs after another seed's run")


def _copies(env: Any, seed: int, clone: Callable[[Any], Any]) -> None:
    driver = Driver(env, seed)
    for _ in range(4):
        if not driver.is_over:
            driver.advance()
    twin = Driver(clone(env), seed, adopt=driver)
    for _ in range(20):
        if driver.is_over:
            break
        _compare([driver.advance()], [twin.advance()], "a copy in mid-episode goes on differently")


def _pickles(env: Any, seed: int) -> str | None:
    reason = unpicklable(env)
    if reason is None:
        _copies(env, seed, lambda env: pickle.loads(pickle.dumps(env)))
    return reason


def _arrays_are_not_shared(env: Any, seed: int) -> None:
    driver = Driver(env, seed)
    for _ in range(4):
        shown = driver.snapshot().observations
        kept = {agent: np.copy(observation) for agent, observation in shown.items()}
        if isinstance(env, AECEnv):
            for agent in env.agents:
                observation = env.observe(agent)
                if isinstance(observation, np.ndarray):
                    observation += 1
                require(
                    np.array_equal(np.asarray(env.observe(agent)), kept[agent]),
                    f"{agent}: observe returns a buffer that the caller can change",
                )
        if driver.is_over:
            return
        driver.advance()
        for agent, observation in shown.items():
            require(np.array_equal(observation, kept[agent]), f"{agent}: an earlier observation changed when the world moved")


def _require_refusal(env: Any, agent: str, actions: dict[str, Any], action: Any, kind: str, which: str) -> None:
    """Fail unless the environment refuses ``action`` of an agent, beside the others' ``actions``, in words."""
    try:
        env.step(action) if isinstance(env, AECEnv) else env.step({**actions, agent: action})
    except Exception as refusal:
        require(bool(str(refusal)), f"{agent}: an {kind} action is refused without a word")
        return
    require(False, f"{agent}: {which} was accepted")


def _refusals(env: Any, seed: int) -> None:
    def provoke(agent: str, actions: dict[str, Any]) -> None:
        space = env.action_space(agent)
        illegal = [space.high + 1, np.full(space.shape, np.nan, space.dtype)] if isinstance(space, Box) else [int(space.n), -1]
        for action in illegal:
            _require_refusal(env, agent, actions, action, "illegal", f"the action {_short(action)} outside {_short(space)}")

    plain = list(drive(env, seed, 12))
    driver = Driver(env, seed)
    seen = [driver.snapshot()]
    while not driver.is_over and len(seen) < len(plain):
        seen.append(driver.advance(before=provoke))
    _compare(plain, seen, "a refused action changed the state")


def _action_masks(env: Any, seed: int) -> str | None:
    """Masks are as libraries take them, and those of the model; what they exclude is refused, by an environment that has a model."""
    driver, shown, worlds = Driver(env, seed), False, _AvailableInModel(env)

    def provoke(agent: str, actions: dict[str, Any]) -> None:
        mask = driver.mask(agent)
        for action in [] if mask is None or not _has_model(env) else np.flatnonzero(np.asarray(mask) == 0).tolist():
            _require_refusal(env, agent, actions, action, "unavailable", f"action {action}, which its mask excludes,")

    while not driver.is_over and driver.moves < STEPS:
        for agent in driver.acting():
            mask, where, space = driver.mask(agent), f"{agent}, after {driver.moves} moves", env.action_space(agent)
            there = worlds.of(agent)
            if mask is None:
                require(there is None, f"{where}: it lacks actions, and its info has no action_mask")
                continue
            shown = True
            require(isinstance(space, Discrete), f"{where}: a mask for {_short(space)}, where sample(mask) takes none")
            form = isinstance(mask, np.ndarray) and mask.dtype == np.int8 and mask.shape == (int(space.n),)
            require(form and bool(np.isin(mask, (0, 1)).all()), f"{where}: a mask is int8 0 or 1, one an action, got {_short(mask)}")
            require(bool(mask.any()), f"{where}: no action is available")
            same = not _has_model(env) or np.array_equal(mask, np.ones(int(space.n)) if there is None else there)
            require(same, f"{where}: the mask is {_short(mask)}, the model has {_short(there)}")
        driver.advance(before=provoke)
    return None if shown else "nobody lacks an action"


class _AvailableInModel:
    """Which actions followers have, by the model of an environment, if it has one."""

    def __init__(self, env: Any) -> None:
        self.env, self.key, self.worlds = env, None, ()

    def of(self, agent: str) -> np.ndarray | None:
        """Booleans, one an action; None where it has all of them always, and without a model."""
        inner = self.env.unwrapped
        if not agent.startswith("follower") or not _has_model(self.env) or inner.commitment is None:
            return None
        key: Any = inner.commitment.tobytes(), inner.context
        if key != self.key:
            self.key, self.worlds = key, inner.game.problems(inner.commitment, inner.context)
        i = int(agent.rpartition("_")[2])
        group, world = next(pair for pair in zip(inner.game.groups, self.worlds, strict=True) if i in pair[0])
        there, s = world.available_actions(group.index(i)), inner.states[i]
        if there is None or s == world.sizes[0]:
            return None
        signal = inner.game.visibility[i] == "signal"
        seen = 0 if there.shape[1] == 1 else inner.episode.signal(i) if signal else inner.leader_actions[i]
        return np.asarray(there)[s, seen]


def _non_interference(env: Any, seed: int) -> str | None:
    if not _has_model(env):
        return "the environment has no model to modify"
    plain, other = list(drive(env, seed, STEPS)), list(drive(_with_modified_game(env, GameWithOtherFollowerRewards), seed, STEPS))
    followers_differ = any(a.rewards != b.rewards for a, b in zip(plain, other, strict=True))
    require(followers_differ, "the environment does not pay followers by its game, so the leader's ignorance cannot be checked")
    _leader_sees_the_same(plain, other, "a follower's reward")
    return None


def _hidden_actions(env: Any, seed: int) -> str | None:
    """The same episodes, but each follower does something else: the noise brings about the same outcomes."""
    if not _has_model(env):
        return "the environment has no model to modify"
    if env.unwrapped.game.follower_actions_public:
        return "the leader sees what followers do"
    told: list[list[Any]] = []
    moments: list[list[Snapshot]] = []
    for shift in (0, 1):
        driver = Driver(_with_modified_game(env, GameWithIneffectiveFollowers), seed)
        told.append([])
        moments.append([driver.snapshot()])
        while not driver.is_over and driver.moves < STEPS:
            chosen = driver.choose()
            for agent in chosen:
                if agent.startswith("follower"):
                    chosen[agent] = next_available((chosen[agent] + shift) % env.action_space(agent).n, driver.mask(agent))
            moments[-1].append(driver.advance(chosen))
            if driver.moved and hasattr(driver.env.unwrapped, "round_transition"):
                told[-1].append(driver.env.unwrapped.round_transition())
    _leader_sees_the_same(moments[0], moments[1], "a hidden action")
    for one, other in zip(*told, strict=True):
        require(all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)), "round_transition depends on a hidden action")
    return None


def _with_modified_game(env: Any, change: type[ModifiedGame]) -> Any:
    """A copy of an environment that plays a changed game."""
    twin = copy.deepcopy(env)
    twin.unwrapped.replace_game(change(env.unwrapped.game))
    return twin


def _leader_sees_the_same(plain: list[Snapshot], other: list[Snapshot], what: str) -> None:
    require(len(plain) == len(other), f"when an episode ends depends on {what}")
    for a, b in zip(plain, other, strict=True):
        for agent in a.observations:
            if not agent.startswith("leader"):
                continue
            where = f"{agent}, after {a.moves} moves"
            require(np.array_equal(a.observations[agent], b.observations[agent]), f"{where}: the observation depends on {what}")
            require(a.rewards[agent] == b.rewards[agent], f"{where}: the leader's reward depends on {what}")
            require(equal(a.infos[agent], b.infos[agent]), f"{where}: the info depends on {what}")


def _followers_observe_commitment(env: Any, seed: int) -> str | None:
    leader = env.possible_agents[0]
    space = env.action_space(leader)
    followers = [agent for agent in env.possible_agents if agent.startswith("follower")]
    if not isinstance(space, Box) or not followers or isinstance(env.observation_space(followers[0]), Discrete):
        return "the leader does not commit to a vector here, or observations are indices"
    seen = []
    for scale in (0.0, 0.5):
        driver = Driver(env, seed)
        driver.advance({leader: np.asarray(scale * space.high, dtype=space.dtype)})
        seen.append(driver.snapshot().observations[followers[0]])
    require(not np.array_equal(*seen), f"{followers[0]} observes the same after two different commitments")
    return None


def _kernel(env: Any, seed: int, steps: int) -> str | None:
    return compare_with_model(env, seed, steps) if _has_model(env) else "the environment has no model to compare with"


def _parallel_form(env: Any, parallel: ParallelEnv | None, seed: int) -> str | None:
    if env.metadata.get("is_parallelizable"):
        _same_play(env, aec_to_parallel(copy.deepcopy(env)), seed, "metadata says is_parallelizable, but aec_to_parallel of it")
    if parallel is None:
        if not _has_model(env) or not hasattr(env.unwrapped, "episode"):
            return "no parallel form is known; pass parallel="
        from ..views.parallel import StackelbergParallel

        episode = env.unwrapped.episode
        parallel = StackelbergParallel(
            env.unwrapped.game, view=episode.view, observations=episode.observations, max_cycles=env.unwrapped.max_cycles
        )
    _same_play(env, parallel, seed, "the parallel form")
    return None


def _same_play(aec: Any, parallel: Any, seed: int, what: str) -> None:
    """Drive both with the same actions: before each move, the movers must have seen the same, and all are paid the same."""
    one, other = Driver(aec, seed), Driver(parallel, seed)
    for _ in range(STEPS):
        here, there = one.snapshot(), other.snapshot()
        for agent in one.acting():
            same = agent in there.observations and np.array_equal(here.observations[agent], there.observations[agent])
            require(same, f"{what} shows {agent} something else before it acts (after {here.moves} moves)")
        for agent in here.rewards:
            require(here.rewards[agent] == there.rewards.get(agent), f"{what} pays {agent} differently (after {here.moves} moves)")
        require(one.is_over == other.is_over, f"{what} ends at another time")
        if one.is_over:
            return
        chosen = one.choose()
        rng = np.random.default_rng(seed)
        waiting = {agent: sample(aec.action_space(agent), rng) for agent in aec.possible_agents if agent not in chosen}
        one.advance(chosen)
        other.advance({**waiting, **chosen})


def _compare(first: list[Snapshot], second: list[Snapshot], what: str) -> None:
    require(len(first) == len(second), f"{what}: {len(first)} against {len(second)} moves")
    for a, b in zip(first, second, strict=True):
        difference = a.difference(b)
        require(difference is None, f"{what} (after {a.moves} moves): {difference}")


def _has_model(env: Any) -> bool:
    return all(hasattr(env.unwrapped, name) for name in MODEL)


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 100 else text[:97] + "..."
