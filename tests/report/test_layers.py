"""Where boxes, labels and arrows of a drawing lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from sandbox.report.layers import APART, GAP, LANE, Drawing, Point, Rect, Size, draw

BOX = Size(100.0, 50.0)
LABEL = Size(40.0, 20.0)


def overlap(one: Rect, other: Rect) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def steps(drawing: Drawing) -> Iterator[Rect]:
    """What the steps of all arrows lie within, made a little smaller: a border may be touched."""
    for strokes in drawing.arrows:
        for stroke in strokes:
            for one, other in pairwise(stroke):
                low, high = sorted((one.y, other.y))
                yield Rect(one.x + 0.01, low - 0.01, other.x - one.x - 0.02, high - low + 0.02)


def faults(drawing: Drawing, edges: list[tuple[int, int]]) -> list[str]:
    """What of a drawing is not as it must be."""
    found = []
    solid = [*drawing.boxes, *drawing.labels]
    found += [f"{one} overlaps {other}" for one, other in combinations(solid, 2) if overlap(one, other)]
    found += [f"an arrow crosses {rect}" for step in steps(drawing) for rect in solid if overlap(step, rect)]
    for (importer, exporter), label, (first, second) in zip(edges, drawing.labels, drawing.arrows, strict=True):
        start, end = drawing.boxes[importer], drawing.boxes[exporter]
        middle = label.y + label.height / 2
        if first[0].x != start.x + start.width or not start.y < first[0].y < start.y + start.height:
            found.append(f"{first} does not begin at the right border of {start}")
        if second[-1].x != end.x or not end.y < second[-1].y < end.y + end.height:
            found.append(f"{second} does not end at the left border of {end}")
        if first[-1] != Point(label.x, middle) or second[0] != Point(label.x + label.width, middle):
            found.append(f"{label} is not on its arrow")
        found += [
            f"{one} and {other} go back" for one, other in (*pairwise(first), *pairwise(second)) if other.x < one.x
        ]
    points = [point for strokes in drawing.arrows for stroke in strokes for point in stroke]
    corners = [Point(rect.x + rect.width, rect.y + rect.height) for rect in solid]
    for point in (*points, *corners, *(Point(rect.x, rect.y) for rect in solid)):
        if not (-0.01 <= point.x <= drawing.size.width + 0.01 and -0.01 <= point.y <= drawing.size.height + 0.01):
            found.append(f"{point} lies outside")
    return found


def test_nothing() -> None:
    """Takes no place."""
    assert draw([], [], []) == Drawing(boxes=(), labels=(), arrows=(), size=Size(0.0, 0.0))


def test_two_boxes() -> None:
    """Stand side by side, on one level; between them the arrow, and the label on it."""
    gap = GAP * 1.05
    label = 100.0 + gap
    end = label + 40.0 + gap
    assert draw([BOX, BOX], [(0, 1)], [LABEL]) == Drawing(
        boxes=(Rect(0.0, 0.0, 100.0, 50.0), Rect(end, 0.0, 100.0, 50.0)),
        labels=(Rect(label, 15.0, 40.0, 20.0),),
        arrows=(
            (
                (Point(100.0, 25.0), Point(label, 25.0), Point(label, 25.0)),
                (Point(label + 40.0, 25.0), Point(label + 40.0, 25.0), Point(end, 25.0)),
            ),
        ),
        size=Size(end + 100.0, 50.0),
    )


def test_boxes_without_arrows_fill_rows() -> None:
    """From left to right, as many as fit, then below the tallest of them."""
    drawing = draw([Size(500.0, 10.0), Size(500.0, 30.0), Size(500.0, 20.0)], [], [])
    assert drawing.boxes == (
        Rect(0.0, 0.0, 500.0, 10.0),
        Rect(500.0 + APART, 0.0, 500.0, 30.0),
        Rect(0.0, 30.0 + APART, 500.0, 20.0),
    )
    assert drawing.size == Size(1000.0 + APART, 50.0 + APART)


def test_a_box_has_room_for_the_ends_of_all_its_arrows() -> None:
    """Each a lane from the next, and from the corners."""
    edges = [(0, number) for number in range(1, 21)]
    drawing = draw([BOX] * 21, edges, [LABEL] * 20)
    assert drawing.boxes[0].height == 21 * LANE
    ends = sorted(first[0].y - drawing.boxes[0].y for first, _ in drawing.arrows)
    assert [round(end, 6) for end in ends] == [LANE * number for number in range(1, 21)]
    assert faults(drawing, edges) == []


def test_arrows_are_untangled() -> None:
    """Boxes stand opposite those that they hang together with, whatever the order they come in."""
    edges = [(0, 1), (0, 2), (0, 3), (1, 6), (2, 5), (3, 4)]
    drawing = draw([BOX] * 7, edges, [LABEL] * 6)
    heights = [box.y for box in drawing.boxes]
    assert [heights[3] < heights[2] < heights[1], heights[4] < heights[5] < heights[6]] in (
        [True, True],
        [False, False],
    )
    assert heights[1:4] == heights[:3:-1]
    assert faults(drawing, edges) == []


def test_an_arrow_that_passes_a_column_has_a_lane_there() -> None:
    """Beside the boxes: the long side of a triangle goes around the one between."""
    edges = [(0, 1), (1, 2), (0, 2)]
    drawing = draw([BOX] * 3, edges, [LABEL] * 3)
    _, around = drawing.arrows[2]
    passed = drawing.boxes[1]
    lane = [point.y for point in around if passed.x <= point.x <= passed.x + passed.width]
    assert len(lane) == 2
    assert lane[0] == lane[1]
    assert not passed.y - LANE < lane[0] < passed.y + passed.height + LANE
    assert faults(drawing, edges) == []


_SIZES = st.builds(Size, st.integers(1, 300).map(float), st.integers(1, 300).map(float))


@st.composite
def drawings(draw_: st.DrawFn) -> tuple[list[Size], list[tuple[int, int]], list[Size]]:
    """Boxes of any size, and arrows between them without a cycle."""
    boxes = draw_(st.lists(_SIZES, min_size=1, max_size=12))
    order = draw_(st.permutations(range(len(boxes))))
    pairs = [(one, other) for place, one in enumerate(order) for other in order[place + 1 :]]
    edges = draw_(st.lists(st.sampled_from(pairs), max_size=24, unique=True)) if pairs else []
    return boxes, edges, draw_(st.lists(_SIZES, min_size=len(edges), max_size=len(edges)))


@given(drawings())
def test_nothing_overlaps(drawn: tuple[list[Size], list[tuple[int, int]], list[Size]]) -> None:
    """No box or label another one, and no arrow either of them; each arrow goes from border to border."""
    boxes, edges, labels = drawn
    drawing = draw(boxes, edges, labels)
    assert faults(drawing, edges) == []
    assert all(
        rect.width >= box.width and rect.height >= box.height for rect, box in zip(drawing.boxes, boxes, strict=True)
    )
    assert [Size(rect.width, rect.height) for rect in drawing.labels] == labels


def test_the_largest_programs_are_drawn() -> None:
    """Thirty components of which each imports from all that are deeper."""
    depth = [number // 2 for number in range(30)]
    edges = [(one, other) for one in range(30) for other in range(30) if depth[one] < depth[other]]
    drawing = draw([BOX] * 30, edges, [LABEL] * len(edges))
    assert faults(drawing, edges) == []
