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
            events=self.events,
        )
