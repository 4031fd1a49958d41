"""A grant to write, with the default bound on what is written."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.limits import states, stating
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    writable = next((n for n, grant in enumerate(case.component.grants.filesystem) if grant.access == "write"), None)
    if writable is not None and not states(case, "disk"):
        yield Problem(
            route=case.route("grants", "filesystem", writable, "access"),
            message="files can be written, and `disk` does not say how much: the default of 256MiB holds",
            fix=stating(case, "disk", "256MiB"),
        )


RULE = Rule(
    id="writes-without-disk-limit",
    summary="files can be written, and the policy does not say how much",
    severity="medium",
    confidence="high",
    check=_check,
)
