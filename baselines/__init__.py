"""What was run and what came out: configurations, results, the report and the command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bench.results_table import read_results

__distribution__ = "stackelberg-envs"
__all__ = ["read_results"]


def __getattr__(name: str) -> Any:
    """Imports at first use: the command line sets the number of threads before NumPy is imported."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .bench.results_table import read_results

    return read_results
