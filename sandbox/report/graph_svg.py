"""A program as an SVG picture: no script, no reference to anything, legible on light and on dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from sandbox.policy.graph import Graph
from sandbox.report.graph import Box, Label, boxes, labels
from sandbox.report.layers import Drawing, Rect, Size, Stroke, draw
from sandbox.report.text import escape
from sandbox.report.wrap import columns, wrap

TEXT_WIDTH = 38
"""Columns of text in a box."""
LABEL_WIDTH = 28
COLUMN = 7.4
"""Width of a column: fonts of one width have it a little narrower at this size."""
LINE = 17.0
FONT = 12
PADDING = 11.0
MARGIN = 16.0
HEAD = 8.0

_LIGHT = {
    "page": "#ffffff",
    "box": "#f6f8fa",
    "line": "#57606a",
    "text": "#1f2328",
    "dim": "#57606a",
    "runs": "#0969da",
}
_DARK = {"page": "#0d1117", "box": "#161b22", "line": "#9da7b3", "text": "#e6edf3", "dim": "#9da7b3", "runs": "#58a6ff"}


class _Line(NamedTuple):
    text: str
    kind: str
    """Its class: ``name``, ``text`` or ``dim``; ``rule`` is a line across the box, and has no text."""


def graph_svg(graph: Graph) -> str:
    """The picture as a document of its own, in ASCII: other characters stand as references."""
    inside = [_box(box) for box in boxes(graph)]
    beside = [_label(label) for label in labels(graph)]
    drawing = draw(
        [_size(lines, PADDING) for lines in inside],
        [(edge.importer, edge.exporter) for edge in graph.edges],
        [_size(lines, 4.0) for lines in beside],
    )
    return "".join(f"{line}\n" for line in _document(graph, drawing, inside, beside))


def _box(box: Box) -> list[_Line]:
    lines = list(_wrapped(box.name, TEXT_WIDTH, "name"))
    lines += _wrapped(box.note, TEXT_WIDTH, "dim") if box.note else ()
    for text in box.granted or ("nothing granted",):
        lines += _wrapped(text, TEXT_WIDTH, "text" if box.granted else "dim")
    if box.imports:
        lines += [_Line("", "rule"), _Line(f"can reach {'through' if box.reached else 'nothing more'}", "dim")]
        for text in box.reached:
            lines += _wrapped(text, TEXT_WIDTH, "text")
    return lines


def _label(label: Label) -> list[_Line]:
    lines = [line for text in label.interfaces for line in _wrapped(text, LABEL_WIDTH, "text")]
    return [*lines, _Line(label.note, "dim")]


def _wrapped(text: str, width: int, kind: str) -> Iterator[_Line]:
    return (_Line(line, kind) for line in wrap(text, width, hang=2))


def _size(lines: Sequence[_Line], padding: float) -> Size:
    widest = max(columns(line.text) for line in lines)
    return Size(widest * COLUMN + 2 * padding, len(lines) * LINE + 2 * padding)


def _document(
    graph: Graph, drawing: Drawing, inside: Sequence[list[_Line]], beside: Sequence[list[_Line]]
) -> Iterator[str]:
    width, height = (_number(side + 2 * MARGIN) for side in drawing.size)
    title = _escaped(f"{graph.policy.file}: its components, what each is granted, and what it can reach")
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" font-family="monospace" font-size="{FONT}">'
    )
    yield f"<title>{title}</title>"
    yield f"<style>{_rules(_LIGHT)} @media (prefers-color-scheme: dark) {{ {_rules(_DARK)} }}</style>"
    yield f'<rect class="page" width="{width}" height="{height}"/>'
    yield f'<g transform="translate({_number(MARGIN)} {_number(MARGIN)})">'
    for edge, strokes, rect, lines in zip(graph.edges, drawing.arrows, drawing.labels, beside, strict=True):
        names = f"{graph.nodes[edge.importer].name} imports from {graph.nodes[edge.exporter].name}"
        yield f'<g class="arrow"><title>{_escaped(names)}</title>'
        yield from (f'<path class="stroke" d="{_path(stroke)}"/>' for stroke in strokes)
        yield f'<path class="head" d="{_head(strokes[1])}"/>'
        yield from _texts(lines, rect, 4.0)
        yield "</g>"
    for node, rect, lines in zip(graph.nodes, drawing.boxes, inside, strict=True):
        x, y, wide, high = map(_number, rect)
        yield f'<g class="node"><title>{_escaped(node.name)}</title>'
        kind = "box runs" if node.runs else "box"
        yield f'<rect class="{kind}" x="{x}" y="{y}" width="{wide}" height="{high}" rx="6"/>'
        yield from _texts(lines, rect, PADDING)
        yield "</g>"
    yield "</g>"
    yield "</svg>"


def _rules(colors: dict[str, str]) -> str:
    return (
        f".page {{ fill: {colors['page']} }} .box {{ fill: {colors['box']}; stroke: {colors['line']} }}"
        f" .runs {{ stroke: {colors['runs']}; stroke-width: 2.5 }} .rule {{ stroke: {colors['line']} }}"
        f" .stroke {{ fill: none; stroke: {colors['line']}; stroke-width: 1.4 }} .head {{ fill: {colors['line']} }}"
        f" text {{ fill: {colors['text']} }} .name {{ font-weight: bold }} .dim {{ fill: {colors['dim']} }}"
    )


def _texts(lines: Sequence[_Line], rect: Rect, padding: float) -> Iterator[str]:
    # Where a box is taller than its text, for the ends of many arrows, that stays at the top.
    for number, line in enumerate(lines):
        y = rect.y + padding + number * LINE
        if line.kind == "rule":
            left, right, middle = _number(rect.x), _number(rect.x + rect.width), _number(y + LINE / 2)
            yield f'<path class="rule" d="M{left} {middle}H{right}"/>'
            continue
        # Spaces at the beginning of a line would be left out.
        text = line.text.lstrip(" ")
        x = rect.x + padding + (len(line.text) - len(text)) * COLUMN
        kind = "" if line.kind == "text" else f' class="{line.kind}"'
        yield f'<text{kind} x="{_number(x)}" y="{_number(y + LINE * 0.75)}">{_escaped(text)}</text>'


def _path(stroke: Stroke) -> str:
    start = stroke[0]
    path = f"M{_number(start.x)} {_number(start.y)}"
    for one, other in pairwise(stroke):
        if one.y == other.y:
            path += f"H{_number(other.x)}"
        else:
            middle = _number((one.x + other.x) / 2)
            ends = f"{_number(other.x)} {_number(other.y)}"
            path += f"C{middle} {_number(one.y)} {middle} {_number(other.y)} {ends}"
    return path


def _head(stroke: Stroke) -> str:
    x, y = stroke[-1]
    back = _number(x - HEAD)
    return f"M{_number(x)} {_number(y)}L{back} {_number(y - HEAD / 2)}V{_number(y + HEAD / 2)}Z"


def _number(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    """``text`` as the content of an element."""
    text = escape(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
