"""``limits``: the bounds of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from sandbox.policy import model
from sandbox.policy.quantities import duration, size
from sandbox.policy.section import Section, whole

_DEFAULTS = model.Limits()


class LimitsSection(Section):
    """The bounds of a run; all are always in force, 'fuel' only where it is set."""

    model_config = ConfigDict(title="Limits")

    memory: Annotated[int, size("1MiB", "1TiB")] = Field(
        default=_DEFAULTS.memory,
        description="Memory over all memories, tables and instances together. Default: 512MiB.",
    )
    deadline: Annotated[float, duration("1ms", "24h")] = Field(
        default=_DEFAULTS.deadline, description="Time over compiling, instantiating, running and waiting. Default: 60s."
    )
    fuel: Annotated[int | None, whole(1, 2**63 - 1)] = Field(
        default=_DEFAULTS.fuel, description="WebAssembly instructions, roughly. Default: not counted."
    )
    output: Annotated[int, size("0B", "1024TiB")] = Field(
        default=_DEFAULTS.output, description="Bytes written to standard output and error together. Default: 64MiB."
    )
    handles: Annotated[int, whole(4, 65536)] = Field(
        default=_DEFAULTS.handles, description="Descriptors and directory streams open at once. Default: 256."
    )
    disk: Annotated[int, size("0B", "1024TiB")] = Field(
        default=_DEFAULTS.disk, description="Bytes written to files, in total over the run. Default: 256MiB."
    )
    sockets: Annotated[int, whole(1, 65536)] = Field(
        default=_DEFAULTS.sockets,
        description="Sockets open at once, connecting and listening ones included. Default: 64.",
    )
    sent: Annotated[int, size("0B", "1024TiB")] = Field(
        default=_DEFAULTS.sent, description="Bytes sent over sockets, in total over the run. Default: 256MiB."
    )
    received: Annotated[int, size("0B", "1024TiB")] = Field(
        default=_DEFAULTS.received, description="Bytes received over sockets, in total over the run. Default: 256MiB."
    )
    connect_time: Annotated[float, duration("1ms", "1h")] = Field(
        alias="connect-time",
        default=_DEFAULTS.connect_time,
        description="Time that each connection may take to be made, and each look-up of a name. Default: 10s.",
    )
    lookups: Annotated[int, whole(1, 10_000)] = Field(
        default=_DEFAULTS.lookups, description="Names that may be looked up in any one second. Default: 10."
    )
    lookup_bytes: Annotated[int, size("0B", "1GiB")] = Field(
        alias="lookup-bytes",
        default=_DEFAULTS.lookup_bytes,
        description="Bytes of names looked up, in total over the run. Default: 4KiB.",
    )
    events: Annotated[int, whole(1, 1_000_000)] = Field(
        default=_DEFAULTS.events, description="Denials recorded one by one; further ones are counted. Default: 1000."
    )

    def to_value(self) -> model.Limits:
        return model.Limits(
            memory=self.memory,
            deadline=self.deadline,
            fuel=self.fuel,
            output=self.output,
            handles=self.handles,
            disk=self.disk,
            sockets=self.sockets,
            sent=self.sent,
            received=self.received,
            connect_time=self.connect_time,
            lookups=self.lookups,
            lookup_bytes=self.lookup_bytes,
            events=self.events,
        )
