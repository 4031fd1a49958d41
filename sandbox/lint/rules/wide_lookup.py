"""Names that may be looked up beside those that may be reached."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import remove
from sandbox.lint.network import EVERY_PORT, Cover
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.suffixes import open_suffix
from sandbox.source import Route


def _check(case: Case) -> Iterator[Problem]:
    dns = network.sockets_of(case).dns
    if not dns:
        return
    entries = list(network.peers(case))
    listed = Cover((number, name, EVERY_PORT) for number, name in enumerate(dns))
    # Whatever the port: a name that may be reached may be looked up.
    reached = Cover((number, entry.host, EVERY_PORT) for number, entry in enumerate(entries))
    fixes = 0
    for number, name in enumerate(dns):
        if any(by != number for by in listed.over(name, EVERY_PORT)):
            continue  # it is redundant, and the other one is looked at
        route = case.route("grants", "sockets", "dns", number)
        by = next(reached.over(name, EVERY_PORT), None)
        if by is not None:
            peer = entries[by]
            message = (
                f"'{name}' may be looked up already, since '{peer.shown}' may be reached; listed here, its addresses "
                "are given out whole, those inside your network too"
            )
            fix = _drop(case, route) if fixes < network.MAX_FIXES else None
            fixes += fix is not None
            related = (case.related(peer.route, "this lets it be looked up"),)
            yield Problem(route=route, message=message, severity="low", related=related, fix=fix)
        elif name.startswith("*") and open_suffix(name) is None:
            domain = name.partition(".")[2]
            message = f"'{name}' lets a guest put data into the names that it looks up, for whoever serves '{domain}'"
            severity: Severity | None = "low" if network.is_private_name(name) else None
            yield Problem(route=route, message=message, severity=severity)


def _drop(case: Case, route: Route) -> Fix | None:
    edits = remove(case.document, route)
    return Fix(message="remove it", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="wide-lookup",
    summary="more names may be looked up than may be reached",
    severity="medium",
    confidence="high",
    check=_check,
)
