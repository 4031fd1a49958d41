"""A grant of more ports than any protocol has."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint import network
from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule

MOST_PORTS = 1000


def _check(case: Case) -> Iterator[Problem]:
    for entry in network.peers(case):
        count = entry.ports[1] - entry.ports[0] + 1
        if count > MOST_PORTS:
            what = "every port" if entry.ports == network.EVERY_PORT else f"{count:,} ports"
            host = network.shown(entry.host)
            message = f"{what} of '{host}' can be reached, whatever listens there: name the ports"
            yield Problem(route=entry.route, message=message)


RULE = Rule(
    id="every-port",
    summary="more ports of a host are granted than any protocol has",
    severity="medium",
    confidence="high",
    check=_check,
)
