"""What a policy's ``sockets`` say: nothing that is not granted by any spelling, and denials over everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.broker.names import Found, normalise
from sandbox.broker.rules import Answer, LookupVerdict, Names, Protocol, Rules, Verdict, address_grant, local_grant
from sandbox.policy.addresses import Address, canonical, embedded, kind, parse
from sandbox.policy.load import parse_policy
from sandbox.policy.model import DeniedPeer, Local, Peer, Sockets

UNCOVERED = "no grant covers this address and port"


def sockets(text: str) -> Sockets:
    """The ``sockets`` that a policy says in YAML."""
    policy = parse_policy(
        f"version: 1\ncomponents: {{c: {{grants: {{sockets: {text}}}}}}}".encode(), file="p.yaml", directory="/p"
    )
    found = policy.components[0].grants.sockets
    assert found is not None
    return found


POLICY = sockets(
    """{
    tcp: {
      connect: ["db.internal:5432", "*.example.com:443", "**.deep.example:80", "10.2.0.0/16:8000-8100",
                "[2001:db8::/32]:443",
                {to: "metrics:9090", private: true}, "93.184.216.34:443", "127.0.0.1:6379", "[::/0]:8443"],
      listen: ["127.0.0.1:8080", "0.0.0.0:9000", "[::1]:0"]
    },
    udp: {send: ["10.2.0.53:53", "ntp.example:123"], bind: ["[::]:5353", "192.168.1.1:0"]},
    dns: ["only.example", "*.lookup.example"],
    deny: ["10.2.99.0/24", "*.internal.example.com", "secret.example.com", "both.deep.example:80",
           "[2001:db8:bad::/48]:443"]
  }"""
)
RULES = Rules(POLICY)


def names(**of: str) -> Names:
    """Addresses (with ``_`` for dots) that a name resolved to, in this run."""
    return {parse(address): {name: None} for name, address in of.items()}


def allowed(rule: str, route: str) -> Verdict:
    return Verdict(allowed=True, reason=f"allowed by the policy: {rule}", route=f"sockets.{route}")


def denied(rule: str, number: int) -> Verdict:
    return Verdict(allowed=False, reason=f"denied by the policy: {rule}", route=f"sockets.deny[{number}]")


def refused(reason: str = UNCOVERED, grant: str | None = None, route: str = "sockets") -> Verdict:
    return Verdict(allowed=False, reason=reason, route=route, grant=grant and f"sockets:\n  {grant}")


NEVER = "address is never reached, whatever is granted"
PEERS: list[tuple[Protocol, str, int, Verdict]] = [
    ("tcp", "10.2.3.4", 8000, allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("tcp", "10.2.3.4", 8100, allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("tcp", "::ffff:10.2.3.4", 8100, allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("tcp", "10.2.3.4", 7999, refused(grant='tcp: {connect: ["10.2.3.4:7999"]}')),
    ("tcp", "10.2.3.4", 8101, refused(grant='tcp: {connect: ["10.2.3.4:8101"]}')),
    ("tcp", "10.3.0.1", 8000, refused(grant='tcp: {connect: ["10.3.0.1:8000"]}')),
    ("tcp", "10.2.99.4", 8000, denied("10.2.99.0/24", 0)),
    ("tcp", "::ffff:10.2.99.4", 8000, denied("10.2.99.0/24", 0)),
    ("tcp", "64:ff9b::10.2.99.4", 8443, denied("10.2.99.0/24 (the address embeds 10.2.99.4)", 0)),
    ("tcp", "2002:a02:6304::1", 8443, denied("10.2.99.0/24 (the address embeds 10.2.99.4)", 0)),
    ("tcp", "64:ff9b::10.2.0.4", 8443, refused("the address embeds 10.2.0.4, which no grant covers")),
    ("tcp", "::10.2.0.4", 8443, refused("the address embeds 10.2.0.4, which no grant covers")),
    ("tcp", "64:ff9b::10.2.0.4", 8000, refused()),
    ("tcp", "2001:db8::5", 443, allowed("[2001:db8::/32]:443", "tcp.connect[4]")),
    ("tcp", "2001:db8:bad::5", 443, denied("[2001:db8:bad::/48]:443", 4)),
    ("tcp", "2001:db8:bad::5", 8443, allowed("[::/0]:8443", "tcp.connect[8]")),
    ("tcp", "fd00::5", 8443, allowed("[::/0]:8443", "tcp.connect[8]")),
    ("tcp", "::1", 8443, allowed("[::/0]:8443", "tcp.connect[8]")),
    ("tcp", "::1", 443, refused(grant='tcp: {connect: ["[::1]:443"]}')),
    ("tcp", "127.0.0.1", 6379, allowed("127.0.0.1:6379", "tcp.connect[7]")),
    ("tcp", "127.0.0.2", 6379, refused(grant='tcp: {connect: ["127.0.0.2:6379"]}')),
    ("tcp", "fe80::1%eth0", 8443, refused("an address with a zone is never reached, whatever is granted")),
    ("tcp", "::ffff:127.0.0.1%1", 6379, refused("an address with a zone is never reached, whatever is granted")),
    ("tcp", "fe80::1", 443, refused()),
    ("tcp", "::", 8443, refused(f"an unspecified {NEVER}")),
    ("tcp", "0.0.0.0", 8000, refused(f"an unspecified {NEVER}")),
    ("tcp", "::ffff:0.0.0.0", 8000, refused(f"an unspecified {NEVER}")),
    ("tcp", "ff02::1", 8443, refused(f"a multicast {NEVER}")),
    ("tcp", "64:ff9b::239.1.2.3", 8443, refused(f"a multicast {NEVER} (the address embeds 239.1.2.3)")),
    ("udp", "255.255.255.255", 53, refused(f"a broadcast {NEVER}")),
    ("udp", "10.2.0.53", 53, allowed("10.2.0.53:53", "udp.send[0]")),
    ("udp", "10.2.0.53", 8000, refused(grant='udp: {send: ["10.2.0.53:8000"]}')),
    ("tcp", "10.2.0.53", 53, refused(grant='tcp: {connect: ["10.2.0.53:53"]}')),
    # Port 0 is whichever port: only who may reach the address at all is told that it is no port.
    ("tcp", "10.2.0.53", 0, allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("tcp", "10.9.0.53", 0, refused()),
    ("tcp", "10.2.99.4", 0, denied("10.2.99.0/24", 0)),
]


@pytest.mark.parametrize(("protocol", "written", "port", "verdict"), PEERS)
def test_peer(protocol: Protocol, written: str, port: int, verdict: Verdict) -> None:
    """An address is judged by the rule about it, for this protocol and port; the verdict says which, and what would
    grant it.
    """
    assert RULES.peer(protocol, parse(written), port, {}) == verdict


def private(protocol: str, where: str, to: str, route: str) -> Verdict:
    key = {"tcp": "connect", "udp": "send"}[protocol]
    return refused(
        f"the name resolves to {where}, which its grant does not allow (private: true would)",
        f'{protocol}: {{{key}: [{{to: "{to}", private: true}}]}}',
        f"sockets.{route}",
    )


BY_NAME: list[tuple[Protocol, str, str, int, Verdict]] = [
    ("tcp", "db.internal", "8.8.8.8", 5432, allowed("db.internal:5432", "tcp.connect[0]")),
    ("tcp", "db.internal", "8.8.8.8", 5433, refused(grant='tcp: {connect: ["db.internal:5433"]}')),
    ("udp", "db.internal", "8.8.8.8", 5432, refused(grant='udp: {send: ["db.internal:5432"]}')),
    (
        "tcp",
        "db.internal",
        "10.9.0.1",
        5432,
        private("tcp", "10.9.0.1, a private address", "db.internal:5432", "tcp.connect[0]"),
    ),
    (
        "tcp",
        "db.internal",
        "10.9.0.1",
        1,
        refused(grant='tcp: {connect: [{to: "db.internal:1", private: true}]}'),
    ),
    (
        "udp",
        "ntp.example",
        "169.254.169.254",
        123,
        private("udp", "169.254.169.254, a metadata address", "ntp.example:123", "udp.send[1]"),
    ),
    ("tcp", "metrics", "10.9.0.1", 9090, allowed("metrics:9090", "tcp.connect[5]")),
    ("tcp", "metrics", "127.0.0.1", 9090, allowed("metrics:9090", "tcp.connect[5]")),
    ("tcp", "metrics", "0.0.0.0", 9090, refused(f"an unspecified {NEVER}")),
    ("tcp", "metrics", "224.0.0.1", 9090, refused(f"a multicast {NEVER}")),
    ("tcp", "metrics", "10.2.99.1", 9090, denied("10.2.99.0/24", 0)),
    ("tcp", "api.example.com", "8.8.8.8", 443, allowed("*.example.com:443", "tcp.connect[1]")),
    ("tcp", "a.api.example.com", "8.8.8.8", 443, refused(grant='tcp: {connect: ["a.api.example.com:443"]}')),
    ("tcp", "example.com", "8.8.8.8", 443, refused(grant='tcp: {connect: ["example.com:443"]}')),
    ("tcp", "x.deep.example", "8.8.8.8", 80, allowed("**.deep.example:80", "tcp.connect[2]")),
    ("tcp", "y.x.deep.example", "8.8.8.8", 80, allowed("**.deep.example:80", "tcp.connect[2]")),
    ("tcp", "xdeep.example", "8.8.8.8", 80, refused(grant='tcp: {connect: ["xdeep.example:80"]}')),
    ("tcp", "both.deep.example", "8.8.8.8", 80, denied("both.deep.example:80", 3)),
    ("tcp", "secret.example.com", "8.8.8.8", 443, denied("secret.example.com", 2)),
    ("tcp", "only.example", "8.8.8.8", 443, refused(grant='tcp: {connect: ["only.example:443"]}')),
    (
        "tcp",
        "only.example",
        "10.9.0.1",
        443,
        refused(grant='tcp: {connect: [{to: "only.example:443", private: true}]}'),
    ),
    ("tcp", "db.internal", "10.2.0.4", 8000, allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("tcp", "db.internal", "64:ff9b::8.8.8.8", 5432, allowed("db.internal:5432", "tcp.connect[0]")),
    (
        "tcp",
        "db.internal",
        "64:ff9b::10.0.0.1",
        5432,
        private("tcp", "64:ff9b::a00:1, a private address", "db.internal:5432", "tcp.connect[0]"),
    ),
]


@pytest.mark.parametrize(("protocol", "name", "written", "port", "verdict"), BY_NAME)
def test_peer_by_name(protocol: Protocol, name: str, written: str, port: int, verdict: Verdict) -> None:
    """An address that a name resolved to may be reached as the grants of that name say, and no further."""
    assert RULES.peer(protocol, parse(written), port, {parse(written): {name: None}}) == verdict


def test_alias_of_a_denied_name() -> None:
    """A name that leads over an alias which is denied is denied, at the same ports."""
    over = {parse("8.8.8.8"): {"db.internal": "x.internal.example.com"}}
    assert RULES.peer("tcp", parse("8.8.8.8"), 5432, over) == denied("*.internal.example.com", 1)
    over = {parse("8.8.8.8"): {"x.deep.example": "both.deep.example"}}
    assert RULES.peer("tcp", parse("8.8.8.8"), 80, over) == denied("both.deep.example:80", 3)


def test_a_denial_with_ports() -> None:
    """A denial with ports is about those alone: the name may be looked up, and reached at others."""
    rules = Rules(sockets("{tcp: {connect: ['**.deep.example:80-81']}, deny: ['both.deep.example:80']}"))
    known = {parse("8.8.8.8"): {"both.deep.example": None}}
    assert rules.lookup("both.deep.example").allowed
    assert rules.peer("tcp", parse("8.8.8.8"), 80, known) == denied("both.deep.example:80", 0)
    assert rules.peer("tcp", parse("8.8.8.8"), 81, known) == allowed("**.deep.example:80-81", "tcp.connect[0]")


def test_a_denied_place_with_any_port() -> None:
    """A place that is denied wholly cannot be served at by letting the system choose the port."""
    rules = Rules(sockets("{tcp: {listen: ['0.0.0.0:0']}, deny: [10.2.99.0/24, '10.2.98.0/24:80']}"))
    assert rules.local("tcp", parse("10.2.99.1"), 0) == denied("10.2.99.0/24", 0)
    assert rules.local("tcp", parse("10.2.98.1"), 0) == allowed("0.0.0.0:0", "tcp.listen[0]")


def test_one_of_several_names_is_enough() -> None:
    """An address with several names may be reached by any that allows it, whatever the others say."""
    both = {parse("8.8.8.8"): {"secret.example.com": None, "only.example": None, "db.internal": None}}
    assert RULES.peer("tcp", parse("8.8.8.8"), 5432, both) == allowed("db.internal:5432", "tcp.connect[0]")
    assert RULES.peer("tcp", parse("8.8.8.8"), 443, both) == denied("secret.example.com", 2)


LOCALS: list[tuple[Protocol, str, int, Verdict]] = [
    ("tcp", "127.0.0.1", 8080, allowed("127.0.0.1:8080", "tcp.listen[0]")),
    ("tcp", "::ffff:127.0.0.1", 8080, allowed("127.0.0.1:8080", "tcp.listen[0]")),
    ("tcp", "127.0.0.1", 8081, refused(grant='tcp: {listen: ["127.0.0.1:8081"]}')),
    ("tcp", "127.0.0.2", 8080, refused(grant='tcp: {listen: ["127.0.0.2:8080"]}')),
    ("tcp", "0.0.0.0", 8080, refused(grant='tcp: {listen: ["0.0.0.0:8080"]}')),
    ("tcp", "192.168.7.7", 9000, allowed("0.0.0.0:9000", "tcp.listen[1]")),
    ("tcp", "0.0.0.0", 9000, allowed("0.0.0.0:9000", "tcp.listen[1]")),
    ("tcp", "::", 9000, refused(grant='tcp: {listen: ["[::]:9000"]}')),
    ("tcp", "10.2.99.1", 9000, denied("10.2.99.0/24", 0)),
    ("tcp", "::1", 0, allowed("[::1]:0", "tcp.listen[2]")),
    ("tcp", "::1", 8080, refused(grant='tcp: {listen: ["[::1]:8080"]}')),
    ("tcp", "::1%1", 0, refused("an address with a zone is never reached, whatever is granted")),
    ("tcp", "0.0.0.0", 0, refused(grant='tcp: {listen: ["0.0.0.0:0"]}')),
    ("udp", "2001:db8::1", 5353, allowed("[::]:5353", "udp.bind[0]")),
    ("udp", "ff02::fb", 5353, refused("a multicast address is never bound, whatever is granted")),
    ("udp", "192.168.1.1", 0, allowed("192.168.1.1:0", "udp.bind[1]")),
    ("udp", "127.0.0.1", 8080, refused(grant='udp: {bind: ["127.0.0.1:8080"]}')),
]


@pytest.mark.parametrize(("protocol", "written", "port", "verdict"), LOCALS)
def test_local(protocol: Protocol, written: str, port: int, verdict: Verdict) -> None:
    """A place to serve at must be granted with its port; an unspecified address stands for all of its family."""
    assert RULES.local(protocol, parse(written), port) == verdict


def test_binding_to_anything() -> None:
    """Binding to any address and port is free where peers are granted, and gives nothing: not to listen, not to be
    bound elsewhere.
    """
    free = Verdict(
        allowed=True,
        reason="allowed by the policy: any local port, to reach what connect grants",
        route="sockets.tcp.connect",
    )
    for written in ("0.0.0.0", "::", "::ffff:0.0.0.0"):
        assert RULES.bind("tcp", parse(written), 0) == free
        assert not RULES.local("tcp", parse(written), 0).allowed
        assert not RULES.bind("tcp", parse(written), 1).allowed
    assert not RULES.bind("tcp", parse("127.0.0.1"), 0).allowed
    assert not RULES.bind("tcp", parse("::%1"), 0).allowed
    assert RULES.bind("tcp", parse("127.0.0.1"), 8080) == RULES.local("tcp", parse("127.0.0.1"), 8080)
    no_udp = Rules(replace(POLICY, send=(), bind=()))
    assert no_udp.bind("udp", parse("0.0.0.0"), 0) == refused(grant='udp: {bind: ["0.0.0.0:0"]}')


def test_remote() -> None:
    """Whoever connects to a granted place is welcome, unless a denial covers the address and port."""
    welcome = Verdict(allowed=True, reason="allowed by the policy: no denial covers this address", route="sockets")
    assert RULES.remote(parse("8.8.8.8"), 5000) == welcome
    assert RULES.remote(parse("fe80::1%eth0"), 5000) == welcome
    assert RULES.remote(parse("::ffff:10.2.99.1"), 5000) == denied("10.2.99.0/24", 0)
    assert RULES.remote(parse("2001:db8:bad::1"), 443) == denied("[2001:db8:bad::/48]:443", 4)
    assert RULES.remote(parse("2001:db8:bad::1"), 444) == welcome


def lookup(rule: str, route: str, *, whole: bool = False, takes_private: bool = False) -> LookupVerdict:
    return LookupVerdict(
        allowed=True,
        reason=f"allowed by the policy: {rule}",
        route=f"sockets.{route}",
        whole=whole,
        private=takes_private,
    )


def no_lookup(reason: str, route: str = "sockets", grant: str | None = None) -> LookupVerdict:
    return LookupVerdict(allowed=False, reason=reason, route=route, grant=grant)


LOOKUPS = [
    ("db.internal", lookup("db.internal:5432", "tcp.connect[0]")),
    ("metrics", lookup("metrics:9090", "tcp.connect[5]", takes_private=True)),
    ("ntp.example", lookup("ntp.example:123", "udp.send[1]")),
    ("api.example.com", lookup("*.example.com:443", "tcp.connect[1]")),
    ("only.example", lookup("only.example", "dns[0]", whole=True)),
    ("x.lookup.example", lookup("*.lookup.example", "dns[1]", whole=True)),
    ("both.deep.example", lookup("**.deep.example:80", "tcp.connect[2]")),
    ("secret.example.com", no_lookup("denied by the policy: secret.example.com", "sockets.deny[2]")),
    ("x.internal.example.com", no_lookup("denied by the policy: *.internal.example.com", "sockets.deny[1]")),
    ("pool.example", no_lookup("no grant covers this name", grant="sockets:\n  dns: [pool.example]")),
    ("lookup.example", no_lookup("no grant covers this name", grant="sockets:\n  dns: [lookup.example]")),
    ("localhost", no_lookup("no grant covers this name", grant="sockets:\n  dns: [localhost]")),
    ("no", no_lookup("no grant covers this name", grant='sockets:\n  dns: ["no"]')),
    ("0xg", no_lookup("no grant covers this name", grant='sockets:\n  dns: ["0xg"]')),
]


@pytest.mark.parametrize(("name", "verdict"), LOOKUPS)
def test_lookup(name: str, verdict: LookupVerdict) -> None:
    """A name may be looked up where a grant is about it, at whichever port, and no denial covers it wholly."""
    assert RULES.lookup(name) == verdict


def answer_of(name: str, *addresses: str, alias: str | None = None) -> Answer:
    verdict = RULES.lookup(name)
    assert verdict.allowed
    return RULES.answer(name, verdict, Found(tuple(map(parse, addresses)), alias))


def test_answers() -> None:
    """Of an answer, a guest gets what the name's grants take; of a name listed in ``dns``, everything."""
    public, inside, other = parse("8.8.8.8"), parse("10.0.0.1"), parse("127.0.0.1")
    assert answer_of("db.internal", "8.8.8.8") == Answer(addresses=(public,))
    assert answer_of("only.example", "8.8.8.8", "10.0.0.1", "0.0.0.0") == Answer(
        addresses=(public, inside, parse("0.0.0.0"))
    )
    assert answer_of("metrics", "10.0.0.1", "127.0.0.1") == Answer(addresses=(inside, other))
    assert answer_of("db.internal") == Answer(addresses=())
    grant = 'sockets:\n  tcp: {connect: [{to: "db.internal:5432", private: true}]}'
    said = "the name resolves to 10.0.0.1, a private address, which its grant does not allow (private: true would)"
    whole = Verdict(allowed=False, reason=said, route="sockets.tcp.connect[0]", grant=grant)
    assert answer_of("db.internal", "10.0.0.1", "127.0.0.1") == Answer(addresses=(), refused=whole)
    assert answer_of("db.internal", "10.0.0.1", "8.8.8.8") == Answer(
        addresses=(public,), refused=replace(whole, reason=said + "; it was left out of the answer")
    )
    assert answer_of("db.internal", "10.0.0.1", "8.8.8.8", "127.0.0.1") == Answer(
        addresses=(public,), refused=replace(whole, reason=said + "; 2 such addresses were left out of the answer")
    )
    never = "the name resolves to 0.0.0.0, an unspecified address, which is never reached"
    assert answer_of("metrics", "0.0.0.0") == Answer(
        addresses=(), refused=Verdict(allowed=False, reason=never, route="sockets.tcp.connect[5]")
    )
    denial = "denied by the policy: secret.example.com (the name is an alias of secret.example.com)"
    assert answer_of("only.example", "8.8.8.8", alias="secret.example.com") == Answer(
        addresses=(), refused=Verdict(allowed=False, reason=denial, route="sockets.deny[2]")
    )


LITERALS: list[tuple[str, Verdict]] = [
    ("10.2.3.4", allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("::ffff:10.2.3.4", allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("10.2.0.53", allowed("10.2.0.0/16:8000-8100", "tcp.connect[3]")),
    ("10.2.99.1", denied("10.2.99.0/24", 0)),
    ("192.168.1.1", allowed("0.0.0.0:9000", "tcp.listen[1]")),
    ("0.0.0.0", allowed("0.0.0.0:9000", "tcp.listen[1]")),
    ("224.0.0.1", refused(f"a multicast {NEVER}")),
    ("fe80::1%eth0", refused("an address with a zone is never reached, whatever is granted")),
    ("64:ff9b::10.3.0.1", allowed("[::]:5353", "udp.bind[0]")),
]


@pytest.mark.parametrize(("written", "verdict"), LITERALS)
def test_literal(written: str, verdict: Verdict) -> None:
    """Looking up an address is allowed where it may be reached or served at, by whichever port."""
    assert RULES.literal(parse(written), {}) == verdict


def test_literal_that_nothing_covers() -> None:
    """Looking up an address that no grant is about is refused; which port would be wanted is not known."""
    rules = Rules(Sockets(connect=(Peer(host="10.0.0.1", ports=(80, 80)),), dns=("only.example",)))
    assert rules.literal(parse("10.0.0.2"), {}) == refused("no grant covers this address")
    everything = Rules(Sockets(connect=(Peer(host="::/0", ports=(80, 80)),)))
    embeds = refused("the address embeds 10.0.0.2, which no grant covers")
    assert everything.literal(parse("64:ff9b::10.0.0.2"), {}) == embeds
    assert rules.literal(parse("10.0.0.2"), {parse("10.0.0.2"): {"only.example": None}}) == refused(
        "no grant covers this address"
    )


def test_nothing_granted() -> None:
    """Empty grants nothing: no address, place, name or literal."""
    rules = Rules(Sockets())
    assert not rules.peer("tcp", parse("8.8.8.8"), 443, {}).allowed
    assert not rules.peer("udp", parse("8.8.8.8"), 53, {parse("8.8.8.8"): {"a.example": None}}).allowed
    assert not rules.bind("tcp", parse("0.0.0.0"), 0).allowed
    assert not rules.bind("udp", parse("::"), 0).allowed
    assert not rules.local("tcp", parse("127.0.0.1"), 80).allowed
    assert not rules.lookup("a.example").allowed
    assert not rules.literal(parse("8.8.8.8"), {}).allowed
    assert not rules.literal(parse("0.0.0.0"), {}).allowed


# Properties. A small world, in which rules meet each other.

PORTS = [1, 22, 80, 443, 65535]
FOURS = [
    IPv4Address(text)
    for text in (
        "10.0.0.1",
        "10.0.0.2",
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "8.8.8.8",
        "8.8.4.4",
    )
]
HOSTS = ["db.internal", "metrics", "a.example.com", "b.a.example.com", "example.com", "a.example.org"]
WILDCARDS = ["*.example.com", "**.example.com", "**.a.example.com", "*.internal.example", "*.example.org"]

fours = st.one_of(st.sampled_from(FOURS), st.integers(2, 2**32 - 1).map(IPv4Address))
sixes = st.one_of(
    st.sampled_from([IPv6Address("2001:db8::1"), IPv6Address("::1"), IPv6Address("2606:4700::1")]),
    st.integers(1, 2**128 - 1).map(IPv6Address),
)
ports = st.sampled_from(PORTS)
ranges = st.tuples(ports, ports).map(lambda pair: (min(pair), max(pair)))
protocols: st.SearchStrategy[Protocol] = st.sampled_from(["tcp", "udp"])


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(st.one_of(fours, sixes))
    bits = address.max_prefixlen
    prefix = draw(st.one_of(st.just(bits), st.integers(0, bits)))
    network = ip_network(address).supernet(new_prefix=prefix)
    return str(network.network_address if prefix == bits else network)


hosts = st.one_of(networks(), st.sampled_from(HOSTS + WILDCARDS))
peers = st.lists(st.builds(Peer, host=hosts, ports=ranges, private=st.booleans()), max_size=4).map(tuple)
denials = st.lists(st.builds(DeniedPeer, host=hosts, ports=st.none() | ranges), max_size=3).map(tuple)
locals_ = st.lists(
    st.builds(Local, address=st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1"]), port=st.sampled_from([0, *PORTS])),
    max_size=3,
).map(tuple)
policies = st.builds(
    Sockets,
    connect=peers,
    send=peers,
    listen=locals_,
    bind=locals_,
    dns=st.lists(st.sampled_from(HOSTS + WILDCARDS), max_size=2).map(tuple),
    deny=denials,
)
resolved = st.dictionaries(
    st.one_of(fours, sixes).map(canonical),
    st.dictionaries(st.sampled_from(HOSTS), st.none() | st.sampled_from(HOSTS), min_size=1, max_size=2),
    max_size=3,
)


def six(value: int) -> IPv6Address:
    return IPv6Address(value)


SPELLINGS: list[Callable[[int, int], IPv6Address]] = [
    lambda four, _: six(0xFFFF << 32 | four),
    lambda four, _: six(four),
    lambda four, _: six(0xFFFF_0000 << 32 | four),
    lambda four, _: six(0x64FF9B << 96 | four),
    lambda four, more: six(0x64_FF9B_0001 << 80 | (four >> 16) << 64 | (four & 0xFFFF) << 40 | more & 0xFF),
    lambda four, more: six(0x64_FF9B_0001 << 80 | (four >> 24) << 64 | (four & 0xFFFFFF) << 32 | more & 0xFF),
    lambda four, more: six(0x64_FF9B_0001 << 80 | four << 24 | more & 0xFF),
    lambda four, more: six(0x64_FF9B_0001 << 80 | (more & 0xFFFF) << 64 | four),
    lambda four, more: six(0x2002 << 112 | four << 80 | more),
    lambda four, more: six(0x2001_0000 << 96 | more << 64 & (2**96 - 1) | (four ^ 0xFFFF_FFFF)),
    lambda four, more: six(0x2001_0000 << 96 | four << 64 | more & (2**64 - 1)),
    lambda four, more: six(0x2001_0DB8 << 96 | (more & 0xFFFF) << 64 | 0x5EFE << 32 | four),
    lambda four, more: six(0xFE80 << 112 | (more & 0xFFFF) << 64 | 0x0200_5EFE << 32 | four),
]
"""Each way to write an IPv4 address as an IPv6 one; the other bits, where there are some, are free."""


@st.composite
def disguises(draw: st.DrawFn) -> tuple[IPv4Address, IPv6Address]:
    four = draw(fours)
    return four, draw(st.sampled_from(SPELLINGS))(int(four), draw(st.integers(0, 2**64 - 1)))


@given(disguises())
def test_no_disguise_is_missed(pair: tuple[IPv4Address, IPv6Address]) -> None:
    """The IPv4 address in each disguise is found: as what the address is, or among what it embeds."""
    four, written = pair
    assert four in (canonical(written), *embedded(canonical(written)))


def covers(host: str, address: Address) -> bool:
    try:
        network = ip_network(host)
    except ValueError:
        return False
    return address.version == network.version and address in network


def within(ports: tuple[int, int] | None, port: int) -> bool:
    return ports is None or ports[0] <= port <= ports[1]


@given(policies, disguises(), ports, protocols)
def test_what_is_not_granted_is_not_reached_in_disguise(
    policy: Sockets, pair: tuple[IPv4Address, IPv6Address], port: int, protocol: Protocol
) -> None:
    """An IPv4 address that no grant covers, or a denial does, is refused in every disguise and as itself.

    A policy may write an IPv6 address whole and mean just that one; the loader refuses those that embed others.
    """
    four, written = pair
    granted = policy.connect if protocol == "tcp" else policy.send
    if any(peer.host == str(written) for peer in granted):
        return
    plain = any(covers(peer.host, four) and within(peer.ports, port) for peer in granted)
    denied_too = any(covers(d.host, four) and within(d.ports, port) for d in policy.deny)
    rules = Rules(policy)
    if not plain or denied_too:
        assert not rules.peer(protocol, four, port, {}).allowed
        assert not rules.peer(protocol, written, port, {}).allowed
    elif canonical(written) == four and not any(covers(d.host, written) for d in policy.deny):
        assert rules.peer(protocol, written, port, {}) == rules.peer(protocol, four, port, {})


@given(policies, st.one_of(fours, sixes), ports, protocols, resolved)
def test_allowed_means_granted(
    policy: Sockets, written: Address, port: int, protocol: Protocol, known: dict[Address, dict[str, str | None]]
) -> None:
    """Whatever is allowed is covered by a grant of the address, or of a name that resolved to it and takes its kind;
    and by no denial.
    """
    if not Rules(policy).peer(protocol, written, port, known).allowed:
        return
    address = canonical(written)
    granted = [p for p in (policy.connect if protocol == "tcp" else policy.send) if within(p.ports, port)]
    by_name = [
        name
        for peer in granted
        for name in known.get(address, {})
        if matches(peer.host, name) and (peer.private or kind(address) == "public")
    ]
    assert by_name or any(covers(peer.host, address) for peer in granted)
    assert kind(address) not in ("multicast", "unspecified", "broadcast")
    forms = (written, address, *embedded(address))
    assert not any(covers(d.host, form) and within(d.ports, port) for d in policy.deny for form in forms)


def matches(pattern: str, name: str) -> bool:
    """Written another way than what it checks: label by label."""
    wanted, given_ = pattern.split("."), name.split(".")
    if wanted[0] == "*":
        return len(given_) == len(wanted) and given_[1:] == wanted[1:]
    if wanted[0] == "**":
        return len(given_) >= len(wanted) and given_[-len(wanted) + 1 :] == wanted[1:]
    return wanted == given_


Judged = dict[str, bool]


def judge(policy: Sockets, written: Address, port: int, known: Names) -> Judged:
    """Everything that may be asked about one address and every name, at once."""
    rules = Rules(policy)
    out = {f"{p} peer": rules.peer(p, written, port, known).allowed for p in ("tcp", "udp")}
    out |= {f"{p} local": rules.local(p, written, port).allowed for p in ("tcp", "udp")}
    out |= {f"{p} bind": rules.bind(p, written, port).allowed for p in ("tcp", "udp")}
    out |= {"remote": rules.remote(written, port).allowed, "literal": rules.literal(written, known).allowed}
    for name in HOSTS:
        verdict = rules.lookup(name)
        out[f"lookup {name}"] = verdict.allowed
        if verdict.allowed:
            answer = rules.answer(name, verdict, Found((canonical(written),), None))
            out[f"answer {name}"] = bool(answer.addresses)
    return out


questions = st.tuples(st.one_of(fours, sixes, disguises().map(lambda pair: pair[1])), st.sampled_from([0, *PORTS]))


@given(policies, denials, questions, resolved)
def test_a_denial_never_allows(policy: Sockets, more: Any, question: tuple[Address, int], known: Names) -> None:
    """Denying more never allows anything that was refused."""
    before = judge(policy, *question, known)
    after = judge(replace(policy, deny=(*more, *policy.deny)), *question, known)
    assert [what for what, yes in after.items() if yes and not before.get(what)] == []


@given(policies, policies, questions, resolved)
def test_a_grant_never_refuses(policy: Sockets, more: Sockets, question: tuple[Address, int], known: Names) -> None:
    """Granting more never refuses anything that was allowed."""
    wider = replace(
        policy,
        connect=(*more.connect, *policy.connect),
        send=(*more.send, *policy.send),
        listen=(*more.listen, *policy.listen),
        bind=(*more.bind, *policy.bind),
        dns=(*more.dns, *policy.dns),
    )
    before, after = judge(policy, *question, known), judge(wider, *question, known)
    assert [what for what, yes in before.items() if yes and not after.get(what)] == []


@given(policies, questions, resolved, protocols)
def test_a_zone_is_refused(policy: Sockets, question: tuple[Address, int], known: Names, protocol: Protocol) -> None:
    """An address with a zone is never reached, served at or looked up."""
    written, port = question
    if isinstance(written, IPv4Address):
        return
    zoned = IPv6Address(f"{written}%eth0")
    rules = Rules(policy)
    verdicts = [
        rules.peer(protocol, zoned, port, known),
        rules.local(protocol, zoned, port),
        rules.bind(protocol, zoned, port),
        rules.literal(zoned, known),
    ]
    assert [verdict.allowed for verdict in verdicts] == [False] * 4


@given(policies, st.sampled_from(HOSTS), st.lists(st.one_of(fours, sixes).map(canonical), unique=True, max_size=5))
def test_rebinding(policy: Sockets, name: str, addresses: list[Address]) -> None:
    """Whatever a name resolves to, connecting by that name goes to a public address or one that a grant takes."""
    rules = Rules(replace(policy, deny=()))
    known = {address: {name: None} for address in addresses}
    for address in addresses:
        for port in PORTS:
            if rules.peer("tcp", address, port, known).allowed and not rules.peer("tcp", address, port, {}).allowed:
                granted = [p for p in policy.connect if matches(p.host, name) and within(p.ports, port)]
                assert granted
                assert kind(address) == "public" or any(peer.private for peer in granted)


GRANTS = {
    ("tcp", "203.0.113.7", 3333): 'sockets:\n  tcp: {connect: ["203.0.113.7:3333"]}',
    ("udp", "::ffff:10.0.0.1", 53): 'sockets:\n  udp: {send: ["10.0.0.1:53"]}',
    ("tcp", "2001:DB8::1", 443): 'sockets:\n  tcp: {connect: ["[2001:db8::1]:443"]}',
    ("tcp", "203.0.113.7", 0): None,
    ("tcp", "fe80::1%eth0", 80): None,
    ("tcp", "fe80::1", 80): None,
    ("tcp", "64:ff9b::10.0.0.1", 80): None,
    ("udp", "255.255.255.255", 80): None,
    ("udp", "0.0.0.0", 80): None,
    ("udp", "ff02::fb", 5353): None,
}


@pytest.mark.parametrize(("protocol", "written", "port"), GRANTS)
def test_what_would_grant(protocol: Protocol, written: str, port: int) -> None:
    """What is suggested is something that a policy can say, and that then allows it."""
    grant = address_grant(protocol, parse(written), port)
    assert grant == GRANTS[(protocol, written, port)]
    if grant is not None:
        rules = Rules(sockets("{" + grant.partition("\n")[2].strip() + "}"))
        assert rules.peer(protocol, parse(written), port, {}).allowed


@given(st.one_of(fours, sixes, disguises().map(lambda pair: pair[1])), st.sampled_from([0, *PORTS]), protocols)
def test_suggestions_work(written: Address, port: int, protocol: Protocol) -> None:
    """Each suggestion for an address or place is one that a policy can say, and that then allows it."""
    grant = address_grant(protocol, written, port)
    if grant is not None:
        assert Rules(sockets("{" + grant.partition("\n")[2].strip() + "}")).peer(protocol, written, port, {}).allowed
    grant = local_grant(protocol, written, port)
    if grant is not None:
        assert Rules(sockets("{" + grant.partition("\n")[2].strip() + "}")).local(protocol, written, port).allowed


@given(st.text(max_size=60))
def test_suggested_names_work(written: str) -> None:
    """Each suggestion for a name, however hostile it was written, is one that a policy can say and that allows it."""
    try:
        name = normalise(written)
    except ValueError:
        return
    if isinstance(name, str):
        grant = Rules(Sockets()).lookup(name).grant
        assert grant is not None
        assert Rules(sockets("{" + grant.partition("\n")[2].strip() + "}")).lookup(name).allowed
