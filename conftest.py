"""The README and every page of the documentation are run as tests, each page from top to bottom.

Examples build on one another, so workers take whole files (`make test` says ``--dist loadfile``).  What a page registers is forgotten at
its end.
"""

from contextlib import ExitStack
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def _begin(names: dict[str, Any]) -> None:
    import solvers.registry
    from stackelberg_envs.views import registration

    names["_registered"] = stack = ExitStack()
    stack.enter_context(registration.isolation())
    stack.enter_context(solvers.registry.REGISTRY.isolation())


def _end(names: dict[str, Any]) -> None:
    names["_registered"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE)],
    patterns=["README.md", "docs/*.md", "docs/*/*.md", "docs/reference/notes/*.md"],
    setup=_begin,
    teardown=_end,
).pytest()
