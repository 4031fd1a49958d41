"""A component that the lock beside the policy has not."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    lock = case.lock
    if lock is not None and lock.error is None and lock.locked is None and case.file.status == "read":
        message = (
            "the lock beside this policy does not name the component, so nothing tells when it comes to ask for more"
        )
        yield Problem(route=case.route("source"), message=f"{message}; run `sandbox lock`")


RULE = Rule(
    id="unlocked-component",
    summary="there is a lock, and it does not name the component",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="machine",
)
