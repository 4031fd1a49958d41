"""Text in lines of some width, with nothing left out of it."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

_BREAKS = "/>:.,-_@"
"""Characters after which a word that is too long is best broken."""


def columns(text: str) -> int:
    """The columns that an escaped text takes in a font of one width."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def wrap(text: str, width: int, *, hang: int = 0) -> list[str]:
    """``text`` in lines of at most ``width`` columns, all but the first indented by ``hang``.

    Lines end at spaces; a word that is too long for one is broken, where possible behind a sign that separates.
    ``width`` must leave two columns beside ``hang``.
    """
    lines: list[str] = []
    line, room, first = "", width, True
    for word in text.split(" "):
        rest = word if first else " " + word
        first = False
        if columns(line + rest) <= room:
            line += rest
            continue
        if line.strip(" "):
            lines.append(line)
            line, room, rest = "", width - hang, word
        while columns(rest) > room:
            cut = _fitting(rest, room)
            lines.append(rest[:cut])
            rest, room = rest[cut:], width - hang
        line = rest
    lines.append(line)
    return [line if not number else " " * hang + line for number, line in enumerate(lines)]


def _fitting(word: str, room: int) -> int:
    """How many characters of ``word``, which does not fit into ``room`` columns, make a line."""
    taken, most = 0, 0
    while most < len(word) and taken + _width(word[most]) <= room:
        taken += _width(word[most])
        most += 1
    # A mark that combines belongs to the letter before it, and a line of one letter at least is made in any case.
    most = max(most, 1)
    best = max(word.rfind(sign, 0, most) for sign in _BREAKS) + 1
    return best if best > most // 2 else most


def _width(character: str) -> int:
    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
