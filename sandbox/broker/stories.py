"""What a broker answers a worker, and what it records of what was asked, allowed and refused."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.audit.events import Happening
from sandbox.broker.errors import error_code
from sandbox.broker.rules import Rules, Verdict
from sandbox.guard.sites import Site
from sandbox.plan import Plan
from sandbox.policy.addresses import Address, canonical, shown, zone

Reply = Callable[[int, dict[str, Any], list[int]], None]
"""Sends the answer to a request, by its number, with file descriptors that it does not close."""

PERMISSIONS = "the host's own permissions refuse it"


@dataclass(frozen=True, slots=True)
class Request:
    """Which call asked for something, when, and under which number it is answered."""

    time: float
    site: Site
    number: int


@dataclass(frozen=True, slots=True)
class Story:
    """Something that was allowed, to be told of once it is over."""

    asked: Request
    capability: str
    verdict: Verdict
    resource: str
    resolved: str | None
    began: float
    """On the monotonic clock."""


class Desk:
    """Where requests are answered and what became of them is recorded."""

    def __init__(
        self, plan: Plan, record: Callable[[Happening], object], reply: Reply, paths: Sequence[str | None] = (None,)
    ) -> None:
        """``paths`` are those of a program's instances, by number: of the last one are the limits of all."""
        if plan.sockets is None:
            raise ValueError("the plan grants no sockets")
        self._plan, self._record, self._reply = plan, record, reply
        self._paths = paths
        self._limits_of = paths[-1] or plan.component
        self._tells = plan.sockets.audit_all
        self._rules = Rules(plan.sockets)
        self._names: dict[Address, dict[str, str | None]] = {}
        """The names that resolved to an address in this run, each with its final alias."""
        self.bounds: set[str] = set()
        """Bounds that were reached while the guest went on: ``limits.lookups`` ..."""

    def _story(self, asked: Request, capability: str, verdict: Verdict, written: Address, port: int) -> Story:
        resource, resolved = shown(written, port), None
        if zone(written) is None:
            resolved = self._with_names(canonical(written), shown(canonical(written), port))
        return Story(
            asked, capability, verdict, resource, resolved if resolved != resource else None, clock.monotonic()
        )

    def _with_names(self, address: Address, text: str) -> str:
        names = self._names.get(address)
        return f"{text} ({', '.join(names)})" if names else text

    def _refuse(self, story: Story) -> None:
        """Refuse what the policy does not allow."""
        self._record_denial(story)
        self._answer_refused(story.asked, "access-denied")

    def _kernel_failed(self, story: Story, error: OSError) -> None:
        """Answer with what the kernel said to something that was allowed."""
        name = error_code(error)
        if name == "access-denied":
            denied = Verdict(allowed=False, reason=PERMISSIONS, route=story.verdict.route)
            self._record_denial(
                Story(story.asked, story.capability, denied, story.resource, story.resolved, story.began)
            )
            self._answer_failed(story.asked, name)
            return
        self._answer_failed(story.asked, name)
        self._record_allowed(story, 0, 0, f"; it failed: {name}")

    def _answer_refused(self, asked: Request, error: str) -> None:
        self._reply(asked.number, {"state": "refused", "error": error}, [])

    def _answer_failed(self, asked: Request, error: str) -> None:
        self._reply(asked.number, {"state": "failed", "error": error}, [])

    def _asker(self, asked: Request) -> tuple[str, str | None]:
        """The component that asked, and its path: another one may have handed it the socket, whose grants decide."""
        path = self._paths[asked.site.instance]
        return self._plan.component if path is None else path.rpartition(">")[2], path

    def _record_denial(self, story: Story) -> None:
        component, path = self._asker(story.asked)
        self._record(
            Happening(
                name="denied",
                component=component,
                capability=story.capability,
                reason=story.verdict.reason,
                interface=story.asked.site.interface,
                function=story.asked.site.function,
                resource=story.resource,
                resolved=story.resolved,
                line=self._line(f"grants.{story.verdict.route}"),
                # What would grant it to the giver grants it to nobody whom that hands a socket.
                grant=story.verdict.grant if component == self._plan.component else None,
                time=story.asked.time,
                path=path,
            )
        )

    def _record_allowed(self, story: Story, sent: int | None, received: int | None, end: str = "") -> None:
        """Record something that was allowed and is over, where the policy asks for that."""
        if not self._tells:
            return
        component, path = self._asker(story.asked)
        self._record(
            Happening(
                name="allowed",
                component=component,
                capability=story.capability,
                reason=story.verdict.reason + end,
                interface=story.asked.site.interface,
                function=story.asked.site.function,
                resource=story.resource,
                resolved=story.resolved,
                line=self._line(f"grants.{story.verdict.route}"),
                time=story.asked.time,
                sent=sent,
                received=received,
                seconds=round(clock.monotonic() - story.began, 6),
                path=path,
            )
        )

    def _record_limit(self, asked: Request, name: str, reason: str, resource: str, resolved: str | None) -> None:
        first = f"limits.{name}" not in self.bounds
        self.bounds.add(f"limits.{name}")
        component, path = self._asker(asked)
        self._record(
            Happening(
                name="limit" if first else "denied",
                component=component,
                capability=f"limits.{name}",
                reason=reason,
                interface=asked.site.interface,
                function=asked.site.function,
                resource=resource,
                resolved=resolved,
                line=self._plan.line(f"components.{self._limits_of}.limits.{name}"),
                time=asked.time,
                path=path,
            )
        )

    def _line(self, route: str) -> int | None:
        return self._plan.line(f"components.{self._plan.component}.{route}")
