"""A wildcard that covers names which anybody can get."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.suffixes import open_suffix
from sandbox.source import Route


def _check(case: Case) -> Iterator[Problem]:
    for entry in network.peers(case):
        suffix = open_suffix(entry.host)
        if suffix is not None:
            act = "connect" if entry.family == "tcp.connect" else "send"
            yield _problem(entry.route, suffix, f"'{entry.host}' lets the guest {act} to each")
    for number, name in enumerate(network.sockets_of(case).dns):
        suffix = open_suffix(name)
        if suffix is not None:
            route = case.route("grants", "sockets", "dns", number)
            yield _problem(route, suffix, f"'{name}' lets the guest tell its owner things by looking up names")


def _problem(route: Route, suffix: str, what: str) -> Problem:
    return Problem(route=route, message=f"anybody can get a name in '{suffix}', and {what}: name the hosts")


RULE = Rule(
    id="public-suffix-wildcard",
    summary="a wildcard covers names that anybody can get",
    severity="high",
    confidence="high",
    check=_check,
)
