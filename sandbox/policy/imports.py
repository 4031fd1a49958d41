"""``imports``: interfaces of a component that another component of the file serves. Read, not enforced yet."""

from __future__ import annotations

from typing import Annotated

from sandbox.policy.section import Conflicts, Reads, matching, nearest, shown

NAME_PATTERN = "[a-z0-9][a-z0-9_-]{0,62}"
_A_NAME = "a component's name: 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"

_WORDS = r"(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[a-z0-9]+|[A-Z0-9]+))*"
_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_INTERFACE = f"{_WORDS}:{_WORDS}/{_WORDS}(?:@{_VERSION})?"
_AN_INTERFACE = "an interface, as in 'cyber:payments/auth' or 'cyber:payments/auth@1.0.0'"

ComponentName = Annotated[
    str, Reads(matching(NAME_PATTERN, _A_NAME), {"type": "string", "pattern": f"^{NAME_PATTERN}$"})
]
Interface = Annotated[str, Reads(matching(_INTERFACE, _AN_INTERFACE), {"type": "string", "pattern": f"^{_INTERFACE}$"})]


def conflicts(component: str, data: object, names: tuple[str, ...]) -> Conflicts:
    """Imports of ``component`` that name no other component of the file; ``names`` are all it has."""
    for interface, served_by in data.items() if isinstance(data, dict) else ():
        if not isinstance(served_by, str):
            continue
        if served_by == component:
            yield (interface,), "a component cannot serve its own import", None
        elif served_by not in names:
            message = f"{shown(served_by)} is no component of this policy"
            yield (interface,), message, nearest(served_by, names)
