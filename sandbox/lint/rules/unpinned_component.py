"""A component that may be any binary."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import insert_key
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.component.digest is not None or case.component.source is None:
        return
    message = "any binary that is put there runs with these grants: pin it with `digest`"
    yield Problem(route=case.route("source"), message=message, on="key", fix=_pin(case))


def _pin(case: Case) -> Fix | None:
    """Pin what is there now, or what is locked."""
    if case.facts is None:
        return None
    edits = insert_key(case.document, case.root, "digest", case.facts.digest, case.facts.digest)
    locked = case.lock.locked if case.lock is not None else None
    known = locked is not None and locked.digest == case.facts.digest
    where = "the lock" if known else "the file as it is now"
    return Fix(message=f"pin the digest of {where}", edits=edits, safe=known) if edits else None


RULE = Rule(
    id="unpinned-component",
    summary="the component is not pinned, so any binary runs",
    severity="medium",
    confidence="high",
    check=_check,
)
