"""Hosts and ports as ``sockets`` and ``http`` write them.

A host is a name (``db.internal``), a name with a wildcard (``*.example.com`` for one label, ``**.example.com`` for one
or more), an address (``10.2.0.53``, ``[2001:db8::1]``) or a network (``10.2.0.0/16``, ``[2001:db8::/32]``).
"""

from __future__ import annotations

import ipaddress
import re

from sandbox.policy.section import flaw, shown

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_MAX_PORT = 65535


def split_port(text: str) -> tuple[str, str | None]:
    """The host and port of ``host:port``; the port is ``None`` where there is no colon. Brackets stay on the host."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            raise flaw(f"{shown(text)}: '[' is not closed")
        if not rest:
            return host + bracket, None
        if not rest.startswith(":"):
            raise flaw(f"{shown(text)}: ':' and a port must follow ']'")
        return host + bracket, rest[1:]
    if text.count(":") > 1:
        raise flaw(f"{shown(text)}: an IPv6 address stands in brackets, as in '[2001:db8::1]:443'")
    host, colon, port = text.partition(":")
    return host, port if colon else None


def check_ports(text: str, *, least: int = 1) -> None:
    """Refuse what is neither a port from ``least`` up nor a range of ports (``8000-8080``)."""
    if text == "*":
        raise flaw("a port must be a number or a range: write 1-65535 for every port")
    numbers = text.split("-")
    if len(numbers) > 2 or not all(_PORT.fullmatch(number) for number in numbers):
        raise flaw(f"{shown(text)} is not a port or a range of ports, as in '443' or '8000-8080'")
    for number in numbers:
        if not least <= int(number) <= _MAX_PORT:
            raise flaw(f"a port is a number from {least} to {_MAX_PORT}, not {number}")
    if len(numbers) == 2 and int(numbers[0]) >= int(numbers[1]):
        raise flaw(f"the range of ports {shown(text)} must go from a lower to a higher port")


def is_address(host: str) -> bool:
    """Whether ``host`` is written as an address or a network, not as a name."""
    return host.startswith("[") or "/" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None


def check_address(host: str) -> None:
    """Refuse what is not one IPv4 address, or one IPv6 address in brackets."""
    if "/" in host:
        raise flaw(f"{shown(host)} is a network: write one address")
    _check_numeric(host)


def check_host(host: str) -> None:
    """Refuse what is no host: no name, wildcard, address or network."""
    if not host:
        raise flaw("the host is missing")
    if is_address(host):
        _check_numeric(host)
    elif "*" in host:
        _check_wildcard(host)
    else:
        check_name(host)


def check_name(name: str) -> None:
    """Refuse what is no host name in lower case."""
    if not name.isascii():
        raise flaw(f"{shown(name)}: write an international name in its ASCII form (xn--...)")
    if name != name.lower():
        raise flaw(f"{shown(name)}: write names in lower case", name.lower())
    if name.endswith("."):
        raise flaw(f"{shown(name)}: write a name without the final dot", name.rstrip("."))
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise flaw(f"{shown(name)} is not a host name")
    if is_address(name):
        raise flaw(f"{shown(name)} is an address: write a name")


def _check_wildcard(host: str) -> None:
    star, dot, rest = host.partition(".")
    if host in ("*", "**"):
        raise flaw(f"{shown(host)} would grant every host: name the hosts")
    if star not in ("*", "**") or not dot or "*" in rest:
        raise flaw(f"{shown(host)}: a wildcard is a whole first label, as in '*.example.com' or '**.example.com'")
    check_name(rest)
    if "." not in rest:
        raise flaw(f"{shown(host)} would grant every host in '{rest}': name a domain below it")


def _check_numeric(host: str) -> None:
    is_six = host.startswith("[")
    text = host[1:-1] if is_six else host
    kind = "IPv6" if is_six else "IPv4"
    if "%" in text:
        raise flaw(f"{shown(host)}: an address with a zone cannot be granted")
    try:
        if "/" not in text:
            first = ipaddress.IPv6Address(text) if is_six else ipaddress.IPv4Address(text)
            network = None
        else:
            # A netmask in dots is a second way to say the same.
            if re.fullmatch(r"[^/]+/[0-9]{1,3}", text) is None:
                raise ValueError(text)
            network = ipaddress.IPv6Network(text, False) if is_six else ipaddress.IPv4Network(text, False)
            first = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        raise flaw(f"{shown(host)} is not an {kind} address or network") from None
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped is not None:
        raise flaw(f"{shown(host)} maps an IPv4 address: write the IPv4 address")
    if network is not None and first != network.network_address:
        written = f"[{network}]" if is_six else str(network)
        raise flaw(f"{shown(host)} has bits set after its prefix: write {shown(written)}, or one address")
