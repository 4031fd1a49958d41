"""A least-privilege policy for guests: nothing granted, and everything their imports could use in comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from sandbox import preview1
from sandbox.audit.quote import yaml_scalar
from sandbox.component import Export, Facts, Import
from sandbox.policy.interfaces import is_importable, matches
from sandbox.policy.model import ComponentPolicy, Limits, Policy
from sandbox.report.text import plain
from sandbox.wasi import Family, Known, Refused, classify

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MAX_SHOWN = 100
_MAX_INTERFACES = 50
"""Interfaces that the draft has a line for."""


def suggest_name(path: str) -> str:
    """A name for the component in a policy, from its file's name: ``My App.wasm`` is ``my-app``."""
    stem = path.rsplit("/", 1)[-1].lower().removesuffix(".wasm")
    name = re.sub(r"[^a-z0-9_]+", "-", stem).strip("-_")[:63]
    return name if _NAME.fullmatch(name) else "component"


def draft_policy(facts: Facts, source: str, name: str) -> str:
    """A valid policy in YAML for the component or module of ``facts``.

    ``source`` is its path relative to the policy file; ``name`` is what the policy calls it (``suggest_name``).
    Raises ``ValueError`` with a sentence where no valid policy can say these.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("the component's name consists of 1 to 63 of a-z, 0-9, _ and -, and begins with a-z or 0-9")
    attempt = "each attempt to use what is not granted"
    lines = [
        "# yaml-language-server: $schema=policy.schema.json",
        f"# Nothing is granted yet: {attempt} fails for the {facts.kind} and is recorded.",
        *_warnings(facts),
    ]
    lines += [
        "version: 1",
        "components:",
        f"  {_scalar(name)}:",
        f"    source: {_scalar('./' + source if source[:1] in ('~', '$') else source)}",
        f"    digest: {facts.digest} # any other binary is refused",
        *_served(facts, name),
    ]
    lines += [
        *_grants(facts),
        "    # The defaults; lower them to what it needs.",
        f"    limits: {_limits(Limits())}",
        *_serving(facts, name),
    ]
    return "\n".join(lines) + "\n"


def draft_program(policy: Policy, facts: Mapping[str, Facts]) -> str:
    """A valid policy in YAML for components that import from each other, of which ``policy`` says what runs.

    Of ``policy``, sources, digests and imports are written, and that nothing is granted. ``facts`` are those of its
    components.
    """
    lines = [
        "# yaml-language-server: $schema=policy.schema.json",
        "# Nothing is granted yet: each attempt to use what is not granted fails for the component and is recorded.",
        "version: 1",
        *([] if policy.run is None else [f"run: {_scalar(policy.run)}"]),
        "components:",
    ]
    for component in policy.components:
        lines += _member(component, facts[component.name], run=component.name == policy.run)
    return "\n".join(lines) + "\n"


def _member(component: ComponentPolicy, facts: Facts, *, run: bool) -> Iterator[str]:
    """One component of a program. The limits and the standard input of a program are those of the one that runs."""
    yield f"  {_scalar(component.name)}:"
    yield from (f"    {line}" for line in _hindrances(facts))
    yield f"    source: {_scalar(component.source or '')}"
    yield f"    digest: {component.digest} # any other binary is refused"
    missing = [
        item.name
        for item in facts.imports
        if _is_callable(item) and not any(matches(wire.interface, item.name) for wire in component.imports)
    ]
    if component.imports or missing:
        yield "    imports:" if component.imports else "    # imports:"
    for wire in component.imports:
        served = f"{{component: {_scalar(wire.component)}, instance: own}}" if wire.own else _scalar(wire.component)
        yield f"      {_scalar(wire.interface)}: {served}"
    for name in missing[:_MAX_INTERFACES]:
        other = _other(name.partition("@")[0], component.name)
        yield f"    #   {_scalar(name)}: {other} # served by none of these; one of types alone needs none"
    if len(missing) > _MAX_INTERFACES:
        yield f"    #   and {len(missing) - _MAX_INTERFACES:,} more, which `sandbox inspect` shows"
    yield from _grants(facts, stdin=run)
    if run:
        yield "    # The defaults, for the whole program; lower them to what it needs."
        yield f"    limits: {_limits(Limits())}"


def _grants(facts: Facts, *, stdin: bool = True) -> Iterator[str]:
    """What the imports could use, in comments."""
    offers = _offers(facts, stdin=stdin)
    if offers:
        yield "    grants: # its imports could use what follows; take the # away to grant it"
        yield from (f"      # {line}" for line in offers)
    else:
        yield "    grants: {} # its imports ask for nothing that a policy grants"


def _hindrances(facts: Facts) -> list[str]:
    """Comments on the imports of a component that nothing serves."""
    return [
        f"# It cannot run here: it imports {_cut(plain(item.name))}, and {verdict.reason}."
        for item in facts.imports
        if isinstance(verdict := classify(item.name), Refused) and not _is_callable(item)
    ]


def _warnings(facts: Facts) -> list[str]:
    """Comments on what no grant can give."""
    if facts.kind == "module":
        lines = [f"# It cannot run here: it {sentence}." for sentence in preview1.objections(facts)]
        sockets = [name for name in preview1.imported(facts) if "sockets" in preview1.FUNCTIONS[name].families]
        if sockets:
            lines += [
                f"# No grant serves {', '.join(sockets)}: a module cannot open a socket.",
                "# Each call fails for the module and is recorded.",
            ]
        return lines
    lines = _hindrances(facts)
    if _interfaces(facts.imports):
        lines.append("# By itself it cannot run: other components serve some of its imports, see below.")
    return lines


def _served(facts: Facts, name: str) -> Iterator[str]:
    """What other components would have to serve, in comments."""
    interfaces = _interfaces(facts.imports)
    if interfaces:
        yield "    # imports: # the component of this file that serves each; one of types alone needs none"
    for interface in interfaces[:_MAX_INTERFACES]:
        other = _other(interface, name)
        yield f'    #   "{interface}": {other} # or {{component: {other}, only: [...]}} with its functions'
    if len(interfaces) > _MAX_INTERFACES:
        yield f"    #   and {len(interfaces) - _MAX_INTERFACES:,} more, which `sandbox inspect` shows"


def _serving(facts: Facts, name: str) -> Iterator[str]:
    """How another component would be served by this one, in comments."""
    interfaces = _interfaces(facts.exports)
    if interfaces:
        yield "    # Other components of this file can call what it exports. Then the limits of the one that is run"
        yield "    # hold: remove these here, and write there"
        yield "    #   imports:"
    for interface in interfaces[:_MAX_INTERFACES]:
        yield f'    #     "{interface}": {name}'
    if len(interfaces) > _MAX_INTERFACES:
        yield f"    #     and {len(interfaces) - _MAX_INTERFACES:,} more, which `sandbox inspect` shows"


def _interfaces(items: Iterable[Import | Export]) -> list[str]:
    """The interfaces that components may serve each other, without their versions: so each version is meant."""
    return list(dict.fromkeys(item.name.partition("@")[0] for item in items if _is_callable(item)))


def _is_callable(item: Import | Export) -> bool:
    return item.kind == "instance" and is_importable(item.name)


def _other(interface: str, name: str) -> str:
    """What a component that serves an interface may be called: ``auth`` for ``bank:payments/auth``."""
    package, _, label = interface.partition("/")
    for word in (label.lower(), package.partition(":")[2]):
        if word != name and _NAME.fullmatch(word):
            return word
    return "other" if name != "other" else "another"


def _used(facts: Facts) -> set[str]:
    """The interfaces of WASI 0.2 that the imports are, or that give a module what its imports do."""
    used: set[str] = set()
    if facts.kind == "module":
        for name in preview1.imported(facts):
            used.update(_LIKE.get(name) or _FAMILY_LIKE.get(preview1.FUNCTIONS[name].families, ()))
        return used
    for item in facts.imports:
        verdict = classify(item.name)
        if isinstance(verdict, Known):
            used.add(f"{verdict.interface.package}/{verdict.interface.name}")
    # One interface hands both out.
    return used | ({"environment", "arguments"} if "cli/environment" in used else set())


_LIKE = {
    "fd_read": ("cli/stdin",),
    "fd_write": ("cli/stdout", "cli/stderr"),
    "poll_oneoff": ("clocks/monotonic-clock",),
}
_FAMILY_LIKE: dict[tuple[Family, ...], tuple[str, ...]] = {
    ("filesystem",): ("filesystem/types",),
    ("environment",): ("environment",),
    ("arguments",): ("arguments",),
    ("clocks",): ("clocks/wall-clock", "clocks/monotonic-clock"),
    ("random",): ("random/random",),
}


def _offers(facts: Facts, *, stdin: bool = True) -> list[str]:
    """The grants that the imports ask for, each as YAML with a word on it. ``stdin``: whether it can be granted."""
    used = _used(facts)
    offers: list[tuple[str, str]] = []
    if used & {"filesystem/types", "filesystem/preopens"}:
        offers += [
            ("filesystem:", "what lies below these directories"),
            ("  - {host: ./data, guest: /data, access: read}", "or access: write, which includes read"),
        ]
    streams = [s for s in ("stdin", "stdout", "stderr") if f"cli/{s}" in used and (stdin or s != "stdin")]
    if streams:
        grants = ", ".join(f"{stream}: inherit" for stream in streams)
        offers.append((f"stdio: {{{grants}}}", "inherit, discard, capture or {file: path}"))
    if "environment" in used:
        offers.append(("environment: {set: {TZ: UTC}}", "these alone; {inherit: [LANG]} passes the caller's"))
    if "arguments" in used:
        offers.append(("arguments: inherit", "what the caller writes after --"))
    clocks = [clock for clock in ("wall", "monotonic") if f"clocks/{clock}-clock" in used]
    if clocks:
        grants = ", ".join(f"{clock}: real" for clock in clocks)
        offers.append((f"clocks: {{{grants}}}", "the time: real, coarse or frozen"))
    if used & {"random/random", "random/insecure", "random/insecure-seed"}:
        offers.append(("random: secure", "{seed: 1} gives the same numbers each run"))
    sockets = []
    if used & {"sockets/tcp", "sockets/tcp-create-socket"}:
        sockets.append(('  tcp: {connect: ["example.com:443"]}', 'or listen: ["127.0.0.1:8080"]'))
    if used & {"sockets/udp", "sockets/udp-create-socket"}:
        sockets.append(('  udp: {send: ["192.0.2.53:53"]}', 'or bind: ["127.0.0.1:5353"]'))
    if "sockets/ip-name-lookup" in used:
        sockets.append(('  dns: ["example.com"]', "names only to look up; those above may be looked up too"))
    if sockets:
        offers += [("sockets:", "hosts and ports: names, *.example.com, addresses, 10.2.0.0/16"), *sockets]
    if used & {"http/types", "http/outgoing-handler"}:
        offers.append(('http: ["GET https://example.com/"]', "not enforced yet: refused"))
    width = max((len(grant) for grant, _ in offers if len(grant) <= 60), default=0)
    return [f"{grant.ljust(width)} # {word}" for grant, word in offers]


def _limits(limits: Limits) -> str:
    sizes = ", ".join(f"{key}: {_size(getattr(limits, key))}" for key in ("memory", "output", "disk"))
    return f"{{deadline: {limits.deadline:g}s, {sizes}, handles: {limits.handles}}}"


def _size(size: int) -> str:
    return f"{size // 2**20}MiB" if size % 2**20 == 0 else str(size)


def _scalar(text: str) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("a policy is UTF-8 and cannot name a file whose name is not")
    if not text.isprintable():
        raise ValueError("a policy cannot name a file whose name holds control or other invisible characters")
    return yaml_scalar(text)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
