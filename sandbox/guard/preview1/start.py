"""A module's start function runs while the module is being instantiated, before the shim has its memory. It is cut out,
and called once the shim is in place: nothing of the guest's runs between the two moments."""

from __future__ import annotations

from sandbox.component import ComponentError, sections

EXPORT_SECTION, START_SECTION = 7, 8
LATER = (9, 10, 11, 12)
"""Sections that come after a start section: elements, code, data, and how many data there are."""
FUNCTION = b"\x00"
NAME = "sandbox:start"


def without_start(data: bytes) -> tuple[bytes, str | None]:
    """A module without its start section, and the name that its function is exported under instead.

    The module itself and ``None``, where it has none. Raises ``ComponentError`` where the sections are malformed.
    """
    every = list(sections(data))
    found = [row for row in every if row[0] in (EXPORT_SECTION, START_SECTION)]
    starts = [row for row in found if row[0] == START_SECTION]
    exports = [row for row in found if row[0] == EXPORT_SECTION]
    if not starts:
        return data, None
    if len(starts) > 1 or len(exports) > 1:
        raise ComponentError("several start or export sections; a module has one")
    _, start, body, end = starts[0]
    if any(number in LATER and at < start for number, at, _, _ in every):
        raise ComponentError("a start section out of order")
    index = data[body:end]
    number, size = _number(index)
    if size != len(index):
        raise ComponentError(f"a start section at byte {start} that is no function's number")
    count, old = 0, b""
    if exports:
        if exports[0][1] > start:
            raise ComponentError("an export section after the start section")
        count, size = _number(data[exports[0][2] : exports[0][3]])
        old = data[exports[0][2] + size : exports[0][3]]
    name = NAME
    while name.encode() in old:  # a guest may have taken it
        name += "'"
    encoded = name.encode()
    row = _leb(len(encoded)) + encoded + FUNCTION + _leb(number)
    content = _leb(count + 1) + old + row
    section = bytes([EXPORT_SECTION]) + _leb(len(content)) + content
    if not exports:
        return data[:start] + section + data[end:], name
    _, first, _, last = exports[0]
    return data[:first] + section + data[last:start] + data[end:], name


def _number(data: bytes) -> tuple[int, int]:
    """The number at the beginning of ``data``, and how many bytes it takes."""
    value = 0
    for at, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            if value > 0xFFFF_FFFF:
                break
            return value, at + 1
    raise ComponentError("a number that is cut short, or too large, in an export or start section")


def _leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
