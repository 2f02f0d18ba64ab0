"""Whatever is passed is accepted, and works, or is refused in words, and nothing has changed; a sample of ``python -m tests.fuzz``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzz.__main__ import ALL, FINE, attempt
from fuzz.verdict import bare

import solvers
import stackelberg_envs as se
from stackelberg_envs.arguments import ArgumentError, CheckedArguments

SAMPLES = {"games": 150, "views": 150, "episodes": 150, "followers": 200, "solvers": 150, "configurations": 60, "commands": 60}


@pytest.mark.parametrize("kind", ALL)
def test_no_input_is_answered_by_a_bare_error(kind: str) -> None:
    wrong = [said for seed in range(SAMPLES[kind]) if (said := attempt(kind, seed))[0] not in FINE]
    assert not wrong, wrong[0]


def test_the_fuzz_tells_words_from_bare_errors() -> None:
    """Errors of Python, NumPy and statements without words are bare; those of the suite that name the argument are not."""
    for call in (lambda: np.zeros(3) or 1, lambda: object().x, lambda: [][1], lambda: int("a"), lambda: {}["a"]):  # type: ignore[attr-defined]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of any kind
            call()
        assert bare(caught.value)
    with pytest.raises(ValueError, match="slip is a finite number") as refused:
        se.game("four_rooms-v0", slip=1.5)
    assert bare(refused.value, ["slip"]) is None
    assert bare(refused.value, ["beta"]) == "does not name the argument"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda env: env.reset(options={"contex": 0}), r"reset has no options\['contex'\]; did you mean 'context'"),
        (lambda env: env.reset(options=5), "options of reset are a mapping with keys context, commitment, or None; got 5"),
        (lambda env: env.reset(seed="3"), "seed is a whole number from 0, got '3'"),
        (lambda env: env.reset(seed=-1), "seed is a whole number from 0, got -1"),
    ],
)
def test_a_refused_reset_changes_nothing(call: Any, said: str) -> None:
    env, twin = (se.make("toy3-v0", view="play") for _ in range(2))
    for one in (env, twin):
        one.reset(seed=1)
        one.step(0)
    with pytest.raises(ValueError, match=said):
        call(env)
    for action in (1, 0, 1, 2, 0):
        env.step(action % 2 if env.agent_selection == "leader_0" else action)
        twin.step(action % 2 if twin.agent_selection == "leader_0" else action)
        assert (env.states, env.rewards) == (twin.states, twin.rewards)


@pytest.mark.parametrize("context", [0.7, True, "G3", None, [0]])
def test_what_is_no_context_is_refused(context: Any) -> None:
    with pytest.raises(KeyError, match="context"):
        se.game("four_rooms-v0").commit(np.zeros(105), context)


@pytest.mark.parametrize(
    ("id", "sizes"),
    [
        ("random_markov_game-v0", {"states": 10**7, "layout": "dense"}),
        ("random_markov_game-v0", {"states": 10**30}),
        ("zero_sum_incentive-v0", {"states": 10**6}),
        ("bimatrix-v0", {"preset": "random", "rows": 10**9}),
        ("security-v0", {"targets": 10**12}),
        ("preference-v0", {"states": 10**8}),
        ("building-v0", {"zones": 10**6}),
        ("guided_cartpole-v0", {"hidden": 10**12}),
        ("tax_design-v0", {"hours": 10**10}),
        ("warehouse-v0", {"rows": 10**6}),
    ],
)
def test_what_cannot_fit_into_memory_is_refused_before_it_is_made(id: str, sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"need more than the .* GB that are free: make them smaller"):
        se.game(id, **sizes)


def test_arguments_are_what_is_declared() -> None:
    """Also those of a class of somebody else; NumPy's numbers are numbers, and copies need no arguments."""

    class Mine(CheckedArguments):
        def __init__(self, size: int, share: float | None = None, kind: str = "a", rest: Any = None) -> None:
            self.given = size, share, kind, rest

    assert Mine(np.int64(3), share=np.float32(0.5), rest=[]).given == (3, 0.5, "a", [])
    for arguments, said in (
        ({"size": 2.0}, "Mine: size is a whole number, got 2.0"),
        ({"size": True}, "Mine: size is a whole number, got True"),
        ({"size": 1, "share": float("nan")}, "Mine: share is a number or None, got nan"),
        ({"size": 1, "shaer": 0.1}, "Mine takes no argument 'shaer'; did you mean 'share'"),
    ):
        with pytest.raises(ArgumentError, match=said):
            Mine(**arguments)
    with pytest.raises(TypeError, match="did you mean 'lr'"):
        solvers.build("implicit", learning_rate=0.1)
    with pytest.raises(TypeError, match="did you mean 'learning_rate'"):
        solvers.build("leader_ppo", lr=0.1)
