"""A rule: what it is called, how much its findings matter, and the function that looks.

A rule is a module of ``sandbox.lint.rules``: ``grants_home.py`` holds the rule ``grants-home``, and ``grants_home.md``
beside it is its page, whose examples are its specimens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox.lint.finding import Confidence, Fix, Related, Severity
from sandbox.source import Route

if TYPE_CHECKING:
    from sandbox.lint.case import Case

On = Literal["key", "value"]
RestsOn = Literal["policy", "component", "machine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What a rule says; its place becomes lines and columns when it is reported."""

    route: Route
    """From the policy's root: ``("components", "report", "grants", "filesystem", 0, "host")``."""
    message: str
    """A sentence without its end, beginning in lower case."""
    on: On = "value"
    """Whether the place is the value at the route, or its key (of an item of a list: the item)."""
    related: tuple[Related, ...] = ()
    fix: Fix | None = None
    severity: Severity | None = None
    """Where it differs from the rule's."""
    confidence: Confidence | None = None
    """The same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    id: str
    """The module's name with hyphens."""
    summary: str
    """What a finding says in general, as one short sentence without its end: ``a home directory is granted``."""
    severity: Severity
    confidence: Confidence
    check: Callable[[Case], Iterable[Problem]] | None
    """Looks at one component of one policy. ``None``: the engine itself finds it."""
    rests_on: RestsOn = "policy"
    """What its findings depend on. An ignore that ignores nothing may be of use where there is another component, or on
    another machine."""
    conceals: bool = False
    """Whether its findings are about what is not to be shown, in a log for example."""
    unjudged: bool = False
    """Whether its findings say that something could not be judged."""
