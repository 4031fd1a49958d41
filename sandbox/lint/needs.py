"""What the imports of a component ask of a policy, in the policy's own terms; and those that nothing serves."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, get_args

from sandbox import preview1, wasi
from sandbox.component import Facts

Part = Literal[
    "filesystem",
    "stdio.stdin",
    "stdio.stdout",
    "stdio.stderr",
    "environment",
    "arguments",
    "clocks.wall",
    "clocks.monotonic",
    "random",
    "sockets.tcp",
    "sockets.udp",
    "sockets.dns",
    "http",
]
"""A family of grants, or a part of one that is granted by itself."""

PARTS: tuple[Part, ...] = get_args(Part)

Needs: TypeAlias = Mapping[Part, tuple[str, ...]]
"""The imports that ask for each part, without their versions, each once and in the order of the file."""

MAX_NAMED = 3
"""Names that one sentence has at most."""
MAX_SHOWN = 100
"""Characters of a name in a sentence."""


@functools.lru_cache(maxsize=64)
def needs_of(facts: Facts) -> Needs:
    """What a component asks for. What nothing serves asks for nothing."""
    found: dict[Part, dict[str, None]] = {}
    for item in facts.imports:
        if facts.kind == "module":
            name, parts = item.name, _parts_of_function(item.name) if item.module == preview1.MODULE else ()
        else:
            name, parts = item.name.partition("@")[0], _parts_of_interface(item.name)
        for part in parts:
            found.setdefault(part, {})[name] = None
    if facts.kind == "component" and not _DIRECTORIES.issubset(found.get("filesystem", ())):
        found.pop("filesystem", None)
    return {part: tuple(found[part]) for part in PARTS if part in found}


def writes_files(facts: Facts) -> bool:
    """Whether a module imports something that writes files; a component's imports do not say."""
    return facts.kind == "component" or any(
        "filesystem.write" in preview1.FUNCTIONS[name].capabilities for name in preview1.imported(facts)
    )


@functools.lru_cache(maxsize=64)
def unserved(facts: Facts, served: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Why no run takes a component, a sentence each without its subject: ``imports 'a:b/c': ...``.

    ``served``: its imports that other components serve.
    """
    if facts.kind == "module":
        return preview1.objections(facts)
    refused = refused_imports(facts, served)
    if not refused:
        return ()
    name, reason = refused[0]
    shown = name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}..."
    others = f" (and {len(refused) - 1:,} more that nothing serves)" if len(refused) > 1 else ""
    return (f"imports {shown!a}{others}: {reason}",)


def refused_imports(facts: Facts, served: frozenset[str]) -> list[tuple[str, str]]:
    """The imports of a component that nothing serves, each with the reason."""
    return [
        (item.name, reason)
        for item in facts.imports
        if item.kind != "instance" or item.name not in served
        for reason in _refusals(item.name, item.kind)
    ]


def named(names: Iterable[str]) -> str:
    """``a, b and c``, or the first of them and how many there are beside."""
    first = list(names)
    if len(first) > MAX_NAMED:
        return f"{', '.join(first[:MAX_NAMED])} and {len(first) - MAX_NAMED} more"
    return " and ".join([", ".join(first[:-1]), first[-1]] if len(first) > 1 else first)


_DIRECTORIES = {"wasi:filesystem/types", "wasi:filesystem/preopens"}
"""A component gets its directories by the one and uses them by the other: to ask for files it needs both."""


def _refusals(name: str, kind: str) -> Iterator[str]:
    known = wasi.classify(name)
    if isinstance(known, wasi.Refused):
        yield known.reason
    elif kind != "instance":
        yield "it is not an interface"


@functools.lru_cache(maxsize=1024)
def _parts_of_interface(name: str) -> tuple[Part, ...]:
    known = wasi.classify(name)
    if isinstance(known, wasi.Refused):
        return ()
    if "http" in known.families:  # not all its interfaces reach out by themselves
        return ("http",)
    return _parts(known.capabilities)


@functools.lru_cache(maxsize=1024)
def _parts_of_function(name: str) -> tuple[Part, ...]:
    known = preview1.FUNCTIONS.get(name)
    return _parts(known.capabilities) if known is not None else ()


def _parts(capabilities: tuple[str, ...]) -> tuple[Part, ...]:
    names = ["sockets.dns" if capability == "dns.resolve" else capability for capability in capabilities]
    return tuple(part for part in PARTS if any(name == part or name.startswith(f"{part}.") for name in names))
