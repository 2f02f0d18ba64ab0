"""The reference pages that nobody writes by hand: one for each game and each solver, and the two tables that list them.

They are written before Sphinx reads the documentation (docs/conf.py).  What they say comes from declarations, docstrings, recorded results,
and the notes in ``docs/reference/notes``, which have known values and executed examples.
"""

from .build import GAME_SECTIONS, SOLVER_SECTIONS, write_pages

__all__ = ["GAME_SECTIONS", "SOLVER_SECTIONS", "write_pages"]
