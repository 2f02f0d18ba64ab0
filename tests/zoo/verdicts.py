"""What PettingZoo's tests and Gymnasium's say of each broken environment, beside this kit.

The table is in docs/reference/broken-environments.md.

``PYTHONPATH=tests python -m zoo.verdicts`` writes it anew.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import numpy as np
import pettingzoo.test as pzt
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pettingzoo import AECEnv
from zoo import broken_actions, broken_episodes, broken_interfaces, broken_roles
from zoo.defect import Defect
from zoo.tables_of_toll import arguments
from zoo.toll import NAMES

from stackelberg_envs.testing import ConformanceError, Report, check_env

DEFECTS: list[Defect] = [*broken_interfaces.BROKEN, *broken_episodes.BROKEN, *broken_actions.BROKEN, *broken_roles.BROKEN]
PAGE = Path(__file__).parents[2] / "docs/reference/broken-environments.md"
CYCLES, RUNS = 200, 6
"""Of PettingZoo's tests: steps of each run, and runs."""


class FollowerAlone(gymnasium.Env[Any, Any]):
    """An AEC as its follower's environment, under a commitment of zero."""

    def __init__(self, env: Any) -> None:
        self.env, self.follow = env, env.follow
        self.observation_space, self.action_space = env.observation_space(self.follow), env.action_space(self.follow)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.env.reset(seed=seed, options=options)
        self.env.step(np.zeros_like(self.env.action_space(self.env.lead).low))
        return self.env.observe(self.follow), self.env.infos[self.follow]

    def step(self, action: Any) -> Any:
        env, follow = self.env, self.follow
        env.step(action)
        observation, info = env.observe(follow), env.infos.get(follow, {})
        return observation, env.rewards[follow], env.terminations[follow], env.truncations[follow], info


def failure(test: Callable[[Callable[[], Any]], Any], build: Callable[[], Any]) -> bool:
    """Whether a test of others fails on an environment, in one of a few runs.

    These tests draw actions and resets from the operating system's entropy.  Here each run has seeds in its place, so that a verdict can
    be computed again.  What they print, log and warn of is left out.
    """
    kept, default_rng = np.random.get_state(), np.random.default_rng  # noqa: NPY002 - put back below
    for run in range(RUNS):
        entropy = count(1000 * run)

        def seeded(run: int = run) -> Any:
            env = build()
            for i, space in enumerate(env.actions.values()):
                space.seed(100 * run + i)
            return env

        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(warnings.catch_warnings(action="ignore"))
            stack.enter_context(
                patch("numpy.random.default_rng", lambda seed=None, entropy=entropy: default_rng(next(entropy) if seed is None else seed))
            )
            logging.disable(logging.CRITICAL)
            np.random.seed(run)  # noqa: NPY002 - some of the broken ones draw from it
            try:
                test(seeded)
            except Exception:  # whatever stops it is what it finds
                return True
            finally:
                logging.disable(logging.NOTSET)
                np.random.set_state(kept)  # noqa: NPY002
    return False


def pettingzoo_verdict(build: Callable[[], Any]) -> str:
    """The first of PettingZoo's tests that fails."""
    tests: dict[str, Callable[[Callable[[], Any]], Any]]
    if isinstance(build(), AECEnv):
        tests = {"api_test": lambda make: pzt.api_test(make(), CYCLES), "seed_test": lambda make: pzt.seed_test(make, CYCLES)}
    else:
        tests = {
            "parallel_api_test": lambda make: pzt.parallel_api_test(make(), CYCLES),
            "parallel_seed_test": lambda make: pzt.parallel_seed_test(make, CYCLES),
        }
    return next((f"`{name}`" for name, test in tests.items() if failure(test, build)), "passes")


def gymnasium_verdict(defect: Defect) -> str:
    """Whether Gymnasium's check fails on the follower alone."""
    if not defect.single or not isinstance(defect.build(), AECEnv):
        return "does not apply"
    found = failure(lambda make: gymnasium_check_env(FollowerAlone(make()), skip_render_check=True), defect.build)
    return "`check_env`" if found else "passes"


def report_of(defect: Defect, names: tuple[str, str] = NAMES) -> Report:
    """What the kit says of a broken environment, given what its author would say of a sound one."""
    given = {**arguments(names, defect.kernel_steps), "max_moves": 300}
    if "kernel" not in defect.check:
        given["model"] = None  # which takes the longest
    return report_on(partial(defect.build, names), **given)


def report_on(build: Callable[[], Any], **given: Any) -> Report:
    """What the kit says, whether it raises or not."""
    try:
        return check_env(build, **given)
    except ConformanceError as error:
        return error.report or Report("nothing")


def row(defect: Defect) -> str:
    """A line of the table."""
    theirs = pettingzoo_verdict(defect.build), gymnasium_verdict(defect)
    source = "" if defect.thread is None else f"[{'/'.join(defect.thread.split('/')[3:5])}]({defect.thread})"
    return f"| {defect.wrong} | {source} | {theirs[0]} | {theirs[1]} | {defect.kind}: {defect.check} |"


def table() -> str:
    """All lines, and a sentence that counts them."""
    rows = [row(defect) for defect in DEFECTS]
    found = [sum("test`" in line for line in rows), sum("`check_env`" in line for line in rows)]
    single = sum(defect.single and issubclass(defect.build, AECEnv) for defect in DEFECTS)
    said = f"Of {len(rows)} defects PettingZoo's tests find {found[0]}, and Gymnasium's check {found[1]} of the {single} that it can see."
    head = ["| what is wrong | seen in | PettingZoo | Gymnasium | this kit |", "|---|---|---|---|---|"]
    return "\n".join([said, "", *head, *rows, ""])


def main() -> None:
    """Write the table into the page, below its marker."""
    above, marker, _ = PAGE.read_text().partition("<!-- generated -->\n")
    PAGE.write_text(f"{above}{marker}\n{table()}")


if __name__ == "__main__":
    main()
