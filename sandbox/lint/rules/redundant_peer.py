"""An entry of the network that another one of its list covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import remove
from sandbox.lint.network import EVERY_PORT, Cover, Entry, Ports
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.addresses import embedded
from sandbox.policy.model import Local
from sandbox.source import Route


def _check(case: Case) -> Iterator[Problem]:
    fixes = 0
    for family, number, by in _covered(case):
        root = case.route("grants", "sockets", *family.split("."))
        fix = _drop(case, (*root, number)) if fixes < network.MAX_FIXES else None
        fixes += fix is not None
        yield Problem(
            route=(*root, number),
            message=f"`{family}[{by}]` covers all of this, so it adds nothing",
            related=(case.related((*root, by), "this covers it"),),
            fix=fix,
        )


def _covered(case: Case) -> Iterator[tuple[str, int, int]]:
    """A list, and numbers in it: of an entry that is covered, and of the one that covers it."""
    sockets = network.sockets_of(case)
    entries = list(network.peers(case))
    for family in ("tcp.connect", "udp.send"):
        for number, by in _peers([entry for entry in entries if entry.family == family]):
            yield family, number, by
    for family, served in (("tcp.listen", sockets.listen), ("udp.bind", sockets.bind)):
        for number, by in _locals(served):
            yield family, number, by
    for number, by in _within([(n, name, EVERY_PORT) for n, name in enumerate(sockets.dns)]):
        yield "dns", number, by
    for number, by in _within([(n, peer.host, peer.ports or EVERY_PORT) for n, peer in enumerate(sockets.deny)]):
        yield "deny", number, by


def _peers(entries: list[Entry]) -> Iterator[tuple[int, int]]:
    every = Cover((entry.number, entry.host, entry.ports) for entry in entries)
    private = Cover((entry.number, entry.host, entry.ports) for entry in entries if entry.private)
    for entry in entries:
        # Of an address it decides nothing. One that embeds others may be reached when it is granted by itself.
        cover = private if entry.private and entry.network is None else every
        alone = entry.network is not None and entry.network.num_addresses == 1 and bool(embedded(entry.network[0]))
        yield from _other(entry.number, cover.over(entry.host, entry.ports, alone=alone))


def _within(entries: list[tuple[int, str, Ports]]) -> Iterator[tuple[int, int]]:
    cover = Cover(entries)
    for number, host, ports in entries:
        yield from _other(number, cover.over(host, ports))


def _locals(served: Iterable[Local]) -> Iterator[tuple[int, int]]:
    everywhere = {
        (":" in local.address, local.port): number
        for number, local in enumerate(served)
        if not local.address.strip("0.:")
    }
    for number, local in enumerate(served):
        by = everywhere.get((":" in local.address, local.port))
        yield from _other(number, () if by is None else (by,))


def _other(number: int, over: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The widest that covers an entry beside itself: no other one covers that."""
    found = [by for by in over if by != number]
    if found:
        yield number, found[-1]


def _drop(case: Case, route: Route) -> Fix | None:
    edits = remove(case.document, route)
    return Fix(message="remove it", edits=edits, safe=True) if edits else None


RULE = Rule(
    id="redundant-peer",
    summary="an entry of the network adds nothing to another one",
    severity="low",
    confidence="high",
    check=_check,
)
