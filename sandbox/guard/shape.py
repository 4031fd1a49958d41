"""The shape of a guard: all that its text depends on beside the component's imports. Part of the compile cache's key.

Values that may differ from run to run (directories, bounds, seeds) are not here: the guard asks the host for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Clock = Literal["real", "coarse", "frozen", "denied"]
Source = Literal["secure", "seeded", "denied"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the guard owns or answers itself. ``denied`` is ``frozen`` (or refused) and audited."""

    environment: bool
    """Whether the environment is granted: if not, the guard answers with an empty list and says so to the host."""
    arguments: bool
    wall: Clock
    monotonic: Clock
    random: Source
    counts_writes: bool
    """Whether some directory is writable: then the guard owns ``output-stream`` and counts what is written to files."""
    exports: tuple[str, ...]
    """The exports of the component that the caller may call."""
    sockets: bool = False
    """Whether the policy grants something of the network: then the guard owns sockets, streams and pollables."""
    program: bool = False
    """Whether the component is one of several: then the guard owns streams and pollables too, since each component has
    standard streams of its own."""

    @property
    def owns_streams(self) -> bool:
        return self.sockets or self.program

    def to_data(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}
