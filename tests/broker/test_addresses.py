"""Addresses and names in canonical form: every spelling of one is one, and nothing numeric is left a name."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from sandbox.broker.names import MAX_ADDRESSES, Found, ResolverError, found, look_up, normalise
from sandbox.policy import addresses
from sandbox.policy.addresses import (
    EMBEDDING,
    NEVER,
    canonical,
    embedded,
    kind,
    kinds,
    numeric,
    parse,
    parts,
    shown,
    zone,
)
from sandbox.policy.hosts import read_host

fours = st.integers(0, 2**32 - 1).map(IPv4Address)
sixes = st.integers(0, 2**128 - 1).map(IPv6Address)

KINDS = [
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("1.0.0.0", "public"),
    ("9.255.255.255", "public"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("11.0.0.0", "public"),
    ("93.184.216.34", "public"),
    ("100.63.255.255", "public"),
    ("100.64.0.0", "private"),
    ("100.100.100.200", "metadata"),
    ("100.127.255.255", "private"),
    ("100.128.0.0", "public"),
    ("126.255.255.255", "public"),
    ("127.0.0.0", "loopback"),
    ("127.255.255.255", "loopback"),
    ("128.0.0.0", "public"),
    ("168.63.129.16", "metadata"),
    ("168.63.129.17", "public"),
    ("169.253.255.255", "public"),
    ("169.254.0.0", "link-local"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "metadata"),
    ("169.254.255.255", "link-local"),
    ("172.15.255.255", "public"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("172.32.0.0", "public"),
    ("192.0.0.1", "reserved"),
    ("192.0.0.192", "metadata"),
    ("192.0.2.1", "reserved"),
    ("192.88.99.1", "reserved"),
    ("192.167.255.255", "public"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("192.169.0.0", "public"),
    ("198.17.255.255", "public"),
    ("198.18.0.0", "reserved"),
    ("198.19.255.255", "reserved"),
    ("198.51.100.1", "reserved"),
    ("203.0.113.7", "reserved"),
    ("223.255.255.255", "public"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "unspecified"),
    ("::127.0.0.1", "loopback"),
    ("::8.8.8.8", "reserved"),
    ("::ffff:0:10.0.0.1", "private"),
    ("::ffff:0:8.8.8.8", "reserved"),
    ("64:ff9b::8.8.8.8", "public"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b::224.0.0.1", "multicast"),
    ("64:ff9b:1::8.8.8.8", "unspecified"),
    ("64:ff9b:1:808:8:800::", "unspecified"),
    ("64:ff9b:1:808:808:808:808:808", "private"),
    ("64:ff9b:2::1", "reserved"),
    ("100::1", "reserved"),
    ("1fff:ffff::", "reserved"),
    ("2001::1", "unspecified"),
    ("2001:0:808:808:0:0:f7f7:f7f7", "reserved"),
    ("2001:0:808:808:0:0:f5ff:fffe", "private"),
    ("2001:1ff:ffff::1", "reserved"),
    ("2001:200::1", "public"),
    ("2001:db8::1", "reserved"),
    ("2001:4860:4860::8888", "public"),
    ("2001:4860:4860::5efe:10.0.0.1", "private"),
    ("2001:4860:4860:0:200:5efe:10.0.0.1", "private"),
    ("2001:4860:4860:0:400:5efe:10.0.0.1", "public"),
    ("2002:808:808::1", "reserved"),
    ("2002:7f00:1::1", "loopback"),
    ("2606:4700::1111", "public"),
    ("3fff:0fff::1", "reserved"),
    ("3fff:1000::1", "public"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fbff::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fdff::1", "private"),
    ("fe7f::1", "reserved"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "private"),
    ("ff02::1", "multicast"),
    ("ffff::1", "multicast"),
]


@pytest.mark.parametrize(("text", "expected"), KINDS)
def test_kind(text: str, expected: str) -> None:
    """Each address is of the kind that its network says, at both of its ends; what it embeds is looked at first."""
    assert kind(parse(text)) == expected


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("8.8.8.0/24", [("8.8.8.0/24", "public")]),
        ("10.2.0.0/16", [("10.2.0.0/16", "private")]),
        ("168.63.129.16", [("168.63.129.16/32", "metadata")]),
        ("172.0.0.0/8", [("172.16.0.0/12", "private"), ("172.0.0.0/8", "public")]),
        (
            "169.254.0.0/16",
            [("169.254.169.254/32", "metadata"), ("169.254.170.0/24", "metadata"), ("169.254.0.0/16", "link-local")],
        ),
        ("64:ff9b::a00:1", [("64:ff9b::a00:1/128", "private")]),
        ("2000::/15", [("2001::/23", "reserved"), ("2001:db8::/32", "reserved"), ("2000::/15", "public")]),
    ],
)
def test_the_kinds_that_a_network_holds(network: str, expected: list[tuple[str, str]]) -> None:
    """Each narrower part with its kind, then the rest; one address is of its own kind, with what it embeds."""
    found = list(parts(ip_network(network)))
    assert [(str(part), what) for part, what in found] == expected
    assert kinds(ip_network(network)) == {what for _, what in expected}


@given(fours | sixes, st.integers(0, 128), st.integers(0, 2**128 - 1))
def test_the_first_part_that_holds_an_address_says_its_kind(
    address: IPv4Address | IPv6Address, cut: int, at: int
) -> None:
    """Whatever the network around it, but for what it embeds."""
    prefix = min(cut, address.max_prefixlen - 1)
    network = (IPv6Network if address.version == 6 else IPv4Network)((int(address), prefix), strict=False)
    inside = network[at % network.num_addresses]
    if not embedded(inside):
        assert next(what for part, what in parts(network) if inside in part) == kind(inside)


@given(st.one_of(fours, sixes))
def test_what_the_library_calls_private_is_not_public(address: IPv4Address | IPv6Address) -> None:
    """Nothing that the standard library knows not to be global is public here."""
    address = canonical(address)
    if not address.is_global:
        assert kind(address) != "public"


EMBEDDED = [
    ("::", ()),
    ("::1", ()),
    ("::0.0.0.2", ("0.0.0.2",)),
    ("::10.0.0.1", ("10.0.0.1",)),
    ("::ffff:0:10.0.0.1", ("10.0.0.1",)),
    ("64:ff9b::10.0.0.1", ("10.0.0.1",)),
    ("64:ff9b:1::10.0.0.1", ("0.0.0.0", "0.0.0.10", "10.0.0.1")),
    ("64:ff9b:1:a00:0:100::", ("10.0.0.1", "0.0.1.0", "0.1.0.0", "0.0.0.0")),
    ("64:ff9b:1:0a:0:1::", ("0.10.0.0", "10.0.0.1", "0.0.1.0", "0.0.0.0")),
    ("64:ff9b:1:0:a:0:100:0", ("0.0.10.0", "0.10.0.0", "10.0.0.1", "1.0.0.0")),
    ("2002:a00:1::5", ("10.0.0.1",)),
    ("2001:0:a00:1::f5ff:fffd", ("10.0.0.1", "10.0.0.2")),
    ("2001:db8::5efe:10.0.0.1", ("10.0.0.1",)),
    ("2002:a00:1::5efe:10.0.0.2", ("10.0.0.1", "10.0.0.2")),
    ("2001:db8::1", ()),
    ("10.0.0.1", ()),
]


@pytest.mark.parametrize(("text", "expected"), EMBEDDED)
def test_embedded(text: str, expected: tuple[str, ...]) -> None:
    """Every IPv4 address that an IPv6 address may lead to is found, in each form."""
    assert embedded(parse(text)) == tuple(map(IPv4Address, expected))


def test_zones_and_mapped_addresses() -> None:
    """A zone is seen apart from the address; a mapped address is the IPv4 address, with a zone or without."""
    assert [zone(parse(t)) for t in ("fe80::1%eth0", "fe80::1", "10.0.0.1")] == ["eth0", None, None]
    assert canonical(parse("fe80::1%eth0")) == parse("fe80::1")
    assert canonical(parse("::ffff:10.0.0.1%eth0")) == canonical(parse("::FFFF:a00:1")) == parse("10.0.0.1")


def test_shown() -> None:
    """Addresses are shown in their usual form, mapped ones with their IPv4 address in dots."""
    texts = ["10.0.0.1", "2001:DB8:0::1", "::ffff:a00:1", "::ffff:a00:1%2", "fe80::1%eth0"]
    assert [shown(parse(t), 80) for t in texts] == [
        "10.0.0.1:80",
        "[2001:db8::1]:80",
        "[::ffff:10.0.0.1]:80",
        "[::ffff:10.0.0.1%2]:80",
        "[fe80::1%eth0]:80",
    ]
    assert shown(parse("::ffff:a00:1")) == "::ffff:10.0.0.1"


def number(value: int, base: int, zeros: int) -> str:
    """``value`` as a C program would write it, after some zeros that mean nothing."""
    if base == 16:
        return f"0x{'0' * zeros}{value:x}"
    return f"0{'0' * zeros}{value:o}" if base == 8 else str(value)


@st.composite
def numeric_spellings(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4Address] = fours) -> tuple[IPv4Address, str]:
    """An address, and one of the spellings that ``inet_aton`` takes for it."""
    address = draw(addresses)
    parts = draw(st.integers(1, 4))
    value = int(address)
    numbers = [value >> 24 - 8 * n & 0xFF for n in range(parts - 1)] + [value & (1 << 40 - 8 * parts) - 1]
    shape = st.tuples(st.sampled_from([8, 10, 16]), st.integers(0, 20))
    return address, ".".join(number(n, *draw(shape)) for n in numbers)


@given(numeric_spellings())
def test_numeric_spellings(spelled: tuple[IPv4Address, str]) -> None:
    """Decimal, octal, hexadecimal, short and padded: each is the address that the C library reads."""
    address, text = spelled
    assert numeric(text) == address == IPv4Address(socket.inet_aton(text))


@given(st.from_regex(r"[0-9a-fx.]{1,24}", fullmatch=True))
def test_whatever_the_c_library_reads_is_numeric(text: str) -> None:
    """No text that ``inet_aton`` takes for an address is taken for a name, or for another address."""
    try:
        expected = IPv4Address(socket.inet_aton(text))
    except OSError:
        return
    assert normalise(text) == expected


@given(numeric_spellings(), st.data())
def test_disguised_numbers(spelled: tuple[IPv4Address, str], data: st.DataObject) -> None:
    """Full-width digits and letters, dots of other scripts, capitals and a final dot change nothing."""
    address, text = spelled
    wide = {c: chr(ord(c) + 0xFEE0) for c in "0123456789abcdefx"} | {".": "\u3002\uff0e\uff61"}
    disguised = "".join(data.draw(st.sampled_from(c + c.upper() + wide[c])) for c in text)
    if len(disguised.replace("\u3002", ".")) < 63:
        assert normalise(disguised + data.draw(st.sampled_from(["", ".", "\u3002"]))) == address


NORMALISED: list[tuple[str, str]] = [
    ("DB.Internal.", "db.internal"),
    ("metrics", "metrics"),
    ("_srv._tcp.example.com", "_srv._tcp.example.com"),
    ("BÜCHER.example", "xn--bcher-kva.example"),
    ("\u24dbocalhost", "localhost"),
    ("db\u3002internal", "db.internal"),
    ("d\u00adb.internal", "db.internal"),
    ("\uff41\uff50\uff49.example.com", "api.example.com"),
    ("a" * 63 + ".example", "a" * 63 + ".example"),
    (".".join(["a" * 49] * 5) + ".com.", ".".join(["a" * 49] * 5) + ".com"),
    ("1password.com", "1password.com"),
    ("0x7f.example", "0x7f.example"),
    ("0xg", "0xg"),
    ("a." * 127, "a." * 126 + "a"),
]


@pytest.mark.parametrize(("written", "name"), NORMALISED)
def test_normalise(written: str, name: str) -> None:
    """A name is put into lower-case ASCII without its final dot."""
    assert normalise(written) == name


LITERALS = [
    ("127.1", "127.0.0.1"),
    ("0", "0.0.0.0"),
    ("0x7f.1", "127.0.0.1"),
    ("2130706433.", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("\uff11\uff12\uff17\uff0e\uff11", "127.0.0.1"),
    ("127\u20240\u20240\u20241", "127.0.0.1"),
    ("::1", "::1"),
    ("[::1]", "::1"),
    ("\uff1a\uff1a\uff11", "::1"),
    ("0:0::FFFF:127.0.0.1", "::ffff:127.0.0.1"),
    ("fe80::1%eth0", "fe80::1%eth0"),
]


@pytest.mark.parametrize(("written", "address"), LITERALS)
def test_normalise_addresses(written: str, address: str) -> None:
    """What some resolver would read as an address is that address."""
    assert normalise(written) == ip_address(address)


NEITHER = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a b",
    "127.0.0.1 x",
    "a\0.example",
    "a\0b.é",
    "127.0.0.1\0.example.com",
    "a\n.example",
    "\x1b[31m.example",
    "a/b",
    "a@b",
    "*.example.com",
    "-a.example",
    "a-.example",
    "a" * 64 + ".example",
    "é" * 60 + ".example",
    "a." * 128,
    ".".join(["a" * 49] * 5) + ".comm",
    "a" * 10_000,
    "é" * 10_000,
    "\ud800",
    "a\udfff.example",
    "\u2100.example",
    "256.0.0.1",
    "1.2.3.4.5",
    "08",
    "0x",
    "example.0x",
    "example.1",
    "1.2.3.08",
    "9" * 200,
    "::ffff:0127.0.0.1",
    "::1::",
    "[::1",
    "[127.0.0.1]",
    "[db.internal]",
    "db.internal:80",
    "127.0.0.1:80",
]


@pytest.mark.parametrize("written", NEITHER)
def test_neither_name_nor_address(written: str) -> None:
    """Hostile, over-long and half-numeric text is refused, whatever a resolver might have made of it."""
    with pytest.raises(ValueError):
        normalise(written)


@given(st.text(max_size=300))
def test_normalise_is_final(written: str) -> None:
    """Any text is refused, is an address, or is a plain name that means itself."""
    try:
        name = normalise(written)
    except ValueError:
        return
    if isinstance(name, str):
        assert normalise(name) == name
        assert normalise(name.upper() + ".") == name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert 0 < len(name) <= 253


@pytest.mark.parametrize("kind", sorted(NEVER))
def test_what_is_never_reached_is_never_granted(kind: str) -> None:
    """The loader refuses each address that nothing is ever connected to, whatever is granted."""
    networks = [text for text, of in addresses._KINDS if of == kind]
    assert networks
    for text in networks:
        with pytest.raises(PydanticCustomError):
            read_host(f"[{text}]" if ":" in text else text)


@pytest.mark.parametrize(("network", "form"), EMBEDDING)
def test_what_embeds_an_address_is_never_granted(network: IPv6Network, form: str) -> None:
    """Each network whose addresses embed others is refused by its form, and its addresses do embed some."""
    assert embedded(network[0x0102_0304]) != ()
    with pytest.raises(PydanticCustomError, match=re.escape(f"leads to an IPv4 address ({form})")):
        read_host(f"[{network}]")


def test_found() -> None:
    """An answer is put into canonical form: each address once, in order, none with a zone, and not too many."""
    texts = ["10.0.0.2", "::ffff:10.0.0.1", "10.0.0.2", "fe80::1%eth0", "10.0.0.1", "2001:DB8::1"]
    assert found(texts, "DB.Internal.") == Found(
        (parse("10.0.0.2"), parse("10.0.0.1"), parse("2001:db8::1")), "db.internal"
    )
    many = [f"10.0.{n >> 8}.{n & 255}" for n in range(1000)]
    assert found(many) == Found(tuple(map(parse, many[:MAX_ADDRESSES])))
    assert [found([], alias).alias for alias in ("\0", "127.1", "", None)] == [None] * 4


def test_look_up_asks_the_host() -> None:
    """The host's resolver knows this machine; what does not exist is said to be unresolvable."""
    assert parse("127.0.0.1") in look_up("localhost").addresses
    with pytest.raises(ResolverError) as failed:
        look_up("nothing.invalid")
    assert failed.value.error in ("name-unresolvable", "temporary-resolver-failure")


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), "name-unresolvable"),
        (socket.gaierror(socket.EAI_NODATA, ""), "name-unresolvable"),
        (socket.gaierror(socket.EAI_AGAIN, ""), "temporary-resolver-failure"),
        (socket.gaierror(socket.EAI_FAIL, ""), "permanent-resolver-failure"),
        (socket.gaierror(socket.EAI_SYSTEM, ""), "temporary-resolver-failure"),
        (OSError(24, ""), "temporary-resolver-failure"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), "permanent-resolver-failure"),
    ],
)
def test_look_up_fails(raised: Exception, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a resolver says is one of the interface's errors."""

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolverError) as failed:
        look_up("db.internal")
    assert failed.value.error == error
