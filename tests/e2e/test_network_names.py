"""Names under a policy: looked up as the policy says, judged by what they resolve to, and pinned to that.

Everything happens on a machine of the test's own, whose resolvers answer as the test says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.components import Call, Drop, component
from tests.e2e.namespaces import (
    DNSMASQ,
    NAMESERVER,
    SOCKETS,
    Allowed,
    Machine,
    Nameserver,
    Query,
    Question,
    Record,
    Tried,
    answer,
    answering,
    asked,
    needs_namespaces,
    recorded,
    serving,
    tried,
)
from tests.e2e.network import SOCKETS_LINE, Told, policy_text

RECORDS = [
    "host-record=good.test,20.1.0.1",
    "host-record=twin.test,20.1.0.1",
    "host-record=one.wild.test,20.1.0.2",
    "host-record=two.one.wild.test,20.1.0.3",
    "host-record=wild.test,20.1.0.4",
    "host-record=gone.test.wild.test,20.1.0.5",
    "host-record=six.test,2600::6",
    "host-record=target.test,20.1.0.6",
    "cname=alias.test,target.test",
    "host-record=inner.test,10.0.0.7",
    "cname=outer.test,inner.test",
    "host-record=private.test,10.2.0.1",
    "host-record=shared.test,100.64.0.1",
    "host-record=loop.test,127.0.0.1",
    "host-record=loop6.test,::1",
    "host-record=link.test,169.254.1.1",
    "host-record=meta.test,169.254.169.254",
    "host-record=meta6.test,fd00:ec2::254",
    "host-record=mapped.test,::ffff:10.0.0.1",
    "host-record=nat64.test,64:ff9b::a00:1",
    "host-record=sixtofour.test,2002:a00:1::1",
    "host-record=teredo.test,2001:0:808:808::f5ff:fffe",
    "host-record=compatible.test,::a00:1",
    "host-record=isatap.test,2600::5efe:a00:1",
    "host-record=null.test,0.0.0.0",
    "host-record=null6.test,::",
    "host-record=group.test,224.0.0.1",
    "host-record=everyone.test,255.255.255.255",
    "host-record=slow.test,20.255.0.1",
    "host-record=nowhere.test,20.254.0.1",
    *(f"host-record=many.test,20.2.0.{n}" for n in range(100)),
]

PAGE = 'fetch ok status="HTTP/1.0 200 OK" bytes=6 data="hello\\x0a"'
REFUSED, UNFIT = "resolve-addresses error=access-denied", "resolve-next-address error=access-denied"
UNCONNECTED = "start-connect error=access-denied"
UNCOVERED = "no grant covers this address and port"


def page(connection: socket.socket) -> None:
    """Answers a request, whatever it asks for."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(65536)
        if not data:
            return
        request += data
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello\n")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine for the module, with dnsmasq; on each address, port 4000 serves a page and echoes datagrams."""
    needs_namespaces()
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.records(*RECORDS)
        with (
            serving(machine.bound("tcp", "0.0.0.0", 4000), page),
            serving(machine.bound("tcp", "::", 4000), page),
            answering(machine.bound("udp", "0.0.0.0", 4000)),
        ):
            yield machine


@pytest.fixture(autouse=True)
def ordinary_resolver(machine: Machine) -> None:
    """Each test begins with dnsmasq as the machine's resolver."""
    machine.use_nameservers(DNSMASQ)
    machine.packets()


class Case(NamedTuple):
    """A policy's ``sockets``, a command under it, and all that comes of it."""

    sockets: str
    command: str
    printed: tuple[str, ...]
    told: tuple[Told, ...] = ()
    asked: tuple[str, ...] = ()
    """Names that resolvers were asked for."""
    reached: tuple[str, ...] = ()
    """Where anything else was sent, apart from answers."""


def outcome(case: Case, machine: Machine, path: Path) -> Case:
    """What comes of a case."""
    machine.packets()
    ran = tried(machine.run(path, *case.command.split(" ")), case.command)
    packets = machine.packets()
    reached = {f"{p.protocol} {p.to}": None for p in packets if p.protocol in ("tcp", "udp")}
    others = [to for to in reached if not to.endswith(":53") and int(to.rpartition(":")[2]) < 32768]
    return Case(case.sockets, case.command, ran.printed, ran.told, tuple(asked(packets)), tuple(others))


def fetched(*addresses: str) -> tuple[str, ...]:
    """What ``fetch`` prints that got a page from the last of the addresses that it tried."""
    return (*(f"try address={address}:4000" for address in addresses), PAGE)


def not_tried(address: str) -> tuple[str, ...]:
    """What ``fetch`` prints that was refused the only address it found."""
    return f"try address={address}:4000", UNCONNECTED, "fetch error=no-address"


def no_name(name: str) -> Told:
    """The event of looking up what no grant covers."""
    return Told(
        "denied", "dns.resolve", name, None, SOCKETS_LINE, "no grant covers this name", f"sockets:\n  dns: [{name}]"
    )


def denied_name(name: str, by: str, line: int, *, more: str = "", resolved: str | None = None) -> Told:
    """The event of looking up what is denied."""
    return Told("denied", "dns.resolve", name, resolved, SOCKETS_LINE + line, f"denied by the policy: {by}{more}")


def uncovered(to: str, names: str | None, grant: str | None, protocol: str = "tcp") -> Told:
    """The event of connecting or sending to what no grant covers."""
    verb, capability = {"tcp": ("connect", "sockets.tcp.connect"), "udp": ("send", "sockets.udp.send")}[protocol]
    return Told(
        "denied",
        capability,
        to,
        f"{to} ({names})" if names else None,
        SOCKETS_LINE,
        UNCOVERED,
        grant and f"sockets:\n  {protocol}: {{{verb}: [{grant}]}}",
    )


def denied_peer(to: str, names: str, by: str, line: int) -> Told:
    """The event of connecting to what is denied."""
    return Told(
        "denied", "sockets.tcp.connect", to, f"{to} ({names})", SOCKETS_LINE + line, f"denied by the policy: {by}"
    )


def unfit(name: str, judged: str, kind: str, *, line: int = 2, listed: str | None = None, more: str = "") -> Told:
    """The event of an answer whose address is not public."""
    never = kind.startswith(("an unspecified", "a multicast", "a broadcast"))
    end = "is never reached" if never else "its grant does not allow (private: true would)"
    return Told(
        "denied",
        "dns.resolve",
        name,
        listed or judged,
        SOCKETS_LINE + line,
        f"the name resolves to {judged}, {kind} address, which {end}{more}",
        None if never else f'sockets:\n  tcp: {{connect: [{{to: "{name}:4000", private: true}}]}}',
    )


def unfit_peer(to: str, name: str, judged: str, kind: str, line: int = 2) -> Told:
    """The event of connecting to such an address."""
    told = unfit(name, judged, kind, line=line)
    return told._replace(capability="sockets.tcp.connect", resource=to, resolved=f"{to} ({name})")


GOOD = "tcp 20.1.0.1:4000"

CASES = {
    "a granted name": Case(
        'tcp: {connect: ["good.test:4000"]}',
        "fetch good.test 4000 /",
        fetched("20.1.0.1"),
        asked=("good.test",),
        reached=(GOOD,),
    ),
    "an IPv6 address": Case(
        'tcp: {connect: ["six.test:4000"]}',
        "fetch six.test 4000 /",
        fetched("[2600:0:0:0:0:0:0:6]"),
        asked=("six.test",),
        reached=("tcp [2600::6]:4000",),
    ),
    "its address, which was not looked up in this run": Case(
        'tcp: {connect: ["good.test:4000"]}',
        "connect 20.1.0.1 4000 -- fetch good.test 4000 / -- connect 20.1.0.1 4000",
        (
            UNCONNECTED,
            *fetched("20.1.0.1"),
            "connect ok",
            "local-address ok address=20.1.0.1:*",
            "remote-address ok address=20.1.0.1:4000",
        ),
        (uncovered("20.1.0.1:4000", None, '"20.1.0.1:4000"'),),
        ("good.test",),
        (GOOD,),
    ),
    "another port": Case(
        'tcp: {connect: ["good.test:80"]}',
        "fetch good.test 4000 /",
        not_tried("20.1.0.1"),
        (uncovered("20.1.0.1:4000", "good.test", '"good.test:4000"'),),
        ("good.test",),
    ),
    "a range of ports, and those beside it": Case(
        'tcp: {connect: ["good.test:3999-4001"]}',
        "fetch good.test 4000 / -- connect 20.1.0.1 3998 -- connect 20.1.0.1 4002",
        (*fetched("20.1.0.1"), UNCONNECTED, UNCONNECTED),
        (
            uncovered("20.1.0.1:3998", "good.test", '"good.test:3998"'),
            uncovered("20.1.0.1:4002", "good.test", '"good.test:4002"'),
        ),
        ("good.test",),
        (GOOD,),
    ),
    "a wildcard for one label": Case(
        'tcp: {connect: ["*.wild.test:4000"]}',
        "fetch one.wild.test 4000 / -- fetch two.one.wild.test 4000 / -- fetch wild.test 4000 /",
        (*fetched("20.1.0.2"), REFUSED, REFUSED),
        (no_name("two.one.wild.test"), no_name("wild.test")),
        ("one.wild.test",),
        ("tcp 20.1.0.2:4000",),
    ),
    "a wildcard for several labels": Case(
        'tcp: {connect: ["**.wild.test:4000"]}',
        "fetch one.wild.test 4000 / -- fetch two.one.wild.test 4000 / -- fetch wild.test 4000 /",
        (*fetched("20.1.0.2"), *fetched("20.1.0.3"), REFUSED),
        (no_name("wild.test"),),
        ("one.wild.test", "two.one.wild.test"),
        ("tcp 20.1.0.2:4000", "tcp 20.1.0.3:4000"),
    ),
    "a private address": Case(
        'tcp: {connect: ["private.test:4000"]}',
        "fetch private.test 4000 / -- connect 10.2.0.1 4000",
        (UNFIT, UNCONNECTED),
        (
            unfit("private.test", "10.2.0.1", "a private", line=1),
            unfit_peer("10.2.0.1:4000", "private.test", "10.2.0.1", "a private", line=1),
        ),
        ("private.test",),
    ),
    "a private address, said to be one": Case(
        'tcp: {connect: [{to: "private.test:4000", private: true}]}',
        "fetch private.test 4000 / -- connect 10.2.0.1 4001 -- connect 10.2.0.2 4000",
        (*fetched("10.2.0.1"), UNCONNECTED, UNCONNECTED),
        (
            uncovered("10.2.0.1:4001", "private.test", '{to: "private.test:4001", private: true}'),
            uncovered("10.2.0.2:4000", None, '"10.2.0.2:4000"'),
        ),
        ("private.test",),
        ("tcp 10.2.0.1:4000",),
    ),
    "a name for this machine, said to be one": Case(
        'tcp: {connect: [{to: "localhost:4000", private: true}, {to: "loop6.test:4000", private: true}]}',
        "fetch localhost 4000 / -- fetch loop6.test 4000 /",
        (*fetched("127.0.0.1"), *fetched("[0:0:0:0:0:0:0:1]")),
        asked=("loop6.test",),
        reached=("tcp 127.0.0.1:4000", "tcp [::1]:4000"),
    ),
    "what no policy lets a name mean": Case(
        "tcp:\n  connect:\n"
        + "\n".join(
            f'    - {{to: "{name}:4000", private: true}}' for name in ("null.test", "null6.test", "group.test")
        ),
        "fetch null.test 4000 / -- fetch null6.test 4000 / -- fetch group.test 4000 /",
        (UNFIT, UNFIT, UNFIT),
        (
            unfit("null.test", "0.0.0.0", "an unspecified", line=3),
            unfit("null6.test", "::", "an unspecified", line=4),
            unfit("group.test", "224.0.0.1", "a multicast", line=5),
        ),
        ("null.test", "null6.test", "group.test"),
    ),
    "an alias of what is public": Case(
        'tcp: {connect: ["alias.test:4000"]}',
        "fetch alias.test 4000 / -- fetch target.test 4000 /",
        (*fetched("20.1.0.6"), REFUSED),
        (no_name("target.test"),),
        ("alias.test",),
        ("tcp 20.1.0.6:4000",),
    ),
    "an alias of what is private": Case(
        'tcp: {connect: ["outer.test:4000"]}',
        "fetch outer.test 4000 / -- connect 10.0.0.7 4000",
        (UNFIT, UNCONNECTED),
        (
            unfit("outer.test", "10.0.0.7", "a private", line=1),
            unfit_peer("10.0.0.7:4000", "outer.test", "10.0.0.7", "a private", line=1),
        ),
        ("outer.test",),
    ),
    "an alias of what is denied": Case(
        'tcp: {connect: ["alias.test:4000"]}\ndeny: [target.test]',
        "fetch alias.test 4000 / -- connect 20.1.0.6 4000",
        (UNFIT, UNCONNECTED),
        (
            denied_name(
                "alias.test",
                "target.test",
                2,
                more=" (the name is an alias of target.test)",
                resolved="20.1.0.6",
            ),
            denied_peer("20.1.0.6:4000", "alias.test", "target.test", 2),
        ),
        ("alias.test",),
    ),
    "an alias of what is denied at a port": Case(
        'tcp: {connect: ["alias.test:4000-4001"]}\ndeny: ["target.test:4001"]',
        "fetch alias.test 4000 / -- connect 20.1.0.6 4001",
        (*fetched("20.1.0.6"), UNCONNECTED),
        (denied_peer("20.1.0.6:4001", "alias.test", "target.test:4001", 2),),
        ("alias.test",),
        ("tcp 20.1.0.6:4000",),
    ),
    "a denied name": Case(
        'tcp: {connect: ["**.wild.test:4000"]}\ndeny: ["*.one.wild.test"]',
        "fetch one.wild.test 4000 / -- fetch two.one.wild.test 4000 /",
        (*fetched("20.1.0.2"), REFUSED),
        (denied_name("two.one.wild.test", "*.one.wild.test", 2),),
        ("one.wild.test",),
        ("tcp 20.1.0.2:4000",),
    ),
    "a name that is denied at a port": Case(
        'tcp: {connect: ["**.wild.test:1-65535"]}\ndeny: ["*.wild.test:4000"]',
        "fetch one.wild.test 4000 / -- connect 20.1.0.2 80 -- fetch two.one.wild.test 4000 /",
        (*not_tried("20.1.0.2"), "finish-connect error=connection-refused", *fetched("20.1.0.3")),
        (denied_peer("20.1.0.2:4000", "one.wild.test", "*.wild.test:4000", 2),),
        ("one.wild.test", "two.one.wild.test"),
        ("tcp 20.1.0.2:80", "tcp 20.1.0.3:4000"),
    ),
    "a name in a denied network": Case(
        'tcp: {connect: ["good.test:4000", {to: "private.test:1-65535", private: true}]}\n'
        'deny: ["20.1.0.0/24", "10.0.0.0/8:4000"]',
        "fetch good.test 4000 / -- fetch private.test 4000 / -- connect 10.2.0.1 80",
        (*not_tried("20.1.0.1"), *not_tried("10.2.0.1"), "finish-connect error=connection-refused"),
        (
            denied_peer("20.1.0.1:4000", "good.test", "20.1.0.0/24", 2),
            denied_peer("10.2.0.1:4000", "private.test", "10.0.0.0/8:4000", 2),
        ),
        ("good.test", "private.test"),
        ("tcp 10.2.0.1:80",),
    ),
    "two names of one address, one of which is granted": Case(
        'tcp: {connect: ["twin.test:4000"]}\ndns: ["good.test"]',
        "fetch good.test 4000 / -- fetch twin.test 4000 /",
        (*not_tried("20.1.0.1"), *fetched("20.1.0.1")),
        (uncovered("20.1.0.1:4000", "good.test", '"good.test:4000"'),),
        ("good.test", "twin.test"),
        (GOOD,),
    ),
    "names that may be looked up alone": Case(
        "dns: [good.test, private.test, meta.test]",
        "fetch good.test 4000 / -- fetch private.test 4000 / -- lookup meta.test -- lookup loop.test",
        (
            *not_tried("20.1.0.1"),
            *not_tried("10.2.0.1"),
            "lookup ok count=1 addresses=169.254.169.254",
            REFUSED,
        ),
        (
            uncovered("20.1.0.1:4000", "good.test", '"good.test:4000"'),
            uncovered("10.2.0.1:4000", "private.test", '{to: "private.test:4000", private: true}'),
            no_name("loop.test"),
        ),
        ("good.test", "private.test", "meta.test"),
    ),
    "a name that datagrams may be sent to": Case(
        'udp: {send: ["good.test:4000"]}',
        "lookup good.test -- udp-ask 20.1.0.1 4000 hi -- udp-sendto 20.1.0.1 4000 hi -- connect 20.1.0.1 4000"
        " -- udp-ask 20.1.0.1 4001 hi",
        (
            "lookup ok count=1 addresses=20.1.0.1",
            "local-address ok address=20.1.0.1:*",
            "remote-address ok address=20.1.0.1:4000",
            "send ok datagrams=1",
            'receive ok bytes=2 data="hi" remote=20.1.0.1:4000',
            "local-address ok address=0.0.0.0:*",
            "remote-address error=invalid-state",
            "send ok datagrams=1",
            'receive ok bytes=2 data="hi" remote=20.1.0.1:4000',
            UNCONNECTED,
            "stream error=access-denied",
        ),
        (
            uncovered("20.1.0.1:4000", "good.test", '"good.test:4000"'),
            uncovered("20.1.0.1:4001", "good.test", '"good.test:4001"', "udp"),
        ),
        ("good.test",),
        ("udp 20.1.0.1:4000",),
    ),
    "the address of a name, as a name": Case(
        'tcp: {connect: ["good.test:4000", "private.test:4000"]}',
        "lookup 20.1.0.1 -- lookup good.test -- lookup 20.1.0.1 -- lookup private.test -- lookup 10.2.0.1",
        (
            REFUSED,
            "lookup ok count=1 addresses=20.1.0.1",
            "lookup ok count=1 addresses=20.1.0.1",
            UNFIT,
            REFUSED,
        ),
        (
            Told("denied", "dns.resolve", "20.1.0.1", None, SOCKETS_LINE, "no grant covers this address"),
            unfit("private.test", "10.2.0.1", "a private", line=1),
            unfit("private.test", "10.2.0.1", "a private", line=1)._replace(
                resource="10.2.0.1", resolved="10.2.0.1 (private.test)", grant=None
            ),
        ),
        ("good.test", "private.test"),
    ),
    "a name that there is not": Case(
        'tcp: {connect: ["missing.test:4000"]}',
        "fetch missing.test 4000 /",
        ("resolve-next-address error=name-unresolvable",),
        asked=("missing.test",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_name_is_worth_what_it_resolves_to(case: str, machine: Machine, policy: Callable[..., Path]) -> None:
    """What the guest sees, each event, each name that a resolver was asked for, and each peer that was reached."""
    expected = CASES[case]
    assert outcome(expected, machine, policy(policy_text(SOCKETS, expected.sockets))) == expected


SEARCHED = {
    "a short name": Case(
        'tcp: {connect: ["one:4000"]}',
        "fetch one 4000 / -- fetch one.wild.test 4000 /",
        (*fetched("20.1.0.2"), REFUSED),
        (no_name("one.wild.test"),),
        ("one.wild.test",),
        ("tcp 20.1.0.2:4000",),
    ),
    "a short name, whose whole one is denied": Case(
        'tcp: {connect: ["one:4000"]}\ndeny: ["*.wild.test"]',
        "fetch one 4000 /",
        (UNFIT,),
        (denied_name("one", "*.wild.test", 2, more=" (the name is an alias of one.wild.test)", resolved="20.1.0.2"),),
        ("one.wild.test",),
    ),
    "a whole name, below which there is another": Case(
        'tcp: {connect: ["gone.test:4000"]}',
        "fetch gone.test 4000 /",
        ("resolve-next-address error=name-unresolvable",),
        asked=("gone.test",),
    ),
    "a whole name of the machine's own list": Case(
        'tcp: {connect: ["server.internal:4000"]}',
        "fetch server.internal 4000 /",
        fetched("20.1.0.9"),
        reached=("tcp 20.1.0.9:4000",),
    ),
}


@pytest.mark.parametrize("options", ["", "ndots:5"])
@pytest.mark.parametrize("case", SEARCHED)
def test_a_name_that_the_host_completes_is_granted_as_written(
    case: str, options: str, machine: Machine, policy: Callable[..., Path]
) -> None:
    """What the host's search list makes of a short name counts where that is denied; a name with a dot is whole."""
    machine.use_nameservers(DNSMASQ, search="wild.test", options=options)
    machine.use_hosts("20.1.0.9 server.corp.internal server.internal")
    expected = SEARCHED[case]
    assert outcome(expected, machine, policy(policy_text(SOCKETS, expected.sockets))) == expected


KINDS = {
    "private.test": ("10.2.0.1", "a private"),
    "shared.test": ("100.64.0.1", "a private"),
    "loop.test": ("127.0.0.1", "a loopback"),
    "loop6.test": ("::1", "a loopback"),
    "link.test": ("169.254.1.1", "a link-local"),
    "meta.test": ("169.254.169.254", "a metadata"),
    "meta6.test": ("fd00:ec2::254", "a metadata"),
    "mapped.test": ("10.0.0.1", "a private"),
    "nat64.test": ("64:ff9b::a00:1", "a private"),
    "sixtofour.test": ("2002:a00:1::1", "a private"),
    "teredo.test": ("2001:0:808:808::f5ff:fffe", "a private"),
    "compatible.test": ("::a00:1", "a private"),
    "isatap.test": ("2600::5efe:a00:1", "a private"),
    "null.test": ("0.0.0.0", "an unspecified"),
    "null6.test": ("::", "an unspecified"),
    "group.test": ("224.0.0.1", "a multicast"),
    "everyone.test": ("255.255.255.255", "a broadcast"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_name_leads_to_public_addresses_only(name: str, machine: Machine, policy: Callable[..., Path]) -> None:
    """The event says what kind of address it is, and what would grant it if anything can; nobody is connected to."""
    case = Case(
        f'tcp: {{connect: ["{name}:4000"]}}',
        f"fetch {name} 4000 /",
        (UNFIT,),
        (unfit(name, *KINDS[name], line=1),),
        (name,),
    )
    assert outcome(case, machine, policy(policy_text(SOCKETS, case.sockets))) == case


# Resolvers that lie


def liar(answers: dict[str, list[list[Record]]]) -> Callable[[Query], bytes | None]:
    """Answers with one list of records after the other for each name and kind, the last for ever."""
    turns: dict[Question, int] = {}

    def answer_next(query: Query) -> bytes:
        turn = turns.get(query.question, 0)
        turns[query.question] = turn + 1
        lists = answers[query.question.name]
        return answer(query, *lists[min(turn, len(lists) - 1)])

    return answer_next


def four(name: str, *addresses: str) -> list[Record]:
    """The IPv4 addresses of a name."""
    return [Record(name, "A", address) for address in addresses]


MIXED = "mixed.test"
LIES: dict[str, tuple[dict[str, list[list[Record]]], Case]] = {
    "public first, then this machine": (
        {"rebind.test": [four("rebind.test", "20.1.0.1"), four("rebind.test", "127.0.0.1")]},
        Case(
            'tcp: {connect: ["rebind.test:4000"]}',
            "fetch rebind.test 4000 / -- fetch rebind.test 4000 / -- connect 127.0.0.1 4000 -- connect 20.1.0.1 4000",
            (
                *fetched("20.1.0.1"),
                UNFIT,
                UNCONNECTED,
                "connect ok",
                "local-address ok address=20.1.0.1:*",
                "remote-address ok address=20.1.0.1:4000",
            ),
            (
                unfit("rebind.test", "127.0.0.1", "a loopback", line=1),
                unfit_peer("127.0.0.1:4000", "rebind.test", "127.0.0.1", "a loopback", line=1),
            ),
            ("rebind.test",),
            (GOOD,),
        ),
    ),
    "another one's private address": (
        {"a.test": [four("a.test", "10.0.0.9")], "b.test": [four("b.test", "10.0.0.9")]},
        Case(
            'tcp: {connect: ["a.test:4000", {to: "b.test:4001", private: true}]}',
            "fetch b.test 4000 / -- fetch a.test 4000 / -- connect 10.0.0.9 4000",
            (*not_tried("10.0.0.9"), UNFIT, UNCONNECTED),
            (
                uncovered("10.0.0.9:4000", "b.test", '{to: "b.test:4000", private: true}'),
                unfit("a.test", "10.0.0.9", "a private", line=1),
                unfit_peer("10.0.0.9:4000", "a.test", "10.0.0.9", "a private", line=1)._replace(
                    resolved="10.0.0.9:4000 (b.test, a.test)"
                ),
            ),
            ("b.test", "a.test"),
        ),
    ),
    "public and private together": (
        {MIXED: [four(MIXED, "10.0.0.5", "20.1.0.5", "127.0.0.5")]},
        Case(
            f'tcp: {{connect: ["{MIXED}:4000"]}}',
            f"fetch {MIXED} 4000 / -- connect 10.0.0.5 4000 -- connect 127.0.0.5 4000",
            (*fetched("20.1.0.5"), UNCONNECTED, UNCONNECTED),
            (
                unfit(
                    MIXED,
                    "127.0.0.5",
                    "a loopback",
                    line=1,
                    listed="127.0.0.5, 10.0.0.5, 20.1.0.5",
                    more="; 2 such addresses were left out of the answer",
                ),
                unfit_peer("10.0.0.5:4000", MIXED, "10.0.0.5", "a private", line=1),
                unfit_peer("127.0.0.5:4000", MIXED, "127.0.0.5", "a loopback", line=1),
            ),
            (MIXED,),
            ("tcp 20.1.0.5:4000",),
        ),
    ),
    "public and private together, both granted": (
        {MIXED: [four(MIXED, "20.1.0.5", "10.0.0.5", "20.1.0.5", "10.0.0.5")]},
        Case(
            f'tcp: {{connect: [{{to: "{MIXED}:4000", private: true}}]}}',
            f"lookup {MIXED} -- fetch {MIXED} 4000 /",
            ("lookup ok count=2 addresses=20.1.0.5,10.0.0.5", *fetched("20.1.0.5")),
            (),
            (MIXED,),
            ("tcp 20.1.0.5:4000",),
        ),
    ),
    "looked up whole, by leave to look up": (
        {MIXED: [four(MIXED, "10.0.0.5", "20.1.0.5")]},
        Case(
            f'dns: ["{MIXED}"]\ntcp: {{connect: ["{MIXED}:4000"]}}',
            f"lookup {MIXED} -- connect 10.0.0.5 4000 -- connect 20.1.0.5 4000",
            (
                "lookup ok count=2 addresses=10.0.0.5,20.1.0.5",
                UNCONNECTED,
                "connect ok",
                "local-address ok address=20.1.0.5:*",
                "remote-address ok address=20.1.0.5:4000",
            ),
            (unfit_peer("10.0.0.5:4000", MIXED, "10.0.0.5", "a private", line=2),),
            (MIXED,),
            ("tcp 20.1.0.5:4000",),
        ),
    ),
    "an alias that leads inside": (
        {"chain.test": [[Record("chain.test", "CNAME", "db.internal"), Record("db.internal", "A", "10.0.0.9")]]},
        Case(
            'tcp: {connect: ["chain.test:4000"]}',
            "fetch chain.test 4000 / -- connect 10.0.0.9 4000 -- lookup db.internal",
            (UNFIT, UNCONNECTED, REFUSED),
            (
                unfit("chain.test", "10.0.0.9", "a private", line=1),
                unfit_peer("10.0.0.9:4000", "chain.test", "10.0.0.9", "a private", line=1),
                no_name("db.internal"),
            ),
            ("chain.test",),
        ),
    ),
    "an alias of an alias that is denied": (
        {
            "chain.test": [
                [
                    Record("chain.test", "CNAME", "cdn.example"),
                    Record("cdn.example", "CNAME", "edge.evil.example"),
                    Record("edge.evil.example", "A", "20.1.0.8"),
                ]
            ]
        },
        Case(
            'tcp: {connect: ["chain.test:4000"]}\ndeny: ["**.evil.example"]',
            "fetch chain.test 4000 / -- connect 20.1.0.8 4000",
            (UNFIT, UNCONNECTED),
            (
                denied_name(
                    "chain.test",
                    "**.evil.example",
                    2,
                    more=" (the name is an alias of edge.evil.example)",
                    resolved="20.1.0.8",
                ),
                denied_peer("20.1.0.8:4000", "chain.test", "**.evil.example", 2),
            ),
            ("chain.test",),
        ),
    ),
    "an alias of itself": (
        {"loop.test": [[Record("loop.test", "CNAME", "loop.test")]]},
        Case(
            'tcp: {connect: ["loop.test:4000"]}',
            "fetch loop.test 4000 /",
            ("resolve-next-address error=name-unresolvable",),
            asked=("loop.test",),
        ),
    ),
    "no addresses": (
        {"empty.test": [[]]},
        Case(
            'tcp: {connect: ["empty.test:4000"]}',
            "fetch empty.test 4000 /",
            ("resolve-next-address error=name-unresolvable",),
            asked=("empty.test",),
        ),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_is_judged_and_then_kept(lie: str, machine: Machine, policy: Callable[..., Path]) -> None:
    """What a name resolved to is what is judged and connected to; no answer makes a private address reachable."""
    answers, expected = LIES[lie]
    machine.use_nameservers(NAMESERVER)
    with Nameserver(machine, liar(answers)):
        assert outcome(expected, machine, policy(policy_text(SOCKETS, expected.sockets))) == expected


def test_a_name_is_resolved_once_to_be_connected_to(machine: Machine, policy: Callable[..., Path]) -> None:
    """One lookup of the guest's is one of the host's, and none is added by connecting: nothing changes in between."""
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["once.test:4000"]}'))
    with Nameserver(
        machine, liar({"once.test": [four("once.test", "20.1.0.1"), four("once.test", "127.0.0.1")]})
    ) as server:
        ran = tried(machine.run(path, "fetch", "once.test", "4000", "/"), "fetch")
    assert (ran.printed, sorted(server.asked)) == (
        fetched("20.1.0.1"),
        [Question("once.test", "A"), Question("once.test", "AAAA")],
    )


# Answers of all sizes, and none


def test_many_addresses_are_cut_at_a_bound(machine: Machine, policy: Callable[..., Path]) -> None:
    """Of a hundred addresses the first 64 are given out and may be connected to; the rest are as if they were not."""
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["many.test:4000"]}'))
    command = "lookup many.test"
    (line,) = tried(machine.run(path, *command.split(" ")), command).printed
    head, _, addresses = line.partition("addresses=")
    given = addresses.split(",")
    found = machine.look_up("many.test")
    assert (head, len(given), len(set(given)), set(given) <= set(found), len(found)) == (
        "lookup ok count=64 ",
        64,
        64,
        True,
        100,
    )


def test_a_huge_answer_is_cut_at_a_bound(machine: Machine, policy: Callable[..., Path]) -> None:
    """Two thousand addresses, by TCP as an answer of 60 KB must come: 64 of them, at once."""

    def huge(query: Query) -> bytes:
        if not query.by_tcp:
            return answer(query, truncated=True)
        name = query.question.name
        return answer(query, *four(name, *(f"20.3.{n // 250}.{n % 250 + 1}" for n in range(2000))))

    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["huge.test:4000"]}'))
    with Nameserver(machine, huge) as server:
        (line,) = tried(machine.run(path, "lookup", "huge.test"), "lookup").printed
    assert (line[:20], line.count(","), {q.name for q in server.asked}) == ("lookup ok count=64 a", 63, {"huge.test"})


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (lambda query: answer(query, code=2), "temporary-resolver-failure"),
        (lambda query: answer(query, code=5), "temporary-resolver-failure"),
        (lambda query: answer(query, code=3), "name-unresolvable"),
        (lambda query: query.message[:5], "temporary-resolver-failure"),
        (lambda query: answer(query, *four(query.question.name, "20.1.0.1"))[:-2], "name-unresolvable"),
    ],
    ids=["server failure", "refused", "no such name", "short", "cut off"],
)
def test_a_failing_resolver_is_an_ordinary_error(
    reply: Callable[[Query], bytes], error: str, machine: Machine, policy: Callable[..., Path]
) -> None:
    """It is told in the interface's own terms, and is no denial."""
    machine.use_nameservers(NAMESERVER, options="timeout:1 attempts:1")
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["fails.test:4000"]}', "{connect-time: 20s}"))
    command = "lookup fails.test"
    with Nameserver(machine, reply):
        ran = tried(machine.run(path, *command.split(" ")), command)
    assert ran == Tried(command, (f"resolve-next-address error={error}",))


def test_a_silent_resolver_is_given_up_in_time(machine: Machine, policy: Callable[..., Path]) -> None:
    """After ``connect-time`` each lookup fails, with an event; the resolver's own patience does not count."""
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["*.silent.test:4000"]}', "{connect-time: 300ms}"))
    command = "lookup a.silent.test -- lookup b.silent.test"
    reason = "looking up the name took longer than the 0.3 s that the policy allows"
    with Nameserver(machine, lambda query: None):
        began = time.monotonic()
        ran = tried(machine.run(path, *command.split(" ")), command)
        took = time.monotonic() - began
    assert ran == Tried(
        command,
        ("resolve-next-address error=temporary-resolver-failure",) * 2,
        (
            Told("limit", "limits.connect-time", "a.silent.test", None, SOCKETS_LINE + 2, reason),
            Told("denied", "limits.connect-time", "b.silent.test", None, SOCKETS_LINE + 2, reason),
        ),
    )
    assert 0.6 <= took < 3


def test_a_run_ends_in_time_though_a_resolver_is_silent(machine: Machine, policy: Callable[..., Path]) -> None:
    """The deadline ends a guest that waits for a name, and the next run begins at once."""
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["silent.test:4000"]}', "{deadline: 500ms}"))
    with Nameserver(machine, lambda query: None):
        began = time.monotonic()
        outcomes = [machine.run(path, "lookup", "silent.test").outcome for _ in range(2)]
        took = time.monotonic() - began
    assert [(o.how, o.bound, o.stdout, [e.name for e in o.events]) for o in outcomes] == [
        ("deadline", "limits.deadline", b"", ["limit", "ended"])
    ] * 2
    assert 1 <= took < 5


def lookups(count: int, then: str) -> bytes:
    """A component that starts to look up ``a.many.test`` and so on, and then does something to each: ``$then``."""
    calls: list[Call | Drop] = [
        Call("network", "sockets/instance-network", "instance-network", "", "i32"),
        Call("resolve", "sockets/ip-name-lookup", "resolve-addresses", "i32 i32 i32 i32"),
        Call("waiting", "sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe", "i32", "i32"),
        Call("block", "io/poll", "[method]pollable.block", "i32"),
        Drop("drop", "sockets/ip-name-lookup", "resolve-address-stream"),
    ]
    data = f"""
    (data (i32.const 512) "a.many.test")
    (func $each (param $net i32) (param $n i32)
      (i32.store8 (i32.const 512) (i32.add (i32.const 97) (local.get $n)))
      (call $resolve (local.get $net) (i32.const 512) (i32.const 11) (i32.const 0))
      (call $same (i32.load8_u (i32.const 0)) (i32.const 0))
      (i32.store (i32.add (i32.const 1024) (i32.mul (i32.const 4) (local.get $n))) (i32.load (i32.const 4))))
    (func $again (param $n i32) (local $stream i32)
      (local.set $stream (i32.load (i32.add (i32.const 1024) (i32.mul (i32.const 4) (local.get $n)))))
      {then})"""
    starts = "".join(f"(call $each (local.get $a) (i32.const {n}))" for n in range(count))
    ends = "".join(f"(call $again (i32.const {n}))" for n in range(count))
    return component(f"(local.set $a (call $network)) {starts} {ends} (i32.const 0)", calls, data=data)


def test_few_lookups_are_with_the_resolver_at_once(
    machine: Machine, tmp_path: Path, policy: Callable[..., Path]
) -> None:
    """Of eight that are started together and never answered, four are asked for; all eight fail in time."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(lookups(8, "(call $block (call $waiting (local.get $stream)))"))
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(guest, 'dns: ["*.many.test"]', "{connect-time: 300ms}"))
    with Nameserver(machine, lambda query: None) as server:
        ran = tried(machine.run(path), "")
        names = {question.name for question in server.asked}
    reason = "looking up the name took longer than the 0.3 s that the policy allows"
    assert ran == Tried(
        "",
        (),
        tuple(
            Told(
                "denied" if n else "limit", "limits.connect-time", f"{letter}.many.test", None, SOCKETS_LINE + 2, reason
            )
            for n, letter in enumerate("abcdefgh")
        ),
    )
    assert names == {"a.many.test", "b.many.test", "c.many.test", "d.many.test"}


def test_lookups_that_are_given_up_are_forgotten(machine: Machine, tmp_path: Path, policy: Callable[..., Path]) -> None:
    """A guest that drops what it asked for waits for nothing, and nothing is told of it."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(lookups(8, "(call $drop (local.get $stream))"))
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(guest, 'dns: ["*.many.test"]'))
    with Nameserver(machine, lambda query: None):
        began = time.monotonic()
        ran = tried(machine.run(path), "")
        took = time.monotonic() - began
    assert ran == Tried("", ())
    assert took < 3


# Bounds: names carry data out


def test_names_looked_up_in_a_second_are_bounded(machine: Machine, policy: Callable[..., Path]) -> None:
    """The fourth of three in a second fails for now, with an event; no resolver hears of it."""
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'dns: ["*.leak.test"]', "{lookups: 3}"))
    command = " -- ".join(f"lookup {letter}.leak.test" for letter in "abcde")
    reason = "3 names were looked up within a second, which is all that the policy allows"
    with Nameserver(machine, lambda query: answer(query, *four(query.question.name, "20.1.0.1"))) as server:
        ran = tried(machine.run(path, *command.split(" ")), command)
    assert ran == Tried(
        command,
        (
            *["lookup ok count=1 addresses=20.1.0.1"] * 3,
            *["resolve-addresses error=temporary-resolver-failure"] * 2,
        ),
        (
            Told("limit", "limits.lookups", "d.leak.test", None, SOCKETS_LINE + 2, reason),
            Told("denied", "limits.lookups", "e.leak.test", None, SOCKETS_LINE + 2, reason),
        ),
    )
    assert {question.name for question in server.asked} == {"a.leak.test", "b.leak.test", "c.leak.test"}


def test_bytes_of_names_are_bounded(machine: Machine, policy: Callable[..., Path]) -> None:
    """A guest that spells a secret in names gets out no more of it than ``lookup-bytes``, however often it tries."""
    machine.use_nameservers(NAMESERVER)
    path = policy(policy_text(SOCKETS, 'dns: ["**.leak.test"]', "{lookups: 1000, lookup-bytes: 1KiB}"))
    names = [f"{n:02d}{'x' * 58}.{'y' * 60}.leak.test" for n in range(12)]
    reason = "the bytes of names that may be looked up are used up (1,024 bytes)"
    command = " -- ".join(f"lookup {name}" for name in names)
    with Nameserver(machine, lambda query: answer(query, *four(query.question.name, "20.1.0.1"))) as server:
        ran = tried(machine.run(path, *command.split(" ")), command)
    out, kept = names[:7], names[7:]
    assert ran == Tried(
        command,
        (*["lookup ok count=1 addresses=20.1.0.1"] * 7, *["resolve-addresses error=access-denied"] * 5),
        tuple(
            Told("limit" if n == 0 else "denied", "limits.lookup-bytes", name, None, SOCKETS_LINE + 2, reason)
            for n, name in enumerate(kept)
        ),
    )
    # an earlier test's resolver may still be asking for a name of its own
    assert {q.name for q in server.asked if q.name.endswith(".leak.test")} == set(out)
    assert sum(map(len, out)) <= 1024 < sum(map(len, names[:8]))


# Peers that do not answer


def test_connecting_to_nowhere_is_given_up_in_time(machine: Machine, policy: Callable[..., Path]) -> None:
    """After ``connect-time`` it has timed out, with an event; where there is no way at all, that is said at once."""
    path = policy(
        policy_text(
            SOCKETS, 'tcp: {connect: ["slow.test:4000", "nowhere.test:4000"]}', "{connect-time: 300ms, deadline: 20s}"
        )
    )
    command = "fetch slow.test 4000 / -- connect 20.255.0.1 4000 -- fetch nowhere.test 4000 /"
    reason = "connecting took longer than the 0.3 s that the policy allows"
    began = time.monotonic()
    ran = tried(machine.run(path, *command.split(" ")), command)
    took = time.monotonic() - began
    to = ("20.255.0.1:4000", "20.255.0.1:4000 (slow.test)")
    assert ran == Tried(
        command,
        (
            "try address=20.255.0.1:4000",
            "finish-connect error=timeout",
            "fetch error=no-address",
            "finish-connect error=timeout",
            "try address=20.254.0.1:4000",
            "finish-connect error=remote-unreachable",
            "fetch error=no-address",
        ),
        (
            Told("limit", "limits.connect-time", *to, SOCKETS_LINE + 2, reason),
            Told("denied", "limits.connect-time", *to, SOCKETS_LINE + 2, reason),
        ),
    )
    assert 0.6 <= took < 3


# What is recorded of what was allowed


REQUEST = len("GET / HTTP/1.0\r\nHost: good.test\r\nConnection: close\r\n\r\n")
RESPONSE = len("HTTP/1.0 200 OK\r\n\r\nhello\n")
HELD = "allowed by the policy: "


def test_everything_is_recorded_where_the_policy_says_so(machine: Machine, policy: Callable[..., Path]) -> None:
    """One event for each lookup, connection, listener and exchange of datagrams, when it is over, with its bytes."""
    sockets = """
tcp:
  connect: ["good.test:4000"]
  listen: ["127.0.0.1:4100"]
udp:
  send: ["20.1.0.0/16:4000"]
dns: [private.test]
audit: all
"""
    commands = [
        "fetch good.test 4000 /",
        "lookup private.test",
        "lookup 20.1.0.9",
        "connect 127.0.0.1 4000",
        "udp-ask 20.1.0.7 4000 hello",
        "udp-sendto 20.1.0.8 4000 hello",
        "bind 127.0.0.1 4100",
    ]
    command = " -- ".join(commands)
    ran = machine.run(policy(policy_text(SOCKETS, sockets)), *command.split(" "))
    assert [(e.name, e.capability, e.resource) for e in ran.outcome.events if e.name != "allowed"] == [
        ("denied", "sockets.tcp.connect", "127.0.0.1:4000"),
        ("ended", "run", None),
    ]
    allowed = [e for e in ran.outcome.events if e.name == "allowed"]
    assert list(map(recorded, allowed)) == [
        Allowed("dns.resolve", "good.test", "20.1.0.1", 13, f"{HELD}good.test:4000", None, None),
        Allowed(
            "sockets.tcp.connect",
            "20.1.0.1:4000",
            "20.1.0.1:4000 (good.test)",
            13,
            f"{HELD}good.test:4000",
            REQUEST,
            RESPONSE,
        ),
        Allowed("dns.resolve", "private.test", "10.2.0.1", 17, f"{HELD}private.test", None, None),
        Allowed("dns.resolve", "20.1.0.9", None, 16, f"{HELD}20.1.0.0/16:4000", None, None),
        Allowed("sockets.udp.send", "20.1.0.7:4000", None, 16, f"{HELD}20.1.0.0/16:4000", 5, 5),
        Allowed("sockets.udp.send", "20.1.0.8:4000", None, 16, f"{HELD}20.1.0.0/16:4000", 5, 5),
        Allowed("sockets.tcp.bind", "127.0.0.1:4100", None, 14, f"{HELD}127.0.0.1:4100", 0, 0),
    ]
    assert all(e.seconds is not None and 0 <= e.seconds < 10 for e in allowed)


# As natively


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("localhost", "lookup ok count=1 addresses=127.0.0.1"),
        ("LOCALHOST", "lookup ok count=1 addresses=127.0.0.1"),
        ("127.0.0.1", "lookup ok count=1 addresses=127.0.0.1"),
        ("127.1", "lookup ok count=1 addresses=127.0.0.1"),
        ("0x7f.1", "lookup ok count=1 addresses=127.0.0.1"),
        ("2130706433", "lookup ok count=1 addresses=127.0.0.1"),
        ("0", "lookup ok count=1 addresses=0.0.0.0"),
        ("::1", "lookup ok count=1 addresses=0:0:0:0:0:0:0:1"),
        ("[::1]", "lookup ok count=1 addresses=0:0:0:0:0:0:0:1"),
        ("nowhere.invalid", "resolve-next-address error=name-unresolvable"),
        ("localhost:80", "resolve-addresses error=invalid-argument"),
        ("http://localhost", "resolve-addresses error=invalid-argument"),
    ],
)
def test_a_granted_name_is_looked_up_as_natively(
    name: str, printed: str, machine: Machine, policy: Callable[..., Path]
) -> None:
    """What is granted answers as it does under Wasmtime's own sockets."""
    machine.records(*RECORDS, "local=/invalid/")
    sockets = (
        'tcp: {connect: [{to: "localhost:80", private: true}, "127.0.0.0/8:80", "[::1]:80"]}\ndns: [nowhere.invalid]'
    )
    ran = tried(machine.run(policy(policy_text(SOCKETS, sockets)), "lookup", name), name)
    assert ran == Tried(name, (printed,))


@pytest.mark.parametrize(
    ("name", "printed", "why"),
    [
        ("localhost.", "lookup ok count=1 addresses=127.0.0.1", "a final dot is dropped before it is looked up"),
        (
            "::ffff:127.0.0.1",
            "lookup ok count=1 addresses=127.0.0.1",
            "an IPv4 address stays one, however it is written",
        ),
        ("bad_name..x", "resolve-addresses error=invalid-argument", "what is no name is told at once"),
    ],
)
def test_where_a_lookup_differs_from_a_native_one(
    name: str, printed: str, why: str, machine: Machine, policy: Callable[..., Path]
) -> None:
    """Each for its reason."""
    sockets = 'tcp: {connect: [{to: "localhost:80", private: true}, "127.0.0.0/8:80"]}'
    assert tried(machine.run(policy(policy_text(SOCKETS, sockets)), "lookup", name), name).printed == (printed,), why
