"""Findings as the workflow commands that GitHub turns into annotations."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sandbox.lint.finding import SEVERITIES, Result, Severity
from sandbox.report.findings import shown, summary
from sandbox.report.github import github
from tests.report.lint_results import EVERYTHING, RESULTS, a_finding, a_region


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    data: str


def command(line: str) -> Command | None:
    """The command that a runner sees in a line of a log, read the way it reads them."""
    line = line.lstrip()
    info, colons, data = line[2:].partition("::")
    if not line.startswith("::") or not colons:
        return None
    name, _, pairs = info.partition(" ")
    properties = dict(pair.split("=", 1) for pair in pairs.strip().split(",") if "=" in pair)
    return Command(
        name, {key: unescaped(value, "\r\n:,%") for key, value in properties.items()}, unescaped(data, "\r\n%")
    )


def unescaped(text: str, characters: str) -> str:
    for character in characters:
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def test_everything() -> None:
    """A command for each finding that is shown, with its place, its rule and its fix, then the summary as it is."""
    assert github(EVERYTHING, min_severity="low") == (
        "::error file=policies/report.yaml,line=5,endLine=5,col=16,endColumn=25,title=grants-home::"
        "the home directory /home/ann is granted; to fix it, grant /home/ann/in\n"
        "::warning file=policies/report.yaml,line=5,endLine=5,col=34,endColumn=35,title=grants-home::"
        "the home directory /home/ann is granted; to fix it, remove the grant\n"
        "::notice file=policies/report.yaml,line=3,endLine=3,col=3,endColumn=9,title=no-deadline::"
        "the home directory /home/ann is granted\n"
        "::error file=/srv/a b/é.yaml,line=1,endLine=1,col=1,endColumn=1,title=invalid-policy::{ is left open\n"
        f"{summary(EVERYTHING, 'low')}\n"
    )


def test_nothing() -> None:
    """Without findings there is the summary alone."""
    assert github(Result(findings=(), files=("a",)), min_severity="low") == "no findings in 1 policy\n"


def test_several_lines() -> None:
    """A finding that ends in another line has no columns: GitHub would drop its place."""
    told = github(Result(findings=(a_finding(region=a_region(2, 3, 9, 4)),), files=()), min_severity="low")
    assert told.partition("\n")[0] == (
        "::error file=policies/report.yaml,line=2,endLine=4,title=grants-home::the home directory /home/ann is granted"
    )


def test_what_has_a_meaning_is_escaped() -> None:
    """Percent signs, commas, colons and newlines arrive as text; what no log should show is spelled out."""
    told = github(
        Result(findings=(a_finding(file="a%2C,b::c\n::d.yaml", message="100%25\n::error::x\x1b"),), files=()),
        min_severity="low",
    )
    line = told.partition("\n")[0]
    assert line == (
        "::error file=a%252C%2Cb%3A%3Ac\\n%3A%3Ad.yaml,line=5,endLine=5,col=16,endColumn=25,title=grants-home::"
        "100%2525\\n::error::x\\x1b"
    )
    assert command(line) == (
        "error",
        {
            "file": "a%2C,b::c\\n::d.yaml",
            "line": "5",
            "endLine": "5",
            "col": "16",
            "endColumn": "25",
            "title": "grants-home",
        },
        "100%25\\n::error::x\\x1b",
    )


@given(RESULTS, st.sampled_from(SEVERITIES))
def test_one_command_for_each_finding(result: Result, min_severity: Severity) -> None:
    """Whatever policies hold and are called, there is one command a finding, at its line, and no other."""
    told = github(result, min_severity=min_severity)
    assert told.endswith("\n")
    *lines, last = told[:-1].split("\n")
    assert command(last) is None
    commands = [found for found in map(command, lines) if found is not None]
    levels = {"high": "error", "medium": "warning", "low": "notice"}
    assert [(found.name, found.properties["line"]) for found in commands] == [
        (levels[finding.severity], str(finding.region.line)) for finding in shown(result, min_severity)
    ]
    assert all(
        found.properties.keys() <= {"file", "line", "endLine", "col", "endColumn", "title"} for found in commands
    )
    assert all(line.isprintable() for line in lines)
