"""YAML texts in many styles, together with what they say, as strategies."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

PLAIN = re.compile(r"(?!(?:true|false|null)\Z)[a-zé𝄞/][a-z0-9é𝄞./-]*( [a-z0-9é𝄞./]+)*")
"""Strings that need no quotes, wherever they stand."""

LITERAL = re.compile(r"[a-zé𝄞#]+([ \n][a-zé𝄞#]+)*")
"""Strings that can stand in block style."""


class Text(NamedTuple):
    text: str
    data: Any
    """What the text says."""
    alone: list[str]
    """The comments that have a line to themselves, stripped, in their order."""
    behind: list[str]
    """Those behind something."""


_WORDS = st.text(st.sampled_from("abcé𝄞 z9-./#:'\"{}[],&*|>%@!?\\"), max_size=7)
_NAMES = st.text(st.sampled_from("abcé𝄞"), min_size=1, max_size=3) | _WORDS
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), _NAMES, _WORDS, st.lists(_NAMES, min_size=2).map("\n".join)
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=10,
)


@st.composite
def texts(draw: st.DrawFn, data: st.SearchStrategy[Any] | None = None) -> Text:
    """A text that says ``data``, or any mapping: in block style and flow style, with comments, LF or CRLF."""
    said = draw(data if data is not None else st.dictionaries(_NAMES, _DATA, min_size=1, max_size=4))
    return written(said, draw(st.randoms(use_true_random=False)))


def written(data: Any, choices: random.Random) -> Text:
    """A text that says ``data``, in a style that ``choices`` makes up."""
    writer = _Writer(choices)
    lines = [*writer.between(0), *writer.block(data, 0), *writer.between(0)]
    end = choices.choice(["\n", "\r\n"])
    text = end.join(line for entry in lines for line in entry.split("\n"))
    return Text(text + end * choices.randint(0, 2), data, writer.alone, writer.behind)


class _Writer:
    def __init__(self, choices: random.Random) -> None:
        self.choices = choices
        self.alone: list[str] = []
        self.behind: list[str] = []

    def some(self, share: float) -> bool:
        return self.choices.random() < share

    def comment(self) -> str:
        number = len(self.alone) + len(self.behind)
        choice = self.choices.choice
        return f"#{choice(['', ' ', chr(9)])}c{number}{choice(['', ' é𝄞 #', chr(9) + 'k: v'])}"

    def between(self, indent: int) -> Iterator[str]:
        """Lines that say nothing."""
        if self.some(0.1):
            yield ""
        if self.some(0.2):
            comment = self.comment()
            self.alone.append(comment)
            yield " " * self.choices.choice([indent, indent, 0, indent + 1]) + comment

    def ending(self) -> str:
        if not self.some(0.2):
            return " " * self.some(0.1)
        comment = self.comment()
        self.behind.append(comment)
        return f"{self.choices.choice([' ', '  '])}{comment}"

    def block(self, data: Any, indent: int) -> Iterator[str]:
        """The lines of a collection that is not empty."""
        pad = " " * indent
        entries = data.items() if isinstance(data, dict) else ((None, item) for item in data)
        for number, (key, value) in enumerate(entries):
            if number:
                yield from self.between(indent)
            head = pad + ("-" if key is None else self.scalar(key) + " " * self.some(0.1) + ":")
            if not isinstance(value, dict | list) or not value or self.some(0.4):
                yield head + self.inline(value, indent)
            elif key is None and self.some(0.7):
                below = [*self.block(value, indent + 2)]
                yield head + below[0][indent + 1 :]
                yield from below[1:]
            else:
                yield head + self.ending()
                step = self.choices.choice([1, 2, 4])
                step = 0 if key is not None and isinstance(value, list) and self.some(0.4) else step
                yield from self.between(indent + step)
                yield from self.block(value, indent + step)

    def inline(self, value: Any, indent: int) -> str:
        """What stands behind a colon or dash whose value begins on the same line."""
        if isinstance(value, dict | list):
            return f" {self.flow(value, indent)}{self.ending()}"
        if value is None and self.some(0.5):
            return self.ending()
        if isinstance(value, str) and LITERAL.fullmatch(value) and self.some(0.4):
            inner = "\n" + " " * (indent + 2)
            return f" |-{self.ending()}{inner}{value.replace(chr(10), inner)}"
        return f" {self.scalar(value)}{self.ending()}"

    def flow(self, data: Any, indent: int) -> str:
        opening, closing = "{}" if isinstance(data, dict) else "[]"
        entries = [*data.items()] if isinstance(data, dict) else [(None, item) for item in data]
        wide = self.some(0.3)
        pieces = []
        for number, (key, value) in enumerate(entries, 1):
            said = self.flow(value, indent + 2) if isinstance(value, dict | list) else self.scalar(value)
            comma = "," if number < len(entries) else ""
            pieces.append(f"{'' if key is None else self.scalar(key) + ': '}{said}{comma}")
            if wide:
                pieces[-1] += self.ending()
                pieces.extend(self.between(indent + 2))
        if wide:
            pad = "\n" + " " * (indent + 2)
            return opening + "".join(pad + piece for piece in pieces) + pad + closing
        space = " " * self.some(0.2)
        return opening + space + " ".join(pieces) + space + closing

    def scalar(self, value: Any) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        if PLAIN.fullmatch(value) and self.some(0.7):
            return value
        if "\n" not in value and self.some(0.5):
            return "'" + value.replace("'", "''") + "'"
        return json.dumps(value, ensure_ascii=False)
