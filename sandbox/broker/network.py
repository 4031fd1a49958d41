"""The broker: the only door to the network. It judges what a guest asks for, and makes, binds and connects the sockets.

It runs in the supervisor and never waits. The worker is handed sockets that are connected, listening or bound already;
what it asks for is hostile all the same.
"""

from __future__ import annotations

import errno
import select
import socket
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sandbox.audit.events import Happening
from sandbox.broker import kernel
from sandbox.broker.errors import error_code
from sandbox.broker.lookups import Lookups, Spent
from sandbox.broker.names import Found, look_up
from sandbox.broker.options import MAX_BACKLOG, OF_UDP, OPTIONS
from sandbox.broker.rules import Protocol, Verdict
from sandbox.broker.stories import PERMISSIONS, Reply, Request, Story
from sandbox.guard.sites import Site
from sandbox.guard.wire import MAX_OBJECT
from sandbox.plan import Plan
from sandbox.policy.addresses import Address, canonical, parse, shown

MAX_TOLD = 64
"""Destinations of one UDP socket that are told of when it is closed; further ones are told of at once."""
LATER = frozenset({"address-in-use", "connection-refused", "remote-unreachable", "timeout"})
"""What is wrong with a connection only once it was tried: ``start-connect`` succeeds, ``finish-connect`` says it."""
Stage = Literal["bound", "connecting", "connected", "listening", "accepted"]


@dataclass(slots=True)
class _Object:
    """A socket of the guest's that was allowed something."""

    protocol: Protocol
    family: int
    stage: Stage
    story: Story
    socket: socket.socket | None = None
    """Held here while it is bound only, connecting, or listening; the worker has it afterwards, or as well."""
    local: tuple[Address, int] | None = None
    """Where the guest asked to be bound."""
    end: tuple[Address, int] | None = None
    """Where it is bound."""
    anyone: bool = False
    """Whether it was granted to receive from anyone."""
    expires: float = 0.0
    sends: list[Story] = field(default_factory=list)


class Broker(Lookups):
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
        spent: Spent | None = None,
        paths: Sequence[str | None] = (None,),
    ) -> None:
        super().__init__(plan, record, reply, look_up, spent, paths)
        self._objects: dict[int, _Object] = {}
        self._spent.sockets.append(self._objects)
        self._connecting: dict[int, int] = {}
        """File descriptor -> object."""
        self._serving: dict[int, tuple[Protocol, Verdict]] = {}
        """Objects that others may reach, and what allowed that."""
        self._serve: dict[str, Callable[[Request, int, dict[str, Any]], None]] = {
            "bind": self._bind,
            "connect": self._connect,
            "listen": self._listen,
            "lookup": self._lookup,
            "send": self._send,
            "barred": self._barred,
            "peer": self._peer,
            "closed": self._closed,
        }

    def request(self, time: float, site: Site, number: int, op: str, args: dict[str, Any]) -> None:
        """Serve what the worker asks. Raises ``LookupError``, ``TypeError`` or ``ValueError`` for nonsense."""
        if type(time) not in (int, float) or not 0 <= time < 1 << 35 or type(number) is not int:
            raise ValueError("no time or number of a request")
        if not isinstance(args, dict):
            raise TypeError("arguments are named")
        self._serve[op](Request(float(time), site, number), _whole(args, "object", 1, MAX_OBJECT), args)

    def holds(self, number: int) -> bool:
        """Whether a socket of the guest's is known here: something was allowed to it."""
        return number in self._objects

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
            self._take_answers()
        now = clock.monotonic()
        for number in [n for n in self._connecting.values() if self._objects[n].expires <= now]:
            self._overdue_connect(number)
        for key in [key for key, lookup in self._lookups.items() if lookup.expires <= now]:
            self._overdue_lookup(key)

    def close(self) -> None:
        """End of the run: nothing is held any more, and nothing answered."""
        for number in list(self._objects):
            self._forget(number, None, None, "the run ended")
        self._close_lookups()

    # Sockets.

    def _bind(self, asked: Request, number: int, args: dict[str, Any]) -> None:
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
            return self._answer_failed(asked, "invalid-argument")
        try:
            made = kernel.bind_socket(family, protocol, str(canonical(written)), port, options)
        except OSError as error:
            return self._kernel_failed(story, error)
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

    def _connect(self, asked: Request, number: int, args: dict[str, Any]) -> None:
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
            return self._answer_failed(asked, "invalid-argument")
        made = bound.socket if bound is not None else None
        try:
            if made is None:
                made = kernel.make_socket(family, "tcp", options)
            else:
                kernel.set_options(made, "tcp", family, options)
            code = made.connect_ex((str(canonical(written)), port))
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code not in (0, errno.EINPROGRESS) or made is None:
            if made is not None and bound is None:
                made.close()  # one that was bound stays so
            # Without a port of its own to connect from, a socket has no address, whatever the kernel calls it.
            failure = OSError(errno.EADDRINUSE if code == errno.EADDRNOTAVAIL else code, "")
            if error_code(failure) in LATER:
                self._reply(asked.number, {"state": "started"}, [])
            return self._kernel_failed(story, failure)
        if bound is None:
            bound = self._objects[number] = _Object("tcp", family, "connecting", story)
        bound.stage, bound.story, bound.socket = "connecting", story, made
        bound.expires = story.began + self._plan.limits.connect_time
        self._connecting[made.fileno()] = number
        if code == 0 or kernel.is_ready(made.fileno(), select.POLLOUT):
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
            # Listening on all addresses opens none to connect to: an unspecified address is never reached.
            if served.stage == "listening" and served.end == (written, port) and not written.is_unspecified:
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
            if not kernel.is_ready(made.fileno(), select.POLLOUT):
                return  # it was another socket that was ready, whose number this one has now
            code = errno.ECONNRESET if error.errno == errno.ENOTCONN else error.errno or errno.ECONNRESET
        if code != 0:
            self._drop(number)
            return self._kernel_failed(connecting.story, OSError(code, ""))
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
        self._record_limit(story.asked, "connect-time", reason, story.resource, story.resolved)
        self._answer_failed(story.asked, "timeout")
        self._record_allowed(story, 0, 0, "; it failed: timeout")

    def _drop(self, number: int) -> None:
        gone = self._objects.pop(number)
        self._serving.pop(number, None)
        if gone.socket is not None:
            self._connecting.pop(gone.socket.fileno(), None)
            gone.socket.close()

    def _listen(self, asked: Request, number: int, args: dict[str, Any]) -> None:
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
            # What waits to be accepted is the run's as well, though nobody counts it.
            made.listen(max(1, min(backlog, MAX_BACKLOG, self._plan.limits.sockets)))
        except OSError as error:
            return self._kernel_failed(story, error)
        if bound.end is not None and bound.end[1] != bound.local[1]:
            story = replace(story, resolved=shown(*bound.end))  # the system chose the port
        # It stays here as well: as long as the component may connect to where it listens, nobody else listens there.
        bound.stage, bound.story = "listening", story
        self._serving[number] = "tcp", verdict
        self._reply(asked.number, {"state": "done"}, [made.fileno()])

    def _send(self, asked: Request, number: int, args: dict[str, Any]) -> None:
        written, port = parse(_text(args, "address")), _whole(args, "port", 0, 65535)
        verdict = self._rules.peer("udp", written, port, self._names)
        story = self._story(asked, "sockets.udp.send", verdict, written, port)
        if not verdict.allowed:
            return self._refuse(story)
        sender = self._objects.get(number)
        if not _fits(written, sender.family if sender is not None else written.version) or port == 0:
            return self._answer_failed(asked, "invalid-argument")
        if sender is not None and len(sender.sends) < MAX_TOLD:
            sender.sends.append(story)
        else:
            self._record_allowed(story, None, None)
        self._reply(asked.number, {"state": "done"}, [])

    def _barred(self, asked: Request, _: int, args: dict[str, Any]) -> None:
        """A datagram was allowed, and the host refused it: its firewall, or since it went to a network's broadcast."""
        written, port = parse(_text(args, "address")), _whole(args, "port", 0, 65535)
        verdict = self._rules.peer("udp", written, port, self._names)
        if verdict.allowed:
            verdict = Verdict(allowed=False, reason=PERMISSIONS, route=verdict.route)
        self._record_denial(self._story(asked, "sockets.udp.send", verdict, written, port))

    def _peer(self, asked: Request, number: int, args: dict[str, Any]) -> None:
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
            self._record_allowed(story, None, None)
        elif self._tells:
            if number in self._objects:
                raise ValueError("the socket was there before it was accepted")
            self._check_room()
            self._objects[number] = _Object(protocol, canonical(written).version, "accepted", story)
        self._reply(asked.number, {"state": "done"}, [])

    def _closed(self, _asked: Request, number: int, args: dict[str, Any]) -> None:
        sent, received = _whole(args, "sent", 0, 1 << 63), _whole(args, "received", 0, 1 << 63)
        if number in self._objects:
            self._forget(number, sent, received, None)
        for key in [key for key, lookup in self._lookups.items() if lookup.object == number]:
            self._give_up_lookup(key, "it was given up")

    def _check_room(self) -> None:
        if sum(map(len, self._spent.sockets)) >= self._plan.limits.sockets:
            raise ValueError("more sockets than the policy allows")

    def _hand_over(self, asked: Request, made: socket.socket, done: dict[str, Any]) -> None:
        try:
            self._reply(asked.number, done, [made.fileno()])
        finally:
            made.close()

    def _forget(self, number: int, sent: int | None, received: int | None, why: str | None) -> None:
        """Close what is held of a socket, and tell what it did; ``why``: where the guest did not close it itself."""
        gone = self._objects[number]
        self._drop(number)
        if gone.stage == "connecting":
            return self._record_allowed(gone.story, 0, 0, f"; {why or 'it was given up'} before it was connected")
        end = f"; {why} before it was closed" if why else ""
        if gone.stage == "listening":
            sent = received = None  # those that it accepted have
        if gone.protocol == "tcp" or gone.anyone or len(gone.sends) != 1:
            self._record_allowed(gone.story, sent, received, end)
            sent = received = None  # nobody counts by destination
        for story in gone.sends:
            self._record_allowed(story, sent, received, end)

    def _lookup(self, asked: Request, number: int, args: dict[str, Any]) -> None:
        self._start_lookup(asked, number, _text(args, "name"))


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


def _options(args: Mapping[str, Any], protocol: Protocol) -> dict[str, int]:
    options = args.get("options", {})
    if not isinstance(options, dict):
        raise TypeError("options are named")
    for name, value in options.items():
        if name not in OPTIONS or (protocol == "udp" and name not in OF_UDP):
            raise LookupError("no such option")
        if not isinstance(value, int) or not 0 <= value < 1 << 64:
            raise ValueError("no value of an option")
    return options
