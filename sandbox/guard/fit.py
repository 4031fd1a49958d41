"""Whether two components fit: what one imports against what another exports, as Wasmtime's reflection tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wasmtime import Engine, WasmtimeError
from wasmtime import component as wasm

from sandbox.component import codeless
from sandbox.guard import types as ty
from sandbox.guard.reflect import Imports, Interface, Item, Reader, Resource, Unsupported
from sandbox.guard.wat import Nominal

MAX_SIDE = 200
"""Characters that a sentence spends on the type that one side has."""
MAX_WORD = 100
"""Characters of one name in a type."""
MAX_REASON = 300
"""Characters of what Wasmtime says."""
_PLACE = re.compile(r" \(at offset 0x[0-9a-f]+\)")
_LEAD = 60
"""Characters that are shown before the place where two long types differ."""


@dataclass(frozen=True, slots=True)
class Exports:
    """What a component exports that others can import."""

    imports: Imports
    """What it imports, in the same numbering of resources; as ``reflect`` gives it."""
    interfaces: Mapping[str, Interface]
    """Name -> interface, of each exported instance that holds types and functions."""
    resources: tuple[Resource, ...]
    """Those of ``imports``, then its own with the first export that names each."""
    unread: Mapping[str, str]
    """Name -> why not, of the other exported instances."""

    def owns(self, resource: int) -> bool:
        """Whether the component defines the resource, and does not import it."""
        return resource >= len(self.imports.resources)


def exports_of(engine: Engine, component: bytes) -> Exports:
    """Read what ``component`` imports and exports, whatever the size of its code.

    Raises ``Unsupported`` where its imports are none that a guard can stand in front of, and where Wasmtime refuses it;
    ``ComponentError`` where it is malformed.
    """
    try:
        whole = wasm.Component(engine, codeless(component)).type
    except WasmtimeError as error:
        raise Unsupported(f"Wasmtime refuses its types: {reason(error)}") from None
    reader = Reader()
    imports = reader.imports(engine, whole)
    interfaces: dict[str, Interface] = {}
    unread: dict[str, str] = {}
    for name, extern in whole.exports(engine).items():
        if isinstance(extern.ty, wasm.ComponentInstanceType):
            try:
                interfaces[name] = reader.interface(engine, name, extern.ty)
            except Unsupported as error:
                unread[name] = str(error)
    return Exports(imports, interfaces, tuple(reader.resources), unread)


def reason(error: WasmtimeError) -> str:
    """What Wasmtime has against a component without code, without the places: they are none of the whole one's."""
    lines = [_PLACE.sub("", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and line != "Caused by:"]
    return "; ".join(told[1:] or told)[:MAX_REASON]


def misfit(
    wanted: Interface, imports: Imports, offered: Interface, exports: Exports, server: str | None = None
) -> str | None:
    """Why an import cannot be served by an export, in one sentence about the importer; ``None``: it can.

    The rules are Wasmtime's: every function and type that is imported is exported under the same name, with the same
    types and the same names of parameters. A resource that both interfaces name is one by that name, except that one
    of WASI's is WASI's on both sides. ``server`` is what the sentence calls the exporter.

    Not seen here: that two components mean different instances of a third by one resource, and whether a function is
    asynchronous, which Wasmtime's reflection does not tell.
    """
    other = shortened(server or offered.name)
    have = dict(offered.exports)
    for name, _ in wanted.exports:
        if name not in have:
            return f"it imports {shortened(name)}, which {other} does not export"
    matched = _matched(wanted, imports, offered, exports)
    ordered = sorted(wanted.exports, key=lambda export: not isinstance(export[1], ty.Function))
    for name, item in ordered:
        if not _equal(item, have[name], matched):
            ours, theirs = _sides(item, wanted, imports.resources, have[name], offered, exports.resources)
            return f"{shortened(name)}: it imports {ours}, and {other} exports {theirs}"
    return None


def _matched(wanted: Interface, imports: Imports, offered: Interface, exports: Exports) -> dict[int, int]:
    """The exporter's number for each of the importer's resources that has one."""
    have = dict(offered.exports)
    matched: dict[int, int] = {}
    for name, item in wanted.exports:
        resource = have[name]
        if isinstance(item, int) and isinstance(resource, int) and _may_be(wanted, imports, item, exports, resource):
            matched.setdefault(item, resource)
    # Functions may also speak of resources that their own interface does not name.
    numbers: dict[tuple[str, str], int] = {}
    for number, r in enumerate(exports.resources):
        if not (exports.owns(number) and r.interface.startswith("wasi:")):
            numbers.setdefault((_base(r.interface), r.name), number)
    for number, r in enumerate(imports.resources):
        if (_base(r.interface), r.name) in numbers:
            matched.setdefault(number, numbers[_base(r.interface), r.name])
    return matched


def _may_be(wanted: Interface, imports: Imports, item: int, exports: Exports, resource: int) -> bool:
    """Whether the two can be one type. What comes from WASI can only be what the exporter has from WASI as well."""
    ours, theirs = imports.resources[item], exports.resources[resource]
    if ours.interface == wanted.name or not ours.interface.startswith("wasi:"):
        return True
    return not exports.owns(resource) and theirs.interface.startswith("wasi:") and theirs.name == ours.name


def _equal(item: Item, other: Item, matched: Mapping[int, int]) -> bool:
    match item:
        case int(resource):
            return isinstance(other, int) and matched.get(resource) == other
        case ty.Function(params, result):
            return isinstance(other, ty.Function) and other == ty.Function(
                tuple((n, _renumbered(t, matched)) for n, t in params),
                None if result is None else _renumbered(result, matched),
            )
        case _:
            return _renumbered(item, matched) == other


def _renumbered(t: ty.Type, matched: Mapping[int, int]) -> ty.Type:
    """``t`` in the exporter's numbers; what has none there gets one that nothing has."""
    return ty.renumbered(t, {number: matched.get(number, -1) for number in ty.resources(t)})


def _base(interface: str) -> str:
    return interface.partition("@")[0]


def _sides(
    item: Item,
    wanted: Interface,
    ours: tuple[Resource, ...],
    other: Item,
    offered: Interface,
    theirs: tuple[Resource, ...],
) -> tuple[str, str]:
    """Both sides as briefly as shows the difference: with the interfaces' own names for types, else spelt out."""
    shown = Wit(ours, _names(wanted)).item(item), Wit(theirs, _names(offered)).item(other)
    if shown[0] == shown[1]:
        shown = Wit(ours, {}).item(item), Wit(theirs, {}).item(other)
    if shown[0] == shown[1]:
        shown = Wit(ours, {}, origins=True).item(item), Wit(theirs, {}, origins=True).item(other)
    if max(map(len, shown)) <= MAX_SIDE:
        return shown
    at = next((n for n, (a, b) in enumerate(zip(*shown, strict=False)) if a != b), min(map(len, shown)))
    start = max(at - _LEAD, 0)
    return _cut(shown[0], start), _cut(shown[1], start)


def _cut(text: str, start: int) -> str:
    end = start + MAX_SIDE - 6
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")


def _names(interface: Interface) -> dict[ty.Type, str]:
    """What the interface calls those types that have a name of their own."""
    names: dict[ty.Type, str] = {}
    for name, item in interface.exports:
        if isinstance(item, Nominal):
            names.setdefault(item, name)
    return names


def shortened(name: str) -> str:
    """A name as a sentence has room for it."""
    return name if len(name) <= MAX_WORD else name[: MAX_WORD - 3] + "..."


@dataclass(frozen=True, slots=True)
class Wit:
    """Prints types as WIT does. ``names``: what to call a type instead of spelling it out."""

    resources: tuple[Resource, ...]
    names: Mapping[ty.Type, str]
    origins: bool = False
    """Whether a resource is called by its interface too."""

    def item(self, item: Item) -> str:
        """An interface's export; a named type is spelt out, since its name is known."""
        match item:
            case int(resource):
                return f"the resource {self._resource(resource)}" if self.origins else "a resource"
            case ty.Function():
                return self.function(item)
            case _:
                return self._spelt(item)

    def function(self, f: ty.Function) -> str:
        params = ", ".join(f"{shortened(n)}: {self.type(t)}" for n, t in f.params)
        return f"func({params})" + ("" if f.result is None else f" -> {self.type(f.result)}")

    def type(self, t: ty.Type) -> str:
        name = self.names.get(t)
        return self._spelt(t) if name is None else shortened(name)

    def _spelt(self, t: ty.Type) -> str:
        match t:
            case ty.Scalar(name):
                return name
            case ty.String():
                return "string"
            case ty.List(element):
                return f"list<{self.type(element)}>"
            case ty.Tuple(elements):
                return f"tuple<{', '.join(map(self.type, elements))}>"
            case ty.Record(fields):
                return f"record {{ {', '.join(f'{shortened(n)}: {self.type(x)}' for n, x in fields)} }}"
            case ty.Variant(cases):
                return f"variant {{ {', '.join(shortened(n) + self._payload(p) for n, p in cases)} }}"
            case ty.Enum(names):
                return f"enum {{ {', '.join(map(shortened, names))} }}"
            case ty.Flags(names):
                return f"flags {{ {', '.join(map(shortened, names))} }}"
            case ty.Option(payload):
                return f"option<{self.type(payload)}>"
            case ty.Result(None, None):
                return "result"
            case ty.Result(ok, None) if ok is not None:
                return f"result<{self.type(ok)}>"
            case ty.Result(ok, error) if error is not None:
                return f"result<{'_' if ok is None else self.type(ok)}, {self.type(error)}>"
            case ty.Own(resource):
                return self._resource(resource)
            case ty.Borrow(resource):
                return f"borrow<{self._resource(resource)}>"
        raise AssertionError(t)

    def _payload(self, t: ty.Type | None) -> str:
        return "" if t is None else f"({self.type(t)})"

    def _resource(self, number: int) -> str:
        resource = self.resources[number]
        name = shortened(resource.name)
        return f"{shortened(resource.interface)}.{name}" if self.origins else name
