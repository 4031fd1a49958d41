"""A grant of what the kernel, or a running service, shows as files."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import replace_value
from sandbox.lint.places import INTERFACES, kernel_interface, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        place = kernel_interface(use)
        if place is None or spoken_for(case, use) != "grants-kernel-interface":
            continue
        if use.thing.absolute == "/dev/null" and not use.directory:
            message = "/dev/null is a device, so a run is refused; `discard` does what is meant"
            yield Problem(route=use.route, message=message, severity="medium", fix=_discard(case, use))
            continue
        path = use.thing.absolute
        part = (
            "" if path == place else f", a part of {place}" if path.startswith(f"{place}/") else f", leading to {place}"
        )
        yield Problem(route=use.route, message=f"{path} is granted{part}: {INTERFACES[place]}")


def _discard(case: Case, use: HostUse) -> Fix | None:
    edits = replace_value(case.document, use.route[:-1], "discard", "discard")
    return Fix(message="write `discard` for the file", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="grants-kernel-interface",
    summary="what the kernel or running services show as files is granted: /proc, /sys, /dev, /run",
    severity="high",
    confidence="high",
    check=_check,
)
