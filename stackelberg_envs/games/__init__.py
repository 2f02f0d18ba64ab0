"""The games, one file each: story, citation, tables, `induced`.  The registry (`stackelberg_envs.registry`) finds them by name."""
