"""A grant of the whole file system."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.granted:
        if use.thing.real == "/" or use.thing.absolute == "/":
            how = "changed" if use.writable else "read"
            yield Problem(
                route=use.route, message=f"the root directory is granted: every file of the host can be {how}"
            )


RULE = Rule(
    id="grants-root",
    summary="the root directory of the host is granted",
    severity="high",
    confidence="high",
    check=_check,
)
