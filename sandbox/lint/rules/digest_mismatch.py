"""A component that is another one than the policy pins."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.lock import difference
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.rules.malformed_digest import pin, placeholder


def _check(case: Case) -> Iterator[Problem]:
    digest, facts = case.component.digest, case.facts
    if digest is None or facts is None or not case.mismatched or placeholder(digest) is not None:
        return
    locked = case.lock.locked if case.lock is not None else None
    message = f"the file is {facts.digest}, so each run is refused; the new binary must be reviewed before it is pinned"
    if locked is not None and locked.digest == digest:
        more = difference(locked, facts).widened
        message += f": unlike the one that is pinned, it {'; it '.join(more)}" if more else ""
    yield Problem(route=case.route("digest"), message=message, fix=pin(case))


RULE = Rule(
    id="digest-mismatch",
    summary="the component is another one than the policy pins",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="component",
)
