"""Edits of a policy's text that keep its comments, order and style, and how they are applied.

Each edit is tried before it is offered: the edited text must say exactly what was meant, else there is no fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sandbox.lint.finding import Edit, Finding, Region
from sandbox.lint.ignores import ignores
from sandbox.source import Data, Document, Mark, Node, Route, parse

EFFORT = 4 * 1024 * 1024
"""Characters that are read again to try edits of one text; there are no fixes beyond."""

Edits = tuple[Edit, ...]


def apply(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with the edits made. They must not overlap."""
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def chosen(findings: Iterable[Finding], *, unsafe: bool) -> tuple[Finding, ...]:
    """Findings whose fixes may be applied together, the first of any that overlap; ``unsafe`` ones where asked for."""
    taken: list[tuple[int, int]] = []
    out = []
    for finding in findings:
        if finding.fix is None or finding.ignored is not None or not (finding.fix.safe or unsafe):
            continue
        spans = [(edit.start, edit.end) for edit in finding.fix.edits]
        # What only touches counts as overlapping: two insertions at one place have no order.
        if all(end < first or last < start for start, end in spans for first, last in taken):
            taken += spans
            out.append(finding)
    return tuple(out)


def replace_value(document: Document, route: Route, written: str, means: Data) -> Edits | None:
    """Write ``written``, which means ``means``, for a value that stands on one line."""
    found, node = document.nearest(route)
    if found != route or "\n" in document.text[slice(*node.value)]:
        return None
    start, end = node.value
    space = " " if start == end and document.text[start - 1 : start] in (":", "-") else ""
    return _tried(document, [(start, end, space + written)], _with(document.data, route, means))


def insert_key(document: Document, route: Route, key: str, written: str, means: Data) -> Edits | None:
    """Add ``key: written`` as the last key of the mapping at ``route``, which is made where it is missing or empty."""
    found, node = document.nearest(route)
    if found != route:
        if len(found) != len(route) - 1 or not isinstance(route[-1], str):
            return None
        return insert_key(document, found, route[-1], f"{{{key}: {written}}}", {key: means})
    expected = _with(document.data, (*route, key), means)
    if node.below is None:
        if node.value.start != node.value.end:
            return None
        return _tried(document, [(node.value.start, node.value.start, f" {{{key}: {written}}}")], expected)
    if not isinstance(node.below, dict):
        return None
    if node.flow:
        return _tried(document, [_into_flow(node, f"{key}: {written}")], expected)
    indent = " " * (next(iter(node.below.values())).mark.column - 1)
    return _tried(document, [_below(document.text, node, f"{indent}{key}: {written}")], expected)


def append_items(document: Document, route: Route, items: Sequence[tuple[str, Data]]) -> Edits | None:
    """Add items, each as it is written and what it means, at the end of the list at ``route``."""
    found, node = document.nearest(route)
    before = _at(document.data, route) if found == route else None
    if not isinstance(before, list) or not items:
        return None
    expected = _with(document.data, route, [*before, *(means for _, means in items)])
    if node.flow:
        return _tried(document, [_into_flow(node, ", ".join(written for written, _ in items))], expected)
    indent = " " * (document.mark_of(node.value.start).column - 1)
    lines = [f"{indent}- {written}" for written, _ in items]
    between = "\r\n" if "\r\n" in document.text else "\n"
    return _tried(document, [_below(document.text, node, between.join(lines))], expected)


def append_item(document: Document, route: Route, written: str, means: Data) -> Edits | None:
    """Add an item at the end of the list at ``route``."""
    return append_items(document, route, [(written, means)])


def remove(document: Document, route: Route) -> Edits | None:
    """Remove a key or an item, with the lines that are its own.

    Where nothing would be left in the collection around it, that is removed as well, up to the component's ``grants``
    or ``limits``, which become empty. What a comment asks to be ignored is not removed: the comment would stay.
    """
    found, node = document.nearest(route)
    above, parent = document.nearest(route[:-1])
    if found != route or len(above) != len(route) - 1 or not parent.below:
        return None
    if len(parent.below) == 1 and len(above) > 3:
        return remove(document, above)
    if parent.flow:
        piece = _out_of_flow(parent, node)
        # What stands between braces on several lines may have comments, and they need not be about what goes.
        if "#" in document.text[piece[0] : piece[1]] and "\n" in document.text[piece[0] : piece[1]]:
            return None
        return _tried(document, [piece], _without(document.data, route))
    lines = _lines_of(document.text, node)
    if lines is None:
        return None
    if len(parent.below) > 1:
        return _tried(document, [lines], _without(document.data, route))
    colon = _COLON.match(document.text, parent.key.end if parent.key is not None else 0)
    if colon is None:
        return None
    return _tried(document, [(colon.end(), colon.end(), " {}"), lines], _with(document.data, above, {}))


_COLON = re.compile(r"[ \t]*:")
_COMMENT_ALONE = re.compile(r"^[ \t]*#", re.MULTILINE)

_Piece = tuple[int, int, str]
"""Start, end and the text to put there."""


def _lines_of(text: str, node: Node) -> _Piece | None:
    """The removal of a key or item in block style that has its lines to itself."""
    begin = node.value.start if node.key is None else node.key.start
    start = text.rfind("\n", 0, begin) + 1
    if re.fullmatch(r" *- +" if node.key is None else r" *", text[start:begin]) is None:
        return None
    end = text.find("\n", node.value.end)
    end = end + 1 if end >= 0 else len(text)
    # A comment that stands between the lines is kept, and there would be no place for it.
    return (start, end, "") if _COMMENT_ALONE.search(text, start, end) is None else None


def _out_of_flow(parent: Node, node: Node) -> _Piece:
    around = list(parent.below.values() if isinstance(parent.below, dict) else parent.below or ())
    at = next(number for number, other in enumerate(around) if other is node)
    if at + 1 < len(around):
        return _start(node), _start(around[at + 1]), ""
    return (around[at - 1].value.end if at else _start(node)), node.value.end, ""


def _start(node: Node) -> int:
    return node.value.start if node.key is None else node.key.start


def _into_flow(node: Node, written: str) -> _Piece:
    children = list(node.below.values() if isinstance(node.below, dict) else node.below or ())
    if children:
        return children[-1].value.end, children[-1].value.end, f", {written}"
    return node.value.start + 1, node.value.start + 1, written


def _below(text: str, node: Node, line: str) -> _Piece:
    """A new line below the last one of a collection in block style."""
    end = text.find("\n", node.value.end)
    if end < 0:
        return len(text), len(text), f"\r\n{line}" if "\r\n" in text else f"\n{line}"
    carriage = text[end - 1 : end] == "\r"
    return end + 1, end + 1, f"{line}\r\n" if carriage else f"{line}\n"


def _tried(document: Document, pieces: Sequence[_Piece], means: Data) -> Edits | None:
    """The edits, if the edited text says ``means``; none either where enough was tried with this text."""
    if document.effort.spent > EFFORT or _moves_an_ignore(document, pieces):
        return None
    document.effort.spent += len(document.text)
    edits = tuple(Edit(start=a, end=b, text=text, region=_region(document, a, b)) for a, b, text in pieces)
    after = parse(apply(document.text, edits).encode())
    if not after.readable or after.faults or after.data != means:
        return None
    return edits


def _moves_an_ignore(document: Document, pieces: Sequence[_Piece]) -> bool:
    """Whether a comment that asks for findings on what is removed to be ignored would be about what comes next."""
    for ignore in ignores(document):
        if ignore.line == ignore.comment.line:
            continue
        start = document.offset(Mark(ignore.line, 1))
        while document.text[start] == " ":
            start += 1
        if any(first <= start < end and not text for first, end, text in pieces):
            return True
    return False


def _region(document: Document, start: int, end: int) -> Region:
    first, last = document.mark_of(start), document.mark_of(end)
    return Region(line=first.line, column=first.column, end_line=last.line, end_column=last.column)


def _with(data: Data, route: Route, value: Data) -> Data:
    """``data`` with ``value`` at a route; what is missing on the way becomes mappings."""
    if not route:
        return value
    part, rest = route[0], route[1:]
    if isinstance(data, list) and isinstance(part, int):
        below = data[part] if part < len(data) else None
        return [*data[:part], _with(below, rest, value), *data[part + 1 :]]
    known = data if isinstance(data, dict) else {}
    return {**known, str(part): _with(known.get(str(part)), rest, value)}


def _without(data: Data, route: Route) -> Data:
    part, rest = route[0], route[1:]
    if isinstance(data, list) and isinstance(part, int):
        return [*data[:part], *([_without(data[part], rest)] if rest else []), *data[part + 1 :]]
    assert isinstance(data, dict)
    changed = {part: _without(data[str(part)], rest)} if rest else {}
    return {key: changed.get(key, value) for key, value in data.items() if rest or key != part}


def _at(data: Data, route: Route) -> Data:
    for part in route:
        if isinstance(data, list) and isinstance(part, int):
            data = data[part]
        elif isinstance(data, dict):
            data = data[str(part)]
    return data
