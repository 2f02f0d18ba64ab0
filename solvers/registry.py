"""Which solvers there are, and where: the suite's own by a table of strings, those of others by registration, entry point or reference.

A package advertises its solvers by entry points of the group ``stackelberg_envs.solvers``; any other is named by its place in code,
``package.module:Name`` or ``path/to/file.py:Name``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from stackelberg_envs.arguments import check_kind, nearest, parameter_kinds
from stackelberg_envs.plugins import RegistrationError, Registry
from stackelberg_envs.references import ReferenceNotFoundError, checked_class

from .ascent import Ascent, Estimator
from .base import Solver

SOLVERS = {
    "implicit": "estimators.implicit:Implicit",
    "multistart": "multistart:Multistart",
    "combinatorial": "combinatorial:Combinatorial",
    "penalty": "penalty:Penalty",
    "independent_pg": "independent_pg:IndependentPG",
    "inverse_planning": "inverse_planning:InversePlanning",
    "bchg": "estimators.bchg:BCHG",
    "hpgd": "estimators.hpgd:HPGD",
    "hpgd_kernel": "estimators.hpgd_kernel:HPGDKernel",
    "rtq": "estimators.rtq:RTQ",
    "neural_bchg": "estimators.neural_bchg:NeuralBCHG",
    "zeroth_order": "estimators.zeroth_order:ZerothOrder",
    "naive": "estimators.naive:Naive",
    "two_stage": "estimators.two_stage:TwoStage",
    "multiple_lp": "planners:MultipleLP",
    "enumeration": "planners:Enumeration",
    "line_search": "planners:LineSearch",
    "contract_lp": "contract_lp:ContractLP",
    "security_lp": "security_lp:SecurityLP",
    "subsidy_planner": "subsidy_planner:SubsidyPlanner",
    "msobirl": "estimators.sobirl:MSoBiRL",
    "sobirl": "estimators.sobirl:SoBiRL",
    "aho": "estimators.aho:AHO",
    "first_order": "first_order:FirstOrder",
    "adjoint_mirror": "adjoint_mirror:AdjointMirror",
    "slac": "slac:SLAC",
    "biac": "estimators.biac:BiAC",
    "leader_ppo": "leader_ppo:LeaderPPO",
}
"""The suite's own, name to module and class below `solvers`; an `Estimator` is run by `Ascent`, a `Solver` runs itself."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class _Solvers(Registry):
    """Solvers by name: lower_case."""

    def check_name(self, name: Any) -> None:
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise RegistrationError(f"a name of a solver is lower_case, such as 'my_solver'; got {name!r}")

    def check_class(self, found: Any, name: str) -> type[Solver] | type[Estimator]:
        cls = checked_class(found, (Solver, Estimator), name)
        fields = getattr(cls, "__dataclass_fields__", None)
        if fields is None:
            raise ReferenceNotFoundError(
                f"{name} is no dataclass, so its hyperparameters have no names; write @dataclass(frozen=True) above the class, and the "
                "hyperparameters below it, with types and defaults"
            )
        if not hasattr(cls, "access") and "access" not in fields:
            raise ReferenceNotFoundError(
                f"{name} does not say what it may know; write  access: ClassVar[Access] = Access.OUTCOME  or another level into the class"
            )
        return cls

    def alternative(self, name: str) -> str:
        return next(other for number in range(2, len(self.names()) + 3) if (other := f"{name}_{number}") not in self)


REGISTRY = _Solvers("solver", {name: f"{__package__}.{place}" for name, place in SOLVERS.items()}, "stackelberg_envs.solvers")
"""All solvers by name."""
REGISTRY.discover()


def names() -> tuple[str, ...]:
    """The names of all solvers: the suite's own, and those that were registered or that installed packages advertise."""
    return REGISTRY.names()


def register(name: str, entry: str | type[Solver] | type[Estimator]) -> None:
    """Give a solver of yours a name, by which `solve`, configurations and the command line know it from then on.

    Nothing is imported before it is asked for.  The same registration again is silent.

    Args:
        name: lower_case, e.g. ``"my_solver"``.
        entry: a reference (``package.module:Name`` or ``path/to/file.py:Name``, from here) or a class.

    Raises:
        RegistrationError: if the name is of another form or taken, or the entry is none.
        ReferenceNotFoundError: if a class is none of solvers, or lacks something.
    """
    REGISTRY.register(name, entry)


def solver_class(name: str) -> type[Solver] | type[Estimator]:
    """The class behind a name or a reference.

    Raises:
        KeyError: if there is no such solver; the message suggests the nearest.
        ReferenceNotFoundError: if a reference leads nowhere, or to something that is no class of solvers.
    """
    return REGISTRY.check_class(REGISTRY.load(name), name)


def hyperparameters(name: str) -> dict[str, Any]:
    """Hyperparameters of a solver, by name, with their defaults; those of `Ascent`, which runs an estimator, come last.

    Raises:
        KeyError, ReferenceNotFoundError: if there is no such solver.
    """
    cls = solver_class(name)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    outer = [field for field in dataclasses.fields(Ascent) if field.name != "estimator"] if issubclass(cls, Estimator) else []
    return {field.name: _default(field) for field in (*fields, *outer)}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def build(name: str, **hyperparameters: Any) -> Solver:
    """A solver with its hyperparameters; those of an estimator and of `Ascent` go together.

    Raises:
        KeyError, ReferenceNotFoundError: if there is no such solver.
        TypeError: if it has no such hyperparameter.
    """
    cls = solver_class(name)
    own = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    outer = {field.name for field in dataclasses.fields(Ascent)} - {"estimator"} if issubclass(cls, Estimator) else set()
    for key in hyperparameters:
        if key not in own | outer:
            raise TypeError(f"{name} has no hyperparameter {key!r}; {nearest(key, sorted(own | outer))}")
    kinds = {**parameter_kinds(Ascent), **parameter_kinds(cls)}
    for key, value in hyperparameters.items():
        check_kind(name, key, value, kinds[key])
    inner = cls(**{key: value for key, value in hyperparameters.items() if key in own})
    if isinstance(inner, Solver):
        return inner
    return Ascent(inner, **{key: value for key, value in hyperparameters.items() if key in outer})
