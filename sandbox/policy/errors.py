"""What is wrong with a policy, as values. Light: nothing here imports pydantic or PyYAML."""

from __future__ import annotations

from dataclasses import dataclass


def printable(text: str) -> str:
    """``text`` on one line, with everything a terminal would not show as itself escaped (``\\x1b``)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong. The texts may hold what the policy's author wrote: hostile until rendered."""

    file: str
    """The policy file as the caller named it."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    route: str
    """``components.report.grants.filesystem[0].access``; empty for the file as a whole."""
    message: str
    hint: str | None = None
    """What the author may have meant, as they would write it."""

    def __str__(self) -> str:
        """``file:line:column: route: message (did you mean 'x'?)``, always one line, safe to show."""
        route = f"{self.route}: " if self.route else ""
        hint = f" (did you mean '{self.hint}'?)" if self.hint is not None else ""
        return printable(f"{self.file}:{self.line}:{self.column}: {route}{self.message}{hint}")


class PolicyError(Exception):
    """A policy that cannot be used, with everything that is wrong with it, in the order of the file."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)
