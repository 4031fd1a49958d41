"""WAVE, the WebAssembly Value Encoding: text <-> the values that wasmtime-py passes to components and gets back.

``parse`` and ``format`` go by a type of ``wasmtime.component``. Values are wasmtime-py's own: ``int``, ``float``,
``str``, ``bool``; ``bytes`` for ``list<u8>``, else ``list``; ``tuple``; ``Record`` with an attribute a field; ``set``
of names for flags; the name for an enum. Variants, options and results are their bare payload (``None`` without one)
where wasmtime-py can tell the cases apart by class, else ``Variant(tag, payload)``.

``parse_numbers`` and ``format_numbers`` do the same for a core function, by the names of its types.

Two departures from the reference implementation: a finite number that no ``f32`` or ``f64`` can hold is an error and
not infinity, and every character that a terminal could act on is written as an escape.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from wasmtime import component as wt

MAX_DEPTH = 100
"""Types inside types."""
MAX_NODES = 10_000
"""Types that one type is made of, each counted as often as it occurs."""
MAX_DESCRIPTION = 200
"""Characters of a type's spelling in a message."""

_Kind = Literal[
    "bool", "int", "float", "char", "string", "list", "record", "tuple", "variant", "enum", "option", "result", "flags"
]

_KEYWORDS = frozenset({"true", "false", "inf", "nan", "some", "none", "ok", "err"})
_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*)*")
_WORD = re.compile(r"[-+%.\w]+")
# No two alternatives match the same word: a search that fails must not try them in every combination.
_LABEL = re.compile(r"%?(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[0-9]+|[0-9]*[a-z][a-z0-9]*|[0-9]*[A-Z][A-Z0-9]*))*")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_PLAIN = re.compile(r"[^\\\"\n]+")
_UNICODE = re.compile(r"u\{([0-9a-fA-F]{1,6})\}")
_ESCAPES = {"'": "'", '"': '"', "\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_UNESCAPES = {value: "\\" + key for key, value in _ESCAPES.items()}


class WaveError(ValueError):
    """A text that is no value of its type, or a value or type that WAVE has no text for.

    ``str`` is the message and, where there is a text, the part of it in question with a caret under the fault.
    """

    def __init__(self, message: str, text: str | None = None, position: int = 0) -> None:
        self.message = message
        self.text = text
        self.position = position
        """In characters from 0; meaningless without ``text``."""
        super().__init__(message if text is None else f"{message}\n{_excerpt(text, position)}")


def parse(text: str, type: wt.ValType) -> Any:  # noqa: A002
    """The value of ``type`` that ``text`` spells. Raises ``WaveError``."""
    return _parse(text, _shape(type))


def parse_argument(text: str, type: wt.ValType) -> Any:  # noqa: A002
    """As ``parse``, but a ``string`` needs no quotes: a text that does not begin with ``"`` is the string itself."""
    return _parse_argument(text, _shape(type))


def parse_arguments(texts: Sequence[str], params: Sequence[tuple[str, wt.ValType]]) -> list[Any]:
    """One value for each of a function's parameters, each read as ``parse_argument`` does.

    Options at the end may be left out and are ``none``. Raises ``WaveError`` naming the parameter.
    """
    return _arguments(texts, [(name, _shape(ty)) for name, ty in params])


def parse_numbers(texts: Sequence[str], types: Sequence[str]) -> list[Any]:
    """One value for each parameter of a core function: ``types`` are ``i32``, ``i64``, ``f32`` and ``f64``.

    An integer may be written with a sign or without one. Raises ``WaveError`` naming the parameter by its place.
    """
    return _arguments(texts, [("", _NUMBERS[t]) for t in types])


def format(value: Any, type: wt.ValType) -> str:  # noqa: A001, A002
    """``value`` of ``type`` as WAVE on one line; ``parse`` gives it back. Raises ``WaveError`` where it is none."""
    return "".join(_format(value, _shape(type)))


def format_numbers(values: Sequence[Any], types: Sequence[str]) -> str:
    """The results of a core function: nothing, a number, or several as a tuple; integers have a sign."""
    texts = ["".join(_format(v, _NUMBERS[t])) for v, t in zip(values, types, strict=True)]
    return "".join(texts) if len(texts) < 2 else f"({', '.join(texts)})"


def describe(type: wt.ValType) -> str:  # noqa: A002
    """``type`` as WIT spells it, ``list<u8>``, cut after some 200 characters. Raises ``WaveError`` for a handle."""
    return _shape(type).text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A type, read out of the engine once: each look at a ``wasmtime`` type is a call into the library."""

    kind: _Kind
    text: str
    low: int = 0
    high: int = 0
    """For ``int`` its range; for ``float`` the bits are ``high``."""
    parts: tuple[tuple[str, _Shape | None], ...] = ()
    """Fields, elements (no name), cases; for ``flags`` and ``enum`` names alone; for ``list`` its element."""
    classes: frozenset[type] = frozenset()
    """What wasmtime-py makes of it: classes, with ``object`` for ``None``."""
    tagged: bool = False
    """For variants, options and results: whether wasmtime-py wraps them as ``Variant``."""


def _integers() -> dict[str, tuple[int, int]]:
    signed = {f"S{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)}
    return signed | {f"U{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)}


_INTEGERS = _integers()
_NUMBERS = {
    **{
        f"i{bits}": _Shape(
            kind="int", text=f"i{bits}", low=-(1 << bits - 1), high=(1 << bits) - 1, classes=frozenset({int})
        )
        for bits in (32, 64)
    },
    **{f"f{bits}": _Shape(kind="float", text=f"f{bits}", high=bits, classes=frozenset({float})) for bits in (32, 64)},
}
"""Values of core WebAssembly. Its integers have a sign or not as an instruction takes them."""
_HANDLES = {
    "OwnType": "a resource handle",
    "BorrowType": "a resource handle",
    "StreamType": "a stream",
    "FutureType": "a future",
    "ErrorContext": "an error context",
}


class _Shaper:
    def __init__(self) -> None:
        self.nodes = 0

    def shape(self, ty: wt.ValType, depth: int) -> _Shape:
        from wasmtime import component as wt

        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise WaveError(f"the type is too large: over {MAX_DEPTH} levels or {MAX_NODES} parts")
        name = type(ty).__name__
        if name in _HANDLES:
            raise WaveError(f"{_HANDLES[name]} cannot be passed as text")
        if name in _INTEGERS:
            low, high = _INTEGERS[name]
            return _Shape(kind="int", text=name.lower(), low=low, high=high, classes=frozenset({int}))
        match ty:
            case wt.Bool():
                return _Shape(kind="bool", text="bool", classes=frozenset({bool}))
            case wt.F32() | wt.F64():
                return _Shape(kind="float", text=name.lower(), high=int(name[1:]), classes=frozenset({float}))
            case wt.Char():
                return _Shape(kind="char", text="char", classes=frozenset({str}))
            case wt.String():
                return _Shape(kind="string", text="string", classes=frozenset({str}))
            case wt.ListType():
                element = self.shape(ty.element, depth + 1)
                made = frozenset({bytes if element.text == "u8" else list})
                return _Shape(kind="list", text=_cut(f"list<{element.text}>"), parts=(("", element),), classes=made)
            case wt.RecordType():
                fields = tuple((label, self.shape(part, depth + 1)) for label, part in ty.fields)
                text = "record {" + ", ".join(f"{label}: {part.text}" for label, part in fields) + "}"
                return _Shape(kind="record", text=_cut(text), parts=fields, classes=frozenset({wt.Record}))
            case wt.TupleType():
                elements = tuple(("", self.shape(part, depth + 1)) for part in ty.elements)
                text = f"tuple<{', '.join(part.text for _, part in elements)}>"
                return _Shape(kind="tuple", text=_cut(text), parts=elements, classes=frozenset({tuple}))
            case wt.EnumType():
                names = tuple((label, None) for label in ty.names)
                text = "enum {" + ", ".join(label for label, _ in names) + "}"
                return _Shape(kind="enum", text=_cut(text), parts=names, classes=frozenset({str}))
            case wt.FlagsType():
                names = tuple((label, None) for label in ty.names)
                text = "flags {" + ", ".join(label for label, _ in names) + "}"
                return _Shape(kind="flags", text=_cut(text), parts=names, classes=frozenset({set}))
            case wt.OptionType():
                payload = self.shape(ty.payload, depth + 1)
                return self.cases("option", f"option<{payload.text}>", (("none", None), ("some", payload)))
            case wt.ResultType():
                ok = None if ty.ok is None else self.shape(ty.ok, depth + 1)
                err = None if ty.err is None else self.shape(ty.err, depth + 1)
                inside = ", ".join([ok.text if ok else "_"] + ([err.text] if err else []))
                text = f"result<{inside}>" if ok or err else "result"
                return self.cases("result", text, (("ok", ok), ("err", err)))
            case wt.VariantType():
                parts = tuple((label, None if p is None else self.shape(p, depth + 1)) for label, p in ty.cases)
                text = ", ".join(label if part is None else f"{label}({part.text})" for label, part in parts)
                return self.cases("variant", f"variant {{{text}}}", parts)
        raise WaveError(f"values of the type {name} cannot be passed as text")

    def cases(self, kind: _Kind, text: str, parts: tuple[tuple[str, _Shape | None], ...]) -> _Shape:
        from wasmtime import component as wt

        seen: set[type] = set()
        tagged = False
        for _, part in parts:
            classes = _case_classes(part)
            tagged = tagged or not seen.isdisjoint(classes)
            seen |= classes
        made = frozenset({wt.Variant}) if tagged else frozenset(seen)
        return _Shape(kind=kind, text=_cut(text), parts=parts, classes=made, tagged=tagged)


def _shape(ty: wt.ValType) -> _Shape:
    return _Shaper().shape(ty, 0)


def _case_classes(part: _Shape | None) -> frozenset[type]:
    return frozenset({object}) if part is None else part.classes


def _arguments(texts: Sequence[str], shapes: Sequence[tuple[str, _Shape]]) -> list[Any]:
    """One value for each parameter; a parameter of a core function has no name."""
    signature = "(" + ", ".join(f"{name}: {shape.text}" if name else shape.text for name, shape in shapes) + ")"
    if len(texts) > len(shapes):
        raise WaveError(f"{_count(len(texts))} given, the function takes {_count(len(shapes))}: {_cut(signature)}")
    values = []
    for index, (name, shape) in enumerate(shapes):
        if index < len(texts):
            try:
                values.append(_parse_argument(texts[index], shape))
            except WaveError as error:
                place = f"argument {index + 1}, {name}" if name else f"argument {index + 1}"
                raise WaveError(f"{place}: {error.message}", error.text, error.position) from None
        elif all(later.kind == "option" for _, later in shapes[index:]):
            values.append(_choose(shape, 0, None))
        else:
            raise WaveError(f"{_count(len(texts))} given, the function takes {_count(len(shapes))}: {_cut(signature)}")
    return values


def _parse(text: str, shape: _Shape) -> Any:
    parser = _Parser(text)
    value = parser.value(shape)
    parser.space()
    if parser.position < len(text):
        parser.fail("unexpected text after the value")
    return value


def _parse_argument(text: str, shape: _Shape) -> Any:
    if shape.kind != "string" or text.startswith('"'):
        return _parse(text, shape)
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise WaveError("not Unicode: a byte that is no part of a UTF-8 character", text, position)
    return text


class _Parser:
    """Recursion follows the type, so that its depth bounds the parser's, whatever the text holds."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        raise WaveError(message, self.text, self.position if position is None else position)

    def space(self) -> None:
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def word(self) -> str:
        """The word at the cursor, which stays; empty where there is none."""
        self.space()
        match = _WORD.match(self.text, self.position)
        return match[0] if match else ""

    def take(self, symbol: str) -> bool:
        self.space()
        if self.text.startswith(symbol, self.position):
            self.position += len(symbol)
            return True
        return False

    def expect(self, symbol: str, where: str) -> None:
        if not self.take(symbol):
            self.fail(f"expected {symbol} {where}, found {self.found()}")

    def found(self) -> str:
        word = self.word()
        if word:
            return _quoted(word)
        if self.position >= len(self.text):
            return "the end"
        return _quoted(self.text[self.position])

    def value(self, shape: _Shape) -> Any:
        self.space()
        match shape.kind:
            case "bool":
                return self.parse_bool()
            case "int":
                return self.parse_int(shape)
            case "float":
                return self.parse_float(shape)
            case "char":
                return self.parse_char()
            case "string":
                return self.parse_string()
            case "list":
                return self.parse_list(shape)
            case "record":
                return self.parse_record(shape)
            case "tuple":
                return self.parse_tuple(shape)
            case "flags":
                return self.parse_flags(shape)
            case "enum":
                return shape.parts[self.case(shape)][0]
            case "variant":
                start = self.position
                index = self.case(shape)
                return self.chosen(shape, index, self.payload(shape, index), start)
            case "option":
                return self.option_or_result(shape, ("none", "some"), 1)
            case "result":
                return self.option_or_result(shape, ("ok", "err"), 0)

    def parse_bool(self) -> bool:
        word = self.word()
        if word not in ("true", "false"):
            self.fail(f"expected true or false, found {self.found()}")
        self.position += len(word)
        return word == "true"

    def parse_int(self, shape: _Shape) -> int:
        word = self.word()
        article = "an" if shape.text.startswith("i") else "a"
        span = f"{article} {shape.text} from {shape.low} to {shape.high}"
        if not _INTEGER.fullmatch(word):
            self.fail(f"expected {span}, found {self.found()}")
        # 64 bits have 20 digits; Python refuses to convert some thousands.
        if len(word) > 21 or not shape.low <= int(word) <= shape.high:
            self.fail(f"out of range: expected {span}, found {self.found()}")
        self.position += len(word)
        return int(word)

    def parse_float(self, shape: _Shape) -> float:
        word = self.word()
        if word not in ("nan", "inf", "-inf") and not _NUMBER.fullmatch(word):
            self.fail(f"expected a number, inf, -inf or nan for {shape.text}, found {self.found()}")
        value = float(word)
        if shape.high == 32:
            value = _rounded(value)
        if value in (float("inf"), float("-inf")) and not word.endswith("inf"):
            self.fail(f"out of range: no {shape.text} is as large as {self.found()}")
        self.position += len(word)
        return value

    def parse_char(self) -> str:
        if not self.take("'"):
            self.fail(f"expected a character in single quotes, found {self.found()}")
        start = self.position
        if start >= len(self.text):
            self.fail("expected a character, found the end")
        if self.text[start] == "\\":
            character = self.escape()
        elif self.text[start] in "'\n":
            self.fail("expected a character; a quote and a line feed are written \\' and \\n")
        else:
            character = self.scalar(start)
            self.position += 1
        if not self.text.startswith("'", self.position):
            self.fail("expected ' after the character")
        self.position += 1
        return character

    def parse_string(self) -> str:
        if not self.take('"'):
            self.fail(f"expected a string in double quotes, found {self.found()}")
        if self.text.startswith('""', self.position):
            self.position += 2
            return self.multiline()
        start = self.position - 1
        out: list[str] = []
        while True:
            if self.position >= len(self.text) or self.text[self.position] == "\n":
                self.fail("the string that begins here does not end on its line", start)
            if self.text[self.position] == '"':
                self.position += 1
                return "".join(out)
            out.append(self.piece(len(self.text)))

    def piece(self, end: int) -> str:
        """One escape, or the plain text before the next escape, quote or line feed; at the cursor, before ``end``."""
        if self.text[self.position] == "\\":
            return self.escape()
        match = _PLAIN.match(self.text, self.position, end)
        if match is None:
            self.position += 1
            return self.text[self.position - 1]
        for position in range(self.position, match.end()):
            self.scalar(position)
        self.position = match.end()
        return match[0]

    def scalar(self, position: int) -> str:
        character = self.text[position]
        if "\ud800" <= character <= "\udfff":
            self.fail("not Unicode: a byte that is no part of a UTF-8 character", position)
        return character

    def escape(self) -> str:
        start = self.position
        character = self.text[start + 1 : start + 2]
        if character in _ESCAPES:
            self.position += 2
            return _ESCAPES[character]
        match = _UNICODE.match(self.text, start + 1)
        if match is None:
            self.fail("an unknown escape; there are \\t \\n \\r \\' \\\" \\\\ and \\u{hexadecimal}")
        code = int(match[1], 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            self.fail("an escape that stands for no Unicode character")
        self.position = match.end()
        return chr(code)

    def multiline(self) -> str:
        start = self.position - 3
        end = self.text.find('"""', self.position)
        if end < 0:
            self.fail('the string that begins here has no closing """', start)
        last = self.text.rfind("\n", 0, end)
        indent = self.text[last + 1 : end]
        if last < self.position or indent.strip(" "):
            self.fail('the closing """ stands on a line of its own, after spaces only', end)
        for line_break in ("\n", "\r\n"):
            if self.text.startswith(line_break, self.position):
                self.position += len(line_break)
                break
        else:
            self.fail('a line break follows the opening """', start)
        lines: list[str] = []
        while self.position <= last:
            line_end = self.text.find("\n", self.position)
            if not self.text.startswith(indent, self.position):
                self.fail('each line is indented at least as far as the closing """')
            self.position += len(indent)
            stop = line_end - 1 if self.text[line_end - 1] == "\r" and line_end > self.position else line_end
            out: list[str] = []
            while self.position < stop:
                out.append(self.piece(stop))
            lines.append("".join(out))
            self.position = line_end + 1
        self.position = end + 3
        return "\n".join(lines)

    def items(self, close: str) -> Iterator[None]:
        """Once for each item of a list that ``close`` ends, with the cursor on the item; takes commas and ``close``."""
        while not self.take(close):
            yield
            if not self.take(","):
                self.expect(close, "or a comma")
                return

    def parse_list(self, shape: _Shape) -> list[Any] | bytes:
        element = shape.parts[0][1]
        assert element is not None
        if not self.take("["):
            self.fail(f"expected a list in square brackets, found {self.found()}")
        values = [self.value(element) for _ in self.items("]")]
        return bytes(values) if bytes in shape.classes else values

    def parse_tuple(self, shape: _Shape) -> tuple[Any, ...]:
        self.space()
        start = self.position
        if not self.take("("):
            self.fail(f"expected a tuple in parentheses, found {self.found()}")
        values: list[Any] = []
        for _ in self.items(")"):
            if len(values) == len(shape.parts):
                self.fail(f"too many values: {shape.text} has {len(shape.parts)}")
            part = shape.parts[len(values)][1]
            assert part is not None
            values.append(self.value(part))
        if len(values) < len(shape.parts):
            self.fail(f"too few values: {shape.text} has {len(shape.parts)}", start)
        return tuple(values)

    def parse_record(self, shape: _Shape) -> Any:
        from wasmtime.component import Record

        self.space()
        start = self.position
        if not self.take("{"):
            self.fail(f"expected a record in braces, found {self.found()}")
        fields = dict(shape.parts)
        values: dict[str, Any] = {}
        if self.take(":"):
            self.expect("}", "after {:")
        else:
            for _ in self.items("}"):
                position = self.position
                name = self.label("a field")
                field = fields.get(name)
                if field is None:
                    self.fail(f"no field {name}; there are {_names(shape)}", position)
                if name in values:
                    self.fail(f"the field {name} is given twice", position)
                self.expect(":", f"after {name}")
                values[name] = self.value(field)
            if not values:
                self.fail("an empty record is written {:}", start)
        record = Record()
        for name, part in shape.parts:
            assert part is not None
            if name not in values:
                if part.kind != "option":
                    self.fail(f"the field {name} is missing", start)
                values[name] = _choose(part, 0, None)
            setattr(record, name, values[name])
        return record

    def parse_flags(self, shape: _Shape) -> set[str]:
        if not self.take("{"):
            self.fail(f"expected flags in braces, found {self.found()}")
        known = {name for name, _ in shape.parts}
        names: set[str] = set()
        for _ in self.items("}"):
            position = self.position
            name = self.label("a flag")
            if name not in known:
                self.fail(f"no flag {name}; there are {_names(shape)}", position)
            if name in names:
                self.fail(f"the flag {name} is given twice", position)
            names.add(name)
        return names

    def option_or_result(self, shape: _Shape, keywords: tuple[str, str], flat: int) -> Any:
        """Either by keyword or, where that is unmistakable, as the bare payload of the case ``flat``."""
        word = self.word()
        start = self.position
        if word in keywords:
            self.position += len(word)
            index = keywords.index(word)
            return self.chosen(shape, index, self.payload(shape, index), start)
        part = shape.parts[flat][1]
        if part is None or part.kind in ("option", "result"):
            forms = [name if p is None else f"{name}(...)" for name, p in shape.parts]
            self.fail(f"expected {forms[0]} or {forms[1]}, found {self.found()}")
        return self.chosen(shape, flat, self.value(part), start)

    def payload(self, shape: _Shape, index: int) -> Any:
        name, part = shape.parts[index]
        if part is None:
            return None
        self.expect("(", f"and a value after {name}")
        value = self.value(part)
        self.expect(")", f"after the value of {name}")
        return value

    def chosen(self, shape: _Shape, index: int, payload: Any, position: int) -> Any:
        try:
            return _choose(shape, index, payload)
        except WaveError as error:
            self.fail(error.message, position)

    def case(self, shape: _Shape) -> int:
        word = self.word()
        position = self.position
        if word in _KEYWORDS:
            self.fail(f"{word} is a keyword; the case of that name is written %{word}")
        name = self.label("a case")
        for index, (case, _) in enumerate(shape.parts):
            if case == name:
                return index
        self.fail(f"no case {name}; there are {_names(shape)}", position)

    def label(self, what: str) -> str:
        word = self.word()
        if not _LABEL.fullmatch(word):
            self.fail(f"expected {what}, found {self.found()}")
        self.position += len(word)
        return word.removeprefix("%")


def _choose(shape: _Shape, index: int, payload: Any) -> Any:
    """What wasmtime-py is to be given for the case ``index`` with ``payload``.

    It tells untagged cases apart with ``isinstance``, in order, which is too wide where a ``bool`` passes for an
    ``int``, or anything for an ``object``. Such a value cannot be passed, and must not arrive as another case.
    """
    from wasmtime.component import Variant

    if shape.tagged:
        return Variant(shape.parts[index][0], payload)
    for name, part in shape.parts[:index]:
        if payload is None if part is None else isinstance(payload, tuple(part.classes)):
            raise WaveError(f"wasmtime-py cannot pass the case {shape.parts[index][0]}: it takes the value for {name}")
    return payload


def _format(value: Any, shape: _Shape) -> Iterator[str]:
    # `object` stands for the absence of a payload.
    if (object if value is None else type(value)) not in shape.classes:
        raise WaveError(f"{type(value).__name__} is not what a {shape.text} is held in")
    match shape.kind:
        case "bool":
            yield "true" if value else "false"
        case "int":
            if not shape.low <= value <= shape.high:
                raise WaveError(f"out of range: a {shape.text} goes from {shape.low} to {shape.high}")
            yield str(value)
        case "float":
            yield _float(value, shape.high)
        case "char":
            if len(value) != 1:
                raise WaveError("a char is one character")
            yield "'" + _escaped(value, "'") + "'"
        case "string":
            yield '"' + _escaped(value, '"') + '"'
        case "list" | "tuple":
            opening, closing = "()" if shape.kind == "tuple" else "[]"
            if shape.kind == "tuple" and len(value) != len(shape.parts):
                raise WaveError(f"a {shape.text} has {len(shape.parts)} values")
            yield opening
            for index, item in enumerate(value):
                part = shape.parts[index if shape.kind == "tuple" else 0][1]
                assert part is not None
                if index:
                    yield ", "
                yield from _format(item, part)
            yield closing
        case "record":
            yield from _format_record(value, shape)
        case "enum":
            if (value, None) not in shape.parts:
                raise WaveError(f"no case of that name; there are {_names(shape)}")
            yield _case(value)
        case "flags":
            names = [name for name, _ in shape.parts if name in value]
            if len(names) != len(value):
                raise WaveError(f"flags of other names; there are {_names(shape)}")
            yield "{" + ", ".join(names) + "}"
        case _:
            name, part, payload = _case_of(value, shape)
            yield _case(name) if shape.kind == "variant" else name
            if part is not None:
                yield "("
                yield from _format(payload, part)
                yield ")"
            elif payload is not None:
                raise WaveError(f"the case {name} has no payload")


def _format_record(value: Any, shape: _Shape) -> Iterator[str]:
    yield "{"
    first = True
    for name, part in shape.parts:
        assert part is not None
        if not hasattr(value, name):
            raise WaveError(f"the field {name} is missing")
        field = getattr(value, name)
        if part.kind == "option" and _case_of(field, part)[0] == "none":
            continue
        yield f"{name}: " if first else f", {name}: "
        first = False
        yield from _format(field, part)
    yield ":}" if first else "}"


def _case_of(value: Any, shape: _Shape) -> tuple[str, _Shape | None, Any]:
    if shape.tagged:
        tag = getattr(value, "tag", None)
        for name, part in shape.parts:
            if name == tag:
                return name, part, value.payload
        raise WaveError(f"no case of that name; there are {_names(shape)}")
    held = object if value is None else type(value)
    for name, part in shape.parts:
        if held in _case_classes(part):
            return name, part, value
    raise WaveError(f"{held.__name__} is not what a {shape.text} is held in")


def _case(name: str) -> str:
    return "%" + name if name in _KEYWORDS else name


def _float(value: float, bits: int) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return repr(value)
    text = repr(value)
    if bits == 32:
        value = _rounded(value)
        if value in (float("inf"), float("-inf")):
            raise WaveError("out of range: no f32 is as large")
        # The fewest digits that give the same f32; nine always do.
        text = repr(next(t for t in (float(f"{value:.{n}g}") for n in range(1, 10)) if _rounded(t) == value))
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent):+d}" if exponent else mantissa


def _rounded(value: float) -> float:
    """The nearest ``f32``; infinity where ``value`` is too large for one."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("-inf") if value < 0 else float("inf")


def _escaped(text: str, quote: str) -> str:
    return "".join(
        _UNESCAPES[c] if c in "\\\t\n\r" or c == quote else c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text
    )


def _names(shape: _Shape) -> str:
    return _cut(", ".join(name for name, _ in shape.parts))


def _count(number: int) -> str:
    return "1 argument" if number == 1 else f"{number} arguments"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 3] + "..."


def _quoted(text: str) -> str:
    return "".join(_visible(c) for c in (text if len(text) <= 40 else text[:37] + "..."))


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _excerpt(text: str, position: int) -> str:
    """The text around ``position`` on one line, and a caret under it on the next."""
    start, end = max(0, position - 40), min(len(text), position + 40)
    before = ("..." if start else "") + "".join(_visible(c) for c in text[start:position])
    after = "".join(_visible(c) for c in text[position:end]) + ("..." if end < len(text) else "")
    return f"  {before}{after}\n  {' ' * len(before)}^"
