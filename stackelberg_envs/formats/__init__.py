"""Other people's tables and files into games: `from_arrays`, `from_gymnasium`, and one reader a file format."""
