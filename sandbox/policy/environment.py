"""``environment``: the variables a guest finds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, Tag, model_validator

from sandbox.policy import model
from sandbox.policy.section import MAPPING, TEXT, Conflicts, Reads, Section, String, flaw, forms, shown, text_of

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_ALL = ("inherit", "all", "*")
"""What is written where the whole environment is meant."""
_NOT_ALL = "the whole environment is never granted: name the variables, as in {inherit: [LANG]}"


def _name(value: object) -> str:
    text = text_of(value, "the name of a variable")
    if re.fullmatch(_NAME, text) is None:
        raise flaw(f"{shown(text)} is not the name of a variable: letters, digits and _, not starting with a digit")
    return text


def _inherited_name(value: object) -> str:
    # 'all' and 'inherit' could be names of variables.
    if value == "*":
        raise flaw(_NOT_ALL)
    return _name(value)


def _not_all(value: object) -> object:
    """``value``, unless it is a word for the whole environment."""
    if isinstance(value, str) and value in _ALL:
        raise flaw(_NOT_ALL)
    return value


_NAME_SCHEMA = {"type": "string", "pattern": f"^{_NAME}$"}
Name = Annotated[str, Reads(_name, _NAME_SCHEMA)]
InheritedName = Annotated[str, Reads(_inherited_name, _NAME_SCHEMA)]


class InheritedVariableSection(Section):
    """A variable of the host with a value to use where the host lacks it."""

    model_config = ConfigDict(title="Inherited variable")

    name: InheritedName = Field(description="The variable's name.")
    default: String = Field(description="Its value where the host's environment lacks it.")


Inherited = Annotated[
    Annotated[InheritedName, Tag(TEXT)] | Annotated[InheritedVariableSection, Tag(MAPPING)],
    forms("the name of a variable, or {name: NAME, default: value}"),
]


class EnvironmentSection(Section):
    """The guest's environment: exactly these variables."""

    model_config = ConfigDict(title="Environment")

    set: dict[Name, String] = Field(default={}, description="Variables with their values.")
    inherit: Annotated[list[Inherited], BeforeValidator(_not_all)] = Field(
        default=[], description="Variables taken from the host's environment, by name."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_not_all(cls, value: object) -> object:
        return _not_all(value)

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
