"""Instances as text: those that a component imports, and those that it puts together from functions of several origins.

Every record, variant, enumeration, set of flags and resource must have a name where it is imported or exported. An
interface may use what another one has named, so what is known of one is kept for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sandbox.guard import types as ty
from sandbox.guard.reflect import Interface, Item, Unsupported
from sandbox.guard.wat import Nominal, Types, params_text, quote, result_text

MAX_NAMED = 300
"""Characters of the names of interfaces in one refusal."""


def mentioned(item: Item) -> tuple[ty.Type, ...]:
    """The types that an export is made of."""
    match item:
        case int():
            return ()
        case ty.Function(params, result):
            return (*(t for _, t in params), *(() if result is None else (result,)))
        case _:
            return (item,)


def nominal(item: Item) -> Iterator[ty.Type]:
    """Every type in an export that must have a name, innermost first."""
    return (t for top in mentioned(item) for t in ty.walk(top) if isinstance(t, Nominal))


def resources(item: Item) -> frozenset[int]:
    """Every resource that an export is, or mentions."""
    return frozenset({item} if isinstance(item, int) else {r for t in mentioned(item) for r in ty.resources(t)})


def renumbered(item: Item, numbers: Mapping[int, int]) -> Item:
    """An export with other numbers for its resources."""
    match item:
        case int(resource):
            return numbers[resource]
        case ty.Function(params, result):
            return ty.Function(
                tuple((name, ty.renumbered(t, numbers)) for name, t in params),
                None if result is None else ty.renumbered(result, numbers),
            )
        case _:
            return ty.renumbered(item, numbers)


def _resources_first(interface: Interface) -> list[tuple[int, str, Item]]:
    """The exports with their places: an interface may name a resource after functions that have it by another name."""
    exports = [(at, name, item) for at, (name, item) in enumerate(interface.exports)]
    return sorted(exports, key=lambda export: not isinstance(export[2], int))


def _owner(function: str) -> str:
    """The resource that a constructor, method or static function belongs to, by its name; else nothing."""
    return function.partition("]")[2].partition(".")[0]


def homes(components: Iterable[Iterable[tuple[str, Interface]]]) -> dict[int, str]:
    """By the key of which interface each resource is defined, from what several components import in their orders.

    A component names a resource first where it is defined, and then where it is used; it may also only use it.
    """
    first: dict[int, dict[str, None]] = {}
    later: set[tuple[int, str]] = set()
    for imports in components:
        named: set[int] = set()
        for key, interface in imports:
            own = {item for _, item in interface.exports if isinstance(item, int)}
            later |= {(item, key) for item in own & named}
            for item in sorted(own - named):
                first.setdefault(item, {})[key] = None
            named |= own
    return {
        item: next((key for key in keys if (item, key) not in later), next(iter(keys))) for item, keys in first.items()
    }


@dataclass(slots=True)
class Imported:
    """Imports of one component in text, and what it calls the types that they have named so far."""

    lines: list[str] = field(default_factory=list)
    resources: dict[int, str] = field(default_factory=dict)
    """Identifiers, as those of ``types``."""
    types: dict[ty.Type, str] = field(default_factory=dict)
    homes: Mapping[int, str] = field(default_factory=dict)
    """The label of the interface that defines a resource: none before it may name that, since a host has it there."""

    def names_all(self, label: str, interface: Interface) -> bool:
        """Whether each type that must have a name has one, here or in the interface itself before it is used."""
        own = {item for _, item in interface.exports if isinstance(item, int)}
        named: set[ty.Type] = set()
        for _, item in interface.exports:
            if any(t not in named and t not in self.types and t is not item for t in nominal(item)):
                return False
            if any(
                r not in self.resources and (r not in own or self.homes.get(r, label) != label) for r in resources(item)
            ):
                return False
            if isinstance(item, Nominal):
                named.add(item)
        return True

    def add(self, label: str, name: str, interface: Interface) -> None:
        """Import ``interface``, which ``names_all``, under a name, as ``label``."""
        self.lines.append(f"(import {quote(name)} (instance {label} {self._body(interface)}))")
        for at, (export, item) in enumerate(interface.exports):
            known = f"{label}-{at}"
            if isinstance(item, int) and item not in self.resources:
                self.resources[item] = known
            elif isinstance(item, Nominal) and item not in self.types:
                self.types[item] = known
            else:
                continue
            self.lines.append(f"(alias export {label} {quote(export)} (type {known}))")

    def _body(self, interface: Interface) -> str:
        """The exports of the instance's type. What an interface before it has named is that, and not declared anew."""
        own: dict[str, tuple[int, str]] = {}
        named: dict[int, str] = {}
        lines: list[str] = []

        def outside(identifier: str) -> str:
            lines.append(f"(alias outer 1 {identifier} (type $o{len(lines)}))")
            return f"$o{len(lines) - 1}"

        def resource(number: int) -> str:
            if number not in named:
                if number not in self.resources:
                    raise Unsupported(f"{interface.name} uses a resource that nothing names")
                named[number] = outside(self.resources[number])
            return named[number]

        types = Types(resource=resource)
        for at, name, item in _resources_first(interface):
            for t in nominal(item):
                if t not in types.named and t in self.types:
                    types.named[t] = outside(self.types[t])
            match item:
                case int(number):
                    known = number in named or number in self.resources
                    bound = f"eq {resource(number)}" if known else "sub resource"
                    lines.append(f"(export {quote(name)} (type $x{at} ({bound})))")
                    named[number], own[name] = f"$x{at}", (number, f"$x{at}")
                case ty.Function():
                    # A method takes its resource by the one of its names that is in the method's.
                    if _owner(name) in own:
                        number, identifier = own[_owner(name)]
                        named[number] = identifier
                    lines.append(f"(export {quote(name)} {types.function(item)})")
                case _:
                    if item not in types.named:
                        body = types.body(item)
                        lines.append(f"(type $d{at} {body})")
                    bound = types.named.get(item, f"$d{at}")
                    lines.append(f"(export {quote(name)} (type $x{at} (eq {bound})))")
                    if isinstance(item, Nominal):
                        types.named[item] = f"$x{at}"
        return "\n  ".join(lines)


def instance_type(exports: Iterable[tuple[str, Item]]) -> str:
    """The type of an instance that uses nothing but what it names."""
    return f"(instance {Imported()._body(Interface('an instance', tuple(exports)))})"


def imported(interfaces: Iterable[tuple[str, str, Interface]], homes: Mapping[int, str] | None = None) -> Imported:
    """Import each of ``interfaces``: label, name, and what it has; in an order in which types are named before used.

    ``homes`` are labels. Raises ``Unsupported`` where there is no such order.
    """
    imports = Imported(homes=homes or {})
    left = list(interfaces)
    while left:
        at = next((at for at, (label, _, interface) in enumerate(left) if imports.names_all(label, interface)), None)
        if at is None:
            names = ", ".join(interface.name for _, _, interface in left)
            raise Unsupported(f"it imports types that nothing has named before they are used: {names}"[:MAX_NAMED])
        imports.add(*left.pop(at))
    return imports


def name_resources(interface: Interface, instance: str, label: str, known: dict[int, str]) -> list[str]:
    """Lines that name the resources of ``instance``, as ``label`` and a number, which are not ``known`` yet."""
    lines = []
    for at, (name, item) in enumerate(interface.exports):
        if isinstance(item, int) and item not in known:
            lines.append(f"(alias export {instance} {quote(name)} (type {label}-{at}))")
            known[item] = f"{label}-{at}"
    return lines


def of_instance(instance: str) -> Callable[[str], str]:
    """Where the functions of an instance come from."""
    return lambda name: f"{instance} {quote(name)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Barred:
    """Functions of an instance that trap when they are called."""

    sites: Mapping[str, int | None]
    """By their names: what tells the host of the call before it traps, if anything."""
    tell: str | None = None
    """Where the function is that is told, a site as its only parameter."""

    @property
    def told(self) -> bool:
        return any(site is not None for site in self.sites.values())


NONE_BARRED = Barred(sites={})


def bundle(
    interface: Interface,
    known: Mapping[int, str],
    label: str,
    source: Callable[[str], str],
    made: dict[str, str],
    barred: Barred = NONE_BARRED,
) -> str:
    """Text that makes ``$b<label>``, an instance of ``interface`` with functions of several origins, side by side.

    ``known`` are the identifiers of its resources, and ``source`` says where a function comes from. ``made`` are the
    components that earlier calls for the same component have made, by their text: those that are alike are one.

    It is made by a component without code that imports types and functions under plain names and exports them under
    theirs, since an instance put together in place may not have methods.
    """
    items = [item for _, item in interface.exports]
    used = sorted({r for item in items for r in resources(item)})
    if not known.keys() >= set(used):
        raise Unsupported(f"{interface.name} uses a resource that nothing names")
    lines = [f'(import "r{r}" (type $r{r} (sub resource)))' for r in used]
    given = [f'(with "r{r}" (type {known[r]}))' for r in used]
    around: list[str] = []
    seen: dict[int, str] = {}
    inside, exported = Types(resource=lambda r: f"$r{r}"), Types(resource=lambda r: seen.get(r, f"$r{r}"))
    outside = Types(resource=lambda r: known[r])
    for t in (t for item in items for t in nominal(item)):
        if t not in inside.named:
            n = len(inside.named)
            lines.append(f'(type $d{n} {inside.body(t)}) (import "t{n}" (type $i{n} (eq $d{n})))')
            around.append(f"(type $b{label}-{n} {outside.body(t)})")
            given.append(f'(with "t{n}" (type $b{label}-{n}))')
            inside.named[t], outside.named[t] = f"$i{n}", f"$b{label}-{n}"
    exported.named.update(inside.named)
    own: dict[str, tuple[int, str]] = {}
    exports: list[str] = []
    trapping: list[tuple[int, ty.Function, int | None]] = []
    for at, name, item in _resources_first(interface):
        match item:
            case int(resource):
                exports.append(f"(export $x{at} {quote(name)} (type $r{resource}))")
                seen[resource], own[name] = f"$x{at}", (resource, f"$x{at}")
            case ty.Function():
                if _owner(name) in own:
                    number, identifier = own[_owner(name)]
                    seen[number] = identifier
                lines.append(f"(type $p{at} {inside.function(item)})")
                exports.append(f"(type $q{at} {exported.function(item)})")
                exports.append(f"(export {quote(name)} (func $f{at}) (func (type $q{at})))")
                if name in barred.sites:
                    trapping.append((at, item, barred.sites[name]))
                    continue
                lines.append(f'(import "f{at}" (func $f{at} (type $p{at})))')
                around.append(f"(alias export {source(name)} (func $b{label}-f{at}))")
                given.append(f'(with "f{at}" (func $b{label}-f{at}))')
            case _ if isinstance(item, Nominal):
                exports.append(f"(export $x{at} {quote(name)} (type {inside.named[item]}))")
                exported.named[item] = f"$x{at}"
            case _:
                exports.append(f"(type $y{at} {exported.body(item)}) (export {quote(name)} (type $y{at}))")
    if barred.told:
        lines.append('(import "barred" (func $barred (param "site" u32)))')
        around.append(f"(alias export {barred.tell} (func $b{label}-barred))")
        given.append(f'(with "barred" (func $b{label}-barred))')
    if trapping:
        lines.append(_trapping(trapping, told=barred.told))
    text = "\n  ".join(lines + exports)
    if text not in made:
        made[text] = f"$s{label}"
        around.insert(0, f"(component $s{label}\n  {text})")
    return "\n".join([*around, f"(instance $b{label} (instantiate {made[text]} {' '.join(given)}))"])


def _trapping(functions: Iterable[tuple[int, ty.Function, int | None]], *, told: bool) -> str:
    """Functions ``$f<number>`` that trap. What they are given is taken in, up to what fits."""
    cores, lifts = [], []
    for at, function, site in functions:
        signature = ty.signature(function)
        tell = "" if site is None else f"(call $tell (i32.const {site}))"
        cores.append(
            f'(func (export "f{at}") {params_text(signature.params)} {result_text(signature.result)}'
            f" {tell} unreachable)"
        )
        lifts.append(
            f'(alias core export $m "f{at}" (core func $c{at}))'
            f" (func $f{at} (type $p{at}) (canon lift (core func $c{at}) (memory $memory)"
            " (realloc (core func $realloc))))"
        )
    lines = "\n    ".join(cores)
    return f"""
  {"(core func $tell (canon lower (func $barred)))" if told else ""}
  (core module $m
    {'(import "host" "tell" (func $tell (param i32)))' if told else ""}
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 16))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (if (i32.gt_u (local.get 3) (i32.const 0x10000000)) (then unreachable))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.shl (memory.size) (i32.const 16))) (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))) (then
          unreachable))))
      (local.get $at))
    {lines})
  (core instance $m (instantiate $m {'(with "host" (instance (export "tell" (func $tell))))' if told else ""}))
  (alias core export $m "memory" (core memory $memory))
  (alias core export $m "realloc" (core func $realloc))
  {" ".join(lifts)}"""
