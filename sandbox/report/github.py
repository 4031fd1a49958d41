"""What linting found, as workflow commands: GitHub shows them as annotations of the files."""

from __future__ import annotations

from sandbox.lint.finding import Finding, Result, Severity
from sandbox.report.findings import sentence, shown, summary
from sandbox.report.text import escape

_COMMANDS: dict[Severity, str] = {"high": "error", "medium": "warning", "low": "notice"}


def github(result: Result, *, min_severity: Severity) -> str:
    """A command for each finding at or above the threshold, each on its line, and the summary as the last line."""
    lines = [_command(finding) for finding in shown(result, min_severity)]
    return "\n".join([*lines, summary(result, min_severity)]) + "\n"


def _command(finding: Finding) -> str:
    region = finding.region
    # GitHub takes columns only where a finding ends in the line that it begins in.
    columns = f"col={region.column},endColumn={region.end_column}," if region.end_line == region.line else ""
    return (
        f"::{_COMMANDS[finding.severity]} file={_property(finding.file)},line={region.line},endLine={region.end_line},"
        f"{columns}title={_property(finding.rule)}::{_data(_message(finding))}"
    )


def _message(finding: Finding) -> str:
    fix = finding.fix
    if fix is None:
        return sentence(finding.message)
    return f"{sentence(finding.message)}; to fix it, {sentence(fix.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25")


def _property(text: str) -> str:
    """A value between the commas of a command. What would end a line is escaped before and comes out as letters."""
    return _data(escape(text)).replace(":", "%3A").replace(",", "%2C")
