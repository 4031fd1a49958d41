"""``sockets``: hosts and ports a guest may reach, and those it may serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, Tag
from pydantic_core import PydanticCustomError

from sandbox.policy import model
from sandbox.policy.addresses import kinds
from sandbox.policy.hosts import (
    covering,
    is_address,
    network_of,
    read_address,
    read_host,
    read_name,
    read_ports,
    split_port,
)
from sandbox.policy.section import MAPPING, TEXT, Conflicts, Flag, Reads, Section, choice, flaw, forms, shown, text_of

MAX_ENTRIES = 1000
"""Entries of one list. A policy that needs more means a network or a wildcard."""

_EVERY_PORT = (1, 65535)


def _peer(value: object) -> model.Peer:
    text = text_of(value, "a host and port, as in 'db.internal:5432'")
    host, port = split_port(text)
    host = read_host(host)
    if port is None:
        raise flaw(f"{shown(text)} has no port: write 'host:port'")
    return model.Peer(host=host, ports=read_ports(port))


def _local(value: object) -> model.Local:
    text = text_of(value, "an address and port, as in '127.0.0.1:8080'")
    host, port = split_port(text)
    if not is_address(host) or text.isdecimal():
        raise flaw(f"{shown(text)}: write the address to listen on, as in '127.0.0.1:8080'")
    address = read_address(host)
    if port is None:
        raise flaw(f"{shown(text)} has no port: write 'address:port', with port 0 to let the system choose")
    if "-" in port or port == "*":
        raise flaw(f"{shown(text)}: write one port, or 0 to let the system choose")
    return model.Local(address=address, port=read_ports(port, least=0)[0])


def _denied(value: object) -> model.DeniedPeer:
    text = text_of(value, "a host, with or without a port")
    host, port = split_port(text)
    host = read_host(host, "deny")
    return model.DeniedPeer(host=host, ports=None if port is None else read_ports(port))


def _resolved(value: object) -> str:
    text = text_of(value, "a name to resolve")
    if ":" in text or (is_address(text) and "*" not in text):
        raise flaw(f"{shown(text)} is no name: 'dns' lists names without ports")
    return read_host(text) if "*" in text else read_name(text)


_TEXT = {"type": "string", "minLength": 1}

Peer = Annotated[model.Peer, Reads(_peer, _TEXT | {"examples": ["db.internal:5432", "10.2.0.0/16:443"]})]
Local = Annotated[model.Local, Reads(_local, _TEXT | {"examples": ["127.0.0.1:8080", "[::1]:0"]})]
Denied = Annotated[
    model.DeniedPeer, Reads(_denied, _TEXT | {"examples": ["169.254.0.0/16", "**.internal.example:443"]})
]
Resolved = Annotated[str, Reads(_resolved, _TEXT | {"examples": ["db.internal", "*.example.com"]})]
Audit = Annotated[Literal["refusals", "all"], choice("refusals", "all")]


class PeerSection(Section):
    """A peer with what may be said about it."""

    model_config = ConfigDict(title="Peer")

    to: Peer = Field(description="Host and port.")
    private: Flag = Field(
        default=False,
        description="Whether the name may resolve to an address that is not public; beside an address or network that "
        "is not public, that such a one is meant, which changes nothing.",
    )

    def to_value(self) -> model.Peer:
        return replace(self.to, private=self.private)


AnyPeer = Annotated[
    Annotated[Peer, Tag(TEXT)] | Annotated[PeerSection, Tag(MAPPING)],
    forms("a host and port, as in 'db.internal:5432', or {to: host:port, private: true}"),
]


class TcpSection(Section):
    """TCP."""

    model_config = ConfigDict(title="TCP")

    connect: list[AnyPeer] = Field(default=[], description="Peers the guest may connect to.")
    listen: list[Local] = Field(default=[], description="Addresses the guest may accept connections on.")


class UdpSection(Section):
    """UDP."""

    model_config = ConfigDict(title="UDP")

    send: list[AnyPeer] = Field(default=[], description="Peers the guest may exchange datagrams with.")
    bind: list[Local] = Field(default=[], description="Addresses the guest may receive datagrams on, from anyone.")


class SocketsSection(Section):
    """The network: what is not named here is refused."""

    model_config = ConfigDict(title="Sockets")

    tcp: TcpSection = Field(default=TcpSection(), description="TCP connections.")
    udp: UdpSection = Field(default=UdpSection(), description="UDP datagrams.")
    dns: list[Resolved] = Field(
        default=[], description="Names the guest may look up, beside those that it may connect or send to."
    )
    deny: list[Denied] = Field(default=[], description="Hosts refused whatever else is granted.")
    audit: Audit = Field(
        default="refusals", description="'refusals', or 'all' for an event for each connection and look-up too."
    )

    def to_value(self) -> model.Sockets | None:
        value = model.Sockets(
            connect=_peers(self.tcp.connect),
            listen=tuple(self.tcp.listen),
            send=_peers(self.udp.send),
            bind=tuple(self.udp.bind),
            dns=tuple(self.dns),
            deny=tuple(self.deny),
            audit_all=self.audit == "all",
        )
        return None if value == model.Sockets() else value


def _peers(peers: list[model.Peer | PeerSection]) -> tuple[model.Peer, ...]:
    return tuple(peer.to_value() if isinstance(peer, PeerSection) else peer for peer in peers)


_Entry = TypeVar("_Entry")


def conflicts(data: object) -> Conflicts:
    """What no single entry shows: entries given twice, or that another one leaves without any effect."""
    denied = _Denials(list(_entries(data, ("deny",), _denied)))
    yield from _long_lists(data)
    yield from _twice(data, ("deny",), _denied, lambda peer: (peer.host, peer.ports))
    for route in (("tcp", "connect"), ("udp", "send")):
        yield from _twice(data, route, _peer, lambda peer: (peer.host, peer.ports))
        for index, peer in _entries(data, route, _peer):
            yield from _private(data, (*route, index), peer)
            for by in denied.of(peer.host, peer.ports):
                yield (*route, index), _ineffective(by), None
    for route in (("tcp", "listen"), ("udp", "bind")):
        yield from _twice(data, route, _local, lambda local: local)
        for index, local in _entries(data, route, _local):
            # What is denied is no address of one's own either; the unspecified one stands for no single host.
            ports = (local.port, local.port) if local.port else _EVERY_PORT
            for by in denied.of(local.address, ports) if local.address.strip("0.:") else ():
                yield (*route, index), _ineffective(by), None
    yield from _twice(data, ("dns",), _resolved, lambda name: name)
    for index, name in _entries(data, ("dns",), _resolved):
        for by in denied.of(name, _EVERY_PORT):
            yield ("dns", index), _ineffective(by), None


def _at(data: object, route: tuple[str | int, ...]) -> object:
    for part in route:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _list_at(data: object, route: tuple[str, ...]) -> list[Any]:
    found = _at(data, route)
    return found[:MAX_ENTRIES] if isinstance(found, list) else []


def _entries(data: object, route: tuple[str, ...], read: Callable[[object], _Entry]) -> Iterator[tuple[int, _Entry]]:
    """The entries of a list that can be read, with their places in it."""
    for index, item in enumerate(_list_at(data, route)):
        try:
            yield index, read(item.get("to") if isinstance(item, dict) else item)
        except PydanticCustomError:
            continue


def _long_lists(data: object) -> Conflicts:
    for route in (("tcp", "connect"), ("tcp", "listen"), ("udp", "send"), ("udp", "bind"), ("dns",), ("deny",)):
        found = _at(data, route)
        if isinstance(found, list) and len(found) > MAX_ENTRIES:
            yield (
                route,
                f"has {len(found):,} entries: more than {MAX_ENTRIES:,} are not taken; write networks or wildcards",
                None,
            )


def _twice(
    data: object, route: tuple[str, ...], read: Callable[[object], _Entry], key: Callable[[_Entry], object]
) -> Conflicts:
    seen: dict[object, int] = {}
    for index, entry in _entries(data, route, read):
        first = seen.setdefault(key(entry), index)
        if first != index:
            yield (*route, index), f"names the same as {'.'.join(route)}[{first}]: keep one of the two", None


def _private(data: object, route: tuple[str | int, ...], peer: model.Peer) -> Conflicts:
    """``private`` where it cannot mean what it says; and names that need it."""
    *above, index = route
    written = _at(data, tuple(above))
    item = written[index] if isinstance(written, list) and isinstance(index, int) else None
    said = item.get("private") if isinstance(item, dict) else None
    network = network_of(peer.host)
    if network is None:
        if peer.host.rpartition(".")[2] == "localhost" and said is not True:
            message = f"'{peer.host}' is this machine itself: say so with 'private: true', or write its address"
            yield route, message, None
    elif said is False:
        message = "is about names where it is false: an address is granted as it is written, so leave it out"
        yield (*route, "private"), message, None
    elif said is True and "public" in kinds(network):
        what = "is a public address" if network.num_addresses == 1 else "holds public addresses"
        host = f"[{peer.host}]" if ":" in peer.host else peer.host
        message = f"'{host}' {what}: 'private: true' says that one is meant which is not public"
        yield (*route, "private"), message, None


def _ineffective(by: int) -> str:
    return f"is never in effect, since deny[{by}] covers all of it: remove one of the two"


class _Denials:
    """Denials by host, so that the one over a grant is found without comparing each with each."""

    def __init__(self, entries: list[tuple[int, model.DeniedPeer]]) -> None:
        self._by_host: dict[str, list[tuple[int, tuple[int, int]]]] = {}
        for index, denied in entries:
            self._by_host.setdefault(denied.host, []).append((index, denied.ports or _EVERY_PORT))

    def of(self, host: str, ports: tuple[int, int]) -> Iterator[int]:
        """The first denial that covers all of ``host`` at all of ``ports``, if there is one."""
        for candidate in covering(host):
            for index, (first, last) in self._by_host.get(candidate, ()):
                if first <= ports[0] and ports[1] <= last:
                    yield index
                    return
