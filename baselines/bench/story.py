"""Docstrings as HTML without markup that a reader would see: for the stories of games in the report."""

from __future__ import annotations

import re
import textwrap

from markupsafe import Markup, escape

INLINE = (
    (r"\{[\w:]+\}`([^`]+)`", r"`\1`"),  # roles, as {py:func}`name` and :func:`name`
    (r":[\w:]+:`([^`]+)`", r"`\1`"),
    (r"``([^`]+)``", r"<code>\1</code>"),
    (r"`(?:[\w]+\.)*([^`]+)`", r"<code>\1</code>"),  # a reference is called by its last name
    (r"\*\*([^*]+)\*\*", r"<strong>\1</strong>"),
    (r"::$", ":"),
)


def inline(text: str) -> Markup:
    """One paragraph: its code and its emphasis as elements, and the rest escaped."""
    shown = str(escape(" ".join(text.split())))
    for pattern, replacement in INLINE:
        shown = re.sub(pattern, replacement, shown)
    return Markup(shown)


def as_html(docstring: str) -> Markup:
    """A docstring as paragraphs, lists (lines that begin with ``* ``) and blocks of formulas (what is indented)."""
    return Markup("\n").join(_block(block) for block in re.split(r"\n[ \t]*\n", docstring.strip("\n")) if block.strip())


def _block(block: str) -> Markup:
    if all(line.startswith("    ") for line in block.splitlines()):
        return Markup("<pre>{}</pre>").format(textwrap.dedent(block).rstrip())
    before, *items = re.split(r"(?:^|\n)\* ", block)
    said = Markup("<p>{}</p>").format(inline(before)) if before.strip() else Markup("")
    listed = Markup("").join(Markup("<li>{}</li>").format(inline(item)) for item in items)
    return said + (Markup("<ul>{}</ul>").format(listed) if items else Markup(""))
