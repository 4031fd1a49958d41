"""Names that a guest looks up: judged before and after, within bounds, and remembered for what it connects to."""

from __future__ import annotations

import time as clock
from collections import deque
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field

from sandbox.audit.events import Happening
from sandbox.broker.names import Found, ResolverError, normalise
from sandbox.broker.resolver import Resolver
from sandbox.broker.rules import LookupVerdict
from sandbox.broker.stories import Desk, Reply, Request, Story
from sandbox.plan import Plan
from sandbox.policy.addresses import Address, canonical, shown, zone

MAX_REMEMBERED = 16384
"""Addresses that names resolved to; the oldest are forgotten first, and with them the leave to connect to them."""
MAX_NAMES = 16
"""Names remembered for one address."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    object: int
    asked: Request
    written: str
    name: str
    verdict: LookupVerdict
    began: float
    expires: float


@dataclass(slots=True)
class Spent:
    """What a run has used of its bounds: one for all the brokers of a program."""

    asked_at: deque[float] = field(default_factory=deque)
    """When names were looked up of late."""
    name_bytes: int = 0
    sockets: list[Sized] = field(default_factory=list)
    """The sockets of each broker."""


class Lookups(Desk):
    """The lookups of one run."""

    def __init__(
        self,
        plan: Plan,
        record: Callable[[Happening], object],
        reply: Reply,
        look_up: Callable[[str], Found],
        spent: Spent | None = None,
        paths: Sequence[str | None] = (None,),
    ) -> None:
        super().__init__(plan, record, reply, paths)
        self._spent = Spent() if spent is None else spent
        self._look_up = look_up
        self._lookups: dict[int, _Lookup] = {}
        """Lookups that are not answered yet, by a number of their own: one that a worker chose could come twice, and
        join the answer for one name to another."""
        self._last_lookup = 0
        self._resolver: Resolver | None = None

    def _start_lookup(self, asked: Request, number: int, written: str) -> None:
        try:
            name = normalise(written)
        except ValueError:
            return self._answer_failed(asked, "invalid-argument")
        if not isinstance(name, str):
            return self._literal(asked, written, name)
        now = clock.monotonic()
        verdict = self._rules.lookup(name)
        resolved = name if name != written else None
        if not verdict.allowed:
            return self._refuse(Story(asked, "dns.resolve", verdict, written, resolved, now))
        limits = self._plan.limits
        spent = self._spent
        while spent.asked_at and spent.asked_at[0] <= now - 1:
            spent.asked_at.popleft()
        if len(spent.asked_at) >= limits.lookups:
            reason = f"{limits.lookups} names were looked up within a second, which is all that the policy allows"
            self._record_limit(asked, "lookups", reason, written, resolved)
            return self._answer_refused(asked, "temporary-resolver-failure")
        if spent.name_bytes + len(name) > limits.lookup_bytes:
            reason = f"the bytes of names that may be looked up are used up ({limits.lookup_bytes:,} bytes)"
            self._record_limit(asked, "lookup-bytes", reason, written, resolved)
            return self._answer_refused(asked, "access-denied")
        try:
            resolver = self._resolver = self._resolver or Resolver(self._look_up)
        except OSError:
            return self._answer_failed(asked, "temporary-resolver-failure")
        spent.asked_at.append(now)
        spent.name_bytes += len(name)
        self._last_lookup = key = self._last_lookup + 1
        self._lookups[key] = _Lookup(number, asked, written, name, verdict, now, now + limits.connect_time)
        self._reply(asked.number, {"state": "started"}, [])
        resolver.ask(key, name)

    def _literal(self, asked: Request, written: str, address: Address) -> None:
        verdict = self._rules.literal(address, self._names)
        text = shown(canonical(address)) if zone(address) is None else shown(address)
        resolved = self._with_names(canonical(address), text)
        story = Story(
            asked, "dns.resolve", verdict, written, resolved if resolved != written else None, clock.monotonic()
        )
        if not verdict.allowed:
            return self._refuse(story)
        self._reply(asked.number, {"state": "done", "addresses": [str(canonical(address))]}, [])
        self._record_allowed(story, None, None)

    def _take_answers(self) -> None:
        """Judge and pass on what the host's resolver answered."""
        assert self._resolver is not None
        for key, answer in self._resolver.answers():
            lookup = self._lookups.pop(key, None)
            if lookup is not None:
                self._answer(lookup, answer)

    def _answer(self, lookup: _Lookup, answer: Found | ResolverError) -> None:
        if isinstance(answer, ResolverError):
            self._answer_failed(lookup.asked, answer.error)
            self._record_lookup(lookup, None, f"; it failed: {answer.error}")
            return
        self._remember(lookup.name, answer)
        judged = self._rules.answer(lookup.name, lookup.verdict, answer)
        if judged.refused is not None:
            self._record_denial(
                Story(
                    lookup.asked, "dns.resolve", judged.refused, lookup.written, _listed(answer.addresses), lookup.began
                )
            )
        if judged.addresses:
            texts = [str(address) for address in judged.addresses]
            self._reply(lookup.asked.number, {"state": "done", "addresses": texts}, [])
            self._record_lookup(lookup, _listed(judged.addresses), "")
        elif judged.refused is not None:
            self._answer_failed(lookup.asked, "access-denied")
        else:
            self._answer_failed(lookup.asked, "name-unresolvable")
            self._record_lookup(lookup, None, "; it failed: name-unresolvable")

    def _overdue_lookup(self, key: int) -> None:
        lookup, seconds = self._lookups[key], self._plan.limits.connect_time
        resolved = lookup.name if lookup.name != lookup.written else None
        reason = f"looking up the name took longer than the {seconds:g} s that the policy allows"
        self._record_limit(lookup.asked, "connect-time", reason, lookup.written, resolved)
        self._answer_failed(lookup.asked, "temporary-resolver-failure")
        self._give_up_lookup(key, "its time was over")

    def _close_lookups(self) -> None:
        """End of the run: nothing is answered any more."""
        for key in list(self._lookups):
            self._give_up_lookup(key, "the run ended")
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    def _give_up_lookup(self, key: int, why: str) -> None:
        lookup = self._lookups.pop(key)
        if self._resolver is not None and not self._resolver.forget(key):
            self._record_lookup(lookup, None, f"; {why} before it was answered")

    def _remember(self, name: str, found: Found) -> None:
        for address in found.addresses:
            names = self._names.pop(address, {})
            names.pop(name, None)
            names[name] = found.alias
            if len(names) > MAX_NAMES:
                del names[next(iter(names))]
            self._names[address] = names
        while len(self._names) > MAX_REMEMBERED:
            del self._names[next(iter(self._names))]

    def _record_lookup(self, lookup: _Lookup, resolved: str | None, end: str) -> None:
        story = Story(lookup.asked, "dns.resolve", lookup.verdict, lookup.written, resolved, lookup.began)
        self._record_allowed(story, None, None, end)


def _listed(addresses: tuple[Address, ...]) -> str | None:
    return ", ".join(map(str, addresses)) or None
