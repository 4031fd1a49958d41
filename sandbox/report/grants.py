"""Several suggested grants as one piece of YAML, each said once.

Only the YAML that events carry is understood: mappings and lists in block or flow style. Anything else is kept as it
is, so that no suggestion is lost, though one may be said twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

DEPTH = 8
"""How deeply nested flow collections are looked into."""

_FLOW = re.compile(r"([A-Za-z_-]+): (?:\{(.+)\}|\[(.+)\])")
_FLOW_TOKEN = re.compile(r"""[,{}\[\]]|"(?:[^"\\]|\\.)*"|'[^']*'|[^"',{}\[\]]+""")
_KEY = re.compile(r"([A-Za-z_-]+):(?: |$)")
_READ = re.compile(r"\baccess: read(?=[,}\n]|$)")
_PRIVATE = re.compile(r"- \{to: (.+), private: true\}")

_Tree = dict[str, "_Tree | None"]
"""A line -> what stands below it; ``None``: nothing can. An item of a list holds its further lines itself."""


def merge(grants: Iterable[str]) -> tuple[str, ...]:
    """The lines of one mapping that says what all of ``grants`` say, each indented from the ``grants`` key."""
    tree: _Tree = {}
    for grant in grants:
        lines = [line for line in grant.split("\n") if line.strip(" ")]
        if lines and lines[0].strip(" ") == "grants:":
            del lines[0]
        _put(tree, _entries(lines))
    return tuple(_lines(tree, ""))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _entries(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each line of the outermost level, with the lines below it."""
    start = 0
    while start < len(lines):
        own = _indent(lines[start])
        head = lines[start][own:]
        end = start + 1
        while (
            end < len(lines)
            and (
                _indent(lines[end]) > own
                # A list may stand at the level of its key.
                or (_indent(lines[end]) == own and lines[end][own:].startswith("- ") and not head.startswith("- "))
            )
        ):
            end += 1
        yield head, lines[start + 1 : end]
        start = end


def _put(tree: _Tree, entries: Iterable[tuple[str, list[str]]]) -> None:
    for head, below in entries:
        if head.startswith("- "):
            own = min(map(_indent, below), default=0)
            _put_item(tree, "\n".join([head, *("  " + line[own:] for line in below)]))
            continue
        flow = _FLOW.fullmatch(head)
        if flow is not None and not below:
            key, mapping, items = flow.groups()
            parts = _parts(mapping or items)
            if parts is not None:
                head, below = f"{key}:", [("  " if mapping else "  - ") + part for part in parts]
        match = _KEY.match(head)
        rival = None if match is None else next((other for other in tree if _is_rival(other, head, match[1])), None)
        if rival is not None:
            tree["# or: " + head] = _tree(below)
        elif head.endswith(":"):
            inner = tree.setdefault(head, {})
            if inner is not None:
                _put(inner, _entries(below))
        else:
            tree[head] = _tree(below) if below else None


def _parts(flow: str) -> list[str] | None:
    """What the outermost commas of a flow collection's inside separate; ``None`` where it is not well formed."""
    parts, depth, end = [""], 0, 0
    for token in _FLOW_TOKEN.finditer(flow):
        if token.start() != end:
            return None
        end = token.end()
        text = token.group()
        depth += (text in "{[") - (text in "}]")
        if not 0 <= depth <= DEPTH:
            return None
        if text == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += text
    stripped = [part.strip(" ") for part in parts]
    return stripped if end == len(flow) and depth == 0 and all(stripped) else None


def _tree(lines: list[str]) -> _Tree:
    tree: _Tree = {}
    _put(tree, _entries(lines))
    return tree


def _is_rival(other: str, head: str, key: str) -> bool:
    """Whether ``other`` gives the same key another value."""
    match = _KEY.match(other)
    return other != head and match is not None and match[1] == key


def _is_wider(item: str, other: str) -> bool:
    """Whether one item of a list grants all that another one does, and more."""
    private = _PRIVATE.fullmatch(item)
    return item != other and (
        _READ.sub("access: write", other) == item or (private is not None and other == f"- {private[1]}")
    )


def _put_item(tree: _Tree, item: str) -> None:
    if any(_is_wider(other, item) for other in tree):
        return
    narrower = next((other for other in tree if _is_wider(item, other)), None)
    if narrower is None:
        tree.setdefault(item, None)
        return
    entries = [(item if head == narrower else head, below) for head, below in tree.items()]
    tree.clear()
    tree.update(entries)


def _lines(tree: _Tree, indent: str) -> Iterator[str]:
    for head, below in tree.items():
        for line in head.split("\n"):
            yield indent + line
        if below:
            yield from _lines(below, indent + ("# " if head.startswith("# or: ") else "  "))
