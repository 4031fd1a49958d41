"""``sockets``: hosts and ports a guest may reach, and those it may serve. Read in full, not enforced yet."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, Tag

from sandbox.policy.hosts import check_address, check_host, check_name, check_ports, is_address, split_port
from sandbox.policy.section import MAPPING, TEXT, Conflicts, Flag, Reads, Section, flaw, forms, shown, text_of


def _peer(value: object) -> str:
    text = text_of(value, "a host and port, as in 'db.internal:5432'")
    host, port = split_port(text)
    check_host(host)
    if port is None:
        raise flaw(f"{shown(text)} has no port: write 'host:port'")
    check_ports(port)
    return text


def _local(value: object) -> str:
    text = text_of(value, "an address and port, as in '127.0.0.1:8080'")
    host, port = split_port(text)
    if not is_address(host):
        raise flaw(f"{shown(text)}: write the address to listen on, as in '127.0.0.1:8080'")
    check_address(host)
    if port is None:
        raise flaw(f"{shown(text)} has no port: write 'address:port', with port 0 to let the system choose")
    if "-" in port:
        raise flaw(f"{shown(text)}: write one port, or 0 to let the system choose")
    check_ports(port, least=0)
    return text


def _denied(value: object) -> str:
    text = text_of(value, "a host, with or without a port")
    host, port = split_port(text)
    check_host(host)
    if port is not None:
        check_ports(port)
    return text


def _resolved(value: object) -> str:
    text = text_of(value, "a name to resolve")
    if is_address(text) or ":" in text:
        raise flaw(f"{shown(text)} is no name: 'dns' lists names without ports")
    if "*" in text:
        check_host(text)
    else:
        check_name(text)
    return text


_TEXT = {"type": "string", "minLength": 1}

Peer = Annotated[str, Reads(_peer, _TEXT | {"examples": ["db.internal:5432", "10.2.0.0/16:443"]})]
Local = Annotated[str, Reads(_local, _TEXT | {"examples": ["127.0.0.1:8080", "[::1]:0"]})]
Denied = Annotated[str, Reads(_denied, _TEXT | {"examples": ["169.254.0.0/16", "*.internal.example:443"]})]
Resolved = Annotated[str, Reads(_resolved, _TEXT | {"examples": ["db.internal", "*.example.com"]})]


class PeerSection(Section):
    """A peer with what may be said about it."""

    model_config = ConfigDict(title="Peer")

    to: Peer = Field(description="Host and port.")
    private: Flag = Field(
        default=False, description="Whether the name may resolve to a private, loopback or link-local address."
    )


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
    bind: list[Local] = Field(default=[], description="Addresses the guest may receive datagrams on.")


class SocketsSection(Section):
    """The network. Not enforced yet: a policy that says anything here is refused."""

    model_config = ConfigDict(title="Sockets")

    tcp: TcpSection = Field(default=TcpSection(), description="TCP connections.")
    udp: UdpSection = Field(default=UdpSection(), description="UDP datagrams.")
    dns: list[Resolved] = Field(default=[], description="Names the guest may resolve.")
    deny: list[Denied] = Field(default=[], description="Hosts refused whatever else is granted.")


def conflicts(data: object) -> Conflicts:
    """``private`` where the peer is an address, and thereby says itself where it is."""
    for protocol, key in (("tcp", "connect"), ("udp", "send")):
        section = data.get(protocol) if isinstance(data, dict) else None
        peers = section.get(key) if isinstance(section, dict) else None
        for index, peer in enumerate(peers if isinstance(peers, list) else []):
            to = peer.get("to") if isinstance(peer, dict) and "private" in peer else None
            if isinstance(to, str) and is_address(to.partition("]")[0] if to[:1] == "[" else to.partition(":")[0]):
                message = "says something about names only: an address is granted as it is written"
                yield (protocol, key, index, "private"), message, None
