"""Which values an annotation allows, and what it asks for in words: ``int | None`` is "a whole number or None".

Annotations that cannot be read at run time, and kinds that are not listed here, allow everything.  Numbers may be NumPy's, a ``float`` may
be a whole number, and NaN is no number; a tuple may come as a list, as in configurations, and a sequence of numbers as an array.
"""

from __future__ import annotations

import enum
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

import numpy as np


def allows(hint: Any, value: Any) -> bool:
    """Whether ``value`` is what an annotation asks for."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint][1](value)
    if kind in (Union, types.UnionType):
        return any(allows(part, value) for part in inner)
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if kind in (tuple, Sequence):
        numeric = kind is Sequence and (inner[0] in (int, float) or not isinstance(inner[0], type))
        return _is_list(value, array=numeric) and _entries_allowed(kind, inner, value)
    if kind is Mapping or kind is dict:
        return isinstance(value, Mapping)
    if kind is Callable:
        return callable(value)
    if isinstance(hint, type):
        members = [name for name in vars(hint) if not name.startswith("_")] if getattr(hint, "_is_protocol", False) else None
        if members is None:
            return isinstance(value, hint)
        return not isinstance(value, type) and all(hasattr(value, name) for name in members)  # a class is none of its objects
    return True


def in_words(hint: Any) -> str:
    """What an annotation asks for."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint][0]
    if kind in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(in_words(part) for part in inner))
    if kind is Literal:
        return " or ".join(map(repr, inner))
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        each = dict.fromkeys(map(in_words, inner))
        return f"a list of {len(inner)}, {'each ' if len(each) == 1 else ''}{', '.join(each)}"
    if kind in (tuple, Sequence):
        return f"a list, each entry {in_words(inner[0])}" if inner else "a list"
    if kind is Mapping or kind is dict:
        return "a mapping of names to values"
    if kind is Callable:
        return "a function"
    if not isinstance(hint, type):
        return "something else"
    if issubclass(hint, enum.Enum):
        return " or ".join(f"{hint.__name__}.{choice}" for choice in hint.__members__)
    return _PROTOCOLS.get(hint.__name__, f"{'an' if hint.__name__[0] in 'AEIOU' else 'a'} {hint.__name__}")


def choices(hint: Any) -> tuple[str, ...]:
    """The texts among which an annotation lets one choose; empty where it does not."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return tuple(choice for choice in inner if isinstance(choice, str))
    return tuple(choice for part in inner for choice in choices(part)) if typing.get_origin(hint) in (Union, types.UnionType) else ()


def resolve(annotation: Any, scopes: Sequence[dict[str, Any]]) -> Any:
    """An annotation that may be text, read in the first of ``scopes`` that has its names; `Any` if none has."""
    if not isinstance(annotation, str):
        return annotation
    for scope in scopes:
        try:
            return eval(annotation, dict(scope))
        except (AttributeError, NameError, TypeError, SyntaxError):
            continue
    return Any


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether it is a number, perhaps infinite, that arrays can hold."""
    if isinstance(value, (float, np.floating)):
        return not math.isnan(value)
    return _is_whole(value) and abs(int(value)) < 2**63  # NumPy and torch take no larger one; as a float it may be larger


def _is_list(value: Any, *, array: bool) -> bool:
    return isinstance(value, (list, tuple, range)) or (array and isinstance(value, np.ndarray) and value.ndim > 0)


def _entries_allowed(kind: Any, inner: tuple[Any, ...], value: Any) -> bool:
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(allows, inner, value))
    return all(allows(inner[0], entry) for entry in value) if inner else True


_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    Any: ("anything", lambda value: True),
    None: ("None", lambda value: value is None),
    type(None): ("None", lambda value: value is None),
    bool: ("True or False", lambda value: isinstance(value, (bool, np.bool_))),
    int: ("a whole number", _is_whole),
    float: ("a number", _is_number),
    str: ("text", lambda value: isinstance(value, str)),
    dict: ("a mapping of names to values", lambda value: isinstance(value, Mapping)),
    list: ("a list", lambda value: isinstance(value, list)),
    np.ndarray: ("an array", lambda value: isinstance(value, np.ndarray)),
}
"""Kind to words and test."""
_PROTOCOLS = {"Follower": "one that answers, such as Soft(0.1) or Hard()"}
"""What is asked for where a protocol is, by its name."""
