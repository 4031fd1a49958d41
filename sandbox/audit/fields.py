"""An event as one JSON object: the names of its fields, their bounds and their schema, all from one table.

What a guest names is hostile: ``clean`` bounds a string and leaves nothing in it that JSON readers disagree about, and
``parse`` accepts exactly what ``record`` makes.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from sandbox.audit.events import SCHEMA_VERSION, Event, EventName

NAME_CHARACTERS = 256
"""Bound of a string that comes from a fixed vocabulary or from the policy."""
TEXT_CHARACTERS = 4096
"""Bound of a path, a sentence or a piece of YAML."""
LINE_BYTES = 304 * 1024
"""No line is longer, its newline included: a character takes 12 bytes at most (two escapes of six)."""

LARGEST_NUMBER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""
LARGEST_EXIT_STATUS = 2**32 - 1
LARGEST_DURATION = 10**15
"""Microseconds: 31 years, which a float of seconds still keeps exactly."""

EVENT_NAMES: tuple[EventName, ...] = ("denied", "allowed", "limit", "folded", "refused", "ended")
_ONLY_ALLOWED = ("sent", "received", "seconds")
"""Attributes that only ``allowed`` events have."""

_SECOND = "(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_TIME = f"[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T{_SECOND}\\.[0-9]{{6}}Z"
_RUN = "[A-Za-z0-9_-]{1,64}"
_DIGEST = "sha256:[0-9a-f]{64}"

Form = Literal["name", "text", "exact", "number", "seconds", "time", "run", "digest", "digest-or-empty", "event-name"]
"""``seconds`` are whole microseconds in the line.
``exact`` is ``text`` in which a name that is no valid Unicode stays readable and unambiguous (see ``clean``)."""


class Field(NamedTuple):
    """One field of a line. ``attribute`` is the one of ``Event``; ``None``: worked out from the others."""

    key: str
    attribute: str | None
    form: Form
    required: bool
    meaning: str
    largest: int = LARGEST_NUMBER
    smallest: int = 1


FIELDS: tuple[Field, ...] = (
    Field("version", None, "number", True, "Version of this format: 1.", SCHEMA_VERSION, SCHEMA_VERSION),
    Field("timestamp", "time", "time", True, "When it was decided: UTC, RFC 3339 with microseconds."),
    Field("run_id", "run", "run", True, "The run; later runs sort after earlier ones."),
    Field("sequence", "sequence", "number", True, "From 1, without gaps, in each run."),
    Field("event_name", "name", "event-name", True, "What happened; see the table of event names."),
    Field("decision", None, "name", False, "`deny` or `allow`; absent where nothing was decided (`ended`)."),
    Field("component", "component", "name", True, "The component's name in the policy; `*` for several of them."),
    Field(
        "component_path",
        "path",
        "text",
        False,
        "In a program of several components: the components from the one that is run to this one, `app>ledger>auth`.",
    ),
    Field("component_digest", "component_digest", "digest", False, "SHA-256 of the component's bytes."),
    Field("policy_file", "policy", "exact", True, "The policy, as the caller named it."),
    Field("policy_digest", "policy_digest", "digest-or-empty", True, "SHA-256 of its bytes; empty if it was not read."),
    Field("policy_line", "policy_line", "number", False, "The line of the policy that would have to change."),
    Field(
        "capability", "capability", "name", True, "`filesystem.read`, `limits.deadline`, `run`, ...; `*` for several."
    ),
    Field(
        "interface",
        "interface",
        "name",
        False,
        "As the guest imports it: `wasi:filesystem/types@0.2.3`; of a module `wasi_snapshot_preview1`.",
    ),
    Field(
        "function",
        "function",
        "name",
        False,
        "As the guest called it: `[method]descriptor.open-at`; of a module `path_open`.",
    ),
    Field("resource", "resource", "exact", False, "As the guest named it, with the directory that it was relative to."),
    Field("resolved", "resolved", "exact", False, "What that is on the host, where it is known."),
    Field("reason", "reason", "text", True, "One sentence in plain words."),
    Field(
        "grant", "grant", "text", False, "The YAML that would grant it; absent where no policy can, or it is too long."
    ),
    Field("count", "count", "number", True, "How many calls this line stands for; over 1 only where it is a sum."),
    Field(
        "sent_bytes", "sent", "number", False, "In `allowed`: bytes that went out, where they were counted.", smallest=0
    ),
    Field(
        "received_bytes",
        "received",
        "number",
        False,
        "In `allowed`: bytes that came in, where they were counted.",
        smallest=0,
    ),
    Field(
        "duration_us",
        "seconds",
        "seconds",
        False,
        "In `allowed`: how long it lasted, in microseconds.",
        LARGEST_DURATION,
        0,
    ),
    Field(
        "process.exit.code",
        "exit_status",
        "number",
        False,
        "In `ended`: the run's exit status.",
        LARGEST_EXIT_STATUS,
        0,
    ),
)

_PATTERNS: dict[Form, str] = {
    "time": _TIME,
    "run": _RUN,
    "digest": _DIGEST,
    "digest-or-empty": f"({_DIGEST})?",
    "event-name": "|".join(EVENT_NAMES),
}
_BOUNDS: dict[Form, int] = {"name": NAME_CHARACTERS, "text": TEXT_CHARACTERS, "exact": TEXT_CHARACTERS}

# Compiled when a string needs them: few do.
_SURROGATE = "[\ud800-\udfff]"
_AMBIGUOUS_BACKSLASH = "\\\\(?=[\\\\xu\ud800-\udfff])"

_HEXADECIMAL = frozenset("0123456789abcdef")


def is_run(text: str) -> bool:
    """Whether ``text`` can name a run: 1 to 64 ASCII letters, digits, ``-`` and ``_``."""
    return 1 <= len(text) <= 64 and text.isascii() and text.replace("-", "0").replace("_", "0").isalnum()


def is_digest(text: str) -> bool:
    """Whether ``text`` is ``sha256:`` and 64 lower-case hexadecimal digits."""
    return len(text) == 71 and text.startswith("sha256:") and _HEXADECIMAL.issuperset(text[7:])


def _visible_byte(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _without_surrogates(text: str, exact: bool) -> str:
    if not exact:
        return text if text.isascii() else re.sub(_SURROGATE, "\ufffd", text)
    if "\\" in text:
        text = re.sub(_AMBIGUOUS_BACKSLASH, r"\\\\", text)
    return text if text.isascii() else re.sub(_SURROGATE, _visible_byte, text)


def clean(text: str, form: Form) -> str:
    """``text`` within the bound of its form and free of lone surrogates.

    Readers of JSON differ on lone surrogates: some refuse the whole line, which would let a name hide its event. In an
    ``exact`` string a byte that is no UTF-8 becomes ``\\xNN``, another surrogate ``\\uNNNN``, and a backslash is
    doubled where it could be taken for either; elsewhere they become U+FFFD. A string that is too long loses its middle
    and says so there, since the end of a path says more; it is then exactly as long as the bound.
    """
    bound = _BOUNDS[form]
    exact = form == "exact"
    if len(text) <= bound:
        whole = head = tail = _without_surrogates(text, exact)
        if len(whole) <= bound:
            return whole
    else:
        head, tail = _without_surrogates(text[:bound], exact), _without_surrogates(text[-bound:], exact)
    mark = f"...[cut, {len(text)} characters in all]..."
    end = (bound - len(mark)) // 2
    return head[: bound - len(mark) - end] + mark + tail[-end:]


def _decision(name: object) -> str | None:
    return "allow" if name == "allowed" else None if name == "ended" else "deny"


def record(event: Event) -> dict[str, str | int]:
    """The fields of ``event``'s line, in their order; what is not known is left out."""
    values: dict[str, str | int] = {
        "version": SCHEMA_VERSION,
        "timestamp": event.time,
        "run_id": event.run,
        "sequence": event.sequence,
        "event_name": event.name,
    }
    decision = _decision(event.name)
    if decision is not None:
        values["decision"] = decision
    for key, attribute in _REST:
        value = getattr(event, attribute)
        if value is not None:
            values[key] = round(value * 1_000_000) if attribute == "seconds" else value
    return values


_REST = tuple((field.key, field.attribute) for field in FIELDS[6:] if field.attribute is not None)
_BY_KEY = {field.key: field for field in FIELDS}


def _checked(field: Field, value: object) -> str | int | float:
    """What ``value`` says, if the field allows it; raises ``ValueError``."""
    if field.form in ("number", "seconds"):
        if type(value) is not int:
            raise ValueError(f"{field.key}: not an integer")
        if not field.smallest <= value <= field.largest:
            raise ValueError(f"{field.key}: not between {field.smallest} and {field.largest}")
        return value / 1_000_000 if field.form == "seconds" else value
    if not isinstance(value, str):
        raise ValueError(f"{field.key}: not a string")
    if field.form in _PATTERNS:
        if re.fullmatch(_PATTERNS[field.form], value) is None:
            raise ValueError(f"{field.key}: not of the form {_PATTERNS[field.form]}")
    elif len(value) > _BOUNDS[field.form]:
        raise ValueError(f"{field.key}: longer than {_BOUNDS[field.form]} characters")
    elif not value.isascii() and re.search(_SURROGATE, value):
        raise ValueError(f"{field.key}: holds a lone surrogate")
    return value


def parse(values: dict[str, object]) -> Event:
    """The event that ``values`` are the record of; raises ``ValueError`` where they are none."""
    for key in values:
        if key not in _BY_KEY:
            raise ValueError(f"{key[:NAME_CHARACTERS]!a}: no field of this format")
    attributes: dict[str, str | int | float | None] = {}
    for field in FIELDS:
        if field.key in values:
            value: str | int | float | None = _checked(field, values[field.key])
        elif field.required:
            raise ValueError(f"{field.key}: missing")
        else:
            value = None
        if field.attribute is not None:
            attributes[field.attribute] = value
    name = attributes["name"]
    decision = _decision(name)
    if values.get("decision") != decision:
        raise ValueError(f"decision: not {decision or 'absent'}, as it is for {name}")
    if name not in ("folded", "allowed") and attributes["count"] != 1:
        raise ValueError(f"count: not 1, as it is for {name}")
    if name != "ended" and attributes["exit_status"] is not None:
        raise ValueError(f"process.exit.code: not absent, as it is for {name}")
    for field in FIELDS:
        if field.attribute in _ONLY_ALLOWED and name != "allowed" and attributes[field.attribute] is not None:
            raise ValueError(f"{field.key}: not absent, as it is for {name}")
    return Event(**attributes)  # type: ignore[arg-type]


def event_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of one line. Lengths count characters (Unicode code points)."""
    properties: dict[str, object] = {}
    for field in FIELDS:
        schema: dict[str, object] = {"description": field.meaning}
        if field.key == "version":
            schema |= {"const": SCHEMA_VERSION}
        elif field.key == "decision":
            schema |= {"enum": ["deny", "allow"]}
        elif field.form == "event-name":
            schema |= {"enum": list(EVENT_NAMES)}
        elif field.form in ("number", "seconds"):
            schema |= {"type": "integer", "minimum": field.smallest, "maximum": field.largest}
        elif field.form in _PATTERNS:
            schema |= {"type": "string", "pattern": f"^{_PATTERNS[field.form]}$"}
        else:
            schema |= {"type": "string", "maxLength": _BOUNDS[field.form]}
        properties[field.key] = schema

    def is_named(*names: EventName) -> dict[str, object]:
        return {"properties": {"event_name": {"enum": list(names)}}}

    def without(*keys: str) -> dict[str, object]:
        return {"not": {"anyOf": [{"required": [key]} for key in keys]}}

    sums = [field.key for field in FIELDS if field.attribute in _ONLY_ALLOWED]

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of the audit trail",
        "description": "One line of a trail that the sandbox wrote.",
        "type": "object",
        "properties": properties,
        "required": [field.key for field in FIELDS if field.required],
        "additionalProperties": False,
        "allOf": [
            {
                "if": is_named("ended"),
                "then": without("decision"),
                "else": {"required": ["decision"], **without("process.exit.code")},
            },
            {
                "if": is_named("allowed"),
                "then": {"properties": {"decision": {"const": "allow"}}},
                "else": {"properties": {"decision": {"const": "deny"}}, **without(*sums)},
            },
            {"if": is_named("folded", "allowed"), "else": {"properties": {"count": {"const": 1}}}},
        ],
    }
