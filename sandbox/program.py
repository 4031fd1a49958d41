"""From the plans of several components to that of one program, or every reason why there is none. Pure, like a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sandbox.component import Facts
from sandbox.host import File, Host
from sandbox.plan import MAX_PREOPENS, Instance, Link, Objection, Plan, PlanError, Program, make_plan
from sandbox.policy.interfaces import compatible, matches, newness, satisfies
from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import instances, route_of


def make_program(
    policy: Policy,
    name: str,
    facts: Mapping[str, Facts],
    hosts: Mapping[str, Host],
    arguments: Sequence[str] | None = None,
    writes: Sequence[tuple[str, str]] = (),
) -> Plan:
    """The plan of a run of component ``name`` with those that it imports from.

    ``facts`` and ``hosts`` are those of every component of the program, by name. Raises ``PlanError``.
    """
    layout, objections = lay_out(policy, name, facts)
    components = {component.name: component for component in policy.components}
    plans: list[Plan] = []
    for member in layout.members:
        component = components[member]
        if member != name:
            objections += _of_another(policy, component, name)
            if components[name].deterministic:
                # What one component is given, another can hand on.
                component = replace(component, deterministic=True)
        try:
            plans.append(
                make_plan(
                    policy,
                    component,
                    facts[member],
                    hosts[member],
                    arguments if member == name else None,
                    writes,
                    dict.fromkeys(_types(policy, facts[member]), "") | layout.served[member],
                )
            )
        except PlanError as error:
            objections += error.objections
    if sum(len(plan.preopens) for plan in plans) > MAX_PREOPENS:
        message = f"the components of the program are granted more than {MAX_PREOPENS} directories in all"
        objections.append(_objection(policy, f"components.{name}", message))
    if not objections:
        files = [found for member in layout.members for found in _stream_files(components[member], hosts[member])]
        objections += _of_files(policy, plans, hosts, files)
        asking = [plans[i.member] for i in layout.instances if _asks(facts[layout.members[i.member]])]
        taken, handles = sum(len(plan.preopens) for plan in asking), plans[0].limits.handles
        if handles <= taken:
            message = f"{handles} handles are too few: the granted directories of all instances alone take {taken}"
            objections.append(_objection(policy, f"components.{name}.limits.handles", message))
    if objections:
        raise PlanError(policy, tuple(dict.fromkeys(objections)))
    lines = {route: line for plan in plans for route, line in plan.lines.items()}
    main = replace(plans[0], lines=lines)
    others = tuple(replace(plan, limits=main.limits, lines=lines) for plan in plans[1:])
    return replace(main, program=Program(others=others, instances=layout.instances))


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Which components a program is made of, and how they are linked."""

    members: tuple[str, ...]
    """The components, the one that is run first."""
    instances: tuple[Instance, ...]
    """Each behind those that serve it; the last is of the component that is run."""
    served: Mapping[str, dict[str, str]]
    """For each component, its imports that others serve, and which ones do."""


def lay_out(policy: Policy, name: str, facts: Mapping[str, Facts]) -> tuple[Layout, list[Objection]]:
    """The program of component ``name``, and what is wrong with its wires. ``facts`` are those of its components."""
    wired = instances(policy, name)
    order = (name, *dict.fromkeys(i.component for i in wired if i.component != name))
    components = {component.name: component for component in policy.components}
    served: dict[str, dict[str, tuple[Wire, str]]] = {}
    objections: list[Objection] = []
    for member in order:
        if facts[member].kind == "module":
            message = "a module has no interfaces that another component could serve, or import; make a component of it"
            objections.append(_objection(policy, f"components.{member}.source", message, "component"))
    for member in () if objections else order:
        served[member], objected = _served(policy, components[member], facts)
        objections += objected
    if objections:
        return Layout(members=order, instances=(), served={m: {} for m in order}), objections
    linked = []
    for instance in wired:
        target = dict(instance.wires)
        links = tuple(
            Link(
                name=imported,
                component=wire.component,
                instance=target[wire],
                export=export,
                only=wire.only,
                route=route_of(instance.component, wire),
            )
            for imported, (wire, export) in served[instance.component].items()
        )
        linked.append(Instance(path=instance.path, member=order.index(instance.component), links=links))
    by = {member: {imported: wire.component for imported, (wire, _) in of.items()} for member, of in served.items()}
    return Layout(members=order, instances=tuple(linked), served=by), objections


def other_binaries(policy: Policy, members: Sequence[str], facts: Mapping[str, Facts]) -> list[Objection]:
    """Those components of a program that are others than the policy pins."""
    out = []
    for component in policy.components:
        pinned = component.digest
        if component.name in members and pinned is not None and pinned != facts[component.name].digest:
            message = (
                f"the {facts[component.name].kind} is another one:"
                f" the policy pins {pinned}, the file is {facts[component.name].digest}"
            )
            out.append(_objection(policy, f"components.{component.name}.digest", message, "component"))
    return out


def _served(
    policy: Policy, component: ComponentPolicy, facts: Mapping[str, Facts]
) -> tuple[dict[str, tuple[Wire, str]], list[Objection]]:
    """Each import that a wire serves, with the export that it gets; and what is wrong with the wires."""
    served: dict[str, tuple[Wire, str]] = {}
    objections = []
    imported = [item.name for item in facts[component.name].imports if item.kind == "instance"]
    own = [name for name in imported if not name.startswith("wasi:")]
    for wire in component.imports:
        route = route_of(component.name, wire)
        wanted = [name for name in own if matches(wire.interface, name)]
        if not wanted:
            said = f"it imports {', '.join(map(_quoted, own[:8]))}" if own else "it imports no interface but WASI's"
            message = f"{component.name} does not import {_quoted(wire.interface)}; {said}"
            objections.append(_objection(policy, route, message))
        exported = [item.name for item in facts[wire.component].exports if item.kind == "instance"]
        for name in wanted:
            export = max((e for e in exported if satisfies(name, e)), key=newness, default=None)
            if export is None:
                line = policy.place(f"components.{wire.component}").line
                base = name.partition("@")[0]
                near = max((e for e in exported if e.partition("@")[0] == base), key=newness, default=None)
                said = (
                    "it exports no such interface"
                    if near is None
                    else f"it exports {_quoted(near)}, {_why(name, near)}"
                )
                server = f"{wire.component} (line {line})"
                message = f"{component.name} imports {_quoted(name)}, and {server} cannot serve it: {said}"
                objections.append(_objection(policy, route, message, "component"))
            else:
                served[name] = wire, export
    return served, objections


def _types(policy: Policy, facts: Facts) -> Iterator[str]:
    """Imports of the packages that the program's components serve each other, which may be types that they share.

    Such an interface has no functions, and nobody exports it. Whether it has any, the one who links it sees.
    """
    packages = {wire.interface.partition("/")[0] for component in policy.components for wire in component.imports}
    for item in facts.imports:
        if item.kind == "instance" and item.name.partition("/")[0] in packages:
            yield item.name


def _of_another(policy: Policy, component: ComponentPolicy, main: str) -> list[Objection]:
    """What a component cannot have where another one is run, of which the program's limits and input are."""
    root = f"components.{component.name}"
    out = []
    if f"{root}.limits" in policy.places:
        message = f"the limits of a program are those of the component that is run, {main}: set them there"
        out.append(_objection(policy, f"{root}.limits", message))
    stdin = component.grants.stdio.stdin
    if stdin is not None and stdin.mode in ("inherit", "file"):
        message = f"standard input goes to the component that is run, {main}, alone: remove the grant"
        out.append(_objection(policy, f"{root}.grants.stdio.stdin", message))
    return out


def _asks(facts: Facts) -> bool:
    """Whether a component asks for the directories that it is granted."""
    return any(item.name.startswith("wasi:filesystem/preopens@") for item in facts.imports)


class _StreamFile(NamedTuple):
    """A file that the policy makes a standard stream of a component's."""

    component: str
    stream: str
    file: File

    @property
    def route(self) -> str:
        return f"components.{self.component}.grants.stdio.{self.stream}"


def _stream_files(component: ComponentPolicy, host: Host) -> Iterator[_StreamFile]:
    stdio = component.grants.stdio
    for name, stream in (("stdin", stdio.stdin), ("stdout", stdio.stdout), ("stderr", stdio.stderr)):
        if stream is not None and stream.path is not None:
            yield _StreamFile(component.name, name, host.files[stream.path])


def _of_files(
    policy: Policy, plans: Sequence[Plan], hosts: Mapping[str, Host], files: Sequence[_StreamFile]
) -> Iterator[Objection]:
    """What is wrong with files of standard streams where other components are; a plan looks at its own alone."""
    for number, own in enumerate(files):
        real = own.file.real
        for other in files[:number]:
            if other.component != own.component and _same(other.file, own.file):
                message = (
                    f"{real} is what {other.stream} of {other.component} uses already; one would overwrite the other"
                )
                yield _objection(policy, own.route, message)
        for plan in plans:
            if plan.component == own.component:
                continue
            for p in plan.preopens:
                if p.writable and p.host is not None and _below(real, p.host):
                    message = (
                        f"{real} lies in a directory that {plan.component} may write ({p.guest}), so it could change it"
                    )
                    yield _objection(policy, own.route, message)
            if own.stream != "stdin" and real in hosts[plan.component].source:
                message = f"{real} is the file of component {plan.component}, which the output would overwrite"
                yield _objection(policy, own.route, message)


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _same(one: File, other: File) -> bool:
    return one.real == other.real or (one.identity is not None and one.identity == other.identity)


def _objection(policy: Policy, route: str, message: str, about: str = "policy") -> Objection:
    return Objection(about=about, route=route, line=policy.place(route).line, message=message)


def _quoted(name: str) -> str:
    return name if len(name) <= 100 and name.isprintable() else ascii(name[:100])


def _why(imported: str, exported: str) -> str:
    """Why an interface does not satisfy the import of another version."""
    return "which is lower" if compatible(imported, exported) else "which is not compatible with it"
