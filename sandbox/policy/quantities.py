"""Sizes and durations as people write them: ``64MiB``, ``5s``."""

from __future__ import annotations

import re

from sandbox.policy.section import Reads, flaw, nearest, shown, wanted

UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}

_NUMBER = "(0|[1-9][0-9]{0,14})"
_SIZE = re.compile(rf"{_NUMBER}({'|'.join(UNITS)})")
_DURATION = re.compile(rf"{_NUMBER}({'|'.join(MILLISECONDS)})")
_LOOSE = re.compile(r"([0-9]{1,15})\s?([A-Za-z]*)")

_A_SIZE = "a size, in bytes or as in '64MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)"
_A_DURATION = "a duration, as in '500ms', '5s', '2m' or '1h'"
_UNIT_ALIASES = {
    "": "B",
    "k": "KB",
    "m": "MB",
    "g": "GB",
    "t": "TB",
    "ki": "KiB",
    "mi": "MiB",
    "gi": "GiB",
    "ti": "TiB",
}
_TIME_ALIASES = {"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m"} | {
    "minute": "m",
    "minutes": "m",
    "hr": "h",
    "hour": "h",
    "hours": "h",
    "msec": "ms",
    "millis": "ms",
    "milliseconds": "ms",
}


def size_of(text: str) -> int:
    """The bytes that ``text`` names. Raises ``ValueError`` for anything but a whole number with a unit."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2]]


def milliseconds_of(text: str) -> int:
    """The milliseconds that ``text`` names. Raises ``ValueError`` for anything but a whole number with a unit."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * MILLISECONDS[match[2]]


def size(minimum: str, maximum: str) -> Reads:
    """Bytes between two bounds, both included, as an ``int``."""
    least, most = size_of(minimum), size_of(maximum)

    def read(value: object) -> int:
        if isinstance(value, str):
            try:
                count = size_of(value)
            except ValueError:
                raise flaw(wanted(_A_SIZE, value), _respelled(value, _UNIT_ALIASES, tuple(UNITS))) from None
        elif type(value) is int:
            count = value
        else:
            raise flaw(wanted(_A_SIZE, value))
        _check_bounds(value, count, least, most, minimum, maximum)
        return count

    number = {"type": "integer", "minimum": least, "maximum": most}
    text = {"type": "string", "pattern": f"^({_SIZE.pattern}|[0-9]+(_[0-9]+)+)$"}
    return Reads(read, {"anyOf": [number, text], "examples": ["64MiB", "1GB", "512KiB"]})


def duration(minimum: str, maximum: str) -> Reads:
    """Seconds between two bounds, both included, as a ``float``."""
    least, most = milliseconds_of(minimum), milliseconds_of(maximum)

    def read(value: object) -> float:
        if type(value) in (int, float):
            meant = f"{value}s" if type(value) is int and value >= 0 else None
            raise flaw(f"is a number without a unit: it must be {_A_DURATION}", meant)
        if not isinstance(value, str):
            raise flaw(wanted(_A_DURATION, value))
        try:
            count = milliseconds_of(value)
        except ValueError:
            raise flaw(wanted(_A_DURATION, value), _respelled(value, _TIME_ALIASES, tuple(MILLISECONDS))) from None
        _check_bounds(value, count, least, most, minimum, maximum)
        return count / 1000

    return Reads(read, {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["500ms", "5s", "2m", "1h"]})


def _check_bounds(value: object, count: int, least: int, most: int, minimum: str, maximum: str) -> None:
    written = value if isinstance(value, str) else shown(value).removeprefix("the number ")
    if count < least:
        raise flaw(f"must be at least {minimum}, not {written}")
    if count > most:
        raise flaw(f"must be at most {maximum}, not {written}")


def _respelled(text: str, aliases: dict[str, str], units: tuple[str, ...]) -> str | None:
    """``text`` with the unit its author meant, where that is plain: ``64 mib`` -> ``64MiB``."""
    match = _LOOSE.fullmatch(text.strip()) if len(text) <= 40 else None
    if match is None:
        return None
    by_case = {unit.lower(): unit for unit in units}
    unit = by_case.get(match[2].lower()) or aliases.get(match[2].lower()) or nearest(match[2], units)
    return f"{int(match[1])}{unit}" if unit is not None else None
