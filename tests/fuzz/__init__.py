"""Random inputs to everything that takes arguments, and whether each is accepted or refused in words; see `fuzz.__main__`."""
