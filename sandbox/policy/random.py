"""``random``: where a guest's random numbers come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from sandbox.policy import model
from sandbox.policy.section import MAPPING, TEXT, Section, choice, forms, whole

_FORMS = ", or {seed: number}"

Source = Annotated[Literal["secure", "seeded"], choice("secure", "seeded", forms=_FORMS)]
Seed = Annotated[int, whole(0, 2**64 - 1)]


class SeedSection(Section):
    """A generator whose numbers follow from its seed: the same in each run, and no good for keys."""

    model_config = ConfigDict(title="Seed")

    seed: Seed = Field(description="Where the generator starts.")


Random = Annotated[
    Annotated[Source, Tag(TEXT)] | Annotated[SeedSection, Tag(MAPPING)],
    forms("'secure' or 'seeded'" + _FORMS),
]


def to_value(random: str | SeedSection) -> model.Random:
    if isinstance(random, SeedSection):
        return model.Random(seed=random.seed)
    return model.Random(seed=None if random == "secure" else 0)
