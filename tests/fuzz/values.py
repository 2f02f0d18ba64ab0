"""Values that nobody should pass, among some that one may: wrong types, infinities, huge numbers, nested and empty things."""

from __future__ import annotations

import copy
import datetime
import decimal
import fractions
import inspect
import random
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

HUGE = (10**6, 10**9, 10**12, 2**31, 2**63, 10**30, 10**400, -(10**30))
PLAIN: tuple[Any, ...] = (
    *(float("nan"), float("inf"), -float("inf"), -1, -1.5, 0, 0.0, -0.0, 1, 2, 3, 0.5, 0.7, 1.0, 1e-300, 1e300),
    *HUGE,
    *("", "cold", "big", "0.5", "nan", "None", "default", "\x00", "é" * 3, "x" * 300),
    *([], [1], [1, 2], [[1], [2, 3]], [[]], ["a"], [None], [[[[1]]]], [1.5, float("nan")], [[1, 2], [3, 4]]),
    *({}, {"a": 1}, {"context": 0}, {"kind": "Soft"}, True, False),
)
"""Those that a TOML file can hold."""
OTHER: tuple[Any, ...] = (
    *(None, b"x", (), (0, 0), (1, 2), (0.1, 0.2), set(), {1: 2}, frozenset({1}), 1j, ..., int, len, object(), range(3)),
    *(np.bool_(True), np.int64(3), np.int64(-1), np.float32(0.5), np.float64("nan"), np.str_("default"), np.array(1.0), np.array(2)),
    *(np.array([]), np.zeros(3), np.zeros((2, 2)), np.array(["a"]), np.array([None]), np.array([1, 2]), np.full(6, np.nan)),
    *(fractions.Fraction(1, 3), decimal.Decimal("0.3"), decimal.Decimal("NaN"), datetime.date(2024, 1, 1), memoryview(b"ab")),
)


def odd(rng: random.Random, *, plain: bool = False) -> Any:
    """One of them."""
    value = rng.choice(PLAIN if plain or rng.random() < 0.5 else OTHER)
    return copy.deepcopy(value) if isinstance(value, (list, dict)) else value


def misspell(rng: random.Random, name: str) -> str:
    """A name with a letter less, one twice, two exchanged, or another name altogether."""
    if not name or rng.random() < 0.15:
        return rng.choice(("learning_rate", "options", "x", "Seed", "self", "temprature"))
    i = rng.randrange(len(name))
    return rng.choice((name[:i] + name[i + 1 :], name[:i] + name[i] + name[i:], name[:i] + name[i:][1:2] + name[i : i + 1] + name[i + 2 :]))


def keywords(rng: random.Random, names: Sequence[str], hints: Mapping[str, Any] = {}, *, plain: bool = False) -> dict[str, Any]:
    """Arguments by name for one to three of ``names``: odd values, choices that are declared, now and then a misspelt name."""
    chosen = rng.sample(list(names), min(len(names), rng.choice((1, 1, 1, 2, 2, 3))))
    drawn = {}
    for name in chosen:
        options = [literal for part in _parts(hints.get(name)) for literal in typing.get_args(part)]
        value = rng.choice(options) if options and rng.random() < 0.4 else odd(rng, plain=plain)
        drawn[misspell(rng, name) if rng.random() < 0.1 else name] = value
    return drawn


@cache
def parameters(function: Any) -> dict[str, Any]:
    """Names of what a class or function takes by keyword, with their annotations where these can be read."""
    target = function.__init__ if inspect.isclass(function) else function
    named = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [name for name, one in inspect.signature(target).parameters.items() if one.kind in named]
    try:
        hints = typing.get_type_hints(function if hasattr(function, "__dataclass_fields__") else target)
    except NameError:
        hints = {}
    return {name: hints.get(name) for name in names if name != "self"}


def _parts(hint: Any) -> list[Any]:
    """The ``Literal`` parts of an annotation."""
    return [part for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is typing.Literal]
