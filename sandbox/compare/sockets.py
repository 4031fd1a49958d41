"""What of the network a component reaches more: hosts and ports, addresses of its own, names, and denials that hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import pairwise

from sandbox.compare.change import Change, Direction, Pair, directions
from sandbox.policy.addresses import embedded, kind
from sandbox.policy.hosts import Network, covering, network_of
from sandbox.policy.model import DeniedPeer, Local, Peer, Sockets

Ports = tuple[int, int]

EVERY_PORT: Ports = (1, 65535)
MAX_PARTS = 64
"""Networks that are put together to see whether they cover a wider one."""

_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
            *("198.18.0.0/15", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10"),
        ),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 spells them: a denial is held against both spellings."""

_PEERS = (("tcp.connect", "connect to"), ("udp.send", "exchange datagrams with"))
_LOCALS = (("tcp.listen", "accept connections on"), ("udp.bind", "receive datagrams from anyone on"))


def sockets(pair: Pair) -> Iterator[Change]:
    old, new = (side.grants.sockets or Sockets() for side in (pair.old, pair.new))
    if old == new:
        return
    for direction in directions(pair):
        less, more = (old, new) if direction.gains else (new, old)
        for (name, verb), held, wanted in zip(
            _PEERS, (less.connect, less.send), (more.connect, more.send), strict=True
        ):
            yield from _peers(direction, name, verb, held, wanted)
        for (name, verb), served, asked in zip(
            _LOCALS, (less.listen, less.bind), (more.listen, more.bind), strict=True
        ):
            yield from _locals(direction, name, verb, served, asked)
        yield from _dns(direction, less, more)
        yield from _denials(direction, less, more)
    if old.audit_all != new.audit_all:
        text = "has what was allowed recorded too" if new.audit_all else "has refusals alone recorded"
        yield pair.changed("sockets", text, "grants.sockets.audit")


def _peers(direction: Direction, name: str, verb: str, less: Sequence[Peer], more: Sequence[Peer]) -> Iterator[Change]:
    held = _Peers(less)
    wanting = {n: peer for n, peer in enumerate(more) if any(held.left(peer))}
    wider = _Peers(list(wanting.values()))
    for number, peer in wanting.items():
        if wider.has_wider(peer):
            continue
        anywhere, private = held.left(peer)
        route = f"grants.sockets.{name}[{number}]"
        if anywhere:
            # Beside an address the word says what it is, and changes nothing.
            more_text = ", at private addresses too" if peer.private and network_of(peer.host) is None else ""
            yield direction.change(
                f"sockets.{name}", f"{direction.can} {verb} {_shown(peer.host, anywhere)}{more_text}", route
            )
        if private:
            yield direction.change(
                f"sockets.{name}", f"{direction.can} {verb} {_shown(peer.host, private)} at private addresses", route
            )


@dataclass(frozen=True, slots=True)
class _Part:
    """A network at some ports, with its first and last address as numbers, which compare fast."""

    network: Network
    ports: Ports
    first: int
    last: int


class _Peers:
    """Peers by host, so that those over another one are found without looking at each."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._by_host: dict[Network | str, list[Peer]] = {}
        self._prefixes: dict[int, set[int]] = {4: set(), 6: set()}
        self.parts: list[_Part] = []
        for peer in peers:
            network = network_of(peer.host)
            self._by_host.setdefault(peer.host if network is None else network, []).append(peer)
            if network is not None:
                self._prefixes[network.version].add(network.prefixlen)
                self.parts.append(_Part(network, peer.ports, int(network[0]), int(network[-1])))

    def over(self, host: str) -> Iterator[Peer]:
        """Those that cover all of ``host``."""
        network = network_of(host)
        hosts: Iterable[Network | str] = covering(host)
        if network is not None:
            prefixes = (prefix for prefix in self._prefixes[network.version] if prefix <= network.prefixlen)
            hosts = (network.supernet(new_prefix=prefix) for prefix in prefixes)
        return (peer for over in hosts for peer in self._by_host.get(over, ()))

    def granting(self, host: str) -> Iterator[Peer]:
        """Those that grant all of ``host``: an address that embeds another one is granted by itself alone."""
        network = network_of(host)
        if network is not None and network.num_addresses == 1 and embedded(network[0]):
            return iter(self._by_host.get(network, ()))
        return self.over(host)

    def left(self, peer: Peer) -> tuple[tuple[Ports, ...], tuple[Ports, ...]]:
        """The ports at which ``peer`` is not covered; those at which only its private addresses are not."""
        over = list(self.granting(peer.host))
        left = _without((peer.ports,), (p.ports for p in over))
        network = network_of(peer.host)
        if network is not None:
            return _without_parts(left, network, self.parts), ()
        if not peer.private:
            return left, ()
        private = _without((peer.ports,), (p.ports for p in over if p.private))
        return left, _without(private, left)

    def has_wider(self, peer: Peer) -> bool:
        """Whether there is another peer that covers this one by itself."""
        return any(
            (other.host, other.ports) != (peer.host, peer.ports)
            and _within(peer.ports, other.ports)
            and (other.private >= peer.private or network_of(peer.host) is not None)
            for other in self.granting(peer.host)
        )


def _locals(
    direction: Direction, name: str, verb: str, less: Sequence[Local], more: Sequence[Local]
) -> Iterator[Change]:
    for number, local in enumerate(more):
        every = Local(address="::" if ":" in local.address else "0.0.0.0", port=local.port)  # noqa: S104
        if local in less or every in less:
            continue
        if local != every and every in more:
            continue  # said of that one
        text = f"{_host(local.address)}:{local.port}" if local.port else _host(local.address)
        text += ", every address of the machine" if local == every else ""
        text += "" if local.port else ", at a port that the system chooses"
        yield direction.change(f"sockets.{name}", f"{direction.can} {verb} {text}", f"grants.sockets.{name}[{number}]")


def _dns(direction: Direction, less: Sockets, more: Sockets) -> Iterator[Change]:
    held, reached = set(less.dns), {peer.host for peer in (*less.connect, *less.send)}
    wanted = [(number, name) for number, name in enumerate(more.dns) if held.isdisjoint(covering(name))]
    wanting = {name for _, name in wanted}
    for number, name in wanted:
        if any(over in wanting for over in covering(name) if over != name):
            continue
        if reached.isdisjoint(covering(name)):
            text = f"{direction.can} look up {name}"
        elif direction.gains:
            text = f"is now told every address of {name}, not only those that it may reach"
        else:
            text = f"is now told only those addresses of {name} that it may reach"
        yield direction.change("dns.resolve", text, f"grants.sockets.dns[{number}]")


def _denials(direction: Direction, less: Sockets, more: Sockets) -> Iterator[Change]:
    """Denials of ``less`` that ``more`` lacks."""
    kept = _Peers([Peer(host=d.host, ports=d.ports or EVERY_PORT) for d in more.deny])
    for number, denied in enumerate(less.deny):
        left = _left_of_denial(denied, kept)
        if not left:
            continue
        shown = _host(denied.host) if left == (EVERY_PORT,) else _shown(denied.host, left)
        text = f"is {'no longer' if direction.gains else 'now'} denied {shown}"
        if _matters(denied, left, more):
            yield direction.change("sockets", text, "grants.sockets.deny")
        else:
            route = "grants.sockets.deny" if direction.gains else f"grants.sockets.deny[{number}]"
            yield direction.pair.changed("sockets", f"{text}, which nothing that is granted reaches", route)


def _left_of_denial(denied: DeniedPeer, kept: _Peers) -> tuple[Ports, ...]:
    """The ports at which a denial is not covered by others.

    One of every port is about names that are looked up too, which those of some ports are not.
    """
    ports = denied.ports or EVERY_PORT
    is_whole = ports == EVERY_PORT
    over = (peer.ports for peer in kept.over(denied.host))
    left = _without((ports,), (p for p in over if p == EVERY_PORT or not is_whole))
    network = network_of(denied.host)
    if network is None:
        return left
    return _without_parts(left, network, [part for part in kept.parts if part.ports == EVERY_PORT or not is_whole])


def _matters(denied: DeniedPeer, ports: Sequence[Ports], sockets: Sockets) -> bool:
    """Whether anything that is granted might be touched by a denial at these ports."""
    peers = [p for p in (*sockets.connect, *sockets.send) if any(_overlap(p.ports, these) for these in ports)]
    network = network_of(denied.host)
    if network is None:
        # Whatever name is granted may turn out to be an alias of one that is denied.
        names = any(network_of(p.host) is None for p in peers)
        return names or (bool(sockets.dns) and (denied.ports or EVERY_PORT) == EVERY_PORT)
    if sockets.listen or sockets.bind:
        return True  # somebody may come from there, to whatever port
    if network.version == 6 and network.overlaps(_MAPPED):
        return bool(peers)
    not_public = any(network.version == n.version and network.subnet_of(n) for n in _NOT_PUBLIC)  # type: ignore[arg-type]
    not_public = not_public or (network.num_addresses == 1 and kind(network[0]) != "public")
    for peer in peers:
        reached = network_of(peer.host)
        if reached is None:
            if peer.private or not not_public:
                return True
        elif reached.version == network.version:
            if reached.overlaps(network):
                return True
        elif any(inner in network for inner in embedded(reached[0])):
            return True  # more than one address embeds nothing that is not granted itself
    return False


# Ranges of ports, and networks at them.


def _overlap(one: Ports, other: Ports) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _within(one: Ports, other: Ports) -> bool:
    return other[0] <= one[0] and one[1] <= other[1]


def _without(ports: Iterable[Ports], taken: Iterable[Ports]) -> tuple[Ports, ...]:
    """What is left of ranges once others are taken out of them."""
    left = list(ports)
    for first, last in taken:
        parts = ((part, (low, high)) for low, high in left for part in ((low, first - 1), (last + 1, high)))
        left = [
            (max(part[0], low), min(part[1], high))
            for part, (low, high) in parts
            if max(part[0], low) <= min(part[1], high)
        ]
    return tuple(left)


def _without_parts(ports: tuple[Ports, ...], network: Network, parts: Sequence[_Part]) -> tuple[Ports, ...]:
    """What is left of the ports at which a network is wanted, where several narrower ones together cover it."""
    if not ports or network.num_addresses == 1:
        return ports
    first, last = int(network[0]), int(network[-1])
    inside = [
        part
        for part in parts
        if first <= part.first
        and part.last <= last
        and part.network.version == network.version
        and any(_overlap(part.ports, these) for these in ports)
    ]
    if len(inside) > MAX_PARTS:
        return ports
    edges = sorted({edge for part in inside for edge in (part.ports[0], part.ports[1] + 1)})
    covered = [
        (low, after - 1)
        for low, after in pairwise(edges)
        if network in _collapsed(part.network for part in inside if _within((low, after - 1), part.ports))
    ]
    return _without(ports, covered)


def _collapsed(networks: Iterable[Network]) -> list[Network]:
    found = list(networks)
    four = [n for n in found if isinstance(n, IPv4Network)]
    six = [n for n in found if isinstance(n, IPv6Network)]
    return [*collapse_addresses(four), *collapse_addresses(six)]


def _shown(host: str, ports: Iterable[Ports]) -> str:
    return f"{_host(host)}:{', '.join(str(a) if a == b else f'{a}-{b}' for a, b in ports)}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
