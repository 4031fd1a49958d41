"""How a command fails: with an exit status, and what to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.audit.events import Event


class CommandError(Exception):
    """Ends the command with ``status`` and a message, which may hold hostile text, for standard error."""

    def __init__(self, status: int, message: str, events: Sequence[Event] = ()) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.events = tuple(events)
        """The trail of the run that was refused, if one was."""
