"""Checks of what people hand in, with messages that say what was wrong: kinds by annotation, whole and real numbers, names, sizes.

One validator stands at every door: a class that derives from `CheckedArguments` has its arguments compared with their annotations before
anything is made of them.  Ranges are checked where they are declared, by `whole` and `real`.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from .annotations import allows, choices, in_words, resolve

PROBE = "options"
"""A key that PettingZoo's own tests pass to every ``reset``, in ``options={"options": 1}``; it says nothing, and is ignored."""


LONGEST = 2**63 - 1
"""Steps of an episode that can be counted."""


class ArgumentError(TypeError, ValueError):
    """An argument of the wrong kind, or that does not exist; the message names it and says what is allowed."""


class CheckedArguments:
    """A class whose arguments are compared with the annotations of ``__init__``, or of a dataclass's fields, before it runs.

    Raises:
        ArgumentError: if an argument is unknown, of another kind, or none of the choices of a ``Literal``.
    """

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        if args or kwargs:  # copies and pickles come without
            known = parameter_kinds(cls)
            name = getattr(cls, "name", None)
            owner = name if isinstance(name, str) else cls.__name__
            for key, value in (*zip(known, args, strict=False), *kwargs.items()):
                if key in known:
                    check_kind(owner, key, value, known[key])
                elif "**" not in known or key == "self":
                    raise ArgumentError(no_argument(owner, key, tuple(known)))
        return super().__new__(cls)


def check_kind(owner: str, name: str, value: Any, hint: Any) -> None:
    """Compare an argument with its annotation.

    Raises:
        ArgumentError: if it is not of that kind; text that is not among declared choices is answered with the nearest.
    """
    if allows(hint, value):
        return
    if isinstance(value, str) and choices(hint):
        raise ArgumentError(f"{owner} has no {name} {value!r}; {nearest(value, choices(hint))}")
    raise ArgumentError(f"{owner}: {name} is {in_words(hint)}, got {value!r}")


def check_arguments(owner: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Compare what a function was given, by name, with its annotations; raises what `check_kind` raises."""
    for name, hint in parameter_kinds(function).items():
        if name in given:
            check_kind(owner, name, given[name], hint)


@cache
def parameter_kinds(taker: Callable[..., Any]) -> dict[str, Any]:
    """Name to annotation of what a class or function takes; where there is ``"**"``, anything else too."""
    call = taker.__init__ if isinstance(taker, type) else taker
    modules = map(inspect.getmodule, taker.__mro__ if isinstance(taker, type) else (taker,))
    scopes = [getattr(call, "__globals__", {}), *(vars(module) for module in modules if module is not None)]
    parameters = [one for one in inspect.signature(call).parameters.values() if one.name != "self"]
    found = {one.name: Any if one.annotation is one.empty else resolve(one.annotation, scopes) for one in parameters}
    for one in parameters:
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            del found[one.name]
            found["**"] = Any
    return found


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A checked whole number.

    Raises:
        ValueError: if it is none, or outside [low, high].
    """
    if not allows(int, value) or value < low or (high is not None and value > high):
        raise ValueError(f"{name} is a whole number {f'from {low}' if high is None else f'{low} to {high}'}, got {value!r}")
    return int(value)


def real(name: str, value: Any, low: float, high: float = float("inf"), *, open_low: bool = False, open_high: bool = False) -> float:
    """A checked finite number.

    Raises:
        ValueError: if it is none, or outside [low, high]; with ``open_low`` or ``open_high`` that end is outside too.
    """
    number = float(value) if allows(float, value) else np.nan
    if not low <= number <= high or np.isinf(number) or (open_low and number == low) or (open_high and number == high):
        ends = [f"{'above' if open_low else 'at least'} {low}"] if np.isfinite(low) else []
        ends += [f"{'below' if open_high else 'at most'} {high}"] if np.isfinite(high) else []
        raise ValueError(f"{name} is a finite number{' ' if ends else ''}{' and '.join(ends)}, got {value!r}")
    return number


def real_array(name: str, value: Any) -> np.ndarray:
    """A checked array of finite numbers, float64.

    Raises:
        ValueError: if it is none.
    """
    try:
        array = np.asarray(np.nan if np.iscomplexobj(value) else value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is an array of finite numbers, got {value!r}")
    return array


def cycles(count: Any) -> int:
    """A checked episode length.

    Raises:
        ValueError: if it is not a whole number from 1.
    """
    checked = whole("max_cycles", count, 1)
    return checked if checked < LONGEST else whole("max_cycles", count, 1, LONGEST)


def check_seed(seed: Any) -> int | None:
    """A checked seed of ``reset``, or None.

    Raises:
        ValueError: if it is not a whole number from 0.
    """
    return None if seed is None else whole("seed", seed, 0)


def check_options(options: Any, known: Sequence[str]) -> dict[str, Any]:
    """The checked ``options`` of ``reset``; empty for None.

    Raises:
        ArgumentError: if they are no mapping, or have a key that is not in ``known``; the message suggests the nearest.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ArgumentError(f"options of reset are a mapping with keys {', '.join(known)}, or None; got {options!r}")
    for key in options:
        if key not in known and key != PROBE:
            raise ArgumentError(f"reset has no options[{key!r}]; {nearest(str(key), known)}")
    return {key: value for key, value in options.items() if key in known and value is not None}


def check_memory(what: str, count: float, unit: int = 8) -> None:
    """Refuse tables that cannot be held, before any is made.

    Args:
        what: the tables, with the names of the arguments that size them.
        count: how many numbers they have, at least.
        unit: bytes of one.

    Raises:
        ValueError: if they need more memory than is free.
    """
    free = free_memory()
    if count > free / unit:  # a count may be beyond what a float holds
        raise ValueError(f"{what} need more than the {free / 1e9:.3g} GB that are free: make them smaller")


def free_memory() -> float:
    """Bytes that this process could still use; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return float("inf")


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of an error message: the closest known name, and all of them; ``learning_rate`` is close to its initials, ``lr``."""
    short = [name for name in known if len(name) > 1 and (_initials(word) == name or _initials(name) == word)]
    close = short or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(known)}"


def no_argument(owner: str, name: str, known: Sequence[str]) -> str:
    """The message that there is no such argument; Python's own words are in it, since libraries that probe for arguments read them."""
    hint = nearest(name, known) if known else "it takes none"
    return f"{owner} takes no argument {name!r}; {hint} (unexpected keyword argument {name!r})"


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))
