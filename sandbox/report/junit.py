"""What linting found, in the form of JUnit's reports, which most services of continuous integration show."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as references

from sandbox.lint.finding import Finding, Result, Severity
from sandbox.report.findings import place, reaches, sentence
from sandbox.report.text import escape


def junit(result: Result, *, min_severity: Severity) -> str:
    """A suite for each policy, with a case for each finding at or above the threshold; every text is printable.

    A finding is a failure, an error where it says that something could not be judged, skipped where it is ignored. A
    policy without findings is one case that passes.
    """
    by_file: dict[str, list[Finding]] = {file: [] for file in result.files}
    for finding in result.findings:
        of_file = by_file.setdefault(finding.file, [])
        if reaches(finding, min_severity):
            of_file.append(finding)
    chosen = [finding for of_file in by_file.values() for finding in of_file]
    passed = sum(not of_file for of_file in by_file.values())
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="sandbox lint" {_counts(chosen, passed)}>']
    for file, of_file in by_file.items():
        name = _attribute(file)
        lines.append(f"  <testsuite name={name} {_counts(of_file, int(not of_file))}>")
        lines += [line for finding in of_file for line in _case(finding)]
        if not of_file:
            lines.append(f'    <testcase classname={name} name="no findings"/>')
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _counts(findings: Sequence[Finding], passed: int) -> str:
    ends = [_end(finding) for finding in findings]
    return (
        f'tests="{len(findings) + passed}" failures="{ends.count("failure")}" errors="{ends.count("error")}" '
        f'skipped="{ends.count("skipped")}"'
    )


def _end(finding: Finding) -> str:
    if finding.ignored is not None:
        return "skipped"
    return "error" if finding.unjudged else "failure"


def _case(finding: Finding) -> list[str]:
    # The name has no line: a case is known by it from run to run.
    name = f"{finding.rule} at {finding.route}" if finding.route else finding.rule
    case = f"    <testcase classname={_attribute(finding.file)} name={_attribute(name)}"
    if finding.ignored is not None:
        return [f"{case}>", f"      <skipped message={_attribute(finding.ignored)}/>", "    </testcase>"]
    end = _end(finding)
    message = sentence(finding.message)
    told = f"{place(finding.file, finding.region)}: {finding.severity}[{finding.rule}]: {message}"
    failure = f'<{end} type="{finding.severity}" message={_attribute(message)}>{_text(told)}</{end}>'
    return [f"{case}>", f"      {failure}", "    </testcase>"]


def _attribute(text: str) -> str:
    return f'"{_text(text)}"'


def _text(text: str) -> str:
    """What stands for the text in XML. What XML has no place for, a terminal has none for either: it is spelled out."""
    return references(escape(text))
