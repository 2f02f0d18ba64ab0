"""Text files as people have them: lines and words with their place, and errors that name it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import nearest


class TextFile:
    """A file that was read, and its errors.

    Args:
        path: of the file; what is no UTF-8 in it is replaced, since it can only be a name or a comment.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.text = self.path.read_text(encoding="utf-8", errors="replace")

    @property
    def last_line(self) -> int:
        """The number of the last line, from 1."""
        return max(1, len(self.text.splitlines()))

    def error(self, line: int, message: str) -> ValueError:
        """An error with its place."""
        return ValueError(f"{self.place(line)}: {message}")

    def place(self, line: int) -> str:
        """How a line is called in messages."""
        return f"{self.path.name}, line {line}"

    def lines(self, comment: str) -> Iterator[tuple[int, str]]:
        """Each line that says something, with its number from 1, without what follows ``comment``."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if text := line.partition(comment)[0].strip():
                yield number, text

    def numbers(
        self, lines: Iterator[tuple[int, str]], form: str, kinds: tuple[type, ...]
    ) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
        """Lines of numbers as columns.

        Args:
            lines: with their numbers.
            form: what a line looks like, for messages.
            kinds: ``int`` or ``float``, of each column; what else is on a line is handed back as it is.

        Returns:
            The number of each line; its columns; and the rest of each line.

        Raises:
            ValueError: naming the first line that is no such line.
        """
        given = list(lines)
        places = np.array([place for place, _ in given], dtype=np.int64)
        rows = [text.split(maxsplit=len(kinds)) for _, text in given]
        try:
            columns = [np.array([row[i] for row in rows], dtype=kind) for i, kind in enumerate(kinds)]
        except (ValueError, IndexError, OverflowError):  # all at once is faster, and which line it was is looked for afterwards
            place, text = next(line for line, row in zip(given, rows, strict=True) if not _converts(row, kinds))
            raise self.error(place, f"expected {form!r}, got {text!r}") from None
        for column in columns:
            self.check(places, ~np.isfinite(column), "expected finite numbers", column)
        return places, columns, [row[len(kinds)] if len(row) > len(kinds) else "" for row in rows]

    def check(self, places: np.ndarray, bad: np.ndarray, message: str, got: np.ndarray) -> None:
        """Refuse lines that are ``bad``.

        Raises:
            ValueError: naming the first of them, and what was ``got`` there.
        """
        if bad.any():
            first = int(bad.argmax())
            raise self.error(int(places[first]), f"{message}, got {got[first]}")


def _converts(words: list[str], kinds: tuple[type, ...]) -> bool:
    """Whether words are numbers of these kinds, one a kind, as NumPy reads them."""
    try:
        return all(np.array(words[i], dtype=kind).ndim == 0 for i, kind in enumerate(kinds))
    except (ValueError, IndexError, OverflowError):
        return False


class Words:
    """The words of a file one by one, each with its line.

    Args:
        file: that was read.
        pattern: a regular expression with a group ``word``; what it does not match, or without this group, is left out.
    """

    def __init__(self, file: TextFile, pattern: str) -> None:
        self.file = file
        self.words, self.places, line, at = [], [], 1, 0
        for match in re.finditer(pattern, file.text):
            line, at = line + file.text.count("\n", at, match.start()), match.start()
            if match["word"] is not None:
                self.words.append(match["word"])
                self.places.append(line)
        self.position = 0

    @property
    def line(self) -> int:
        """That of the next word, or the last one."""
        return self.places[self.position] if self.position < len(self.words) else self.file.last_line

    def peek(self, ahead: int = 0) -> str:
        """A word that is still to come, or ``""`` behind the end."""
        at = self.position + ahead
        return self.words[at] if at < len(self.words) else ""

    def error(self, expected: str) -> ValueError:
        """An error at the next word."""
        found = f"got {self.peek()!r}" if self.peek() else "and the file ends"
        return self.file.error(self.line, f"expected {expected}, {found}")

    def take(self, expected: str, *known: str) -> str:
        """The next word.

        Raises:
            ValueError: if the file ends, or it is none of ``known``, where they are given.
        """
        word = self.peek()
        if not word or (known and word not in known):
            raise self.error(expected)
        self.position += 1
        return word

    def real(self, expected: str, low: float = -math.inf, high: float = math.inf) -> float:
        """The next word as a finite number in [low, high]; ``1/3`` is one."""

        def convert(word: str) -> float:
            value = float(Fraction(word)) if "/" in word else float(word)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError
            return value

        return self._converted(expected, convert)

    def whole(self, expected: str, low: int, high: int | None = None) -> int:
        """The next word as a whole number in [low, high]."""

        def convert(word: str) -> int:
            if not low <= int(word) <= (int(word) if high is None else high):
                raise ValueError
            return int(word)

        return self._converted(expected, convert)

    def index(self, what: str, names: Mapping[str, int]) -> int:
        """The next word as one of ``names``, or as its number from 0."""
        word = self.peek()
        number = names.get(word, int(word) if word.isdigit() else -1)
        if 0 <= number < len(names):
            self.position += 1
            return number
        shown = nearest(word, list(names)) if len(names) <= 20 else f"there are {len(names)}"
        raise self.error(f"{what} by its name or number ({shown})")

    def _converted(self, expected: str, convert: Callable[[str], Any]) -> Any:
        try:
            value = convert(self.peek())
        except (ValueError, ZeroDivisionError):
            raise self.error(expected) from None
        self.position += 1
        return value
