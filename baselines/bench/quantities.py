"""Numbers of things in words: "1 run is", "3 runs are"."""

from __future__ import annotations


def quantity(count: int, noun: str, plural: str = "") -> str:
    """``count`` and the noun in singular or plural, which ends in s if none is given."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def share(part: int, whole: int, noun: str) -> str:
    """How many of all, with the noun: "1 of 3 runs"."""
    return f"{part} of {quantity(whole, noun)}"


def be(count: int) -> str:
    """The verb of ``count`` things."""
    return "is" if count == 1 else "are"
