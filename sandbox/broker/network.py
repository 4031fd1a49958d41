"""The broker: the only door to the network. It judges what a guest asks for, and makes, binds and connects the sockets.

It runs in the supervisor and never waits. The worker is handed sockets that are connected, listening or bound already;
what it asks for is hostile all the same.
"""

from __future__ import annotations

import errno
import select
import socket
import time as clock
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sandbox.audit.events import Happening
from sandbox.broker import kernel
from sandbox.broker.addresses import Address, canonical, parse, shown, zone
from sandbox.broker.names import Found, ResolverError, look_up, normalise
from sandbox.broker.resolver import Resolver
from sandbox.broker.rules import LookupVerdict, Protocol, Rules, Verdict
from sandbox.guard.sites import Site
from sandbox.plan import Plan

Reply = Callable[[int, dict[str, Any], list[int]], None]
"""Sends the answer to a request, by its number, with file descriptors that it does not close."""

MAX_OBJECT = 1 << 26
MAX_BACKLOG = 4096
MAX_REMEMBERED = 16384
"""Addresses that names resolved to; the oldest are forgotten first, and with them the leave to connect to them."""
MAX_NAMES = 16
"""Names remembered for one address."""
MAX_TOLD = 64
"""Destinations of one UDP socket that are told of when it is closed; further ones are told of at once."""
LATER = frozenset({"address-in-use", "connection-refused", "remote-unreachable", "timeout"})
"""What is wrong with a connection only once it was tried: ``start-connect`` succeeds, ``finish-connect`` says it."""
PERMISSIONS = "the host's own permissions refuse it"

Stage = Literal["bound", "connecting", "connected", "listening", "accepted"]


@dataclass(frozen=True, slots=True)
class _Request:
    """Which call asked for something, when, and under which number it is answered."""

    time: float
    site: Site
    number: int


@dataclass(frozen=True, slots=True)
class _Story:
    """Something that was allowed, to be told of once it is over."""

    asked: _Request
    capability: str
    verdict: Verdict
    resource: str
    resolved: str | None
    began: float
    """On the monotonic clock."""


@dataclass(slots=True)
class _Object:
    """A socket of the guest's that was allowed something."""

    protocol: Protocol
    family: int
    stage: Stage
    story: _Story
    socket: socket.socket | None = None
    """Held here while it is bound only, or connecting; the worker has it afterwards."""
    local: tuple[Address, int] | None = None
    """Where the guest asked to be bound."""
    end: tuple[Address, int] | None = None
    """Where it is bound."""
    anyone: bool = False
    """Whether it was granted to receive from anyone."""
    expires: float = 0.0
    sends: list[_Story] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Lookup:
    object: int
    asked: _Request
    written: str
    name: str
    verdict: LookupVerdict
    began: float
    expires: float


class Broker:
    """Serves the sockets of one run of ``plan``, whose ``sockets`` must be set.

    ``record`` takes each event as it happens. ``reply`` is given a request's number, its result and the file
    descriptors that go with it, which are closed here afterwards.
    """

    def __init__(
        self,
        plan: Plan,
        record: Callable[[Happening], object],
        reply: Reply,
        look_up: Callable[[str], Found] = look_up,
    ) -> None:
        if plan.sockets is None:
            raise ValueError("the plan grants no sockets")
        self._plan, self._record, self._reply, self._look_up = plan, record, reply, look_up
        self._tells = plan.sockets.audit_all
        self._rules = Rules(plan.sockets)
        self._objects: dict[int, _Object] = {}
        self._connecting: dict[int, int] = {}
        """File descriptor -> object."""
        self._serving: dict[int, tuple[Protocol, Verdict]] = {}
        """Objects that others may reach, and what allowed that."""
        self._lookups: dict[int, _Lookup] = {}
        """Lookups that are not answered yet, by a number of their own: one that a worker chose could come twice, and
        join the answer for one name to another."""
        self._last_lookup = 0
        self._resolver: Resolver | None = None
        self._names: dict[Address, dict[str, str | None]] = {}
        self._asked_at: deque[float] = deque()
        self._name_bytes = 0
        self.bounds: set[str] = set()
        """Bounds that were reached while the guest went on: ``limits.lookups`` ..."""

        self._serve: dict[str, Callable[[_Request, int, dict[str, Any]], None]] = {
            "bind": self._bind,
            "connect": self._connect,
            "listen": self._listen,
            "lookup": self._lookup,
            "send": self._send,
            "peer": self._peer,
            "closed": self._closed,
        }

    def request(self, time: float, site: Site, number: int, op: str, args: dict[str, Any]) -> None:
        """Serve what the worker asks. Raises ``LookupError``, ``TypeError`` or ``ValueError`` for nonsense."""
        if type(time) not in (int, float) or not 0 <= time < 1 << 35 or type(number) is not int:
            raise ValueError("no time or number of a request")
        if not isinstance(args, dict):
            raise TypeError("arguments are named")
        self._serve[op](_Request(float(time), site, number), _whole(args, "object", 1, MAX_OBJECT), args)

    def watch(self, poll: select.poll) -> None:
        """Register everything that is waited for."""
        for descriptor in self._connecting:
            poll.register(descriptor, select.POLLOUT)
        if self._resolver is not None:
            poll.register(self._resolver.fileno(), select.POLLIN)

    def patience(self) -> float | None:
        """Seconds until something pending is overdue; ``None`` where nothing is pending."""
        pending = [self._objects[number].expires for number in self._connecting.values()]
        pending += [lookup.expires for lookup in self._lookups.values()]
        return max(0.0, min(pending) - clock.monotonic()) if pending else None

    def handle(self, ready: Mapping[int, int]) -> None:
        """Go on with what a poll found ready, and give up what is overdue."""
        for number in [number for descriptor, number in self._connecting.items() if descriptor in ready]:
            self._finish_connect(number)
        if self._resolver is not None and self._resolver.fileno() in ready:
            for key, answer in self._resolver.answers():
                lookup = self._lookups.pop(key, None)
                if lookup is not None:
                    self._answer(lookup, answer)
        now = clock.monotonic()
        for number in [n for n in self._connecting.values() if self._objects[n].expires <= now]:
            self._overdue_connect(number)
        for key in [key for key, lookup in self._lookups.items() if lookup.expires <= now]:
            self._overdue_lookup(key)

    def close(self) -> None:
        """End of the run: nothing is held any more, and nothing answered."""
        for number in list(self._objects):
            self._forget(number, None, None, "the run ended")
        for key in list(self._lookups):
            self._give_up_lookup(key, "the run ended")
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    # Sockets.

    def _bind(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        protocol, family = _protocol(args), _family(args)
        written, port, options = parse(_text(args, "address")), _whole(args, "port", 0, 65535), _options(args, protocol)
        if number in self._objects:
            raise ValueError("the socket is bound or connected already")
        self._check_room()
        verdict = self._rules.bind(protocol, written, port)
        story = self._story(asked, f"sockets.{protocol}.bind", verdict, written, port)
        if not verdict.allowed:
            return self._refuse(story)
        if not _fits(written, family):
            return self._fail(asked, "invalid-argument")
        made: socket.socket | None = None
        try:
            made = kernel.make_socket(family, protocol, options)
            if protocol == "tcp" and port != 0:
                # A server may start again while connections of the one before are still being forgotten.
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((str(canonical(written)), port))
        except OSError as error:
            if made is not None:
                made.close()
            return self._failed(story, error)
        bound = self._objects[number] = _Object(protocol, family, "bound", story, local=(written, port))
        done: dict[str, Any] = {"state": "done", "local": _end(made.getsockname())}
        bound.end = parse(done["local"][0]), done["local"][1]
        if protocol == "tcp":
            bound.socket = made
            return self._reply(asked.number, done, [])
        bound.anyone = done["anyone"] = self._rules.local(protocol, written, port).allowed
        if bound.anyone:
            self._serving[number] = protocol, verdict
        return self._hand_over(asked, made, done)

    def _connect(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        family, written, port = _family(args), parse(_text(args, "address")), _whole(args, "port", 0, 65535)
        options = _options(args, "tcp")
        bound = self._objects.get(number)
        if bound is None:
            self._check_room()
        elif bound.socket is None or bound.stage != "bound" or bound.family != family:
            raise ValueError("the socket cannot be connected any more")
        verdict = self._rules.peer("tcp", written, port, self._names)
        if not verdict.allowed:
            verdict = self._own(written, port) or verdict
        story = self._story(asked, "sockets.tcp.connect", verdict, written, port)
        if not verdict.allowed:
            return self._refuse(story)
        if not _fits(written, family) or port == 0:
            return self._fail(asked, "invalid-argument")
        made = bound.socket if bound is not None else None
        try:
            if made is None:
                made = kernel.make_socket(family, "tcp", options)
            else:
                kernel.set_options(made, family, options)
            code = made.connect_ex((str(canonical(written)), port))
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code not in (0, errno.EINPROGRESS) or made is None:
            if made is not None and bound is None:
                made.close()  # one that was bound stays so
            # Without a port of its own to connect from, a socket has no address, whatever the kernel calls it.
            failure = OSError(errno.EADDRINUSE if code == errno.EADDRNOTAVAIL else code, "")
            if kernel.error_code(failure) in LATER:
                self._reply(asked.number, {"state": "started"}, [])
            return self._failed(story, failure)
        if bound is None:
            bound = self._objects[number] = _Object("tcp", family, "connecting", story)
        bound.stage, bound.story, bound.socket = "connecting", story, made
        bound.expires = story.began + self._plan.limits.connect_time
        self._connecting[made.fileno()] = number
        if code == 0 or kernel.is_ready(made, select.POLLOUT):
            # On the same machine it is over before the call returns: one answer says so, where it went well.
            try:
                made.getpeername()
            except OSError:
                pass
            else:
                return self._connected(number, made)
        self._reply(asked.number, {"state": "started"}, [])

    def _own(self, written: Address, port: int) -> Verdict | None:
        """On connecting to where this run itself listens, which leads to nobody else; a denial holds here as well.

        Event loops wake themselves by such a connection.
        """
        if not self._rules.remote(written, port).allowed:
            return None
        for served in self._objects.values():
            if served.stage == "listening" and served.end == (written, port):
                return Verdict(
                    allowed=True,
                    reason="allowed by the policy: the component itself listens there",
                    route=served.story.verdict.route,
                )
        return None

    def _finish_connect(self, number: int) -> None:
        connecting = self._objects[number]
        made = connecting.socket
        assert made is not None
        code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            if code == 0:
                made.getpeername()
        except OSError as error:
            if not kernel.is_ready(made, select.POLLOUT):
                return  # it was another socket that was ready, whose number this one has now
            code = error.errno or errno.ENOTCONN
        if code != 0:
            self._drop(number)
            return self._failed(connecting.story, OSError(code, ""))
        self._connected(number, made)

    def _connected(self, number: int, made: socket.socket) -> None:
        connected = self._objects[number]
        del self._connecting[made.fileno()]
        connected.stage, connected.socket = "connected", None
        self._hand_over(connected.story.asked, made, {"state": "done", "local": _end(made.getsockname())})

    def _overdue_connect(self, number: int) -> None:
        connecting = self._objects[number]
        self._drop(number)
        story, seconds = connecting.story, self._plan.limits.connect_time
        reason = f"connecting took longer than the {seconds:g} s that the policy allows"
        self._limit(story.asked, "connect-time", reason, story.resource, story.resolved)
        self._fail(story.asked, "timeout")
        self._tell(story, 0, 0, "; it failed: timeout")

    def _drop(self, number: int) -> None:
        gone = self._objects.pop(number)
        self._serving.pop(number, None)
        if gone.socket is not None:
            self._connecting.pop(gone.socket.fileno(), None)
            gone.socket.close()

    def _listen(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        backlog = _whole(args, "backlog", 0, 1 << 64)
        bound = self._objects[number]
        made = bound.socket
        if made is None or bound.local is None or bound.stage != "bound":
            raise ValueError("the socket is not bound, or more than that")
        verdict = self._rules.local("tcp", *bound.local)
        story = self._story(asked, "sockets.tcp.listen", verdict, *bound.local)
        if not verdict.allowed:
            return self._refuse(story)
        try:
            made.listen(max(1, min(backlog, MAX_BACKLOG)))
        except OSError as error:
            return self._failed(story, error)
        if bound.end is not None and bound.end[1] != bound.local[1]:
            story = replace(story, resolved=shown(*bound.end))  # the system chose the port
        bound.stage, bound.story, bound.socket = "listening", story, None
        self._serving[number] = "tcp", verdict
        self._hand_over(asked, made, {"state": "done"})

    def _send(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        written, port = parse(_text(args, "address")), _whole(args, "port", 0, 65535)
        verdict = self._rules.peer("udp", written, port, self._names)
        story = self._story(asked, "sockets.udp.send", verdict, written, port)
        if not verdict.allowed:
            return self._refuse(story)
        sender = self._objects.get(number)
        if not _fits(written, sender.family if sender is not None else written.version) or port == 0:
            return self._fail(asked, "invalid-argument")
        if sender is not None and len(sender.sends) < MAX_TOLD:
            sender.sends.append(story)
        else:
            self._tell(story, None, None)
        self._reply(asked.number, {"state": "done"}, [])

    def _peer(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        protocol, written, port = _protocol(args), parse(_text(args, "address")), _whole(args, "port", 0, 65535)
        if not isinstance(args["accepted"], bool):
            raise TypeError("accepted is a flag")
        verdict = self._rules.remote(written, port)
        capability = "sockets.tcp.accept" if protocol == "tcp" else "sockets.udp.receive"
        if verdict.allowed and self._tells:
            # It came to a place that a rule opened: that one allowed it, where it can have been no other.
            opened = {served.route: served for of, served in self._serving.values() if of == protocol}
            if len(opened) == 1:
                (verdict,) = opened.values()
        story = self._story(asked, capability, verdict, written, port)
        if not verdict.allowed:
            return self._refuse(story)
        if not args["accepted"]:
            self._tell(story, None, None)
        elif self._tells:
            if number in self._objects:
                raise ValueError("the socket was there before it was accepted")
            self._check_room()
            self._objects[number] = _Object(protocol, canonical(written).version, "accepted", story)
        self._reply(asked.number, {"state": "done"}, [])

    def _closed(self, _asked: _Request, number: int, args: dict[str, Any]) -> None:
        sent, received = _whole(args, "sent", 0, 1 << 63), _whole(args, "received", 0, 1 << 63)
        if number in self._objects:
            self._forget(number, sent, received, None)
        for key in [key for key, lookup in self._lookups.items() if lookup.object == number]:
            self._give_up_lookup(key, "it was given up")

    def _check_room(self) -> None:
        if len(self._objects) >= self._plan.limits.sockets:
            raise ValueError("more sockets than the policy allows")

    def _hand_over(self, asked: _Request, made: socket.socket, done: dict[str, Any]) -> None:
        try:
            self._reply(asked.number, done, [made.fileno()])
        finally:
            made.close()

    def _forget(self, number: int, sent: int | None, received: int | None, why: str | None) -> None:
        """Close what is held of a socket, and tell what it did; ``why``: where the guest did not close it itself."""
        gone = self._objects[number]
        self._drop(number)
        if gone.stage == "connecting":
            return self._tell(gone.story, 0, 0, f"; {why or 'it was given up'} before it was connected")
        end = f"; {why} before it was closed" if why else ""
        if gone.stage == "listening":
            sent = received = None  # those that it accepted have
        if gone.protocol == "tcp" or gone.anyone or len(gone.sends) != 1:
            self._tell(gone.story, sent, received, end)
            sent = received = None  # nobody counts by destination
        for story in gone.sends:
            self._tell(story, sent, received, end)

    # Names.

    def _lookup(self, asked: _Request, number: int, args: dict[str, Any]) -> None:
        written = _text(args, "name")
        try:
            name = normalise(written)
        except ValueError:
            return self._fail(asked, "invalid-argument")
        if not isinstance(name, str):
            return self._literal(asked, written, name)
        now = clock.monotonic()
        verdict = self._rules.lookup(name)
        resolved = name if name != written else None
        if not verdict.allowed:
            return self._refuse(_Story(asked, "dns.resolve", verdict, written, resolved, now))
        limits = self._plan.limits
        while self._asked_at and self._asked_at[0] <= now - 1:
            self._asked_at.popleft()
        if len(self._asked_at) >= limits.lookups:
            reason = f"{limits.lookups} names were looked up within a second, which is all that the policy allows"
            self._limit(asked, "lookups", reason, written, resolved)
            return self._refused(asked, "temporary-resolver-failure")
        if self._name_bytes + len(name) > limits.lookup_bytes:
            reason = f"the bytes of names that may be looked up are used up ({limits.lookup_bytes:,} bytes)"
            self._limit(asked, "lookup-bytes", reason, written, resolved)
            return self._refused(asked, "access-denied")
        try:
            resolver = self._resolver = self._resolver or Resolver(self._look_up)
        except OSError:
            return self._fail(asked, "temporary-resolver-failure")
        self._asked_at.append(now)
        self._name_bytes += len(name)
        self._last_lookup = key = self._last_lookup + 1
        self._lookups[key] = _Lookup(number, asked, written, name, verdict, now, now + limits.connect_time)
        self._reply(asked.number, {"state": "started"}, [])
        resolver.ask(key, name)

    def _literal(self, asked: _Request, written: str, address: Address) -> None:
        verdict = self._rules.literal(address, self._names)
        text = shown(canonical(address)) if zone(address) is None else shown(address)
        resolved = self._with_names(canonical(address), text)
        story = _Story(
            asked, "dns.resolve", verdict, written, resolved if resolved != written else None, clock.monotonic()
        )
        if not verdict.allowed:
            return self._refuse(story)
        self._reply(asked.number, {"state": "done", "addresses": [str(canonical(address))]}, [])
        self._tell(story, None, None)

    def _answer(self, lookup: _Lookup, answer: Found | ResolverError) -> None:
        if isinstance(answer, ResolverError):
            self._fail(lookup.asked, answer.error)
            self._tell_lookup(lookup, None, f"; it failed: {answer.error}")
            return
        self._remember(lookup.name, answer)
        judged = self._rules.answer(lookup.name, lookup.verdict, answer)
        if judged.refused is not None:
            self._deny(
                _Story(
                    lookup.asked, "dns.resolve", judged.refused, lookup.written, _listed(answer.addresses), lookup.began
                )
            )
        if judged.addresses:
            texts = [str(address) for address in judged.addresses]
            self._reply(lookup.asked.number, {"state": "done", "addresses": texts}, [])
            self._tell_lookup(lookup, _listed(judged.addresses), "")
        elif judged.refused is not None:
            self._fail(lookup.asked, "access-denied")
        else:
            self._fail(lookup.asked, "name-unresolvable")
            self._tell_lookup(lookup, None, "; it failed: name-unresolvable")

    def _overdue_lookup(self, key: int) -> None:
        lookup, seconds = self._lookups[key], self._plan.limits.connect_time
        resolved = lookup.name if lookup.name != lookup.written else None
        reason = f"looking up the name took longer than the {seconds:g} s that the policy allows"
        self._limit(lookup.asked, "connect-time", reason, lookup.written, resolved)
        self._fail(lookup.asked, "temporary-resolver-failure")
        self._give_up_lookup(key, "its time was over")

    def _give_up_lookup(self, key: int, why: str) -> None:
        lookup = self._lookups.pop(key)
        if self._resolver is not None and not self._resolver.forget(key):
            self._tell_lookup(lookup, None, f"; {why} before it was answered")

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

    # What happened.

    def _story(self, asked: _Request, capability: str, verdict: Verdict, written: Address, port: int) -> _Story:
        resource, resolved = shown(written, port), None
        if zone(written) is None:
            resolved = self._with_names(canonical(written), shown(canonical(written), port))
        return _Story(
            asked, capability, verdict, resource, resolved if resolved != resource else None, clock.monotonic()
        )

    def _with_names(self, address: Address, text: str) -> str:
        names = self._names.get(address)
        return f"{text} ({', '.join(names)})" if names else text

    def _refuse(self, story: _Story) -> None:
        """Refuse what the policy does not allow."""
        self._deny(story)
        self._refused(story.asked, "access-denied")

    def _failed(self, story: _Story, error: OSError) -> None:
        """Answer with what the kernel said to something that was allowed."""
        name = kernel.error_code(error)
        if name == "access-denied":
            denied = Verdict(allowed=False, reason=PERMISSIONS, route=story.verdict.route)
            self._deny(_Story(story.asked, story.capability, denied, story.resource, story.resolved, story.began))
            self._fail(story.asked, name)
            return
        self._fail(story.asked, name)
        self._tell(story, 0, 0, f"; it failed: {name}")

    def _refused(self, asked: _Request, error: str) -> None:
        self._reply(asked.number, {"state": "refused", "error": error}, [])

    def _fail(self, asked: _Request, error: str) -> None:
        self._reply(asked.number, {"state": "failed", "error": error}, [])

    def _deny(self, story: _Story) -> None:
        self._record(
            Happening(
                name="denied",
                component=self._plan.component,
                capability=story.capability,
                reason=story.verdict.reason,
                interface=story.asked.site.interface,
                function=story.asked.site.function,
                resource=story.resource,
                resolved=story.resolved,
                line=self._line(f"grants.{story.verdict.route}"),
                grant=story.verdict.grant,
                time=story.asked.time,
            )
        )

    def _tell(self, story: _Story, sent: int | None, received: int | None, end: str = "") -> None:
        """Record something that was allowed and is over, where the policy asks for that."""
        if not self._tells:
            return
        self._record(
            Happening(
                name="allowed",
                component=self._plan.component,
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
            )
        )

    def _tell_lookup(self, lookup: _Lookup, resolved: str | None, end: str) -> None:
        story = _Story(lookup.asked, "dns.resolve", lookup.verdict, lookup.written, resolved, lookup.began)
        self._tell(story, None, None, end)

    def _limit(self, asked: _Request, name: str, reason: str, resource: str, resolved: str | None) -> None:
        first = f"limits.{name}" not in self.bounds
        self.bounds.add(f"limits.{name}")
        self._record(
            Happening(
                name="limit" if first else "denied",
                component=self._plan.component,
                capability=f"limits.{name}",
                reason=reason,
                interface=asked.site.interface,
                function=asked.site.function,
                resource=resource,
                resolved=resolved,
                line=self._line(f"limits.{name}"),
                time=asked.time,
            )
        )

    def _line(self, route: str) -> int | None:
        return self._plan.line(f"components.{self._plan.component}.{route}")


# What a worker may say.


def _whole(args: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = args[name]
    if type(value) is not int:
        raise TypeError(f"{name} is a number")
    if not least <= value <= most:
        raise ValueError(f"{name} is out of range")
    return value


def _text(args: Mapping[str, Any], name: str) -> str:
    value = args[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is text")
    return value


def _protocol(args: Mapping[str, Any]) -> Protocol:
    value = args["protocol"]
    if value == "tcp":
        return "tcp"
    if value == "udp":
        return "udp"
    raise ValueError("no protocol that is served")


def _family(args: Mapping[str, Any]) -> int:
    value = _whole(args, "family", 4, 6)
    if value == 5:
        raise ValueError("no family that is served")
    return value


def _fits(written: Address, family: int) -> bool:
    """Whether a socket of ``family`` can be used with an address as it is written."""
    return written.version == family and canonical(written) == written


def _end(name: tuple[Any, ...]) -> list[Any]:
    """Address and port of a local end."""
    return [str(name[0]).partition("%")[0], int(name[1])]


def _listed(addresses: tuple[Address, ...]) -> str | None:
    return ", ".join(map(str, addresses)) or None


def _options(args: Mapping[str, Any], protocol: Protocol) -> dict[str, int]:
    options = args.get("options", {})
    if not isinstance(options, dict):
        raise TypeError("options are named")
    for name, value in options.items():
        if name not in kernel.OPTIONS[protocol]:
            raise LookupError("no such option")
        if not isinstance(value, int) or not 0 <= value < 1 << 64:
            raise ValueError("no value of an option")
    return options
