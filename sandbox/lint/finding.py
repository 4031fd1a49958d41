"""What linting finds, as frozen values: a finding always has a place, a severity and, apart from it, a confidence.

The texts hold what authors of policies and components wrote: hostile until they are rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["low", "medium", "high"]
"""How much a finding matters if it is right."""
Confidence = Literal["low", "medium", "high"]
"""How likely it is right."""

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A part of a text file. Lines and columns count from 1, columns in characters; the end is the place after it."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Related:
    """Another place that a finding is about."""

    file: str
    region: Region
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """Replaces a part of the policy's text. Offsets are in characters, without a byte order mark."""

    start: int
    end: int
    text: str
    region: Region
    """The part that is replaced, in lines and columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fix:
    """What would mend the finding. Its edits do not overlap."""

    message: str
    """What it does, as an imperative: ``remove the grant``."""
    edits: tuple[Edit, ...]
    safe: bool
    """Whether no run that the policy allows today comes out otherwise, and nothing is said for a person to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that a rule says of one place."""

    rule: str
    """The rule's id: ``grants-home``."""
    severity: Severity
    confidence: Confidence
    message: str
    """A sentence without its end: what is there and what follows from it."""
    file: str
    """The policy, as the caller named it or as it was found below what they named."""
    region: Region
    """The primary place: a key or a value."""
    route: str
    """``components.report.grants.filesystem[0].host``; empty for the file as a whole."""
    snippet: str
    """The text of the region, its first line at most."""
    component: str | None = None
    related: tuple[Related, ...] = ()
    fix: Fix | None = None
    ignored: str | None = None
    """The reason that a comment gives for ignoring it; ``None``: it is not ignored."""
    conceals: bool = False
    """Whether the file holds something that is not to be shown: then no line of it is."""
    unjudged: bool = False
    """Whether it says that something could not be judged: the other rules have not seen it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What linting came to."""

    findings: tuple[Finding, ...]
    """Ignored ones included; by file, then in the order of the file."""
    files: tuple[str, ...]
    """The policies that were read, in the order in which they were found."""
    skipped: tuple[str, ...] = ()
    """YAML files in the folders that are no policies."""
