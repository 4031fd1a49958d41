"""``arguments``: what a guest finds on its command line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Tag

from sandbox.policy import model
from sandbox.policy.section import LIST, TEXT, String, choice, forms

Arguments = Annotated[
    Annotated[Literal["inherit"], choice("inherit", forms=", or a list of strings"), Tag(TEXT)]
    | Annotated[list[String], Tag(LIST)],
    forms("'inherit', or a list of strings"),
]


def to_value(arguments: str | list[str]) -> model.Arguments:
    return model.Arguments(fixed=tuple(arguments) if isinstance(arguments, list) else None)
