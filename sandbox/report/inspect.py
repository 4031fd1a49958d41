"""What a component or module is and asks for, as text and as data for JSON. Facts in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from sandbox import preview1, wasi
from sandbox.component import Facts, Import, Inner, Inside
from sandbox.policy.interfaces import is_importable
from sandbox.report.text import escape, inert
from sandbox.wasi import FAMILIES, Family, Refused

MAX_SHOWN = 100
"""Characters of a name in the text; the data has all of them."""

MAX_FOREIGN = 5
"""Imports of a module that nothing serves and that the text names, or of a component that others have to serve."""

MAX_INNER = 50
"""Components inside a component that the text has; the data has all of them."""

_NOTHING_INSIDE = Inside(components=(), complete=True)
_SERVED = "another component of its policy can serve it, if that says so"

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


def inspect_text(facts: Facts, inside: Inside = _NOTHING_INSIDE) -> str:
    """The facts for a terminal: the first line is the digest and the families that the imports ask for.

    ``inside``: the components that stand in this one.
    """
    classified = _classified(facts)
    lines = [
        f"{facts.digest}  {_list(_families(classified)) or 'asks for nothing'}",
        f"{_cut(escape(facts.path))}: {_kind(facts)}, {_size(facts.size)}",
    ]
    lines += _of_module(facts, classified) if facts.kind == "module" else _of_component(facts, classified, inside)
    return inert("\n".join(lines) + "\n")


def _of_component(facts: Facts, classified: list[tuple[Import, _Verdict]], inside: Inside) -> list[str]:
    lines = []
    if facts.imports:
        rows = [(_cut(escape(item.name)), *_import_columns(item, verdict)) for item, verdict in classified]
        lines += ["", "imports, what a policy grants them under, what they are for", *_table(rows)]
    if facts.exports:
        lines += ["", "exports", *_table([(_cut(escape(item.name)), item.kind) for item in facts.exports])]
    if inside.components:
        lines += ["", "components inside, to all of which a policy grants alike", *_of_inside(inside)]
    refused = [(item, v) for item, v in classified if isinstance(v, Refused) and not _is_callable(item)]
    others = [_cut(escape(item.name)) for item, _ in classified if _is_callable(item)]
    if refused:
        reasons = (f"  {_cut(escape(item.name))}: {verdict.reason}" for item, verdict in refused)
        lines += ["", "It cannot run here:", *reasons]
    elif others:
        more = f" and {len(others) - MAX_FOREIGN:,} more" if len(others) > MAX_FOREIGN else ""
        needs = f"{', '.join(others[:MAX_FOREIGN])}{more}"
        lines += ["", f"By itself it cannot run. Its policy names the components that serve {needs}; types need none."]
    return lines


def _of_inside(inside: Inside) -> Iterator[str]:
    rows = list(_numbered(inside.components, ""))
    for number, inner in rows[:MAX_INNER]:
        yield f"  {number}  {inner.digest}, {_size(inner.size)}"
        if inner.error is not None:
            yield f"     cannot be decoded: {escape(inner.error)}"
            continue
        verdicts: list[tuple[Import, _Verdict]] = [(item, wasi.classify(item.name)) for item in inner.imports]
        yield f"     asks for {_list(_families(verdicts)) or 'nothing'}"
        others = [item.name for item, verdict in verdicts if isinstance(verdict, Refused)]
        exports = [item.name for item in inner.exports]
        for word, names in (("imports", others), ("exports", exports)):
            if names:
                more = f" and {len(names) - MAX_FOREIGN:,} more" if len(names) > MAX_FOREIGN else ""
                yield f"     {word} {', '.join(_cut(escape(name)) for name in names[:MAX_FOREIGN])}{more}"
    if len(rows) > MAX_INNER:
        yield f"  and {len(rows) - MAX_INNER:,} more, which the JSON has"
    if not inside.complete:
        yield "  and others, too many or too deep to be listed"


def _numbered(components: Sequence[Inner], before: str) -> Iterator[tuple[str, Inner]]:
    """Each component with its place: ``2.1`` is the first one inside the second."""
    for number, inner in enumerate(components, 1):
        yield f"{before}{number}", inner
        yield from _numbered(inner.inner, f"{before}{number}.")


def _is_callable(item: Import) -> bool:
    """Whether another component can serve an import of a component."""
    return item.module is None and item.kind == "instance" and is_importable(item.name)


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


def inspect_data(facts: Facts, inside: Inside = _NOTHING_INSIDE) -> dict[str, object]:
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
        "inside": {"components": [_inner_data(inner) for inner in inside.components], "complete": inside.complete},
        "module": _module_data(facts),
    }


def _inner_data(inner: Inner) -> dict[str, object]:
    return {
        "size": inner.size,
        "digest": inner.digest,
        "imports": [{"name": item.name, "kind": item.kind} for item in inner.imports],
        "exports": [{"name": item.name, "kind": item.kind} for item in inner.exports],
        "components": [_inner_data(each) for each in inner.inner],
        "error": inner.error,
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


def _import_columns(item: Import, verdict: _Verdict) -> tuple[str, str]:
    if _is_callable(item):
        return "imports", _SERVED
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
        "meaning": _SERVED if _is_callable(item) else known.meaning if known else None,
        "refused": verdict.reason if isinstance(verdict, Refused) and not _is_callable(item) else None,
        "component": _is_callable(item),
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
