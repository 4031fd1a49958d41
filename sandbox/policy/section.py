"""What the models of all families share: a strict base, leaf types that say what they want, and how a flaw is told.

The models take plain data only (what JSON can say) and turn it into the frozen values of ``sandbox.policy.model``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sandbox.policy.errors import printable
from sandbox.source import HIDDEN, Route

Conflict: TypeAlias = tuple[Route, str, str | None]
"""A route relative to what was checked, a message, and what the author may have meant."""
Conflicts: TypeAlias = Iterator[Conflict]

TEXT, LIST, MAPPING = "(text)", "(list)", "(mapping)"
"""The forms that one key may take; they stand in pydantic's locations and are no part of a route."""


class Section(BaseModel):
    """A mapping of the policy file: known keys only, and nothing converted from another type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def flaw(message: str, hint: str | None = None) -> PydanticCustomError:
    """The error to raise for a value; ``message`` continues the sentence that its route starts."""
    return PydanticCustomError("flaw", "{message}", {"message": message, "hint": hint})


def shown(value: object) -> str:
    """A value as a message names it: short and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        text = str(value)
        return f"the number {text if len(text) <= 40 else text[:37] + '...'}"
    if isinstance(value, str):
        return f"'{printable(value if len(value) <= 60 else value[:57] + '...')}'"
    return "a list" if isinstance(value, list) else "a mapping"


def wanted(what: str, value: object) -> str:
    """The message for a value that is not ``what``."""
    if value is None:
        return f"is empty: it must be {what}"
    return f"must be {what}, not {shown(value)}"


def nearest(word: object, known: tuple[str, ...]) -> str | None:
    """The one of ``known`` that ``word`` is a likely misspelling of."""
    if not isinstance(word, str) or len(word) > 80:
        return None
    plain = word.lower().replace("_", "-")
    found = get_close_matches(plain, known, n=1, cutoff=0.6)
    return found[0] if found else None


def text_of(value: object, what: str = "a string") -> str:
    """``value`` if it is a string; a number or boolean is a string its author forgot to quote."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        written = shown(value).removeprefix("the number ")
        raise flaw(f"{wanted(what, value)}: put it in quotes: '{written}'")
    raise flaw(wanted(what, value))


def path_of(value: object) -> str:
    """A string that may be a path: not empty, no control characters."""
    text = text_of(value, "a path")
    if not text:
        raise flaw("must be a path, not an empty string")
    hidden = HIDDEN.search(text)
    if hidden is not None:
        raise flaw(f"must not contain the character U+{ord(hidden[0]):04X}")
    return text


def host_path_of(value: object) -> str:
    """A path on the host as a policy may write it: absolute, relative, or from the user's home (``~``, ``~/x``)."""
    text = path_of(value)
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        raise flaw(f"only ~ and ~/ stand for a home directory; write {shown('./' + text)} for that name itself")
    if text.startswith("$"):
        raise flaw(f"variables are not expanded; write ~/ for the home directory, or {shown('./' + text)}")
    return text


def string_of(value: object) -> str:
    """A string that can be handed to a program: no NUL."""
    text = text_of(value)
    if "\0" in text:
        raise flaw("must not contain the character U+0000")
    return text


def matching(pattern: str, what: str) -> Callable[[object], str]:
    """A reader of strings that match all of ``pattern``."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        text = text_of(value, what)
        if compiled.fullmatch(text) is None:
            raise flaw(wanted(what, value))
        return text

    return read


@dataclass(frozen=True, eq=False)
class Reads:
    """Annotates a leaf with the function that reads it and the JSON Schema that describes it to an editor."""

    read: Callable[[object], object]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


def choice(*words: str, forms: str = "") -> Reads:
    """One of a few words; ``forms`` names what else the key takes: ``", or {file: path}"``."""
    quoted = [f"'{word}'" for word in words]
    what = (f"{', '.join(quoted[:-1])} or {quoted[-1]}" if len(quoted) > 1 else quoted[0]) + forms

    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise flaw(wanted(what, value), nearest(value, words))

    return Reads(read, {"type": "string", "enum": list(words)})


def whole(minimum: int, maximum: int) -> Reads:
    """A whole number between two bounds, both included."""

    def read(value: object) -> int:
        # bool is a subclass of int.
        if type(value) is not int:
            raise flaw(wanted("a whole number", value))
        if value < minimum:
            raise flaw(f"must be at least {minimum}, not {shown(value).removeprefix('the number ')}")
        if value > maximum:
            raise flaw(f"must be at most {maximum}, not {shown(value).removeprefix('the number ')}")
        return value

    return Reads(read, {"anyOf": [{"type": "integer", "minimum": minimum, "maximum": maximum}, SPACED_NUMBER]})


SPACED_NUMBER: dict[str, Any] = {
    "type": "string",
    "pattern": "^[0-9]+(_[0-9]+)+$",
    "description": "A number with _ between its digits: editors that follow YAML 1.2 to the letter see a string.",
}


def read_flag(value: object) -> bool:
    """``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower())
    raise flaw(wanted("true or false", value), meant if isinstance(value, str) else None)


def _form(value: object) -> str | None:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, list):
        return LIST
    return MAPPING if isinstance(value, dict) else None


def forms(what: str) -> Discriminator:
    """Tells the forms of a key apart by the kind of its value; ``what`` names them all for the message."""
    return Discriminator(_form, custom_error_type="form", custom_error_message=what)


HOST_PATH = Reads(host_path_of, {"type": "string", "pattern": r"^(~(/.*)?|[^~$].*)$"})
HostPath = Annotated[str, HOST_PATH]
String = Annotated[str, Reads(string_of, {"type": "string"})]
Flag = Annotated[bool, Reads(read_flag, {"type": "boolean"})]
