"""A drawing of boxes and the arrows between them, in layers from left to right. Sizes in, places out.

Each arrow leaves its box at the right, passes through its label in a column between those of boxes, and ends at the
left border of a box. What passes a column has a lane of its own there: no box, label or lane overlaps another.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

GAP = 40.0
"""Between two columns; more where many arrows cross it."""
CROWD = 20
"""As many arrows double a gap."""
APART = 26.0
"""Between two boxes of one column, and between two drawings."""
LABEL_APART = 14.0
LANE = 8.0
"""Between two lanes, and what a box has of height for each arrow, at least."""
ROW = 1100.0
"""How wide a row of drawings may be that do not hang together, at least."""
PORT = 18.0
"""Between two arrows at one border, at most."""
SWEEPS = 12
STIFF = 6.0
"""How much more an arrow between two lanes resists bending than other ones."""


class Size(NamedTuple):
    width: float
    height: float


class Point(NamedTuple):
    x: float
    y: float


class Rect(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Rect:
        return Rect(self.x + x, self.y + y, self.width, self.height)


Stroke = tuple[Point, ...]
"""Points from left to right; each step is straight where both have one height, else it leaves and arrives level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """Places in the order of what was to be drawn. Nothing lies outside of ``size``."""

    boxes: tuple[Rect, ...]
    labels: tuple[Rect, ...]
    arrows: tuple[tuple[Stroke, Stroke], ...]
    """For each the stroke from its box to its label, and that from there to the box at its end."""
    size: Size


def draw(boxes: Sequence[Size], edges: Sequence[tuple[int, int]], labels: Sequence[Size]) -> Drawing:
    """The drawing of ``boxes`` with an arrow for each of ``edges``, which have no cycle; ``labels`` are theirs."""
    boxes = _tall_enough(boxes, edges)
    parts = [_Part(members, boxes, edges, labels) for members in _parts(len(boxes), edges)]
    places: dict[int, Rect] = {}
    notes: dict[int, Rect] = {}
    arrows: dict[int, tuple[Stroke, Stroke]] = {}
    row = max([ROW, *(part.size.width for part in parts)])
    x = y = width = height = 0.0
    for part in parts:
        if x and x + part.size.width > row:
            x, y, height = 0.0, y + height + APART, 0.0
        places |= {box: rect.moved(x, y) for box, rect in part.boxes.items()}
        notes |= {edge: rect.moved(x, y) for edge, rect in part.labels.items()}
        arrows |= {edge: (_moved(one, x, y), _moved(other, x, y)) for edge, (one, other) in part.arrows.items()}
        width, height = max(width, x + part.size.width), max(height, part.size.height)
        x += part.size.width + APART
    return Drawing(
        boxes=tuple(places[box] for box in range(len(boxes))),
        labels=tuple(notes[edge] for edge in range(len(edges))),
        arrows=tuple(arrows[edge] for edge in range(len(edges))),
        size=Size(width, y + height),
    )


def _moved(stroke: Stroke, x: float, y: float) -> Stroke:
    return tuple(Point(point.x + x, point.y + y) for point in stroke)


def _tall_enough(boxes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> list[Size]:
    """``boxes``, with room for the ends of all arrows."""
    leaving, arriving = [0] * len(boxes), [0] * len(boxes)
    for importer, exporter in edges:
        leaving[importer] += 1
        arriving[exporter] += 1
    ends = zip(boxes, leaving, arriving, strict=True)
    return [Size(box.width, max(box.height, LANE * (max(out, into) + 1))) for box, out, into in ends]


def _parts(count: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The boxes that hang together, in the order of the first of each."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for one, other in edges:
        beside[one].append(other)
        beside[other].append(one)
    parts: list[list[int]] = []
    seen: set[int] = set()
    for first in range(count):
        if first in seen:
            continue
        seen.add(first)
        members = [first]
        for box in members:
            fresh = [other for other in dict.fromkeys(beside[box]) if other not in seen]
            seen.update(fresh)
            members += fresh
        parts.append(sorted(members))
    return parts


@dataclass(kw_only=True, slots=True)
class _Item:
    """Something that has a place in a column: a box, a label, or the lane of an arrow that passes."""

    column: int
    size: Size
    apart: float
    before: list[_Item] = field(default_factory=list)
    after: list[_Item] = field(default_factory=list)
    lane: bool = False
    rank: int = 0
    """Its place in the column, from the top."""
    y: float = 0.0
    """Of its middle."""


class _Part:
    """A drawing whose boxes all hang together. Columns of even numbers hold boxes, the others labels; lanes both."""

    def __init__(
        self, members: list[int], boxes: Sequence[Size], edges: Sequence[tuple[int, int]], labels: Sequence[Size]
    ) -> None:
        inside = set(members)
        chosen = [number for number, (importer, _) in enumerate(edges) if importer in inside]
        column = _columns(members, [edges[number] for number in chosen])
        self.items = {box: _Item(column=column[box], size=boxes[box], apart=APART) for box in members}
        self.notes: dict[int, _Item] = {}
        self.lanes: dict[int, list[_Item]] = {}
        for number in chosen:
            importer, exporter = edges[number]
            note = _Item(column=column[importer] + 1, size=labels[number], apart=LABEL_APART)
            passed = range(note.column + 1, column[exporter])
            lanes = [_Item(column=at, size=Size(0.0, 0.0), apart=LANE, lane=True) for at in passed]
            self.notes[number], self.lanes[number] = note, lanes
            chain = [self.items[importer], note, *lanes, self.items[exporter]]
            for one, other in pairwise(chain):
                one.after.append(other)
                other.before.append(one)
        self.columns: list[list[_Item]] = [[] for _ in range(max(column.values()) + 1)]
        for item in (*self.items.values(), *self.notes.values(), *(lane for of in self.lanes.values() for lane in of)):
            self.columns[item.column].append(item)
        _order(self.columns)
        _stack(self.columns)
        self._place(edges)

    def _place(self, edges: Sequence[tuple[int, int]]) -> None:
        widths = [max(item.size.width for item in column) for column in self.columns]
        lefts = [0.0]
        for column, width in zip(self.columns, widths[:-1], strict=False):
            crowd = min(sum(len(item.after) for item in column) / CROWD, 2.0)
            lefts.append(lefts[-1] + width + GAP * (1.0 + crowd))
        tops = [column[0].y - column[0].size.height / 2 for column in self.columns]
        bottoms = [column[-1].y + column[-1].size.height / 2 for column in self.columns]
        top = min(tops)
        for column in self.columns:
            for item in column:
                item.y -= top
        self.size = Size(lefts[-1] + widths[-1], max(bottoms) - top)
        self.boxes = {
            # All boxes of a column are equally wide, so that arrows need not cross what is between.
            box: Rect(lefts[item.column], item.y - item.size.height / 2, widths[item.column], item.size.height)
            for box, item in self.items.items()
        }
        self.labels = {
            edge: Rect(
                lefts[item.column] + (widths[item.column] - item.size.width) / 2,
                item.y - item.size.height / 2,
                *item.size,
            )
            for edge, item in self.notes.items()
        }
        leaving = self._ends(edges, at_start=True)
        arriving = self._ends(edges, at_start=False)
        self.arrows: dict[int, tuple[Stroke, Stroke]] = {}
        for edge, note in self.notes.items():
            importer, exporter = (self.boxes[box] for box in edges[edge])
            label = self.labels[edge]
            first = (
                Point(importer.x + importer.width, leaving[edge]),
                Point(lefts[note.column], note.y),
                Point(label.x, note.y),
            )
            second = [Point(label.x + label.width, note.y), Point(lefts[note.column] + widths[note.column], note.y)]
            for lane in self.lanes[edge]:
                left = lefts[lane.column]
                second += [Point(left, lane.y), Point(left + widths[lane.column], lane.y)]
            second.append(Point(exporter.x, arriving[edge]))
            self.arrows[edge] = first, tuple(second)

    def _ends(self, edges: Sequence[tuple[int, int]], *, at_start: bool) -> dict[int, float]:
        """The height at which each arrow leaves its box, or arrives, in the order of what is next on its way."""
        by_box: dict[int, list[tuple[float, int]]] = {}
        for edge, note in self.notes.items():
            nearest = note if at_start else [note, *self.lanes[edge]][-1]
            by_box.setdefault(edges[edge][0 if at_start else 1], []).append((nearest.y, edge))
        ends = {}
        for box, arrows in by_box.items():
            item = self.items[box]
            step = min(PORT, item.size.height / (len(arrows) + 1))
            for place, (_, edge) in enumerate(sorted(arrows)):
                ends[edge] = item.y + (place - (len(arrows) - 1) / 2) * step
        return ends


def _columns(members: Iterable[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The column of each box: two behind the last one of those with arrows to it."""
    arriving = dict.fromkeys(members, 0)
    leaving: dict[int, list[int]] = {box: [] for box in arriving}
    for importer, exporter in edges:
        arriving[exporter] += 1
        leaving[importer].append(exporter)
    column = dict.fromkeys(arriving, 0)
    ready = [box for box, count in arriving.items() if not count]
    for box in ready:
        for exporter in leaving[box]:
            column[exporter] = max(column[exporter], column[box] + 2)
            arriving[exporter] -= 1
            if not arriving[exporter]:
                ready.append(exporter)
    return column


def _order(columns: list[list[_Item]]) -> None:
    """Put each column into an order in which few arrows cross."""
    _ranked(columns)
    best, fewest = [list(column) for column in columns], _crossings(columns)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        for column in columns[1:] if sweep % 2 == 0 else columns[-2::-1]:
            middles = {id(item): _middle(item.before if sweep % 2 == 0 else item.after, item) for item in column}
            column.sort(key=lambda item: middles[id(item)])
            _ranked([column])
        crossings = _crossings(columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best
    _ranked(columns)


def _middle(beside: Sequence[_Item], item: _Item) -> float:
    return sum(other.rank for other in beside) / len(beside) if beside else item.rank


def _ranked(columns: Iterable[list[_Item]]) -> None:
    for column in columns:
        for rank, item in enumerate(column):
            item.rank = rank


def _crossings(columns: Sequence[list[_Item]]) -> int:
    """How often arrows cross between columns that are next to each other."""
    count = 0
    for column in columns:
        ends: list[int] = []
        for item in column:
            leaving = sorted(other.rank for other in item.after)
            count += sum(len(ends) - bisect_right(ends, rank) for rank in leaving)
            for rank in leaving:
                insort(ends, rank)
    return count


def _stack(columns: Sequence[list[_Item]]) -> None:
    """Give each item its height, in the order of its column and as level with what it hangs together with as may be."""
    for column in columns:
        for item, y in zip(column, _settled(column, [0.0] * len(column), [1.0] * len(column)), strict=True):
            item.y = y
    for sweep in range(SWEEPS):
        last = sweep == SWEEPS - 1
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted, weights = [], []
            for item in column:
                beside = list(_pulls(item, back=last or sweep % 2 == 0, on=last or sweep % 2 == 1))
                pull = sum(weight for _, weight in beside)
                wanted.append(sum(y * weight for y, weight in beside) / pull if beside else item.y)
                # What nothing pulls stays only where there is nothing else to go by.
                weights.append(pull or 0.1)
            for item, y in zip(column, _settled(column, wanted, weights), strict=True):
                item.y = y


def _pulls(item: _Item, *, back: bool, on: bool) -> Iterator[tuple[float, float]]:
    """The heights that an item would like to have, with how much it would."""
    stiff = STIFF if item.lane else 1.0
    # Of a box with many arrows, none can be level with all: each is rather so at its other end.
    for other in item.before if back else ():
        yield other.y, stiff if other.lane else 1.0 / len(other.after)
    for other in item.after if on else ():
        yield other.y, stiff if other.lane else 1.0 / len(other.before)


def _settled(column: Sequence[_Item], wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The heights nearest to those that are ``wanted`` at which the items of a column lie below each other.

    Nearest by the sum of squares: where items would overlap, they share the mean of what they want.
    """
    offsets = [0.0]
    for one, other in pairwise(column):
        offsets.append(offsets[-1] + (one.size.height + other.size.height) / 2 + max(one.apart, other.apart))
    blocks: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other_mean, other_total, other_count = blocks.pop()
            mean = (mean * total + other_mean * other_total) / (total + other_total)
            total, count = total + other_total, count + other_count
        blocks.append((mean, total, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
