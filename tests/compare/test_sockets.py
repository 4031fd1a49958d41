"""The network: hosts and ports as sets, names, local addresses, and denials."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from sandbox.compare import sockets
from sandbox.policy.addresses import kind
from tests.compare.pairs import granted

GAINED, LOST = "gained sockets.tcp.connect: can now connect to", "lost sockets.tcp.connect: can no longer connect to"


def connects(old: list[Any], new: list[Any]) -> list[str]:
    return network({"tcp": {"connect": old}}, {"tcp": {"connect": new}})


def network(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return granted({"sockets": old}, {"sockets": new})


def private(to: str) -> dict[str, Any]:
    return {"to": to, "private": True}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], ["a.test:443"], [f"{GAINED} a.test:443"]),
        (["a.test:443"], [], [f"{LOST} a.test:443"]),
        (["a.x.test:443"], ["*.x.test:443"], [f"{GAINED} *.x.test:443"]),
        (["*.x.test:443"], ["**.x.test:443"], [f"{GAINED} **.x.test:443"]),
        (["**.x.test:443"], ["*.x.test:443"], [f"{LOST} **.x.test:443"]),
        (["a.test:443"], ["a.test:440-450"], [f"{GAINED} a.test:440-442, 444-450"]),
        (["10.0.0.1:1"], ["10.0.0.0/8:1"], [f"{GAINED} 10.0.0.0/8:1"]),
        (["[2a00::1]:1"], ["[2a00::/16]:1"], [f"{GAINED} [2a00::/16]:1"]),
        (["0.0.0.0/0:1"], ["10.0.0.0/8:1"], [f"{LOST} 0.0.0.0/0:1"]),
        ([], [private("a.test:1")], [f"{GAINED} a.test:1, at private addresses too"]),
        (["a.test:1"], [private("a.test:1")], [f"{GAINED} a.test:1 at private addresses"]),
        ([private("a.test:1")], ["a.test:1"], [f"{LOST} a.test:1 at private addresses"]),
        (
            ["a.test:1"],
            [private("a.test:1-2")],
            [f"{GAINED} a.test:2, at private addresses too", f"{GAINED} a.test:1 at private addresses"],
        ),
        ([], ["a.x.test:1", "**.x.test:1-2", "*.x.test:2"], [f"{GAINED} **.x.test:1-2"]),
        (["a.test:1"], ["b.test:1"], [f"{GAINED} b.test:1", f"{LOST} a.test:1"]),
    ],
)
def test_peers(old: list[Any], new: list[Any], expected: list[str]) -> None:
    """A wildcard, a network, a range of ports and private addresses are more than what lies in them, told once."""
    assert connects(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a.test:1", "b.test:2"], ["b.test:2", "a.test:1"]),
        (["a.test:1-5", "a.test:6-9"], ["a.test:2-8"]),
        (["**.test.example:1"], ["*.test.example:1", "a.b.test.example:1"]),
        (["10.0.0.0/9:1", "10.128.0.0/9:1"], ["10.0.0.0/8:1"]),
        (["10.0.0.0/31:1-4", "10.0.0.2/32:1-2", "10.0.0.2:3-9", "10.0.0.3:1-9"], ["10.0.0.0/30:2-4"]),
        ([private("a.test:1")], ["a.test:1"]),
    ],
)
def test_what_others_cover(old: list[Any], new: list[Any]) -> None:
    """Entries that others cover, one by one or together, are no gain; what is the same is told of neither side."""
    found = connects(old, new)
    assert [line for line in found if line.startswith("gained")] == []
    assert connects(new, new) + connects(old, old) == []


def test_an_address_that_embeds_another_one() -> None:
    """Granted by itself such an address is reached; in a network only if what it embeds is granted as well."""
    assert connects(["[2a00::/16]:1"], ["[2a00::/16]:1", "[2a00::5efe:a00:1]:1"]) == [f"{GAINED} [2a00::5efe:a00:1]:1"]


def test_udp_is_another_capability() -> None:
    """What may be connected to may not be sent datagrams."""
    text = "exchange datagrams with a.test:53"
    assert network({"tcp": {"connect": ["a.test:53"]}}, {"udp": {"send": ["a.test:53"]}}) == [
        f"gained sockets.udp.send: can now {text}",
        "lost sockets.tcp.connect: can no longer connect to a.test:53",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], ["127.0.0.1:80"], ["accept connections on 127.0.0.1:80"]),
        ([], ["[::1]:0"], ["accept connections on [::1], at a port that the system chooses"]),
        (["127.0.0.1:80"], ["0.0.0.0:80"], ["accept connections on 0.0.0.0:80, every address of the machine"]),
        ([], ["127.0.0.1:80", "0.0.0.0:80"], ["accept connections on 0.0.0.0:80, every address of the machine"]),
        (["0.0.0.0:80"], ["127.0.0.1:80", "10.0.0.1:80"], []),
        (["0.0.0.0:80"], ["[::1]:80"], ["accept connections on [::1]:80"]),
        (["127.0.0.1:0"], ["127.0.0.1:80"], ["accept connections on 127.0.0.1:80"]),
    ],
)
def test_local_addresses(old: list[str], new: list[str], expected: list[str]) -> None:
    """The unspecified address stands for each of its family, at the same port alone."""
    found = network({"tcp": {"listen": old}}, {"tcp": {"listen": new}})
    assert [line for line in found if line.startswith("gained")] == [
        f"gained sockets.tcp.listen: can now {text}" for text in expected
    ]


def test_binding() -> None:
    """Receiving datagrams from anyone is a capability of its own."""
    text = "receive datagrams from anyone on 0.0.0.0, every address of the machine, at a port that the system chooses"
    assert network({}, {"udp": {"bind": ["0.0.0.0:0"]}}) == [f"gained sockets.udp.bind: can now {text}"]


def test_lookups() -> None:
    """A name that is looked up; and one that may be reached already, of which all addresses are told then."""
    reached = {"tcp": {"connect": ["a.test:1"]}}
    assert network({"dns": ["a.x.test"]}, {"dns": ["*.x.test", "b.x.test"]}) == [
        "gained dns.resolve: can now look up *.x.test"
    ]
    assert network({"dns": ["a.x.test"]}, {}) == ["lost dns.resolve: can no longer look up a.x.test"]
    assert network(reached, reached | {"dns": ["a.test"]}) == [
        "gained dns.resolve: is now told every address of a.test, not only those that it may reach"
    ]
    assert network(reached | {"dns": ["a.test"]}, reached) == [
        "lost dns.resolve: is now told only those addresses of a.test that it may reach"
    ]


REACHES = {"tcp": {"connect": ["**.x.test:80", "10.0.0.0/8:80"]}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["10.1.0.0/16"], [], ["gained sockets: is no longer denied 10.1.0.0/16"]),
        ([], ["10.1.0.0/16"], ["lost sockets: is now denied 10.1.0.0/16"]),
        (["10.1.0.0/16"], ["10.1.0.0/16:1-100"], ["gained sockets: is no longer denied 10.1.0.0/16"]),
        (["10.1.0.0/16:1-100"], ["10.1.0.0/16:1-50"], ["gained sockets: is no longer denied 10.1.0.0/16:51-100"]),
        (["10.1.0.0/16"], ["10.1.0.0/17", "10.1.128.0/17"], []),
        (["a.x.test", "10.1.0.1"], ["10.1.0.1", "*.x.test"], ["lost sockets: is now denied *.x.test"]),
        (["elsewhere.test"], [], ["gained sockets: is no longer denied elsewhere.test"]),
        (["8.8.8.0/24"], [], ["gained sockets: is no longer denied 8.8.8.0/24"]),
        (["[::/1]"], [], ["gained sockets: is no longer denied [::/1]"]),
    ],
)
def test_denials(old: list[str], new: list[str], expected: list[str]) -> None:
    """A denial that is gone, or keeps out less, is a gain where anything that is granted could fall under it."""
    found = network(REACHES | {"deny": old}, REACHES | {"deny": new})
    assert [line for line in found if not line.startswith("changed")] == expected


@pytest.mark.parametrize("denied", ["169.254.0.0/16", "192.168.0.0/16", "127.0.0.1", "192.0.2.0", "10.0.0.0/8:443"])
def test_denials_of_what_nothing_reaches(denied: str) -> None:
    """A denial that no grant touches is neither more nor less: names do not lead to private addresses by themselves."""
    text = f"denied {denied}, which nothing that is granted reaches"
    assert network(REACHES | {"deny": [denied]}, REACHES) == [f"changed sockets: is no longer {text}"]
    assert network(REACHES, REACHES | {"deny": [denied]}) == [f"changed sockets: is now {text}"]


@pytest.mark.parametrize(
    ("grants", "denied"),
    [
        ({"tcp": {"connect": [private("a.test:80")]}}, "169.254.0.0/16"),
        ({"tcp": {"listen": ["127.0.0.1:80"]}}, "203.0.113.0/24"),
        ({"dns": ["a.test"]}, "b.test"),
        ({"udp": {"send": ["[2a00::5efe:a00:1]:1"]}}, "10.0.0.0/8"),
        ({"tcp": {"connect": ["10.0.0.1:1"]}}, "[::/64]"),
    ],
)
def test_denials_that_might_matter(grants: dict[str, Any], denied: str) -> None:
    """Private names, whoever may come, aliases of names, embedded addresses and other spellings all count."""
    assert network(grants | {"deny": [denied]}, grants) == [f"gained sockets: is no longer denied {denied}"]


def test_networks_that_are_not_public() -> None:
    """Each network that is taken not to be public is so at its ends and between, by the table of kinds."""
    for network_ in sockets._NOT_PUBLIC:
        first, last = int(network_[0]), int(network_[-1])
        of = ipaddress.IPv4Address if network_.version == 4 else ipaddress.IPv6Address
        assert {kind(of(first + (last - first) * part // 64)) == "public" for part in range(65)} == {False}


def test_audit() -> None:
    """What is recorded is neither more nor less."""
    assert network(REACHES, REACHES | {"audit": "all"}) == ["changed sockets: has what was allowed recorded too"]
    assert network(REACHES | {"audit": "all"}, REACHES) == ["changed sockets: has refusals alone recorded"]


def test_many_entries_take_no_time_to_speak_of() -> None:
    """A thousand networks against a thousand others: nothing is compared with everything."""
    old = [f"10.{n // 250}.{n % 250}.0/25:{n % 3 + 1}-{n + 10}" for n in range(1000)]
    new = [f"10.{n // 250}.{n % 250}.0/24:{n % 3 + 1}-{n + 10}" for n in range(1000)]
    assert len(connects(old, new)) == 1000
