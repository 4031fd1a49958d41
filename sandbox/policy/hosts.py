"""Hosts and ports as ``sockets`` and ``http`` write them.

A host is a name (``db.internal``), a name with a wildcard (``*.example.com`` for one label, ``**.example.com`` for one
or more), an address (``10.2.0.53``, ``[2001:db8::1]``) or a network (``10.2.0.0/16``, ``[2001:db8::/32]``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from sandbox.policy.addresses import EMBEDDING, LABEL, Address, numeric
from sandbox.policy.section import flaw, shown

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

Use = Literal["grant", "deny"]
"""What a host is written for. A denial may name what can never be granted."""

_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_MAX_PORT = 65535

_LINK_LOCAL_SIX = ipaddress.IPv6Network("fe80::/10")

_NEVER: tuple[tuple[Network, str], ...] = (
    (ipaddress.IPv4Network("0.0.0.0/8"), "is no machine's address: it stands for 'this host' or 'this network'"),
    (ipaddress.IPv6Network("::/128"), "is no machine's address: it stands for 'this host'"),
    (ipaddress.IPv4Network("224.0.0.0/4"), "is multicast, which is never granted"),
    (ipaddress.IPv6Network("ff00::/8"), "is multicast, which is never granted"),
    (ipaddress.IPv4Network("255.255.255.255/32"), "is broadcast, which is never granted"),
    (_LINK_LOCAL_SIX, "is reached through a zone only (fe80::1%eth0), and an address with a zone is never granted"),
)
"""Networks in which nothing can be granted to connect or send to."""

_LOOPBACK_SIX = ipaddress.IPv6Address("::1")


def split_port(text: str) -> tuple[str, str | None]:
    """The host and port of ``host:port``; the port is ``None`` where there is no colon. Brackets stay on the host."""
    if "://" in text:
        raise flaw(f"{shown(text)} is a URL: write the host and port alone, as in 'example.com:443'")
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            raise flaw(f"{shown(text)}: '[' is not closed")
        if not rest:
            return host + bracket, None
        if rest.startswith("/"):
            raise flaw(f"{shown(text)}: the prefix stands inside the brackets, as in '[2001:db8::/32]:443'")
        if not rest.startswith(":"):
            raise flaw(f"{shown(text)}: ':' and a port must follow ']'")
        return host + bracket, rest[1:]
    if text.count(":") > 1:
        raise flaw(f"{shown(text)}: an IPv6 address stands in brackets, as in '[2001:db8::1]:443'")
    host, colon, port = text.partition(":")
    return host, port if colon else None


def read_ports(text: str, *, least: int = 1) -> tuple[int, int]:
    """The first and last of a port from ``least`` up or a range of ports (``8000-8080``)."""
    if text == "*":
        raise flaw("a port must be a number or a range: write 1-65535 for every port")
    numbers = text.split("-")
    if "/" in text:
        raise flaw(f"{shown(text)} is not a port: a prefix stands before the port, as in '10.2.0.0/16:443'")
    if len(numbers) > 2 or not all(_PORT.fullmatch(number) for number in numbers):
        raise flaw(f"{shown(text)} is not a port or a range of ports, as in '443' or '8000-8080'")
    for number in numbers:
        if not least <= int(number) <= _MAX_PORT:
            raise flaw(f"a port is a number from {least} to {_MAX_PORT}, not {number}")
    if len(numbers) == 2 and int(numbers[0]) >= int(numbers[1]):
        raise flaw(f"the range of ports {shown(text)} must go from a lower to a higher port")
    return int(numbers[0]), int(numbers[-1])


def is_address(host: str) -> bool:
    """Whether ``host`` is written as an address or a network, not as a name."""
    return host.startswith("[") or "/" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None


def read_address(host: str) -> str:
    """The canonical form, without brackets, of one address of this machine: to listen on, or to receive at."""
    if "/" in host:
        raise flaw(f"{shown(host)} is a network: write one address")
    network = _read_numeric(host)
    for never, why in _NEVER:
        # An unspecified address means every one of the machine's own here.
        if network.version == never.version and network.subnet_of(never) and not network.network_address.is_unspecified:  # type: ignore[arg-type]
            raise flaw(f"{shown(host)} {why}")
    return str(network.network_address)


def read_host(host: str, use: Use = "grant") -> str:
    """The canonical form, without brackets, of a name, a wildcard, an address or a network."""
    if not host:
        raise flaw("the host is missing")
    if "*" in host:
        return _read_wildcard(host, use)
    if not is_address(host):
        return read_name(host)
    network = _read_numeric(host)
    if use == "grant":
        _check_grantable(host, network)
    return _canonical(network)


def read_name(name: str) -> str:
    """A host name in lower case, as it is written."""
    if not name.isascii():
        raise flaw(f"{shown(name)}: write an international name in its ASCII form (xn--...)")
    if name != name.lower():
        raise flaw(f"{shown(name)}: write names in lower case", name.lower())
    if name.endswith("."):
        raise flaw(f"{shown(name)}: write a name without the final dot", name.rstrip("."))
    if len(name) > 253 or not all(LABEL.fullmatch(label) for label in name.split(".")):
        raise flaw(f"{shown(name)} is not a host name")
    if is_address(name):
        raise flaw(f"{shown(name)} is an address: write a name")
    return name


def _canonical(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def covering(host: str) -> Iterator[str]:
    """Each host in canonical form, ``host`` first, that covers all of a canonical ``host``; the narrowest first."""
    network = network_of(host)
    if network is not None:
        for prefix in range(network.prefixlen, -1, -1):
            yield _canonical(network.supernet(new_prefix=prefix))
        return
    yield host
    star, _, rest = host.partition(".")
    if star not in ("*", "**") and rest:
        yield f"*.{rest}"
    while rest:
        if f"**.{rest}" != host:
            yield f"**.{rest}"
        rest = rest.partition(".")[2]


def network_of(host: str) -> Network | None:
    """The network that a canonical ``host`` is, one address included; ``None`` for a name or wildcard."""
    if ":" in host:
        return ipaddress.IPv6Network(host)
    return ipaddress.IPv4Network(host) if is_address(host) else None


def _read_wildcard(host: str, use: Use) -> str:
    star, dot, rest = host.partition(".")
    if host in ("*", "**"):
        if use == "deny":
            raise flaw(f"{shown(host)} would refuse every host: remove the grants instead")
        raise flaw(f"{shown(host)} would grant every host: name the hosts")
    if host.startswith("[") or "/" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]) or _is_numbers(host):
        raise flaw(f"{shown(host)}: a wildcard stands before a name only: write a network, as in '10.2.0.0/16'")
    if star not in ("*", "**") or not dot or "*" in rest:
        raise flaw(f"{shown(host)}: a wildcard is a whole first label, as in '*.example.com' or '**.example.com'")
    read_name(rest)
    if "." not in rest and use == "grant":
        raise flaw(f"{shown(host)} would grant every host in '{rest}': name a domain below it")
    return host


def _is_numbers(host: str) -> bool:
    """Whether ``host`` is an IPv4 address but for its wildcards: ``10.2.*.*``."""
    labels = host.split(".")
    return any(label.isdecimal() for label in labels) and all(label == "*" or label.isdecimal() for label in labels)


def _read_numeric(host: str) -> Network:
    """One address as a network of itself, or a network without bits after its prefix."""
    is_six = host.startswith("[")
    text = host[1:-1] if is_six else host
    if "%" in text:
        raise flaw(f"{shown(host)}: an address with a zone cannot be granted")
    address, slash, prefix = text.partition("/")
    try:
        first: Address = ipaddress.IPv6Address(address) if is_six else ipaddress.IPv4Address(address)
        # A netmask in dots is a second way to say the same.
        if slash and re.fullmatch("[0-9]{1,3}", prefix) is None:
            raise ValueError(text)
        network: Network = ipaddress.IPv6Network(text, False) if is_six else ipaddress.IPv4Network(text, False)
    except ValueError:
        raise flaw(_not_numeric(host, address, slash + prefix)) from None
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped is not None:
        raise flaw(f"{shown(host)} maps an IPv4 address: write the IPv4 address")
    if first != network.network_address:
        written = f"[{network}]" if is_six else str(network)
        raise flaw(f"{shown(host)} has bits set after its prefix: write {shown(written)}, or one address")
    return network


def _not_numeric(host: str, address: str, rest: str) -> str:
    """What is wrong with ``host``, which looks like numbers and is no address or network."""
    if host.startswith("["):
        if _is_name(address):
            return f"{shown(host)}: brackets are for IPv6 addresses: write the name without them"
        if numeric(address.lower()) is not None:
            return f"{shown(host)}: brackets are for IPv6 addresses: write the IPv4 address without them"
        return f"{shown(host)} is not an IPv6 address or network"
    if rest:
        if _is_name(address):
            return f"{shown(host)}: only a network has a prefix, and '{address}' is a name"
        if _is_name(rest[1:].partition(".")[2]) and numeric(address.lower()) is not None:
            return f"{shown(host)} mixes a network and a name: write one of the two"
        return f"{shown(host)} is not an IPv4 address or network"
    read = numeric(address.lower())
    if read is not None:
        return f"{shown(host)} is read as the address {read} by resolvers: write {shown(str(read))}"
    return f"{shown(host)} is not an IPv4 address or network"


def _is_name(text: str) -> bool:
    return not is_address(text) and all(LABEL.fullmatch(label) for label in text.split("."))


def _check_grantable(host: str, network: Network) -> None:
    """Refuse what no connection and no datagram could go to, and what hides where it goes to."""
    for never, why in _NEVER:
        if network.version == never.version and network.subnet_of(never):  # type: ignore[arg-type]
            raise flaw(f"{shown(host)} {why}")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address != _LOOPBACK_SIX:
        for around, form in EMBEDDING:
            if network.subnet_of(around):
                raise flaw(f"{shown(host)} leads to an IPv4 address ({form}): write the IPv4 address, or a name")
