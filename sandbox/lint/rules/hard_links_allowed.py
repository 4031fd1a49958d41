"""A grant through which a file may be used by a name that is a hard link."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import remove
from sandbox.lint.rule import Problem, Rule
from sandbox.source import Route


def _check(case: Case) -> Iterator[Problem]:
    for number, grant in enumerate(case.component.grants.filesystem):
        if grant.hard_links:
            route = case.route("grants", "filesystem", number, "hard-links")
            how = "read and changed" if grant.access == "write" else "read"
            yield Problem(
                route=route,
                message=f"a file that also has a name outside of the directory can be {how}",
                severity="medium" if grant.access == "write" else "low",
                fix=_refuse(case, route),
            )


def _refuse(case: Case, route: Route) -> Fix | None:
    edits = remove(case.document, route)
    return Fix(message="remove it, so that such files are refused", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="hard-links-allowed",
    summary="files may be opened that have another name, perhaps outside of the grant",
    severity="low",
    confidence="high",
    check=_check,
)
