"""A grant to write, with the default bound on what is written."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.limits import states, stating
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.model import ComponentPolicy


def _check(case: Case) -> Iterator[Problem]:
    if not case.wiring.is_run(case.component.name) or states(case, "disk"):
        return
    unsaid = "and `disk` does not say how much: the default of 256MiB holds"
    fix = stating(case, "disk", "256MiB")
    own = _writable(case.component)
    if own is not None:
        route = case.route("grants", "filesystem", own, "access")
        yield Problem(route=route, message=f"files can be written, {unsaid}", fix=fix)
        return
    # The limits of a program are those of the component that is run.
    for member, component in case.wiring.others(case.component.name).items():
        number = _writable(component)
        if number is not None:
            yield Problem(
                route=case.route("limits") if case.says("limits") else case.root,
                on="key",
                message=f"files can be written by {member}, which is part of this program, {unsaid}",
                related=(
                    case.related(("components", member, "grants", "filesystem", number, "access"), "granted here"),
                ),
                fix=fix,
            )
            return


def _writable(component: ComponentPolicy) -> int | None:
    """The first grant that can be written."""
    return next((n for n, grant in enumerate(component.grants.filesystem) if grant.access == "write"), None)


RULE = Rule(
    id="writes-without-disk-limit",
    summary="files can be written, and the policy does not say how much",
    severity="medium",
    confidence="high",
    check=_check,
)
