"""A path of the policy where there is not what a run needs there."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.places import shown, spoken_for
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        # What the kernel and running services show comes and goes; the rule on that has said enough.
        what = _missing(use) if spoken_for(case, use) != "grants-kernel-interface" else None
        if what is not None:
            yield Problem(
                route=use.route,
                message=f"{shown(use.thing.absolute, case.machine.home)} {what}, so a run is refused",
                # What is below the policy should have come with it; other paths may be there on other machines.
                severity="low" if use.written.startswith(("/", "~")) else "medium",
            )


def _missing(use: HostUse) -> str | None:
    kind, link = use.thing.kind, use.thing.link
    if use.directory:
        if kind == "nothing":
            return "is a symbolic link that leads nowhere" if link else "does not exist"
        return "is a file, not a directory" if kind == "file" else None
    if kind == "directory":
        return "is a directory, not a file"
    if kind == "nothing" and not use.held:
        return "is in a directory that does not exist"
    if kind == "nothing" and (link or not use.writable):
        return "is a symbolic link that leads nowhere" if link else "does not exist"
    return None


RULE = Rule(
    id="missing-path",
    summary="a path on the host does not exist, or is no directory",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="machine",
)
