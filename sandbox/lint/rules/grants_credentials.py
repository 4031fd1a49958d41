"""A grant of a place where programs keep keys, passwords and tokens, known by its path."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.exceptions import below, excepting, glob_of
from sandbox.lint.needs import named
from sandbox.lint.places import CREDENTIALS, given_of, held_in, shown, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        wider = spoken_for(case, use)
        if wider == "grants-credentials":
            yield _inside(case, use)
        elif wider is None:
            yield from _around(case, use)


def _inside(case: Case, use: HostUse) -> Problem:
    home = case.machine.home
    place, path = shown(held_in(use, CREDENTIALS, home) or "", home), shown(use.thing.absolute, home)
    how = "read and changed" if use.writable and use.directory else "overwritten" if use.writable else "read"
    part = "" if path == place else f", a part of {place}" if path.startswith(f"{place}/") else f", leading to {place}"
    return Problem(route=use.route, message=f"{path} is granted{part}: keys, passwords or tokens there can be {how}")


def _around(case: Case, use: HostUse) -> Iterator[Problem]:
    places = given_of(case, use, CREDENTIALS)
    if places:
        home = case.machine.home
        names = named([shown(place, home) for place in places])
        how = "read and changed" if use.writable else "read"
        yield Problem(
            route=use.route,
            message=f"{shown(use.thing.absolute, home)} is granted: keys, passwords or tokens in {names} can be {how}",
            fix=excepting(case, use, [glob_of(below(use, place)) for place in places]),
        )


RULE = Rule(
    id="grants-credentials",
    summary="a place where programs keep keys, passwords or tokens is granted",
    severity="high",
    confidence="high",
    check=_check,
)
