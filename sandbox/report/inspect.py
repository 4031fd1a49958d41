"""What a component or module is and asks for, as text and as data for JSON. Facts in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from sandbox import preview1, wasi
from sandbox.component import Facts, Import
from sandbox.report.text import escape
from sandbox.wasi import FAMILIES, Family, Refused

MAX_SHOWN = 100
"""Characters of a name in the text; the data has all of them."""

MAX_FOREIGN = 5
"""Imports of a module that nothing serves and that the text names."""

_Verdict: TypeAlias = "wasi.Classification | preview1.Classification"

_USES: dict[Family | None, str] = {
    "filesystem": "opens, reads, changes, lists and removes files",
    "stdio": "reads and writes the standard streams, and what it opened",
    "environment": "reads all environment variables",
    "arguments": "reads its arguments",
    "clocks": "reads clocks and waits",
    "random": "takes secure random numbers, for keys among others",
    "sockets": "uses sockets that its host opened",
    None: "reaches nothing by itself",
}
"""What a module does with the functions of preview 1 of one family."""


def inspect_text(facts: Facts) -> str:
    """The facts for a terminal: the first line is the digest and the families that the imports ask for."""
    classified = _classified(facts)
    lines = [
        f"{facts.digest}  {_list(_families(classified)) or 'asks for nothing'}",
        f"{_cut(escape(facts.path))}: {_kind(facts)}, {_size(facts.size)}",
    ]
    lines += _of_module(facts, classified) if facts.kind == "module" else _of_component(facts, classified)
    return "\n".join(lines) + "\n"


def _of_component(facts: Facts, classified: list[tuple[Import, _Verdict]]) -> list[str]:
    lines = []
    if facts.imports:
        rows = [(_cut(escape(item.name)), *_import_columns(verdict)) for item, verdict in classified]
        lines += ["", "imports, what a policy grants them under, what they are for", *_table(rows)]
    if facts.exports:
        lines += ["", "exports", *_table([(_cut(escape(item.name)), item.kind) for item in facts.exports])]
    refused = [(item, verdict) for item, verdict in classified if isinstance(verdict, Refused)]
    if refused:
        reasons = (f"  {_cut(escape(item.name))}: {verdict.reason}" for item, verdict in refused)
        lines += ["", "It cannot run here:", *reasons]
    return lines


def _of_module(facts: Facts, classified: list[tuple[Import, _Verdict]]) -> list[str]:
    lines = []
    rows = list(_functions(facts, classified))
    if rows:
        lines += ["", "imports, what a policy grants them under, what they are for", *_table(rows)]
    callable_ = _callable(facts)
    if callable_:
        lines += ["", "exports that can be called", *(f"  {_cut(escape(name))}" for name in callable_)]
    sockets = _of_family(facts, "sockets")
    if sockets:
        lines += ["", f"No grant serves {', '.join(sockets)}: a module cannot open a socket."]
    objections = preview1.objections(facts)
    if objections:
        lines += ["", "It cannot run here:", *(f"  it {sentence}" for sentence in objections)]
    elif facts.run_export:
        lines += ["", "It can run here."]
    elif callable_:
        lines += ["", "It can run here, by `sandbox call`."]
    else:
        lines += ["", "It exports nothing that can be run or called."]
    return lines


def _functions(facts: Facts, classified: Iterable[tuple[Import, _Verdict]]) -> Iterator[tuple[str, str]]:
    """The functions that a module imports, a row for each family, then what nothing serves."""
    for family in (*FAMILIES, None):
        chosen = _of_family(facts, family)
        if chosen:
            use = _USES[family] if len(chosen) > 1 else preview1.FUNCTIONS[chosen[0]].meaning
            yield family or "-", f"{use}: {', '.join(chosen)}"
    foreign = [_name(item) for item, verdict in classified if isinstance(verdict, Refused)]
    if foreign:
        more = f", and {len(foreign) - MAX_FOREIGN:,} more" if len(foreign) > MAX_FOREIGN else ""
        yield "refused", f"{', '.join(foreign[:MAX_FOREIGN])}{more}"


def _of_family(facts: Facts, family: Family | None) -> list[str]:
    families = () if family is None else (family,)
    return [name for name in preview1.imported(facts) if preview1.FUNCTIONS[name].families == families]


def _callable(facts: Facts) -> list[str]:
    """The functions that ``sandbox call`` may call in a module."""
    return [e.name for e in facts.exports if e.kind == "func" and e.name not in ("_start", "_initialize")]


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
        "module": _module_data(facts),
    }


def _module_data(facts: Facts) -> dict[str, object] | None:
    """What is true of a module alone: ``refused`` are the sentences on why it cannot run here."""
    if facts.module is None:
        return None
    return {
        "memory": facts.module.memory,
        "start": facts.module.start,
        "initialize": facts.exports_function("_initialize"),
        "callable": _callable(facts),
        "refused": list(preview1.objections(facts)),
    }


def _classified(facts: Facts) -> list[tuple[Import, _Verdict]]:
    """Each import with what WASI 0.2, or for a module preview 1, says of it."""
    if facts.kind == "module":
        return [(item, preview1.classify(item.module or "", item.name, item.kind)) for item in facts.imports]
    return [(item, wasi.classify(item.name)) for item in facts.imports]


def _families(classified: list[tuple[Import, _Verdict]]) -> tuple[Family, ...]:
    asked = {family for _, verdict in classified if not isinstance(verdict, Refused) for family in verdict.families}
    return tuple(family for family in FAMILIES if family in asked)


def _capabilities(classified: list[tuple[Import, _Verdict]]) -> set[str]:
    return {name for _, verdict in classified if not isinstance(verdict, Refused) for name in verdict.capabilities}


def _import_columns(verdict: _Verdict) -> tuple[str, str]:
    if isinstance(verdict, Refused):
        return "refused", ""
    return _list(verdict.families) or "-", verdict.meaning


def _import_data(item: Import, verdict: _Verdict) -> dict[str, object]:
    known = None if isinstance(verdict, Refused) else verdict
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
        if preview1.imports_preview1(facts):
            what = "a module of WASI preview 1"
        else:
            what = "a core module" if facts.imports else "a module without WASI"
        if facts.run_export:
            return f"{what}, a command ({facts.run_export})"
        return f"{what}, {'a reactor (_initialize)' if facts.exports_function('_initialize') else 'no command'}"
    return f"a command ({escape(facts.run_export)})" if facts.run_export else "a component without a command to run"


def _size(size: int) -> str:
    return f"{size} bytes" if size != 1 else "1 byte"


def _name(item: Import) -> str:
    return preview1.quoted(item.module or "", item.name)


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
