"""A plan as a reviewer wants to read it: what one run gets, and by whom it is held to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sandbox.plan import Link, Plan, Preopen, Program, StreamPlan, behind
from sandbox.policy.model import Limits, Local, Peer, Sockets
from sandbox.report.text import escape, inert


def plan_text(plan: Plan) -> str:
    """The plan on a page; every line ends with a newline. Values of environment variables are shown by length alone.

    Of a program there is a section for each component, and one for the bounds of all together.
    """
    program = plan.program
    if program is None:
        lines = [*_head(plan), "", "It gets:", *_gets(plan)]
        lines += ["", "Bounds:", *_bounds(plan.limits, sockets=plan.sockets is not None)]
        lines += ["", "It imports:", *_imports(plan, None, {})]
        return inert("\n".join(lines) + "\n")
    lines = []
    for number, member in enumerate(plan.members):
        name = escape(member.component)
        lines += [*_head(member), *_instances(program, number), "", f"{name} gets:", *_gets(member)]
        lines += ["", f"{name} imports:", *_imports(member, program, _links(program, number)), ""]
    sockets = any(member.sockets is not None for member in plan.members)
    lines += ["Bounds of all components together:", *_bounds(plan.limits, sockets=sockets)]
    return inert("\n".join(lines) + "\n")


def _head(plan: Plan) -> list[str]:
    return [
        f"{escape(plan.component)}  {escape(plan.source)}",
        f"  digest       {plan.digest} ({plan.size:,} bytes)",
        f"  policy       {escape(plan.policy)} ({plan.policy_digest})",
        *([f"  kind         {_kind(plan)}"] if plan.kind == "module" else []),
        *(["  declared     deterministic: no grant differs from run to run"] if plan.deterministic else []),
    ]


def _instances(program: Program, member: int) -> list[str]:
    """The instances of one component of a program, a line each."""
    paths = [instance.name for instance in program.instances if instance.member == member]
    return [f"  {'' if number else 'instance':<12} {escape(path)}" for number, path in enumerate(paths)]


def _gets(plan: Plan) -> list[str]:
    lines = []
    for preopen in plan.preopens:
        if not preopen.decoy:
            lines += _preopen(plan, preopen)
    if all(p.decoy for p in plan.preopens):
        lines.append("  files        none")
    for name, stream in (("stdin", plan.stdin), ("stdout", plan.stdout), ("stderr", plan.stderr)):
        lines.append(f"  {name:<12} {_stream(name, stream)}")
    lines.append(f"  environment  {_environment(plan)}")
    lines.append(f"  arguments    {_arguments(plan)}")
    lines.append(
        f"  clocks       wall {plan.wall or 'frozen, not granted'}; monotonic {plan.monotonic or 'frozen, not granted'}"
    )
    lines.append(f"  random       {_random(plan)}")
    network = [_no_network(plan)] if plan.sockets is None else list(_network(plan.sockets))
    return [*lines, *(f"  {'' if number else 'network':<12} {line}" for number, line in enumerate(network))]


def _bounds(limits: Limits, *, sockets: bool) -> list[str]:
    lines = [
        f"  memory       {_size(limits.memory)}, over all memories and tables",
        f"  deadline     {limits.deadline:g} s, compiling and waiting included",
        f"  fuel         {'not counted' if limits.fuel is None else f'{limits.fuel:,}'}",
        f"  output       {_size(limits.output)}",
        f"  handles      {limits.handles:,} open at once",
        f"  disk         {_size(limits.disk)} written to files",
    ]
    if sockets:
        lines.append(f"  sockets      {limits.sockets:,} open at once")
        lines.append(f"  sent         {_size(limits.sent)} over sockets")
        lines.append(f"  received     {_size(limits.received)} over sockets")
        lines.append(f"  connecting   {limits.connect_time:g} s for each connection and each look-up")
        lines.append(f"  look-ups     {limits.lookups:,} a second, {_size(limits.lookup_bytes)} of names in all")
    return [*lines, f"  events       {limits.events:,} refusals one by one, further ones counted"]


def _imports(plan: Plan, program: Program | None, links: Mapping[str, str]) -> list[str]:
    """``program``: what the component is part of; ``links``: the imports that others in it serve, with words on it."""
    words = {
        "wasmtime": "served by Wasmtime",
        "guard": "served through the shim" if plan.kind == "module" else "served through the guard",
        "broker": "served by the broker",
        "refused": "refused, call by call",
        "types": "types alone, served by nobody",
    }
    rows = []
    for name, by in plan.interfaces:
        if program is not None and by == "wasmtime":
            by = behind(name, sockets=True)  # the guard has the streams of all, as it has where sockets are granted
        rows.append(f"  {escape(name):<44} {links.get(name) or words[by]}")
    return rows or ["  nothing"]


def _links(program: Program, member: int) -> dict[str, str]:
    """Who serves the imports of one component of a program: a component, and which of its instances."""
    found: dict[str, dict[Link, None]] = {}
    for instance in program.instances:
        for link in instance.links if instance.member == member else ():
            found.setdefault(link.name, {})[link] = None
    return {name: _link(program, list(links)) for name, links in found.items()}


def _link(program: Program, links: Sequence[Link]) -> str:
    """``links``: those of one import, a link for each instance that serves it."""
    first = links[0]
    paths = ", ".join(escape(program.instances[link.instance].name) for link in links)
    version = f", as {escape(first.export)}" if first.export != first.name else ""
    only = "" if first.only is None else f"; of its functions {', '.join(map(escape, first.only))} alone"
    return f"served by {paths}{version}{only}"


def _kind(plan: Plan) -> str:
    what = "module of WASI preview 1" if plan.interfaces else "module without WASI"
    if plan.run is not None:
        return f"{what}, a command ({plan.run})"
    return f"{what}, {'a reactor (_initialize comes before any call)' if plan.initialize else 'no command'}"


def _no_network(plan: Plan) -> str:
    return "none" if plan.kind == "component" else "none: a module cannot open a socket"


def _size(size: int) -> str:
    """Bytes, in the largest unit that says them exactly."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit:,} {name}"
    return f"{size:,} bytes"


def _preopen(plan: Plan, preopen: Preopen) -> list[str]:
    access = "read and write" if preopen.writable else "read only"
    lines = [f"  {escape(preopen.guest):<12} {escape(preopen.host or '')}  {access}"]
    if preopen.hard_links:
        lines.append("               files with several names are opened too")
    lines += [f"               except {escape(glob)}" for glob in preopen.excepted]
    for path, other in preopen.inner:
        apart = "read and write" if plan.preopens[other].writable else "read only"
        lines.append(f"               except {escape(path)}, which is granted apart ({apart})")
    lines += [f"               except {escape(path)}, where another directory stands" for path in preopen.masked]
    lines += [f"               except {escape(path)}, an interface of the kernel" for path in preopen.kernel]
    return lines


def _network(sockets: Sockets) -> Iterator[str]:
    """The grants of the network in words, one a line."""
    for peer in sockets.connect:
        yield f"connects by TCP to {_peer(peer)}"
    for local in sockets.listen:
        yield f"accepts TCP at {_local(local)}"
    for peer in sockets.send:
        yield f"exchanges UDP with {_peer(peer)}"
    for local in sockets.bind:
        yield f"receives UDP from anyone at {_local(local)}"
    if sockets.dns:
        yield f"looks up {', '.join(sockets.dns)}"
    for denied in sockets.deny:
        act = "never goes by the name" if _is_name(denied.host) else "never reaches"
        yield f"{act} {_host(denied.host)}{'' if denied.ports is None else _ports(denied.ports)}"
    if sockets.audit_all:
        yield "what is allowed is recorded as well"


def _peer(peer: Peer) -> str:
    private = ", at private addresses too" if peer.private and _is_name(peer.host) else ""
    return f"{_host(peer.host)}{_ports(peer.ports)}{private}"


def _is_name(host: str) -> bool:
    return ":" not in host and "/" not in host and not host.rpartition(".")[2].isdecimal()


def _local(local: Local) -> str:
    words = [_host(local.address) if local.port == 0 else f"{_host(local.address)}:{local.port}"]
    # The unspecified address of either family.
    if not local.address.strip("0.:"):
        words.append("every address of this machine")
    if local.port == 0:
        words.append("a port that the system chooses")
    return ", ".join(words)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ports(ports: tuple[int, int]) -> str:
    return f":{ports[0]}" if ports[0] == ports[1] else f":{ports[0]}-{ports[1]}"


def _stream(name: str, stream: StreamPlan) -> str:
    if not stream.granted:
        return "at its end, not granted" if name == "stdin" else "thrown away, not granted"
    if stream.path is not None:
        return f"file {escape(stream.path)}"
    at_hand = {
        "inherit": "the caller's",
        "capture": "captured",
        "discard": "at its end" if name == "stdin" else "thrown away",
    }
    return at_hand[stream.mode]


def _environment(plan: Plan) -> str:
    if plan.environment is None:
        return "empty, not granted"
    shown = (f"{escape(n)} ({len(v):,} character{'' if len(v) == 1 else 's'})" for n, v in plan.environment)
    return ", ".join(shown) or "empty"


def _arguments(plan: Plan) -> str:
    if plan.arguments is None:
        return "none, not granted"
    return " ".join(escape(a) for a in plan.arguments)


def _random(plan: Plan) -> str:
    if plan.random == "denied" and plan.kind == "module":
        return "not granted: a call that takes random numbers traps"
    if plan.random == "denied":
        return "not granted: secure numbers trap, insecure ones are always the same"
    return "secure" if plan.random == "secure" else f"seeded with {plan.seed}"
