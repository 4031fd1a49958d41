"""What a component may do by its grants, in a few words: what those who call its functions can have it do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sandbox.lint.secrets import leads_to_a_secret
from sandbox.policy.model import ComponentPolicy, Stream
from sandbox.source import Route

Family = Literal["filesystem", "sockets", "environment", "stdio"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Something that a component may do, which its importers can then have done."""

    family: Family
    does: str
    """``write files``"""
    route: Route
    """Where it is granted, below ``grants``."""
    grave: bool = False
    """Whether it changes files, reaches other machines or reads secrets."""


def acts_of(component: ComponentPolicy) -> Iterator[Act]:
    """The grave first. Arguments, clocks and random numbers are none: nothing is done with them for another."""
    grants = component.grants
    if grants.sockets is not None and grants.sockets.grants_something:
        yield Act(family="sockets", does="use the network", route=("sockets",), grave=True)
    writable = next((n for n, grant in enumerate(grants.filesystem) if grant.access == "write"), None)
    if writable is not None:
        yield Act(family="filesystem", does="write files", route=("filesystem", writable), grave=True)
    if grants.environment is not None:
        variables = [name for name, _ in grants.environment.set] + [v.name for v in grants.environment.inherit]
        if any(map(leads_to_a_secret, variables)):
            does = "read secrets in its environment"
            yield Act(family="environment", does=does, route=("environment",), grave=True)
        elif variables:
            yield Act(family="environment", does="read its environment", route=("environment",))
    if grants.filesystem:
        yield Act(family="filesystem", does="read files", route=("filesystem", 0))
    if _is_open(grants.stdio.stdin):
        yield Act(family="stdio", does="read standard input", route=("stdio", "stdin"))
    if _is_open(grants.stdio.stdout):
        yield Act(family="stdio", does="write standard output", route=("stdio", "stdout"))
    if _is_open(grants.stdio.stderr):
        yield Act(family="stdio", does="write standard error", route=("stdio", "stderr"))


def _is_open(stream: Stream | None) -> bool:
    return stream is not None and stream.mode not in ("closed", "discard")
