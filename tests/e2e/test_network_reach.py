"""Nothing goes anywhere that the policy does not name: by any spelling, any kind of socket, any order of calls.

Everything happens on a machine of the test's own, where every address is its own: what went out would come in at a
listener, and is seen as a packet in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.components import Call, Drop, component
from tests.e2e.namespaces import SOCKETS, Machine, Packet, Tried, Watch, answering, needs_namespaces, serving, tried
from tests.e2e.network import SOCKETS_LINE, Told, echo, policy_text, told

GRANTED = """
tcp:
  connect: ["127.0.0.1:4000"]
  listen: ["127.0.0.1:4100"]
udp:
  send: ["127.0.0.1:4000"]
  bind: ["127.0.0.1:4100"]
dns: [known.test]
"""
"""A little of everything."""

UNCOVERED = "no grant covers this address and port"
NEVER = "is never reached, whatever is granted"
UNSPECIFIED, MULTICAST, BROADCAST = (
    f"{kind} address {NEVER}" for kind in ("an unspecified", "a multicast", "a broadcast")
)
ZONED = f"an address with a zone {NEVER}"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine for the module, on which ``known.test`` and ``secret.test`` have addresses."""
    needs_namespaces()
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.records("host-record=known.test,20.1.1.1", "host-record=secret.test,10.0.0.1")
        yield machine


@pytest.fixture
def watch(machine: Machine) -> Iterator[Watch]:
    """Listeners on every address, at the ports that are tried."""
    with Watch(machine, (80, 4000, 4001)) as watch:
        machine.packets()
        yield watch


class Destination(NamedTuple):
    """An address and a port as the guest passes them, and what the event says of them."""

    address: str
    port: int
    resource: str
    reason: str
    resolved: str | None = None
    to: str | None = None
    """What a grant would name; ``None``: none can."""


def plain(address: str, port: int = 4000, *, spelled: str | None = None) -> Destination:
    """A destination that a policy could grant, and this one does not."""
    resource = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return Destination(spelled or address, port, resource, UNCOVERED, to=resource)


def mapped(address: str) -> Destination:
    """The IPv4-mapped IPv6 address of one that a policy could grant."""
    return Destination(
        f"::ffff:{address}", 4000, f"[::ffff:{address}]:4000", UNCOVERED, f"{address}:4000", f"{address}:4000"
    )


def hiding(address: str, shown: str | None = None) -> Destination:
    """An address that hides another one, and that no policy can name."""
    return Destination(address, 4000, f"[{shown or address}]:4000", UNCOVERED)


DESTINATIONS = [
    plain("127.0.0.1", 4001),
    plain("127.0.0.1", 80),
    plain("127.0.0.2"),
    plain("127.255.255.254"),
    plain("10.0.0.1"),
    plain("172.16.0.1"),
    plain("192.168.1.1"),
    plain("100.64.0.1"),
    plain("169.254.169.254", 80),
    plain("169.254.1.1"),
    plain("20.1.1.1"),
    plain("203.0.113.7"),
    plain("198.51.100.1"),
    plain("240.0.0.1"),
    plain("::1"),
    plain("2001:db8::1"),
    plain("2600::1"),
    plain("fd00::1"),
    plain("fd00:ec2::254", 80),
    plain("127.0.0.2", spelled="words4:127.0.0.258"),
    plain("127.0.0.2", spelled="words4:383.256.512.2"),
    plain("::1", spelled="words6:65536.0.0.0.0.0.0.1"),
    plain("::1", spelled="::1#7"),
    Destination("127.0.0.1", 4001 + 65536, "127.0.0.1:4001", UNCOVERED, to="127.0.0.1:4001"),
    Destination("127.0.0.2", 0, "127.0.0.2:0", UNCOVERED),
    mapped("127.0.0.2"),
    mapped("10.0.0.1"),
    mapped("169.254.169.254"),
    hiding("::127.0.0.1", "::7f00:1"),
    hiding("::127.0.0.2", "::7f00:2"),
    hiding("::10.0.0.1", "::a00:1"),
    hiding("::ffff:0:127.0.0.1", "::ffff:0:7f00:1"),
    hiding("64:ff9b::127.0.0.1", "64:ff9b::7f00:1"),
    hiding("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
    Destination("64:ff9b:1::7f00:1", 4000, "[64:ff9b:1::7f00:1]:4000", f"{UNSPECIFIED} (the address embeds 0.0.0.0)"),
    hiding("2002:7f00:1::"),
    hiding("2002:a00:1::1"),
    hiding("2001:0:7f00:1::"),
    hiding("2001:0:808:808::80ff:fffe"),
    hiding("2001:db8::5efe:7f00:1"),
    Destination("fe80::1", 4000, "[fe80::1]:4000", UNCOVERED),
    Destination("::1%1", 4000, "[::1%1]:4000", ZONED),
    Destination("fe80::1%1", 4000, "[fe80::1%1]:4000", ZONED),
    Destination("fe80::1%4294967295", 4000, "[fe80::1%4294967295]:4000", ZONED),
    Destination("::ffff:127.0.0.1%1", 4000, "[::ffff:127.0.0.1%1]:4000", ZONED),
    Destination("0.0.0.0", 4000, "0.0.0.0:4000", UNSPECIFIED),
    Destination("0.0.0.1", 4000, "0.0.0.1:4000", UNSPECIFIED),
    Destination("::", 4000, "[::]:4000", UNSPECIFIED),
    Destination("::ffff:0.0.0.0", 4000, "[::ffff:0.0.0.0]:4000", UNSPECIFIED, "0.0.0.0:4000"),
    Destination("224.0.0.1", 4000, "224.0.0.1:4000", MULTICAST),
    Destination("239.255.255.250", 4000, "239.255.255.250:4000", MULTICAST),
    Destination("::ffff:224.0.0.1", 4000, "[::ffff:224.0.0.1]:4000", MULTICAST, "224.0.0.1:4000"),
    Destination("ff02::1", 4000, "[ff02::1]:4000", MULTICAST),
    Destination("ff0e::1", 4000, "[ff0e::1]:4000", MULTICAST),
    Destination("255.255.255.255", 4000, "255.255.255.255:4000", BROADCAST),
]


class Way(NamedTuple):
    """A subcommand that reaches out, and what it prints up to the refusal."""

    capability: str
    command: str
    printed: tuple[str, ...]

    def expected(self, destination: Destination) -> Tried:
        """The refusal, and the event for it: one."""
        protocol, verb = ("tcp", "connect") if "tcp" in self.capability else ("udp", "send")
        grant = None
        if destination.to is not None:
            grant = f'sockets:\n  {protocol}: {{{verb}: ["{destination.to}"]}}'
        any_address = "[0:0:0:0:0:0:0:0]" if ":" in destination.resource.rpartition(":")[0] else "0.0.0.0"
        said = Told(
            "denied",
            self.capability,
            destination.resource,
            destination.resolved,
            SOCKETS_LINE,
            destination.reason,
            grant,
        )
        command = self.command_for(destination)
        return Tried(command, tuple(line.format(any=any_address) for line in self.printed), (said,))

    def command_for(self, destination: Destination) -> str:
        """The command line that tries it."""
        six = ":" in destination.resource.rpartition(":")[0]
        return self.command.format(any="::" if six else "0.0.0.0", to=f"{destination.address} {destination.port}")


WAYS = {
    "connect": Way("sockets.tcp.connect", "connect {to} x", ("start-connect error=access-denied",)),
    "bind and connect": Way(
        "sockets.tcp.connect", "bind-connect {any} 0 {to}", ("bind ok", "start-connect error=access-denied")
    ),
    "stream": Way("sockets.udp.send", "udp-ask {to} x", ("stream error=access-denied",)),
    "send": Way(
        "sockets.udp.send",
        "udp-sendto {to} x",
        ("local-address ok address={any}:*", "remote-address error=invalid-state", "send error=access-denied"),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_spelling_of_an_address_reaches_what_is_not_granted(
    way: str, machine: Machine, watch: Watch, policy: Callable[..., Path]
) -> None:
    """Each attempt is refused with one event that names it as it was written and as it was judged; nothing is sent."""
    path = policy(policy_text(SOCKETS, GRANTED, "{deadline: 5s}"))
    commands = [WAYS[way].command_for(destination) for destination in DESTINATIONS]
    made = [(tried(machine.run(path, *c.split(" ")), c), machine.packets(), watch.arrived()) for c in commands]
    assert made == [(WAYS[way].expected(destination), [], []) for destination in DESTINATIONS]


def test_what_is_watched_is_seen(machine: Machine, watch: Watch) -> None:
    """A program without a sandbox does reach the destinations: were one of them let through, the tests would see it."""
    unseen = []
    for destination in DESTINATIONS:
        if destination.address.startswith("words") or "#" in destination.address or not 0 < destination.port < 65536:
            continue
        for protocol in ("tcp", "udp"):
            machine.send(protocol, destination.address, destination.port)
            if not machine.packets():
                unseen.append(f"{protocol} {destination.address}")
    assert watch.arrived() == sorted(
        f"{protocol} {address}:{port}"
        for protocol in ("tcp", "udp")
        for address in ("0.0.0.0", "::")
        for port in (80, 4000, 4001)
        if (address, port) != ("::", 4001)
    )
    nowhere = ["fe80::1", "fe80::1%4294967295"]  # no interface is named, or none that there is
    several = ["224.0.0.1", "239.255.255.250", "::ffff:224.0.0.1", "ff02::1", "ff0e::1", "255.255.255.255"]
    assert sorted(unseen) == sorted(
        [*(f"{protocol} {address}" for address in nowhere for protocol in ("tcp", "udp"))]
        + [f"tcp {address}" for address in several]
        + ["udp ff02::1", "udp ff0e::1"]  # Linux sends no IPv6 multicast to itself over loopback
    )


@pytest.mark.parametrize("command", ["connect", "udp-ask", "udp-sendto"])
def test_what_is_granted_is_reached(command: str, machine: Machine, policy: Callable[..., Path]) -> None:
    """The same policy does let through what it names, and its peer is the only one that anything is sent to."""
    path = policy(policy_text(SOCKETS, GRANTED))
    machine.packets()
    with (
        serving(machine.bound("tcp", "127.0.0.1", 4000), echo),
        answering(machine.bound("udp", "127.0.0.1", 4000)) as datagrams,
    ):
        ran = tried(machine.run(path, command, "127.0.0.1", "4000", "hello"), command)
        sent = machine.packets()
    assert (ran.printed[-1], ran.told) == (
        {"connect": "read error=closed"}.get(command, 'receive ok bytes=5 data="hello" remote=127.0.0.1:4000'),
        (),
    )
    assert [packet for packet in sent if int(packet.to.rpartition(":")[2]) < 32768] == (
        [Packet("tcp", "127.0.0.1:4000", b""), Packet("tcp", "127.0.0.1:4000", b"hello")]
        if command == "connect"
        else [Packet("udp", "127.0.0.1:4000", b"hello")]
    )
    assert datagrams == ([] if command == "connect" else [b"hello"])


# Names that are spelled in some way


REFUSED, INVALID = "resolve-addresses error=access-denied", "resolve-addresses error=invalid-argument"
TWO = "127.0.0.2"
LONG = "a" * 64


def wide(text: str) -> str:
    """``text`` in full-width characters, which IDNA takes for the usual ones."""
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


def name_of(name: str) -> str:
    """The grant of looking up ``name``."""
    return f"sockets:\n  dns: [{name}]"


NAMES: list[tuple[str, str, str | None, str | None]] = [
    # Name, what it is judged as, the grant; where both are None it is no name at all, and no event tells of it.
    *((spelling, REFUSED, TWO, None) for spelling in ("127.2", "0x7f.2", "0177.0.0.2", "2130706434", "017700000002")),
    *((spelling, REFUSED, TWO, None) for spelling in ("0x7f000002", "0X7F.2", "127.0.2", "127.0.0.2.", "127.000.0.02")),
    *((spelling, REFUSED, TWO, None) for spelling in (wide("127.0.0.2"), "127。0。0。2", "①②⑦.2", "::ffff:127.0.0.2")),
    *((spelling, REFUSED, TWO, None) for spelling in ("[::ffff:7f00:2]", "0:0:0:0:0:FFFF:7F00:0002")),
    ("127.0.0.2", REFUSED, None, ""),
    ("::127.0.0.2", REFUSED, "::7f00:2", None),
    ("64:ff9b::7f00:1", REFUSED, None, ""),
    ("::1", REFUSED, None, ""),
    ("fe80::1%1", REFUSED, None, ""),
    ("localhost", REFUSED, None, name_of("localhost")),
    ("LOCALHOST.", REFUSED, "localhost", name_of("localhost")),
    (wide("localhost"), REFUSED, "localhost", name_of("localhost")),
    ("localhost.localdomain", REFUSED, None, name_of("localhost.localdomain")),
    ("ip6-localhost", REFUSED, None, name_of("ip6-localhost")),
    ("secret.test", REFUSED, None, name_of("secret.test")),
    ("a.known.test", REFUSED, None, name_of("a.known.test")),
    ("unknown.test", REFUSED, None, name_of("unknown.test")),
    ("known.test.secret.test", REFUSED, None, name_of("known.test.secret.test")),
    ("test", REFUSED, None, name_of("test")),
    ("known-test", REFUSED, None, name_of("known-test")),
    ("known。test。secret.test", REFUSED, "known.test.secret.test", name_of("known.test.secret.test")),
    ("☃.test", REFUSED, "xn--n3h.test", name_of("xn--n3h.test")),
    ("xn--n3h.test", REFUSED, None, name_of("xn--n3h.test")),
    ("кnown.test", REFUSED, "xn--nown-k5d.test", name_of("xn--nown-k5d.test")),
    ("127.0.0.256", INVALID, None, None),
    ("1.2.3.4.5", INVALID, None, None),
    ("0x", INVALID, None, None),
    ("known.test:80", INVALID, None, None),
    ("http://known.test", INVALID, None, None),
    ("known.test..", INVALID, None, None),
    (".known.test", INVALID, None, None),
    ("known..test", INVALID, None, None),
    ("known test", INVALID, None, None),
    ("known.test\n", INVALID, None, None),
    ("*.test", INVALID, None, None),
    ("-known.test", INVALID, None, None),
    (f"{LONG}.test", INVALID, None, None),
    (".".join(["a" * 63] * 4), INVALID, None, None),
    ("a" * 10_000, INVALID, None, None),
    ("1" * 10_000, INVALID, None, None),
    ("", INVALID, None, None),
    (".", INVALID, None, None),
]


def test_no_spelling_of_a_name_is_looked_up_that_is_not_granted(
    machine: Machine, watch: Watch, policy: Callable[..., Path]
) -> None:
    """Names, and addresses as resolvers spell them: refused with one event, or no names at all; nobody is asked."""
    path = policy(policy_text(SOCKETS, GRANTED))
    made = [(tried(machine.run(path, "lookup", name), name), machine.packets(), watch.arrived()) for name, *_ in NAMES]
    expected: list[tuple[Tried, list[Packet], list[str]]] = []
    for name, printed, judged, grant in NAMES:
        said = Told(
            "denied",
            "dns.resolve",
            name,
            judged,
            SOCKETS_LINE,
            "no grant covers this name" if grant else (ZONED if "%" in name else "no grant covers this address"),
            grant or None,
        )
        expected.append((Tried(name, (printed,), (said,) if printed == REFUSED else ()), [], []))
    assert made == expected


@pytest.mark.parametrize("name", ["known.test", "known.test.", "KNOWN.Test", wide("known") + ".test", "known。test"])
def test_every_spelling_of_a_granted_name_is_that_name(
    name: str, machine: Machine, policy: Callable[..., Path]
) -> None:
    """What is asked for is the name that was judged, whatever it was written as."""
    path = policy(policy_text(SOCKETS, GRANTED))
    machine.packets()
    ran = tried(machine.run(path, "lookup", name), name)
    asked = {packet.data[12:-4] for packet in machine.packets() if packet.to == "127.0.0.53:53"}
    assert (ran, asked) == (Tried(name, ("lookup ok count=1 addresses=20.1.1.1",)), {b"\5known\4test\0"})


@pytest.mark.parametrize(
    "name", ["127.1", "0x7f.1", "017700000001", "2130706433", "::ffff:127.0.0.1", wide("127") + ".1"]
)
def test_an_address_that_is_granted_is_no_name(name: str, machine: Machine, policy: Callable[..., Path]) -> None:
    """A spelling of an address that may be connected to is answered with that address; no resolver is asked."""
    path = policy(policy_text(SOCKETS, GRANTED))
    machine.packets()
    ran = tried(machine.run(path, "lookup", name), name)
    assert (ran, machine.packets()) == (Tried(name, ("lookup ok count=1 addresses=127.0.0.1",)), [])


# Being reached


SERVING: list[tuple[str, str, str, str | None, tuple[str, ...]]] = [
    # Command, capability, resource, what a grant would name, what is printed
    *(
        (f"listen {a} {p} 1", "sockets.tcp.bind", r, r, ("start-bind error=access-denied",))
        for a, p, r in (
            ("127.0.0.1", 4101, "127.0.0.1:4101"),
            ("127.0.0.1", 0, "127.0.0.1:0"),
            ("127.0.0.2", 4100, "127.0.0.2:4100"),
            ("0.0.0.0", 4100, "0.0.0.0:4100"),
            ("20.0.0.1", 4100, "20.0.0.1:4100"),
            ("::1", 4100, "[::1]:4100"),
            ("::", 4100, "[::]:4100"),
        )
    ),
    ("listen 0.0.0.0 0 1", "sockets.tcp.listen", "0.0.0.0:0", "0.0.0.0:0", ("start-listen error=access-denied",)),
    ("listen :: 0 1", "sockets.tcp.listen", "[::]:0", "[::]:0", ("start-listen error=access-denied",)),
    *(
        (f"udp-bind {a} {p} 1", "sockets.udp.bind", r, r, ("start-bind error=access-denied",))
        for a, p, r in (
            ("127.0.0.1", 4101, "127.0.0.1:4101"),
            ("127.0.0.1", 0, "127.0.0.1:0"),
            ("127.0.0.2", 4100, "127.0.0.2:4100"),
            ("0.0.0.0", 4100, "0.0.0.0:4100"),
            ("::1", 4100, "[::1]:4100"),
        )
    ),
]


def test_nobody_serves_where_it_is_not_granted(machine: Machine, policy: Callable[..., Path]) -> None:
    """Other ports, other addresses, all addresses, and listening where a port of the system's choice was bound."""
    path = policy(policy_text(SOCKETS, GRANTED, "{deadline: 5s}"))
    commands = [command for command, *_ in SERVING]
    made = [tried(machine.run(path, *command.split(" ")), command) for command in commands]
    assert made == [
        Tried(
            command,
            printed,
            (
                Told(
                    "denied",
                    capability,
                    resource,
                    None,
                    SOCKETS_LINE,
                    UNCOVERED,
                    f"sockets:\n  {'tcp' if 'tcp' in capability else 'udp'}: "
                    f'{{{"listen" if "tcp" in capability else "bind"}: ["{to}"]}}',
                ),
            ),
        )
        for command, capability, resource, to, printed in SERVING
    ]


# Orders of calls


ADDRESS = "i32 " * 12
TCP, UDP = "sockets/tcp", "sockets/udp"
CALLS: list[Call | Drop] = [
    Call("network", "sockets/instance-network", "instance-network", "", "i32"),
    Call("tcp", "sockets/tcp-create-socket", "create-tcp-socket", "i32 i32"),
    Call("udp", "sockets/udp-create-socket", "create-udp-socket", "i32 i32"),
    Call("connect", TCP, "[method]tcp-socket.start-connect", f"i32 i32 {ADDRESS} i32"),
    Call("connected", TCP, "[method]tcp-socket.finish-connect", "i32 i32"),
    Call("bind", TCP, "[method]tcp-socket.start-bind", f"i32 i32 {ADDRESS} i32"),
    Call("bound", TCP, "[method]tcp-socket.finish-bind", "i32 i32"),
    Call("listen", TCP, "[method]tcp-socket.start-listen", "i32 i32"),
    Call("listening", TCP, "[method]tcp-socket.finish-listen", "i32 i32"),
    Call("waiting", TCP, "[method]tcp-socket.subscribe", "i32", "i32"),
    Call("bind-udp", UDP, "[method]udp-socket.start-bind", f"i32 i32 {ADDRESS} i32"),
    Call("bound-udp", UDP, "[method]udp-socket.finish-bind", "i32 i32"),
    Call("stream", UDP, "[method]udp-socket.stream", f"i32 i32 {ADDRESS} i32"),
    Call("permit", UDP, "[method]outgoing-datagram-stream.check-send", "i32 i32"),
    Call("send", UDP, "[method]outgoing-datagram-stream.send", "i32 i32 i32 i32"),
    Call("block", "io/poll", "[method]pollable.block", "i32"),
    Call("resolve", "sockets/ip-name-lookup", "resolve-addresses", "i32 i32 i32 i32"),
    Drop("drop-tcp", TCP, "tcp-socket"),
    Drop("drop-incoming", UDP, "incoming-datagram-stream"),
    Drop("drop-outgoing", UDP, "outgoing-datagram-stream"),
]
OK, DENIED, INVALID_ARGUMENT, INVALID_STATE, REFUSED_BY_PEER = 0, 1 + 1, 1 + 3, 1 + 9, 1 + 14
"""What ``$said`` makes of a result: 0, or 1 and the place of its error-code."""

DATA = """
(global $net (mut i32) (i32.const 0))
(func $said (param $at i32) (result i32)
  (if (result i32) (i32.load8_u (i32.const 0))
    (then (i32.add (i32.const 1) (i32.load8_u (local.get $at)))) (else (i32.const 0))))
(func $new (result i32) (call $tcp (i32.const 0) (i32.const 0)) (i32.load (i32.const 4)))
(func $new-udp (result i32)
  (call $udp (i32.const 0) (i32.const 0)) (i32.load (i32.const 4)))
(func $to (param $socket i32) (param $last i32) (param $port i32) (param $expected i32)
  (call $connect (local.get $socket) (global.get $net) ADDRESS (i32.const 0))
  (call $same (call $said (i32.const 1)) (local.get $expected)))
(func $end (param $socket i32) (param $expected i32)
  (call $block (call $waiting (local.get $socket)))
  (call $connected (local.get $socket) (i32.const 0))
  (call $same (call $said (i32.const 4)) (local.get $expected)))
(func $at (param $socket i32) (param $last i32) (param $port i32) (param $expected i32)
  (call $bind (local.get $socket) (global.get $net) ADDRESS (i32.const 0))
  (call $same (call $said (i32.const 1)) (local.get $expected)))
(func $at-end (param $socket i32) (param $expected i32)
  (call $bound (local.get $socket) (i32.const 0))
  (call $same (call $said (i32.const 1)) (local.get $expected)))
(func $serve (param $socket i32) (param $expected i32)
  (call $listen (local.get $socket) (i32.const 0))
  (call $same (call $said (i32.const 1)) (local.get $expected)))
(func $serve-end (param $socket i32) (param $expected i32)
  (call $listening (local.get $socket) (i32.const 0))
  (call $same (call $said (i32.const 1)) (local.get $expected)))
(func $anywhere (param $socket i32)
  (call $bind-udp (local.get $socket) (global.get $net) (i32.const 0) (i32.const 0) ZEROES (i32.const 0))
  (call $same (call $said (i32.const 1)) (i32.const 0))
  (call $bound-udp (local.get $socket) (i32.const 0))
  (call $same (call $said (i32.const 1)) (i32.const 0)))
(func $open (param $socket i32) (param $last i32) (param $port i32) (param $expected i32)
  (call $stream (local.get $socket) (i32.const 1) ADDRESS (i32.const 0))
  (call $same (call $said (i32.const 4)) (local.get $expected)))
(func $open-any (param $socket i32)
  (call $stream (local.get $socket) (i32.const 0) (i32.const 0) (i32.const 0) ZEROES (i32.const 0))
  (call $same (call $said (i32.const 4)) (i32.const 0)))
(func $drop-streams (param $in i32) (param $out i32)
  (call $drop-incoming (local.get $in)) (call $drop-outgoing (local.get $out)))
;; The nth of a list of datagrams at 1024, 44 bytes each: one byte, to 127.0.0.LAST:PORT.
(func $datagram (param $n i32) (param $last i32) (param $port i32) (local $p i32)
  (local.set $p (i32.add (i32.const 1024) (i32.mul (local.get $n) (i32.const 44))))
  (i32.store (local.get $p) (i32.const 512)) (i32.store offset=4 (local.get $p) (i32.const 1))
  (i32.store8 offset=8 (local.get $p) (i32.const 1))
  (i32.store8 offset=12 (local.get $p) (i32.const 0))
  (i32.store16 offset=16 (local.get $p) (local.get $port))
  (i32.store8 offset=18 (local.get $p) (i32.const 127))
  (i32.store8 offset=19 (local.get $p) (i32.const 0)) (i32.store8 offset=20 (local.get $p) (i32.const 0))
  (i32.store8 offset=21 (local.get $p) (local.get $last)))
(func $send-all (param $out i32) (param $count i32) (param $expected i32) (param $sent i32)
  (call $permit (local.get $out) (i32.const 0))
  (call $send (local.get $out) (i32.const 1024) (local.get $count) (i32.const 0))
  (call $same (call $said (i32.const 8)) (local.get $expected))
  (if (i32.eqz (local.get $expected)) (then (call $same (i32.load (i32.const 8)) (local.get $sent)))))
(data (i32.const 512) "!")
""".replace(
    "ADDRESS",
    "(i32.const 0) (local.get $port) (i32.const 127) (i32.const 0) (i32.const 0) (local.get $last)"
    + " (i32.const 0)" * 6,
).replace("ZEROES", "(i32.const 0) " * 10)
"""Steps that trap where they answer anything else than expected; addresses are 127.0.0.LAST."""


def uncovered(capability: str, resource: str) -> Told:
    """The event of something that a policy could grant."""
    protocol, verb = {
        "sockets.tcp.connect": ("tcp", "connect"),
        "sockets.tcp.bind": ("tcp", "listen"),
        "sockets.tcp.listen": ("tcp", "listen"),
        "sockets.udp.send": ("udp", "send"),
    }[capability]
    grant = f'sockets:\n  {protocol}: {{{verb}: ["{resource}"]}}'
    return Told("denied", capability, resource, None, SOCKETS_LINE, UNCOVERED, grant)


class Order(NamedTuple):
    """Calls one after the other, on sockets in the locals ``$a`` and ``$b``."""

    calls: str
    told: tuple[Told, ...]
    sent: tuple[str, ...] = ()
    """What is sent: protocol and destination, each once."""
    sockets: str = GRANTED


C, L, S = "sockets.tcp.connect", "sockets.tcp.listen", "sockets.udp.send"
CONNECTED = ("tcp 127.0.0.1:4000",)
ORDERS = {
    "a refused socket reaches what is granted, and nothing else": Order(
        """
        (local.set $a (call $new))
        (call $to (local.get $a) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        (call $to (local.get $a) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        (call $to (local.get $a) (i32.const 1) (i32.const 4001) (i32.const DENIED))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $end (local.get $a) (i32.const OK))
        """,
        (
            uncovered(C, "127.0.0.2:4000"),
            uncovered(C, "127.0.0.2:4000"),
            uncovered(C, "127.0.0.1:4001"),
        ),
        CONNECTED,
    ),
    "a connected socket is not connected again": Order(
        """
        (local.set $a (call $new))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $end (local.get $a) (i32.const OK))
        (call $to (local.get $a) (i32.const 2) (i32.const 4000) (i32.const INVALID_STATE))
        """,
        (),
        CONNECTED,
    ),
    "a second socket has no part in the first one's leave": Order(
        """
        (local.set $a (call $new)) (local.set $b (call $new))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $to (local.get $b) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        (call $end (local.get $a) (i32.const OK))
        (call $to (local.get $b) (i32.const 1) (i32.const 4001) (i32.const DENIED))
        """,
        (uncovered(C, "127.0.0.2:4000"), uncovered(C, "127.0.0.1:4001")),
        CONNECTED,
    ),
    "a number that is used again carries nothing over": Order(
        """
        (local.set $a (call $new))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $end (local.get $a) (i32.const OK))
        (local.set $b (call $new))
        (call $drop-tcp (local.get $b))
        (local.set $b (call $new))
        (call $to (local.get $b) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        """,
        (uncovered(C, "127.0.0.2:4000"),),
        CONNECTED,
    ),
    "a socket bound by leave to connect does not listen": Order(
        """
        (local.set $a (call $new))
        (call $bind (local.get $a) (global.get $net) (i32.const 0) (i32.const 0) ZEROES (i32.const 0))
        (call $same (call $said (i32.const 1)) (i32.const OK))
        (call $at-end (local.get $a) (i32.const OK))
        (call $serve (local.get $a) (i32.const DENIED))
        (call $serve (local.get $a) (i32.const DENIED))
        (call $to (local.get $a) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $end (local.get $a) (i32.const OK))
        """,
        (
            uncovered(L, "0.0.0.0:0"),
            uncovered(L, "0.0.0.0:0"),
            uncovered(C, "127.0.0.2:4000"),
        ),
        CONNECTED,
    ),
    "a socket refused one address is bound at a granted one": Order(
        """
        (local.set $a (call $new))
        (call $at (local.get $a) (i32.const 2) (i32.const 4100) (i32.const DENIED))
        (call $at (local.get $a) (i32.const 1) (i32.const 4101) (i32.const DENIED))
        (call $at (local.get $a) (i32.const 1) (i32.const 4100) (i32.const OK))
        (call $at-end (local.get $a) (i32.const OK))
        (call $at (local.get $a) (i32.const 2) (i32.const 4100) (i32.const INVALID_STATE))
        (call $serve (local.get $a) (i32.const OK))
        """,
        (
            uncovered("sockets.tcp.bind", "127.0.0.2:4100"),
            uncovered("sockets.tcp.bind", "127.0.0.1:4101"),
        ),
    ),
    "where a component listens it connects to, as long as it does": Order(
        """
        (local.set $a (call $new)) (local.set $b (call $new))
        (call $at (local.get $a) (i32.const 1) (i32.const 4100) (i32.const OK))
        (call $at-end (local.get $a) (i32.const OK))
        (call $to (local.get $b) (i32.const 1) (i32.const 4100) (i32.const DENIED))
        (call $serve (local.get $a) (i32.const OK))
        (call $serve-end (local.get $a) (i32.const OK))
        (call $to (local.get $b) (i32.const 2) (i32.const 4100) (i32.const DENIED))
        (call $to (local.get $b) (i32.const 1) (i32.const 4101) (i32.const DENIED))
        (call $to (local.get $b) (i32.const 1) (i32.const 4100) (i32.const OK))
        (call $end (local.get $b) (i32.const OK))
        (call $drop-tcp (local.get $a))
        (local.set $b (call $new))
        (call $to (local.get $b) (i32.const 1) (i32.const 4100) (i32.const DENIED))
        """,
        (
            uncovered(C, "127.0.0.1:4100"),
            uncovered(C, "127.0.0.2:4100"),
            uncovered(C, "127.0.0.1:4101"),
            uncovered(C, "127.0.0.1:4100"),
        ),
        ("tcp 127.0.0.1:4100",),
    ),
    "where a component listens on all addresses it connects to none of them": Order(
        """
        (local.set $a (call $new)) (local.set $b (call $new))
        (call $bind (local.get $a) (global.get $net) (i32.const 0) (i32.const 4100) ZEROES (i32.const 0))
        (call $same (call $said (i32.const 1)) (i32.const OK))
        (call $at-end (local.get $a) (i32.const OK))
        (call $serve (local.get $a) (i32.const OK))
        (call $serve-end (local.get $a) (i32.const OK))
        (call $connect (local.get $b) (global.get $net) (i32.const 0) (i32.const 4100) ZEROES (i32.const 0))
        (call $same (call $said (i32.const 1)) (i32.const DENIED))
        (call $to (local.get $b) (i32.const 2) (i32.const 4100) (i32.const DENIED))
        """,
        (
            Told("denied", C, "0.0.0.0:4100", None, SOCKETS_LINE, UNSPECIFIED),
            uncovered(C, "127.0.0.2:4100"),
        ),
        sockets='tcp: {listen: ["0.0.0.0:4100"]}',
    ),
    "where a component listens is denied to it where the policy says so": Order(
        """
        (local.set $a (call $new)) (local.set $b (call $new))
        (call $bind (local.get $a) (global.get $net) (i32.const 0) (i32.const 4100) ZEROES (i32.const 0))
        (call $same (call $said (i32.const 1)) (i32.const OK))
        (call $at-end (local.get $a) (i32.const OK))
        (call $serve (local.get $a) (i32.const OK))
        (call $serve-end (local.get $a) (i32.const OK))
        (call $to (local.get $b) (i32.const 1) (i32.const 4100) (i32.const DENIED))
        """,
        (Told("denied", C, "127.0.0.1:4100", None, SOCKETS_LINE + 2, "denied by the policy: 127.0.0.0/8:4000-5000"),),
        sockets='tcp: {listen: ["0.0.0.0:4100"]}\ndeny: ["127.0.0.0/8:4000-5000"]',
    ),
    "a stream to another is refused after one to a granted peer": Order(
        """
        (local.set $a (call $new-udp))
        (call $anywhere (local.get $a))
        (call $open (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $drop-streams (i32.load (i32.const 4)) (i32.load (i32.const 8)))
        (call $open (local.get $a) (i32.const 2) (i32.const 4000) (i32.const DENIED))
        (call $open-any (local.get $a))
        (local.set $b (i32.load (i32.const 8)))
        (call $datagram (i32.const 0) (i32.const 2) (i32.const 4000))
        (call $send-all (local.get $b) (i32.const 1) (i32.const DENIED) (i32.const 0))
        """,
        (uncovered(S, "127.0.0.2:4000"), uncovered(S, "127.0.0.2:4000")),
    ),
    "of a list of datagrams, those before a refused one are sent": Order(
        """
        (local.set $a (call $new-udp))
        (call $anywhere (local.get $a))
        (call $open-any (local.get $a))
        (local.set $b (i32.load (i32.const 8)))
        (call $datagram (i32.const 0) (i32.const 1) (i32.const 4000))
        (call $datagram (i32.const 1) (i32.const 2) (i32.const 4000))
        (call $datagram (i32.const 2) (i32.const 1) (i32.const 4001))
        (call $send-all (local.get $b) (i32.const 3) (i32.const OK) (i32.const 1))
        """,
        (uncovered(S, "127.0.0.2:4000"),),
        ("udp 127.0.0.1:4000",),
    ),
    "of a list of datagrams, none behind a refused one is sent": Order(
        """
        (local.set $a (call $new-udp))
        (call $anywhere (local.get $a))
        (call $open-any (local.get $a))
        (local.set $b (i32.load (i32.const 8)))
        (call $datagram (i32.const 0) (i32.const 2) (i32.const 4000))
        (call $datagram (i32.const 1) (i32.const 1) (i32.const 4000))
        (call $send-all (local.get $b) (i32.const 2) (i32.const DENIED) (i32.const 0))
        (call $send-all (local.get $b) (i32.const 2) (i32.const DENIED) (i32.const 0))
        """,
        (uncovered(S, "127.0.0.2:4000"), uncovered(S, "127.0.0.2:4000")),
    ),
}


def program(calls: str) -> bytes:
    """A component that makes ``calls``."""
    body = f"(global.set $net (call $network)) {calls} (i32.const 0)"
    for name, value in (
        ("OK", OK),
        ("DENIED", DENIED),
        ("INVALID_STATE", INVALID_STATE),
        ("REFUSED", REFUSED_BY_PEER),
        ("ZEROES", "(i32.const 0) " * 10),
    ):
        body = body.replace(f"(i32.const {name})", f"(i32.const {value})") if isinstance(value, int) else body
        body = body.replace(name, value) if isinstance(value, str) else body
    return component(body, CALLS, data=DATA)


@pytest.mark.parametrize("order", ORDERS)
def test_no_order_of_calls_reaches_what_is_not_granted(
    order: str, machine: Machine, tmp_path: Path, policy: Callable[..., Path]
) -> None:
    """Handles that are used again, after a refusal or a success; each refusal is one event; nothing else is sent."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(program(ORDERS[order].calls))
    path = policy(policy_text(guest, ORDERS[order].sockets, "{deadline: 20s}"))
    with (
        serving(machine.bound("tcp", "127.0.0.1", 4000), echo),
        machine.bound("udp", "127.0.0.1", 4000),
        Watch(machine, (4001,)) as watch,
    ):
        machine.packets()
        outcome = machine.run(path).outcome
        sent = {f"{p.protocol} {p.to}" for p in machine.packets()}
        arrived = watch.arrived()
    assert (outcome.how, outcome.exit_status) == ("exited", 0), outcome
    *events, _ended = outcome.events
    assert (tuple(map(told, events)), sent, arrived) == (ORDERS[order].told, set(ORDERS[order].sent), [])


def test_a_socket_whose_connecting_failed_reaches_nothing(
    machine: Machine, tmp_path: Path, policy: Callable[..., Path]
) -> None:
    """The granted peer refused it; then it is of no use, and nothing is judged or sent any more."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(
        program("""
        (local.set $a (call $new))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const OK))
        (call $end (local.get $a) (i32.const REFUSED))
        (call $to (local.get $a) (i32.const 2) (i32.const 4001) (i32.const INVALID_STATE))
        (call $to (local.get $a) (i32.const 1) (i32.const 4000) (i32.const INVALID_STATE))
        """)
    )
    with Watch(machine, (4001,)) as watch:
        machine.packets()
        outcome = machine.run(policy(policy_text(guest, GRANTED, "{deadline: 20s}"))).outcome
        sent = machine.packets()
        arrived = watch.arrived()
    assert (outcome.how, outcome.exit_status, len(outcome.events), arrived) == ("exited", 0, 1, []), outcome
    assert sent == [Packet("tcp", "127.0.0.1:4000", b"")]


@pytest.mark.parametrize(("name", "length"), [("known.test\\00.secret.test", 23), ("\\00", 1), ("known.test\\00", 11)])
def test_no_name_is_cut_at_a_zero(
    name: str, length: int, machine: Machine, watch: Watch, tmp_path: Path, policy: Callable[..., Path]
) -> None:
    """What C would read as ``known.test`` is no name."""
    guest = tmp_path / "guest.wasm"
    body = f"""
        (global.set $net (call $network))
        (call $resolve (global.get $net) (i32.const 600) (i32.const {length}) (i32.const 0))
        (call $same (call $said (i32.const 4)) (i32.const {INVALID_ARGUMENT}))
        (i32.const 0)"""
    guest.write_bytes(component(body, CALLS, data=f'{DATA} (data (i32.const 600) "{name}")'))
    ran = tried(machine.run(policy(policy_text(guest, GRANTED))), name)
    assert (ran, machine.packets(), watch.arrived()) == (Tried(name, ()), [], [])


# What is granted widely, and denied


WIDE = """
tcp:
  connect: ["0.0.0.0/0:1-65535", "[::/0]:1-65535", {to: "**.test.example:1-65535", private: true}]
  listen: ["0.0.0.0:4100"]
udp:
  send: ["0.0.0.0/0:1-65535", "[::/0]:1-65535"]
  bind: ["0.0.0.0:4100"]
dns: ["**.test.example"]
deny:
  - 127.0.0.0/8
  - 10.0.0.0/8
  - 169.254.0.0/16
  - "[::1]"
  - "[fd00::/8]"
  - "[2001:db8::/32]:4000"
  - "20.1.0.0/16:4000-4010"
"""
"""Everything but some."""
DENY_LINE = SOCKETS_LINE + 9
"""The line of the first denial."""


def denied(
    address: str, resource: str, rule: int, text: str, more: str = "", resolved: str | None = None
) -> tuple[Destination, int]:
    """A destination that a denial refuses, and that denial's place."""
    port = int(resource.rpartition(":")[2])
    return Destination(address, port, resource, f"denied by the policy: {text}{more}", resolved), rule


def embeds(address: str) -> str:
    """Why a denial of another address counts."""
    return f" (the address embeds {address})"


DENIED_WIDELY = [
    denied("127.0.0.1", "127.0.0.1:4000", 0, "127.0.0.0/8"),
    denied("127.8.9.10", "127.8.9.10:80", 0, "127.0.0.0/8"),
    denied("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:4000", 0, "127.0.0.0/8", resolved="127.0.0.1:4000"),
    denied("::127.0.0.1", "[::7f00:1]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("64:ff9b::127.0.0.1", "[64:ff9b::7f00:1]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("64:ff9b:1::7f00:1", "[64:ff9b:1::7f00:1]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("2002:7f00:1::", "[2002:7f00:1::]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("2001:0:808:808::80ff:fffe", "[2001:0:808:808::80ff:fffe]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("2600::5efe:7f00:1", "[2600::5efe:7f00:1]:4000", 0, "127.0.0.0/8", embeds("127.0.0.1")),
    denied("10.0.0.1", "10.0.0.1:4000", 1, "10.0.0.0/8"),
    denied("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:4000", 1, "10.0.0.0/8", resolved="10.0.0.1:4000"),
    denied("64:ff9b::10.255.255.255", "[64:ff9b::aff:ffff]:4000", 1, "10.0.0.0/8", embeds("10.255.255.255")),
    denied("2002:a01:203::1", "[2002:a01:203::1]:4000", 1, "10.0.0.0/8", embeds("10.1.2.3")),
    denied("169.254.169.254", "169.254.169.254:80", 2, "169.254.0.0/16"),
    denied("64:ff9b::169.254.169.254", "[64:ff9b::a9fe:a9fe]:80", 2, "169.254.0.0/16", embeds("169.254.169.254")),
    denied("::1", "[::1]:4000", 3, "[::1]"),
    denied("fd00:ec2::254", "[fd00:ec2::254]:80", 4, "[fd00::/8]"),
    denied("2001:db8:1:2::3", "[2001:db8:1:2::3]:4000", 5, "[2001:db8::/32]:4000"),
    denied("20.1.2.3", "20.1.2.3:4000", 6, "20.1.0.0/16:4000-4010"),
    denied("20.1.2.3", "20.1.2.3:4001", 6, "20.1.0.0/16:4000-4010"),
    denied("20.1.255.255", "20.1.255.255:4010", 6, "20.1.0.0/16:4000-4010"),
    denied("2002:1401:203::", "[2002:1401:203::]:4000", 6, "20.1.0.0/16:4000-4010", embeds("20.1.2.3")),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_denial_wins_over_any_grant(way: str, machine: Machine, watch: Watch, policy: Callable[..., Path]) -> None:
    """Of all addresses at all ports, those that are denied are refused by any spelling; the event names the denial."""
    path = policy(policy_text(SOCKETS, WIDE))
    made: list[tuple[Tried, list[Packet], list[str]]] = []
    expected: list[tuple[Tried, list[Packet], list[str]]] = []
    for destination, rule in DENIED_WIDELY:
        command = WAYS[way].command_for(destination)
        made.append((tried(machine.run(path, *command.split(" ")), command), machine.packets(), watch.arrived()))
        refusal = WAYS[way].expected(destination)
        expected.append((refusal._replace(told=(refusal.told[0]._replace(line=DENY_LINE + rule),)), [], []))
    assert made == expected


REACHED_WIDELY = [
    ("20.1.2.3", 3999),
    ("20.1.2.3", 4011),
    ("20.0.255.255", 4000),
    ("20.2.0.0", 4000),
    ("11.0.0.0", 4000),
    ("9.255.255.255", 4000),
    ("2001:db8::1", 4001),
    ("2001:db9::1", 4000),
    ("2600::1", 4000),
]


def test_what_is_beside_a_denial_is_reached(machine: Machine, policy: Callable[..., Path]) -> None:
    """Denials end where they say: at the next address, the next port."""
    path = policy(policy_text(SOCKETS, WIDE))
    made = []
    for address, port in REACHED_WIDELY:
        with serving(machine.bound("tcp", "::" if ":" in address else "0.0.0.0", port), echo):
            command = f"connect {address} {port} hello"
            made.append(tried(machine.run(path, *command.split(" ")), command).printed[3:])
    assert made == [("shutdown ok", 'read ok bytes=5 data="hello"', "read error=closed")] * len(REACHED_WIDELY)


NARROW = """
tcp:
  connect: ["20.1.0.0/16:4000-4010", "[2600:1::/32]:4000", "10.0.0.0/31:4000"]
"""
NARROWLY = {
    "20.1.0.0 4000": True,
    "20.1.255.255 4010": True,
    "20.0.255.255 4000": False,
    "20.2.0.0 4000": False,
    "20.1.0.0 3999": False,
    "20.1.0.0 4011": False,
    "2600:1:: 4000": True,
    "2600:1:ffff:ffff:ffff:ffff:ffff:ffff 4000": True,
    "2600:0:ffff:ffff:ffff:ffff:ffff:ffff 4000": False,
    "2600:2:: 4000": False,
    "2600:1:: 4001": False,
    "10.0.0.1 4000": True,
    "10.0.0.2 4000": False,
}
"""Whether an address and port is inside a granted network."""


def test_a_network_is_granted_to_its_ends(machine: Machine, policy: Callable[..., Path]) -> None:
    """Networks of either family and ranges of ports: the first and the last of them, and those just beside."""
    path = policy(policy_text(SOCKETS, NARROW))
    made, expected = {}, {}
    machine.packets()
    for to, inside in NARROWLY.items():
        ran = tried(machine.run(path, "connect", *to.split(" ")), to)
        made[to] = (ran.printed, ran.told, [packet.protocol for packet in machine.packets()])
        address, port = to.split(" ")
        destination = plain(address, int(port))
        # Nobody listens there: it is sent, and refused by the machine itself.
        expected[to] = (
            (("finish-connect error=connection-refused",), (), ["tcp"])
            if inside
            else (WAYS["connect"].printed, WAYS["connect"].expected(destination).told, [])
        )
    assert made == expected
