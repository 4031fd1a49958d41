"""A grant of a whole home directory."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.places import home_in, paths_of, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.granted:
        home = home_in(case, use)
        if home is None or spoken_for(case, use) != "grants-home":
            continue
        how = "read and changed" if use.writable else "read"
        if home in ("/home", "/Users"):
            what = f"{home}, the home directories of all users, is granted"
        elif home in paths_of(use):
            what = f"the home directory {home} is granted"
        else:
            what = f"{use.thing.real} is granted, and the home directory {home} is in it"
        yield Problem(route=use.route, message=f"{what}: keys, tokens and histories there can be {how}")


RULE = Rule(
    id="grants-home",
    summary="a home directory is granted as a whole",
    severity="high",
    confidence="high",
    check=_check,
)
