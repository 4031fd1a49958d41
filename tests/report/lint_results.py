"""Results of linting for the tests of what renders them: one of everything, and hostile ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sandbox.lint.finding import SEVERITIES, Edit, Finding, Fix, Region, Related, Result
from sandbox.lint.rule import Rule


def a_region(line: int, column: int, end_column: int, end_line: int | None = None) -> Region:
    return Region(line=line, column=column, end_line=line if end_line is None else end_line, end_column=end_column)


def a_finding(**more: Any) -> Finding:
    """A home directory that is granted, in line 5 of ``policies/report.yaml``."""
    values: dict[str, Any] = {
        "rule": "grants-home",
        "severity": "high",
        "confidence": "high",
        "message": "the home directory /home/ann is granted",
        "file": "policies/report.yaml",
        "region": a_region(5, 16, 25),
        "route": "components.report.grants.filesystem[0].host",
        "snippet": "/home/ann",
        "component": "report",
    }
    return Finding(**(values | more))


SOURCE = (
    "version: 1",
    "components:",
    "  report:",
    "    grants: {filesystem: [",
    "        {host: /home/ann, guest: /, access: read},",
    "        {host: /srv, guest: /srv, access: read}]}",
)
"""The lines of ``policies/report.yaml``."""

REMOVAL = Fix(
    message="remove the grant",
    edits=(Edit(start=60, end=111, text="", region=a_region(5, 1, 1, 6)),),
    safe=False,
)
REPLACEMENT = Fix(
    message="grant /home/ann/in",
    edits=(
        Edit(start=75, end=84, text="/home/ann/in", region=a_region(5, 16, 25)),
        Edit(start=93, end=94, text='"/{in}"', region=a_region(5, 34, 35)),
    ),
    safe=True,
)

EVERYTHING = Result(
    files=("policies/clean.yaml", "policies/report.yaml", "/srv/a b/é.yaml"),
    skipped=("policies/notes.yaml",),
    findings=(
        a_finding(
            fix=REPLACEMENT,
            related=(Related(file="policies/base.yaml", region=a_region(3, 5, 9), message="it is granted here too"),),
        ),
        a_finding(severity="medium", confidence="low", fix=REMOVAL, region=a_region(5, 34, 35), snippet="/"),
        a_finding(rule="no-deadline", severity="low", region=a_region(3, 3, 9), route="components.report"),
        a_finding(
            rule="grants-home", ignored="the fixtures [live](x) there", region=a_region(6, 16, 20), snippet="/srv"
        ),
        a_finding(
            rule="invalid-policy",
            message="{ is left open",
            file="/srv/a b/é.yaml",
            region=a_region(1, 1, 1),
            route="",
            snippet="",
            component=None,
            unjudged=True,
        ),
    ),
)
"""Shown with a safe fix, with an unsafe one, below ``medium``, ignored, and of a file that could not be judged."""


def a_rule(name: str, **more: Any) -> Rule:
    values: dict[str, Any] = {"summary": f"{name} is so", "severity": "high", "confidence": "high", "check": None}
    return Rule(id=name, **(values | more))


RULES = (
    a_rule("grants-home", summary="a home directory is granted", confidence="medium"),
    a_rule("invalid-policy", summary="the policy cannot be read", unjudged=True),
    a_rule("no-deadline", summary="no deadline is set", severity="low", confidence="low"),
)

HOSTILE = st.text(
    st.one_of(
        st.characters(codec=None), st.sampled_from("\n\r\t\x00\x1b\u202e\u2028 %:,;#[]{}()<>&\"'\\/.~\ufffe\udc80")
    ),
    max_size=20,
) | st.sampled_from(
    ["::error::x", "\n::stop-commands::x", "##[add-mask]x", "]]>", "<!--", "[x](http://x)", "{0}", "../x", "/"]
)

_REGIONS = st.builds(
    Region,
    line=st.integers(1, 12),
    column=st.integers(1, 200),
    end_line=st.integers(1, 12),
    end_column=st.integers(1, 200),
)
_FILES = st.sampled_from(["a.yaml", "b/c.yaml"]) | HOSTILE
_FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from([rule.id for rule in RULES]) | HOSTILE,
    severity=st.sampled_from(SEVERITIES),
    confidence=st.sampled_from(SEVERITIES),
    message=HOSTILE,
    file=_FILES,
    region=_REGIONS,
    route=HOSTILE,
    snippet=HOSTILE,
    component=st.none() | HOSTILE,
    related=st.lists(st.builds(Related, file=_FILES, region=_REGIONS, message=HOSTILE), max_size=2).map(tuple),
    fix=st.none()
    | st.builds(
        Fix,
        message=HOSTILE,
        safe=st.booleans(),
        edits=st.lists(
            st.builds(Edit, start=st.integers(0, 4), end=st.integers(4, 9), text=HOSTILE, region=_REGIONS),
            min_size=1,
            max_size=2,
        ).map(tuple),
    ),
    ignored=st.none() | HOSTILE,
    unjudged=st.booleans(),
)
RESULTS = st.builds(
    Result,
    findings=st.lists(_FINDINGS, max_size=4).map(tuple),
    files=st.lists(_FILES, max_size=3).map(tuple),
    skipped=st.lists(HOSTILE, max_size=2).map(tuple),
)
"""Results with anything in every text."""
