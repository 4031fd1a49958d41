"""A grant of a port whose protocol is spoken in the clear, at a host on the internet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.network import Denials, Entry
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.addresses import kinds

MOST_PORTS = 16
"""A longer range is no choice of a protocol."""

_PROTOCOLS: Mapping[str, Mapping[int, str]] = {
    "tcp.connect": {
        21: "FTP",
        23: "Telnet",
        80: "HTTP",
        512: "rexec",
        513: "rlogin",
        514: "rsh",
        873: "rsync",
        1883: "MQTT",
        2049: "NFS",
        5900: "VNC",
        6379: "Redis",
        6667: "IRC",
        8080: "HTTP",
        11211: "memcached",
    },
    "udp.send": {
        69: "TFTP",
        161: "SNMP",
        514: "syslog",
        2049: "NFS",
        5060: "SIP",
        11211: "memcached",
    },
}
"""Protocols that have no encryption, or another port for it."""


def _check(case: Case) -> Iterator[Problem]:
    denials = Denials(network.sockets_of(case).deny)
    for entry in network.peers(case):
        first, last = entry.ports
        if last - first >= MOST_PORTS or not _is_public(entry):
            continue
        for port in range(first, last + 1):
            protocol = _PROTOCOLS[entry.family].get(port)
            if protocol is not None and not denials.cover(entry.host, (port, port)):
                host = network.shown(entry.host)
                yield Problem(
                    route=entry.route,
                    message=f"port {port} of '{host}' is for {protocol}, in the clear: what is sent there can be read, "
                    "and what comes back changed, on the way",
                )
                break


def _is_public(entry: Entry) -> bool:
    if entry.network is None:
        return not entry.private and not network.is_private_name(entry.host)
    return "public" in kinds(entry.network)


RULE = Rule(
    id="plain-text-protocol",
    summary="a protocol in the clear is granted to a host on the internet",
    severity="medium",
    confidence="medium",
    check=_check,
)
