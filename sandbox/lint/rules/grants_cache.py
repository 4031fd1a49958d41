"""A grant of the directory in which this program keeps compiled components."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.places import paths_of, shown, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    cache = case.machine.cache
    for use in case.uses if cache is not None else ():
        if cache is None or spoken_for(case, use) is not None or not _covers(case, use, cache):
            continue
        path, own = shown(use.thing.absolute, case.machine.home), shown(cache, case.machine.home)
        where = "is" if cache in paths_of(use) else "lies in" if use.inside(cache) else "covers"
        if use.writable:
            message, severe = (
                "what is compiled there is run unchecked, so a run that could write there is refused",
                True,
            )
        else:
            message, severe = "the code of every component that was run can be read", False
        yield Problem(
            route=use.route,
            message=f"{path} {where} the sandbox's own cache{f', {own}' if own != path else ''}: {message}",
            severity="high" if severe else "medium",
        )


def _covers(case: Case, use: HostUse, cache: str) -> bool:
    if use.inside(cache):
        return True
    if use.writable and use.directory:
        # Such a run is refused whatever the grant excepts.
        return any(cache.startswith(own.rstrip("/") + "/") for own in paths_of(use))
    return case.gives(use, cache)


RULE = Rule(
    id="grants-cache",
    summary="the sandbox's own cache of compiled components is granted",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="machine",
)
