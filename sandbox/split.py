"""A component that other tools composed of several, taken apart: its parts, and the policy that wires them as it did.

Pure: bytes in, values out. The bytes are hostile; what cannot be followed, or what a policy cannot say, ends in a
``SplitError`` with a sentence. A part is a component inside that has code of its own. What is around and between the
parts may only hand on what others export: it is walked through as if it were instantiated, and nothing is left of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sandbox.component import (
    Buffer,
    ComponentError,
    Export,
    ExternKind,
    Facts,
    Reader,
    extern_name,
    extern_sort,
    extern_type,
    facts_of,
    kind_of,
    sections,
)
from sandbox.policy.interfaces import is_importable, satisfies
from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import MAX_CHAIN, MAX_COMPONENTS, MAX_INSTANCES
from sandbox.program import Layout, lay_out

MAX_DEFINITIONS = 100_000
"""Imports, types, aliases, instances, what these are given, and exports: each counts as often as it is walked past."""
MAX_WALKED = 500_000
"""Sections, likewise."""
MAX_DEPTH = 8
"""Compositions inside compositions that are taken apart; a deeper one is a part as it is."""
MAX_SUBSECTIONS = 16
"""Parts of a custom section that are looked at for names; there is one for each sort of what has any."""
MAX_LABELS = 1000
"""Names of components and instances that are read there; others have none."""
MAX_SHOWN = 100
"""Characters of a name in a sentence."""

POLICY_FILE = "policy.yaml"

_CUSTOM, _CORE_MODULE, _CORE_INSTANCE, _CORE_TYPE, _NESTED, _INSTANCE = 0, 1, 2, 3, 4, 5
_ALIAS, _TYPE, _CANON, _START, _IMPORT, _EXPORT, _VALUE = 6, 7, 8, 9, 10, 11, 12
_OWN = {
    _CORE_MODULE: "it has code of its own, beside that of any parts",
    _CORE_INSTANCE: "it has code of its own, beside that of any parts",
    _CANON: "it has functions of its own, beside those of any parts",
    _START: "it calls a function when it starts, which no policy says",
    _VALUE: "it holds values of its own, which no policy says",
}
"""What only a component with more in it than parts and wires has."""
_KINDS: tuple[ExternKind, ...] = ("module", "func", "value", "type", "component", "instance")
_LABELLED: Mapping[int, ExternKind] = {4: "component", 5: "instance"}
"""What of the custom section of names matters here."""
_CORE, _CORE_MODULE_SORT = 0x00, 0x11

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NO_NAME = re.compile(r"[^a-z0-9_]+")
_COUNTED = re.compile("[a-z]?[0-9]*")
"""What a tool calls an instance that was given no name, ``p3``."""


class SplitError(Exception):
    """The component cannot be taken apart. ``str`` is one sentence, which does not name it."""


class _ExcessError(SplitError):
    """It is too much, whichever way it is taken apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """What a component is composed of."""

    policy: Policy
    """Its program, the component that runs first. Nothing is granted; each ``source`` is one of ``files``."""
    files: Mapping[str, memoryview]
    """The parts by names for files, each as it stands inside."""
    facts: Mapping[str, Facts]
    """By the names of the policy's components."""
    unused: int
    """Components inside that nothing instantiates, which are left out."""


class _Outside(NamedTuple):
    """An instance that the whole imports."""

    name: str


class _Whole(NamedTuple):
    """An instance of a part, with all that it exports."""

    instance: int


class _Exported(NamedTuple):
    """What an instance of a part exports."""

    instance: int
    name: str


class _Bundle(NamedTuple):
    """An instance that has no code, and hands on what others export."""

    exports: _Items


class _Nested(NamedTuple):
    """A component inside."""

    at: int
    """Its first byte in the file."""
    data: memoryview
    label: str
    """What those call it who composed it; else nothing."""


class _Unknown(NamedTuple):
    """What is not followed. It may stand there, as long as no part is given it."""


_Value: TypeAlias = "_Outside | _Whole | _Exported | _Bundle | _Nested | _Unknown"
_Items: TypeAlias = "Mapping[tuple[str, ExternKind], _Value]"
_UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class _Instance:
    """An instance of a part."""

    nested: _Nested
    labels: tuple[str, ...]
    """What it may be called, the best first."""
    wires: Mapping[str, _Exported]
    """Its imports that other parts serve."""


class _Part(NamedTuple):
    """What is to be known of a part, once for all of its instances."""

    facts: Facts
    exports: frozenset[Export]
    label: str
    """What it calls itself; else nothing."""
    interface: str
    """The first that it exports for others to import; else nothing."""


def split(data: Buffer) -> Split:
    """The parts of a component, and the policy that wires them.

    Compositions inside it are taken apart as well, unless only the whole way is barred by that. Raises ``SplitError``,
    and ``ComponentError`` for what is malformed.
    """
    if kind_of(data) != "component":
        raise SplitError("it is a core module, which is not composed of components")
    try:
        return _split(memoryview(data), MAX_DEPTH)
    except _ExcessError:
        raise
    except SplitError:
        return _split(memoryview(data), 0)


def _split(data: memoryview, depth: int) -> Split:
    walk = _Walk(depth)
    exports = walk.through(_Nested(0, data, ""), None, 0)
    root = _root(exports, walk)
    order = _order(walk, root)
    if len(order) < len(walk.instances):
        idle = next(number for number in range(len(walk.instances)) if number not in order)
        raise SplitError(
            f"{walk.called(idle)} is instantiated in it and serves no other part of it,"
            " and the programs of a policy have no such component"
        )
    _check_chain(walk)
    shared = _shared(walk)
    return (
        (None if shared is None else _program(walk, order, lambda n: walk.instances[n].nested.at, shared))
        or _program(walk, order, lambda n: n, frozenset(order))
        or _not_said()
    )


def _not_said() -> Split:
    raise SplitError("its parts are wired in a way that no policy says: one imports from another's older version")


class _Walk:
    """One way through a component, with the instances of parts that are made on it, each behind those it imports from.

    ``depth``: levels of compositions inside it that are walked through.
    """

    def __init__(self, depth: int) -> None:
        self.instances: list[_Instance] = []
        self.unused = 0
        self._depth = depth
        self._used: set[int] = set()
        self._parts: dict[int, _Part] = {}
        self._hollow: dict[int, bool] = {}
        self._definitions = self._sections = 0

    def through(self, component: _Nested, given: _Items | None, level: int) -> _Items:
        """What an instance of a component without code exports. ``given``: what it imports; the whole is given none."""
        data = component.data
        found = self._sections_of(data)
        if not any(identity == _NESTED for identity, _, _, _ in found):
            raise SplitError("there is no component inside it")
        named = _labels(data, found)
        self._define(len(named))
        labels = dict(named)
        spaces: dict[ExternKind, list[_Value]] = {kind: [] for kind in _KINDS}
        exports: dict[tuple[str, ExternKind], _Value] = {}
        reader = Reader(data, 0, 0)
        for identity, _, reader.position, reader.end in found:
            if identity in _OWN:
                raise SplitError(_OWN[identity])
            if identity == _NESTED:
                self._define(1)
                label = labels.get(("component", len(spaces["component"])), "")
                nested = data[reader.position : reader.end]
                spaces["component"].append(_Nested(component.at + reader.position, nested, label))
                continue
            if identity in (_CUSTOM, _CORE_TYPE):
                continue
            count = reader.u32()
            if count > reader.end - reader.position:  # none takes less than a byte
                raise ComponentError(f"{count} definitions are announced before byte {reader.position}; that cannot be")
            self._define(count)
            if identity == _TYPE:
                spaces["type"] += [_UNKNOWN] * count
                continue
            for _ in range(count):
                if identity == _IMPORT:
                    name, kind = extern_name(reader), extern_type(reader)
                    spaces[kind].append(_imported(name, kind, given))
                elif identity == _ALIAS:
                    self._alias(reader, spaces)
                elif identity == _EXPORT:
                    name, kind, value = _export(reader, spaces)
                    if reader.byte():
                        extern_type(reader)
                    exports[name, kind] = value
                    spaces[kind].append(value)
                else:
                    label = labels.get(("instance", len(spaces["instance"])), "")
                    spaces["instance"].append(self._instance(reader, spaces, label, level))
            reader.finish()
        if level == 0:
            inside = (value for value in spaces["component"] if isinstance(value, _Nested))
            self.unused = len({value.at for value in inside} - self._used)
        return exports

    def called(self, instance: int) -> str:
        """How a sentence names an instance."""
        made = self.instances[instance]
        return _called(made.nested, made.labels)

    def exports(self, instance: int) -> frozenset[Export]:
        return self._part(self.instances[instance].nested).exports

    def facts(self, instance: int) -> Facts:
        return self._part(self.instances[instance].nested).facts

    def _sections_of(self, data: memoryview) -> list[tuple[int, int, int, int]]:
        found = []
        for section in sections(data):
            self._sections += 1
            if self._sections > MAX_WALKED:
                raise _ExcessError(f"it takes a walk past more than {MAX_WALKED:,} sections")
            found.append(section)
        return found

    def _define(self, count: int) -> None:
        self._definitions += count
        if self._definitions > MAX_DEFINITIONS:
            raise _ExcessError(f"it takes a walk past more than {MAX_DEFINITIONS:,} definitions")

    def _alias(self, reader: Reader, spaces: dict[ExternKind, list[_Value]]) -> None:
        """Read an alias. What is core's, the module aside, is of use to none who has no code."""
        start = reader.position
        if reader.data[start : start + 1] == bytes([_CORE]) and reader.end - start > 1:
            reader.position += 1
            kind: ExternKind | None = "module" if reader.byte() == _CORE_MODULE_SORT else None
        else:
            kind = extern_sort(reader)
        target = reader.byte()
        value: _Value = _UNKNOWN
        if target == 0:
            instance, name = _at(spaces, "instance", reader.u32()), reader.name()
            if kind is not None:
                value = self._exported(instance, name, kind)
        elif target == 2:
            level, index = reader.u32(), reader.u32()
            if level == 0 and kind is not None:
                value = _at(spaces, kind, index)
        else:
            raise SplitError(_OWN[_CORE_INSTANCE])
        if kind is not None:
            spaces[kind].append(value)

    def _exported(self, instance: _Value, name: str, kind: ExternKind) -> _Value:
        if isinstance(instance, _Bundle):
            if (name, kind) not in instance.exports:
                raise ComponentError(f"{_shown(name)} is taken from an instance that does not export it")
            return instance.exports[name, kind]
        if isinstance(instance, _Whole):
            if Export(name, kind) not in self.exports(instance.instance):
                raise ComponentError(
                    f"{_shown(name)} is taken from {self.called(instance.instance)}, which does not export it"
                )
            return _Exported(instance.instance, name)
        return _UNKNOWN

    def _instance(self, reader: Reader, spaces: dict[ExternKind, list[_Value]], label: str, level: int) -> _Value:
        form = reader.byte()
        if form > 1:
            raise ComponentError(f"an instance in an unknown form 0x{form:02x} at byte {reader.position - 1}")
        component = _at(spaces, "component", reader.u32()) if form == 0 else None
        items: dict[tuple[str, ExternKind], _Value] = {}
        count = reader.u32()
        if count > reader.end - reader.position:
            raise ComponentError(f"{count} arguments are announced before byte {reader.position}; that cannot be")
        self._define(count)
        for _ in range(count):
            name = reader.name() if form == 0 else extern_name(reader)
            kind = extern_sort(reader)
            items[name, kind] = _at(spaces, kind, reader.u32())
        if component is None:
            return _Bundle(items)
        if not isinstance(component, _Nested):
            raise SplitError("it instantiates a component that does not stand inside it")
        self._used.add(component.at)
        if level < self._depth and self._is_hollow(component):
            before = len(self.instances)
            try:
                return _Bundle(self.through(component, items, level + 1))
            except _ExcessError:
                raise
            except (SplitError, ComponentError):
                del self.instances[before:]
        return self._made(component, items, label)

    def _is_hollow(self, component: _Nested) -> bool:
        """Whether it is worth a try to walk through a component: it instantiates others, and has no code."""
        if component.at not in self._hollow:
            try:
                found = {identity for identity, _, _, _ in self._sections_of(component.data)}
                self._hollow[component.at] = {_NESTED, _INSTANCE} <= found and not found & _OWN.keys()
            except ComponentError:
                self._hollow[component.at] = False
        return self._hollow[component.at]

    def _part(self, nested: _Nested) -> _Part:
        if nested.at not in self._parts:
            if kind_of(nested.data) != "component":
                raise ComponentError(f"a core module at byte {nested.at}, where a component has to be")
            facts = facts_of("", nested.data)
            found = self._sections_of(nested.data)
            self._parts[nested.at] = _Part(
                facts=facts,
                exports=frozenset(facts.exports),
                label=_own_label(nested.data, found),
                interface=next((e.name for e in facts.exports if e.kind == "instance" and is_importable(e.name)), ""),
            )
        return self._parts[nested.at]

    def _made(self, nested: _Nested, given: _Items, label: str) -> _Value:
        """A new instance of a part."""
        part = self._part(nested)
        labels = (nested.label, part.label, "" if _COUNTED.fullmatch(label) else label, part.interface)
        name, wires = _called(nested, labels), {}
        for item in part.facts.imports:
            if item.kind != "instance":
                raise SplitError(
                    f"{name} is given a single {item.kind}, {_shown(item.name)}, and a policy wires whole interfaces"
                )
            match given.get((item.name, "instance")):
                case None:
                    raise ComponentError(f"{name} imports {_shown(item.name)}, and is instantiated without it")
                case _Outside(outside):
                    if not (satisfies(item.name, outside) or satisfies(outside, item.name)):
                        raise SplitError(
                            f"{name} imports {_shown(item.name)} and is given {_shown(outside)} from outside,"
                            " and a policy gives nothing under another name"
                        )
                case _Exported() as exported:
                    self._check_wire(name, item.name, exported)
                    wires[item.name] = exported
                case _:
                    raise SplitError(
                        f"what {name} is given as {_shown(item.name)} is no interface that one part exports"
                    )
        if len(self.instances) >= MAX_INSTANCES:
            raise _ExcessError(f"it has more than {MAX_INSTANCES} instances, which is as many as a program may have")
        self.instances.append(_Instance(nested, labels, wires))
        return _Whole(len(self.instances) - 1)

    def _check_wire(self, name: str, imported: str, exported: _Exported) -> None:
        server = self.called(exported.instance)
        if imported.startswith("wasi:"):
            raise SplitError(
                f"{name} is given {_shown(imported)} by {server},"
                " and under a policy interfaces of WASI are served by the sandbox alone"
            )
        if not is_importable(imported):
            raise SplitError(f"{name} imports {_shown(imported)}, and no policy can name that")
        if not satisfies(imported, exported.name):
            raise SplitError(
                f"{name} imports {_shown(imported)} and is given {_shown(exported.name)} by {server},"
                " and a policy gives nothing under another name"
            )


def _at(spaces: Mapping[ExternKind, Sequence[_Value]], kind: ExternKind, index: int) -> _Value:
    if index >= len(spaces[kind]):
        raise ComponentError(f"{kind} {index} is used, and only {len(spaces[kind])} are defined before that")
    return spaces[kind][index]


def _imported(name: str, kind: ExternKind, given: _Items | None) -> _Value:
    if given is None:
        return _Outside(name) if kind == "instance" else _UNKNOWN
    if (name, kind) not in given:
        raise ComponentError(f"a component that imports {_shown(name)} is instantiated without it")
    return given[name, kind]


def _export(reader: Reader, spaces: Mapping[ExternKind, Sequence[_Value]]) -> tuple[str, ExternKind, _Value]:
    name = extern_name(reader)
    kind = extern_sort(reader)
    return name, kind, _at(spaces, kind, reader.u32())


def _root(exports: _Items, walk: _Walk) -> int:
    """The instance that exports all that the whole does."""
    first: _Exported | None = None
    for (name, _), value in exports.items():
        if not isinstance(value, _Exported) or value.name != name:
            raise SplitError(f"it exports {_shown(name)}, which no part of it exports by that name")
        first = first or value
        if value.instance != first.instance:
            raise SplitError(
                f"it exports {_shown(first.name)} of {walk.called(first.instance)} and {_shown(name)} of"
                f" {walk.called(value.instance)}, and under a policy one component is what runs or is called"
            )
    if first is None:
        raise SplitError("it exports nothing, so that none of its parts is the one to run or call")
    return first.instance


def _order(walk: _Walk, root: int) -> tuple[int, ...]:
    """The instances that ``root`` is served by in the end, behind it, in the order in which they are come by."""
    found = {root: None}
    left = [root]
    for number in left:
        for exported in walk.instances[number].wires.values():
            if exported.instance not in found:
                found[exported.instance] = None
                left.append(exported.instance)
    return tuple(found)


def _check_chain(walk: _Walk) -> None:
    length: list[int] = []
    for instance in walk.instances:
        length.append(1 + max((length[exported.instance] for exported in instance.wires.values()), default=0))
    if max(length) > MAX_CHAIN:
        raise SplitError(
            f"{MAX_CHAIN + 1} of its parts import from each other in a chain, and a policy has {MAX_CHAIN}"
        )


def _shared(walk: _Walk) -> frozenset[int] | None:
    """The instances that a policy would say are shared, the others being their importers' own.

    A component that has one instance shares it; of several, one may have several importers. ``None``: more have.
    """
    importers: dict[int, set[int]] = {}
    for number, instance in enumerate(walk.instances):
        for exported in instance.wires.values():
            importers.setdefault(exported.instance, set()).add(number)
    of: dict[int, list[int]] = {}
    for number, instance in enumerate(walk.instances):
        of.setdefault(instance.nested.at, []).append(number)
    shared: set[int] = set()
    for numbers in of.values():
        several = numbers if len(numbers) == 1 else [n for n in numbers if len(importers.get(n, ())) > 1]
        if len(several) > 1:
            return None
        shared.update(several)
    return frozenset(shared)


def _program(walk: _Walk, order: Sequence[int], key: Callable[[int], int], shared: frozenset[int]) -> Split | None:
    """The policy with a component for each ``key`` of an instance; ``None`` where its program is another one."""
    members: dict[int, int] = {}
    for number in order:
        members.setdefault(key(number), number)
    if len(members) > MAX_COMPONENTS:
        raise SplitError(f"it is composed of more than {MAX_COMPONENTS} components, and a program has no more")
    names = _names(walk, members)
    sources: dict[int, str] = {}
    files: dict[str, memoryview] = {}
    facts: dict[str, Facts] = {}
    components = []
    for member, number in members.items():
        instance, name = walk.instances[number], names[member]
        source = sources.setdefault(instance.nested.at, f"{name}.wasm")
        files[source] = instance.nested.data
        facts[name] = walk.facts(number)._replace(path=source)
        wires = tuple(
            Wire(
                interface=interface,
                component=names[key(exported.instance)],
                own=exported.instance not in shared,
            )
            for interface, exported in instance.wires.items()
        )
        components.append(ComponentPolicy(name=name, source=source, digest=facts[name].digest, imports=wires))
    run = components[0].name
    policy = Policy(file=POLICY_FILE, directory=".", digest="", components=tuple(components), run=run)
    try:
        layout, objections = lay_out(policy, run, facts)
    except ValueError:  # components that import from each other, though no instances do
        return None
    if objections or not _is_same(layout, walk, order[0], lambda number: names[key(number)]):
        return None
    return Split(policy=policy, files=files, facts=facts, unused=walk.unused)


def _is_same(layout: Layout, walk: _Walk, root: int, name: Callable[[int], str]) -> bool:
    """Whether a program has the instances that were walked past, wired alike."""
    pairs = {len(layout.instances) - 1: root}
    left = list(pairs)
    for place in left:
        planned, number = layout.instances[place], pairs[place]
        wires = walk.instances[number].wires
        if layout.members[planned.member] != name(number) or {link.name for link in planned.links} != wires.keys():
            return False
        for link in planned.links:
            exported = wires[link.name]
            if link.instance not in pairs:
                left.append(link.instance)
            if pairs.setdefault(link.instance, exported.instance) != exported.instance or link.export != exported.name:
                return False
    return len(layout.instances) == len(pairs) == len(set(pairs.values())) == len(walk.instances)


def _names(walk: _Walk, members: Mapping[int, int]) -> dict[int, str]:
    """A name for each component of the policy, after what those call it who composed it, or what it exports."""
    names: dict[int, str] = {}
    for member, number in members.items():
        fallback = "part" if names else "main"
        base = next(filter(None, map(_policy_name, walk.instances[number].labels)), fallback)
        taken, name, count = set(names.values()), base, 1
        while name in taken:
            count += 1
            name = f"{base[:58]}-{count}"
        names[member] = name
    return names


def _policy_name(label: str) -> str | None:
    """``acme:my-auth@1.0.0`` and ``bank:payments/my-auth`` are ``my-auth``; ``None`` where nothing is left of it."""
    last = re.split("[:/]", label.partition("@")[0].removesuffix(".wasm"))[-1]
    name = _NO_NAME.sub("-", last.lower()).strip("-_")[:63]
    return name if _NAME.fullmatch(name) else None


def _subsections(data: memoryview, found: Iterable[tuple[int, int, int, int]]) -> Iterator[tuple[int, Reader]]:
    """The parts of the custom section that gives names, which nothing depends on, as far as it is well-formed."""
    with suppress(ComponentError):
        for identity, _, body, end in found:
            if identity == _CUSTOM and (reader := Reader(data, body, end)).name() == "component-name":
                for _ in range(MAX_SUBSECTIONS):
                    kind, size = reader.byte(), reader.u32()
                    inner = Reader(data, reader.position, reader.position)
                    reader.skip(size)
                    inner.end = reader.position
                    yield kind, inner


def _own_label(data: memoryview, found: Iterable[tuple[int, int, int, int]]) -> str:
    """What a component calls itself; else nothing."""
    with suppress(ComponentError):
        return next((inner.name() for kind, inner in _subsections(data, found) if kind == 0), "")
    return ""


def _labels(data: memoryview, found: Iterable[tuple[int, int, int, int]]) -> list[tuple[tuple[ExternKind, int], str]]:
    """What the components and instances inside are called by who composed them."""
    labels: list[tuple[tuple[ExternKind, int], str]] = []
    with suppress(ComponentError):
        for identity, inner in _subsections(data, found):
            if identity == 1 and (kind := _LABELLED.get(inner.byte())) is not None:
                for _ in range(min(inner.u32(), MAX_LABELS - len(labels))):
                    labels.append(((kind, inner.u32()), inner.name()))
    return labels


def _called(nested: _Nested, labels: Iterable[str]) -> str:
    return next((_shown(label) for label in labels if label), f"the component at byte {nested.at}")


def _shown(name: str) -> str:
    return name if len(name) <= MAX_SHOWN and name.isprintable() else ascii(name[:MAX_SHOWN])
