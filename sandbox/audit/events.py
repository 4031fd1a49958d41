"""Audit events as frozen values. An event is decided once and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventName = Literal["denied", "allowed", "limit", "folded", "refused", "ended"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """What the runtime saw, before the trail gives it a time, a run and a sequence number.

    ``name`` is ``denied`` (a call refused), ``allowed`` (where the policy asks for those, told when it is over),
    ``limit`` (a bound was reached), ``refused`` (policy, component or plan
    refused before anything ran) or ``ended`` (how the run ended; always the last of a run).
    """

    name: EventName
    component: str
    capability: str
    """``filesystem.read``, ``sockets.tcp.connect``, ``environment``, ``limits.deadline``, ``run`` ..."""
    reason: str
    """One sentence in plain words."""
    path: str | None = None
    """In a program of several components: the components from the one that is run to this one, ``app>ledger>auth``.
    ``None`` where a component runs alone."""
    interface: str | None = None
    """As the guest imports it: ``wasi:filesystem/types@0.2.3``."""
    function: str | None = None
    """As the guest called it: ``[method]descriptor.open-at``."""
    resource: str | None = None
    """As the guest named it, with the directory it was relative to: ``/in/../etc/passwd``; hostile text."""
    resolved: str | None = None
    """What that is on the host, where it is known."""
    line: int | None = None
    """The line of the policy that would have to change."""
    grant: str | None = None
    """The YAML that would grant it, indented from the component's ``grants`` key; ``None`` where no policy can."""
    time: float | None = None
    """Seconds since the epoch when it was decided; ``None``: now."""
    exit_status: int | None = None
    """For ``ended``: the exit status of the run."""
    sent: int | None = None
    """For ``allowed``: bytes that went out; ``None`` where none can, or they were not counted to the end."""
    received: int | None = None
    """Likewise, bytes that came in."""
    seconds: float | None = None
    """For ``allowed``: how long it lasted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of the trail. ``count`` is over 1 only for ``folded``."""

    name: EventName
    time: str
    """UTC, RFC 3339 with microseconds: ``2026-01-31T12:00:00.000000Z``."""
    run: str
    sequence: int
    """From 1, without gaps, in each run."""
    component: str
    path: str | None = None
    component_digest: str | None
    policy: str
    policy_digest: str
    policy_line: int | None
    capability: str
    interface: str | None
    function: str | None
    resource: str | None
    resolved: str | None
    reason: str
    grant: str | None
    count: int = 1
    exit_status: int | None = None
    sent: int | None = None
    received: int | None = None
    seconds: float | None = None
