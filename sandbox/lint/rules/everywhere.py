"""A grant of so much of the internet that it names nobody."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.network import Denials, Entry, Ports
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.hosts import Network

SHARE = 8
"""Networks that are each narrow enough may hold this part of all addresses together: an eighth."""
MOST_RELATED = 5

_Group = tuple[str, Ports, int]
"""A list, ports, and the version of networks."""


def _check(case: Case) -> Iterator[Problem]:
    denials = Denials(network.sockets_of(case).deny)
    together: dict[_Group, list[Entry]] = {}
    wide: set[_Group] = set()
    for entry in network.peers(case):
        if entry.network is None:
            continue
        group: _Group = entry.family, entry.ports, entry.network.version
        together.setdefault(group, []).append(entry)
        if network.is_everywhere(entry.network):
            wide.add(group)
            yield _one(entry, entry.network, denials)
    for group, entries in together.items():
        if group not in wide and len(entries) > 1:
            yield from _many(case, entries, group[2])


def _one(entry: Entry, wide: Network, denials: Denials) -> Problem:
    what = f"is every IPv{wide.version} address" if wide.prefixlen == 0 else "is so wide that it names nobody"
    open_ = any(not denials.cover(network.host_of(n), entry.ports) for n, _ in network.private_parts(wide))
    inside = ", machines inside your own network among them" if open_ else ""
    return Problem(route=entry.route, message=f"'{entry.shown}' {what}{inside}: name the hosts")


def _many(case: Case, entries: list[Entry], version: int) -> Iterator[Problem]:
    size = sum(n.num_addresses for n in network.collapsed(e.network for e in entries if e.network is not None))
    if size * SHARE < 2 ** (32 if version == 4 else 128):
        return
    first, *others = sorted(entries, key=lambda entry: entry.network.prefixlen if entry.network is not None else 0)
    share = f"{size * 100 >> (32 if version == 4 else 128)}% of all IPv{version} addresses"
    yield Problem(
        route=first.route,
        message=f"'{first.shown}' and other networks here are {share}, which names nobody: name the hosts",
        related=tuple(case.related(other.route, "together with this") for other in others[:MOST_RELATED]),
    )


RULE = Rule(
    id="everywhere",
    summary="so much of the internet is granted that it names nobody",
    severity="high",
    confidence="high",
    check=_check,
)
