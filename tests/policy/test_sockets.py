"""``sockets`` in a policy: what is read as what, and what is wrong with a grant that cannot mean what it says."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.policy.errors import PolicyError
from sandbox.policy.hosts import covering, network_of
from sandbox.policy.model import DeniedPeer, Grants, Local, Peer, Sockets
from sandbox.policy.sockets import MAX_ENTRIES
from tests.policy.policies import load_text


def grants_of(sockets: str) -> Grants:
    """The grants of a component whose ``sockets`` key is followed by ``sockets``."""
    return load_text(f"version: 1\ncomponents: {{a: {{grants: {{sockets: {sockets}}}}}}}").components[0].grants


def faults_of(sockets: str) -> list[str]:
    """What is wrong with ``sockets``: routes from below it, and messages."""
    with pytest.raises(PolicyError) as caught:
        grants_of(sockets)
    told = [line.partition(": ")[2] for line in str(caught.value).split("\n")]
    assert all(line.startswith("components.a.grants.sockets.") for line in told)
    return [line.removeprefix("components.a.grants.sockets.") for line in told]


# -- What is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "peer"),
    [
        ("db.internal:5432", Peer(host="db.internal", ports=(5432, 5432))),
        ("a_b:1", Peer(host="a_b", ports=(1, 1))),
        ("'*.a.com:80'", Peer(host="*.a.com", ports=(80, 80))),
        ("'**.a.com:1-65535'", Peer(host="**.a.com", ports=(1, 65535))),
        ("xn--bcher-kva.example:443", Peer(host="xn--bcher-kva.example", ports=(443, 443))),
        ("10.2.0.53:53", Peer(host="10.2.0.53", ports=(53, 53))),
        ("10.2.0.0/16:8000-8100", Peer(host="10.2.0.0/16", ports=(8000, 8100))),
        ("10.2.0.53/32:53", Peer(host="10.2.0.53", ports=(53, 53))),
        ("0.0.0.0/0:443", Peer(host="0.0.0.0/0", ports=(443, 443))),
        ("127.0.0.1:80", Peer(host="127.0.0.1", ports=(80, 80))),
        ("169.254.169.254:80", Peer(host="169.254.169.254", ports=(80, 80))),
        ("'[2001:DB8:0:0::0001]:53'", Peer(host="2001:db8::1", ports=(53, 53))),
        ("'[2001:0db8::/32]:53'", Peer(host="2001:db8::/32", ports=(53, 53))),
        ("'[2001:db8::1/128]:53'", Peer(host="2001:db8::1", ports=(53, 53))),
        ("'[::1]:80'", Peer(host="::1", ports=(80, 80))),
        ("'[::/0]:443'", Peer(host="::/0", ports=(443, 443))),
        ("{to: 'metrics:9090', private: true}", Peer(host="metrics", ports=(9090, 9090), private=True)),
        ("{to: 'localhost:80', private: true}", Peer(host="localhost", ports=(80, 80), private=True)),
        ("{to: 'a.b:1', private: false}", Peer(host="a.b", ports=(1, 1))),
        ("{to: '10.2.0.53:53', private: true}", Peer(host="10.2.0.53", ports=(53, 53), private=True)),
        ("{to: '10.2.0.0/16:53', private: true}", Peer(host="10.2.0.0/16", ports=(53, 53), private=True)),
        ("{to: '127.0.0.1:80', private: true}", Peer(host="127.0.0.1", ports=(80, 80), private=True)),
        ("{to: '169.254.0.0/16:80', private: true}", Peer(host="169.254.0.0/16", ports=(80, 80), private=True)),
        ("{to: '168.63.129.16:80', private: true}", Peer(host="168.63.129.16", ports=(80, 80), private=True)),
        ("{to: '100.64.0.0/10:80', private: true}", Peer(host="100.64.0.0/10", ports=(80, 80), private=True)),
        ("{to: '203.0.113.7:80', private: true}", Peer(host="203.0.113.7", ports=(80, 80), private=True)),
        ("{to: '[fd00::/8]:80', private: true}", Peer(host="fd00::/8", ports=(80, 80), private=True)),
        ("{to: '[::1]:80', private: true}", Peer(host="::1", ports=(80, 80), private=True)),
        ("{to: '[2a00::5efe:a00:1]:80', private: true}", Peer(host="2a00::5efe:a00:1", ports=(80, 80), private=True)),
    ],
)
def test_a_peer_is_read_in_its_canonical_form(written: str, peer: Peer) -> None:
    """Each spelling that is allowed gives one form of host, for connecting and for sending."""
    assert grants_of(f"{{tcp: {{connect: [{written}]}}}}") == Grants(sockets=Sockets(connect=(peer,)))
    assert grants_of(f"{{udp: {{send: [{written}]}}}}") == Grants(sockets=Sockets(send=(peer,)))


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("127.0.0.1:8080", Local(address="127.0.0.1", port=8080)),
        ("0.0.0.0:0", Local(address="0.0.0.0", port=0)),
        ("'[::]:53'", Local(address="::", port=53)),
        ("'[0:0:0:0:0:0:0:1]:0'", Local(address="::1", port=0)),
        ("10.0.0.1:65535", Local(address="10.0.0.1", port=65535)),
    ],
)
def test_a_local_address_is_read_in_its_canonical_form(written: str, local: Local) -> None:
    """One address and one port, for accepting connections and for receiving datagrams."""
    assert grants_of(f"{{tcp: {{listen: [{written}]}}}}") == Grants(sockets=Sockets(listen=(local,)))
    assert grants_of(f"{{udp: {{bind: [{written}]}}}}") == Grants(sockets=Sockets(bind=(local,)))


@pytest.mark.parametrize(
    ("written", "denied"),
    [
        ("169.254.0.0/16", DeniedPeer(host="169.254.0.0/16")),
        ("10.0.0.1:22", DeniedPeer(host="10.0.0.1", ports=(22, 22))),
        ("'*.a.com:80-90'", DeniedPeer(host="*.a.com", ports=(80, 90))),
        ("a.b", DeniedPeer(host="a.b")),
        ("'**.internal'", DeniedPeer(host="**.internal")),
        ("'[fe80::/10]'", DeniedPeer(host="fe80::/10")),
        ("'[64:ff9b::/96]'", DeniedPeer(host="64:ff9b::/96")),
        ("224.0.0.0/4", DeniedPeer(host="224.0.0.0/4")),
        ("0.0.0.0/0", DeniedPeer(host="0.0.0.0/0")),
        ("localhost", DeniedPeer(host="localhost")),
    ],
)
def test_a_denial_may_name_what_no_grant_can(written: str, denied: DeniedPeer) -> None:
    """Whole top-level domains, multicast and forms that lead to IPv4 can be denied, with or without ports."""
    assert grants_of(f"{{deny: [{written}]}}") == Grants(sockets=Sockets(deny=(denied,)))


def test_names_to_look_up() -> None:
    """Names and wildcards, without ports."""
    assert grants_of("{dns: [db.internal, localhost, '**.a.com']}") == Grants(
        sockets=Sockets(dns=("db.internal", "localhost", "**.a.com"))
    )


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{}", None),
        ("{tcp: {}, udp: {send: []}, dns: [], deny: [], audit: refusals}", None),
        ("{audit: all}", Sockets(audit_all=True)),
        ("{deny: [a.b]}", Sockets(deny=(DeniedPeer(host="a.b"),))),
    ],
)
def test_what_grants_nothing(written: str, found: Sockets | None) -> None:
    """An empty section is the same as none; denials and ``audit`` alone grant nothing."""
    assert grants_of(written) == Grants(sockets=found)
    assert found is None or not found.grants_something


def test_each_entry_has_its_place() -> None:
    """An event can name the line of the very entry that decided."""
    policy = load_text(
        "version: 1\n"
        "components:\n"
        "  a:\n"
        "    grants:\n"
        "      sockets:\n"
        "        tcp:\n"
        "          connect:\n"
        "            - a.b:1\n"
        "            - {to: 'c.d:1', private: true}\n"
        "        deny: [10.0.0.0/8]\n"
    )
    root = "components.a.grants.sockets"
    assert [
        policy.place(root + route).line for route in (".tcp.connect[0]", ".tcp.connect[1]", ".deny[0]", ".dns[0]")
    ] == [8, 9, 10, 5]


# -- What is wrong --------------------------------------------------------------------------------------------------

_PEERS = [
    ("db.internal", "'db.internal' has no port: write 'host:port'"),
    ("':80'", "the host is missing"),
    ("a.b:0", "a port is a number from 1 to 65535, not 0"),
    ("10.0.0.0/8:0-80", "a port is a number from 1 to 65535, not 0"),
    ("a.b:65536", "a port is a number from 1 to 65535, not 65536"),
    ("a.b:http", "'http' is not a port or a range of ports, as in '443' or '8000-8080'"),
    ("a.b:080", "'080' is not a port or a range of ports, as in '443' or '8000-8080'"),
    ("'a.b:*'", "a port must be a number or a range: write 1-65535 for every port"),
    ("a.b:9-8", "the range of ports '9-8' must go from a lower to a higher port"),
    ("10.0.0.0:443/8", "'443/8' is not a port: a prefix stands before the port, as in '10.2.0.0/16:443'"),
    (
        "https://a.b:443",
        "'https://a.b:443' is a URL: write the host and port alone, as in 'example.com:443'",
    ),
    ("'*:80'", "'*' would grant every host: name the hosts"),
    ("'**:80'", "'**' would grant every host: name the hosts"),
    ("'*.com:80'", "'*.com' would grant every host in 'com': name a domain below it"),
    ("'**.localhost:80'", "'**.localhost' would grant every host in 'localhost': name a domain below it"),
    ("'a.*.com:80'", "'a.*.com': a wildcard is a whole first label, as in '*.example.com' or '**.example.com'"),
    ("'a*.b.com:80'", "'a*.b.com': a wildcard is a whole first label, as in '*.example.com' or '**.example.com'"),
    ("'10.2.*.*:80'", "'10.2.*.*': a wildcard stands before a name only: write a network, as in '10.2.0.0/16'"),
    ("'*.0.0.1:80'", "'*.0.0.1': a wildcard stands before a name only: write a network, as in '10.2.0.0/16'"),
    ("'[2001:*]:80'", "'[2001:*]': a wildcard stands before a name only: write a network, as in '10.2.0.0/16'"),
    ("'*.a.com/8:80'", "'*.a.com/8': a wildcard stands before a name only: write a network, as in '10.2.0.0/16'"),
    ("A.b:80", "'A.b': write names in lower case (did you mean 'a.b'?)"),
    ("a.b.:80", "'a.b.': write a name without the final dot (did you mean 'a.b'?)"),
    ("bücher.example:80", "'bücher.example': write an international name in its ASCII form (xn--...)"),
    ("-a.b:80", "'-a.b' is not a host name"),
    ("a..b:80", "'a..b' is not a host name"),
    ("user@a.b:80", "'user@a.b' is not a host name"),
    ("localhost:80", "'localhost' is this machine itself: say so with 'private: true', or write its address"),
    ("a.localhost:80", "'a.localhost' is this machine itself: say so with 'private: true', or write its address"),
    ("1.2.3.256:80", "'1.2.3.256' is not an IPv4 address or network"),
    ("a.0x7f:80", "'a.0x7f' is not an IPv4 address or network"),
    ("127.1:80", "'127.1' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("0x7f.1:80", "'0x7f.1' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("0X7F.1:80", "'0X7F.1' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("010.0.0.1:80", "'010.0.0.1' is read as the address 8.0.0.1 by resolvers: write '8.0.0.1'"),
    ("2130706433:80", "'2130706433' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("'017700000001:80'", "'017700000001' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("10.2.0.1/16:80", "'10.2.0.1/16' has bits set after its prefix: write '10.2.0.0/16', or one address"),
    ("10.0.0.0/255.0.0.0:80", "'10.0.0.0/255.0.0.0' is not an IPv4 address or network"),
    ("10.0.0.0/33:80", "'10.0.0.0/33' is not an IPv4 address or network"),
    ("10.0.0.0/8.example.com:80", "'10.0.0.0/8.example.com' mixes a network and a name: write one of the two"),
    ("db.internal/24:80", "'db.internal/24': only a network has a prefix, and 'db.internal' is a name"),
    ("'2001:db8::1:80'", "'2001:db8::1:80': an IPv6 address stands in brackets, as in '[2001:db8::1]:443'"),
    ("'[2001:db8::1:80'", "'[2001:db8::1:80': '[' is not closed"),
    ("'[2001:db8::1]80'", "'[2001:db8::1]80': ':' and a port must follow ']'"),
    (
        "'[2001:db8::]/32:80'",
        "'[2001:db8::]/32:80': the prefix stands inside the brackets, as in '[2001:db8::/32]:443'",
    ),
    ("'[2001:db8::1]'", "'[2001:db8::1]' has no port: write 'host:port'"),
    (
        "'[2001:db8::1/32]:1'",
        "'[2001:db8::1/32]' has bits set after its prefix: write '[2001:db8::/32]', or one address",
    ),
    ("'[::ffff:10.0.0.1]:1'", "'[::ffff:10.0.0.1]' maps an IPv4 address: write the IPv4 address"),
    ("'[::ffff:0:0/96]:1'", "'[::ffff:0:0/96]' maps an IPv4 address: write the IPv4 address"),
    ("'[fe80::1%eth0]:1'", "'[fe80::1%eth0]': an address with a zone cannot be granted"),
    ("'[10.0.0.1]:1'", "'[10.0.0.1]': brackets are for IPv6 addresses: write the IPv4 address without them"),
    ("'[db.internal]:1'", "'[db.internal]': brackets are for IPv6 addresses: write the name without them"),
    ("'[2001:db8:::1]:1'", "'[2001:db8:::1]' is not an IPv6 address or network"),
    ("0.0.0.0:80", "'0.0.0.0' is no machine's address: it stands for 'this host' or 'this network'"),
    ("0.1.0.0/16:80", "'0.1.0.0/16' is no machine's address: it stands for 'this host' or 'this network'"),
    ("'[::]:80'", "'[::]' is no machine's address: it stands for 'this host'"),
    ("224.0.0.251:5353", "'224.0.0.251' is multicast, which is never granted"),
    ("239.0.0.0/8:80", "'239.0.0.0/8' is multicast, which is never granted"),
    ("'[ff02::1]:80'", "'[ff02::1]' is multicast, which is never granted"),
    ("255.255.255.255:67", "'255.255.255.255' is broadcast, which is never granted"),
    (
        "'[fe80::1]:80'",
        "'[fe80::1]' is reached through a zone only (fe80::1%eth0), and an address with a zone is never granted",
    ),
    (
        "'[::10.0.0.1]:1'",
        "'[::10.0.0.1]' leads to an IPv4 address (IPv4-compatible): write the IPv4 address, or a name",
    ),
    ("'[64:ff9b::a00:1]:1'", "'[64:ff9b::a00:1]' leads to an IPv4 address (NAT64): write the IPv4 address, or a name"),
    ("'[64:ff9b:1::/48]:1'", "'[64:ff9b:1::/48]' leads to an IPv4 address (NAT64): write the IPv4 address, or a name"),
    (
        "'[::ffff:0:10.0.0.1]:1'",
        "'[::ffff:0:10.0.0.1]' leads to an IPv4 address (IPv4-translated): write the IPv4 address, or a name",
    ),
    ("'[2002:a00::/24]:1'", "'[2002:a00::/24]' leads to an IPv4 address (6to4): write the IPv4 address, or a name"),
    ("'[2001:0:1::]:1'", "'[2001:0:1::]' leads to an IPv4 address (Teredo): write the IPv4 address, or a name"),
    (
        "5",
        "must be a host and port, as in 'db.internal:5432', or {to: host:port, private: true}, not the number 5",
    ),
]
_LOCALS = [
    ("localhost:80", "'localhost:80': write the address to listen on, as in '127.0.0.1:8080'"),
    ("127.0.0.0/8:80", "'127.0.0.0/8' is a network: write one address"),
    ("127.0.0.1", "'127.0.0.1' has no port: write 'address:port', with port 0 to let the system choose"),
    ("127.0.0.1:1-2", "'127.0.0.1:1-2': write one port, or 0 to let the system choose"),
    ("127.0.0.1:*", "'127.0.0.1:*': write one port, or 0 to let the system choose"),
    ("127.0.0.1:70000", "a port is a number from 0 to 65535, not 70000"),
    ("127.1:80", "'127.1' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("0:80", "'0' is read as the address 0.0.0.0 by resolvers: write '0.0.0.0'"),
    ("224.0.0.1:80", "'224.0.0.1' is multicast, which is never granted"),
    ("255.255.255.255:80", "'255.255.255.255' is broadcast, which is never granted"),
    ("'[::ffff:127.0.0.1]:80'", "'[::ffff:127.0.0.1]' maps an IPv4 address: write the IPv4 address"),
    (
        "'[fe80::1]:80'",
        "'[fe80::1]' is reached through a zone only (fe80::1%eth0), and an address with a zone is never granted",
    ),
]
_NAMES = [
    ("a.b:53", "'a.b:53' is no name: 'dns' lists names without ports"),
    ("10.0.0.1", "'10.0.0.1' is no name: 'dns' lists names without ports"),
    ("10.0.0.0/8", "'10.0.0.0/8' is no name: 'dns' lists names without ports"),
    ("'[2001:db8::1]'", "'[2001:db8::1]' is no name: 'dns' lists names without ports"),
    ("0x7f.1", "'0x7f.1' is no name: 'dns' lists names without ports"),
    ("'*'", "'*' would grant every host: name the hosts"),
    ("'*.com'", "'*.com' would grant every host in 'com': name a domain below it"),
    ("A.b", "'A.b': write names in lower case (did you mean 'a.b'?)"),
]
_DENIED = [
    ("a.b.c.*", "'a.b.c.*': a wildcard is a whole first label, as in '*.example.com' or '**.example.com'"),
    ("'*'", "'*' would refuse every host: remove the grants instead"),
    ("'[::ffff:10.0.0.0/104]'", "'[::ffff:10.0.0.0/104]' maps an IPv4 address: write the IPv4 address"),
    ("10.0.0.1/8", "'10.0.0.1/8' has bits set after its prefix: write '10.0.0.0/8', or one address"),
    ("'127.1'", "'127.1' is read as the address 127.0.0.1 by resolvers: write '127.0.0.1'"),
    ("a.b:0", "a port is a number from 1 to 65535, not 0"),
]


@pytest.mark.parametrize(
    ("written", "route", "message"),
    [
        *((f"{{tcp: {{connect: [{peer}]}}}}", "tcp.connect[0]", said) for peer, said in _PEERS),
        *((f"{{udp: {{bind: [{local}]}}}}", "udp.bind[0]", said) for local, said in _LOCALS),
        *((f"{{dns: [{name}]}}", "dns[0]", said) for name, said in _NAMES),
        *((f"{{deny: [{host}]}}", "deny[0]", said) for host, said in _DENIED),
        ("{udp: {send: [{to: 'a.b:0'}]}}", "udp.send[0].to", "a port is a number from 1 to 65535, not 0"),
        (
            "{tcp: {connect: [{to: 'a.b:1', private: yes}]}}",
            "tcp.connect[0].private",
            "must be true or false, not 'yes' (did you mean 'true'?)",
        ),
        (
            "{udp: {send: [{to: '93.184.216.34:1', private: true}]}}",
            "udp.send[0].private",
            "'93.184.216.34' is a public address: 'private: true' says that one is meant which is not public",
        ),
        (
            "{tcp: {connect: [{to: '[2a00::/32]:1', private: true}]}}",
            "tcp.connect[0].private",
            "'[2a00::/32]' holds public addresses: 'private: true' says that one is meant which is not public",
        ),
        (
            "{tcp: {connect: [{to: '8.0.0.0/6:1', private: true}]}}",
            "tcp.connect[0].private",
            "'8.0.0.0/6' holds public addresses: 'private: true' says that one is meant which is not public",
        ),
        (
            "{udp: {send: [{to: '10.0.0.1:1', private: false}]}}",
            "udp.send[0].private",
            "is about names where it is false: an address is granted as it is written, so leave it out",
        ),
        (
            "{udp: {send: [{to: '[2001:db8::/32]:1', private: false}]}}",
            "udp.send[0].private",
            "is about names where it is false: an address is granted as it is written, so leave it out",
        ),
        ("{audit: none}", "audit", "must be 'refusals' or 'all', not 'none'"),
    ],
    ids=lambda text: str(text)[:60],
)
def test_a_grant_that_cannot_mean_what_it_says(written: str, route: str, message: str) -> None:
    """One fault, with the place and what to write instead."""
    assert faults_of(written) == [f"{route}: {message}"]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (
            "{tcp: {connect: [a.b:1, c.d:1, a.b:1]}}",
            "tcp.connect[2]: names the same as tcp.connect[0]: keep one of the two",
        ),
        (
            "{tcp: {connect: [a.b:1, {to: 'a.b:1', private: true}]}}",
            "tcp.connect[1]: names the same as tcp.connect[0]: keep one of the two",
        ),
        (
            "{udp: {send: ['[2001:db8::1]:1', '[2001:DB8:0::1]:1']}}",
            "udp.send[1]: names the same as udp.send[0]: keep one of the two",
        ),
        (
            "{tcp: {listen: ['[::1]:1', '[0::1]:1']}}",
            "tcp.listen[1]: names the same as tcp.listen[0]: keep one of the two",
        ),
        ("{udp: {bind: [0.0.0.0:0, 0.0.0.0:0]}}", "udp.bind[1]: names the same as udp.bind[0]: keep one of the two"),
        ("{dns: [a.b, a.b]}", "dns[1]: names the same as dns[0]: keep one of the two"),
        (
            "{deny: [10.0.0.1/32, 10.0.0.1]}",
            "deny[1]: names the same as deny[0]: keep one of the two",
        ),
    ],
)
def test_an_entry_that_is_there_twice(written: str, fault: str) -> None:
    """The second one is a fault that names the first, however the two are spelled."""
    assert faults_of(written) == [fault]


@pytest.mark.parametrize(
    ("grant", "deny"),
    [
        ("tcp: {connect: [a.b:1]}", "a.b"),
        ("tcp: {connect: [a.b:10-20]}", "a.b:10-20"),
        ("tcp: {connect: [a.b.c:1]}", "'*.b.c'"),
        ("tcp: {connect: [a.b.c:1]}", "'**.c'"),
        ("tcp: {connect: ['*.b.c:1']}", "'*.b.c'"),
        ("tcp: {connect: ['*.b.c:1']}", "'**.b.c:1-2'"),
        ("tcp: {connect: ['**.b.c:1']}", "'**.c'"),
        ("udp: {send: [10.2.0.53:53]}", "10.0.0.0/8"),
        ("udp: {send: [10.2.0.0/16:53]}", "10.2.0.0/16:53"),
        ("udp: {send: ['[2001:db8::1]:53']}", "'[::/0]'"),
        ("tcp: {listen: [127.0.0.1:80]}", "127.0.0.0/8"),
        ("tcp: {listen: [127.0.0.1:80]}", "127.0.0.1:80-90"),
        ("udp: {bind: ['[::1]:0']}", "'[::1]'"),
        ("dns: [a.b]", "a.b"),
        ("dns: ['*.b.c']", "'**.c:1-65535'"),
    ],
)
def test_a_grant_that_a_denial_covers_wholly(grant: str, deny: str) -> None:
    """It could never be in effect: a fault at the grant, which names the denial."""
    route = ".".join(re.findall(r"[a-z]+(?=:)", grant)[: 1 if grant.startswith("dns") else 2]) + "[0]"
    assert faults_of(f"{{{grant}, deny: [x.y, {deny}]}}") == [
        f"{route}: is never in effect, since deny[1] covers all of it: remove one of the two"
    ]


@pytest.mark.parametrize(
    "written",
    [
        "{tcp: {connect: [a.b:10-20]}, deny: [a.b:10-19, a.b:20]}",
        "{tcp: {connect: ['**.b.c:1']}, deny: ['*.b.c']}",
        "{tcp: {connect: ['b.c:1']}, deny: ['*.b.c', '**.b.c']}",
        "{tcp: {connect: [10.0.0.0/8:1]}, deny: [10.0.0.0/9]}",
        "{tcp: {connect: [10.0.0.1:1]}, deny: ['[::/0]', a.b]}",
        "{tcp: {connect: ['[2001:db8::1]:1']}, deny: [0.0.0.0/0]}",
        "{dns: [a.b], deny: [a.b:53]}",
        "{tcp: {listen: [0.0.0.0:80]}, udp: {bind: ['[::]:80']}, deny: [0.0.0.0/0, '[::/0]']}",
        "{tcp: {listen: [127.0.0.1:80, 127.0.0.1:0]}, deny: [127.0.0.1:1-79, 127.0.0.1:81]}",
        "{tcp: {connect: [a.b:1]}, udp: {send: [a.b:1]}}",
    ],
)
def test_a_grant_that_keeps_something(written: str) -> None:
    """What one denial does not cover wholly loads: ports alone do not deny a look-up, nor hosts "every address"."""
    assert grants_of(written).sockets is not None


def test_all_that_is_wrong_with_a_list_is_told_at_once() -> None:
    """A fault in one entry hides none between others."""
    assert faults_of("{tcp: {connect: [a.b:0, a.b:1, a.b:1, '*:1']}, deny: [{to: x}, 10.0.0.1/8]}") == [
        "tcp.connect[0]: a port is a number from 1 to 65535, not 0",
        "tcp.connect[2]: names the same as tcp.connect[1]: keep one of the two",
        "tcp.connect[3]: '*' would grant every host: name the hosts",
        "deny[0]: must be a host, with or without a port, not a mapping",
        "deny[1]: '10.0.0.1/8' has bits set after its prefix: write '10.0.0.0/8', or one address",
    ]


def test_a_list_is_bounded() -> None:
    """What each call is judged by stays short; and the longest lists that load are checked in a moment."""
    over: list[Any] = [f"h{number}.example:80" for number in range(MAX_ENTRIES + 1)]
    assert faults_of(json.dumps({"tcp": {"connect": over}})) == [
        "tcp.connect: has 1,001 entries: more than 1,000 are not taken; write networks or wildcards"
    ]
    denied = [f"10.{number // 250}.{number % 250}.0/24:{number + 1}" for number in range(MAX_ENTRIES)]
    send = [f"10.{number // 250}.{number % 250}.1:{number + 2}" for number in range(MAX_ENTRIES)]
    start = time.process_time()
    found = grants_of(json.dumps({"tcp": {"connect": over[1:]}, "udp": {"send": send}, "deny": denied})).sockets
    assert found is not None
    assert (len(found.connect), len(found.send), len(found.deny)) == (1000, 1000, 1000)
    assert time.process_time() - start < 10


# -- Properties -----------------------------------------------------------------------------------------------------

_PART = st.one_of(
    st.integers(0, 300).map(str),
    st.integers(0, 2**32).map(str),
    st.integers(0, 255).map(hex),
    st.integers(0, 255).map("0{:o}".format),
    st.sampled_from(["08", "0x", "0xg", "", "a"]),
)


@given(st.lists(_PART, min_size=1, max_size=5).map(".".join))
def test_no_numeric_spelling_passes_for_a_name(text: str) -> None:
    """What the C library takes for an address is granted in its plain form only, and never as a name."""
    try:
        address = socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return
    written = json.dumps({"tcp": {"listen": [f"{text}:80"]}})
    never = re.fullmatch(r"0\.(?!0\.0\.0$).*|22[4-9]\..*|23[0-9]\..*|255\.255\.255\.255", address)
    if text == address and not never:
        assert grants_of(written).sockets == Sockets(listen=(Local(address=address, port=80),))
    else:
        told = "is never granted|is no machine's address" if text == address else f"write '{re.escape(address)}'"
        with pytest.raises(PolicyError, match=told):
            grants_of(written)


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**32 - 1), st.integers(0, 128))
def test_every_network_around_an_address_covers_it(number: int, prefix: int) -> None:
    """``covering`` names exactly the networks that hold an address, each in canonical form."""
    network = ipaddress.IPv6Network((number >> (128 - prefix) << (128 - prefix), prefix))
    written = str(network.network_address) if prefix == 128 else str(network)
    found = list(covering(written))
    assert found[0] == written
    assert [network_of(host) for host in found] == [network.supernet(new_prefix=n) for n in range(prefix, -1, -1)]


_LABEL = st.sampled_from(["a", "b", "c"])


def matches(rule: str, name: str) -> bool:
    """Whether a name is one of those that a rule names, by the manual."""
    star, _, rest = rule.partition(".")
    if star not in ("*", "**"):
        return rule == name
    front = name.removesuffix(f".{rest}")
    return front != name and front != "" and (star == "**" or "." not in front)


_HOST = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)
_RULE = _HOST | st.builds("{}.{}".format, st.sampled_from(["*", "**"]), _HOST)


@given(_RULE, _RULE, _HOST)
def test_a_rule_that_covers_another_matches_each_of_its_names(outer: str, inner: str, name: str) -> None:
    """No denial is said to cover a grant while a name is left."""
    if outer in covering(inner) and matches(inner, name):
        assert matches(outer, name)
