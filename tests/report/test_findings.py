"""Findings as people read them on a terminal, and in the log of a continuous integration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.lint.finding import SEVERITIES, Finding, Region, Related, Result, Severity
from sandbox.report.findings import place, summary, text
from sandbox.report.text import plain
from tests.report.lint_results import EVERYTHING, HOSTILE, RESULTS, SOURCE, a_finding, a_region

SOURCES = {"policies/report.yaml": SOURCE}


def rendered(
    *findings: Finding,
    sources: Mapping[str, Sequence[str]] = SOURCES,
    width: int = 80,
) -> list[str]:
    """The lines for the findings, without the summary."""
    result = Result(findings=findings, files=("policies/report.yaml",))
    told = text(result, min_severity="low", color=False, width=width, sources=sources).split("\n")
    assert told[-2:] == [summary(result, "low"), ""]
    return told[:-2]


def excerpt(line: str, region: Region, width: int = 80) -> list[str]:
    """The source line as it is shown and the line that marks a part of it, for a finding in line 1."""
    return rendered(a_finding(region=region), sources={"policies/report.yaml": [line]}, width=width)[1:3]


def test_everything() -> None:
    """Each finding has its place, its source line, what else it is about and how to mend it; the last line sums up."""
    assert text(EVERYTHING, min_severity="medium", color=False, width=80, sources=SOURCES) == (
        "policies/report.yaml:5:16: high[grants-home]: the home directory /home/ann is granted\n"
        "  5 |         {host: /home/ann, guest: /, access: read},\n"
        "    |                ^^^^^^^^^\n"
        "  note: policies/base.yaml:3:5: it is granted here too\n"
        "  fix: grant /home/ann/in (--fix)\n"
        "  help: sandbox explain grants-home\n"
        "\n"
        "policies/report.yaml:5:34: medium[grants-home]: the home directory /home/ann is granted\n"
        "  5 |         {host: /home/ann, guest: /, access: read},\n"
        "    |                                  ^\n"
        "  confidence: low\n"
        "  fix: remove the grant (--fix=unsafe)\n"
        "  help: sandbox explain grants-home\n"
        "\n"
        "/srv/a b/é.yaml:1:1: high[invalid-policy]: { is left open\n"
        "  help: sandbox explain invalid-policy\n"
        "\n"
        "3 findings (2 high, 1 medium) in 3 policies; 1 below medium is not shown, 1 is ignored, 1 can be fixed with "
        "--fix, 1 more with --fix=unsafe, 1 file could not be judged, 1 YAML file is no policy\n"
    )


def test_colour_changes_no_text() -> None:
    """Colour marks the place, the severity, the marks, the number, the fix and the summary; nothing else changes."""
    result = replace(EVERYTHING, findings=EVERYTHING.findings[:1])
    colored = text(result, min_severity="low", color=True, width=80, sources=SOURCES)
    assert re.sub(r"\x1b\[[0-9;]+m", "", colored) == text(
        result, min_severity="low", color=False, width=80, sources=SOURCES
    )
    assert colored == (
        "\x1b[1mpolicies/report.yaml:5:16\x1b[0m: \x1b[1;31mhigh[grants-home]\x1b[0m: "
        "the home directory /home/ann is granted\n"
        "\x1b[2m  5 | \x1b[0m        {host: /home/ann, guest: /, access: read},\n"
        "\x1b[2m    | \x1b[0m               \x1b[1;31m^^^^^^^^^\x1b[0m\n"
        "  note: policies/base.yaml:3:5: it is granted here too\n"
        "  \x1b[32mfix\x1b[0m: grant /home/ann/in (--fix)\n"
        "  help: sandbox explain grants-home\n"
        "\n"
        "\x1b[1m1 finding (1 high) in 3 policies; 1 can be fixed with --fix, 1 YAML file is no policy\x1b[0m\n"
    )


def a_result(*findings: Finding, files: int = 1, skipped: int = 0) -> Result:
    return Result(findings=findings, files=("f",) * files, skipped=("s",) * skipped)


@pytest.mark.parametrize(
    ("result", "min_severity", "expected"),
    [
        (a_result(files=11), "low", "no findings in 11 policies"),
        (a_result(), "high", "no findings in 1 policy"),
        (a_result(files=0), "high", "no findings in 0 policies"),
        (a_result(files=1234), "high", "no findings in 1,234 policies"),
        (a_result(a_finding()), "high", "1 finding (1 high) in 1 policy"),
        (
            a_result(
                *[a_finding(severity="low")] * 4,
                *[a_finding(severity="medium")] * 2,
                a_finding(),
                *[a_finding(ignored="r")] * 2,
                files=2,
                skipped=2,
            ),
            "medium",
            (
                "3 findings (1 high, 2 medium) in 2 policies; 4 below medium are not shown, 2 are ignored, "
                "2 YAML files are no policies"
            ),
        ),
        (
            a_result(a_finding(severity="medium"), a_finding(severity="low", ignored="")),
            "high",
            "no findings in 1 policy; 1 below high is not shown, 1 is ignored",
        ),
        (
            a_result(EVERYTHING.findings[1], files=2),
            "low",
            "1 finding (1 medium) in 2 policies; 1 can be fixed with --fix=unsafe",
        ),
        (
            a_result(
                *[a_finding(unjudged=True)] * 2,
                a_finding(unjudged=True, file="b", severity="low"),
                a_finding(unjudged=True, file="c", ignored="it is built later"),
            ),
            "high",
            "2 findings (2 high) in 1 policy; 1 below high is not shown, 1 is ignored, 2 files could not be judged",
        ),
    ],
)
def test_summary(result: Result, min_severity: Severity, expected: str) -> None:
    """One line counts what is shown by severity, and all that is not; one thing is told as one, several as several."""
    assert summary(result, min_severity) == expected


@pytest.mark.parametrize(
    ("line", "region", "expected"),
    [
        ("a: b", a_region(1, 4, 5), ["  1 | a: b", "    |    ^"]),
        ("a: b", a_region(1, 5, 5), ["  1 | a: b", "    |     ^"]),
        ("a: b\r", a_region(1, 5, 9), ["  1 | a: b", "    |     ^"]),
        ("a: b", a_region(1, 4, 99), ["  1 | a: b", "    |    ^"]),
        ("a: b", a_region(1, 90, 99), ["  1 | a: b", "    |     ^"]),
        ("", a_region(1, 1, 1), ["  1 |", "    | ^"]),
        ("a:  ", a_region(1, 1, 4, end_line=3), ["  1 | a:", "    | ^^"]),
        ("\ta:\tb", a_region(1, 2, 6), ["  1 |     a:    b", "    |     ^^^^^^^"]),
        ("家族: 写真", a_region(1, 5, 7), ["  1 | 家族: 写真", "    |       ^^^^"]),
        ("e\u0301: x", a_region(1, 4, 6), ["  1 | e\u0301: x", "    |   ^^"]),
        ("a\u202eb: \x1b[2J", a_region(1, 3, 4), ["  1 | a\\u202eb: \\x1b[2J", "    |        ^"]),
        ("##[group]x: y", a_region(1, 10, 11), ["  1 | #\\x23[group]x: y", "    |             ^"]),
        ("## x ##vso[y]: ", a_region(1, 1, 3), ["  1 | ## x #\\x23vso[y]:", "    | ^^"]),
    ],
)
def test_source_line(line: str, region: Region, expected: list[str]) -> None:
    """The marks stand under what the region holds, whatever its characters take; something is always marked."""
    assert excerpt(line, region) == expected


@pytest.mark.parametrize(
    ("line", "region", "expected"),
    [
        (
            "a: b" + "x" * 60,
            a_region(1, 4, 5),
            ["  1 | a: bxxxxxxxxxxxxxxxxxxxxxxxx...", "    |    ^"],
        ),
        (
            "x" * 60 + "key: value" + "y" * 60,
            a_region(1, 61, 64),
            ["  1 | ...xxxxxxxxxkey: valueyyyyyyyyy...", "    |             ^^^"],
        ),
        (
            "x" * 60 + "end",
            a_region(1, 61, 64),
            ["  1 | ...xxxxxxxxxxxxxxxxxxxxxxxxxend", "    |                             ^^^"],
        ),
        (
            "x" * 60 + "y" * 60,
            a_region(1, 61, 121),
            ["  1 | ...xxxxxxxxxyyyyyyyyyyyyyyyyyyy...", "    |             ^^^^^^^^^^^^^^^^^^^"],
        ),
        (
            "写" * 60,
            a_region(1, 31, 32),
            ["  1 | ...写写写写写写写写写写写写写写...", "    |            ^^"],
        ),
        (
            "x" * 1_000_000 + ": y",
            a_region(1, 1_000_003, 1_000_004),
            ["  1 | ...xxxxxxxxxxxxxxxxxxxxxxxxx: y", "    |                               ^"],
        ),
    ],
)
def test_long_source_line(line: str, region: Region, expected: list[str]) -> None:
    """A line that is too long for the terminal is cut around what the finding is about."""
    assert excerpt(line, region, width=40) == expected


def test_a_source_that_is_not_there() -> None:
    """A finding in a file that cannot be read, or beyond its end, is shown without a line."""
    told = [
        "policies/report.yaml:5:16: high[grants-home]: the home directory /home/ann is granted",
        "  help: sandbox explain grants-home",
        "",
    ]
    assert rendered(a_finding(), sources={}) == told
    assert rendered(a_finding(), sources={"policies/report.yaml": SOURCE[:4]}) == told


def test_long_texts_are_cut() -> None:
    """A message has a bound, and so has the number of related places; the first ones are shown."""
    related = [Related(file=f"{n}", region=a_region(n, 1, 1), message="m") for n in range(1, 12)]
    assert rendered(a_finding(message="m" * 601, related=tuple(related)), sources={}) == [
        f"policies/report.yaml:5:16: high[grants-home]: {'m' * 597}...",
        *(f"  note: {n}:{n}:1: m" for n in range(1, 9)),
        "  note: and 3 more places",
        "  help: sandbox explain grants-home",
        "",
    ]
    assert rendered(a_finding(message="m" * 600, related=tuple(related[:9])), sources={})[0::9] == [
        f"policies/report.yaml:5:16: high[grants-home]: {'m' * 600}",
        "  note: and 1 more place",
    ]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a.yaml", "a.yaml:3:5"),
        ("::error::a.yaml", "./::error::a.yaml:3:5"),
        (" ::a.yaml", "./ ::a.yaml:3:5"),
        ("a\n::b\udcff.yaml", "a\\n::b\\xff.yaml:3:5"),
        ("##[error]", "#\\x23[error]:3:5"),
    ],
)
def test_place(file: str, expected: str) -> None:
    """No name of a file begins a line with what a runner takes for a command."""
    assert place(file, a_region(3, 5, 6)) == expected


# What a runner of GitHub or Azure looks for in each line of a log, after the space at its start.
COMMAND = re.compile(r"\s*::|.*##\w*\[")


@given(HOSTILE)
def test_plain_text_is_printable_and_no_command(name: str) -> None:
    """Whatever a text holds, a terminal or a runner does nothing but show it."""
    assert plain(name).isprintable()
    assert not COMMAND.match("x" + plain(name))


@given(RESULTS, st.sampled_from(SEVERITIES), st.lists(HOSTILE, min_size=12, max_size=12), st.integers(1, 100))
def test_nothing_reaches_the_terminal_raw(result: Result, min_severity: Severity, lines: list[str], width: int) -> None:
    """Whatever policies hold and are called, every line that is printed is printable, and no command to a runner."""
    sources: dict[str, Any] = {finding.file: lines for finding in result.findings}
    told = text(result, min_severity=min_severity, color=False, width=width, sources=sources)
    assert told.endswith("\n")
    assert all(line.isprintable() and not COMMAND.match(line) for line in told[:-1].split("\n"))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Mn", "Me"]) | st.sampled_from("\t写#["), max_size=300),
    st.integers(1, 310),
    st.integers(1, 310),
    st.integers(40, 100),
)
def test_marks_fit_the_terminal(line: str, column: int, length: int, width: int) -> None:
    """However long a source line is, it and the marks under it are within the width, and something is marked."""
    shown, marks = excerpt(line, a_region(1, column, column + length), width)
    assert len(shown) <= width
    assert len(marks) <= width
    assert re.fullmatch(r"    \| +\^+", marks)
