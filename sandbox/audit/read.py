"""Reads a trail back. The file may have been in anyone's hands: what is not exactly an event is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import JSONDecodeError, JSONDecoder
from typing import BinaryIO, NoReturn

from sandbox.audit.events import Event
from sandbox.audit.fields import LINE_BYTES, parse


class TrailError(ValueError):
    """A line that is no event. ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a field is there twice")
    return values


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"not an integer: {text[:20]!a}")


_DECODER = JSONDecoder(object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number)


def _event(line: bytes | str) -> Event:
    if len(line) > LINE_BYTES:
        raise ValueError(f"longer than {LINE_BYTES} bytes")
    try:
        text = line if isinstance(line, str) else line.decode("ascii")
        text.encode("ascii")
    except UnicodeError:
        raise ValueError("not ASCII") from None
    try:
        values = _DECODER.decode(text)
    except JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return parse(values)


def read_trail(lines: Iterable[bytes | str]) -> Iterator[Event]:
    """The events of ``lines``, lazily, in their order; blank lines are skipped.

    Raises ``TrailError`` at the first line that is no event. Sequence numbers are not checked: a file may hold several
    runs, or the end of one. ``lines_of`` gives a file's lines without reading an endless one.
    """
    for number, line in enumerate(lines, 1):
        if len(line) <= 2 and not line.strip():
            continue
        try:
            event = _event(line)
        except ValueError as error:
            raise TrailError(number, str(error)) from None
        yield event


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of ``file``, never reading more of one than makes it too long."""
    while line := file.readline(LINE_BYTES + 1):
        yield line
