"""YAML text as plain data, with a place (line, column) for every route into it.

The text is hostile. It is read event by event, never composed by the YAML library: nothing recurses, nothing is
expanded, and reading stops at the first bound that is passed. Scalars follow the core rules of YAML 1.2, not those of
1.1 that PyYAML's constructors use: ``yes`` and ``22:22`` are strings.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_KEY = 256
"""Characters in a key."""
MAX_VALUES = 20_000
"""Keys, scalars and collections."""
MAX_FAULTS = 100
"""Faults after which reading stops."""

Data: TypeAlias = "bool | int | float | str | list[Data] | dict[str, Data] | None"
Route: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the document's root."""

# What an editor or a terminal does not show as it is written: control characters, separators that some programs take
# for line ends, marks that reorder the text around them.
_HIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
HIDDEN = re.compile(f"[{_HIDDEN}\t\n\r]")
"""Characters that no name, path or key may contain."""
_HIDDEN_IN_TEXT = re.compile(f"[{_HIDDEN}]|\r(?!\n)")
_SURROGATE = re.compile("[\ud800-\udfff]")

_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[^\r\n]*", re.MULTILINE)

_INTEGER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*)\Z")
_BASED = re.compile(r"0(?:o[0-7]+(?:_[0-7]+)*|x[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_CONSTANTS: dict[str, bool | None] = {
    "": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_MAX_NUMBER = 64
"""Characters in a number; converting a longer one would cost more than its length."""

_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
}

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(NamedTuple):
    """A place in the text; both count from 1, columns in characters."""

    line: int
    column: int


_START = Mark(1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFault:
    """Why the text, or the value at ``route``, cannot be read."""

    mark: Mark
    route: Route
    message: str


class Span(NamedTuple):
    """A part of the text: offsets in characters, without a byte order mark; ``end`` is the place after it."""

    start: int
    end: int


class Node(NamedTuple):
    """A key and its value, or an item of a list, as it stands in the text."""

    mark: Mark
    """The place of the key, or of the item."""
    key: Span | None
    """``None`` for an item and for the root."""
    value: Span
    """Of a collection in block style: from its first key or dash to the end of its last value."""
    flow: bool
    """Whether the value is written in braces or brackets."""
    below: dict[str, Node] | list[Node] | None
    """What a collection holds; ``None`` for a scalar."""


_NOWHERE = Node(_START, None, Span(0, 0), False, None)


class Comment(NamedTuple):
    """A comment, without the ``#`` and the space around it."""

    text: str
    mark: Mark
    """The place of the ``#``."""
    alone: bool
    """Whether nothing stands before it on its line."""


@dataclass(slots=True)
class Effort:
    """A count that goes up, beside a document that stays as it is."""

    spent: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What a text says.

    A value that cannot be read is left out of ``data`` (in a list it is ``None``) and has a fault at its route.
    ``readable`` is false when reading stopped before the end: ``data`` is then ``None`` and means nothing.
    """

    data: Data
    faults: tuple[SourceFault, ...]
    readable: bool
    text: str = field(default="", repr=False)
    """What was read, without a byte order mark; empty where reading stopped."""
    root: Node = field(default=_NOWHERE, repr=False)
    effort: Effort = field(default_factory=Effort, repr=False, compare=False)
    """What was spent on trying edits of the text, so that who tries them can stop."""
    _literal: tuple[Span, ...] = field(default=(), repr=False)
    """Where a ``#`` begins no comment: quoted scalars, and those in block style, each in the order of the text."""

    def mark(self, route: Route) -> Mark:
        """The place of the key or item at ``route``, or of its nearest ancestor that the text has."""
        return self.nearest(route)[1].mark

    def nearest(self, route: Route) -> tuple[Route, Node]:
        """What stands at ``route``, or at its nearest ancestor that the text has, with the route of that."""
        node = self.root
        for number, part in enumerate(route):
            below = node.below
            child: Node | None = None
            if isinstance(below, dict) and isinstance(part, str):
                child = below.get(part)
            elif isinstance(below, list) and isinstance(part, int) and 0 <= part < len(below):
                child = below[part]
            if child is None:
                return route[:number], node
            node = child
        return route, node

    def mark_of(self, offset: int) -> Mark:
        """The line and column of an offset in the text."""
        starts = _line_starts(self.text)
        line = bisect_right(starts, offset)
        return Mark(line, offset - starts[line - 1] + 1)

    def offset(self, mark: Mark) -> int:
        """The offset in the text of a line and column."""
        return _line_starts(self.text)[mark.line - 1] + mark.column - 1

    def comments(self) -> Iterator[Comment]:
        """Every comment of the text, in its order."""
        literal = iter(self._literal)
        around = next(literal, None)
        found = _COMMENT.search(self.text)
        while found is not None:
            start, end = found.span()
            while around is not None and around.end <= start:
                around = next(literal, None)
            if around is not None and around.start <= start:
                # What looks like a comment may hide one that stands behind the quotes.
                found = _COMMENT.search(self.text, around.end)
                continue
            mark = self.mark_of(start)
            alone = not self.text[start - mark.column + 1 : start].strip()
            yield Comment(found[0][1:].strip(), mark, alone)
            found = _COMMENT.search(self.text, end)

    def marks(self) -> Iterator[tuple[Route, Mark]]:
        """Every route of the text with its place, parents first; the root is ``()``."""
        pending: list[tuple[Route, Node]] = [((), self.root)]
        while pending:
            route, node = pending.pop()
            yield route, node.mark
            if isinstance(node.below, dict):
                pending.extend(((*route, key), child) for key, child in reversed(node.below.items()))
            elif isinstance(node.below, list):
                pending.extend(((*route, index), child) for index, child in reversed([*enumerate(node.below)]))


def render_route(route: Route) -> str:
    """``components.report.grants.filesystem[0].access``; keys that are no plain words are quoted in brackets."""
    text = ""
    for part in route:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+|<<", part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=not part.isprintable())}]"
    return text


def parse(text: bytes) -> Document:
    """Read one YAML document of at most ``MAX_BYTES`` in UTF-8. Never raises: what is wrong is in ``faults``."""
    if len(text) > MAX_BYTES:
        return _unreadable(SourceFault(mark=_START, route=(), message=f"the file is larger than {MAX_BYTES} bytes"))
    try:
        characters = text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        message = f"the byte 0x{text[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return _unreadable(SourceFault(mark=_mark_at(before, len(before)), route=(), message=message))
    characters = characters.removeprefix("\ufeff")
    hidden = _HIDDEN_IN_TEXT.search(characters)
    if hidden is not None:
        return _unreadable(
            SourceFault(
                mark=_mark_at(characters, hidden.start()),
                route=(),
                message=f"the character U+{ord(hidden[0]):04X} does not show as what it is; "
                f'write it as an escape in a double-quoted string: "\\u{ord(hidden[0]):04x}"',
            )
        )
    return _Reader().read(characters)


def _unreadable(*faults: SourceFault) -> Document:
    return Document(data=None, faults=faults, readable=False)


def _mark_at(text: str, index: int) -> Mark:
    return Mark(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


@lru_cache(maxsize=8)
def _line_starts(text: str) -> tuple[int, ...]:
    """The offset of each line's first character."""
    return (0, *(found.end() for found in re.finditer("\n", text)))


class _StopError(Exception):
    """Reading cannot go on; the fault is recorded."""


class _RefusedError(Exception):
    """A scalar cannot be read; the argument says why."""


@dataclass(slots=True)
class _Frame:
    """A collection that is being read."""

    data: list[Data] | dict[str, Data]
    below: list[Node] | dict[str, Node]
    mark: Mark
    start: int
    flow: bool
    is_key: bool
    """Whether the collection stands where a key belongs."""
    end: int = 0
    """Where the last value that it holds ends."""
    key: str | None = None
    """In a mapping: the key whose value comes next, ``None`` before a key."""
    key_mark: Mark = _START
    key_span: Span = _NOWHERE.value
    dropped: bool = False
    """Whether the next value belongs to a key that was refused."""
    lines: dict[str, Mark] = field(default_factory=dict)


class _Reader:
    def __init__(self) -> None:
        self.faults: list[SourceFault] = []
        self.frames: list[_Frame] = []
        self.literal: list[Span] = []
        self.text = ""
        self.result: tuple[Data, Node] | None = None

    def read(self, text: str) -> Document:
        self.text = text
        try:
            self._events(text)
        except _StopError:
            return _unreadable(*self.faults)
        data, root = self.result if self.result is not None else (None, _NOWHERE)
        return Document(
            data=data,
            faults=tuple(self.faults),
            readable=True,
            text=text,
            root=root,
            _literal=tuple(self.literal),
        )

    def _events(self, text: str) -> None:
        documents = values = 0
        loader = None
        try:
            # PyYAML's Python scanner lets ValueError and OverflowError through for some escapes and versions.
            loader = _LOADER(text)
            while loader.check_event():
                event = loader.get_event()
                mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
                if isinstance(event, yaml.NodeEvent):
                    values += 1
                    if values > MAX_VALUES:
                        self._stop(mark, f"the file holds more than {MAX_VALUES} keys and values", routed=False)
                if isinstance(event, yaml.ScalarEvent):
                    self._scalar(event, mark)
                elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                    self._open(event, mark)
                elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                    self._close(event)
                elif isinstance(event, yaml.AliasEvent):
                    self._fault(mark, f"aliases (*{event.anchor}) are not allowed: write the value out")
                    self._put_unread(mark, _span(event))
                elif isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._stop(mark, "a second document starts here; a file holds one")
                    if event.version is not None or event.tags:
                        self._fault(mark, "directives (%YAML, %TAG) are not allowed: the file is read as YAML 1.2")
        except yaml.MarkedYAMLError as error:
            where = error.problem_mark or error.context_mark
            mark = Mark(where.line + 1, where.column + 1) if where is not None else _START
            said = ", ".join(part for part in (error.context, error.problem) if part)
            self._stop(mark, f"not valid YAML: {said}", routed=False)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._stop(_START, "not valid YAML: it has an escape or a directive out of range", routed=False)
        finally:
            if loader is not None:
                loader.dispose()

    def _route(self) -> Route:
        parts: list[str | int] = []
        for frame in self.frames:
            if isinstance(frame.data, list):
                parts.append(len(frame.data))
            elif frame.key is not None:
                parts.append(frame.key)
            else:
                break
        return tuple(parts)

    def _fault(self, mark: Mark, message: str) -> None:
        self.faults.append(SourceFault(mark=mark, route=self._route(), message=message))
        if len(self.faults) >= MAX_FAULTS:
            self._stop(mark, f"reading stopped here, after {MAX_FAULTS} faults", routed=False)

    def _stop(self, mark: Mark, message: str, *, routed: bool = True) -> None:
        self.faults.append(SourceFault(mark=mark, route=self._route() if routed else (), message=message))
        raise _StopError

    def _expects_key(self) -> bool:
        if not self.frames:
            return False
        frame = self.frames[-1]
        return isinstance(frame.data, dict) and frame.key is None

    def _check_anchor(self, anchor: str | None, mark: Mark) -> None:
        if anchor is not None:
            self._fault(mark, f"anchors (&{anchor}) are not allowed: write the value out where it is needed")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        self._check_anchor(event.anchor, mark)
        span = self._scalar_span(event)
        if self._expects_key():
            self._key(event, mark, span)
            return
        try:
            value = _scalar_value(event)
        except _RefusedError as refused:
            self._fault(mark, str(refused))
            self._put_unread(mark, span)
        else:
            self._put(value, self._place(mark), span)

    def _scalar_span(self, event: yaml.ScalarEvent) -> Span:
        start, end = _span(event)
        if event.style is None:
            return Span(start, end)
        if event.style in "|>":
            # Its end is where the next thing begins; and its first line may have a comment.
            end = start + len(self.text[start:end].rstrip())
            first = self.text.find("\n", start, end)
            if first >= 0:
                self.literal.append(Span(first, end))
        else:
            self.literal.append(Span(start, end))
        return Span(start, end)

    def _key(self, event: yaml.ScalarEvent, mark: Mark, span: Span) -> None:
        frame = self.frames[-1]
        assert isinstance(frame.data, dict)
        text: str = event.value
        message = None
        try:
            value = _scalar_value(event)
        except _RefusedError as refused:
            message, value = str(refused), text
        frame.dropped = True
        frame.key_mark, frame.key_span = mark, span
        if len(text) > MAX_KEY:
            self._fault(mark, f"a key has at most {MAX_KEY} characters, this one {len(text)}")
            frame.key = text[:20]
            return
        hidden = HIDDEN.search(text)
        if hidden is not None:
            self._fault(mark, f"a key must not contain the character U+{ord(hidden[0]):04X}")
            frame.key = text[:20]
            return
        frame.key = text
        if message is not None:
            self._fault(mark, message)
        elif event.tag is None and event.implicit[0] and text == "<<":
            self._fault(mark, "merge keys (<<) are not allowed: write the values out")
        elif not isinstance(value, str):
            frame.key = None
            self._fault(mark, f"a key must be a string: write {json.dumps(text, ensure_ascii=False)}")
            frame.key = text
        elif text in frame.lines:
            self._fault(mark, f"duplicate key, first given on line {frame.lines[text].line}")
        else:
            frame.dropped = False
            frame.lines[text] = mark

    def _open(self, event: Any, mark: Mark) -> None:
        is_sequence = isinstance(event, yaml.SequenceStartEvent)
        is_key = self._expects_key()
        if is_key:
            self._fault(mark, f"a key must be a string, not a {'list' if is_sequence else 'mapping'}")
        self._check_anchor(event.anchor, mark)
        if event.tag not in (None, "!", _CORE + ("seq" if is_sequence else "map")):
            self._fault(mark, f"the tag {_shown_tag(event.tag)} is not allowed here: remove it")
        if len(self.frames) >= MAX_DEPTH:
            self._stop(mark, f"nested more than {MAX_DEPTH} levels deep", routed=False)
        place = mark if is_key else self._place(mark)
        start, flow = event.start_mark.index, bool(event.flow_style)
        if is_sequence:
            self.frames.append(_Frame(data=[], below=[], mark=place, start=start, flow=flow, is_key=is_key, end=start))
        else:
            self.frames.append(_Frame(data={}, below={}, mark=place, start=start, flow=flow, is_key=is_key, end=start))

    def _close(self, event: Any) -> None:
        frame = self.frames.pop()
        # A block ends where the next thing begins, with whatever comments there are between.
        span = Span(frame.start, event.end_mark.index if frame.flow else frame.end)
        if frame.is_key:
            parent = self.frames[-1]
            parent.key, parent.key_mark, parent.dropped = "?", frame.mark, True
        else:
            self._put(frame.data, frame.mark, span, frame.flow, frame.below)

    def _place(self, mark: Mark) -> Mark:
        """Where a value counts as standing: at its key if it has one."""
        frame = self.frames[-1] if self.frames else None
        return frame.key_mark if frame is not None and isinstance(frame.data, dict) else mark

    def _put(
        self,
        value: Data,
        mark: Mark,
        span: Span,
        flow: bool = False,
        below: dict[str, Node] | list[Node] | None = None,
    ) -> None:
        if not self.frames:
            self.result = (value, Node(mark, None, span, flow, below))
            return
        frame = self.frames[-1]
        frame.end = span.end
        if isinstance(frame.data, list):
            assert isinstance(frame.below, list)
            frame.data.append(value)
            frame.below.append(Node(mark, None, span, flow, below))
            return
        assert isinstance(frame.below, dict)
        assert frame.key is not None
        if not frame.dropped:
            frame.data[frame.key] = value
            frame.below[frame.key] = Node(mark, frame.key_span, span, flow, below)
        frame.key, frame.dropped = None, False

    def _put_unread(self, mark: Mark, span: Span) -> None:
        frame = self.frames[-1] if self.frames else None
        if frame is not None and isinstance(frame.data, dict):
            if frame.key is None:
                frame.key, frame.key_mark = "?", mark
                frame.dropped = True
                return
            frame.dropped = True
        self._put(None, self._place(mark), span)


def _span(event: Any) -> Span:
    return Span(event.start_mark.index, event.end_mark.index)


def _scalar_value(event: yaml.ScalarEvent) -> Data:
    text: str = event.value
    surrogate = _SURROGATE.search(text)
    if surrogate is not None:
        raise _RefusedError(f"the escape for U+{ord(surrogate[0]):04X} stands for no character")
    tag: str | None = event.tag
    if tag is None:
        return _plain_value(text) if event.implicit[0] else text
    if tag in ("!", _CORE + "str"):
        return text
    kinds = _KINDS.get(tag.removeprefix(_CORE)) if tag.startswith(_CORE) else None
    if kinds is None:
        raise _RefusedError(f"the tag {_shown_tag(tag)} is not allowed here: remove it")
    value = _plain_value(text)
    # bool is a subclass of int, so the exact type decides.
    if type(value) not in kinds:
        raise _RefusedError(f"the tag {_shown_tag(tag)} does not fit the value: remove it")
    return float(value) if kinds[0] is float and isinstance(value, int) else value


def _plain_value(text: str) -> Data:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text == "~":
        # Null to YAML, the home directory to everybody who writes paths.
        raise _RefusedError("a bare ~ says 'nothing' in YAML: put it in quotes")
    if text[0] not in "+-.0123456789":
        return text
    is_integer = _INTEGER.match(text) is not None
    is_based = _BASED.match(text) is not None
    is_float = _FLOAT.match(text) is not None
    if (is_integer or is_based or is_float) and len(text) > _MAX_NUMBER:
        raise _RefusedError(f"a number has at most {_MAX_NUMBER} characters: quote it if it is text")
    if is_integer:
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0":
            # Octal in YAML 1.1, decimal in 1.2: two readers would see two numbers.
            raise _RefusedError("a number must not start with 0: remove the zero, write 0o for octal, or quote it")
        return int(text)
    if is_based:
        return int(text, 0)
    if is_float:
        return float(text)
    if _INFINITE.match(text):
        return float(text.lower().replace(".", ""))
    if text in (".nan", ".NaN", ".NAN"):
        return float("nan")
    return text


def _shown_tag(tag: str | None) -> str:
    text = tag or ""
    text = f"!!{text.removeprefix(_CORE)}" if text.startswith(_CORE) else text
    return text if len(text) <= 60 else text[:57] + "..."
