"""Markdown as text: tables, fences and files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SPECIAL = r"([\\*_\[\]<>$])"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; bars in its cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(entry) for entry in line)} |" for line in lines)


def cell(entry: Any) -> str:
    """Text on one line in which a bar does not end a cell."""
    return " ".join(str(entry).split()).replace("|", "\\|")


def plain(text: str) -> str:
    """Text that is printed as it is: Markdown reads no emphasis, formula or link into it; what stands in backticks stays code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return re.sub(SPECIAL, r"\\\1", text.replace("`", "\\`"))
    return "`".join(part if i % 2 else re.sub(SPECIAL, r"\\\1", part) for i, part in enumerate(parts))


def code(text: Any) -> str:
    """Text in backticks."""
    return f"`{text}`"


def rst(*lines: str) -> str:
    """A directive of reStructuredText."""
    return "\n".join(["```{eval-rst}", *lines, "```"])


def number(value: float) -> str:
    """Three decimals, or more digits where that would hide the number."""
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2e}"


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, without its full stop."""
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0].replace("``", "`")


def write(path: Path, text: str) -> None:
    """Write a file if its text differs, so that Sphinx reads again only what changed."""
    text = text.rstrip() + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
