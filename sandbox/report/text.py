"""What people read on a terminal after a run: pure functions from events to text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sandbox.audit.events import Event, EventName
from sandbox.audit.quote import yaml_scalar
from sandbox.report.grants import merge

GROUPS = 24
"""Groups shown under one heading."""
ROWS = 8
"""Resources shown in one group."""
GRANT_LINES = 48
"""Lines of suggested grants."""
NARROWEST = 40
"""Columns that a terminal is taken to have at least."""

_BOLD, _DIM, _YELLOW, _GREEN = "1", "2", "33", "32"

# Printable by Unicode's book, and yet nothing to be seen: a joiner, fillers, vowels without a shape, the blank Braille
# cell, and the characters that select variants.
_INVISIBLE = frozenset([0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0]).union(
    range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
)

# Runners of continuous integration take such words for commands: ##[...] and ##vso[...] wherever they stand in a line,
# ::name ...:: where a line begins.
COMMAND = re.compile(r"##(?=\w*\[)")
_LINE = re.compile(r"^([ \t]*):(?=:[A-Za-z][\w-]*(?:[ \t].*)?::)", re.MULTILINE)


def inert(text: str) -> str:
    """``text``, of any number of lines, in which a runner of continuous integration finds no command to carry out."""
    return _LINE.sub(r"\1\\x3a", COMMAND.sub(r"#\\x23", text))


def escape(text: str) -> str:
    """``text`` on one line, with nothing in it that a terminal acts on, hides or reorders with; letters stay letters.

    Controls, separators other than the space, formatting characters (bidirectional ones included), private and
    unassigned ones become ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``; newline, tab and carriage return ``\\n``, ``\\t``
    and ``\\r``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isprintable() and ord(character) not in _INVISIBLE else _escaped(character)
        for character in text
    )


def plain(text: str) -> str:
    """An outside text on one line, for terminals and logs: nothing in it that either of them acts on."""
    return inert(escape(text))


def _escaped(character: str) -> str:
    code = ord(character)
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    if named is not None:
        return named
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def denials(events: Iterable[Event], *, color: bool, width: int) -> str:
    """What was refused, why, how often, and the YAML that would grant it; then what was allowed, where it is recorded.

    Empty when there is nothing of either. A component of a program of several is told of by its path, apart for each
    of its instances; what would grant it is the same for all of them.

    ``width`` is in columns. Each line of the result ends with a newline.
    """
    told = [event for event in events if event.name != "ended"]
    if not told:
        return ""
    paint = _Paint(color)
    width = max(width, NARROWEST)
    lines: list[str] = []
    for heading, of_component in _headings(told):
        lines += [paint(_BOLD, line) for line in _wrapped(heading, width, "")]
        groups = _groups(of_component)
        for group in groups[:GROUPS]:
            lines += ["", *_group(group, paint, width)]
        if len(groups) > GROUPS:
            lines += ["", f"  ... and {len(groups) - GROUPS} more; the audit trail has them all"]
        lines.append("")
    lines += _suggestion(told, paint, width)
    return inert("\n".join(lines).rstrip("\n") + "\n")


def outcome(
    *, component: str, exit_status: int, bound: str | None, seconds: float, memory: int | None, refused: int
) -> str:
    """One line on how a run ended.

    ``bound`` is the limit that ended it (``limits.deadline``), ``seconds`` its duration, ``memory`` the most bytes that
    it held, ``refused`` the number of refused calls.
    """
    end = "ended" if bound is None else f"was stopped by {plain(bound)}"
    parts = [f"exit status {exit_status}", _duration(seconds)]
    if memory is not None:
        parts.append(f"{_size(memory)} of memory")
    if refused:
        parts.append("1 call refused" if refused == 1 else f"{refused:,} calls refused")
    return f"sandbox: {plain(component)} {end}: {', '.join(parts)}\n"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def _size(size: float) -> str:
    unit = "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and text else text


_KINDS: tuple[tuple[EventName, ...], ...] = (("refused",), ("denied", "folded"), ("limit",), ("allowed",))


def _headings(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    for names in _KINDS:
        by_place: dict[str, list[Event]] = {}
        for event in events:
            if event.name in names:
                by_place.setdefault(event.path or event.component, []).append(event)
        for place, chosen in by_place.items():
            who = "several components" if place == "*" else plain(place)
            total = sum(event.count for event in chosen)
            if names == ("refused",):
                yield f"sandbox: {who} was not run", chosen
            elif names == ("limit",):
                yield f"sandbox: {who} reached {'a bound' if total == 1 else f'{total} bounds'}", chosen
            elif names == ("allowed",):
                uses = "1 use" if total == 1 else f"{total:,} uses"
                yield f"sandbox: {uses} by {who} {'was' if total == 1 else 'were'} allowed", chosen
            elif total == 1:
                yield f"sandbox: 1 call of {who} was refused", chosen
            else:
                yield f"sandbox: {total:,} calls of {who} were refused", chosen


def _groups(events: list[Event]) -> list[list[Event]]:
    groups: dict[tuple[str, str, int | None], list[Event]] = {}
    for event in events:
        groups.setdefault((event.capability, event.reason, event.policy_line), []).append(event)
    return list(groups.values())


def _group(events: list[Event], paint: _Paint, width: int) -> Iterator[str]:
    first = events[0]
    line = "" if first.policy_line is None else f":{first.policy_line}"
    capability = _shortened(plain(first.capability), width - 2)
    place = plain(first.policy) + line
    room = width - 4 - _columns(capability)
    if room >= _columns(place):
        yield f"  {paint(_YELLOW, capability)}  {paint(_DIM, place)}"
    else:
        yield f"  {paint(_YELLOW, capability)}"
        yield f"    {paint(_DIM, _shortened(place, width - 4))}"
    yield from _wrapped(plain(first.reason), width, "    ")
    moved = _moved(events)
    if moved:
        yield from _wrapped(moved, width, "    ")
    if first.name == "folded" or (first.name == "allowed" and first.resource is None):
        return
    rows: dict[str, int] = {}
    for event in events:
        what = _what(event)
        rows[what] = rows.get(what, 0) + event.count
    shown = list(rows.items())[:ROWS]
    if len(rows) == 1 and shown[0] == ("", 1):
        return
    digits = max(len(f"{count:,}x") if count > 1 else 0 for _, count in shown)
    for what, count in shown:
        times = f"{count:,}x" if count > 1 else ""
        lead = f"      {times:>{digits}}{'  ' if digits else ''}"
        yield (lead + _shortened(what, width - len(lead))).rstrip()
    if len(rows) > ROWS:
        yield f"      ... and {len(rows) - ROWS} more"


def _moved(events: list[Event]) -> str:
    """The bytes that went over what was allowed, as far as they were counted."""
    sums = ((word, [size for event in events if (size := getattr(event, word)) is not None]) for word in _DIRECTIONS)
    return ", ".join(f"{_size(sum(sizes))} {word}" for word, sizes in sums if sizes)


_DIRECTIONS = ("sent", "received")


def _what(event: Event) -> str:
    if event.resource is None:
        return plain(event.function or "")
    resource = plain(event.resource) or '""'
    if event.resolved is None or event.resolved == event.resource:
        return resource
    return f"{resource} -> {plain(event.resolved)}"


def _suggestion(events: list[Event], paint: _Paint, width: int) -> list[str]:
    grants: dict[str, list[str]] = {}
    for event in events:
        if event.grant is not None:
            grants.setdefault(event.component, []).append(event.grant)
    if not grants:
        return []
    yaml = ["components:"]
    for component, wanted in grants.items():
        yaml += [f"  {yaml_scalar(component)}:", "    grants:", *("      " + line for line in merge(wanted))]
    left = len(yaml) - GRANT_LINES
    if left > 0:
        del yaml[GRANT_LINES:]
        yaml.append(f"      # ... and {left} more lines; the audit trail has them all")
    policy = plain(events[0].policy)
    return [
        *_wrapped(
            f"To allow this much, {policy} would have to say this. Grant only what you mean to:",
            width,
            "",
        ),
        "",
        # Not shortened: what is pasted must be whole.
        *(f"    {paint(_GREEN, plain(line))}" for line in yaml),
    ]


def _columns(text: str) -> int:
    """The columns that an escaped text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(text: str, width: int) -> str:
    """``text`` within ``width`` columns: its middle gives way, since the end of a path says the most."""
    if _columns(text) <= width:
        return text
    room = width - 3
    head, tail = "", ""
    for character in text:
        if _columns(head + character) > room // 3:
            break
        head += character
    for character in reversed(text):
        if _columns(head) + _columns(character + tail) > room:
            break
        tail = character + tail
    return f"{head}...{tail}"


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    """``text`` in lines of at most ``width`` columns; a word that is too long for one is shortened."""
    line = indent
    for word in text.split(" "):
        word = _shortened(word, width - len(indent))
        if line != indent and _columns(line) + 1 + _columns(word) > width:
            yield line
            line = indent
        line += word if line == indent else " " + word
    if line != indent:
        yield line
