"""``filesystem``: directories of the host that a guest may use."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sandbox.policy import model
from sandbox.policy.section import Conflicts, HostPath, Reads, Section, choice, flaw, path_of, shown


def _guest_path(value: object) -> str:
    text = path_of(value)
    # normpath keeps two leading slashes, which POSIX lets a system give a meaning of its own.
    normal = posixpath.normpath("/" + text.lstrip("/"))
    if text != normal:
        raise flaw(f"must be absolute and normalised: write {shown(normal)} instead of {shown(text)}")
    return text


_RANGE = re.compile(r"(.)-(.)", re.DOTALL)


def _check_class(segment: str, pattern: str) -> None:
    """Refuse a ``[`` that no ``]`` closes, and a class that says something else than it seems to."""
    start = segment.find("[")
    while start >= 0:
        first = start + 1 + segment[start + 1 :].startswith("!")
        end = segment.find("]", first + 1)
        if segment[start + 1 : start + 2] == "^":
            raise flaw(f"{shown(pattern)}: a class is negated with '!': write '[!'")
        if end < 0:
            raise flaw(f"{shown(pattern)}: '[' is not closed; write '[[]' for the character itself")
        for low, high in _RANGE.findall(segment[first:end]):
            if low > high:
                raise flaw(f"{shown(pattern)}: the range {shown(f'{low}-{high}')} is empty")
        start = segment.find("[", end + 1)


def _except_pattern(value: object) -> str:
    text = path_of(value)
    if text.startswith("/"):
        raise flaw(f"must be relative to the granted directory: {shown(text)} starts with '/'")
    if text.endswith("/"):
        raise flaw(f"must not end in '/': {shown(text.rstrip('/'))} already covers the directory and all below it")
    if "\\" in text:
        raise flaw(f"{shown(text)}: '\\' escapes nothing here; write '?' to match any one character")
    segments = text.split("/")
    for before, segment in zip(["", *segments], segments, strict=False):
        if segment in ("", ".", ".."):
            name = "an empty segment" if not segment else f"a segment '{segment}'"
            raise flaw(f"{shown(text)} has {name}, which no path in the directory has")
        if "**" in segment and segment != "**":
            raise flaw(f"{shown(text)}: '**' must be a whole segment, as in 'a/**/b'")
        if segment == before == "**":
            raise flaw(f"{shown(text)}: '**/**' is the same as '**'")
        _check_class(segment, text)
    return text


_ABSOLUTE_PATH = {"type": "string", "pattern": "^/([^/]+(/[^/]+)*)?$"}
_RELATIVE_GLOB = {"type": "string", "pattern": r"^[^/\\]+(/[^/\\]+)*$"}

Access = Annotated[Literal["read", "write"], choice("read", "write")]
HardLinks = Annotated[Literal["allow", "refuse"], choice("allow", "refuse")]


class DirectorySection(Section):
    """One directory of the host, shown to the guest under a path of its own."""

    model_config = ConfigDict(title="Directory")

    host: HostPath = Field(
        description="The directory on the host: absolute, relative to the policy file, or from the home (~/...)."
    )
    guest: Annotated[str, Reads(_guest_path, _ABSOLUTE_PATH)] = Field(
        description="The path the guest sees: absolute and normalised, like /in."
    )
    access: Access = Field(description="'read', or 'write' for reading and writing.")
    excepted: list[Annotated[str, Reads(_except_pattern, _RELATIVE_GLOB)]] = Field(
        alias="except",
        default=[],
        description="Globs relative to the directory; what matches, and all below it, is refused. "
        "'**' stands for any number of directories. Case is ignored.",
    )
    hard_links: HardLinks = Field(
        alias="hard-links",
        default="refuse",
        description="Whether files with more than one name may be opened, and hard links made.",
    )

    def to_value(self) -> model.DirectoryGrant:
        return model.DirectoryGrant(
            host=self.host,
            guest=self.guest,
            access=self.access,
            excepted=tuple(self.excepted),
            hard_links=self.hard_links == "allow",
        )


def conflicts(data: object) -> Conflicts:
    """What no single key of ``filesystem`` shows: guest paths given twice, ``except`` beside ``hard-links: allow``."""
    seen: dict[str, int] = {}
    for index, item in enumerate(data if isinstance(data, list) else []):
        if not isinstance(item, dict):
            continue
        guest = item.get("guest")
        if isinstance(guest, str):
            if guest in seen:
                yield (index, "guest"), f"{shown(guest)} is already granted by filesystem[{seen[guest]}]", None
            else:
                seen[guest] = index
        if item.get("except") and item.get("hard-links") == "allow":
            message = "'allow' cannot stand beside 'except': a hard link is another name for the excepted file"
            yield (index, "hard-links"), message, None
