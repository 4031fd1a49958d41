"""A program as a picture: a tree for a terminal, a flowchart in Mermaid, and data for other programs.

What components are granted stands beside what they can reach in the end, over those that they import from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import dumps

from sandbox.policy.graph import Edge, Graph, Way
from sandbox.policy.model import Grants, Wire
from sandbox.policy.wiring import route_of
from sandbox.report.granted import Granted, denied, granted
from sandbox.report.text import NARROWEST, plain
from sandbox.report.wrap import wrap

VERSION = 1
GRANTS = 200
"""Grants of one component that are shown; the data has all of them."""
REACHED = 24
"""Grants of another component that are shown of what is reached."""
ITEMS = 16
"""Grants in a box, and interfaces at an arrow, of a picture."""
WAYS = 40
"""Components that a box of a picture says are reached."""
LONGEST = 200
"""Characters of one thing that are shown; the middle of a longer one gives way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """What a picture says of one node. Every text is escaped, of bounded length, and one of a bounded number."""

    name: str
    note: str
    """``runs``, or the path of a component that serves another one: ``app>ledger``; else empty."""
    granted: tuple[str, ...]
    reached: tuple[str, ...]
    """``ledger>auth: reads /keys, writes /log``"""
    imports: bool
    """Whether there is anybody to reach something through."""
    runs: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What a picture says of one edge, as of a box."""

    interfaces: tuple[str, ...]
    note: str
    """``shared instance``, or ``own instance``"""


def boxes(graph: Graph) -> tuple[Box, ...]:
    """One for each node."""
    reach, short = graph.reach(), _short(graph)
    importers = {edge.importer for edge in graph.edges}
    return tuple(
        Box(
            name=_shown(node.component.name),
            note="runs" if node.runs else _shown(node.name) if len(node.path) > 1 else "",
            granted=tuple(_few([*_own(node.component.grants), *_denied(node.component.grants)], ITEMS)),
            reached=tuple(_few(_each(_ways(reach[number], graph, short)), WAYS)),
            imports=number in importers,
            runs=node.runs,
        )
        for number, node in enumerate(graph.nodes)
    )


def labels(graph: Graph) -> tuple[Label, ...]:
    """One for each edge."""
    return tuple(
        Label(
            interfaces=tuple(_few([part for wire in edge.wires for part in _interface(wire)], ITEMS)),
            note="own instance" if edge.own else "shared instance",
        )
        for edge in graph.edges
    )


def graph_text(graph: Graph, *, width: int, ascii_only: bool = False) -> str:
    """The graph as a tree for a terminal of ``width`` columns; each line ends with a newline.

    An instance stands below the importer that its path names, with all that is below it; the others refer to it.
    """
    return "".join(f"{line}\n" for line in _Tree(graph, max(width, NARROWEST), ascii_only).lines())


def graph_mermaid(graph: Graph) -> str:
    """The graph as a flowchart of Mermaid, in ASCII; outside text is nothing but text there."""
    lines = ["flowchart LR"]
    for number, box in enumerate(boxes(graph)):
        said = [box.name, *([box.note] if box.note else []), *(box.granted or ("nothing granted",))]
        said += [f"can reach through {one}" for one in box.reached]
        said += ["can reach nothing more"] if box.imports and not box.reached else []
        lines.append(f'  n{number}["{"<br/>".join(map(_mermaid, said))}"]')
    for edge, label in zip(graph.edges, labels(graph), strict=True):
        said = [*label.interfaces, label.note]
        text = "<br/>".join(map(_mermaid, said))
        lines.append(f'  n{edge.importer} -->|"{text}"| n{edge.exporter}')
    running = [number for number, node in enumerate(graph.nodes) if node.runs]
    lines += [f"  style n{number} stroke-width:3px" for number in running]
    return "\n".join(lines) + "\n"


def graph_data(graph: Graph) -> str:
    """The graph as one line of ASCII JSON, its newline included. Nothing is shortened, and nothing escaped but by JSON.

    Nodes are told by their places in ``instances``.
    """
    policy = graph.policy
    used = {node.component.name for node in graph.nodes}
    reach = graph.reach()
    values = {
        "version": VERSION,
        "policy": policy.file,
        "run": policy.run,
        "components": [
            {
                "name": component.name,
                "source": component.source,
                "line": policy.place(f"components.{component.name}").line,
                "grants": [
                    {"capability": one.capability, "text": one.text, "detail": one.detail}
                    for one in granted(component.grants)
                ],
                "denied": list(denied(component.grants)),
            }
            for component in policy.components
            if component.name in used
        ],
        "instances": [
            {
                "path": node.name,
                "component": node.component.name,
                "reaches": [{"instance": way.node, "through": ">".join(way.through)} for way in reach[number]],
            }
            for number, node in enumerate(graph.nodes)
        ],
        "imports": [
            {
                "from": edge.importer,
                "to": edge.exporter,
                "interface": wire.interface,
                "instance": "own" if wire.own else "shared",
                "only": None if wire.only is None else list(wire.only),
                "line": policy.place(route_of(graph.nodes[edge.importer].component.name, wire)).line,
            }
            for edge in graph.edges
            for wire in edge.wires
        ],
    }
    return dumps(values, separators=(",", ":"), allow_nan=False).replace("\x7f", "\\u007f") + "\n"


class _Tree:
    def __init__(self, graph: Graph, width: int, ascii_only: bool) -> None:
        self.graph, self.width = graph, width
        self.down, self.fork, self.last = ("|  ", "|- ", "`- ") if ascii_only else ("│  ", "├─ ", "└─ ")
        self.reach, self.short = graph.reach(), _short(graph)
        self.edges: dict[int, list[Edge]] = {}
        for edge in graph.edges:
            self.edges.setdefault(edge.importer, []).append(edge)

    def lines(self) -> Iterator[str]:
        for number, node in enumerate(self.graph.nodes):
            if len(node.path) == 1:
                if number:
                    yield ""
                yield from self._node(number, None, "", "")

    def _node(self, number: int, over: Edge | None, lead: str, indent: str) -> Iterator[str]:
        """A node with all below it: ``lead`` stands before its name, ``indent`` before the other lines."""
        node = self.graph.nodes[number]
        notes = ["runs"] if node.runs else []
        notes += [] if over is None else [_instance(over)]
        yield from self._wrapped(f"{_shown(node.component.name)}{_bracketed(notes)}", lead, indent)
        below = self.edges.get(number, [])
        facts = indent + (self.down if below else "   ")
        if over is not None:
            yield from self._over(over, facts)
        own = list(_few(_own(node.component.grants), GRANTS))
        yield from self._wrapped(f"granted: {', '.join(own) or 'nothing'}", facts, facts)
        for text in _few(_denied(node.component.grants), GRANTS):
            yield from self._wrapped(text, facts, facts)
        reached = list(_ways(self.reach[number], self.graph, self.short))
        for through, grants in reached:
            yield from self._wrapped(f"can reach through {through}: {', '.join(grants)}", facts, facts)
        if below and not reached:
            yield from self._wrapped("can reach nothing more", facts, facts)
        for place, edge in enumerate(below):
            at_end = place == len(below) - 1
            branch, on = indent + (self.last if at_end else self.fork), indent + ("   " if at_end else self.down)
            exporter = self.graph.nodes[edge.exporter]
            if exporter.path[:-1] == node.path:
                yield from self._node(edge.exporter, edge, branch, on)
            else:
                # It has a shorter path than over this importer, or one that the policy has before.
                yield from self._wrapped(f"{_shown(exporter.name)}, the same instance", branch, on)
                yield from self._over(edge, on + "   ")

    def _over(self, edge: Edge, indent: str) -> Iterator[str]:
        for said in _few([", ".join(_interface(wire)) for wire in edge.wires], GRANTS):
            yield from self._wrapped(f"by {said}", indent, indent)

    def _wrapped(self, text: str, first: str, indent: str) -> Iterator[str]:
        # However deep the tree is, something must be readable beside it.
        room = max(self.width - len(indent), NARROWEST // 2)
        for number, line in enumerate(wrap(text, room, hang=2)):
            yield (indent if number else first) + line


def _instance(edge: Edge) -> str:
    return "own instance" if edge.own else "shared instance"


def _bracketed(notes: Sequence[str]) -> str:
    return f" ({', '.join(notes)})" if notes else ""


def _own(grants: Grants) -> list[str]:
    """All that is granted, in whole."""
    return [_whole(one) for one in granted(grants)]


def _denied(grants: Grants) -> list[str]:
    return [f"never reaches {_shown(host)}" for host in denied(grants)]


def _whole(one: Granted) -> str:
    # Shortened apart, so that no long path of the guest's hides which one of the host's it is.
    return f"{_shown(one.text)} ({_shown(one.detail)})" if one.detail else _shown(one.text)


def _short(graph: Graph) -> dict[str, list[str]]:
    """What each component is granted, by its name, without the details."""
    components = {node.component.name: node.component for node in graph.nodes}
    return {
        name: list(_few([_shown(one.text) for one in granted(component.grants)], REACHED))
        for name, component in components.items()
    }


def _ways(ways: Sequence[Way], graph: Graph, short: Mapping[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Each component that is reached and granted something: over whom, and its grants."""
    for way in ways:
        grants = short[graph.nodes[way.node].component.name]
        if grants:
            yield _shown(">".join(way.through)), grants


def _each(ways: Iterable[tuple[str, list[str]]]) -> list[str]:
    return [f"{through}: {', '.join(grants)}" for through, grants in ways]


def _interface(wire: Wire) -> Iterator[str]:
    """``bank:payments/auth``, and ``only validate-user`` where not all of it may be called."""
    yield _shown(wire.interface)
    if wire.only is not None:
        yield f"only {', '.join(_few([_shown(name) for name in wire.only], ITEMS))}"


def _few(texts: Sequence[str], most: int) -> Iterator[str]:
    """``texts``; of more than ``most`` the first, and how many there are beside these."""
    if len(texts) <= most:
        yield from texts
    else:
        yield from texts[: most - 1]
        yield f"and {len(texts) - most + 1:,} more"


def _shown(text: str) -> str:
    text = plain(text)
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


# What begins with a sign could be a list of Markdown. Mermaid cuts the last semicolon off lines that hold one of the
# words before a colon and a number sign, wherever they stand.
_MEANS = re.compile(r"^[^A-Za-z0-9]|[^A-Za-z0-9 ./:,-]|style|classDef")


def _mermaid(text: str) -> str:
    """``text`` as Mermaid shows it in a quoted label: whatever could mean something there stands as a number."""
    return _MEANS.sub(lambda found: f"#{ord(found[0][0])};{found[0][1:]}", text)
