"""Other people's tables into worlds: `arrays.from_arrays` and `gym_tables.from_gymnasium`."""
