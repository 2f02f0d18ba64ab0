"""Names of code that may be anybody's: the suite's own, those registered at run time, and those that installed packages advertise.

A `Registry` maps names to places in code (`stackelberg_envs.references`) and imports nothing until it is asked.  A package advertises by
entry points of the registry's group: name = name, value = reference.
"""

from __future__ import annotations

import abc
import importlib.metadata
import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import references
from .arguments import nearest


class RegistrationError(ValueError):
    """A name that cannot be given to an entry; the message says what to do."""


class EntryPointWarning(UserWarning):
    """An installed package advertises something that cannot be listed, and is left out."""


@dataclass(frozen=True)
class Registration:
    """What a name stands for."""

    entry: Any
    """A reference, or the class or function itself."""
    distribution: str = ""
    """The installed distribution that brings it; empty for what is the suite's own or was registered at run time."""

    @property
    def place(self) -> str:
        """Where the entry was defined, as a reference; that of a class inside a function leads nowhere."""
        return self.entry if isinstance(self.entry, str) else f"{self.entry.__module__}:{self.entry.__qualname__}"

    def same(self, other: Registration) -> bool:
        """Whether both stand for the same; a class defined anew, as by a notebook cell that runs twice, is the same."""
        places = self.place, other.place
        if not (isinstance(self.entry, str) and isinstance(other.entry, str)):  # a class knows its module, and not its file
            places = references.portable(self.place), references.portable(other.place)
        return places[0] == places[1]


class Registry(abc.ABC):
    """Names and what they stand for.

    Args:
        kind: what is named, e.g. ``"game"``.
        own: the suite's own, name to reference; they cannot be replaced.
        group: of the entry points by which packages advertise theirs.
    """

    def __init__(self, kind: str, own: Mapping[str, str], group: str) -> None:
        self.kind, self.group = kind, group
        self._own = {name: Registration(reference) for name, reference in own.items()}
        self._others: dict[str, Registration] = {}
        self._refused: set[tuple[str, str, str]] = set()

    @abc.abstractmethod
    def check_name(self, name: str) -> None:
        """Raise RegistrationError if the name is of the wrong form, or would be confused with another."""

    @abc.abstractmethod
    def check_class(self, found: Any, name: str) -> type:
        """``found`` as a class of what is named; raises `stackelberg_envs.references.ReferenceNotFoundError` if it is none."""

    @abc.abstractmethod
    def alternative(self, name: str) -> str:
        """A name that is free, for whoever cannot have ``name``."""

    def full_name(self, name: str) -> str:
        """The whole of a name that may be shortened; names that are not known, and references, as they are."""
        return name

    def names(self) -> tuple[str, ...]:
        """All names: the suite's own, and then those of others in the order in which they came."""
        return (*self._own, *self._others)

    def __contains__(self, name: str) -> bool:
        return self.full_name(name) in self.names()

    def find(self, name: str) -> Registration:
        """What a name stands for.

        Raises:
            KeyError: if there is no such name; the message suggests the nearest.
            TypeError: if it is no text.
        """
        if not isinstance(name, str):
            raise TypeError(f"a {self.kind} goes by its name, such as {self.names()[0]!r}; got {name!r}")
        full = self.full_name(name)
        if full in self.names():
            return self._own.get(full) or self._others[full]
        if name.endswith(".py"):
            raise KeyError(f"{name!r} is a file, and not what is in it; write {name}:Name")
        raise KeyError(
            f"no {self.kind} {name!r}; {nearest(name, self.names())}; code of yours goes by package.module:Name or path/to/file.py:Name"
        )

    def register(self, name: str, entry: Any) -> None:
        """Give a name to an entry; nothing is imported.  Silent if it is so already.

        Args:
            name: how it is called from now on.
            entry: a reference, a class, or a function that returns one of what is named.

        Raises:
            RegistrationError: if the name is of the wrong form or stands for something else, or the entry is none.
            ReferenceNotFoundError: if a class is of the wrong kind.
        """
        if isinstance(entry, str):
            if not references.is_reference(entry):
                raise RegistrationError(f"{name}: {entry!r} is not of the form package.module:Name or path/to/file.py:Name")
            entry = references.absolute(entry)
        elif inspect.isclass(entry):
            self.check_class(entry, f"{name}: {entry.__qualname__}")
        elif not hasattr(entry, "__qualname__"):
            raise RegistrationError(
                f"{name}: an entry is a class, a function, or a reference (package.module:Name or path/to/file.py:Name), and not "
                f"{references.describe(entry)}"
            )
        self._add(name, Registration(entry))

    def discover(self) -> None:
        """Read what installed packages advertise; imports none of it.

        What cannot be listed is left out with an `EntryPointWarning`, once.
        """
        for point in importlib.metadata.entry_points(group=self.group):
            distribution = "" if point.dist is None else str(point.dist.name)
            advertised = (distribution, point.name, point.value)
            try:
                if point.pattern.fullmatch(point.value) is None or not point.attr:
                    raise RegistrationError(f"{point.value!r} is not of the form package.module:Name")
                self._add(point.name, Registration(f"{point.module}:{point.attr}", distribution))
            except RegistrationError as error:
                if advertised not in self._refused:
                    self._refused.add(advertised)
                    said = f"{distribution} advertises a {self.kind} that is left out: {error}"
                    # The place is the package's: a line of this one, in which the warning is raised, would tell nobody anything.
                    warnings.warn_explicit(said, EntryPointWarning, f"entry points of {distribution}", 1)

    def load(self, name: str) -> Any:
        """The object behind a name or a reference; imports it.

        Raises:
            KeyError: if there is no such name.
            ReferenceNotFoundError: if the reference leads nowhere.
        """
        if references.is_reference(name):
            return references.load(name)
        registration = self.find(name)
        if not isinstance(registration.entry, str):
            return registration.entry
        try:
            return references.load(registration.entry)
        except references.ReferenceNotFoundError as error:
            bringer = f" of {registration.distribution}" if registration.distribution else ""
            raise references.ReferenceNotFoundError(f"{self.kind} {name!r}{bringer}: {error}") from error

    def label(self, name: str) -> str:
        """What a name or reference is called on every machine: whole, without folders, and by the suite's name where there is one."""
        own = {registration.entry: own for own, registration in self._own.items()}
        return own.get(name) or references.portable(self.full_name(name))

    def for_workers(self, names: set[str]) -> dict[str, str]:
        """References by which another process registers those of ``names`` that are not the suite's own.

        Raises:
            RegistrationError: if another process could not import one.
        """
        sent = {}
        for name in names & self._others.keys():
            entry = self._others[name].entry
            reference = entry if isinstance(entry, str) else _importable(entry)
            if reference is None:
                raise RegistrationError(
                    f"the {self.kind} {name!r} is {self._others[name].place}, which worker processes cannot import; put it into a module "
                    "or a file and register that (package.module:Name or path/to/file.py:Name), or run with one process"
                )
            sent[name] = reference
        return sent

    @contextmanager
    def isolation(self) -> Iterator[None]:
        """Names that are registered inside are forgotten at the end; for tests."""
        before = dict(self._others)
        try:
            yield
        finally:
            self._others = before

    def _add(self, name: str, registration: Registration) -> None:
        known = self._own.get(name) or self._others.get(name)
        if known is None:
            self.check_name(name)
        elif not known.same(registration):
            bringer = f" of {known.distribution}" if known.distribution else ""
            raise RegistrationError(
                f"the {self.kind} {name!r} is {known.place}{bringer} already, and not {registration.place}; choose another name, such as "
                f"{self.alternative(name)!r}"
            )
        if name not in self._own and not (known is not None and known.distribution):
            self._others[name] = registration


def _importable(entry: Any) -> str | None:
    """A reference that leads to this class or function itself; None if there is none."""
    reference = references.reference_to(entry)
    try:
        return reference if reference is not None and references.load(reference) is entry else None
    except references.ReferenceNotFoundError:
        return None
