"""One broken environment of the zoo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Defect:
    """A class with one thing wrong.

    Attributes:
        build: the class, called with the names of leader and follower.
        wrong: what is wrong, in a few words, for the table in the documentation.
        check: the check of the kit that must say so.
        thread: where this happened to others; None if the defect is made up, or from this project's own history.
        kind: ``"error"`` or ``"advice"``.
        kernel_steps: moves that are compared with the tables.
        single: whether one agent alone could show it, so that Gymnasium's own check applies.
    """

    build: type[Any]
    wrong: str
    check: str
    thread: str | None = None
    kind: str = "error"
    single: bool = True
    kernel_steps: int = 600
