"""The picture of a graph: well-formed, nothing but a picture, and drawn as it is laid out."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given

from sandbox.policy.graph import Graph, graph_of
from sandbox.policy.model import ComponentPolicy, Wire
from sandbox.report.graph_svg import graph_svg
from sandbox.report.layers import Rect
from sandbox.report.wrap import columns
from tests.report.graphs import graphs, payments, policy_of
from tests.report.test_layers import overlap

SVG = "{http://www.w3.org/2000/svg}"
WIDEST_FONT = 7.3
"""Columns of common fonts of one width are at most as wide at 12 pixels: DejaVu Sans Mono, Menlo, Courier New."""
ATTRIBUTES = {
    "svg": {"width", "height", "viewBox", "role", "font-family", "font-size"},
    "title": set(),
    "style": set(),
    "g": {"class", "transform"},
    "rect": {"class", "x", "y", "width", "height", "rx"},
    "path": {"class", "d"},
    "text": {"class", "x", "y"},
}
"""The elements of a picture, and the attributes that they may have."""


def test_one_component() -> None:
    """The whole document."""
    assert (
        graph_svg(graph_of(policy_of(ComponentPolicy(name="app"), run="app")))
        == """\
<svg xmlns="http://www.w3.org/2000/svg" width="165" height="105" viewBox="0 0 165 105" role="img" \
font-family="monospace" font-size="12">
<title>p.yaml: its components, what each is granted, and what it can reach</title>
<style>.page { fill: #ffffff } .box { fill: #f6f8fa; stroke: #57606a } .runs { stroke: #0969da; stroke-width: 2.5 } \
.rule { stroke: #57606a } .stroke { fill: none; stroke: #57606a; stroke-width: 1.4 } .head { fill: #57606a } \
text { fill: #1f2328 } .name { font-weight: bold } .dim { fill: #57606a } @media (prefers-color-scheme: dark) { \
.page { fill: #0d1117 } .box { fill: #161b22; stroke: #9da7b3 } .runs { stroke: #58a6ff; stroke-width: 2.5 } \
.rule { stroke: #9da7b3 } .stroke { fill: none; stroke: #9da7b3; stroke-width: 1.4 } .head { fill: #9da7b3 } \
text { fill: #e6edf3 } .name { font-weight: bold } .dim { fill: #9da7b3 } }</style>
<rect class="page" width="165" height="105"/>
<g transform="translate(16 16)">
<g class="node"><title>app</title>
<rect class="box runs" x="0" y="0" width="133" height="73" rx="6"/>
<text class="name" x="11" y="23.8">app</text>
<text class="dim" x="11" y="40.8">runs</text>
<text class="dim" x="11" y="57.8">nothing granted</text>
</g>
</g>
</svg>
"""
    )


def groups(svg: str, kind: str) -> list[ElementTree.Element]:
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("class") == kind]


def texts(group: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in group.iter(f"{SVG}text")]


def rect_of(group: ElementTree.Element) -> Rect:
    rect = group.find(f"{SVG}rect")
    assert rect is not None
    return Rect(*(float(rect.get(side, "")) for side in ("x", "y", "width", "height")))


def test_what_it_says() -> None:
    """In each box what the component is granted and reaches, at each arrow what is imported."""
    svg = graph_svg(payments())
    assert [texts(group) for group in groups(svg, "node")] == [
        [
            "app",
            "runs",
            "stdout",
            "can reach through",
            "ledger: writes /db",
            "notify: connects to mail.internal:25",
            "ledger>auth: reads /keys",
        ],
        ["ledger", "app>ledger", "writes /db (./ledger)", "can reach through", "auth: reads /keys"],
        [
            "notify",
            "app>notify",
            "connects to mail.internal:25",
            "never reaches 169.254.0.0/16",
            "can reach through",
            "auth: reads /keys",
        ],
        ["auth", "app>ledger>auth", "reads /keys (./keys, except *.pem)"],
    ]
    assert [texts(group) for group in groups(svg, "arrow")] == [
        ["bank:payments/ledger", "shared instance"],
        ["bank:payments/notify@1.0.0", "own instance"],
        ["bank:payments/auth", "only validate-user", "shared instance"],
        ["bank:payments/auth", "shared instance"],
    ]
    assert [group.findtext(f"{SVG}title") for group in groups(svg, "arrow")] == [
        "app imports from app>ledger",
        "app imports from app>notify",
        "app>ledger imports from app>ledger>auth",
        "app>notify imports from app>ledger>auth",
    ]


def test_who_reaches_nothing_through_others_is_told_so() -> None:
    """Where it imports from somebody."""
    wire = Wire(interface="a:b/c", component="lib")
    svg = graph_svg(graph_of(policy_of(ComponentPolicy(name="app", imports=(wire,)), ComponentPolicy(name="lib"))))
    assert [texts(group) for group in groups(svg, "node")] == [
        ["app", "nothing granted", "can reach nothing more"],
        ["lib", "app>lib", "nothing granted"],
    ]


@given(graphs())
def test_it_is_nothing_but_a_picture(graph: Graph) -> None:
    """Well-formed, in ASCII; no script, link or reference, whatever components and interfaces are called."""
    svg = graph_svg(graph)
    assert svg.isascii()
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        name = element.tag.removeprefix(SVG)
        assert name in ATTRIBUTES
        assert set(element.keys()) <= ATTRIBUTES[name]
        assert name in ("text", "title", "style") or not (element.text or "").strip()
    assert "url(" not in svg
    assert svg.count("<style>") == 1
    assert [element.tag for element in root][:1] == [f"{SVG}title"]


@given(graphs())
def test_boxes_stand_apart_and_hold_their_text(graph: Graph) -> None:
    """No box overlaps another one; no line of text sticks out of its box, nor any box out of the picture."""
    svg = graph_svg(graph)
    nodes = groups(svg, "node")
    boxes = [rect_of(group) for group in nodes]
    assert len(boxes) == len(graph.nodes)
    assert not [(one, other) for one, other in combinations(boxes, 2) if overlap(one, other)]
    width, height = (float(ElementTree.fromstring(svg).get(side, "")) for side in ("width", "height"))
    for group, box in zip(nodes, boxes, strict=True):
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= width - 32 + 0.1
        assert box.y + box.height <= height - 32 + 0.1
        for text in group.iter(f"{SVG}text"):
            left, bottom = float(text.get("x", "")), float(text.get("y", ""))
            assert left + columns(text.text or "") * WIDEST_FONT < box.x + box.width
            assert box.y + 12 < bottom < box.y + box.height - 4


@given(graphs())
def test_each_arrow_ends_at_the_border_of_its_box(graph: Graph) -> None:
    """It begins at the right border of the importer; its head touches the left border of the exporter."""
    svg = graph_svg(graph)
    boxes = [rect_of(group) for group in groups(svg, "node")]
    arrows = groups(svg, "arrow")
    assert len(arrows) == len(graph.edges)
    for edge, arrow in zip(graph.edges, arrows, strict=True):
        first, second, head = (path.get("d", "") for path in arrow.iter(f"{SVG}path"))
        numbers = [[float(number) for number in re.findall(r"[0-9.]+", path)] for path in (first, second, head)]
        start, end = boxes[edge.importer], boxes[edge.exporter]
        assert abs(numbers[0][0] - start.x - start.width) <= 0.1
        assert start.y < numbers[0][1] < start.y + start.height
        tip_x, tip_y = numbers[2][:2]
        assert abs(tip_x - end.x) <= 0.1
        assert end.y < tip_y < end.y + end.height
        # The last step is level where it ends, be it straight or not.
        assert second.endswith((f"H{re.findall('[0-9.]+', head)[0]}", " ".join(re.findall("[0-9.]+", head)[:2])))


def test_colours_can_be_told_from_what_is_behind_them() -> None:
    """By 4.5 to 1 at least, on light as on dark: text, lines and arrows on the page and on boxes."""
    style = ElementTree.fromstring(graph_svg(payments())).findtext(f"{SVG}style", "")
    for scheme in style.split("@media"):
        colours = dict(re.findall(r"(\.?\w+) \{ (?:fill: none; )?(?:fill|stroke): (#[0-9a-f]{6})", scheme))
        for behind in (colours[".page"], colours[".box"]):
            for name in ("text", ".dim", ".head", ".stroke", ".rule", ".runs"):
                assert contrast(colours[name], behind) >= 4.5, (name, behind)


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminance, as WCAG 2 has it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
