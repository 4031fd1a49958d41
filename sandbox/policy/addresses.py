"""Addresses as they are judged: one form for every spelling, what an IPv6 address hides, and their kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

Kind = Literal[
    "public", "loopback", "private", "link-local", "metadata", "multicast", "unspecified", "broadcast", "reserved"
]

NEVER: frozenset[Kind] = frozenset({"multicast", "unspecified", "broadcast"})
"""Kinds that stand for no single other machine; nothing is connected or sent to them, whatever is granted."""

_KINDS: tuple[tuple[str, Kind], ...] = (
    # Clouds tell a machine's secrets at these; some lie among public addresses.
    ("169.254.169.254/32", "metadata"),
    ("169.254.170.0/24", "metadata"),
    ("100.100.100.200/32", "metadata"),
    ("168.63.129.16/32", "metadata"),
    ("192.0.0.192/32", "metadata"),
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "private"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "reserved"),
    ("198.51.100.0/24", "reserved"),
    ("203.0.113.0/24", "reserved"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("0.0.0.0/0", "public"),
    ("fd00:ec2::254/128", "metadata"),
    ("fd00:ec2::23/128", "metadata"),
    ("fd20:ce::254/128", "metadata"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b::/96", "public"),  # what it embeds decides
    ("64:ff9b:1::/48", "private"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "reserved"),
    ("2002::/16", "reserved"),
    ("3fff::/20", "reserved"),
    ("2000::/3", "public"),
    ("::/0", "reserved"),
)
"""The first network that holds an address says its kind. Written out: what the standard library calls global changes
between its versions."""


EMBEDDING: tuple[tuple[IPv6Network, str], ...] = (
    (IPv6Network("::/96"), "IPv4-compatible"),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated"),
    (IPv6Network("64:ff9b::/96"), "NAT64"),
    (IPv6Network("64:ff9b:1::/48"), "NAT64"),
    (IPv6Network("2002::/16"), "6to4"),
    (IPv6Network("2001::/32"), "Teredo"),
)
"""Networks of IPv6 addresses that lead to an IPv4 address, which ``embedded`` finds, and what the form is called."""

LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""A label of a host name in lower case."""


_NETWORKS: tuple[tuple[IPv4Network | IPv6Network, Kind], ...] = tuple((ip_network(text), kind) for text, kind in _KINDS)


def _ranges(version: int) -> tuple[tuple[int, int, Kind], ...]:
    return tuple((int(n[0]), int(n[-1]), kind) for n, kind in _NETWORKS if n.version == version)


_RANGES = {4: _ranges(4), 6: _ranges(6)}


def parse(text: str) -> Address:
    """The address that ``text`` is in the usual spelling of its family, zone included. Raises ``ValueError``."""
    return ip_address(text)


def zone(address: Address) -> str | None:
    """The scope that an IPv6 address was written with: ``eth0`` of ``fe80::1%eth0``."""
    return address.scope_id if isinstance(address, IPv6Address) else None


def canonical(address: Address) -> Address:
    """``address`` without its zone, and the IPv4 address where it maps one."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a canonical IPv6 address may lead to: by translation, or through a tunnel.

    Where the length of a prefix is the network's own affair (64:ff9b:1::/48), each address that it may be.
    """
    if isinstance(address, IPv4Address):
        return ()
    value = int(address)
    low = value & 0xFFFF_FFFF
    found: list[int] = []
    if value >> 32 == 0:  # IPv4-compatible
        found += [low] if value > 1 else []
    elif value >> 32 in (0xFFFF_0000, 0x0064_FF9B << 64):  # IPv4-translated, NAT64
        found.append(low)
    elif value >> 80 == 0x0064_FF9B_0001:  # NAT64 in a network's own prefix of 48, 56, 64 or 96 bits
        found += [
            (value >> 64 & 0xFFFF) << 16 | value >> 40 & 0xFFFF,
            (value >> 64 & 0xFF) << 24 | value >> 32 & 0xFF_FFFF,
            value >> 24 & 0xFFFF_FFFF,
            low,
        ]
    elif value >> 112 == 0x2002:  # 6to4
        found.append(value >> 80 & 0xFFFF_FFFF)
    elif value >> 96 == 0x2001_0000:  # Teredo: its server, and its client with every bit turned
        found += [value >> 64 & 0xFFFF_FFFF, low ^ 0xFFFF_FFFF]
    if value >> 32 & 0xFDFF_FFFF == 0x5EFE:  # ISATAP
        found.append(low)
    return tuple(dict.fromkeys(map(IPv4Address, found)))


def kind(address: Address) -> Kind:
    """The kind of a canonical address; of one that embeds others, the first that is not public."""
    return next((k for k in map(_own_kind, (*embedded(address), address)) if k != "public"), "public")


def parts(network: IPv4Network | IPv6Network) -> Iterator[tuple[IPv4Network | IPv6Network, Kind]]:
    """The networks of one kind that lie in a network, the last one around the others: ``10.0.0.0/8`` is in
    ``0.0.0.0/0``, and the rest of that is public.

    What addresses of a network embed does not count: who is inside them must be granted as well. It counts for one
    address, which is of the kind that ``kind`` says.
    """
    if network.num_addresses == 1:
        yield network, kind(network[0])
        return
    for other, what in _NETWORKS:
        if other.version != network.version:
            continue
        if network.subnet_of(other):  # type: ignore[arg-type]
            yield network, what
            return
        if other.subnet_of(network):  # type: ignore[arg-type]
            yield other, what


def kinds(network: IPv4Network | IPv6Network) -> frozenset[Kind]:
    """The kinds of the addresses in a network; see ``parts``."""
    return frozenset(what for _, what in parts(network))


def _own_kind(address: Address) -> Kind:
    value = int(address)
    return next(kind for first, last, kind in _RANGES[address.version] if first <= value <= last)


def numeric(text: str) -> IPv4Address | None:
    """The address that resolvers take a name for that consists of numbers (``127.1``, ``0x7f.1``, ``2130706433``).

    Takes ASCII in lower case.
    """
    numbers: list[int] = []
    for part in text.split("."):
        if re.fullmatch(r"0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*", part) is None:
            return None
        # A long number is cut: it is out of range by then, and reading it takes time that grows with its square.
        digits = part[2:] if part[:2] == "0x" else part
        digits = digits.lstrip("0")[:16] or "0"
        numbers.append(int(digits, 16 if part[:2] == "0x" else 8 if part[0] == "0" else 10))
    *high, low = numbers
    if len(high) > 3 or any(number > 0xFF for number in high) or low >= 256 ** (4 - len(high)):
        return None
    return IPv4Address(sum(number << 24 - 8 * place for place, number in enumerate(high)) + low)


def shown(address: Address, port: int | None = None) -> str:
    """``203.0.113.7:443``, ``[2001:db8::1]:443``, ``[::ffff:10.0.0.1]:80``; without brackets where there is no port."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        text = f"::ffff:{address.ipv4_mapped}"  # the same in every version of the standard library
        text += f"%{address.scope_id}" if address.scope_id else ""
    else:
        text = str(address)
    if port is None:
        return text
    return f"{text}:{port}" if address.version == 4 else f"[{text}]:{port}"
