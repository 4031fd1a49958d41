"""What linting found, as one JSON document for other programs."""

from __future__ import annotations

import re
from dataclasses import asdict
from json import dumps

from sandbox.lint.finding import Finding, Related, Result, Severity
from sandbox.report.findings import reaches, tally

VERSION = 1

_BEYOND_ASCII = re.compile("[^\x00-\x7e]")


def findings_json(result: Result, *, min_severity: Severity) -> str:
    """All findings, those that are ignored or below the threshold included: ``shown`` is false of them.

    Texts are as they are, but for halves of surrogate pairs: JSON's own escapes make them safe to print.
    """
    count = tally(result, min_severity)
    return document(
        {
            "version": VERSION,
            "findings": [_finding(finding, min_severity) for finding in result.findings],
            "counts": {"shown": count.shown, **asdict(count)},
            "files": list(result.files),
            "skipped": list(result.skipped),
        }
    )


def document(values: object) -> str:
    """Plain data as one line of printable ASCII, its newline included.

    Half a surrogate pair, which is how Python holds a byte of a name that is not UTF-8, becomes U+FFFD: many a reader
    refuses it.
    """
    text = dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (text if text.isascii() and "\x7f" not in text else _BEYOND_ASCII.sub(_escaped, text)) + "\n"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{0xFFFD if 0xD800 <= code <= 0xDFFF else code:04x}"


def _finding(finding: Finding, min_severity: Severity) -> dict[str, object]:
    fix = finding.fix
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "message": finding.message,
        "file": finding.file,
        **asdict(finding.region),
        "route": finding.route,
        "component": finding.component,
        "related": [_related(related) for related in finding.related],
        "fix": None
        if fix is None
        else {"message": fix.message, "safe": fix.safe, "edits": [asdict(edit) for edit in fix.edits]},
        "ignored": finding.ignored,
        "unjudged": finding.unjudged,
        "shown": finding.ignored is None and reaches(finding, min_severity),
    }


def _related(related: Related) -> dict[str, object]:
    return {"file": related.file, "message": related.message, **asdict(related.region)}
