"""What a component is and asks for, as text and as data for JSON. Facts in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.component import Facts, Import
from sandbox.report.text import escape
from sandbox.wasi import FAMILIES, Classification, Family, Known, Refused, classify

MAX_SHOWN = 100
"""Characters of a name in the text; the data has all of them."""

_NO_FAMILY = {"component": "asks for nothing", "module": "not a component"}
_IMPORTS = {"component": "imports, what a policy grants them under, what they are for", "module": "imports"}


def inspect_text(facts: Facts) -> str:
    """The facts for a terminal: the first line is the digest and the families that the imports ask for."""
    classified = _classified(facts)
    lines = [
        f"{facts.digest}  {_list(_families(classified)) or _NO_FAMILY[facts.kind]}",
        f"{_cut(escape(facts.path))}: {_kind(facts)}, {_size(facts.size)}",
    ]
    if facts.imports:
        rows = [(_name(item), *_import_columns(item, verdict)) for item, verdict in classified]
        lines += ["", _IMPORTS[facts.kind], *_table(rows)]
    if facts.exports:
        lines += ["", "exports", *_table([(_cut(escape(item.name)), item.kind) for item in facts.exports])]
    refused = [(item, verdict) for item, verdict in classified if isinstance(verdict, Refused)]
    if refused:
        lines += ["", "It cannot run here:", *(f"  {_name(item)}: {verdict.reason}" for item, verdict in refused)]
    if facts.kind == "module":
        lines += ["", "It cannot run here as it is: a core module is made into a component with `jco new`."]
    return "\n".join(lines) + "\n"


def inspect_data(facts: Facts) -> dict[str, object]:
    """The facts as plain data: names as they are, all of them; JSON's own escapes make them safe to print."""
    classified = _classified(facts)
    return {
        "path": facts.path,
        "kind": facts.kind,
        "size": facts.size,
        "digest": facts.digest,
        "command": facts.run_export,
        "families": list(_families(classified)),
        "capabilities": sorted(_capabilities(classified)),
        "imports": [_import_data(item, verdict) for item, verdict in classified],
        "exports": [{"name": item.name, "kind": item.kind} for item in facts.exports],
    }


def _classified(facts: Facts) -> list[tuple[Import, Classification | None]]:
    """Each import with what WASI 0.2 says of it; ``None`` for a core module's, which no policy names."""
    return [(item, classify(item.name) if facts.kind == "component" else None) for item in facts.imports]


def _families(classified: list[tuple[Import, Classification | None]]) -> tuple[Family, ...]:
    asked = {family for _, verdict in classified if isinstance(verdict, Known) for family in verdict.families}
    return tuple(family for family in FAMILIES if family in asked)


def _capabilities(classified: list[tuple[Import, Classification | None]]) -> set[str]:
    return {name for _, verdict in classified if isinstance(verdict, Known) for name in verdict.capabilities}


def _import_columns(item: Import, verdict: Classification | None) -> tuple[str, str]:
    if verdict is None:
        return item.kind, ""
    if isinstance(verdict, Refused):
        return "refused", ""
    return _list(verdict.families) or "-", verdict.meaning


def _import_data(item: Import, verdict: Classification | None) -> dict[str, object]:
    known = verdict if isinstance(verdict, Known) else None
    return {
        "module": item.module,
        "name": item.name,
        "kind": item.kind,
        "families": list(known.families) if known else [],
        "capabilities": list(known.capabilities) if known else [],
        "meaning": known.meaning if known else None,
        "refused": verdict.reason if isinstance(verdict, Refused) else None,
    }


def _kind(facts: Facts) -> str:
    if facts.kind == "module":
        return "a core module"
    return f"a command ({escape(facts.run_export)})" if facts.run_export else "a component without a command to run"


def _size(size: int) -> str:
    return f"{size} bytes" if size != 1 else "1 byte"


def _name(item: Import) -> str:
    return _cut(escape(item.name if item.module is None else f"{item.module} {item.name}"))


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
