"""A pytest plugin: ``pytest --stackelberg-env=module:factory`` runs the conformance kit on an environment or game, each check a test.

Every pytest session where the package is installed imports this module.  So it imports nothing but the standard library, and a session
without the option has three options more and nothing else.
"""

from __future__ import annotations

from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Add the options; see `stackelberg_envs.testing.check_env` for what they say."""
    group = parser.getgroup("stackelberg", "conformance of Stackelberg environments")
    group.addoption(
        "--stackelberg-env",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="check this environment or game, each check of the kit a test; path/to/file.py:FACTORY, too, and several times",
    )
    group.addoption("--stackelberg-leader", metavar="AGENT", help="who leads; guessed if not given")
    group.addoption("--stackelberg-followers", metavar="AGENT,AGENT,...", help="who follows; all others if not given")


def pytest_configure(config: Any) -> None:
    """Load the kit, if it is asked for."""
    if config.getoption("stackelberg_env"):
        from stackelberg_envs.testing.pytest_items import KitItems

        config.pluginmanager.register(KitItems(), "stackelberg-kit")
