"""What processes with tables have in common: a transition in any layout among arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

from .arrays import Array
from .transitions import Transition, as_transition, map_numbers, numbers_of


class ProcessTables:
    """A base for frozen dataclasses of tables, one of which is ``transition``."""

    transition: Any
    tables: ClassVar[tuple[str, ...]]
    """The array fields."""

    def _unwrap_transition(self) -> None:
        """Keep ``transition`` as an author writes it: an array where it is dense; for ``__post_init__``."""
        object.__setattr__(self, "transition", as_transition(self.transition).as_given())

    @cached_property
    def kernel(self) -> Transition:
        """``transition`` with the operations of every layout."""
        return as_transition(self.transition)

    def map(self, f: Callable[[Array], Array]) -> Self:
        """The same process with ``f`` applied to each table; of a transition that is no array, to the numbers that it stores."""
        return replace(self, **{name: map_numbers(f, getattr(self, name)) for name in self.tables})  # type: ignore[type-var]

    @property
    def numbers(self) -> dict[str, Array]:
        """The arrays that hold the tables, by name."""
        return {name: numbers_of(getattr(self, name)) for name in self.tables}

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(S, A, B), B the number of (joint) follower actions."""
        s, a, b = self.transition.shape[-4:-1]
        return s, a, b
