"""What rules about ``sockets`` share: the peers of a policy with their places, and what covers what."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from sandbox.lint.case import Case
from sandbox.policy.addresses import EMBEDDING, Kind, parts
from sandbox.policy.hosts import Network, covering, network_of
from sandbox.policy.model import DeniedPeer, Local, Sockets
from sandbox.source import Route

Ports = tuple[int, int]

EVERY_PORT: Ports = (1, 65535)
MAX_FIXES = 20
"""Fixes that one rule offers at a time: each is tried on the whole text. When they are applied, the others follow."""

_PRIVATE_KINDS: frozenset[Kind] = frozenset({"private", "loopback", "link-local", "metadata"})
_PRIVATE_ENDINGS = (
    *("internal", "local", "localdomain", "localhost", "lan", "home.arpa"),
    *("corp", "home", "intranet", "private", "test"),
)
"""Endings that are reserved for a network's own names, or that no registry will ever give out."""

_WIDEST = {4: 8, 6: 16}
"""The shortest prefixes that anybody has been given as one network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A peer that the guest may connect or send to, with its places."""

    family: str
    """``tcp.connect`` or ``udp.send``."""
    number: int
    host: str
    ports: Ports
    private: bool
    network: Network | None
    """``None``: the host is a name."""
    item: Route
    route: Route
    """Of the text: the item, or its ``to``."""

    @property
    def shown(self) -> str:
        return shown(self.host, self.ports)


def sockets_of(case: Case) -> Sockets:
    return case.component.grants.sockets or Sockets()


def peers(case: Case) -> Iterator[Entry]:
    """The peers that the guest may connect to, then those that it may send to."""
    sockets = sockets_of(case)
    for family, granted in (("tcp.connect", sockets.connect), ("udp.send", sockets.send)):
        for number, peer in enumerate(granted):
            item = case.route("grants", "sockets", *family.split("."), number)
            text = case.data(*item[len(case.root) :])
            yield Entry(
                family=family,
                number=number,
                host=peer.host,
                ports=peer.ports,
                private=peer.private,
                network=network_of(peer.host),
                item=item,
                route=(*item, "to") if isinstance(text, dict) else item,
            )


def locals_(case: Case) -> Iterator[tuple[str, Local, Route]]:
    """The addresses that the guest may be reached at, each with its list and its route."""
    sockets = sockets_of(case)
    for family, served in (("tcp.listen", sockets.listen), ("udp.bind", sockets.bind)):
        for number, local in enumerate(served):
            yield family, local, case.route("grants", "sockets", *family.split("."), number)


def host_of(network: Network) -> str:
    """A network as a host in canonical form: one address without its prefix."""
    return str(network.network_address if network.num_addresses == 1 else network)


def shown(host: str, ports: Ports | None = None) -> str:
    """A host, with its ports, as a policy writes it."""
    text = f"[{host}]" if ":" in host else host
    if ports is None:
        return text
    return f"{text}:{ports[0]}" if ports[0] == ports[1] else f"{text}:{ports[0]}-{ports[1]}"


def is_private_name(host: str) -> bool:
    """Whether a name, or what a wildcard stands for, is one of a network's own: nobody else has such names."""
    return "." not in host or host.endswith(tuple(f".{ending}" for ending in _PRIVATE_ENDINGS))


def is_everywhere(network: Network) -> bool:
    """Whether a network of public addresses is so wide that it names nobody."""
    return network.prefixlen < _WIDEST[network.version] and "public" in {kind for _, kind in parts(network)}


def private_parts(network: Network) -> Iterator[tuple[Network, Kind]]:
    """What of a network lies inside one's own, or on the machine itself, and can be reached by being granted."""
    for part, kind in parts(network):
        if kind not in _PRIVATE_KINDS:
            continue
        # Link-local addresses of IPv6 are never reached, and those that lead to others only where these are granted.
        if isinstance(part, IPv6Network) and part.num_addresses > 1 and (kind == "link-local" or _leads(part)):
            continue
        yield part, kind


def _leads(network: IPv6Network) -> bool:
    return any(network.subnet_of(form) for form, _ in EMBEDDING)


class Cover:
    """Hosts at ports, so that those over another one are found without comparing each with each."""

    def __init__(self, entries: Iterable[tuple[int, str, Ports]]) -> None:
        """Takes a number, a host and ports of each."""
        by_key: dict[_Key, list[tuple[Ports, int]]] = {}
        for number, host, ports in entries:
            by_key.setdefault(_key(network_of(host) or host), []).append((ports, number))
        self._by_key = {key: _widest_from(found) for key, found in by_key.items()}
        self._prefixes = sorted({key[:2] for key in by_key if isinstance(key, tuple)}, reverse=True)

    def over(self, host: str, ports: Ports, *, alone: bool = False) -> Iterator[int]:
        """Numbers of entries that cover all of a host at all of these ports, the narrowest host first; the widest of
        each host. ``alone``: of that host itself.
        """
        for key in self._keys(host, alone):
            firsts, widest = self._by_key.get(key, ((), ()))
            at = bisect_right(firsts, ports[0]) - 1
            if at >= 0 and widest[at][0] >= ports[1]:
                yield widest[at][1]

    def _keys(self, host: str, alone: bool) -> Iterator[_Key]:
        network = network_of(host)
        if network is None or alone:
            yield from (_key(host if network is None else network) for host in ([host] if alone else covering(host)))
            return
        value = int(network.network_address)
        for version, prefix in self._prefixes:
            if version == network.version and prefix <= network.prefixlen:
                yield version, prefix, value >> network.max_prefixlen - prefix


class Denials:
    """What a policy denies, several networks that together are one included."""

    def __init__(self, denied: Iterable[DeniedPeer]) -> None:
        entries = [(denial.host, denial.ports or EVERY_PORT) for denial in denied]
        networks = [n for host, ports in entries if ports == EVERY_PORT and (n := network_of(host)) is not None]
        entries += [(host_of(network), EVERY_PORT) for network in collapsed(networks)]
        self._cover = Cover((number, host, ports) for number, (host, ports) in enumerate(entries))

    def cover(self, host: str, ports: Ports) -> bool:
        """Whether all of a host is denied at all of these ports."""
        return next(self._cover.over(host, ports), None) is not None


def collapsed(networks: Iterable[Network]) -> Iterator[Network]:
    """The fewest networks that are these together."""
    found = list(networks)
    yield from collapse_addresses(n for n in found if isinstance(n, IPv4Network))
    yield from collapse_addresses(n for n in found if isinstance(n, IPv6Network))


_Key = str | tuple[int, int, int]
"""A name or wildcard; or a network's version, its prefix, and its address without what comes after that."""


def _key(host: str | Network) -> _Key:
    if isinstance(host, str):
        return host
    return host.version, host.prefixlen, int(host.network_address) >> host.max_prefixlen - host.prefixlen


def _widest_from(found: list[tuple[Ports, int]]) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """First ports in order; and with each, of the ranges that begin there or before, the one that goes furthest: its
    last port and its number."""
    ordered = sorted(found, key=lambda entry: (entry[0][0], -entry[0][1], entry[1]))
    widest: list[tuple[int, int]] = []
    for (_, last), number in ordered:
        widest.append((last, number) if not widest or last > widest[-1][0] else widest[-1])
    return tuple(ports[0] for ports, _ in ordered), tuple(widest)
