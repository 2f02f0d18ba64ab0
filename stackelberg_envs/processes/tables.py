"""What processes with tables have in common: a transition in any layout among arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar, Self

from .arrays import Array
from .transitions import Transition, as_transition, map_numbers, numbers_of


class ProcessTables:
    """A base for frozen dataclasses of tables, one of which is ``transition``."""

    transition: Any
    available: Any
    """Which actions there are, booleans (..., S, A, B); all if None."""
    tables: ClassVar[tuple[str, ...]]
    """The array fields."""

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without what was kept between two questions."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def _set(self, **fields: Any) -> None:
        """Set fields of a frozen dataclass; for ``__post_init__``."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _unwrap_transition(self) -> None:
        """Keep ``transition`` as an author writes it: an array where it is dense; for ``__post_init__``."""
        self._set(transition=as_transition(self.transition).as_given())

    def _check_discounts(self) -> None:
        """Refuse what is no discount; for ``__post_init__``."""
        for name in ("follower_discount", "leader_discount"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: a discount is in [0, 1]")

    @cached_property
    def kernel(self) -> Transition:
        """``transition`` with the operations of every layout."""
        return as_transition(self.transition)

    def map(self, f: Callable[[Array], Array]) -> Self:
        """The same process with ``f`` applied to each table; of a transition that is no array, to the numbers that it stores."""
        changed = {name: map_numbers(f, getattr(self, name)) for name in self.tables}
        if self.available is not None:
            changed["available"] = f(self.available) != 0  # f may change the dtype
        return self._with(**changed)

    def _with(self, **changed: Any) -> Self:
        """The same process with other tables, as valid as its own: unlike ``replace`` it does not look at them."""
        copied = object.__new__(type(self))
        vars(copied).update({field.name: getattr(self, field.name) for field in fields(self)} | changed)  # type: ignore[arg-type]
        copied._unwrap_transition()
        return copied

    @property
    def numbers(self) -> dict[str, Array]:
        """The arrays that hold the tables, by name."""
        return {name: numbers_of(getattr(self, name)) for name in self.tables}

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(S, A, B), B the number of (joint) follower actions."""
        s, a, b = self.transition.shape[-4:-1]
        return s, a, b
