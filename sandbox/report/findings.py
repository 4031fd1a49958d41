"""What linting found, for a terminal: where, what, and how to mend it. Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sandbox.lint.finding import SEVERITIES, Finding, Region, Result, Severity
from sandbox.report.text import COMMAND, NARROWEST, escape, plain

MAX_MESSAGE = 600
"""Characters of a message."""
MAX_RELATED = 8
"""Related places of one finding that are shown."""

_BOLD, _DIM, _GREEN = "1", "2", "32"
_COLORS: dict[Severity, str] = {"high": "1;31", "medium": "33", "low": "36"}
_CUT = "..."
_TAB = "    "


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many findings there are of each kind."""

    policies: int
    high: int
    """Of those that are shown, as ``medium`` and ``low``."""
    medium: int
    low: int
    below: int
    """Below the threshold, and not ignored."""
    ignored: int
    fixable: int
    """Of those that are shown: what has a safe fix."""
    fixable_unsafe: int
    """Of those that are shown: what has a fix, but no safe one."""
    unjudged: int
    """Files of which something could not be judged."""
    skipped: int

    @property
    def shown(self) -> int:
        return self.high + self.medium + self.low


def shown(result: Result, min_severity: Severity) -> tuple[Finding, ...]:
    """The findings at or above the threshold that no comment ignores."""
    return tuple(f for f in result.findings if f.ignored is None and reaches(f, min_severity))


def reaches(finding: Finding, min_severity: Severity) -> bool:
    """Whether the finding is at or above the threshold."""
    return SEVERITIES.index(finding.severity) >= SEVERITIES.index(min_severity)


def tally(result: Result, min_severity: Severity) -> Tally:
    """Counts what linting came to."""
    chosen = shown(result, min_severity)
    ignored = sum(finding.ignored is not None for finding in result.findings)
    fixes = [finding.fix.safe for finding in chosen if finding.fix is not None]
    return Tally(
        policies=len(result.files),
        high=sum(finding.severity == "high" for finding in chosen),
        medium=sum(finding.severity == "medium" for finding in chosen),
        low=sum(finding.severity == "low" for finding in chosen),
        below=len(result.findings) - ignored - len(chosen),
        ignored=ignored,
        fixable=sum(fixes),
        fixable_unsafe=len(fixes) - sum(fixes),
        unjudged=len({finding.file for finding in result.findings if finding.unjudged and finding.ignored is None}),
        skipped=len(result.skipped),
    )


def text(
    result: Result, *, min_severity: Severity, color: bool, width: int, sources: Mapping[str, Sequence[str]]
) -> str:
    """The findings at or above the threshold, each with its source line, and a summary as the last line.

    ``width`` is in columns; source lines are cut to it around what they show, sentences are left to the terminal.
    ``sources`` has the lines of the policies by their names in the findings, split at newlines alone; a finding whose
    line it does not have is shown without it, and so is one in a file that holds what is not to be shown.
    """
    paint = _Paint(color)
    width = max(width, NARROWEST)
    lines: list[str] = []
    concealed = {finding.file for finding in result.findings if finding.conceals}
    for finding in shown(result, min_severity):
        source = () if finding.file in concealed else sources.get(finding.file, ())
        lines += [*_finding(finding, paint, width, source), ""]
    return "\n".join([*lines, paint(_BOLD, summary(result, min_severity))]) + "\n"


def summary(result: Result, min_severity: Severity) -> str:
    """One line, without its end: what was found, and what is not shown or could not be judged. All of it is our own."""
    count = tally(result, min_severity)
    severities = ", ".join(
        f"{number:,} {name}"
        for name, number in (("high", count.high), ("medium", count.medium), ("low", count.low))
        if number
    )
    found = f"{_many(count.shown, 'finding', 'findings')} ({severities})" if count.shown else "no findings"
    more = []
    if count.below:
        more.append(f"{count.below:,} below {min_severity} {'is' if count.below == 1 else 'are'} not shown")
    if count.ignored:
        more.append(f"{count.ignored:,} {'is' if count.ignored == 1 else 'are'} ignored")
    if count.fixable:
        unsafe = f", {count.fixable_unsafe:,} more with --fix=unsafe" if count.fixable_unsafe else ""
        more.append(f"{count.fixable:,} can be fixed with --fix{unsafe}")
    elif count.fixable_unsafe:
        more.append(f"{count.fixable_unsafe:,} can be fixed with --fix=unsafe")
    if count.unjudged:
        more.append(f"{_many(count.unjudged, 'file', 'files')} could not be judged")
    if count.skipped:
        files = "1 YAML file is no policy" if count.skipped == 1 else f"{count.skipped:,} YAML files are no policies"
        more.append(files)
    return f"{found} in {_many(count.policies, 'policy', 'policies')}{'; ' if more else ''}{', '.join(more)}"


def lead(file: str) -> str:
    """The name of a file, fit to begin a line."""
    # A runner takes a line that begins with two colons for a command.
    return plain(f"./{file}" if file.lstrip().startswith("::") else file)


def place(file: str, region: Region) -> str:
    """``policies/report.yaml:14:17``, fit to begin a line."""
    return f"{lead(file)}:{region.line}:{region.column}"


def sentence(message: str) -> str:
    """A message as it is shown: on one line, and cut where it is very long."""
    message = plain(message)
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - len(_CUT)] + _CUT


def _many(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and text else text


def _finding(finding: Finding, paint: _Paint, width: int, source: Sequence[str]) -> Iterator[str]:
    color = _COLORS[finding.severity]
    what = paint(color, f"{finding.severity}[{plain(finding.rule)}]")
    yield f"{paint(_BOLD, place(finding.file, finding.region))}: {what}: {sentence(finding.message)}"
    if finding.region.line <= len(source):
        number = f"  {finding.region.line} | "
        line, before, marked = _excerpt(source[finding.region.line - 1], finding.region, width - len(number))
        yield (paint(_DIM, number) + line).rstrip()
        yield paint(_DIM, " " * (len(number) - 2) + "| ") + " " * before + paint(color, "^" * marked)
    for related in finding.related[:MAX_RELATED]:
        yield f"  note: {place(related.file, related.region)}: {sentence(related.message)}"
    if len(finding.related) > MAX_RELATED:
        yield f"  note: and {_many(len(finding.related) - MAX_RELATED, 'more place', 'more places')}"
    if finding.confidence != "high":
        yield f"  confidence: {finding.confidence}"
    if finding.fix is not None:
        option = "--fix" if finding.fix.safe else "--fix=unsafe"
        yield f"  {paint(_GREEN, 'fix')}: {sentence(finding.fix.message)} ({option})"
    yield f"  help: sandbox explain {plain(finding.rule)}"


class _Excerpt(NamedTuple):
    line: str
    before: int
    """Columns before the marked part."""
    marked: int
    """Columns of the marked part."""


def _excerpt(line: str, region: Region, room: int) -> _Excerpt:
    """A source line within ``room`` columns, cut around the region where it is longer, and where to mark it."""
    line = line.rstrip("\r")
    first = min(region.column - 1, len(line))
    last = region.end_column - 1 if region.end_line == region.line else len(line.rstrip())
    last = max(first + 1, min(last, len(line)))
    # What is further away than this is never within the room, unless it takes none: then there may be too much of it.
    nearest, furthest = max(0, first - room), min(max(last, len(line)), first + room)
    cells = _cells((line + " ")[nearest:furthest])
    start, end = 0, len(cells)
    if nearest or furthest < len(line) or sum(columns for _, columns in cells) > room:
        room -= 2 * len(_CUT)
        start, left = _back(cells, first - nearest, room // 3)
        left += room - room // 3
        end = first - nearest
        while end < len(cells) and cells[end][1] <= left:
            left -= cells[end][1]
            end += 1
        start, _ = _back(cells, start, left)
    head = _CUT if nearest + start else ""
    tail = _CUT if nearest + end < len(line) else ""
    marked = cells[first - nearest : min(last - nearest, end)]
    return _Excerpt(
        line=head + "".join(shown for shown, _ in cells[start:end]) + tail,
        before=len(head) + sum(columns for _, columns in cells[start : first - nearest]),
        marked=max(1, sum(columns for _, columns in marked)),
    )


def _back(cells: list[tuple[str, int]], start: int, room: int) -> tuple[int, int]:
    """How far before ``start`` the room reaches, and what is left of it."""
    while start and cells[start - 1][1] <= room:
        start -= 1
        room -= cells[start][1]
    return start, room


def _cells(text: str) -> list[tuple[str, int]]:
    """Each character as it is shown, with the columns that it takes."""
    commands = {found.start() + 1 for found in COMMAND.finditer(text)}
    return [_cell("\\x23" if index in commands else character) for index, character in enumerate(text)]


def _cell(character: str) -> tuple[str, int]:
    if character == "\t":
        return _TAB, len(_TAB)
    if character.isascii():
        shown = escape(character)
        return shown, len(shown)
    from unicodedata import combining, east_asian_width

    shown = escape(character)
    return shown, sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in shown)
