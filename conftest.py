"""The README and every page of the documentation are run as tests, each page from top to bottom.

Examples build on one another, so workers take whole files (`make test` says ``--dist loadfile``).
"""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE)], patterns=["README.md", "docs/*.md", "docs/*/*.md"]
).pytest()
