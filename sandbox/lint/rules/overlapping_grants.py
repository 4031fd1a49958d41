"""Grants of the same directory, or of one inside another, that a run refuses, that change nothing, or that widen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sandbox.lint.case import Case, HostUse
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import remove
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.model import DirectoryGrant


def _check(case: Case) -> Iterator[Problem]:
    first: dict[str, HostUse] = {}
    for use in case.granted:
        first.setdefault(use.thing.real, use)
    for use in case.granted:
        same = first[use.thing.real]
        if same is not use:
            yield _problem(case, use, same, "gives the same directory, so a run is refused: grant it once", "medium")
            continue
        outer = [*_around(first, use.thing.real)]
        if outer:
            yield from _nested(case, use, outer)
    for use in case.uses:
        around = () if use.directory else _around(first, use.thing.real)
        holding = next((other for other in around if other.writable), None)
        if holding is not None:
            yield _problem(case, use, holding, "lets the component write this file, so a run is refused", "medium")


def _nested(case: Case, use: HostUse, around: Sequence[HostUse]) -> Iterator[Problem]:
    """What is to be said of a grant inside others, narrowest first: nothing where it narrows what those give."""
    grant, outer = _grant(case, use), around[0]
    excepting = next((other for other in around if other.excepted and not other.reaches(use.thing.real)), None)
    linking = next((other for other in around if grant.hard_links or _grant(case, other).hard_links), None)
    if excepting is not None:
        message = "excepts this directory, so a run is refused: remove one of the two"
        yield _problem(case, use, excepting, message, "medium")
    elif linking is not None:
        message = "is around this directory, and one of them allows hard links, so a run is refused"
        yield _problem(case, use, linking, message, "medium")
    elif use.writable and not outer.writable:
        yield _problem(case, use, outer, "gives this directory for reading; the narrower grant decides: write", "low")
    elif use.writable is outer.writable and not use.excepted:
        below = os.path.relpath(use.thing.real, outer.thing.real)
        if grant.guest == os.path.join(_grant(case, outer).guest, below):
            message = "gives the same under the same path, so this grant gives nothing"
            yield _problem(case, use, outer, message, "medium", removed=True)
        else:
            yield _problem(case, use, outer, "gives the same under another path", "low")


def _around(granted: dict[str, HostUse], path: str) -> Iterator[HostUse]:
    """The grants around a path, narrowest first."""
    while path != "/":
        path = os.path.dirname(path)
        if path in granted:
            yield granted[path]


def _grant(case: Case, use: HostUse) -> DirectoryGrant:
    assert use.grant is not None
    return case.component.grants.filesystem[use.grant]


def _problem(
    case: Case, use: HostUse, other: HostUse, message: str, severity: Severity, *, removed: bool = False
) -> Problem:
    return Problem(
        route=use.route,
        message=f"filesystem[{other.grant}] {message}",
        severity=severity,
        related=(
            case.related(other.route, "the same directory" if use.thing.real == other.thing.real else "around it"),
        ),
        fix=_remove(case, use) if removed else None,
    )


def _remove(case: Case, use: HostUse) -> Fix | None:
    """Not safe: where no grant lies inside it, the outer one follows symbolic links."""
    edits = remove(case.document, use.route[:-1])
    return Fix(message="remove the grant", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="overlapping-grants",
    summary="one directory is granted twice, or one inside another without need",
    severity="medium",
    confidence="high",
    check=_check,
)
