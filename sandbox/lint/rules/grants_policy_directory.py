"""A grant of what decides over the next run: the policy, its lock, the component."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.exceptions import below, excepting, glob_of
from sandbox.lint.needs import named
from sandbox.lint.places import paths_of, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        if spoken_for(case, use) is None and (use.directory or use.writable):
            yield from _directory(case, use) if use.directory else _stream(case, use)


def _directory(case: Case, use: HostUse) -> Iterator[Problem]:
    given = {path: what for path, what in _own(case).items() if case.gives(use, path)}
    if use.writable:
        # A digest says what runs, whoever may write the file.
        if case.component.digest is not None:
            given.pop(case.file.path or "", None)
        if given:
            yield Problem(
                route=use.route,
                message=f"the component could change {named(given.values())} for its next run{_refused(case, given)}",
                fix=excepting(case, use, [glob_of(below(use, path)) for path in given]),
            )
    elif _policy(case) in given:
        message = "the component can read its own policy, and learns what it is granted"
        yield Problem(route=use.route, message=message, severity="low")


def _stream(case: Case, use: HostUse) -> Iterator[Problem]:
    hit = {path: what for path, what in _own(case).items() if path in paths_of(use)}
    if hit:
        yield Problem(route=use.route, message=f"the output would overwrite {named(hit.values())}{_refused(case, hit)}")


def _own(case: Case) -> dict[str, str]:
    """The files that decide over the next run, and what each is."""
    found = {_policy(case): "the policy"}
    if case.lock is not None:
        found[case.lock.path] = "the lock"
    if case.file.path is not None:
        found[case.file.path] = "the component's own file"
    return found


def _policy(case: Case) -> str:
    return os.path.join(case.policy.directory, os.path.basename(case.policy.file))


def _refused(case: Case, given: dict[str, str]) -> str:
    """Of the lock a run knows nothing."""
    return "" if case.lock is not None and [*given] == [case.lock.path] else ", so a run is refused"


RULE = Rule(
    id="grants-policy-directory",
    summary="what decides over the next run is granted: the policy, its lock, the component",
    severity="high",
    confidence="high",
    check=_check,
)
