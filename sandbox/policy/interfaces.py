"""Names of WIT interfaces and of the functions in them, and which version of one serves which.

Light: nothing here imports pydantic or PyYAML. Names that components carry are hostile, of any length.
"""

from __future__ import annotations

import re

# No two alternatives match the same word: a search that fails must not try them in every combination.
_LOWER = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_LABEL = r"(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[0-9]+|[0-9]*[a-z][a-z0-9]*|[0-9]*[A-Z][A-Z0-9]*))*"
_NUMBER = "(?:0|[1-9][0-9]{0,18})"
_IDENTIFIER = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"

INTERFACE = f"{_LOWER}:{_LOWER}/{_LABEL}"
"""An interface without its version, as a regular expression that Python and JavaScript read alike."""
VERSION = (
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
"""A version as Semantic Versioning 2.0.0 has it."""
FUNCTION = rf"(?:\[constructor\])?{_LABEL}|\[(?:method|static)\]{_LABEL}\.{_LABEL}"
"""A function of an interface, or what makes, belongs to or stands beside one of its resources."""

_NAME = re.compile(f"(?!wasi:){INTERFACE}(?:@{VERSION})?")
_RELEASE = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:\+[0-9A-Za-z.-]+)?")


def satisfies(imported: str, exported: str) -> bool:
    """Whether an interface that is exported under one name can serve an import under the other.

    It can where both are the same, or are releases of one interface of which the exported one is compatible and not
    lower: of the same major version, of the same minor version where that is 0, of the same patch where both are.
    """
    return imported == exported or (compatible(imported, exported) and newness(exported) >= newness(imported))


def compatible(one: str, other: str) -> bool:
    """Whether both are releases of one interface that are compatible, whichever is the higher."""
    interface, _, version = one.partition("@")
    second, _, its = other.partition("@")
    first, last = _release(version), _release(its)
    if interface != second or first is None or last is None:
        return False
    return _compatible(first) == _compatible(last)


def newness(name: str) -> tuple[int, int, int]:
    """What tells which of several releases of an interface is the newest: the numbers of its version."""
    return _release(name.partition("@")[2]) or (-1, -1, -1)


def is_importable(name: str) -> bool:
    """Whether a policy can name it in ``imports``: an interface that is not one of WASI's."""
    return _NAME.fullmatch(name) is not None


def matches(key: str, imported: str) -> bool:
    """Whether an import is meant by a key of ``imports``: one without a version means each version there is."""
    return key == imported or ("@" not in key and key == imported.partition("@")[0])


def _release(version: str) -> tuple[int, int, int] | None:
    """The numbers of a version; ``None`` for one before a release, and for what is no version."""
    match = _RELEASE.fullmatch(version)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _compatible(release: tuple[int, int, int]) -> tuple[int, ...]:
    """What all releases that are compatible with this one have in common."""
    significant = next((place for place, number in enumerate(release) if number), 2)
    return release[: significant + 1]
