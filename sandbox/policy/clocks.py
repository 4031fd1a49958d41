"""``clocks``: what time a guest sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from sandbox.policy import model
from sandbox.policy.section import MAPPING, TEXT, Section, choice, forms

_FORMS = ", or {wall: ..., monotonic: ...}"

Mode = Annotated[Literal["real", "coarse", "frozen"] | None, choice("real", "coarse", "frozen")]
BothModes = Annotated[Literal["real", "coarse", "frozen"], choice("real", "coarse", "frozen", forms=_FORMS)]


class ClocksSection(Section):
    """The clocks one by one; one that is left out is not granted."""

    model_config = ConfigDict(title="Clocks")

    wall: Mode = Field(default=None, description="The time of day.")
    monotonic: Mode = Field(default=None, description="The clock that measures intervals.")

    def to_value(self) -> model.Clocks:
        return model.Clocks(wall=self.wall, monotonic=self.monotonic)


Clocks = Annotated[
    Annotated[BothModes, Tag(TEXT)] | Annotated[ClocksSection, Tag(MAPPING)],
    forms("'real', 'coarse' or 'frozen'" + _FORMS),
]


def to_value(clocks: model.ClockMode | ClocksSection) -> model.Clocks:
    if isinstance(clocks, ClocksSection):
        return clocks.to_value()
    return model.Clocks(wall=clocks, monotonic=clocks)
