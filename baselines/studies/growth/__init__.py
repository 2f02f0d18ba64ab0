"""How time and memory grow with the sizes of a world: ``python -m baselines.studies.growth``."""
