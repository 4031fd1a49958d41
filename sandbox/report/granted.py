"""Grants in a few words each, for lists and pictures of what components may do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox.policy.model import DirectoryGrant, Environment, Grants, Local, Peer, Sockets, Stdio

_PLAIN = re.compile(r"[^\s\"'(),;\\]+")
"""What is told from the words around it without quotes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """One thing that is granted. The texts hold what the policy's author wrote: hostile until they are rendered."""

    capability: str
    """As in the audit trail: ``filesystem.read``, ``sockets.tcp.connect`` ..."""
    text: str
    """``reads /in``"""
    detail: str = ""
    """``./invoices, except *.pem``; what the text leaves out, if anything."""


def granted(grants: Grants) -> tuple[Granted, ...]:
    """All that ``grants`` allow, in the order of the policy language.

    What leads nowhere is left out, though a policy may grant it: a stream that is discarded, a clock that stands still,
    an empty list. Variables and arguments are told without their values, which may be secrets.
    """
    out = [_directory(grant) for grant in grants.filesystem]
    out += _streams(grants.stdio)
    out += _variables(grants.environment or Environment())
    if grants.arguments is not None and grants.arguments.fixed != ():
        whose = "the caller's" if grants.arguments.fixed is None else "fixed"
        out.append(Granted(capability="arguments", text="arguments", detail=whose))
    for name, mode in (("wall", grants.clocks.wall), ("monotonic", grants.clocks.monotonic)):
        if mode in ("real", "coarse"):
            detail = "coarse" if mode == "coarse" else ""
            out.append(Granted(capability=f"clocks.{name}", text=f"{name} clock", detail=detail))
    if grants.random is not None:
        seeded = grants.random.seed is not None
        capability = "random.insecure" if seeded else "random.secure"
        out.append(Granted(capability=capability, text="random numbers", detail="seeded" if seeded else ""))
    return (*out, *_network(grants.sockets or Sockets()))


def denied(grants: Grants) -> tuple[str, ...]:
    """The hosts that ``grants`` deny whatever else they allow, with their ports."""
    sockets = grants.sockets or Sockets()
    return tuple(_at(peer.host, peer.ports) for peer in sockets.deny)


def _directory(grant: DirectoryGrant) -> Granted:
    excepted = f"except {' '.join(map(_quoted, grant.excepted))}" if grant.excepted else ""
    linked = "files with several names too" if grant.hard_links else ""
    return Granted(
        capability=f"filesystem.{grant.access}",
        text=f"{'writes' if grant.access == 'write' else 'reads'} {_quoted(grant.guest)}",
        detail=_listed((_quoted(grant.host), excepted, linked)),
    )


def _streams(stdio: Stdio) -> Iterator[Granted]:
    for name, stream in (("stdin", stdio.stdin), ("stdout", stdio.stdout), ("stderr", stdio.stderr)):
        if stream is None or stream.mode in ("closed", "discard"):
            continue
        detail = "captured" if stream.mode == "capture" else ""
        if stream.path is not None:
            detail = f"{'from' if name == 'stdin' else 'to'} {_quoted(stream.path)}"
        yield Granted(capability=f"stdio.{name}", text=name, detail=detail)


def _variables(environment: Environment) -> Iterator[Granted]:
    for name, _ in environment.set:
        yield Granted(capability="environment", text=f"variable {_quoted(name)}")
    for variable in environment.inherit:
        yield Granted(capability="environment", text=f"variable {_quoted(variable.name)}", detail="the caller's")


def _network(sockets: Sockets) -> Iterator[Granted]:
    for peer in sockets.connect:
        yield _peer("sockets.tcp.connect", "connects to", peer)
    for local in sockets.listen:
        yield Granted(capability="sockets.tcp.listen", text=f"listens at {_local(local)}")
    for peer in sockets.send:
        yield _peer("sockets.udp.send", "sends UDP to", peer)
    for local in sockets.bind:
        yield Granted(capability="sockets.udp.bind", text=f"receives UDP at {_local(local)}")
    for name in sockets.dns:
        yield Granted(capability="sockets.dns", text=f"looks up {_quoted(name)}")


def _peer(capability: str, verb: str, peer: Peer) -> Granted:
    # Beside an address it changes nothing.
    private = peer.private and _is_name(peer.host)
    detail = "at private addresses too" if private else ""
    return Granted(capability=capability, text=f"{verb} {_at(peer.host, peer.ports)}", detail=detail)


def _local(local: Local) -> str:
    return f"{_host(local.address)}:{local.port}"


def _is_name(host: str) -> bool:
    return ":" not in host and "/" not in host and not host.rpartition(".")[2].isdecimal()


def _at(host: str, ports: tuple[int, int] | None) -> str:
    if ports is None:
        return _host(host)
    first, last = ports
    return f"{_host(host)}:{first}" if first == last else f"{_host(host)}:{first}-{last}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else _quoted(host)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _quoted(text: str) -> str:
    """``text`` as it is, or in quotes where it could be taken for more than one word of ours."""
    if _PLAIN.fullmatch(text):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
