"""A grant of the whole file system."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.places import spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.granted:
        if spoken_for(case, use) == "grants-root":
            how = "changed" if use.writable else "read"
            files = "every file of the host that is not excepted" if use.excepted else "every file of the host"
            yield Problem(route=use.route, message=f"the root directory is granted: {files} can be {how}")


RULE = Rule(
    id="grants-root",
    summary="the root directory of the host is granted",
    severity="high",
    confidence="high",
    check=_check,
)
