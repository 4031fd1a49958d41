"""What a policy's ``sockets`` say about one address, port or name. Pure: values in, verdict out.

A denial wins over every grant. An address is judged in its canonical form; one that embeds others, by those as well.
An address that a name resolved to is judged as that name's: by its grants, and by what they say of private addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from sandbox.audit.quote import yaml_scalar
from sandbox.broker.names import Found
from sandbox.policy.addresses import NEVER, Address, Kind, canonical, embedded, kind, shown, zone
from sandbox.policy.model import Local, Peer, Sockets

Protocol = Literal["tcp", "udp"]

EVERY_PORT = (1, 65535)
UNCOVERED = "no grant covers this address and port"
ZONED = "an address with a zone is never reached, whatever is granted"

Names = Mapping[Address, Mapping[str, str | None]]
"""Addresses that names resolved to in this run; each with those names, and the alias that each name led over."""

_PEERS: dict[Protocol, str] = {"tcp": "connect", "udp": "send"}
_LOCALS: dict[Protocol, str] = {"tcp": "listen", "udp": "bind"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether something may be done, and what decided."""

    allowed: bool
    reason: str
    """One sentence without its end: what decided."""
    route: str
    """Below ``grants``: the rule that decided, or ``sockets`` where none did."""
    grant: str | None = None
    """The YAML, indented from ``grants``, that would grant it; ``None`` where it is allowed, denied, or never is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupVerdict(Verdict):
    """A verdict on looking up a name, with what its answer is then judged by."""

    whole: bool = False
    """Whether the answer is given out whole: ``dns`` lists the name."""
    private: bool = False
    """Whether a grant takes addresses that are not public."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a guest gets of an answer."""

    addresses: tuple[Address, ...]
    refused: Verdict | None = None
    """Why some were left out, or all."""


@dataclass(frozen=True, slots=True)
class _Rule:
    route: str
    text: str
    """As a policy writes it."""
    network: IPv4Network | IPv6Network | None
    """One address is a network of itself; ``None``: the rule is about names."""
    pattern: str
    ports: tuple[int, int]
    private: bool = False

    def has_port(self, port: int | None) -> bool:
        """``None``: whichever port."""
        return port is None or self.ports[0] <= port <= self.ports[1]

    def denies_port(self, port: int | None) -> bool:
        """``None``: every port. Port 0, of the system's choice, may become any."""
        return self.has_port(port) if port else self.ports == EVERY_PORT

    def has_address(self, address: Address) -> bool:
        network = self.network
        return network is not None and address.version == network.version and address in network

    def has_name(self, name: str) -> bool:
        if self.network is not None:
            return False
        star, _, rest = self.pattern.partition(".")
        if star == "*":
            return name.partition(".")[2] == rest
        return name.endswith("." + rest) if star == "**" else name == self.pattern


def _rule(route: str, host: str, ports: tuple[int, int] | None, private: bool = False) -> _Rule:
    is_network = ":" in host or "/" in host or host.rpartition(".")[2].isdecimal()
    text = f"[{host}]" if ":" in host else host
    if ports is not None:
        text += f":{ports[0]}" if ports[0] == ports[1] else f":{ports[0]}-{ports[1]}"
    return _Rule(route, text, ip_network(host) if is_network else None, host, ports or EVERY_PORT, private)


class Rules:
    """The rules of one component's ``sockets``, ready to judge by."""

    def __init__(self, sockets: Sockets) -> None:
        self._peers: dict[Protocol, tuple[_Rule, ...]] = {
            "tcp": _peer_rules("sockets.tcp.connect", sockets.connect),
            "udp": _peer_rules("sockets.udp.send", sockets.send),
        }
        self._locals: dict[Protocol, tuple[tuple[str, Local, Address], ...]] = {
            "tcp": _local_rules("sockets.tcp.listen", sockets.listen),
            "udp": _local_rules("sockets.udp.bind", sockets.bind),
        }
        self._dns = tuple(_rule(f"sockets.dns[{n}]", host, None) for n, host in enumerate(sockets.dns))
        self._deny = tuple(_rule(f"sockets.deny[{n}]", d.host, d.ports) for n, d in enumerate(sockets.deny))

    def peer(self, protocol: Protocol, written: Address, port: int, names: Names) -> Verdict:
        """On connecting (TCP) or sending (UDP) to an address as the guest wrote it.

        Port 0 is judged as whichever port: that it leads nowhere is for others to say.
        """
        return self._peer(protocol, written, port or None, names)

    def local(self, protocol: Protocol, written: Address, port: int) -> Verdict:
        """On serving at a local address: listening (TCP), or receiving from anyone (UDP)."""
        refused = self._unfit(written) or self._denied_local(written, port)
        if refused is not None:
            return refused
        address = canonical(written)
        if kind(address) in NEVER and not address.is_unspecified:
            return _never(address, "bound")
        for route, local, granted in self._locals[protocol]:
            covers = granted == address or (granted.is_unspecified and granted.version == address.version)
            if covers and local.port == port:
                return _allowed(route, shown(granted, local.port))
        return _refused(UNCOVERED, grant=_local_grant(protocol, address, port))

    def bind(self, protocol: Protocol, written: Address, port: int) -> Verdict:
        """On binding: as ``local``; and to any address and port at all where peers are granted, which alone gives
        nothing.
        """
        verdict = self.local(protocol, written, port)
        if verdict.allowed or not self._peers[protocol] or zone(written) is not None:
            return verdict
        if not canonical(written).is_unspecified or port != 0:
            return verdict
        return Verdict(
            allowed=True,
            reason=f"allowed by the policy: any local port, to reach what {_PEERS[protocol]} grants",
            route=f"sockets.{protocol}.{_PEERS[protocol]}",
        )

    def remote(self, written: Address, port: int) -> Verdict:
        """On being reached by somebody, at an address that is served: denials alone speak of that."""
        address = canonical(written)
        return self._denied(address, address, port) or Verdict(
            allowed=True, reason="allowed by the policy: no denial covers this address", route="sockets"
        )

    def literal(self, written: Address, names: Names) -> Verdict:
        """On looking up an address: allowed where it may be reached, or served at, by whichever port."""
        verdicts = [self._peer(protocol, written, None, names) for protocol in self._peers]
        for protocol, locals_ in self._locals.items():
            verdicts += [self.local(protocol, written, local.port) for _, local, _ in locals_]
            verdicts.append(self.bind(protocol, written, 0))
        allowed = next((v for v in verdicts if v.allowed), None)
        told = next((v for v in verdicts if v.reason != UNCOVERED), None)
        return allowed or told or _refused("no grant covers this address")

    def lookup(self, name: str) -> LookupVerdict:
        """On looking up a normalised name."""
        for rule in self._deny:
            if rule.has_name(name) and rule.denies_port(None):
                return LookupVerdict(allowed=False, reason=f"denied by the policy: {rule.text}", route=rule.route)
        peers = [rule for rules in self._peers.values() for rule in rules if rule.has_name(name)]
        listed = [rule for rule in self._dns if rule.has_name(name)]
        if not peers and not listed:
            return LookupVerdict(
                allowed=False, reason="no grant covers this name", route="sockets", grant=name_grant(name)
            )
        private = next((rule for rule in peers if rule.private), None)
        by = private or next(iter(listed or peers))
        return LookupVerdict(
            allowed=True,
            reason=f"allowed by the policy: {by.text}",
            route=by.route,
            whole=bool(listed),
            private=private is not None,
        )

    def answer(self, name: str, lookup: LookupVerdict, found: Found) -> Answer:
        """Which addresses of an answer to an allowed lookup the guest gets."""
        for rule in self._deny:
            if found.alias is not None and rule.has_name(found.alias) and rule.denies_port(None):
                reason = f"denied by the policy: {rule.text} (the name is an alias of {found.alias})"
                return Answer(addresses=(), refused=_refused(reason, rule.route))
        fit = tuple(a for a in found.addresses if _takes(lookup.private, kind(a)))
        if lookup.whole or len(fit) == len(found.addresses):
            return Answer(addresses=found.addresses)
        left_out = [a for a in found.addresses if a not in fit]
        reason = _not_public(left_out[0])
        if fit:
            count = "it was" if len(left_out) == 1 else f"{len(left_out)} such addresses were"
            reason += f"; {count} left out of the answer"
        refused = _refused(reason, lookup.route, self._private_grant(name, left_out[0]))
        return Answer(addresses=fit, refused=refused)

    def _peer(self, protocol: Protocol, written: Address, port: int | None, names: Names) -> Verdict:
        address = canonical(written)
        refused = self._unfit(written) or self._denied(written, address, port)
        if refused is not None:
            return refused
        if kind(address) in NEVER:
            return _never(address, "reached")
        inner = embedded(address)
        hidden: Address | None = None
        for rule in self._peers[protocol]:
            if rule.has_address(address) and rule.has_port(port):
                # A wide network names no one; who is inside an address must be granted as well.
                hidden = next((i for i in inner if not self._grants(protocol, i, port)), None)
                if hidden is None or (rule.network is not None and rule.network.num_addresses == 1):
                    return _allowed(rule.route, rule.text)
        return self._by_name(protocol, address, port, names.get(address, {}), hidden)

    def _by_name(
        self,
        protocol: Protocol,
        address: Address,
        port: int | None,
        names: Mapping[str, str | None],
        hidden: Address | None,
    ) -> Verdict:
        """On an address that no grant names, by the names that resolved to it."""
        denied: Verdict | None = None
        private: Verdict | None = None
        for name, alias in names.items():
            for rule in self._peers[protocol]:
                if not rule.has_name(name) or not rule.has_port(port):
                    continue
                denial = self._denial_of_name((name, alias), port)
                if denial is not None:
                    denied = denial
                elif _takes(rule.private, kind(address)):
                    return _allowed(rule.route, rule.text)
                else:
                    grant = _peer_grant(protocol, name, port, private=True)
                    private = _refused(_not_public(address), rule.route, grant)
        if denied is not None or private is not None:
            return denied or private or _refused(UNCOVERED)
        if hidden is not None:
            return _refused(f"the address embeds {hidden}, which no grant covers")
        if names:
            denial = next(filter(None, (self._denial_of_name(pair, port) for pair in names.items())), None)
            if denial is not None:
                return denial
            first = next(iter(names))
            return _refused(UNCOVERED, grant=_peer_grant(protocol, first, port, private=kind(address) != "public"))
        return _refused(UNCOVERED, grant=_address_grant(protocol, address, port))

    def _grants(self, protocol: Protocol, address: Address, port: int | None) -> bool:
        return any(rule.has_address(address) and rule.has_port(port) for rule in self._peers[protocol])

    def _denied(self, written: Address, address: Address, port: int | None) -> Verdict | None:
        """The denial of an address, in whichever of its forms."""
        for rule in self._deny:
            if not rule.denies_port(port):
                continue
            if rule.has_address(address) or rule.has_address(written):
                return _denial(rule)
            inner = next((i for i in embedded(address) if rule.has_address(i)), None)
            if inner is not None:
                return _denial(rule, f" (the address embeds {inner})")
        return None

    def _denied_local(self, written: Address, port: int) -> Verdict | None:
        """An unspecified address stands for each of the machine's own: no denial of hosts is about it."""
        address = canonical(written)
        return None if address.is_unspecified else self._denied(written, address, port)

    def _denial_of_name(self, names: Sequence[str | None], port: int | None) -> Verdict | None:
        for rule in self._deny:
            if rule.denies_port(port) and any(name is not None and rule.has_name(name) for name in names):
                return _denial(rule)
        return None

    def _private_grant(self, name: str, address: Address) -> str | None:
        """The grant that takes ``address`` for ``name`` too: the first about the name, said again."""
        if kind(address) in NEVER:
            return None
        for protocol, rules in self._peers.items():
            for rule in rules:
                if rule.has_name(name):
                    ports = rule.text[len(rule.pattern) + 1 :]
                    return _private_peer(protocol, f"{name}:{ports}")
        return None

    def _unfit(self, written: Address) -> Verdict | None:
        return None if zone(written) is None else _refused(ZONED)


def _peer_rules(route: str, peers: Sequence[Peer]) -> tuple[_Rule, ...]:
    return tuple(_rule(f"{route}[{n}]", p.host, p.ports, p.private) for n, p in enumerate(peers))


def _local_rules(route: str, locals_: Sequence[Local]) -> tuple[tuple[str, Local, Address], ...]:
    return tuple((f"{route}[{n}]", local, ip_network(local.address)[0]) for n, local in enumerate(locals_))


def _allowed(route: str, text: str) -> Verdict:
    return Verdict(allowed=True, reason=f"allowed by the policy: {text}", route=route)


def _refused(reason: str, route: str = "sockets", grant: str | None = None) -> Verdict:
    return Verdict(allowed=False, reason=reason, route=route, grant=grant)


def _denial(rule: _Rule, more: str = "") -> Verdict:
    return _refused(f"denied by the policy: {rule.text}{more}", rule.route)


def _never(address: Address, done: str) -> Verdict:
    inner = next((i for i in embedded(address) if kind(i) in NEVER), None)
    hidden = "" if inner is None else f" (the address embeds {inner})"
    return _refused(f"{_an(kind(address))} address is never {done}, whatever is granted{hidden}")


def _takes(private: bool, what: Kind) -> bool:
    """Whether a grant of a name takes an address of this kind for it."""
    return what == "public" or (private and what not in NEVER)


def _not_public(address: Address) -> str:
    what = kind(address)
    end = "is never reached" if what in NEVER else "its grant does not allow (private: true would)"
    return f"the name resolves to {address}, {_an(what)} address, which {end}"


def _an(what: Kind) -> str:
    return f"{'an' if what[0] == 'u' else 'a'} {what}"


# What would grant something, as a policy says it.


def address_grant(protocol: Protocol, written: Address, port: int) -> str | None:
    """The YAML that would grant connecting or sending to an address; ``None`` where no policy can."""
    return None if zone(written) is not None else _address_grant(protocol, canonical(written), port)


def local_grant(protocol: Protocol, written: Address, port: int) -> str | None:
    """The YAML that would grant serving at an address; ``None`` where no policy can."""
    return None if zone(written) is not None else _local_grant(protocol, canonical(written), port)


def name_grant(name: str) -> str:
    """The YAML that would grant looking up a normalised name."""
    return f"sockets:\n  dns: [{yaml_scalar(name)}]"


def _address_grant(protocol: Protocol, address: Address, port: int | None) -> str | None:
    # Policies take no address that hides another one, and none that needs a zone.
    if not port or kind(address) in NEVER or embedded(address) or _needs_zone(address):
        return None
    return f"sockets:\n  {protocol}: {{{_PEERS[protocol]}: [{yaml_scalar(shown(address, port))}]}}"


def _local_grant(protocol: Protocol, address: Address, port: int) -> str | None:
    if (kind(address) in NEVER and not address.is_unspecified) or _needs_zone(address):
        return None
    return f"sockets:\n  {protocol}: {{{_LOCALS[protocol]}: [{yaml_scalar(shown(address, port))}]}}"


def _needs_zone(address: Address) -> bool:
    return address.version == 6 and address.is_link_local


def _peer_grant(protocol: Protocol, name: str, port: int | None, *, private: bool) -> str | None:
    if not port:
        return None
    if private:
        return _private_peer(protocol, f"{name}:{port}")
    return f"sockets:\n  {protocol}: {{{_PEERS[protocol]}: [{yaml_scalar(f'{name}:{port}')}]}}"


def _private_peer(protocol: Protocol, to: str) -> str:
    return f"sockets:\n  {protocol}: {{{_PEERS[protocol]}: [{{to: {yaml_scalar(to)}, private: true}}]}}"
