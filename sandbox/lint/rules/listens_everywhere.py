"""A port that is served at every address of the machine."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import replace_value
from sandbox.lint.network import EVERY_PORT, Denials
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.model import Local
from sandbox.source import Route

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def _check(case: Case) -> Iterator[Problem]:
    sockets = network.sockets_of(case)
    denials = Denials(sockets.deny)
    taken = {"tcp.listen": set(sockets.listen), "udp.bind": set(sockets.bind)}
    fixes = 0
    for family, local, route in network.locals_(case):
        if local.address not in _LOOPBACK:
            continue
        act = "connect to" if family == "tcp.listen" else "send to"
        at = f"port {local.port}" if local.port else "a port that the system chooses"
        message = f"whoever reaches any address of this machine can {act} {at} of it"
        instead = Local(address=_LOOPBACK[local.address], port=local.port)
        ports = (local.port, local.port) if local.port else EVERY_PORT
        fix = None
        if fixes < network.MAX_FIXES and instead not in taken[family] and not denials.cover(instead.address, ports):
            fix = _narrow(case, route, instead)
            fixes += fix is not None
        yield Problem(route=route, message=message, fix=fix)


def _narrow(case: Case, route: Route, instead: Local) -> Fix | None:
    text = network.shown(instead.address, (instead.port, instead.port))
    written = case.document.text[slice(*case.document.nearest(route)[1].value)]
    # A bracket begins a list to YAML.
    quoted = f'"{text}"' if written[:1] in "'\"" or text.startswith("[") else text
    edits = replace_value(case.document, route, quoted, text)
    return Fix(message=f"serve this machine alone, at {text}", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="listens-everywhere",
    summary="a port is served at every address of the machine",
    severity="medium",
    confidence="high",
    check=_check,
)
