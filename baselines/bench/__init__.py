"""The benchmark: configurations, runs, results on disk, statistics, the report and the command line."""
