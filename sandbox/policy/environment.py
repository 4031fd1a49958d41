"""``environment``: the variables a guest finds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import ConfigDict, Field, Tag

from sandbox.policy import model
from sandbox.policy.section import MAPPING, TEXT, Conflicts, Reads, Section, String, flaw, forms, shown, text_of

_NAME = "[A-Za-z_][A-Za-z0-9_]*"


def _name(value: object) -> str:
    text = text_of(value, "the name of a variable")
    if re.fullmatch(_NAME, text) is None:
        raise flaw(f"{shown(text)} is not the name of a variable: letters, digits and _, not starting with a digit")
    return text


Name = Annotated[str, Reads(_name, {"type": "string", "pattern": f"^{_NAME}$"})]


class InheritedVariableSection(Section):
    """A variable of the host with a value to use where the host lacks it."""

    model_config = ConfigDict(title="Inherited variable")

    name: Name = Field(description="The variable's name.")
    default: String = Field(description="Its value where the host's environment lacks it.")


Inherited = Annotated[
    Annotated[Name, Tag(TEXT)] | Annotated[InheritedVariableSection, Tag(MAPPING)],
    forms("the name of a variable, or {name: NAME, default: value}"),
]


class EnvironmentSection(Section):
    """The guest's environment: exactly these variables."""

    model_config = ConfigDict(title="Environment")

    set: dict[Name, String] = Field(default={}, description="Variables with their values.")
    inherit: list[Inherited] = Field(default=[], description="Variables taken from the host's environment, by name.")

    def to_value(self) -> model.Environment:
        return model.Environment(
            set=tuple(self.set.items()),
            inherit=tuple(
                model.InheritedVariable(name=item)
                if isinstance(item, str)
                else model.InheritedVariable(name=item.name, default=item.default)
                for item in self.inherit
            ),
        )


def conflicts(data: object) -> Conflicts:
    """Variables that are both set and inherited, or inherited twice."""
    if not isinstance(data, dict):
        return
    fixed = data.get("set")
    inherit = data.get("inherit")
    seen: dict[str, int] = {}
    for index, item in enumerate(inherit if isinstance(inherit, list) else []):
        name = item.get("name") if isinstance(item, dict) else item
        if not isinstance(name, str):
            continue
        if isinstance(fixed, dict) and name in fixed:
            yield ("inherit", index), f"{shown(name)} is also in 'set': it can have one value", None
        elif name in seen:
            yield ("inherit", index), f"{shown(name)} is already inherited by inherit[{seen[name]}]", None
        seen.setdefault(name, index)
