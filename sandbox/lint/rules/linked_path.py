"""A path of the policy that is a symbolic link."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import replace_value
from sandbox.lint.places import shown, spoken_for
from sandbox.lint.rule import Problem, Rule

_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]*[A-Za-z_/][A-Za-z0-9_./-]*")


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        if not use.thing.link or use.thing.kind in ("nothing", "unknown") or spoken_for(case, use) is not None:
            continue
        leads = f"a symbolic link to {shown(use.thing.real, case.machine.home)}"
        if use.directory:
            message = f"{leads}: who can change the link decides what is granted"
        else:
            message = f"{leads}, so a run is refused: name its target"
        # What is absolute is the machine's own, and its administrators' to link as they see fit.
        severity: Severity = "low" if use.directory and use.written.startswith(("/", "~")) else "medium"
        yield Problem(route=use.route, message=message, severity=severity, fix=_name_target(case, use))


def _name_target(case: Case, use: HostUse) -> Fix | None:
    """Name what the link leads to, where that is below the policy, as the link was."""
    start = case.policy.directory.rstrip("/") + "/"
    if not use.thing.real.startswith(start) or use.written.startswith(("/", "~")):
        return None
    path = use.thing.real[len(start) :]
    path = f"./{path}" if use.written.startswith("./") or path.startswith(("~", "$")) else path
    if not path.isprintable():
        return None
    written = path if _PLAIN.fullmatch(path) else json.dumps(path, ensure_ascii=False)
    edits = replace_value(case.document, use.route, written, path)
    return Fix(message=f"name {path}", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="linked-path",
    summary="a path on the host is a symbolic link",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="machine",
)
