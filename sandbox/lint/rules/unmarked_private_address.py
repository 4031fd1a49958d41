"""A grant that leads into one's own network, and does not say that it is meant to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import insert_key, replace_value
from sandbox.lint.network import Denials, Entry
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.addresses import Kind, kinds
from sandbox.policy.hosts import Network

MOST_NAMED = 3
"""Networks that one sentence names."""


def _check(case: Case) -> Iterator[Problem]:
    denials = Denials(network.sockets_of(case).deny)
    fixes = 0
    for entry in network.peers(case):
        if entry.private:
            continue
        if entry.network is None:
            if network.is_private_name(entry.host):
                yield _name(entry)
            continue
        if network.is_everywhere(entry.network):
            continue
        held = [
            (part, kind)
            for part, kind in network.private_parts(entry.network)
            if not denials.cover(network.host_of(part), entry.ports)
        ]
        if held and "public" in kinds(entry.network):
            yield _mixed(entry, [part for part, _ in held])
        elif held:
            found = [kind for _, kind in held]
            fix = _mark(case, entry) if fixes < network.MAX_FIXES and "metadata" not in found else None
            fixes += fix is not None
            yield _closed(entry, found, fix)


def _closed(entry: Entry, held: Sequence[Kind], fix: Fix | None) -> Problem:
    """On an address, or a network all of which is not public."""
    assert entry.network is not None
    severity: Severity | None = None
    if "metadata" in held:
        severity = "high"
        is_ = "is" if entry.network.num_addresses == 1 else "holds"
        what = f"{is_} a cloud's metadata service, which gives out the machine's credentials"
    elif entry.network.num_addresses == 1:
        what = f"is a {held[-1]} address"
    else:
        what = f"is a network of {held[-1]} addresses"
    message = f"'{entry.shown}' {what}, and nothing says that such a one is meant: add `private: true`"
    return Problem(route=entry.route, message=message, severity=severity, fix=fix)


def _mixed(entry: Entry, held: Sequence[Network]) -> Problem:
    names = ", ".join(network.shown(network.host_of(part)) for part in held[:MOST_NAMED])
    more = f" and {len(held) - MOST_NAMED} more" if len(held) > MOST_NAMED else ""
    message = f"'{entry.shown}' holds what is not public, {names}{more}: name narrower networks, or deny these"
    return Problem(route=entry.route, message=message, severity="high")


def _name(entry: Entry) -> Problem:
    message = (
        f"'{entry.shown}' will hardly have a public address, and is not reached at another without `private: true`"
    )
    return Problem(route=entry.route, message=message, severity="low", confidence="medium")


def _mark(case: Case, entry: Entry) -> Fix | None:
    """No run comes out otherwise; but that it is meant is for a person to say."""
    if entry.route != entry.item:
        edits = insert_key(case.document, entry.item, "private", "true", True)
    else:
        text = case.document.text[slice(*case.document.nearest(entry.item)[1].value)]
        said = case.data(*entry.item[len(case.root) :])
        edits = replace_value(
            case.document, entry.item, f"{{to: {text}, private: true}}", {"to": said, "private": True}
        )
    return Fix(message="say that it is meant", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="unmarked-private-address",
    summary="an address inside one's own network is granted, and nothing says that it is meant",
    severity="medium",
    confidence="high",
    check=_check,
)
