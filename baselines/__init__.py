"""What was run and what came out: configurations, results, the report and the command line."""

__distribution__ = "stackelberg-envs"
